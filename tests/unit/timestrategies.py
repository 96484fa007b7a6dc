"""What Hypothesis draws from for times: schedules in odd zones, most of them around a day when clocks change."""

from hypothesis import strategies as st

from unit import timemodel

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
