"""Explanation of why a user may or may not open a console, by layer. Pure: what the layers hold is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spicegrants.audit.verdict import NO_ANSWER, NOT_ASKED, REFUSED, HostAnswer
from spicegrants.firewall.guard import DRAIN, PASS
from spicegrants.firewall.trace.tracer import Obstacle
from spicegrants.policy import wording
from spicegrants.policy.access import Access, Term
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.decision import decide
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import LAST, contains, next_edge
from spicegrants.sudo.commands import SudoRule, calls
from spicegrants.sudo.sudoers import keeps_times

_UNBOUNDED = instants.iso(LAST)


def policy(desired: DesiredState, user: str, vm: str, moment: int) -> dict[str, Any]:
    """Return the policy's answer at a moment: the grants behind it, or why there are none."""
    decision = decide(desired, user, vm, moment)
    if decision.access is not None:
        behind = "; ".join(grant_words(desired, decision.access, name) for name in decision.grants)
        why = (
            behind
            if decision.open and decision.until is None
            else f"{wording.decision(desired.policy, decision)}: {behind}"
        )
        return {"answer": "granted" if decision.open else "not granted", "why": why}
    hindered = [str(finding) for finding in desired.findings if _about(desired, finding.path, user, vm)]
    return {"answer": "not granted", "why": "; ".join(hindered) or f"no grant of {vm} means {user}"}


def grant_words(desired: DesiredState, access: Access, name: str) -> str:
    """Describe what is behind an access: a grant's name, whom it means, when it is open, and why; or a loan."""
    term = access.terms[access.grants.index(name)]
    when = [] if term == Term() else [wording.term(desired.policy, term)]
    grant = desired.policy.grants.get(name)
    if grant is None:
        return f"loan ({', '.join([*when, *filter(None, [desired.loan(name).reason])])})"
    whom = f"user {grant.user}" if grant.user else f"group {grant.group}"
    owner = f"owner {grant.owner}" if grant.owner else None
    ticket = f"ticket {grant.ticket}" if grant.ticket else None
    contact = f"contact {grant.contact}" if grant.contact else None
    return f"grant {name} ({', '.join([whom, *when, *filter(None, [grant.reason, owner, ticket, contact])])})"


def _about(desired: DesiredState, path: str, user: str, vm: str) -> bool:
    if path == "clock" or path.startswith("loan:"):
        return path in ("clock", f"loan:{user}:{vm}")
    kind, _, rest = path.removeprefix("spice:").partition(":")
    name = rest.partition(":")[0]
    if path == "spice:viewer:confine":
        return True
    if kind == "grants":
        grant = desired.policy.grants[name]
        return grant.vm == vm and (grant.user == user or grant.group is not None)
    return (kind == "servers" and name == desired.policy.vms[vm].server) or (kind == "vms" and name == vm)


def firewall(
    desired: DesiredState,
    user: str,
    vm: str,
    rules: Iterable[dict[str, Any]],
    drift: dict[str, Any],
    obstacles: Mapping[str, tuple[Obstacle, ...]],
    moment: int | None = None,
) -> dict[str, Any]:
    """Return the firewall's answer from the rules that the kernel holds, and from how they differ from the plan.

    obstacles
        By address: other parties' chains that stop, or may stop, what our own let through.

    moment
        The moment, in seconds since 1970. Defaults to that for which ``desired`` was worked out.
    """
    differences = drift.get("layers", {}).get("firewall", [])
    if differences:
        return {"answer": "in doubt", "why": f"the guard is not as it must be; a run {'; '.join(differences)}"}
    account = desired.inventory.users.get(user)
    unasked = desired.inventory.unasked
    if user in unasked.users:
        return {"answer": "in doubt", "why": f"nobody can tell whether there is a user {user}: {unasked.why}"}
    if account is None:
        return {"answer": "closed", "why": f"no user {user} on this machine"}
    server = desired.policy.vms[vm].server
    addresses = desired.inventory.addresses.get(server, ())
    if not addresses:
        return {"answer": "closed", "why": f"the address of server {server} is not known"}
    port = desired.policy.vms[vm].tls_port
    key = (account.uid, desired.gid, port)
    own = [rule for rule in rules if not rule["foreign"] and (rule["uid"], rule["gid"], rule["port"]) == key]
    at = instants.iso(desired.now if moment is None else moment)
    zone = _zone(desired, user, vm)
    open_to = {rule["address"] for rule in own if rule["verdict"] == PASS or _within(rule.get("times"), at)}
    draining = sorted(rule["address"] for rule in own if rule["verdict"] == DRAIN or _within(rule.get("lasting"), at))
    who = f"UID {account.uid} with GID {desired.gid} ({desired.policy.viewer.group})"
    missing = [address for address in addresses if address not in open_to]
    if not missing:
        by_chains = _chains_words(own, at, zone)
        why = f"element(s) for {who} to {', '.join(addresses)} port {port}{by_chains}"
        in_the_way = [
            f"towards {address} {obstacle}" for address in addresses for obstacle in obstacles.get(address, ())
        ]
        if not in_the_way:
            return {"answer": "open", "why": why}
        surely = all(any(each.certain for each in obstacles.get(address, ())) for address in addresses)
        return {"answer": "blocked" if surely else "in doubt", "why": f"{why}, but {'; '.join(in_the_way)}"}
    answer = "closed" if len(missing) == len(addresses) else "in doubt"
    goes_on = [address for address in draining if address in missing]
    if goes_on:
        return {"answer": answer, "why": f"sessions that are open to {', '.join(goes_on)} may go on, no new ones"}
    if by_chains := _chains_words([rule for rule in own if rule["address"] in missing], at, zone):
        return {"answer": answer, "why": f"element(s) for {who} to {', '.join(missing)} port {port}{by_chains}"}
    return {"answer": answer, "why": f"no element for {who} to {', '.join(missing)} port {port}"}


