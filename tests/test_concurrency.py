"""Items that are drawn by a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from calls_async.concurrency import iterate_in_thread


async def test_the_next_item_is_drawn_while_one_is_dealt_with() -> None:
    drawn = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(drawn):
            event.set()
            yield number

    async with aclosing(iterate_in_thread(items(), "test")) as numbers:
        assert await anext(numbers) == 0
        assert drawn[1].wait(10)
        assert not drawn[2].is_set()
        assert [number async for number in numbers] == [1, 2]


async def test_what_may_block_is_not_drawn_before_it_is_asked_for() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(3):
            drawn.append(number)
            yield number

    async with aclosing(iterate_in_thread(items(), "test", may_block=True)) as numbers:
        assert await anext(numbers) == 0
        assert drawn == [0]
        assert await anext(numbers) == 1


@pytest.mark.parametrize("asked", [1, 2])
async def test_an_error_comes_in_its_turn_or_not_at_all(asked: int) -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ZeroDivisionError

    async with aclosing(iterate_in_thread(items(), "test")) as numbers:
        assert await anext(numbers) == 0
        if asked == 2:
            with pytest.raises(ZeroDivisionError):
                await anext(numbers)
