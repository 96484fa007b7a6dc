"""What the ready-made reactors make of events: a minion chooses all that is in them."""

import pytest
import salt.config
import salt.loader
import salt.template
import yaml

from checkout import ROOT

pytestmark = pytest.mark.salt

REACTIONS = ROOT / "etc" / "reactor"
IDS = [
    "desk-1",
    "*",
    "a,b",
    "x]\n    - tgt: '*'\n",
    '"]}\nmore:\n  local.cmd.run:\n    - tgt: "*"\n',
    "{{ 7 * 7 }}",
    "'",
    "ü北",
]


@pytest.fixture(scope="module")
def react():
    """Render the reaction to an event, as the master does."""
    opts = salt.config.master_config(None)
    renderers = salt.loader.render(opts, {})

    def react(name, data):
        path = str(REACTIONS / f"spice-grant-{name}.sls")
        return salt.template.compile_template(path, renderers, "jinja|yaml", [], [], tag="salt/x", data=data)

    return react


@pytest.mark.parametrize("minion", IDS)
def test_the_state_is_applied_on_the_minion_that_reports_and_its_id_is_only_a_name(react, minion):
    reaction = react("drift", {"id": minion, "repairing": False})
    assert reaction == {
        "repair": {"local.state.apply": [{"tgt": [minion]}, {"tgt_type": "list"}, {"args": [{"mods": "spice"}]}]}
    }


@pytest.mark.parametrize("data", [{"repairing": True}, {}, {"repairing": "false"}, {"repairing": None}])
def test_a_minion_that_repairs_by_itself_needs_nothing(react, data):
    assert not react("drift", {"id": "desk-1", **data})


@pytest.mark.parametrize("minion", IDS)
def test_locks_are_delivered_to_the_minion_that_starts_and_its_id_is_only_a_name(react, minion):
    reaction = react("locks", {"id": minion, "cmd": "_minion_event"})
    assert reaction == {"deliver": {"runner.spice_grant.deliver": [{"args": [{"minion": minion}, {"quiet": True}]}]}}


def test_nothing_of_the_event_decides_what_is_followed(react):
    assert react("follow", {"id": "*"}) == {"follow": {"runner.spice_grant.follow": [{"args": [{"quiet": True}]}]}}


def test_the_masters_file_names_them_all():
    """One file: of several lists of reactors the master takes the last."""
    text = (ROOT / "etc" / "master.d" / "spice-grant-reactor.conf").read_text(encoding="utf-8")
    named = [path for each in yaml.safe_load(text)["reactor"] for paths in each.values() for path in paths]
    assert sorted(named) == sorted(f"/srv/spice-grant/{path.relative_to(ROOT)}" for path in REACTIONS.glob("*.sls"))
    others = [
        path for path in (ROOT / "etc" / "master.d").glob("*.conf") if "reactor" in path.read_text(encoding="utf-8")
    ]
    assert [path.name for path in others] == ["spice-grant-reactor.conf"]