def routing(desired: DesiredState, user: str, vm: str, rules: Iterable[dict[str, Any]] | None, drift: dict[str, Any]):
    """Return the answer of routing, which depends on neither group nor time.

    rules
        As ``spice_routing.rules`` returns them; ``None`` where the layer is off.
    """
    altered = drift.get("layers", {}).get("routing", [])
    if altered:
        return {"answer": "in doubt", "why": f"a run {'; '.join(altered)}"}
    if rules is None:
        return {"answer": "off", "why": "routing holds nobody on this machine"}
    account, port = desired.inventory.users.get(user), desired.policy.vms[vm].tls_port
    addresses = desired.inventory.addresses.get(desired.policy.vms[vm].server, ())
    led = {
        rule["address"]
        for rule in rules
        if account and rule["uid"] == account.uid and rule["ports"][0] <= port <= rule["ports"][1]
    }
    reached = [address for address in addresses if address in led]
    if account is None or not reached:
        return {"answer": "closed", "why": f"no rule leads {user} to port {port}"}
    return {"answer": "open", "why": f"rule(s) lead UID {account.uid} to {', '.join(reached)} port {port}"}


def _within(ranges: Iterable[list[str]] | None, at: str) -> bool:
    # In one spelling, moments compare as text.
    return any(start <= at < end for start, end in ranges or ())


def _zone(desired: DesiredState, user: str, vm: str) -> str | None:
    access = decide(desired, user, vm, desired.now).access
    return wording.zone_of(desired.policy, access) if access else desired.policy.time.zone


def _chains_words(rules: Iterable[dict[str, Any]], at: str, zone: str | None) -> str:
    """Say which chains elements lead to, and what those say at a moment; nothing if they are open permanently."""
    words_by_chain = {}
    for rule in rules:
        if "times" in rule:
            words_by_chain[rule["verdict"]] = _chain_words(rule["times"] or [], at, zone)
    return "".join(f", which lead to chain {name}: {words}" for name, words in words_by_chain.items())


def _chain_words(ranges: list[list[str]], at: str, zone: str | None) -> str:
    until = next((end for start, end in ranges if start <= at < end), None)
    opens = next((start for start, _ in ranges if at < start), None)
    if until is not None:
        return "open" if until == _UNBOUNDED else f"open until {_moment_words(until, zone)}"
    coming = f"opens {_moment_words(opens, zone)}" if opens else "opens no more, as far as that is worked out"
    return f"closed at {_moment_words(at, zone)}, {coming}"


def _moment_words(moment: str, zone: str | None) -> str:
    return instants.words(instants.seconds(moment), zone)


