"""The KVM host's own answer: whether a user would get a ticket there. It is really asked, and makes none."""

from __future__ import annotations

from spicegrants.audit.live.trial import Progress
from spicegrants.audit.sampling import Trials
from spicegrants.audit.verdict import GRANTED, NO_ANSWER, REFUSED, HostAnswer
from spicegrants.core.errors import SystemFault
from spicegrants.core.languages import ENGLISH
from spicegrants.policy import ticket_protocol
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.decision import decide
from spicegrants.policy.model import Policy
from spicegrants.viewer.live import ticket

# Questions that a KVM host answers at once; further ones have to wait.
_MOST = 5


def ask(policy: Policy, user: str, vm: str) -> HostAnswer:
    """Ask the KVM host of a vm whether a user at this desk would get a ticket now."""
    minion = policy.servers[policy.vms[vm].server].minion
    try:
        answer = ticket.ask(policy, user, vm, ticket_protocol.ASK)
    except SystemFault as error:
        return HostAnswer(NO_ANSWER, str(error))
    if answer.granted:
        return HostAnswer(GRANTED, f"{minion} would give a ticket")
    why = f"{minion}: {ticket.refusal(policy, answer, ENGLISH)}"
    if answer.why and answer.why not in why:
        why += f" ({answer.why})"
    unsure = answer.refusal in (ticket_protocol.TOO_MANY, ticket_protocol.FAILED)
    return HostAnswer(NO_ANSWER if unsure else REFUSED, why)


def answers(desired: DesiredState, trials: Trials, progress: Progress) -> dict[tuple[str, str], HostAnswer]:
    """Ask about the first user of each console that is open to them now, of as many as hosts answer at once."""
    policy = desired.policy
    first: dict[str, str] = {}
    for access in desired.accesses:
        tried = policy.gives_tickets(access.vm) and access.vm in trials.connected.get(access.user, ())
        if tried and decide(desired, access.user, access.vm, desired.now).open:
            first.setdefault(access.vm, access.user)
    chosen = sorted(first.items())[:_MOST]
    found = {}
    for done, (vm, user) in enumerate(chosen, 1):
        found[user, vm] = ask(policy, user, vm)
        progress("KVM hosts' answers", done, len(chosen))
    return found
