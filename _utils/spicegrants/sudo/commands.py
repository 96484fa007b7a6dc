"""Commands that granted users run through sudo, and variants of them that sudo must refuse."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from spicegrants.core.errors import Finding, PolicyError
from spicegrants.core.paths import OPENER, connection_file
from spicegrants.core.reader import did_you_mean
from spicegrants.policy.compiler import DesiredState
from spicegrants.schedule.intervals import ALWAYS, Windows


@dataclass(frozen=True, order=True)
class SudoRule:
    """A rule by which a user may start one program with exactly one argument.

    In the direct form, this is a viewer with a URI or connection file, run as the user with the viewer's group. The
    rule names the group only, ``(:GROUP)``: sudo then runs the command as the calling user and as nobody else, and
    refuses it without the group; from 1.9.16 on it leaves that to the program's mode. With ``(USER:GROUP)``, older
    releases would allow the call without the group as well.

    In the confined form, this is our opener with the name of a vm, run as root; ``group`` is empty.

    windows
        When the rule holds.
    """

    user: str
    group: str
    viewer: str
    argument: str
    nopasswd: bool = False
    windows: Windows = ALWAYS

    @property
    def timeless(self) -> SudoRule:
        """The same rule without times, as if it always held."""
        return replace(self, windows=ALWAYS)

    @property
    def confined(self) -> bool:
        """Tell whether the rule is of the confined form."""
        return not self.group

    @property
    def command(self) -> list[str]:
        """The program and its arguments."""
        return [self.viewer, self.argument] if self.confined else [self.viewer, "--", self.argument]

    @property
    def runas(self) -> list[str]:
        """The options by which sudo runs it as another user or group."""
        return ["-u", "root"] if self.confined else ["-g", self.group]

    @property
    def call(self) -> list[str]:
        """The words after ``sudo``."""
        return [*self.runas, *self.command]


def calls(
    desired: DesiredState, user: str, vm: str, nopasswd: bool = False, windows: Windows = ALWAYS
) -> list[SudoRule]:
    """Return the rules that let a user open a vm.

    In the confined form, there is one; in the direct form, one with the URI and one with the connection file for each
    viewer.

    Raises :class:`~spicegrants.core.errors.PolicyError` if the policy has no such vm.
    """
    policy = desired.policy
    if vm not in policy.vms:
        raise PolicyError([Finding("vm", f"no vm {vm!r}{did_you_mean(vm, policy.vms)}")])
    if desired.confined:
        return [SudoRule(user, "", OPENER, vm, nopasswd, windows)]
    return [
        SudoRule(user, policy.viewer.group, path, argument, nopasswd, windows)
        for path in policy.viewer.paths
        for argument in (policy.uri(policy.vms[vm]), connection_file(vm))
    ]


def mutants(rule: SudoRule, other_port: int) -> list[tuple[str, list[str]]]:
    """Return variants of an allowed call that sudo must refuse, each with the difference in words.

    Each call has the words after ``sudo``: options and command. In the direct form, calls as root are not among them:
    ``sudo -l -U`` takes root for the user who asks, and that is whom the rule means; sudo 1.9.16 does so without the
    group as well.
    """
    return _confined_mutants(rule) if rule.confined else _direct_mutants(rule, other_port)


def _confined_mutants(rule: SudoRule) -> list[tuple[str, list[str]]]:
    root, opener, vm = rule.runas, rule.viewer, rule.argument
    return [
        ("argument added", [*root, opener, vm, "--debug"]),
        ("option first", [*root, opener, "--debug", vm]),
        ("-- first", [*root, opener, "--", vm]),
        ("without argument", [*root, opener]),
        ("empty argument", [*root, opener, ""]),
        ("name twice", [*root, opener, vm, vm]),
        ("end cut off", [*root, opener, vm[:-1]]),
        ("end added", [*root, opener, vm + "0"]),
        ("path before", [*root, opener, f"../{vm}"]),
        ("connection file", [*root, opener, connection_file(vm)]),
        ("wildcard", [*root, opener, "*"]),
        ("as another user", ["-u", "nobody", opener, vm]),
        ("another program", [*root, "/bin/sh", vm]),
    ]


def _direct_mutants(rule: SudoRule, other_port: int) -> list[tuple[str, list[str]]]:
    group = rule.runas
    viewer, argument = rule.viewer, rule.argument
    port = re.search(r"tls-port=([0-9]+)$", argument)
    found = [
        ("argument added", [*group, viewer, "--", argument, "--debug"]),
        ("option first", [*group, viewer, "--debug", "--", argument]),
        ("without --", [*group, viewer, argument]),
        ("without argument", [*group, viewer]),
        ("empty argument", [*group, viewer, "--", ""]),
        ("as another user", ["-u", "nobody", *group, viewer, "--", argument]),
        ("without the group", ["-u", rule.user, viewer, "--", argument]),
        ("another program", [*group, "/bin/sh", "--", argument]),
        ("end cut off", [*group, viewer, "--", argument[:-1]]),
        ("end added", [*group, viewer, "--", argument + "0"]),
    ]
    if port:
        return [
            *found,
            ("? replaced", [*group, viewer, "--", argument.replace("?", "X")]),
            ("argument split", [*group, viewer, "--", *argument.split("?")]),
            ("another port", [*group, viewer, "--", argument.replace(port[1], str(other_port))]),
            ("plain port", [*group, viewer, "--", argument.replace("tls-port", "port")]),
        ]
    return [
        *found,
        ("another file", [*group, viewer, "--", "/root/x.vv"]),
        ("path around", [*group, viewer, "--", argument.replace("/vms/", "/vms/../vms/")]),
    ]
