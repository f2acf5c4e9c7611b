"""Contacts for uploads."""

from __future__ import annotations

from collections.abc import Iterator

from calls_async import Contact

FIRST = 16500000000


def contacts(count: int, first: int = 16500000000) -> Iterator[Contact]:
    for number in range(count):
        yield Contact(phone=str(first + number), payload={"n": number})
