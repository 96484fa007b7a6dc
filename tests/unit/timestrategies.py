"""What Hypothesis draws from for times: schedules in odd zones, most of them around a day when clocks change."""

import datetime

from hypothesis import strategies as st

from spicegrants.policy.loans_locks import ALL, USER, VM, Loan, Lock, Temporary
from unit import timemodel
from unit.strategies import lines, names, pillars, some

# Half an hour, no change at all, quarters of an hour, at midnight, twice around Ramadan; a day that there never was.
ZONES = {
    "Europe/Berlin": ("2026-01-01", "2028-01-01"),
    "America/Los_Angeles": ("2026-01-01", "2028-01-01"),
    "Australia/Lord_Howe": ("2026-01-01", "2028-01-01"),
    "Africa/Casablanca": ("2026-01-01", "2028-01-01"),
    "Pacific/Apia": ("2011-09-01", "2012-06-01"),
    "America/Sao_Paulo": ("2018-01-01", "2020-01-01"),
    "Asia/Kolkata": ("2026-01-01", "2026-03-01"),
    "Pacific/Chatham": ("2026-01-01", "2028-01-01"),
    "America/St_Johns": ("2026-01-01", "2028-01-01"),
    "Atlantic/Azores": ("2026-01-01", "2028-01-01"),
}
RECENT = tuple(zone for zone, (first, _) in ZONES.items() if first >= "2026")

# Clocks change in the small hours, or at midnight; neighbours of those moments are drawn as often as all the rest.
_minutes = st.one_of(
    st.integers(0, 16).map(lambda quarter: quarter * 15),
    st.integers(90, 96).map(lambda q: q * 15),
    st.integers(0, 1440),
)


def _spelled(pair):
    start, end = pair
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


hours = st.tuples(_minutes.filter(lambda minute: minute < 1440), _minutes)
hours = hours.filter(lambda pair: pair[0] != pair[1] and pair != (0, 0)).map(_spelled)


@st.composite
def days_around(draw, zone):
    """Draw a day, most often one near a change of the zone's clocks."""
    first, last = map(timemodel.number, ZONES[zone])
    changes = timemodel.changes(zone, first, last)
    if changes and draw(st.integers(0, 4)):
        return draw(st.sampled_from(changes)) + draw(st.integers(-1, 1))
    return draw(st.integers(first, last))


@st.composite
def dates(draw, day):
    """Draw a date near a day, or a range of dates."""
    first = day + draw(st.integers(-3, 4))
    length = draw(st.sampled_from([0, 0, 1, 2]))
    return timemodel.spell(first) if not length else f"{timemodel.spell(first)}/{timemodel.spell(first + length)}"


def _ends(entry):
    first, _, last = entry.partition("/")
    return first, last or first


def _overlap(one, other):
    return _ends(one)[0] <= _ends(other)[1] and _ends(other)[0] <= _ends(one)[1]


@st.composite
def schedules(draw, zone, day):
    """Draw a schedule in the pillar's form, with exceptions and additions near a day."""
    found = {
        "days": draw(st.lists(st.sampled_from(timemodel.WEEKDAYS), min_size=1, max_size=7, unique=True)),
        "hours": draw(st.lists(hours, min_size=1, max_size=2)),
        "zone": zone,
    }
    for key in ("except", "also"):
        listed = draw(st.lists(dates(day), max_size=2))
        listed = [entry for entry in listed if not any(_overlap(entry, other) for other in found.get("except", []))]
        if listed:
            found[key] = listed
    return found


_moments = st.datetimes(datetime.datetime(2020, 1, 2), datetime.datetime(2099, 12, 30)).map(
    lambda at: at.replace(microsecond=0)
)
_offsets = st.sampled_from(["Z", "+00:00", "+05:45", "-09:30"])
durations = st.sampled_from(["1s", "90s", "2m", "15m", "1h30m", "1h5s", "24h", "1d"])


@st.composite
def validity(draw):
    """Draw when a grant begins and ends, in order."""
    first, last = sorted(draw(st.lists(_moments, min_size=2, max_size=2, unique_by=datetime.datetime.date)))
    found = {"valid_from": first.date(), "valid_until": f"{last.isoformat()}{draw(_offsets)}"}
    if last - first < datetime.timedelta(days=2):
        del found["valid_from"]
    elif some(draw):
        found = {"valid_from": draw(st.sampled_from([first, first.isoformat()])), "valid_until": last.date()}
    return {key: value for key, value in found.items() if draw(st.integers(0, 2))}


@st.composite
def timed_pillars(draw):
    """Draw the pillar's spice with times: all of it good."""
    data = draw(pillars())
    data["time"] = {"zone": draw(st.sampled_from(sorted(ZONES)))}
    if some(draw):
        data["time"].update(horizon=draw(st.sampled_from(["2d", "48h", "366d"])), longest_loan=draw(durations))
    data["schedules"] = {}
    for name in draw(st.lists(names, max_size=3, unique=True)):
        zone = draw(st.sampled_from(sorted(ZONES)))
        data["schedules"][name] = draw(schedules(zone, draw(days_around(zone))))
        if some(draw):
            del data["schedules"][name]["zone"]
    for grant in data["grants"].values():
        if data["schedules"] and some(draw, 1):
            chosen = draw(st.lists(st.sampled_from(sorted(data["schedules"])), min_size=1, max_size=2))
            grant["schedule"] = chosen[0] if len(chosen) == 1 else chosen
        grant.update(draw(validity()))
        if some(draw, 1):
            grant["on_end"] = "drain"
            grant["grace"] = draw(durations)
        if some(draw):
            grant["warn"] = draw(st.lists(durations, max_size=3))
        grant.update({key: draw(lines) for key in ("owner", "ticket", "contact") if some(draw)})
    return data


@st.composite
def temporaries(draw, policy):
    """Draw loans and locks for the users and vms of a policy."""
    users = sorted({grant.user or grant.group for grant in policy.grants.values()})
    vms = sorted(policy.vms)
    if not users:
        return Temporary()
    day = st.integers(1577836800, 4102444800)
    about = st.one_of(
        st.just((ALL, "")),
        st.sampled_from(users).map(lambda name: (USER, name)),
        st.sampled_from(vms).map(lambda name: (VM, name)),
    )
    loans = st.builds(
        lambda user, vm, start, length, *rest: Loan(user, vm, start, start + length, *rest),
        st.sampled_from(users),
        st.sampled_from(vms),
        day,
        st.integers(1, 86400),
        st.none() | lines,
        st.booleans(),
    )
    locks = st.builds(lambda place, *rest: Lock(*place, *rest), about, st.none() | lines, day)
    return Temporary(
        tuple(draw(st.lists(loans, max_size=2, unique_by=lambda loan: loan.name))),
        tuple(draw(st.lists(locks, max_size=2, unique_by=lambda lock: (lock.about, lock.name)))),
    )
