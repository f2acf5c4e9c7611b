"""One contact, from a mapping to its bytes."""

from __future__ import annotations

import copy
import json
import math
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import Contact, ContactError, Interval
from calls_async.protocol.contact import FIELDS, did_you_mean
from calls_async.upload.rows.contacts import encode_items
from calls_async.upload.rows.numbers import CHECKED
from calls_async.upload.rows.row import UnsentRow, each_row

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
whole_contact = {
    "phone": 16500000000,
    "payload": {"name": "Alex", "age": 34},
    "startDateTime": "2020-03-23T00:00:00Z",
    "finishDateTime": "2020-03-24T00:00:00Z",
    "allowedDays": ["mon", "wed", "fri"],
    "allowedTime": {"default": [{"localTimeFrom": "10:00", "localTimeTo": "18:00"}]},
    "retryIntervalInMinutes": 120,
    "maxAttempts": 0,
    "gmtZone": "-05:00",
    "dialerPriority": 2,
}


def sent(contact: Contact) -> dict[str, Any]:
    return json.loads(contact.to_bytes())  # type: ignore[no-any-return]


def test_every_field_arrives_under_its_name() -> None:
    # C-F-1, C-F-2, C-F-3, C-F-4, C-F-5, C-F-6, C-F-7, C-F-8, C-F-9, C-F-10
    contact = Contact.from_mapping(whole_contact)
    assert sent(contact) == whole_contact | {"phone": "16500000000"}
    assert list(sent(contact)) == list(FIELDS) or set(sent(contact)) == set(FIELDS)
    assert contact.retry_interval_in_minutes == 120


def test_what_is_not_given_is_not_sent() -> None:  # C-POL-1, C-PRIO-1
    assert Contact(phone="16500000000").to_bytes() == b'{"phone":"16500000000"}'


@given(json_values)
def test_a_payload_arrives_as_it_was(payload: Any) -> None:  # C-F-2
    before = copy.deepcopy(payload)
    try:
        got = sent(Contact(phone="16500000000", payload=payload))
    except ContactError as error:
        assert "surrogate" in error.reason  # half a character, which JSON cannot carry
        return
    if payload is not None:
        assert got["payload"] == payload
    assert payload == before


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"a": {"b": [1, math.nan]}}, "payload.a.b[1]"),
        ({"a": math.inf, "b": None}, "payload.a"),
        ({"when": datetime(2020, 1, 1, tzinfo=UTC)}, "payload.when"),
        ({"tags": {1, 2}}, "payload.tags"),
        ({1: 2}, "payload"),
        (b"bytes", "payload"),
        ({"x": object()}, "payload.x"),
    ],
)
def test_a_payload_that_json_cannot_carry_is_named(payload: Any, field: str) -> None:  # C-F-2
    with pytest.raises(ContactError) as caught:
        Contact(phone="16500000000", payload=payload).to_bytes()
    assert caught.value.field == field


def test_a_payload_that_contains_itself() -> None:
    payload: dict[str, Any] = {}
    payload["self"] = payload
    with pytest.raises(ContactError, match="nested"):
        Contact(phone="16500000000", payload=payload).to_bytes()


@pytest.mark.parametrize(
    "mapping",
    [
        {"phone": 16500000001, "payload": {"n": 10**5000}},
        {"phone": 10**5000},
        {"phone": 16500000001, "startDateTime": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))},
        {"phone": 16500000001, "gmtZone": "+1" * 100_000},
    ],
)
def test_what_is_beyond_all_measure_is_a_contact_error(mapping: dict[str, Any]) -> None:
    with pytest.raises(ContactError):
        Contact.from_mapping(mapping).to_bytes()


@pytest.mark.parametrize(("priority", "sent_as"), [("2", 2), (2.0, 2), ("high", 5), ("", 5), (math.nan, 5)])
def test_a_priority_of_another_type(priority: Any, sent_as: int) -> None:  # C-PRIO-2
    assert sent(Contact(phone="16500000000", dialer_priority=priority))["dialerPriority"] == sent_as


