"""Contacts from iterables."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from calls_async import ConfigurationError, Contact
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from tests.helpers.sources import contacts_of, drawn, reasons


async def test_iterables() -> None:
    good = Contact(phone="16500000000")

    def generator() -> Iterator[Any]:
        yield good
        yield {"phone": "16500000001", "payload": {"name": "Al"}}
        yield {"phone": "16500000002", "gmtzone": "Z"}
        yield "16500000003"

    async def slowly() -> AsyncIterator[Any]:
        for item in generator():
            yield item

    for source in (generator(), list(generator()), slowly()):
        rows = await drawn(source)
        assert contacts_of(rows[:2]) == [
            {"phone": "16500000000"},
            {"phone": "16500000001", "payload": {"name": "Al"}},
        ]
        assert reasons(rows) == {
            3: "gmtzone: is not a field of the API; did you mean gmtZone?",
            4: "contact: is a str; give a Contact or a mapping with the API's field names",
        }


@pytest.mark.parametrize("source", [5, b"phone\n1", {"phone": "16500000000"}, io.BytesIO(), "list.doc", "list"])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(ConfigurationError):
        open_source(source, Reading())


async def test_an_async_generator_is_closed_when_it_is_left() -> None:
    closed = False

    async def endless() -> AsyncIterator[Contact]:
        nonlocal closed
        try:
            while True:
                yield Contact(phone="16500000000")
        finally:
            closed = True

    batches = open_source(endless(), Reading()).batches()
    await anext(batches)
    await batches.aclose()
    assert closed
