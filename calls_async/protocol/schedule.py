"""When a contact may be called: weekdays, intervals and time zones (C-DAY-*, C-TIME-*, C-ZONE-1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from itertools import combinations, pairwise
from typing import Any

import attrs

from calls_async.errors import ContactError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""C-DAY-1."""
DEFAULT = "default"
"""The key of `allowedTime` that weekdays without one of their own follow (C-TIME-3)."""


_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_ZONE_OFFSET = re.compile(
    r"(?:UTC|GMT|UT)?[+-](?P<h>\d{1,2})"
    r"(?:(?<=\d\d)(?:(?P<m>\d{2})(?P<s>\d{2})?|:(?P<m2>\d{2})(?::(?P<s2>\d{2}))?))?",
    re.ASCII,
)
_MAX_OFFSET_SECONDS = 18 * 3600
_LONGEST_ZONE = 64
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})", re.ASCII)
_FRACTION = re.compile(r"\.(\d{1,9})")


@attrs.frozen(slots=True)
class Interval:
    """A time of day in the customer's zone, `HH:mm` to `HH:mm` (C-TIME-2).

    One that starts later than it ends goes on into the next day (C-TIME-6).
    """

    local_time_from: str
    local_time_to: str

    def minutes(self) -> tuple[int, int]:
        """Start and end in minutes from midnight; the end is past 1440 where it lies on the next day."""
        start, end = _minutes(self.local_time_from), _minutes(self.local_time_to)
        return start, end if start <= end else end + _DAY_MINUTES

    def __str__(self) -> str:
        return f"{self.local_time_from}-{self.local_time_to}"


def check_zone(value: object) -> str:
    """Return `value` as a time zone in one of the forms of C-ZONE-1. Raises `ContactError` for `gmtZone`."""
    if not isinstance(value, str):
        raise ContactError("gmtZone", f"is a {type(value).__name__}; give a string such as '-05:00'")
    if len(value) <= _LONGEST_ZONE and _is_zone(value):
        return value
    raise ContactError("gmtZone", f"{value!r:.60} is neither Z, an offset such as -05:00, nor an IANA time zone")


@cache
def _iana_zones() -> frozenset[str]:
    # The tzdata package, not the machine's own database: the same contact is valid on every machine.
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


@lru_cache(4096)
def _is_zone(value: str) -> bool:
    return value == "Z" or value in _iana_zones() or _is_offset(value)


def _is_offset(value: str) -> bool:
    match = _ZONE_OFFSET.fullmatch(value)
    if match is None:
        return False
    hours, minutes, seconds = (int(match[a] or match[b] or 0) for a, b in (("h", "h"), ("m", "m2"), ("s", "s2")))
    return minutes < 60 and seconds < 60 and hours * 3600 + minutes * 60 + seconds <= _MAX_OFFSET_SECONDS