def test_what_orjson_refuses_and_json_carries() -> None:  # C-F-2
    class Text(str):
        __slots__ = ()

    big = 2**80
    assert sent(Contact(phone="16500000000", payload={"n": big, "t": Text("é")}))["payload"] == {"n": big, "t": "é"}
    with pytest.raises(ContactError, match="surrogate"):
        Contact(phone="16500000000", payload={"t": "\ud800"}).to_bytes()


@pytest.mark.parametrize("priority", [7, 0, -1, "high", 2.5, True])
def test_a_wrong_priority_is_no_error(priority: Any) -> None:  # C-PRIO-2, C-F-10
    got = sent(Contact(phone="16500000000", dialer_priority=priority))["dialerPriority"]
    assert got == (priority if type(priority) is int else 5)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"phone": "x"}, "phone"),
        ({"gmtZone": "Nowhere"}, "gmtZone"),
        ({"allowedDays": ["noday"]}, "allowedDays"),
        ({"allowedTime": {"mon": [{"localTimeFrom": "10:00"}]}}, "allowedTime"),
        ({"retryIntervalInMinutes": -1}, "retryIntervalInMinutes"),
        ({"retryIntervalInMinutes": "120"}, "retryIntervalInMinutes"),
        ({"maxAttempts": 1.5}, "maxAttempts"),
        ({"maxAttempts": True}, "maxAttempts"),
        ({"startDateTime": "2020-03-25T00:00:00Z"}, "startDateTime"),
        ({"startDateTime": "2020-03-24T02:00:00+02:00"}, "startDateTime"),
        ({"finishDateTime": "tomorrow"}, "finishDateTime"),
        ({"dialer_priority": 1}, "dialer_priority"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], field: str) -> None:
    # C-F-1, C-F-3, C-F-4, C-F-5, C-F-7, C-F-8, C-F-9
    with pytest.raises(ContactError) as caught:
        Contact.from_mapping(whole_contact | changed)
    assert caught.value.field == field


def test_a_missing_phone() -> None:  # C-F-1
    with pytest.raises(ContactError, match="phone: is missing"):
        Contact.from_mapping({"payload": {}})


def test_the_callers_objects_stay_as_they_are() -> None:
    given = copy.deepcopy(whole_contact)
    contact = Contact.from_mapping(given)
    contact.to_bytes()
    assert given == whole_contact
    assert contact.allowed_time == {"default": (Interval("10:00", "18:00"),)}
    with pytest.raises(AttributeError):
        contact.phone = "1"  # type: ignore[misc]


def test_contacts_can_be_pickled_and_hide_their_person() -> None:
    contact = Contact.from_mapping(whole_contact)
    assert pickle.loads(pickle.dumps(contact)) == contact
    assert "1650" not in repr(contact)
    assert "Alex" not in repr(contact)


@pytest.mark.parametrize(
    ("name", "meant"), [("gmtzone", "gmtZone"), ("Phone", "phone"), ("max_attempts", "maxAttempts")]
)
def test_near_misses_are_guessed_for_the_person(name: str, meant: str) -> None:
    assert did_you_mean(name) == f"; did you mean {meant}?"
    assert did_you_mean("city") == ""


def test_a_contact_is_a_class_of_attrs() -> None:
    contact = Contact(phone="16500000000", payload={"a": 1}, allowed_days=["mon"], max_attempts=2)
    other = attrs.evolve(contact, max_attempts=3)
    assert (other.max_attempts, other.payload, contact.max_attempts) == (3, {"a": 1}, 2)
    assert b'"maxAttempts":3' in other.to_bytes()
    assert set(attrs.asdict(contact)) == {field.name for field in attrs.fields(Contact)}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        contact.phone = "16500000001"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(contact)).to_bytes() == contact.to_bytes()

    @attrs.frozen(kw_only=True)
    class Customer(Contact):
        number: int = 0

    make: Any = Customer  # mypy knows the __init__ of Contact only
    assert make(phone="16500000000", number=1).to_bytes() == b'{"phone":"16500000000"}'
    with pytest.raises(ContactError):
        make(phone="x", number=1).to_bytes()
    runs = encode_items(1, [contact, make(phone="16500000000", number=1), make(phone="x")], CHECKED)
    rows = list(each_row(runs))
    assert [row.row for row in rows] == [1, 2, 3]
    assert isinstance(rows[-1], UnsentRow)
