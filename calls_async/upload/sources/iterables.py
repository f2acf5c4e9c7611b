"""Contacts from iterables and async iterables, drawn on the event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence, Sized
from contextlib import aclosing

from calls_async.upload.rows.contacts import encode_items
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.row import Run
from calls_async.upload.sources.checkpoint import NOTHING, Consumed, RowCheck
from calls_async.upload.sources.slices import AsyncSlices, sliced
from calls_async.upload.sources.source import Batch, ContactLike, GivenAgain, ReadOnce


class IterableSource(GivenAgain):
    """Contacts or mappings from an iterable, drawn on the event loop: what is drawn is handed over at once."""

    is_file = False
    may_pause = False

    def __init__(self, items: Iterable[ContactLike], rules: NumberRules) -> None:
        self.name = f"a {type(items).__name__}"
        self._items = items
        self._rules = rules
        self._read = 0

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        check = RowCheck(consumed)
        async with aclosing(sliced(self._items)) as lists:
            async for items in lists:
                first_row = self._read + 1
                self._read += len(items)
                yield Batch(check.see(encode_items(first_row, items, self._rules)))
        check.end()

    def fraction_read(self) -> float | None:
        length = len(self._items) if isinstance(self._items, Sized) else 0
        return min(1.0, self._read / length) if length else None


class AsyncIterableSource(ReadOnce):
    """Contacts or mappings from an async iterable."""

    is_file = False
    may_pause = True
    answers_callers = False
    given_again = True

    def __init__(self, items: AsyncIterable[ContactLike], rules: NumberRules) -> None:
        self.name = f"a {type(items).__name__}"
        self._drawing = AsyncSlices(items)
        self._rules = rules
        self._rows = 0
        self._check = RowCheck(NOTHING)

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        self._check = RowCheck(consumed)
        async with aclosing(self._drawing.lists()) as lists:
            async for items in lists:
                yield Batch(self._encoded(items))
        self._check.end()

    def left(self) -> Sequence[Run]:
        items = self._drawing.take()
        return self._encoded(items) if items else ()

    def fraction_read(self) -> float | None:
        return None

    def _encoded(self, items: Sequence[ContactLike]) -> list[Run]:
        first_row, self._rows = self._rows + 1, self._rows + len(items)
        return self._check.see(encode_items(first_row, items, self._rules))
