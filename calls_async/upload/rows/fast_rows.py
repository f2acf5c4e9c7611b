"""Encode rows as nearly all are, in half the time; what comes out is what `table.py` and `contacts.py` make.

A row that is not plain goes there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import attrs
import orjson

from calls_async.errors import ContactError
from calls_async.protocol.contact import encode_json
from calls_async.upload.rows.cells import rejected
from calls_async.upload.rows.contacts import encode_object
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.row import EncodedRow, Row, UnsentRow
from calls_async.upload.rows.table import Table
from calls_async.upload.status import OutcomeStatus

MAX_FRAGMENTS = 50_000
"""So many combinations of settings are remembered."""


@attrs.define
class SettingsCache:
    """What the settings of a row become, behind its phone and payload. Lists have few combinations of settings, so
    each is looked at once, by `as_json`."""

    as_json: Callable[[Sequence[Any]], bytes | None]
    _known: dict[Any, bytes | None] = attrs.field(factory=dict, init=False)

    def of(self, values: tuple[Any, ...]) -> bytes | None:
        """Return the JSON of these settings; None where they are not valid. Raises `TypeError` for values that cannot
        be remembered."""
        key = values, *map(type, values)  # for 1 equals True
        if key not in self._known:
            if len(self._known) >= MAX_FRAGMENTS:
                self._known.clear()
            self._known[key] = self.as_json(values)
        return self._known[key]


@attrs.define
class WrongNumbers:
    """Why texts are no numbers, by these rules. The same stand in many rows of a list, so each is looked at once."""

    rules: NumberRules
    _known: dict[str, tuple[str | None, str] | None] = attrs.field(factory=dict, init=False)

    def reject(self, row: int, number: str, place: str) -> UnsentRow | None:
        """Return a row in which nothing but the number is wrong, rejected for what begins with `place`; None where
        the number is one."""
        if number not in self._known:
            if len(self._known) >= MAX_FRAGMENTS:
                self._known.clear()
            self._known[number] = self._explain(number)
        if (known := self._known[number]) is None:
            return None
        shown, reason = known
        return UnsentRow(row, shown, OutcomeStatus.REJECTED, place + reason)

    def _explain(self, number: str) -> tuple[str | None, str] | None:
        """Return how a number is shown that is none, and why it is not."""
        try:
            self.rules.read(number)
        except ContactError as error:
            row = rejected(0, number, error)
            return row.phone, row.error
        return None


class QuickTable:
    """`Table.encode` for rows of text."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._fragments = SettingsCache(table.settings_as_json)
        self._settings = [index for index, _ in table.settings]
        self._payload = [index for index, _ in table.payload]
        self._names = [name for _, name in table.payload]
        self._takes = table.rules.takes
        self._width = len(table.columns) if table.independent else -1

    def encode(self, row: int, cells: Sequence[str]) -> Row:
        """Return the row that `cells` mean."""
        if len(cells) != self._width or not self._takes(phone := cells[self._table.phone]):
            return self._table.encode(row, cells)
        fragment = self._fragments.of(tuple([cells[index] for index in self._settings]))
        if fragment is None:
            return self._table.encode(row, cells)
        if not self._names:
            return _joined(row, phone, None, fragment)
        try:
            payload = orjson.dumps(dict(zip(self._names, [cells[index] for index in self._payload], strict=True)))
        except TypeError:  # half a surrogate pair
            return self._table.encode(row, cells)
        return _joined(row, phone, payload, fragment)


class _Fields(NamedTuple):
    """What objects with the same fields become: `payload` is the index of the field that is all of it."""

    table: Table
    fragments: SettingsCache
    payload: int | None


class QuickObjects:
    """`encode_object` for objects of JSON whose integers have less than 19 digits."""

    def __init__(self, mapped: Mapping[str, str], rules: NumberRules) -> None:
        self._mapped = mapped
        self._rules = rules
        self._tables: dict[tuple[str, ...], _Fields | None] = {}
        """By the names of the fields, in their order."""

    def encode(self, row: int, fields: Mapping[str, Any]) -> Row:
        return self._quickly(row, fields) or encode_object(row, fields, self._mapped, self._rules)

    def _quickly(self, row: int, fields: Mapping[str, Any]) -> Row | None:
        if (found := self._table(tuple(fields))) is None:
            return None
        table, cells = found.table, list(fields.values())
        phone = cells[table.phone]
        if type(phone) is not str or not self._rules.takes(phone):
            return None
        try:
            fragment = found.fragments.of(tuple([cells[index] for index, _ in table.settings]))
            own = None if found.payload is None else cells[found.payload]
            if table.payload:
                own = {name: cells[index] for index, name in table.payload}
            payload = None if own is None else encode_json("payload", own)
        except (ContactError, TypeError):
            return None
        return _joined(row, phone, payload, fragment) if fragment is not None else None

    def _table(self, names: tuple[str, ...]) -> _Fields | None:
        if names not in self._tables:
            if len(self._tables) >= MAX_FRAGMENTS:
                self._tables.clear()
            self._tables[names] = self._make_table(names)
        return self._tables[names]

    def _make_table(self, names: tuple[str, ...]) -> _Fields | None:
        table = Table.of_fields(names, self._mapped, self._rules)
        if table is None:
            return None
        payload = next((index for index, field in table.settings if field == "payload"), None)
        if payload is not None:
            if table.payload:
                return None  # these belong into it, too
            table = attrs.evolve(table, settings=[(i, field) for i, field in table.settings if field != "payload"])
        return _Fields(table, SettingsCache(table.values_as_json), payload)


def _joined(row: int, phone: str, payload: bytes | None, fragment: bytes) -> EncodedRow:
    if payload is None:
        return EncodedRow(row, phone, b'{"phone":"%b"%b' % (phone.encode(), fragment))
    return EncodedRow(row, phone, b'{"phone":"%b","payload":%b%b' % (phone.encode(), payload, fragment))
