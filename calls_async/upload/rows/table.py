"""A header becomes columns, and a row of cells the bytes of a contact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from calls_async.errors import ContactError, SourceError
from calls_async.protocol.contact import FIELDS, Contact
from calls_async.protocol.phones import AsGiven, normalise_phone
from calls_async.upload.rows.cells import merge_payload, read_setting, rejected
from calls_async.upload.rows.header import (
    NO_SAMPLE,
    REASON_COLUMN,
    Sample,
    describe_missing_phone,
    find_hints,
    list_names,
    recognise_phone,
)
from calls_async.upload.rows.numbers import CHECKED, NumberRules
from calls_async.upload.rows.row import EncodedRow, Row


@attrs.frozen(slots=True)
class Table:
    """How the columns of a table become contacts: the API's field names are settings, all others payload."""

    columns: Sequence[str]
    rules: NumberRules = CHECKED
    hints: Sequence[str] = ()
    """Columns that go into the payload though their name nearly is a setting's."""
    settings: Sequence[tuple[int, str]] = ()
    """The index and the field of each column that is one; so are the next two."""
    payload: Sequence[tuple[int, str]] = ()
    phone: int = 0

    @classmethod
    def of_fields(cls, names: Sequence[str], mapped: Mapping[str, str], rules: NumberRules) -> Table | None:
        """Make the table of objects with these fields in this order; None where a field's meaning depends on
        another."""
        fields = [mapped.get(name, name) for name in names]
        if "phone" not in fields or len(set(fields)) < len(fields):
            return None
        return cls(tuple(names), rules, (), *_divided(fields), fields.index("phone"))

    @classmethod
    def of(
        cls,
        source: str,
        header: Sequence[str],
        mapped: Mapping[str, str],
        rules: NumberRules,
        sample: Sample = NO_SAMPLE,
    ) -> Table:
        """Make the table of a header, with a `sample` of its rows. Raises `SourceError` where it has no phones, a
        name twice, or lacks a mapped column."""
        for name in mapped:
            if _is_phone(name):
                raise SourceError(source, "seems to have no header: that column's name is a phone number", "header")
            if name not in header:
                raise SourceError(source, f"has no column {name!r}; its columns are {list_names(header)}", "header")
        hints = []
        if "phone" not in {mapped.get(name, name) for name in header}:
            if (found := recognise_phone(header, sample)) is None or found in mapped:
                raise SourceError(source, describe_missing_phone(header, sample, mapped), "header")
            mapped = {**mapped, found: "phone"}
            hints.append(f"column {found!r} is read as phone")
        fields = [mapped.get(name, name) for name in header]
        twice = sorted({name for name in fields if fields.count(name) > 1})
        if twice:
            raise SourceError(source, f"has more than one column {list_names(twice)}", "header")
        settings, payload = _divided(fields)
        hints += find_hints([name for _, name in payload])
        return cls(tuple(header), rules, tuple(hints), settings, payload, fields.index("phone"))

    def encode(self, row: int, cells: Sequence[Any]) -> Row:
        """Return the row that `cells` mean."""
        phone = cells[self.phone] if len(cells) > self.phone else None
        try:
            if any(cells[len(self.columns) :]):
                raise ContactError("row", f"has {len(cells)} cells, but the header has {len(self.columns)}")
            cells = [*cells, *[""] * (len(self.columns) - len(cells))]  # spreadsheets leave out empty ones at the end
            arguments = _arguments(self.settings, [cells[index] for index, _ in self.settings])
            if self.payload:
                own = {name: cells[index] for index, name in self.payload}
                arguments["payload"] = merge_payload(arguments.get("payload"), own)
            contact = Contact(phone=self.rules.read("" if phone is None else phone), **arguments)
            return EncodedRow(row, contact.phone, contact.to_bytes())
        except ContactError as error:
            return rejected(row, phone, error)

    def values_as_json(self, values: Sequence[Any]) -> bytes | None:
        """Return `settings_as_json` of values that have their types, as in objects."""
        given = zip(self.settings, values, strict=True)
        return settings_as_json({FIELDS[field]: value for (_, field), value in given})

    @property
    def independent(self) -> bool:
        """Whether its columns mean what they mean by themselves."""
        return self.rules.columnar and all(field != "payload" for _, field in self.settings)

    def settings_as_json(self, values: Sequence[Any]) -> bytes | None:
        """Return how the JSON of a contact with these arguments or cells ends, behind its phone; None where they are
        not valid."""
        try:
            return settings_as_json(_arguments(self.settings, values))
        except ContactError:
            return None


def _divided(fields: Sequence[str]) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Return the settings and the payload among the fields."""
    settings = [(index, field) for index, field in enumerate(fields) if field in FIELDS and field != "phone"]
    payload = [(index, field) for index, field in enumerate(fields) if field not in FIELDS and field != REASON_COLUMN]
    return settings, payload


def settings_as_json(arguments: Mapping[str, Any]) -> bytes | None:
    """Return how the JSON of a contact with these arguments or cells ends, behind its phone; None where they are not
    valid."""
    phone = AsGiven("1000000")
    try:
        contact = Contact(phone=phone, **arguments)
    except ContactError:
        return None
    return contact.to_bytes().removeprefix(b'{"phone":"%b"' % phone.encode())


def _arguments(settings: Sequence[tuple[int, str]], cells: Sequence[Any]) -> dict[str, Any]:
    return {
        FIELDS[field]: read_setting(field, cell)
        for (_, field), cell in zip(settings, cells, strict=True)
        if cell is not None and cell != ""
    }


def _is_phone(text: str) -> bool:
    try:
        normalise_phone(text)
    except ContactError:
        return False
    return True
