"""Whole cases: what each layer is given for a pillar and a system, compared with the files in tests/golden.

A directory is a case: ``policy.yaml`` (the pillar's ``spice``), ``system.yaml`` (what the workstation knows) and, where
a change is shown, ``previous.yaml`` (the pillar of the run before) are read; all other files are expected. After a
desired change: ``make golden``, and look at the difference.
"""

import json
import pathlib
import shutil

import pytest
import yaml

from spicegrants.core.accounts import Account, Group
from spicegrants.core.changes import as_dict
from spicegrants.core.entries import File
from spicegrants.core.errors import Finding
from spicegrants.core.paths import CONNECTIONS, CONTACT, LOAD_GUARD, MENUS
from spicegrants.firewall import boot
from spicegrants.firewall.iptables import guard_chains
from spicegrants.firewall.nft import egress, guard_table
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.facts import Inventory
from spicegrants.routing import policy_rules
from spicegrants.sudo import sudoers
from spicegrants.viewer import files
from unit.build import Kernel, cvtsudoers, parsed, visudo

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
INPUTS = {"policy.yaml", "system.yaml", "previous.yaml"}
LAUNCHER = b"#!/usr/bin/python3 -I\n"
OPENER = b"#!/usr/bin/python3 -I\nPK"


def cases():
    return sorted(path.parent for path in GOLDEN.glob("*/policy.yaml"))


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def inventory(system, policy):
    authorities = {name: server.ca for name, server in policy.servers.items() if server.ca and "\n" in server.ca}
    return Inventory(
        {name: Account(name, *ids) for name, ids in system["users"].items()},
        {name: Group(name, group["gid"], tuple(group.get("members", ()))) for name, group in system["groups"].items()},
        frozenset(system.get("numeric_names", ())),
        {name: tuple(found) for name, found in system["addresses"].items()},
        {**authorities, **system.get("authorities", {})},
        passwords=system.get("passwords", {}),
        unconfinable=system.get("unconfinable", "there is no sandbox"),
        findings=tuple(Finding(path, message) for path, message in system.get("findings", {}).items()),
    )


def compiled(case, name, previous=()):
    policy = pillar.parse_policy(read(case / name))
    return compile_policy(policy, inventory(read(case / "system.yaml"), policy), previous)


def changes(desired, before):
    """What the run reports: from nothing, or from what the run before left."""
    kernel, entries, file = Kernel(), {}, None
    programs = {path: files.Program(0, 0, 0o755) for path in desired.policy.viewer.paths}
    if before is not None:
        kernel.carry_out(guard_table.plan_guard_table(before, None))
        entries = files.desired_entries(before, LAUNCHER, OPENER)
        file = File(sudoers.render(before).encode(), sudoers.MODE)
        programs = {path: files.Program(0, before.gid, 0o750) for path in before.policy.viewer.paths}
    planned = [
        *guard_table.plan_guard_table(desired, kernel.listing()).changes,
        *files.plan_files(desired, files.ViewerLive((), programs, entries), LAUNCHER, OPENER).changes,
        *sudoers.plan_sudoers(desired, file, lambda: parsed(sudoers.rules(before))).changes,
    ]
    return as_dict(planned)


def produced(case):
    """Return the expected files of a case by name."""
    before = compiled(case, "previous.yaml") if (case / "previous.yaml").exists() else None
    desired = compiled(case, "policy.yaml", before.accesses if before else ())
    made = {
        "nft.json": json.dumps(guard_table.plan_guard_table(desired, None).commands, indent=1) + "\n",
        **{f"iptables.{version}": guard_chains.stored(desired, version) for version in (4, 6)},
        "load-guard": boot.desired_entries(boot.for_nftables(desired))[LOAD_GUARD].content.decode(),
        "routes": "".join(
            f"{rule.words}\n" for version in (4, 6) for rule in policy_rules.desired_rules(desired, version)
        ),
        "sudoers": sudoers.render(desired),
        "changes.json": json.dumps(changes(desired, before), indent=1, ensure_ascii=False) + "\n",
    }
    if desired.policy.firewall.uplinks != ():
        made["egress.json"] = json.dumps(egress.skeleton(desired), indent=1) + "\n"
    if desired.findings:
        made["findings.txt"] = "".join(f"{finding}\n" for finding in desired.findings)
    for path, entry in files.desired_entries(desired, LAUNCHER, OPENER).items():
        parent, name = path.rsplit("/", 1)
        if parent == CONNECTIONS:
            made[f"vms/{name}"] = entry.content.decode()
        elif parent == MENUS:
            made[f"menu/{name}.json"] = entry.content.decode()
        elif path == CONTACT:
            made["contact"] = entry.content.decode()
    return made


def expected(case):
    found = (path for path in case.rglob("*") if path.is_file())
    return {str(path.relative_to(case)): path.read_text(encoding="utf-8") for path in found if path.name not in INPUTS}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_golden(case, request):
    made = produced(case)
    if request.config.getoption("--update-golden"):
        for path in case.iterdir():
            if path.name not in INPUTS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, text in made.items():
            (case / name).parent.mkdir(exist_ok=True)
            (case / name).write_text(text, encoding="utf-8")
    golden = expected(case)
    assert sorted(made) == sorted(golden)
    for name, text in made.items():
        assert text == golden[name], name


def test_there_are_cases():
    assert len(cases()) >= 10


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_sudo_reads_each_golden_file_as_meant(case, sudo_tools):
    text = (case / "sudoers").read_text(encoding="utf-8")
    assert visudo(text) == ""
    desired = compiled(case, "policy.yaml")
    assert sorted(sudoers.own_rules(cvtsudoers(text))) == sorted(sudoers.rules(desired))
