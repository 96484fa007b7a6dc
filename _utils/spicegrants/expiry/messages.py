"""Messages to users about their sessions: why one ended, and that one is about to end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spicegrants.core.languages import ENGLISH, say
from spicegrants.expiry.deadlines import Notice
from spicegrants.firewall.connections import Connection
from spicegrants.policy import decision as policy_decision
from spicegrants.policy import wording
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.loans_locks import USER, is_loan
from spicegrants.schedule import instants


def ended_title(language: str = ENGLISH) -> str:
    """Return the title of the messages of :func:`end_messages`."""
    return say(language, "SPICE console closed")


def ending_title(language: str = ENGLISH) -> str:
    """Return the title of the messages of :func:`warning_messages`."""
    return say(language, "SPICE console closes soon")


def end_messages(
    desired: DesiredState, connections: Iterable[Connection], users: Mapping[int, str], language: str = ENGLISH
) -> dict[int, str]:
    """Return the messages by UID for users whose connections were ended.

    users
        Names by UID, to find the lock on a user.
    """
    return _by_user((each.uid, _why(desired, each, users.get(each.uid, ""), language)) for each in connections)


def warning_messages(desired: DesiredState, notices: Iterable[Notice], language: str = ENGLISH) -> dict[int, str]:
    """Return the messages by UID for users whose sessions are about to end."""
    return _by_user((notice.uid, _warning(desired, notice, language)) for notice in notices)


def _by_user(pairs: Iterable[tuple[int, str]]) -> dict[int, str]:
    found: dict[int, set[str]] = {}
    for uid, sentence in pairs:
        found.setdefault(uid, set()).add(sentence)
    return {uid: "\n".join(sorted(sentences)) for uid, sentences in found.items()}


def _why(desired: DesiredState, connection: Connection, user: str, language: str) -> str:
    address, port = connection.remote
    vm = desired.vm_at(address, port)
    if vm is None:
        return say(
            language, "Your access to the console at {address} port {port} was removed.", address=address, port=port
        )
    lock = desired.lock_on(user, vm)
    if lock is not None:
        if lock.about == USER:
            return say(language, "Your access to the console of VM {vm} is locked.", vm=vm)
        return say(language, "VM {vm} is locked.", vm=vm)
    access, denied = desired.access(connection.uid, vm)
    if access is not None and denied is None:
        return _closing_sentence(desired, access, language)
    behind = desired.grants_of(connection.uid, vm)
    if behind and all(map(is_loan, behind)):
        return say(language, "The loan of the console of VM {vm} has ended.", vm=vm)
    return say(language, "Your access to the console of VM {vm} was removed.", vm=vm)


def _closing_sentence(desired: DesiredState, access: Access, language: str) -> str:
    """Return why a session ended on a console that is open at some times, and when its user has it next."""
    decision = policy_decision.judge(desired.policy, access, desired.now)
    if decision.open:
        return say(language, "The rules for the console of VM {vm} have changed: open it again.", vm=access.vm)
    sentence = _ended(desired, access, language)
    if decision.until is None:
        return sentence
    days = say(language, "Mon Tue Wed Thu Fri Sat Sun")
    when = instants.words(decision.until, wording.zone_of(desired.policy, access), days)
    return f"{sentence} {say(language, 'It opens again {when}.', when=when)}"


def _ended(desired: DesiredState, access: Access, language: str) -> str:
    """Return what it is that ended on a console that is closed now."""
    past = [end for _, end in desired.times(access).opened if end <= desired.now]
    if past:
        names = policy_decision.judge(desired.policy, access, past[-1] - 1).grants
        terms = [term for name, term in zip(access.grants, access.terms) if name in names]
        if all(map(is_loan, names)):
            return say(language, "The loan of the console of VM {vm} has ended.", vm=access.vm)
        if any(term.schedules for term in terms):
            return say(language, "The window for the console of VM {vm} has ended.", vm=access.vm)
        return say(language, "Your access to the console of VM {vm} has ended.", vm=access.vm)
    return say(language, "The console of VM {vm} is closed now.", vm=access.vm)


def _warning(desired: DesiredState, notice: Notice, language: str) -> str:
    deadline, zone = notice.deadline, _zone(desired, notice)
    left = _duration_words(deadline.moment - desired.now, language)
    when = f"{_clock(deadline.moment, desired.now, zone, language)}, {say(language, 'in {duration}', duration=left)}"
    if not deadline.closes:
        return say(language, "Your session at the console of VM {vm} ends at {when}.", vm=notice.vm, when=when)
    sentence = say(language, "The console of VM {vm} closes at {when}.", vm=notice.vm, when=when)
    if deadline.ends:
        return sentence
    further = say(language, "What you have open there may go on, but it cannot be opened again.")
    if deadline.going is not None:
        until = _clock(deadline.going, desired.now, zone, language)
        further = say(language, "What you have open there may go on until {when}.", when=until)
    return f"{sentence} {further}"


def _zone(desired: DesiredState, notice: Notice) -> str | None:
    access, _ = desired.access(notice.uid, notice.vm)
    if access is None:
        return desired.policy.time.zone
    return wording.zone_of(desired.policy, access)


def _clock(moment: int, now: int, zone: str | None, language: str) -> str:
    """Return a moment as short as it is clear: ``18:00``."""
    local = instants.local(moment, zone)
    text = f"{local:%H:%M}" if zone else f"{local:%H:%M} UTC"
    if local.date() == instants.local(now, zone).date():
        return text
    return say(language, "{hour} on {date}", hour=text, date=f"{local:%Y-%m-%d}")


def _duration_words(seconds: int, language: str) -> str:
    """Return a duration: in seconds below a minute, otherwise to the minute."""
    if seconds < 60:
        return say(language, "1 second") if seconds == 1 else say(language, "{number} seconds", number=seconds)
    hours, minutes = divmod(round(seconds / 60), 60)
    words = []
    if hours:
        words.append(say(language, "1 hour") if hours == 1 else say(language, "{number} hours", number=hours))
    if minutes:
        words.append(say(language, "1 minute") if minutes == 1 else say(language, "{number} minutes", number=minutes))
    return " ".join(words)
