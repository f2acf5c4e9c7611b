"""Days, hours, zones and moments."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import ContactError, Interval
from calls_async.protocol.schedule import WEEKDAYS, check_date_time, check_days, check_times, check_zone, moment
from tests.helpers.schedules import MINUTES, interval, tables, times_of_day


@pytest.mark.parametrize(
    "zone",
    [
        "Z", "+5", "+05", "-0500", "+053000", "-05:00", "+05:30:15", "GMT-05:00", "UTC+3", "UT+03", "UTC+0330",
        "Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC", "Etc/GMT+5", "+18:00", "-18",
    ],
)  # fmt: skip
def test_zones_of_every_form(zone: str) -> None:  # C-ZONE-1, C-F-9
    assert check_zone(zone) == zone


@pytest.mark.parametrize(
    "zone",
    [
        "", "z", "5", "05:00", "+5:30", "+530", "+05:3", "+05:60", "+19:00", "+18:01", "+05:0030", "+0530:00",
        "Europe/Nowhere", "europe/berlin", "EST5EDT4", "UTC5", "GMT", "+５", "../../etc/passwd", "Europe", " Z",
    ],
)  # fmt: skip
def test_what_is_no_zone(zone: str) -> None:  # C-ZONE-1
    if zone == "GMT":
        assert check_zone(zone) == zone  # also a zone of the tz database
        return
    with pytest.raises(ContactError) as caught:
        check_zone(zone)
    assert caught.value.field == "gmtZone"


def test_every_zone_of_the_database() -> None:  # C-ZONE-1
    for zone in zoneinfo.available_timezones() - {"localtime", "posixrules", "Factory"}:
        assert check_zone(zone) == zone


def test_a_zone_that_is_no_string() -> None:
    with pytest.raises(ContactError, match="gmtZone: is a int"):
        check_zone(5)


def test_days() -> None:  # C-DAY-1, C-F-5
    assert check_days(["fri", "mon"]) == ("fri", "mon")
    assert check_days({"fri", "tue", "mon"}) == ("mon", "tue", "fri")
    for wrong in (["Mon"], ["monday"], "mon", 1, [1], [None]):
        with pytest.raises(ContactError) as caught:
            check_days(wrong)
        assert caught.value.field == "allowedDays"


@given(times_of_day, times_of_day)
def test_any_interval_of_two_bounds_is_right(start: int, end: int) -> None:  # C-TIME-1, C-TIME-2, C-TIME-6
    (checked,) = check_times({"mon": [interval(start, end)]}, None)["mon"]
    opens, closes = checked.minutes()
    assert opens == start
    assert (closes - opens) % MINUTES == (end - start) % MINUTES


def covered(times: dict[str, Any], days: list[str]) -> list[int]:
    """How often each minute of the week is covered: the plainest reading of the clauses."""
    week = [0] * (7 * MINUTES)
    for index, day in enumerate(WEEKDAYS):
        for one in times.get(day, times.get("default", [])) if day in days else []:
            start, end = (int(one[n][:2]) * 60 + int(one[n][3:]) for n in ("localTimeFrom", "localTimeTo"))
            for minute in range(start, end if end >= start else end + MINUTES):
                week[(index * MINUTES + minute) % len(week)] += 1
    return week


@given(tables, st.lists(st.sampled_from(WEEKDAYS), unique=True, min_size=1) | st.none())
def test_overlaps_are_found_exactly(times: dict[str, Any], days: list[str] | None) -> None:
    # C-TIME-3, C-TIME-5, C-TIME-6, C-DAY-2, C-F-6
    overlap = max(covered(times, days or list(WEEKDAYS))) > 1
    # An overlap within one array is a request error also where the array is not followed.
    within = any(max(covered({"mon": own}, ["mon"])) > 1 for own in times.values())
    if overlap or within:
        with pytest.raises(ContactError, match="overlap"):
            check_times(times, days)
    else:
        check_times(times, days)


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"mon": [{"localTimeFrom": "10:00"}]}, "without localTimeTo"),  # C-TIME-4
        ({"mon": [{"localTimeTo": "10:00"}]}, "without localTimeFrom"),  # C-TIME-4
        ({"mon": [interval(600, 810), interval(780, 870)]}, "overlap"),  # C-TIME-5
        ({"default": [interval(1200, 180), interval(120, 300)]}, "overlap"),  # C-TIME-5, C-TIME-6
        ({"sun": [interval(1200, 180)], "mon": [interval(120, 300)]}, "sun 20:00-03:00 and mon 02:00-05:00"),
        ({"monday": []}, "neither a weekday"),
        ({"mon": [interval(600, 700) | {"x": "1"}]}, "unknown field"),
        ({"mon": [{"localTimeFrom": "9:00", "localTimeTo": "10:00"}]}, "not a time"),
        ({"mon": [{"localTimeFrom": "09:00", "localTimeTo": "24:00"}]}, "not a time"),
        ({"mon": interval(600, 700)}, "not a list"),
        ({"mon": ["10:00-11:00"]}, "holds a str"),
        ([interval(600, 700)], "is a list"),
    ],
)
def test_wrong_times_are_named(times: Any, reason: str) -> None:
    with pytest.raises(ContactError) as caught:
        check_times(times, None)
    assert caught.value.field == "allowedTime"
    assert reason in caught.value.reason


def test_intervals_that_touch_do_not_overlap() -> None:  # C-TIME-5
    check_times({"mon": [interval(600, 690), interval(690, 720)]}, None)
    check_times({"mon": [interval(1200, 180)], "tue": [interval(180, 200)]}, None)


def test_a_night_before_a_day_without_calls() -> None:  # C-DAY-2
    times = {"default": [interval(1200, 180), interval(60, 120)]}
    check_times(times, ["mon"])
    with pytest.raises(ContactError, match="overlap"):
        check_times(times, ["mon", "tue"])


def test_intervals_as_objects() -> None:
    one = Interval("10:00", "18:00")
    assert check_times({"default": [one]}, None) == {"default": (one,)}
    with pytest.raises(ContactError, match="not a time"):
        check_times({"default": [Interval("10", "18")]}, None)


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))])))
def test_aware_moments_keep_their_meaning(when: datetime) -> None:  # C-F-3, C-F-4
    try:
        text = check_date_time("startDateTime", when)
    except OverflowError:
        assert when.year in (1, 9999)
        return
    assert moment(text) == when
    assert text.endswith("Z")


@pytest.mark.parametrize(
    "wrong",
    ["2020-03-23", "2020-03-23T00:00:00", "2020-13-23T00:00:00Z", "2020-02-30T00:00:00Z", "soon", "", 5,
     datetime(2020, 3, 23)],  # noqa: DTZ001
)  # fmt: skip
def test_wrong_moments(wrong: object) -> None:  # C-F-3
    with pytest.raises(ContactError) as caught:
        check_date_time("startDateTime", wrong)
    assert caught.value.field == "startDateTime"


def test_moments_that_are_right_stay_as_written() -> None:  # C-F-4
    for text in ("2020-03-23T00:00:00Z", "2020-03-23T00:00+03:00", "2020-03-23T00:00:00.123456789Z"):
        assert check_date_time("finishDateTime", text) == text
