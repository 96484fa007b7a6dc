"""What the ready-made reactor makes of events: a minion chooses all that is in them."""

import pytest
import salt.config
import salt.loader
import salt.template
import yaml

from checkout import ROOT

pytestmark = pytest.mark.salt

REACTION = ROOT / "etc" / "reactor" / "spice-grant-drift.sls"
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

    def react(data):
        tag = "salt/beacon/x/spice_grant/drift"
        return salt.template.compile_template(str(REACTION), renderers, "jinja|yaml", [], [], tag=tag, data=data)

    return react


@pytest.mark.parametrize("minion", IDS)
def test_the_state_is_applied_on_the_minion_that_reports_and_its_id_is_only_a_name(react, minion):
    reaction = react({"id": minion, "repairing": False})
    assert reaction == {
        "repair": {"local.state.apply": [{"tgt": [minion]}, {"tgt_type": "list"}, {"args": [{"mods": "spice"}]}]}
    }


@pytest.mark.parametrize("data", [{"repairing": True}, {}, {"repairing": "false"}, {"repairing": None}])
def test_a_minion_that_repairs_by_itself_needs_nothing(react, data):
    assert not react({"id": "desk-1", **data})


def test_the_masters_file_names_it():
    text = (ROOT / "etc" / "master.d" / "spice-grant-reactor.conf").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == {
        "reactor": [{"salt/beacon/*/spice_grant/drift": [f"/srv/spice-grant/{REACTION.relative_to(ROOT)}"]}]
    }