def sudo(
    desired: DesiredState,
    user: str,
    vm: str,
    own_rules: Iterable[SudoRule],
    allowed: bool | None,
    moment: int | None = None,
    refusal: str = "",
) -> dict[str, Any]:
    """Return sudo's own answer, and the rules of ours behind it.

    own_rules
        The rules that our file holds.

    allowed
        Whether sudo lets the user make the calls that a grant means; ``None`` if it lets them make only some.

    moment
        The moment, in seconds since 1970. Defaults to ``desired.now``. sudo itself knows only now, so for any other
        moment ``allowed`` does not count, and the answer is what our file says.

    refusal
        Why PAM refuses the account; empty if it does not.
    """
    moment = desired.now if moment is None else moment
    chosen = {(rule.viewer, rule.argument) for rule in calls(desired, user, vm)}
    ours = [rule for rule in own_rules if rule.user == user and (rule.viewer, rule.argument) in chosen]
    open_then = [rule for rule in ours if contains(rule.windows, moment)]
    who = "sudo"
    if moment != desired.now:
        who, covered = "our file", {(rule.viewer, rule.argument) for rule in open_then}
        allowed = None if covered and covered != chosen else bool(covered)
    if refusal:
        return {"answer": "refused", "why": f"PAM refuses the account: {refusal}"}
    if allowed is None:
        return {"answer": "in doubt", "why": f"{who} lets some of the calls, and refuses others"}
    if allowed and not keeps_times(desired) and not decide(desired, user, vm, moment).open:
        return {"answer": "refused", "why": "its rules have no times here: it starts our opener, which refuses"}
    if allowed and open_then:
        free = all(rule.nopasswd for rule in open_then)
        password = "no password is asked" if free else "asks for the user's own password"
        end = _edge(desired, user, vm, open_then, moment)
        why = f"{len(open_then)} exact rule(s); {password}" + (f"; until {end}" if end else "")
        return {"answer": "allowed", "why": why}
    if allowed:
        return {"answer": "allowed", "why": "by a rule of another file, not by ours"}
    if open_then:
        return {"answer": "refused", "why": "our rule is there, but another overrules it"}
    if not ours:
        return {"answer": "refused", "why": "no rule"}
    start = _edge(desired, user, vm, ours, moment)
    when = f"opens {start}" if start else "does not open again"
    return {"answer": "refused", "why": f"our rule is closed at this moment; it {when}"}


def _edge(desired: DesiredState, user: str, vm: str, rules: Iterable[SudoRule], moment: int) -> str | None:
    """Say when the first of some rules begins or ceases to hold; ``None`` if none ever does."""
    edges = (next_edge(rule.windows, moment) for rule in rules)
    edge = min((edge for edge in edges if edge is not None), default=None)
    return None if edge is None else instants.words(edge, _zone(desired, user, vm))


def viewer(drift: dict[str, Any]) -> dict[str, Any]:
    """Return the viewer layer's answer: whether only sudo can start it."""
    altered = drift.get("layers", {}).get("viewer", [])
    if altered:
        return {"answer": "in doubt", "why": f"a run {'; '.join(altered)}"}
    return {"answer": "only through sudo", "why": "its group has no members, owner and mode are as they must be"}


def host(minion: str | None, answer: HostAnswer | None) -> dict[str, Any]:
    """Return the KVM host's answer; without one, that it is asked when the console is opened.

    minion
        The minion that gives tickets.
    """
    if answer is None:
        return {"answer": NOT_ASKED, "why": f"{minion} is asked when the console is opened"}
    return {"answer": "in doubt" if answer.answer == NO_ANSWER else answer.answer, "why": answer.why}


def summary(answers: dict[str, dict[str, Any]]) -> str:
    """Return ``may open``, ``may not open``, ``blocked`` by chains of others, or ``in doubt`` if layers disagree."""
    found = _of_this_machine(answers)
    by_host = answers.get("host", {}).get("answer")
    # Both have to say yes; the host knows nothing of what a chain on this machine drops.
    if by_host == REFUSED and found in ("may open", "blocked"):
        return "may not open"
    return "in doubt" if by_host == "in doubt" and found == "may open" else found


def _of_this_machine(answers: dict[str, dict[str, Any]]) -> str:
    verdicts = tuple(answers[layer]["answer"] for layer in ("policy", "firewall", "sudo", "viewer"))
    by_routing = answers["routing"]["answer"]
    # What leads there, but is not granted, or not now, is for the other layers to refuse.
    if by_routing == "in doubt" or (by_routing == "closed" and verdicts[0] == "granted"):
        return "in doubt"
    return {
        ("granted", "open", "allowed", "only through sudo"): "may open",
        ("granted", "blocked", "allowed", "only through sudo"): "blocked",
        ("not granted", "closed", "refused", "only through sudo"): "may not open",
    }.get(verdicts, "in doubt")
