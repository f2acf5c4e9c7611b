"""A row of a contact list becomes the bytes of a contact, or a rejection that costs no other row anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calls_async.errors import ContactError
from calls_async.protocol.contact import FIELDS, Contact, encode_contacts, to_contact
from calls_async.upload.rows.cells import merge_payload, rejected
from calls_async.upload.rows.numbers import CHECKED, NumberRules
from calls_async.upload.rows.row import EncodedRow, EncodedRows, Row, Run, group_into_runs


def encode_items(first_row: int, items: Sequence[Contact | Mapping[str, Any]], rules: NumberRules) -> list[Run]:
    """Return the rows of consecutive contacts or mappings."""
    runs: list[Run] = []
    contacts: list[Contact] = []
    for row, item in enumerate(items, start=first_row):
        if type(item) is Contact:
            contacts.append(item)
            continue
        try:
            contacts.append(_contact_by(rules, item))
        except ContactError as error:
            runs += _encode_contacts(row - len(contacts), contacts)
            contacts.clear()
            runs.append(rejected(row, _get_phone(item), error))
    return runs + _encode_contacts(first_row + len(items) - len(contacts), contacts)


def encode_item(row: int, item: Contact | Mapping[str, Any], rules: NumberRules) -> Row:
    """Return the row of a single contact or mapping."""
    try:
        contact = _contact_by(rules, item)
    except ContactError as error:
        return rejected(row, _get_phone(item), error)
    return _encode_contact(row, contact)


def _get_phone(item: object) -> object:
    return item.get("phone") if isinstance(item, Mapping) else getattr(item, "phone", None)


def _contact_by(rules: NumberRules, item: Contact | Mapping[str, Any]) -> Contact:
    if rules is not CHECKED and isinstance(item, Mapping) and item.get("phone"):
        item = {**item, "phone": rules.read(item["phone"])}
    return to_contact(item)


def _encode_contacts(first_row: int, contacts: Sequence[Contact]) -> list[Run]:
    encoded = encode_contacts(contacts) if contacts else None
    if encoded is not None:
        rows = range(first_row, first_row + len(contacts))
        return [EncodedRows(rows, [contact.phone for contact in contacts], *encoded)]
    return group_into_runs(_encode_contact(row, contact) for row, contact in enumerate(contacts, start=first_row))


def _encode_contact(row: int, contact: Contact) -> Row:
    try:
        return EncodedRow(row, contact.phone, contact.to_bytes())
    except ContactError as error:
        return rejected(row, contact.phone, error)


def encode_object(row: int, fields: Mapping[str, Any], mapped: Mapping[str, str], rules: NumberRules) -> Row:
    """Return the row of one JSON object: the API's field names are settings, all others payload."""
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
        contact = Contact(phone=rules.read("" if phone is None else phone), **arguments)
        return EncodedRow(row, contact.phone, contact.to_bytes())
    except ContactError as error:
        return rejected(row, phone, error)
