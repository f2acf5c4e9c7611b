"""When a number may be called: its dates, weekdays and hours, in its own local time (C-F-3 … C-F-9). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from calls_async.sandbox.model.checks import DAY_MINUTES, DAYS
from calls_async.sandbox.model.clock import LAST_MOMENT

_DAYS_AHEAD = 8
"""A week and a day: whatever is allowed at all is allowed within it."""
_DAY = timedelta(days=1)
_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2}):?(\d\d)?:?(\d\d)?")


@attrs.frozen(slots=True)
class Interval:
    """Hours of one weekday, in minutes after its midnight; the end may be on the next day (C-TIME-6)."""

    start: int
    end: int


@attrs.frozen(slots=True, kw_only=True)
class Window:
    """When one number may be called. Moments are Unix time in seconds."""

    zone: tzinfo = UTC
    starts_at: float | None = None
    finishes_at: float | None = None
    days: frozenset[int] | None = None
    """Weekdays from 0, Monday; None: all."""
    hours: tuple[tuple[Interval, ...], ...] | None = None
    """The intervals of each weekday; None: whole days."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Window:
        """Make the hours of a contact which `check_contact` has let through."""
        days, times = settings.get("allowedDays"), settings.get("allowedTime")
        if not settings:
            return _ALWAYS
        return cls(
            zone=read_zone(settings.get("gmtZone") or "Z"),
            starts_at=_moment(settings.get("startDateTime")),
            finishes_at=_moment(settings.get("finishDateTime")),
            days=None if not days else frozenset(map(DAYS.index, days)),
            hours=None if times is None else tuple(_hours(times, day) for day in DAYS),
        )

    @property
    def own(self) -> bool:
        """Whether the number has a policy of its own (C-POL-1)."""
        return self is not _ALWAYS and self != _ALWAYS

    def is_open(self, moment: float) -> bool:
        """Return whether a call may begin."""
        if self.starts_at is not None and moment < self.starts_at:
            return False
        if self.finishes_at is not None and moment >= self.finishes_at:
            return False
        if self.days is None and self.hours is None:
            return True
        local = datetime.fromtimestamp(moment, self.zone)
        minute = local.hour * 60 + local.minute
        today = local.weekday()
        return self._allows(today, minute) or self._allows((today - 1) % 7, minute + DAY_MINUTES)

    def _allows(self, day: int, minute: int) -> bool:
        """Return whether that weekday's hours have the minute, counted from its midnight (C-DAY-2)."""
        if self.days is not None and day not in self.days:
            return False
        if self.hours is None:
            return minute < DAY_MINUTES
        return any(one.start <= minute < one.end for one in self.hours[day])

    def opens_at(self, moment: float) -> float | None:
        """Return the first moment from this one on in which a call may begin; None: never again."""
        if self.is_open(moment):
            return moment
        return next((one for one in self._changes(moment) if self.is_open(one)), None)

    def closes_at(self, moment: float) -> float | None:
        """Return the first moment after this one in which no call may begin; None: that is not to be seen."""
        return next((one for one in self._changes(moment) if not self.is_open(one)), None)

    def _changes(self, moment: float) -> Iterator[float]:
        """Yield the moments after this one in which anything may change, in their order; a week ahead at most, but
        from the first moment at which anything is allowed."""
        begin = max(moment, self.starts_at if self.starts_at is not None else moment)
        found = {self.starts_at, self.finishes_at}
        if self.days is not None or self.hours is not None:
            first = datetime.fromtimestamp(begin, self.zone).date() - _DAY
            for ahead in range(_DAYS_AHEAD + 2):
                found.update(self._changes_on(first + ahead * _DAY))
        yield from sorted(one for one in found if one is not None and one > moment)

    def _changes_on(self, day: date) -> Iterator[float]:
        minutes = {0}
        if self.hours is not None:
            minutes.update(bound for one in self.hours[day.weekday()] for bound in (one.start, one.end))
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001  # on the wall; the zone comes below
        for minute in minutes:
            wall = midnight + timedelta(minutes=minute)
            for fold in (0, 1):  # an hour that comes twice, when the clocks go back
                yield wall.replace(tzinfo=self.zone, fold=fold).timestamp()
        before, after = ((midnight + days * _DAY).replace(tzinfo=self.zone).utcoffset() for days in (0, 1))
        if before != after:
            yield _transition(midnight.replace(tzinfo=self.zone).timestamp(), self.zone)


_ALWAYS = Window()


def read_zone(name: str) -> tzinfo:
    """Return the zone that a `gmtZone` means (C-ZONE-1)."""
    if name == "Z":
        return UTC
    match = _OFFSET.fullmatch(name)
    if match is None:
        return _zone_by_id(name)
    sign, hours, minutes, seconds = match.groups(default="0")
    offset = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    return timezone(-offset if sign == "-" else offset)


@lru_cache(1024)
def _zone_by_id(name: str) -> tzinfo:
    return ZoneInfo(name)


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    return min(LAST_MOMENT, max(0.0, datetime.fromisoformat(text).timestamp()))


def _hours(times: Mapping[str, Any], day: str) -> tuple[Interval, ...]:
    """Return a weekday's hours; one without hours of its own follows `default` (C-TIME-3)."""
    intervals = times.get(day, times.get("default", []))
    bounds = ((_minutes(one["localTimeFrom"]), _minutes(one["localTimeTo"])) for one in intervals)
    return tuple(Interval(start, end if end >= start else end + DAY_MINUTES) for start, end in bounds)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _transition(day_begins: float, zone: tzinfo) -> float:
    """Return the second at which the clocks change within a day and a little more."""
    early, late = int(day_begins) - 7200, int(day_begins) + 26 * 3600
    offset = datetime.fromtimestamp(early, zone).utcoffset()
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return float(late)
