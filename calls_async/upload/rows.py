"""A row of a contact list becomes the bytes of a contact, or a rejection that costs no other row anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import attrs

from calls_async.errors import ConfigurationError, ContactError, MissingExtraError, SourceError
from calls_async.protocol.contact import FIELDS, Contact, did_you_mean, encode_contacts, to_contact
from calls_async.protocol.phones import digits_of, normalise_phone, phone_text, written_internationally
from calls_async.upload.runs import EncodedRow, EncodedRows, Row, Run, UnsentRow, runs_of
from calls_async.upload.status import OutcomeStatus


def encode_items(first_row: int, items: Sequence[Contact | Mapping[str, Any]], region: str | None) -> list[Run]:
    """The rows of consecutive contacts or mappings."""
    runs: list[Run] = []
    contacts: list[Contact] = []
    for row, item in enumerate(items, start=first_row):
        if type(item) is Contact:
            contacts.append(item)
            continue
        try:
            contacts.append(_contact_in(region, item))
        except ContactError as error:
            runs += _encode_contacts(row - len(contacts), contacts)
            contacts.clear()
            runs.append(rejected(row, _phone_of(item), error))
    return runs + _encode_contacts(first_row + len(items) - len(contacts), contacts)


def encode_item(row: int, item: Contact | Mapping[str, Any], region: str | None) -> Row:
    """The row of a single contact or mapping."""
    try:
        contact = _contact_in(region, item)
    except ContactError as error:
        return rejected(row, _phone_of(item), error)
    return _encode_contact(row, contact)


def _phone_of(item: object) -> object:
    return item.get("phone") if isinstance(item, Mapping) else getattr(item, "phone", None)


def _contact_in(region: str | None, item: Contact | Mapping[str, Any]) -> Contact:
    if region is not None and isinstance(item, Mapping) and "phone" in item:
        item = {**item, "phone": phone_in(region, item["phone"])}
    return to_contact(item)


def _encode_contacts(first_row: int, contacts: Sequence[Contact]) -> list[Run]:
    encoded = encode_contacts(contacts) if contacts else None
    if encoded is not None:
        return [EncodedRows(first_row, [contact.phone for contact in contacts], *encoded)]
    return runs_of(_encode_contact(row, contact) for row, contact in enumerate(contacts, start=first_row))


def _encode_contact(row: int, contact: Contact) -> Row:
    try:
        return EncodedRow(row, contact.phone, contact.to_bytes())
    except ContactError as error:
        return rejected(row, contact.phone, error)


def rejected(row: int, phone: Any, error: ContactError) -> UnsentRow:
    """The rejection; `phone` as it was given, for the reader of the results to find the row by."""
    shown = None if phone is None else _printable(phone if isinstance(phone, str) else f"{phone!s:.100}")[:100]
    return UnsentRow(row, shown, OutcomeStatus.REJECTED, _printable(f"{error.field}: {error.reason}"))


@attrs.frozen(slots=True)
class Table:
    """How the columns of a table become contacts: the API's field names are settings, all others payload."""

    columns: Sequence[str]
    region: str | None = None
    hints: Sequence[str] = ()
    """Columns that go into the payload though their name nearly is a setting's."""
    settings: Sequence[tuple[int, str]] = ()
    """The index and the field of each column that is one; so are the next two."""
    payload: Sequence[tuple[int, str]] = ()
    phone: int = 0

    @classmethod
    def of_fields(cls, names: Sequence[str], mapped: Mapping[str, str]) -> Table | None:
        """Of objects with these fields in this order; None where a field's meaning depends on another."""
        fields = [mapped.get(name, name) for name in names]
        if "phone" not in fields or "payload" in fields or len(set(fields)) < len(fields):
            return None
        return cls(tuple(names), None, (), *_divided(fields), fields.index("phone"))

    @classmethod
    def of(cls, source: str, header: Sequence[str], mapped: Mapping[str, str], region: str | None) -> Table:
        """Raises `SourceError` where the header has no phones, a name twice, or lacks a mapped column."""
        for name in mapped:
            if _is_phone(name):
                raise SourceError(source, "seems to have no header: that column's name is a phone number", "header")
            if name not in header:
                raise SourceError(source, f"has no column {name!r}; its columns are {_listed(header)}", "header")
        fields = [mapped.get(name, name) for name in header]
        twice = sorted({name for name in fields if fields.count(name) > 1})
        if twice:
            raise SourceError(source, f"has more than one column {_listed(twice)}", "header")
        if "phone" not in fields:
            raise SourceError(source, _without_phone(header), "header")
        settings, payload = _divided(fields)
        hints = [f"column {name!r} goes into the payload" + did_you_mean(name) for _, name in payload]
        hints = [hint for hint in hints if hint.endswith("?")]
        return cls(tuple(header), region, tuple(hints), settings, payload, fields.index("phone"))

    def encode(self, row: int, cells: Sequence[Any]) -> Row:
        """The row that `cells` mean."""
        phone = cells[self.phone] if len(cells) > self.phone else None
        try:
            if len(cells) != len(self.columns) and (
                len(cells) < len(self.columns) or any(cells[len(self.columns) :])
            ):
                raise ContactError("row", f"has {len(cells)} cells, but the header has {len(self.columns)}")
            arguments = _arguments(self.settings, [cells[index] for index, _ in self.settings])
            if self.payload:
                own = {name: cells[index] for index, name in self.payload}
                arguments["payload"] = merge_payload(arguments.get("payload"), own)
            number = phone if self.region is None else phone_in(self.region, phone)
            contact = Contact(phone="" if number is None else number, **arguments)
            return EncodedRow(row, contact.phone, contact.to_bytes())
        except ContactError as error:
            return rejected(row, phone, error)

    def values_as_json(self, values: Sequence[Any]) -> bytes | None:
        """As `settings_as_json`, of values that have their types, as in objects."""
        given = zip(self.settings, values, strict=True)
        return settings_as_json({FIELDS[field]: value for (_, field), value in given})

    @property
    def independent(self) -> bool:
        """Whether its columns mean what they mean by themselves."""
        return self.region is None and all(field != "payload" for _, field in self.settings)

    def settings_as_json(self, values: Sequence[Any]) -> bytes | None:
        """How a contact's JSON ends, with these cells of its settings; None where they are not valid."""
        try:
            return settings_as_json(_arguments(self.settings, values))
        except ContactError:
            return None


