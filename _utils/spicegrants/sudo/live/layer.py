"""The sudo layer: plans, applies, reviews, closes and removes our sudoers file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from spicegrants.core.changes import Change
from spicegrants.core.entries import File
from spicegrants.core.errors import CommandFailed, SystemFault
from spicegrants.core.paths import SUDOERS
from spicegrants.host import disk, run
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.layer import CloseResult, Plan, Review
from spicegrants.policy.state_file import Stored
from spicegrants.sudo import other_rules, sudoers
from spicegrants.sudo.commands import SudoRule
from spicegrants.sudo.live import privileges, tools
from spicegrants.sudo.sudoers import SudoPlan


class Sudo:
    """One sudoers file with exact-argument rules. The steps of a plan are its text, ``None`` if it stays as it is."""

    name = "sudo"

    def plan(self, desired: DesiredState, stored: Stored) -> Plan:
        """Compare our file; see :class:`~spicegrants.policy.layer.Layer`."""
        run.as_root()
        try:
            planned = sudoers.plan_sudoers(desired, disk.read(SUDOERS), tools.own_tree)
        except CommandFailed as error:
            if error.programs:
                _need_programs(desired)
            raise
        return Plan(planned.changes, desired, planned.text)

    def apply(self, plan: Plan) -> None:
        """Install the file, once visudo accepts the tree as it would be; check that sudo reads it."""
        text, desired = plan.steps, plan.desired
        if text is None:
            return
        tools.check(text)
        disk.write(SUDOERS, File(text.encode(), sudoers.MODE))
        if desired.inventory.sudo_rs:
            if not tools.heeds(sudoers.rules(desired), desired.now):
                raise SystemFault(f"sudo does not heed {SUDOERS}: its rules have no effect")
        elif sudoers.ALIAS in text and not tools.included(tools.tree()):
            raise SystemFault(f"{tools.main()} does not include {SUDOERS}: its rules have no effect")

    def review(self, plan: Plan) -> Review:
        """Report whether the file can be installed and counts, and who may open or undo something by another rule.

        Such rules are warnings or, with a strict policy, errors; those of its ``admins`` are left out. A tree that
        cannot be parsed, because another file is broken, is reported likewise. If sudo has sources other than files as
        well, a strict policy has sudo asked about each user; otherwise a warning says that nobody has looked there.
        Another says that the file leaves times to the opener.
        """
        _need_programs(plan.desired)
        refused = _refused(plan)
        look = _review_rs if plan.desired.inventory.sudo_rs else _review
        errors, warnings = look(plan.desired, settled=plan.steps is None)
        all_errors = tuple(f"sudo: {fault}" for fault in (*refused, *errors))
        return Review(all_errors, (*warnings, *sudoers.times_left_out(plan.desired)), bool(refused))

    def close(
        self, desired: DesiredState | None, was: DesiredState | None, lost_doors: Collection[Door] | None, test: bool
    ) -> CloseResult:
        """Remove rules from our file, or the file itself; other files that do not parse hinder nothing."""
        live = disk.read(SUDOERS)
        if live is None:
            return CloseResult()
        if desired is None or was is None:
            planned = SudoPlan((Change("sudo", f"removes {SUDOERS}"),), None)
        elif not tools.version():
            # Without sudo nobody can use the file, and nobody knows for which release it is to be made.
            return CloseResult()
        else:
            traits = tools.traits()
            desired, was = (replace(each, inventory=replace(each.inventory, **traits)) for each in (desired, was))
            # Only a file that does not say just what was held has to be parsed.
            if lost_doors is not None and not sudoers.says(was, live):
                return CloseResult()
            planned = sudoers.plan_closing(desired, was, live, tools.own_tree)
        if planned.changes and not test:
            if planned.text is None:
                disk.remove(SUDOERS)
            else:
                tools.check_alone(planned.text)
                disk.write(SUDOERS, File(planned.text.encode(), sudoers.MODE))
        return CloseResult(planned.changes)

    def remove(self, stored: Stored, test: bool) -> tuple[Change, ...]:
        """Remove the file."""
        run.as_root()
        if disk.read(SUDOERS) is None:
            return ()
        if not test:
            disk.remove(SUDOERS)
        return (Change("sudo", f"removes {SUDOERS}"),)


def _need_programs(desired: DesiredState) -> None:
    """Raise an error that names all missing programs of sudo, not just the first that is called."""
    run.need(*(("visudo",) if desired.inventory.sudo_rs else ("sudo", "visudo", "cvtsudoers")))


def _refused(plan: Plan) -> list[str]:
    """Return why the file cannot be installed: visudo checks the tree as it would be, and nothing is written."""
    if plan.steps is None:
        return []
    if len(plan.steps.encode()) > disk.LARGEST:
        why = f"{SUDOERS} would be larger than {disk.LARGEST:,} bytes, so it stays as it was"
        return [f"{why}: have viewers run confined, or name fewer times"]
    try:
        tools.check(plan.steps)
    except CommandFailed as error:
        return [f"the sudoers tree would not parse, so it stays as it was: {error}"]
    return []


def _review(desired: DesiredState, settled: bool) -> tuple[list[str], list[str]]:
    """Return errors and warnings for C sudo's tree.

    settled
        Whether our file is as desired.
    """
    strict = desired.policy.sudo.strict
    errors: list[str] = []
    warnings: list[str] = []
    try:
        # What our file holds now may differ, and is about to go.
        leaving = [] if settled else sudoers.own_rules(tools.own_tree() or {})

        def ours() -> Iterator[SudoRule]:
            """Yield our rules, computed only on demand: hardly any site has rules to compare them with."""
            yield from (rule for access in desired.accesses for rule in sudoers.rules_for(desired, access))
            yield from leaving

        head = sudoers.head(desired)
        tree = tools.tree(head if settled else None)
        if settled and sudoers.ALIAS in head and not tools.included(tree):
            errors.append(f"{tools.main()} does not include {SUDOERS}: its rules have no effect")
        site = privileges.site(desired)
        for kind, sentence in privileges.sentences(other_rules.foreign(tree, ours(), site), strict):
            (errors if strict and kind != other_rules.NOTE else warnings).append(f"another sudo rule: {sentence}")
        harm, unseen = privileges.beyond_files(desired, site, ours, tree, strict)
        errors += harm
        warnings += unseen
    except CommandFailed as error:
        (errors if strict else warnings).append(f"other files' sudo rules cannot be read: {error}")
        # Whether our file is included cannot be read either.
        errors += _unheeded(desired) if settled else []
    return errors, warnings


def _review_rs(desired: DesiredState, settled: bool) -> tuple[list[str], list[str]]:
    """Return errors and warnings for sudo-rs, from its own answers: no program can read its printed rules."""
    errors = _unheeded(desired) if settled else []
    if not desired.policy.sudo.strict:
        return errors, [privileges.UNREAD]
    site = privileges.site(desired)
    for user in privileges.users(site, {access.user for access in desired.accesses}, {}):
        errors += [f"sudo lets {user}: {what}" for what in privileges.answers(user, site)]
    return errors, []


def _unheeded(desired: DesiredState) -> list[str]:
    """Return a sentence if sudo does not heed our file."""
    try:
        heeded = tools.heeds(sudoers.rules(desired), desired.now)
    except CommandFailed as error:
        return [f"nobody can tell whether sudo heeds {SUDOERS}: {error}"]
    return [] if heeded else [f"sudo does not heed {SUDOERS}: its rules have no effect"]
