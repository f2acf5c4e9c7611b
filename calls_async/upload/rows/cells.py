"""One cell becomes a setting or a part of the payload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from calls_async.errors import ContactError
from calls_async.upload.rows.row import UnsentRow
from calls_async.upload.status import OutcomeStatus


def rejected(row: int, phone: Any, error: ContactError) -> UnsentRow:
    """Make the rejection; `phone` as it was given, for the reader of the results to find the row by."""
    shown = None if phone is None else _printable(phone if isinstance(phone, str) else f"{phone!s:.100}")[:100]
    return UnsentRow(row, shown, OutcomeStatus.REJECTED, _printable(f"{error.field}: {error.reason}"))


def read_setting(field: str, cell: Any) -> Any:
    """Return the value of a setting's cell: text is read as the API's type, anything else is left as it is."""
    if isinstance(cell, str):
        text = cell.strip()
        if field in ("retryIntervalInMinutes", "maxAttempts"):
            return _whole_number(field, text)
        if field == "dialerPriority":
            return int(text) if _is_whole(text) else text
        if field == "allowedDays" and not text.startswith("["):
            return [day.strip().lower() for day in text.replace(";", ",").split(",")]
        if field in ("allowedDays", "allowedTime", "payload"):
            return _json(field, text)
        return text
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)  # spreadsheets have no whole numbers
    return cell


def merge_payload(payload: Any, own: dict[str, Any]) -> Any:
    """Return the payload column's object with the values of the other columns."""
    own = {name: carried(name, value) for name, value in own.items()}
    if payload is None:
        return own
    if not isinstance(payload, Mapping):
        raise ContactError("payload", "must be a JSON object, for other columns belong into it, too")
    for name in own:
        if name in payload:
            raise ContactError("payload", f"has {name!r:.40} already, which is also a column")
    return {**payload, **own}


def carried(name: str, value: Any) -> Any:
    """Return a cell as JSON carries it. Text stays text: no type is guessed."""
    if isinstance(value, str):
        if value.isascii():
            return value
        if _printable(value) != value:
            raise ContactError(name, "holds bytes that are not of the file's encoding; name the right --encoding")
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _spell_duration(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, float) and value != value:  # NaN stands for a missing value in tables
        return None
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return carried(name, value.item())
    return value


def _spell_duration(value: timedelta) -> str:
    """Return a duration as ISO text, such as PT90S."""
    seconds = value.total_seconds()
    return f"PT{seconds:.6f}".rstrip("0").rstrip(".") + "S"


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _is_whole(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit() and len(text) < 10


def _whole_number(field: str, text: str) -> int:
    if not _is_whole(text):
        raise ContactError(field, f"{text!r:.40} is not a whole number")
    return int(text)


def _json(field: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ContactError(field, "is not JSON") from None
