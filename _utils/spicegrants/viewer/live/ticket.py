"""The desk's question to a KVM host: a ticket for one launch, by SSH with a key that only root has."""

from __future__ import annotations

from spicegrants.core.errors import CommandFailed, SystemFault
from spicegrants.core.languages import say
from spicegrants.core.paths import DESK_KEY, KNOWN_HOSTS, TICKET_USER
from spicegrants.host import run
from spicegrants.policy import ticket_protocol
from spicegrants.policy.model import Policy
from spicegrants.policy.ticket_protocol import Answer
from spicegrants.schedule import instants

# Why a host ends sessions.
ENDS = (
    ticket_protocol.TAKEN_OVER,
    ticket_protocol.NOT_GRANTED,
    ticket_protocol.CLOSED,
    ticket_protocol.LOCKED,
    ticket_protocol.SHUT,
)
# Seconds that a host may take to answer.
_PATIENCE = 25
# What ssh says when something is in its way may be long; its last line says most.
_MOST = 200
# ssh reads no file but these, asks nobody, uses no key but ours, and believes no host but the one that is declared.
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "8",
    "ControlPath": "none",
    "GlobalKnownHostsFile": "/dev/null",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "LogLevel": "ERROR",
    "PreferredAuthentications": "publickey",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
    "UserKnownHostsFile": KNOWN_HOSTS,
}


def command(policy: Policy, vm: str, request: str) -> list[str]:
    """Return the command that asks the host of a vm; what is asked goes to its standard input."""
    server = policy.servers[policy.vms[vm].server]
    options = [f"-o{name}={value}" for name, value in {**_OPTIONS, "HostKeyAlias": server.name}.items()]
    return [
        "ssh",
        "-F",
        "none",
        "-T",
        "-i",
        DESK_KEY,
        "-p",
        str(server.ssh_port),
        *options,
        "-l",
        TICKET_USER,
        server.host,
        request,
    ]


def ask(policy: Policy, user: str, vm: str, request: str = ticket_protocol.OPEN) -> Answer:
    """Ask the KVM host of a vm for a ticket, or why a session has ended; return its answer.

    Raises :class:`~spicegrants.core.errors.SystemFault` if it cannot be asked, or answers with something else.
    """
    server = policy.servers[policy.vms[vm].server]
    try:
        result = run.attempt(command(policy, vm, request), text=f"{user} {vm}\n", timeout=_PATIENCE)
    except CommandFailed as error:
        raise SystemFault(f"the KVM host {server.minion} cannot be asked: {error}") from error
    if result.returncode:
        why = (result.stderr.strip().splitlines() or [f"ssh ended with {result.returncode}"])[-1][:_MOST].rstrip(".")
        raise SystemFault(f"the KVM host {server.minion} cannot be asked: {why}")
    answer = ticket_protocol.answer(result.stdout[: ticket_protocol.LONGEST_ANSWER])
    if answer is None:
        raise SystemFault(f"the KVM host {server.minion} has answered with something else than a ticket")
    return answer


def refusal(policy: Policy, answer: Answer, language: str) -> str:
    """Say why a host gives no ticket."""
    if answer.refusal == ticket_protocol.IN_USE and answer.user and answer.since is not None:
        days = say(language, "Mon Tue Wed Thu Fri Sat Sun")
        since = instants.words(answer.since, policy.time.zone, days)
        return say(language, "{user} has it open since {since}", user=answer.user, since=since)
    if answer.refusal == ticket_protocol.TAKEN_OVER and answer.user:
        return say(language, "{user} has opened it", user=answer.user)
    why = (answer.why or "").rstrip(".")
    texts = {
        ticket_protocol.ENDED: say(language, "it has ended"),
        ticket_protocol.TAKEN_OVER: say(language, "somebody else has opened it"),
        ticket_protocol.NOT_GRANTED: say(language, "the KVM host knows of no grant that is yours"),
        ticket_protocol.CLOSED: say(language, "it is closed"),
        ticket_protocol.LOCKED: say(language, "it is locked at the KVM host"),
        ticket_protocol.IN_USE: say(language, "somebody else has it open"),
        ticket_protocol.BUSY: say(language, "somebody is just opening it: try again in a moment"),
        ticket_protocol.SHUT: say(language, "the KVM host keeps it shut: {why}", why=why),
        ticket_protocol.TOO_MANY: say(language, "this machine asks too often: try again in a moment"),
        ticket_protocol.FAILED: say(language, "the KVM host could not make a ticket: {why}", why=why),
    }
    return texts[answer.refusal or ticket_protocol.FAILED]
