"""What hours mean on days when clocks are put forward or back: examples that one can check by hand."""

import datetime
import pathlib
import re
import textwrap

import pytest
import yaml

from spicegrants.policy import pillar
from spicegrants.schedule import instants, weekly
from spicegrants.schedule.weekly import Schedule
from unit.build import article


def opened(zone, day, hours):
    """When hours of one day are open, in UTC."""
    start = int(datetime.datetime.fromisoformat(f"{day}T00:00+00:00").timestamp())
    found = weekly.windows(Schedule("x", (), (hours,), zone, (), (day,)), start - 2 * 86400, start + 3 * 86400)
    clock = datetime.timezone.utc
    return [
        " to ".join(f"{datetime.datetime.fromtimestamp(moment, clock):%a %H:%M}" for moment in span) for span in found
    ]


@pytest.mark.parametrize(
    ("hours", "utc"),
    [
        # An ordinary day in winter, and in summer.
        ("2026-11-24 08:00-17:00", "Tue 07:00 to Tue 16:00"),
        ("2026-07-24 08:00-17:00", "Fri 06:00 to Fri 15:00"),
        # Over midnight; it belongs to the day on which it starts.
        ("2026-11-24 22:00-02:00", "Tue 21:00 to Wed 01:00"),
        ("2026-11-24 00:00-24:00", "Mon 23:00 to Tue 23:00"),
        # 2027-03-28 has no 02:00 to 03:00, and only 23 hours.
        ("2027-03-28 00:00-24:00", "Sat 23:00 to Sun 22:00"),
        ("2027-03-28 02:30-06:00", "Sun 01:00 to Sun 04:00"),
        ("2027-03-28 01:00-02:30", "Sun 00:00 to Sun 01:00"),
        ("2027-03-28 02:00-03:00", None),
        ("2027-03-28 02:15-02:45", None),
        ("2027-03-28 02:30-03:30", "Sun 01:00 to Sun 01:30"),
        ("2027-03-27 22:00-02:30", "Sat 21:00 to Sun 01:00"),
        # 2026-10-25 has 02:00 to 03:00 twice, and 25 hours.
        ("2026-10-25 00:00-24:00", "Sat 22:00 to Sun 23:00"),
        ("2026-10-25 02:30-06:00", "Sun 00:30 to Sun 05:00"),
        ("2026-10-25 01:00-02:30", "Sat 23:00 to Sun 01:30"),
        ("2026-10-25 02:00-03:00", "Sun 00:00 to Sun 02:00"),
        ("2026-10-25 02:15-02:45", "Sun 00:15 to Sun 01:45"),
        ("2026-10-25 03:00-04:00", "Sun 02:00 to Sun 03:00"),
        # After 02:00 came a second time, nothing before it comes again.
        ("2026-10-25 01:00-02:00", "Sat 23:00 to Sun 00:00"),
        ("2026-10-24 22:00-02:30", "Sat 20:00 to Sun 01:30"),
    ],
)
def test_berlin(hours, utc):
    assert opened("Europe/Berlin", *hours.split()) == ([utc] if utc else [])


@pytest.mark.parametrize(
    ("zone", "hours", "utc"),
    [
        # Half an hour is skipped at 02:00, and comes twice before 02:00.
        ("Australia/Lord_Howe", "2026-10-04 02:15-03:00", "Sat 15:30 to Sat 16:00"),
        ("Australia/Lord_Howe", "2026-10-04 00:00-24:00", "Sat 13:30 to Sun 13:00"),
        ("Australia/Lord_Howe", "2027-04-04 01:30-02:00", "Sat 14:30 to Sat 15:30"),
        ("Australia/Lord_Howe", "2027-04-04 01:00-01:30", "Sat 14:00 to Sat 14:30"),
        # An hour back for Ramadan, at 03:00, and forward again at 02:00.
        ("Africa/Casablanca", "2026-02-15 02:30-04:00", "Sun 01:30 to Sun 04:00"),
        ("Africa/Casablanca", "2026-03-01 08:00-17:00", "Sun 08:00 to Sun 17:00"),
        ("Africa/Casablanca", "2026-03-22 02:30-04:00", "Sun 02:00 to Sun 03:00"),
        ("Africa/Casablanca", "2026-03-23 08:00-17:00", "Mon 07:00 to Mon 16:00"),
        # Until 2019 at midnight: the day began at 01:00, or its last hour came twice.
        ("America/Sao_Paulo", "2018-11-04 00:00-06:00", "Sun 03:00 to Sun 08:00"),
        ("America/Sao_Paulo", "2018-11-03 22:00-24:00", "Sun 01:00 to Sun 03:00"),
        ("America/Sao_Paulo", "2018-11-03 22:00-00:30", "Sun 01:00 to Sun 03:00"),
        ("America/Sao_Paulo", "2019-02-16 22:00-24:00", "Sun 00:00 to Sun 03:00"),
        ("America/Sao_Paulo", "2019-02-17 00:00-06:00", "Sun 03:00 to Sun 09:00"),
        # Samoa had no 30 December.
        ("Pacific/Apia", "2011-12-30 08:00-17:00", None),
        ("Pacific/Apia", "2011-12-29 22:00-02:00", "Fri 08:00 to Fri 10:00"),
        # Quarters of an hour, and no change at all.
        ("Pacific/Chatham", "2026-09-27 02:50-05:00", "Sat 14:00 to Sat 15:15"),
        ("Asia/Kolkata", "2026-03-29 02:30-06:00", "Sat 21:00 to Sun 00:30"),
    ],
)
def test_elsewhere(zone, hours, utc):
    assert opened(zone, *hours.split()) == ([utc] if utc else [])


@pytest.mark.parametrize(
    ("zone", "text", "utc"),
    [
        # Skipped: later by the length of the skip. Comes twice: the first.
        ("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T01:30:00Z"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", "2026-10-25T02:30+01:00", "2026-10-25T01:30:00Z"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45:00Z"),
        # Midnight itself is skipped: the end of the day before is the moment of the skip.
        ("America/Santiago", "2026-09-05", "2026-09-06T04:00:00Z"),
    ],
)
def test_a_moment(zone, text, utc):
    """A date is taken for an end here, as that of ``valid_until`` is."""
    assert instants.iso(instants.parse_moment(text, zone, last=True)) == utc


def documented():
    """Rows of the table in docs/time.md."""
    text = (pathlib.Path(__file__).parents[3] / "docs" / "time.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if "/" in row[0]]


@pytest.mark.parametrize(("zone", "hours", "utc"), documented())
def test_what_the_documentation_says(zone, hours, utc):
    assert opened(zone, *hours.split()) == ([] if utc == "never" else [utc])


def test_the_example_of_the_documentation_is_a_good_pillar():
    text = (pathlib.Path(__file__).parents[3] / "docs" / "time.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\nspice:\n(.*?)```", text, re.DOTALL)
    data = article()
    data.update(yaml.safe_load(textwrap.dedent(block)))
    data["vms"]["books"] = {"server": "mysrv", "tls_port": 20006}
    grant = pillar.parse_policy(data).grants["anne-books"]
    assert grant.valid_until == 1774994400 + 365 * 86400  # 2027-04-01 00:00 in Berlin
