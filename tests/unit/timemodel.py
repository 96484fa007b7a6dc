"""What times mean, worked out in the plainest way: a walk over minutes, asking a clock on the wall what it shows.

It reads the pillar's own form and shares nothing with the core.
"""

import array
import datetime
import functools
import itertools
import zoneinfo

DAY = 1440
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def reading(clock, minute):
    """What a clock shows at a minute UTC; both are counted in minutes since 1970."""
    at = datetime.datetime.fromtimestamp(minute * 60, clock)
    return (at.toordinal() - _EPOCH) * DAY + at.hour * 60 + at.minute


@functools.lru_cache(maxsize=1024)
def shown(zone, day):
    """What a clock shows in each minute of a day UTC; days are counted since 1970."""
    clock = zoneinfo.ZoneInfo(zone)
    return array.array("q", (reading(clock, minute) for minute in range(day * DAY, day * DAY + DAY)))


@functools.cache
def changes(zone, first, last):
    """Days on which a clock is put forward or back."""
    clock = zoneinfo.ZoneInfo(zone)
    midnights = [reading(clock, day * DAY) for day in range(first, last + 1)]
    return [first + index for index in range(last - first) if midnights[index + 1] - midnights[index] != DAY]


def number(date):
    """The number of a day, as pillar spells it."""
    return datetime.date.fromisoformat(date).toordinal() - _EPOCH


def spell(day):
    """A day as pillar spells it."""
    return datetime.date.fromordinal(day + _EPOCH).isoformat()


def applies(schedule, day):
    """Say whether the hours of a schedule apply on a day."""

    def listed(key):
        ends = [(entry.partition("/")[0], entry.rpartition("/")[2]) for entry in schedule.get(key, [])]
        return any(number(first) <= day <= number(last) for first, last in ends)

    # 1970 began on a Thursday.
    return listed("also") or (not listed("except") and WEEKDAYS[(day + 3) % 7] in schedule["days"])


def stretch(zone, day, hours):
    """All minutes from the first to the last in which a clock shows a time within hours of a day; maybe none."""
    (hour, minute), (last_hour, last_minute) = (map(int, time.split(":")) for time in hours.split("-"))
    start, end = day * DAY + hour * 60 + minute, day * DAY + last_hour * 60 + last_minute
    end += 0 if start < end else DAY
    # No clock is more than 14 hours ahead of UTC, or 12 behind it.
    first, last = start - 15 * 60, end + 13 * 60
    around = itertools.chain.from_iterable(shown(zone, near) for near in range(first // DAY, last // DAY + 1))
    walked = itertools.islice(around, first % DAY, first % DAY + last - first)
    within = [minute for minute, time in enumerate(walked, first) if start <= time < end]
    return range(within[0], within[-1] + 1) if within else range(0)


def open_minutes(schedule, first, last):
    """The minutes within two days UTC, the last not included, in which a schedule is open."""
    found = set()
    for day in range(first - 2, last + 2):
        if applies(schedule, day):
            for hours in schedule["hours"]:
                found.update(stretch(schedule["zone"], day, hours))
    return found & set(range(first * DAY, last * DAY))


def ranges(minutes):
    """Sorted ranges of seconds that minutes make."""
    found = []
    for minute in sorted(minutes):
        if found and found[-1][1] == minute * 60:
            found[-1][1] += 60
        else:
            found.append([minute * 60, minute * 60 + 60])
    return tuple(map(tuple, found))
