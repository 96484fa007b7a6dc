"""What a minion sees: of the pillar what concerns it, of the file server the modules and the state."""

import json

from fleet.fleet import CLIENTS, LINKS, PEOPLE, served
from fleet.people import CONSOLES

HIDDEN = (".git/config", "../pillar/spice.sls", "pillar/spice.sls", "tests/conftest.py", "setup.cfg")
OF_THE_PILLAR = ("spice/office.sls", "spice/grants/ralph.sls")


def test_a_minions_pillar_holds_only_what_concerns_it(office):
    """Grants and vms of its own people; at the desk no word of the laptop's, nor of why they are granted."""
    pillars, _ = office.master.salt("pillar.items", "unmask=True")
    for name, opened in CLIENTS.items():
        declared = pillars[name]["spice"]
        assert {(grant["user"], grant["vm"]) for grant in declared["grants"].values()} == opened
        assert set(declared["vms"]) == {vm for _, vm in opened}
        text = json.dumps(pillars[name])
        strangers = {user for user in PEOPLE if user not in {user for user, _ in opened}}
        other_vms = set(CONSOLES) - set(declared["vms"])
        assert not [word for word in strangers | other_vms if word in text]
        assert ("confidential" in text) is (("ralph", "analysis") in opened)


def test_a_minion_sees_the_state_tree_and_the_modules_and_nothing_else(office):
    """Nor of the repository of the pillar, which the master has fetched as well."""
    seen, _ = office.master.salt("cp.list_master")
    for name in CLIENTS:
        assert {path for path in seen[name] if path not in LINKS} == served()
    hidden = [f"salt://{path}" for path in (*HIDDEN, *OF_THE_PILLAR)]
    answers, _ = office.master.salt("cp.cache_files", json.dumps(["salt://spice/init.sls", *hidden]))
    for name in CLIENTS:
        assert answers[name][0].endswith("/spice/init.sls") and not any(answers[name][1:])