def _divided(fields: Sequence[str]) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The settings and the payload among the fields."""
    settings = [(index, field) for index, field in enumerate(fields) if field in FIELDS and field != "phone"]
    return settings, [(index, field) for index, field in enumerate(fields) if field not in FIELDS]


def settings_as_json(arguments: Mapping[str, Any]) -> bytes | None:
    """How the JSON of a contact with these arguments ends, behind its phone; None where they are not valid."""
    phone = "1000000"
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


def _without_phone(header: Sequence[str]) -> str:
    if any(_is_phone(name) for name in header):
        return f"seems to have no header; its first line is {len(header)} cells, one of them a phone number"
    near = next((name for name in header if did_you_mean(name) == did_you_mean("Phone")), "NAME")
    return f"has no column 'phone'; its columns are {_listed(header)}. Name one with --column {near}=phone"


def _is_phone(text: str) -> bool:
    try:
        normalise_phone(text)
    except ContactError:
        return False
    return True


def encode_object(row: int, fields: Mapping[str, Any], mapped: Mapping[str, str], region: str | None) -> Row:
    """The row of one JSON object: the API's field names are settings, all others payload."""
    phone: Any = None
    try:
        renamed = {mapped.get(name, name): value for name, value in fields.items()}
        phone = renamed.get("phone")
        if len(renamed) < len(fields):
            raise ContactError("row", "has two fields that mean the same, by the given columns")
        arguments: dict[str, Any] = {}
        own = {}
        for name, value in renamed.items():
            if name not in FIELDS:
                own[name] = value
            elif name == "payload":
                arguments["payload"] = value
            elif name != "phone" and value is not None:
                arguments[FIELDS[name]] = value
        if own:
            arguments["payload"] = merge_payload(arguments.get("payload"), own)
        if isinstance(phone, float):
            raise ContactError("phone", "is written as a decimal number, digits may be lost; write it as a string")
        number = phone if region is None else phone_in(region, phone)
        contact = Contact(phone="" if number is None else number, **arguments)
        return EncodedRow(row, contact.phone, contact.to_bytes())
    except ContactError as error:
        return rejected(row, phone, error)


def read_setting(field: str, cell: Any) -> Any:
    """The value of a setting's cell: text is read as the API's type, anything else is left as it is."""
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
    """The payload column's object with the values of the other columns."""
    own = {name: carried(name, value) for name, value in own.items()}
    if payload is None:
        return own
    if not isinstance(payload, Mapping):
        raise ContactError("payload", "must be a JSON object, for other columns belong into it, too")
    for name in own:
        if name in payload:
            raise ContactError("payload", f"has {name!r:.40} already, which is also a column")
    return {**payload, **own}


def phone_in(region: str, phone: Any) -> Any:
    """A national number completed for `region` (`US`, `DE` …), by the phonenumbers library. Raises `ContactError`."""
    if phone is None or phone == "":
        return phone
    text = phone_text(phone)
    if written_internationally(text):
        return text
    import phonenumbers  # an extra; `check_region` has seen it

    try:
        number = phonenumbers.parse(digits_of(text), region)
    except phonenumbers.NumberParseException:
        return text  # the check of international numbers says better what is wrong with it
    if not phonenumbers.is_possible_number(number):
        raise ContactError("phone", f"is not a possible number in the region {region}")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def check_region(region: str | None) -> None:
    """Raises `ConfigurationError` for a region that does not exist, `MissingExtraError` without the library."""
    if region is None:
        return
    try:
        import phonenumbers
    except ImportError:
        raise MissingExtraError("reading national numbers", "region") from None
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigurationError(f"region {region!r} is not one of two letters that has numbers, such as US or DE")


def carried(name: str, value: Any) -> Any:
    """A cell as JSON carries it. Text stays text: no type is guessed."""
    if isinstance(value, str):
        if value.isascii():
            return value
        if _printable(value) != value:
            raise ContactError(name, "holds bytes that are not of the file's encoding; name the right --encoding")
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    return value


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


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(repr(name) for name in shown[:20]) + (" …" if len(shown) > 20 else "") or "none"
