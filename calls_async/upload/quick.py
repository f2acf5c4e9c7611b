"""The row lane for rows as nearly all are: what it makes of them is what `rows.py` makes, in half the time.

A row that it cannot vouch for goes there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import orjson

from calls_async.errors import ContactError
from calls_async.protocol.contact import FIELDS, encode_json
from calls_async.protocol.phones import is_clean
from calls_async.upload.rows import Table, encode_object, settings_as_json
from calls_async.upload.runs import EncodedRow, Row

MAX_FRAGMENTS = 50_000
"""So many combinations of settings are remembered."""


@attrs.define
class Fragments:
    """What the settings of a row become, behind its phone and payload. Lists have few combinations of settings, so
    each is looked at once, by `as_json`."""

    as_json: Callable[[Sequence[Any]], bytes | None]
    _known: dict[Any, bytes | None] = attrs.field(factory=dict, init=False)

    def of(self, values: tuple[Any, ...]) -> bytes | None:
        """None where they are not valid. Raises `TypeError` for values that cannot be remembered."""
        key = values, *map(type, values)  # for 1 equals True
        if key not in self._known:
            if len(self._known) >= MAX_FRAGMENTS:
                self._known.clear()
            self._known[key] = self.as_json(values)
        return self._known[key]


class QuickTable:
    """`Table.encode` for rows of text."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._fragments = Fragments(table.settings_as_json)
        self._settings = [index for index, _ in table.settings]
        self._payload = [index for index, _ in table.payload]
        self._names = [name for _, name in table.payload]
        self._width = len(table.columns) if table.independent else -1

    def encode(self, row: int, cells: Sequence[str]) -> Row:
        """The row that `cells` mean."""
        if len(cells) != self._width or not is_clean(phone := cells[self._table.phone]):
            return self._table.encode(row, cells)
        fragment = self._fragments.of(tuple([cells[index] for index in self._settings]))
        if fragment is None:
            return self._table.encode(row, cells)
        if not self._names:
            return EncodedRow(row, phone, b'{"phone":"%b"%b' % (phone.encode(), fragment))
        try:
            payload = orjson.dumps(dict(zip(self._names, [cells[index] for index in self._payload], strict=True)))
        except TypeError:  # half a surrogate pair
            return self._table.encode(row, cells)
        return EncodedRow(row, phone, b'{"phone":"%b","payload":%b%b' % (phone.encode(), payload, fragment))


@attrs.frozen(slots=True)
class _Plan:
    """Which fields of an object are what."""

    phone: str
    settings: Sequence[str]
    payload: Sequence[tuple[str, str]]
    fragments: Fragments


class QuickObjects:
    """`encode_object` for objects of JSON whose integers have less than 19 digits."""

    def __init__(self, mapped: Mapping[str, str]) -> None:
        self._mapped = mapped
        self._plans: dict[tuple[str, ...], _Plan | None] = {}

    def encode(self, row: int, fields: Mapping[str, Any]) -> Row:
        names = tuple(fields)
        if names not in self._plans:
            if len(self._plans) >= MAX_FRAGMENTS:
                self._plans.clear()
            self._plans[names] = self._plan(names)
        plan = self._plans[names]
        if plan is None or type(phone := fields[plan.phone]) is not str or not is_clean(phone):
            return encode_object(row, fields, self._mapped, None)
        try:
            fragment = plan.fragments.of(tuple([fields[name] for name in plan.settings]))
            if fragment is None:
                return encode_object(row, fields, self._mapped, None)
            if not plan.payload:
                return EncodedRow(row, phone, b'{"phone":"%b"%b' % (phone.encode(), fragment))
            payload = encode_json("payload", {name: fields[own] for own, name in plan.payload})
        except (ContactError, TypeError):
            return encode_object(row, fields, self._mapped, None)
        return EncodedRow(row, phone, b'{"phone":"%b","payload":%b%b' % (phone.encode(), payload, fragment))

    def _plan(self, names: Sequence[str]) -> _Plan | None:
        meant = [self._mapped.get(name, name) for name in names]
        if "phone" not in meant or "payload" in meant or len(set(meant)) < len(meant):
            return None
        settings = [(name, field) for name, field in zip(names, meant, strict=True) if field in FIELDS]
        settings = [(name, field) for name, field in settings if field != "phone"]
        payload = [(name, field) for name, field in zip(names, meant, strict=True) if field not in FIELDS]

        def as_json(values: Sequence[Any]) -> bytes | None:
            given = zip(settings, values, strict=True)
            return settings_as_json({FIELDS[field]: value for (_, field), value in given})

        return _Plan(names[meant.index("phone")], [name for name, _ in settings], payload, Fragments(as_json))
