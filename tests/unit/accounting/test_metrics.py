"""Figures for Prometheus: what stands there, and that the rules of etc/prometheus ask for nothing else."""

import re

import yaml

from checkout import ROOT
from spicegrants.accounting import metrics
from spicegrants.record import events
from unit.build import desired

NOW = 1795543920
LABEL = r'\w+="([^"\\\n]|\\.)*"'
LINE = re.compile(rf"# (HELP|TYPE) spice_grant_\w+ .*|spice_grant_\w+(\{{{LABEL}(,{LABEL})*\}})? \d+")


def made(*found, now_open=(), last_run=None):
    totals = metrics.Totals()
    totals.take(found)
    return metrics.text(desired(), now_open, totals, last_run)


def test_what_stands_there():
    refused = events.event(events.REFUSED, NOW, None, user="anne", vm="debianx", by="sudo", count=3)
    found = [events.event(kind, NOW, None, vm="debianx", user="anne") for kind in (events.OPENED, events.ENDED)]
    text = made(*found, refused, refused, now_open=["debianx", None], last_run=metrics.LastRun(NOW, 2))
    for line in (
        "spice_grant_grants 2",
        'spice_grant_sessions_open{vm="debianx"} 1',
        'spice_grant_sessions_open{vm="leaptest"} 0',
        'spice_grant_sessions_open{vm=""} 1',
        'spice_grant_sessions_total{vm="debianx"} 1',
        'spice_grant_refusals_total{by="sudo",vm="debianx"} 6',
        "spice_grant_repairs_total 0",
        f"spice_grant_last_run_timestamp_seconds {NOW}",
        "spice_grant_last_run_errors 2",
    ):
        assert line in text.splitlines(), text
    assert all(LINE.fullmatch(line) for line in text.splitlines())


def test_whatever_a_name_is_it_ends_no_label():
    odd = events.event(events.REFUSED, NOW, None, by='x"} 1\nspice_grant_grants 99', vm="a\\")
    text = made({**odd, "by": 'x"} 1\nspice_grant_grants 99'}, {**odd, "count": "many"})
    assert all(LINE.fullmatch(line) for line in text.splitlines()), text
    assert "spice_grant_grants 99" not in text.splitlines()


def test_the_rules_ask_for_what_there_is():
    rules = (ROOT / "etc" / "prometheus" / "spice-grant.rules.yml").read_text(encoding="utf-8")
    text = made(last_run=metrics.LastRun(NOW, 0))
    (group,) = yaml.safe_load(rules)["groups"]
    asked = {name for rule in group["rules"] for name in re.findall(r"spice_grant_\w+", rule["expr"])}
    assert asked and all(f"# TYPE {name} " in text for name in asked)