def check_days(value: object) -> tuple[str, ...]:
    """Return `allowedDays` as a tuple (C-F-5, C-DAY-1). Raises `ContactError`."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ContactError("allowedDays", 'is not a list of weekdays such as ["mon", "wed"]')
    days = tuple(value)
    for day in days:
        if day not in WEEKDAYS:
            raise ContactError("allowedDays", f"{day!r:.40} is not one of {', '.join(WEEKDAYS)}")
    # A set has no order of its own, but the same contact must be the same bytes.
    return tuple(sorted(days, key=WEEKDAYS.index)) if isinstance(value, AbstractSet) else days


def check_times(value: object, days: Sequence[str] | None) -> dict[str, tuple[Interval, ...]]:
    """Return `allowedTime` as intervals by weekday (C-TIME-1 … 6). Raises `ContactError`.

    `days` is the contact's `allowedDays`, already checked: other weekdays are never called (C-DAY-2), so a night
    interval cannot run into theirs.
    """
    if not isinstance(value, Mapping):
        raise ContactError("allowedTime", f"is a {type(value).__name__}; give an object of weekdays")
    times = {}
    for day, intervals in value.items():
        if day not in WEEKDAYS and day != DEFAULT:
            raise ContactError("allowedTime", f"{day!r:.40} is neither a weekday such as 'mon' nor '{DEFAULT}'")
        if isinstance(intervals, str | Mapping) or not isinstance(intervals, Iterable):
            raise ContactError("allowedTime", f"{day} is not a list of intervals")
        times[day] = tuple(_interval(day, interval) for interval in intervals)
    for day, own in times.items():
        _refuse_overlap_in_a_day(day, own)
    _refuse_overlap_across_midnight(times, days or WEEKDAYS)
    return times


def _interval(day: str, value: Any) -> Interval:
    if isinstance(value, Interval):
        bounds: Mapping[str, Any] = {
            "localTimeFrom": value.local_time_from,
            "localTimeTo": value.local_time_to,
        }
    elif isinstance(value, Mapping):
        bounds = value
    else:
        raise ContactError("allowedTime", f"{day} holds a {type(value).__name__}; give localTimeFrom and localTimeTo")
    unknown = [name for name in bounds if name not in ("localTimeFrom", "localTimeTo")]
    if unknown:
        raise ContactError(
            "allowedTime",
            f"{day} has an unknown field {unknown[0]!r:.40}; an interval has localTimeFrom and localTimeTo",
        )
    for name in ("localTimeFrom", "localTimeTo"):
        bound = bounds.get(name)
        if bound is None:
            raise ContactError("allowedTime", f"{day} has an interval without {name}")
        if not isinstance(bound, str) or not _TIME.fullmatch(bound):
            raise ContactError("allowedTime", f"{day}: {name} {bound!r:.40} is not a time such as 09:30")
    return Interval(bounds["localTimeFrom"], bounds["localTimeTo"])


def _refuse_overlap_in_a_day(day: str, intervals: Sequence[Interval]) -> None:
    for one, other in combinations(intervals, 2):
        (start, end), (other_start, other_end) = one.minutes(), other.minutes()
        if start < other_end and other_start < end:
            raise _overlap(day, one, day, other)


def _refuse_overlap_across_midnight(times: Mapping[str, Sequence[Interval]], days: Iterable[str]) -> None:
    called = [day for day in WEEKDAYS if day in days]
    on_axis = [
        (WEEKDAYS.index(day) * _DAY_MINUTES + interval.minutes()[0], interval.minutes(), day, interval)
        for day in called
        for interval in times.get(day, times.get(DEFAULT, ()))
    ]
    on_axis.sort(key=lambda item: item[:2])
    if not on_axis:
        return
    first = on_axis[0]
    around = [*on_axis, (first[0] + _WEEK_MINUTES, *first[1:])]
    for (start, (opens, closes), day, one), (next_start, _, next_day, other) in pairwise(around):
        if start + closes - opens > next_start:
            raise _overlap(day, one, next_day, other)


def _overlap(day: str, one: Interval, other_day: str, other: Interval) -> ContactError:
    return ContactError("allowedTime", f"the intervals {day} {one} and {other_day} {other} overlap")


def _minutes(time: str) -> int:
    return int(time[:2]) * 60 + int(time[3:])


def check_date_time(field: str, value: object) -> str:
    """Return a moment as the API wants it, from an aware `datetime` or a string (C-F-3, C-F-4). Raises
    `ContactError`."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ContactError(
                field, "has no time zone; write it as text such as 2020-03-23T00:00:00Z, or give an aware datetime"
            )
        try:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except OverflowError:
            raise ContactError(field, "is beyond the years that a date can have") from None
    if isinstance(value, str) and _DATE_TIME.fullmatch(value):
        try:
            moment(value)
        except ValueError:
            raise ContactError(field, f"{value!r} is not a date and time that exists") from None
        return value
    if isinstance(value, str):
        raise ContactError(field, f"{value!r:.60} is not a moment such as 2020-03-23T00:00:00Z, with its zone")
    raise ContactError(field, f"is a {type(value).__name__}; give a string such as 2020-03-23T00:00:00Z")


def moment(checked: str) -> datetime:
    """Return the moment that a string accepted by `check_date_time` means."""
    # datetime counts microseconds; the form allows nanoseconds.
    return datetime.fromisoformat(_FRACTION.sub(lambda found: f".{found[1][:6]:0<6}", checked))


def check_order(start: str | None, finish: str | None) -> None:
    """Refuse a window that never opens: no call is made before its start nor after its finish (C-F-3, C-F-4)."""
    if start is not None and finish is not None and moment(start) >= moment(finish):
        raise ContactError("startDateTime", f"{start} is not before finishDateTime {finish}; no call could be made")
