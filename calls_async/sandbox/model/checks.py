"""The sandbox's own reading of what a contact may look like. Each check returns what is wrong, or None."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAY_MINUTES = 1440
MAX_COUNT = 1_000_000
"""Of attempts, and of minutes between them: two years."""


Wrong = str | None


def check_contact(contact: Any) -> Wrong:
    """Return what is wrong with one object of `addPhones` (C-F-1 … C-F-10)."""
    if not isinstance(contact, dict):
        return "must be an object"
    if "phone" not in contact:
        return "phone is required"
    for name, value in contact.items():
        check = CHECKS.get(name)
        if check is not None and (value is not None or name == "phone") and (wrong := check(value)) is not None:
            return f"{name} {wrong}"
    return _across_midnight(contact)


def _phone(value: Any) -> Wrong:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,20}", text, re.ASCII):
        return "must be digits, as a string or a number"
    return None


def _moment(value: Any) -> Wrong:
    shape = r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)"
    if not isinstance(value, str) or not re.fullmatch(shape, value, re.ASCII):
        return "must be a date and time with a zone"
    try:
        datetime.fromisoformat(value)
    except ValueError as error:
        return f"is no date and time that there is: {error}"
    return None


def _days(value: Any) -> Wrong:
    if not isinstance(value, list) or any(day not in DAYS for day in value):
        return "must be an array of " + ", ".join(DAYS)  # C-DAY-1
    return None


def _count(value: Any) -> Wrong:
    return None if type(value) is int and 0 <= value <= MAX_COUNT else f"must be a whole number of 0 to {MAX_COUNT}"


def _zone(value: Any) -> Wrong:
    """Check a time zone (C-ZONE-1)."""
    if not isinstance(value, str):
        return "must be a string"
    if value == "Z":
        return None
    offset = re.sub(r"^(UTC|GMT|UT)(?=[+-])", "", value)
    if re.fullmatch(
        r"[+-]\d{1,2}|[+-]\d\d:?[0-5]\d|[+-]\d\d[0-5]\d[0-5]\d|[+-]\d\d:[0-5]\d:[0-5]\d", offset, re.ASCII
    ):
        hours = int(re.findall(r"\d{1,2}", offset)[0])
        return None if hours <= 18 else "is further from UTC than any zone"
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "is not a time zone"
    return None


def _times(value: Any) -> Wrong:
    """Check hours, one weekday at a time (C-TIME-1, 2, 4, 5 and 6)."""
    if not isinstance(value, dict):
        return "must be an object"
    for day, intervals in value.items():
        if day not in DAYS and day != "default":
            return f"has an unknown key {day}"
        if not isinstance(intervals, list):
            return f"{day} must be an array"
        taken: list[tuple[int, int]] = []
        for interval in intervals:
            bounds = _bounds(interval)
            if isinstance(bounds, str):
                return f"{day}: {bounds}"
            if any(bounds[0] < end and start < bounds[1] for start, end in taken):
                return f"{day}: intervals overlap"
            taken.append(bounds)
    return None


def _bounds(interval: Any) -> tuple[int, int] | str:
    """Start and end in minutes, or what is wrong."""
    if not isinstance(interval, dict) or not {"localTimeFrom", "localTimeTo"} <= interval.keys():
        return "an interval needs localTimeFrom and localTimeTo"
    minutes = []
    for name in ("localTimeFrom", "localTimeTo"):
        text = interval[name]
        if not isinstance(text, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII):
            return f"{name} must be HH:mm"
        hours, _, rest = text.partition(":")
        minutes.append(int(hours) * 60 + int(rest))
    start, end = minutes
    return (start, end) if end >= start else (start, end + DAY_MINUTES)


def _across_midnight(contact: Mapping[str, Any]) -> Wrong:
    """Return whether a night interval runs into the next day's."""
    times = contact.get("allowedTime")
    if times is None:
        return None
    called = contact.get("allowedDays") or DAYS
    by_day = [times.get(day, times.get("default", [])) if day in called else [] for day in DAYS]
    for index, today in enumerate(by_day):
        tomorrow = [bounds for one in by_day[(index + 1) % 7] if not isinstance(bounds := _bounds(one), str)]
        for one in today:
            bounds = _bounds(one)
            if not isinstance(bounds, str) and any(start < bounds[1] - DAY_MINUTES for start, _ in tomorrow):
                return "allowedTime: intervals overlap across midnight"
    return None


CHECKS: dict[str, Callable[[Any], Wrong]] = {
    "phone": _phone,
    "startDateTime": _moment,
    "finishDateTime": _moment,
    "allowedDays": _days,
    "allowedTime": _times,
    "retryIntervalInMinutes": _count,
    "maxAttempts": _count,
    "gmtZone": _zone,
}
"""No check of dialerPriority: a wrong one is no error (C-PRIO-2). Unknown fields are let through."""
