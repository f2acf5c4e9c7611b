"""What is sent: a contact, checked when it is made, and its bytes on the wire (C-F-1 … C-F-10)."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import orjson

from calls_async.errors import ContactError
from calls_async.protocol import phones, schedule
from calls_async.protocol.schedule import Interval

FIELDS = {
    "phone": "phone",
    "payload": "payload",
    "startDateTime": "start_date_time",
    "finishDateTime": "finish_date_time",
    "allowedDays": "allowed_days",
    "allowedTime": "allowed_time",
    "retryIntervalInMinutes": "retry_interval_in_minutes",
    "maxAttempts": "max_attempts",
    "gmtZone": "gmt_zone",
    "dialerPriority": "dialer_priority",
}
"""The API's field names (C-F-1 … C-F-10), in the order of the wire, and the attributes of `Contact`."""

LOWEST_PRIORITY = 5
"""What the API takes a missing or wrong priority for (C-PRIO-1, C-PRIO-2)."""

# Types of Python's that orjson would turn into JSON by rules of its own are refused, not guessed at.
_ORJSON_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


@attrs.frozen(slots=True, kw_only=True)
class Contact:
    """One phone number to call, with its script data and call policy; what is not given, the campaign decides.

    Checked when made: raises `ContactError` naming the field. Phones may be written as people write them;
    `start_date_time` and `finish_date_time` may be aware datetimes; `allowed_time` maps `mon` … `sun` and `default`
    to intervals, as `Interval` or as the API writes them. A wrong `dialer_priority` is no error (C-PRIO-2).
    Nothing given is changed. `payload` must stay unchanged until the contact is sent.
    """

    phone: str = attrs.field(repr=False)
    payload: Any = attrs.field(default=None, repr=False)
    start_date_time: str | datetime | None = None
    finish_date_time: str | datetime | None = None
    allowed_days: Sequence[str] | None = None
    allowed_time: Mapping[str, Sequence[Interval | Mapping[str, str]]] | None = None
    retry_interval_in_minutes: int | None = None
    max_attempts: int | None = None
    gmt_zone: str | None = None
    dialer_priority: int | None = None

    def __attrs_post_init__(self) -> None:
        phone = self.phone
        if type(phone) is not str or not phones.is_clean(phone):
            _set(self, "phone", phones.normalise_phone(phone))
        if self.gmt_zone is not None:
            schedule.check_zone(self.gmt_zone)
        if self.dialer_priority is not None and type(self.dialer_priority) is not int:
            _set(self, "dialer_priority", _priority(self.dialer_priority))
        if self.allowed_days is not None:
            _set(self, "allowed_days", schedule.check_days(self.allowed_days))
        if self.allowed_time is not None:
            _set(self, "allowed_time", schedule.check_times(self.allowed_time, self.allowed_days))
        if self.start_date_time is not None or self.finish_date_time is not None:
            self._check_window()
        if self.retry_interval_in_minutes is not None:
            _check_count("retryIntervalInMinutes", self.retry_interval_in_minutes)
        if self.max_attempts is not None:
            _check_count("maxAttempts", self.max_attempts)

    def _check_window(self) -> None:
        for name, attribute in (("startDateTime", "start_date_time"), ("finishDateTime", "finish_date_time")):
            value = getattr(self, attribute)
            if value is not None:
                _set(self, attribute, schedule.check_date_time(name, value))
        schedule.check_order(self.start_date_time, self.finish_date_time)  # type: ignore[arg-type]  # strings by now

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Contact:
        """A contact from the API's field names. Raises `ContactError`, also for a name that the API does not have."""
        arguments = {}
        for name, value in mapping.items():
            attribute = FIELDS.get(name)
            if attribute is None:
                raise ContactError(str(name)[:60], "is not a field of the API" + did_you_mean(str(name)))
            arguments[attribute] = value
        if "phone" not in arguments:
            raise ContactError("phone", "is missing")
        return cls(**arguments)

    def to_bytes(self) -> bytes:
        """The contact as a JSON object, without the fields that are not given. Raises `ContactError` for a payload
        that JSON cannot carry."""
        fields: dict[str, Any] = {"phone": self.phone}
        if self.payload is not None:
            fields["payload"] = self.payload
        for name, attribute in _POLICY_FIELDS:
            value = getattr(self, attribute)
            if value is not None:
                fields[name] = value
        if self.allowed_time is not None:
            fields["allowedTime"] = _times_to_json(self.allowed_time)
        return encode_json("payload", fields)


_set = object.__setattr__
_POLICY_FIELDS = tuple((name, attribute) for name, attribute in FIELDS.items() if name not in ("phone", "payload"))


def to_contact(item: Contact | Mapping[str, Any]) -> Contact:
    """`item` itself, or the contact that a mapping with the API's field names means. Raises `ContactError`."""
    if isinstance(item, Contact):
        return item
    if isinstance(item, Mapping):
        return Contact.from_mapping(item)
    raise ContactError(
        "contact", f"is a {type(item).__name__}; give a Contact or a mapping with the API's field names"
    )


def did_you_mean(name: str) -> str:
    """A hint to the API's field that `name` nearly is, or nothing."""
    folded = {field.lower(): field for field in FIELDS}
    near = difflib.get_close_matches(name.replace("_", "").lower(), folded, n=1, cutoff=0.8)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def _priority(value: Any) -> int:
    """A priority that is no int: the int that it means, or what the API takes a wrong one for (C-PRIO-2)."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return LOWEST_PRIORITY


def _check_count(field: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ContactError(field, f"is a {type(value).__name__}; give a whole number")
    if value < 0:
        raise ContactError(field, f"{value} is less than 0")


def _times_to_json(times: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    return {
        day: [{"localTimeFrom": one.local_time_from, "localTimeTo": one.local_time_to} for one in intervals]
        for day, intervals in times.items()
    }


def encode_json(field: str, value: Any) -> bytes:
    """`value` as JSON. Raises `ContactError` for `field` where JSON cannot carry it: NaN, dates, sets, cycles …"""
    try:
        encoded = orjson.dumps(value, option=_ORJSON_OPTIONS)
    except (TypeError, ValueError, RecursionError):
        # orjson refuses more than JSON does (integers past 64 bits, subclasses of dict and str …).
        return _encode_slowly(field, value)
    if b"null" in encoded:
        _refuse_what_json_lacks(field, value, 0)  # orjson writes NaN and infinity as null
    return encoded


_MAX_DEPTH = 200


def _encode_slowly(field: str, value: Any) -> bytes:
    _refuse_what_json_lacks(field, value, 0)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ContactError(field, "holds half of a surrogate pair, which is no character") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ContactError(field, f"cannot be written as JSON: {error}") from None


def _refuse_what_json_lacks(path: str, value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ContactError(path[:60], f"is nested more than {_MAX_DEPTH} levels deep, or contains itself")
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ContactError(path, f"{value} is not a number that JSON has")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ContactError(path, f"has a key that is a {type(key).__name__}; JSON's keys are strings")
            _refuse_what_json_lacks(key if depth == 0 else f"{path}.{key}", item, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_what_json_lacks(f"{path}[{index}]", item, depth + 1)
    else:
        raise ContactError(path, f"is a {type(value).__name__}, which JSON does not have; convert it first")
