"""Why a session is over, as far as the policy of that moment tells. Pure."""

from __future__ import annotations

from spicegrants.accounting.tracking import Over
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.decision import decide

LOCKED, REVOKED, LOAN, WINDOW = "it was locked", "the grant was revoked", "the loan ended", "the window ended"
REMOVED = "nothing is enforced any more"


def of_policy(desired: DesiredState | None, over: Over) -> str | None:
    """Return why a session had to end; ``None`` if it may go on, as far as the policy is concerned.

    desired
        What is enforced at that moment; ``None`` for nothing.
    """
    if desired is None:
        return REMOVED
    session = over.session
    if session.user is None or session.vm is None:
        return REVOKED if session.grants else None
    lock = desired.lock_on(session.user, session.vm)
    if lock is not None:
        return f"{LOCKED}: {lock.words}" + (f" ({lock.reason})" if lock.reason else "")
    if session.door in ((drain.uid, drain.address, drain.port) for drain in desired.draining):
        return None
    decision = decide(desired, session.user, session.vm, over.end)
    if decision.access is None or decision.access.uid != session.uid:
        return LOAN if _lent(session.grants) else REVOKED
    if decision.open or decision.lasting:
        return None
    return LOAN if _lent(session.grants) else _closed(decision.access, session.grants)


def _lent(grants: tuple[str, ...]) -> bool:
    """Tell whether only loans had opened it."""
    return bool(grants) and all(name.startswith("loan:") for name in grants)


def _closed(access: Access, grants: tuple[str, ...]) -> str:
    return WINDOW if set(grants) & set(access.grants) or not grants else REVOKED
