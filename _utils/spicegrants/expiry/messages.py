"""Messages to users about their sessions: why one ended, and that one is about to end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spicegrants.expiry.deadlines import Notice
from spicegrants.firewall.connections import Connection
from spicegrants.policy import decision as policy_decision
from spicegrants.policy import wording
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.loans_locks import USER, is_loan
from spicegrants.schedule import instants

ENDED, ENDING = "SPICE console closed", "SPICE console closes soon"


def end_messages(desired: DesiredState, connections: Iterable[Connection], users: Mapping[int, str]) -> dict[int, str]:
    """Return the messages by UID for users whose connections were ended.

    users
        Names by UID, to find the lock on a user.
    """
    return _by_user((each.uid, _why(desired, each, users.get(each.uid, ""))) for each in connections)


def warning_messages(desired: DesiredState, notices: Iterable[Notice]) -> dict[int, str]:
    """Return the messages by UID for users whose sessions are about to end."""
    return _by_user((notice.uid, _warning(desired, notice)) for notice in notices)


def _by_user(pairs: Iterable[tuple[int, str]]) -> dict[int, str]:
    found: dict[int, set[str]] = {}
    for uid, sentence in pairs:
        found.setdefault(uid, set()).add(sentence)
    return {uid: "\n".join(sorted(sentences)) for uid, sentences in found.items()}


def _why(desired: DesiredState, connection: Connection, user: str) -> str:
    address, port = connection.remote
    vm = desired.vm_at(address, port)
    if vm is None:
        return f"Your access to the console at {address} port {port} was removed."
    lock = desired.lock_on(user, vm)
    if lock is not None:
        return f"Your access to the console of VM {vm} is locked." if lock.about == USER else f"VM {vm} is locked."
    access, denied = desired.access(connection.uid, vm)
    if access is not None and denied is None:
        return _closing_sentence(desired, access)
    behind = desired.grants_of(connection.uid, vm)
    if behind and all(map(is_loan, behind)):
        return f"The loan of the console of VM {vm} has ended."
    return f"Your access to the console of VM {vm} was removed."


def _closing_sentence(desired: DesiredState, access: Access) -> str:
    """Return why a session ended on a console that is open at some times, and when its user has it next."""
    decision = policy_decision.judge(desired.policy, access, desired.now)
    if decision.open:
        return f"The rules for the console of VM {access.vm} have changed: open it again."
    past = [end for _, end in desired.times(access).opened if end <= desired.now]
    sentence = f"The console of VM {access.vm} is closed now."
    if past:
        names = policy_decision.judge(desired.policy, access, past[-1] - 1).grants
        terms = [term for name, term in zip(access.grants, access.terms) if name in names]
        if all(map(is_loan, names)):
            sentence = f"The loan of the console of VM {access.vm} has ended."
        elif any(term.schedules for term in terms):
            sentence = f"The window for the console of VM {access.vm} has ended."
        else:
            sentence = f"Your access to the console of VM {access.vm} has ended."
    if decision.until is None:
        return sentence
    return f"{sentence} It opens again {instants.words(decision.until, wording.zone_of(desired.policy, access))}."


def _warning(desired: DesiredState, notice: Notice) -> str:
    deadline, zone = notice.deadline, _zone(desired, notice)
    when = f"{_clock(deadline.moment, desired.now, zone)}, in {_duration_words(deadline.moment - desired.now)}"
    if not deadline.closes:
        return f"Your session at the console of VM {notice.vm} ends at {when}."
    sentence = f"The console of VM {notice.vm} closes at {when}."
    if deadline.ends:
        return sentence
    if deadline.going is None:
        return f"{sentence} What you have open there may go on, but it cannot be opened again."
    return f"{sentence} What you have open there may go on until {_clock(deadline.going, desired.now, zone)}."


def _zone(desired: DesiredState, notice: Notice) -> str | None:
    access, _ = desired.access(notice.uid, notice.vm)
    if access is None:
        return desired.policy.time.zone
    return wording.zone_of(desired.policy, access)


def _clock(moment: int, now: int, zone: str | None) -> str:
    """Return a moment as short as it is clear: ``18:00``."""
    local = instants.local(moment, zone)
    text = f"{local:%H:%M}" if zone else f"{local:%H:%M} UTC"
    return text if local.date() == instants.local(now, zone).date() else f"{text} on {local:%Y-%m-%d}"


def _duration_words(seconds: int) -> str:
    """Return a duration: in seconds below a minute, otherwise to the minute."""
    if seconds < 60:
        return _quantity(seconds, "second")
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(_quantity(number, unit) for number, unit in ((hours, "hour"), (minutes, "minute")) if number)


def _quantity(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
