"""What is sent: a contact, checked when it is made, and its bytes on the wire (C-F-1 … C-F-10)."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar

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


@attrs.frozen(
    slots=False, init=False, kw_only=True
)  # an __init__ for millions: 1.5 µs here, where attrs' own took 3.1
class Contact:
    """One phone number to call, with its script data and call policy; what is not given, the campaign decides.

    Checked when made: raises `ContactError` naming the field. Phones may be written as people write them;
    `start_date_time` and `finish_date_time` may be aware datetimes; `allowed_time` maps `mon` … `sun` and `default`
    to intervals, as `Interval` or as the API writes them. A wrong `dialer_priority` is no error (C-PRIO-2).
    Nothing given is changed. `payload` must stay unchanged until the contact is sent.
    """

    phone: str = attrs.field(repr=False)
    payload: Any = attrs.field(default=None, repr=False)
    start_date_time: str | None = None
    finish_date_time: str | None = None
    allowed_days: tuple[str, ...] | None = None
    allowed_time: Mapping[str, tuple[Interval, ...]] | None = None
    retry_interval_in_minutes: int | None = None
    max_attempts: int | None = None
    gmt_zone: str | None = None
    dialer_priority: int | None = None
    if TYPE_CHECKING:
        _wire: ClassVar[dict[str, Any]]  # what is sent; made by the way while everything is looked at. No field

    def __init__(
        self,
        *,
        phone: str | int,
        payload: Any = None,
        start_date_time: str | datetime | None = None,
        finish_date_time: str | datetime | None = None,
        allowed_days: Iterable[str] | None = None,
        allowed_time: Mapping[str, Iterable[Interval | Mapping[str, str]]] | None = None,
        retry_interval_in_minutes: int | None = None,
        max_attempts: int | None = None,
        gmt_zone: str | None = None,
        dialer_priority: int | None = None,
    ) -> None:
        if type(phone) is not str or not phones.is_clean(phone):
            phone = phones.normalise_phone(phone)
        fields = self.__dict__  # the class is frozen
        wire: dict[str, Any] = {"phone": phone}
        fields["_wire"] = wire
        fields["phone"] = phone
        fields["payload"] = payload
        if payload is not None:
            wire["payload"] = payload
        if start_date_time is not None:
            wire["startDateTime"] = start_date_time = schedule.check_date_time("startDateTime", start_date_time)
        if finish_date_time is not None:
            wire["finishDateTime"] = finish_date_time = schedule.check_date_time("finishDateTime", finish_date_time)
            schedule.check_order(start_date_time, finish_date_time)
        fields["start_date_time"] = start_date_time
        fields["finish_date_time"] = finish_date_time
        if allowed_days is not None:
            wire["allowedDays"] = allowed_days = schedule.check_days(allowed_days)
        fields["allowed_days"] = allowed_days
        if allowed_time is not None:
            allowed_time = schedule.check_times(allowed_time, allowed_days)
            wire["allowedTime"] = _times_to_json(allowed_time)
        fields["allowed_time"] = allowed_time
        if retry_interval_in_minutes is not None:
            wire["retryIntervalInMinutes"] = _check_count("retryIntervalInMinutes", retry_interval_in_minutes)
        fields["retry_interval_in_minutes"] = retry_interval_in_minutes
        if max_attempts is not None:
            wire["maxAttempts"] = _check_count("maxAttempts", max_attempts)
        fields["max_attempts"] = max_attempts
        if gmt_zone is not None:
            wire["gmtZone"] = schedule.check_zone(gmt_zone)
        fields["gmt_zone"] = gmt_zone
        if dialer_priority is not None:
            if type(dialer_priority) is not int:
                dialer_priority = _priority(dialer_priority)
            wire["dialerPriority"] = dialer_priority
        fields["dialer_priority"] = dialer_priority

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Contact:
        """Make a contact from the API's field names. Raises `ContactError`, also for a name that the API does not
        have."""
        if not mapping.keys() <= FIELDS.keys():
            name = next(name for name in mapping if name not in FIELDS)
            raise ContactError(str(name)[:60], "is not a field of the API" + did_you_mean(str(name)))
        if "phone" not in mapping:
            raise ContactError("phone", "is missing")
        return cls(**{FIELDS[name]: value for name, value in mapping.items()})

    def to_bytes(self) -> bytes:
        """Return the contact as a JSON object, without the fields that are not given. Raises `ContactError` for a
        payload that JSON cannot carry."""
        own = self.__dict__.get("_wire")
        if own is None:  # a subclass with an __init__ of its own
            own = Contact(**{name: getattr(self, name) for name in FIELDS.values()})._wire
        return encode_json("payload", own)


_BETWEEN = b'},{"phone":"'
"""What stands between two contacts in an array of them; inside one only where a payload holds such objects itself."""


def encode_contacts(contacts: Sequence[Contact]) -> tuple[memoryview, list[int]] | None:
    """Return what `to_bytes` of each returns, one character apart, and where each begins; at last, where one more
    would.

    All at once, which takes a third of the time. None where one of them cannot be encoded, or needs a closer look.
    """
    try:
        array = orjson.dumps([contact._wire for contact in contacts], option=_ORJSON_OPTIONS)
    except (TypeError, ValueError, RecursionError, AttributeError):
        return None
    parts = array.split(_BETWEEN)
    if b"null" in array or len(parts) != len(contacts):
        return None
    ends = accumulate([len(part) + len(_BETWEEN) for part in parts])
    starts = [0, *(end - len(_BETWEEN) + 1 for end in ends)]
    starts[-1] = len(array) - 1
    return memoryview(array)[1:], starts


_DIGEST_BYTES = 16
_LONG_NUMBER = re.compile(rb"[0-9]{16}")


def content_digest(body: bytes) -> bytes:
    """Return the digest of what an encoded contact says: the order of its fields does not count (C-DUP-1)."""
    if not _LONG_NUMBER.search(body):  # numbers that orjson might round stand for themselves
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()


def to_contact(item: Contact | Mapping[str, Any]) -> Contact:
    """Return `item` itself, or the contact that a mapping with the API's field names means. Raises `ContactError`."""
    if isinstance(item, Contact):
        return item
    if isinstance(item, Mapping):
        return Contact.from_mapping(item)
    raise ContactError(
        "contact", f"is a {type(item).__name__}; give a Contact or a mapping with the API's field names"
    )


def did_you_mean(name: str) -> str:
    """Return a hint to the API's field that `name` nearly is, or nothing."""
    folded = {field.lower(): field for field in FIELDS}
    near = difflib.get_close_matches(name.replace("_", "").lower(), folded, n=1, cutoff=0.8)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def _priority(value: Any) -> int:
    """Return the int that a priority means, or what the API takes a wrong one for (C-PRIO-2)."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return LOWEST_PRIORITY


def _check_count(field: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ContactError(field, f"is a {type(value).__name__}; give a whole number")
    if value < 0:
        raise ContactError(field, f"{value} is less than 0")
    return value


def _times_to_json(times: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    return {
        day: [{"localTimeFrom": one.local_time_from, "localTimeTo": one.local_time_to} for one in intervals]
        for day, intervals in times.items()
    }


def encode_json(field: str, value: Any) -> bytes:
    """Return `value` as JSON. Raises `ContactError` for `field` where JSON cannot carry it: NaN, dates, sets, cycles
    …"""
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
