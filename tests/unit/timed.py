"""A workstation whose consoles are open at some times only."""

from spicegrants.policy.compiler import compile_policy
from spicegrants.schedule.intervals import DAY
from unit.build import inventory, policy

# Tue 2026-11-24, and six in the evening of the day before in Berlin.
TODAY = 1795478400
MONDAY = TODAY - DAY + 17 * 3600
BOTH = {"mysrv": ("192.168.2.2", "2001:db8::2")}
CHANGES = {
    "time": {"zone": "Europe/Berlin", "horizon": "2d"},
    "schedules": {"evenings": {"days": ["mon-fri"], "hours": ["18:00-22:00"]}},
    "grants__myself-debianx__schedule": "evenings",
    "grants__mybro-leaptest__schedule": "evenings",
    "grants__mybro-leaptest__on_end": "drain",
    "grants__mybro-leaptest__grace": "30m",
}


def evenings(*days, longer=0):
    """Return the windows of evenings, by days from Monday on."""
    return tuple((MONDAY + day * DAY, MONDAY + day * DAY + 4 * 3600 + longer) for day in days)


def timed(changes=None, *, day=TODAY, now=None, previous=(), leaving=(), addresses=None, **inventory_changes):
    """Compile a policy in which myself has debianx in the evenings, and mybro leaptest, with half an hour's grace."""
    merged = {**CHANGES, **(changes or {})}
    declared = policy(**{place: value for place, value in merged.items() if value is not ... or place not in CHANGES})
    system = inventory(addresses=addresses or BOTH, **inventory_changes)
    return compile_policy(declared, system, previous, leaving, now=now or day, day=day)
