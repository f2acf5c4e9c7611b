"""Sealed chunks on their way to the workers: everybody who waits is told when it is over."""

from __future__ import annotations

import asyncio

from calls_async.upload.pipeline.chunk_queue import ChunkQueue


async def worker(queue: ChunkQueue[str], taken: list[str]) -> None:
    while (chunk := await queue.get()) is not None:
        taken.append(chunk)
        await asyncio.sleep(0)
        queue.done()


async def test_a_chunk_that_is_dropped_after_a_worker_was_woken_for_it() -> None:
    queue, taken = ChunkQueue[str](4), list[str]()
    workers = [asyncio.create_task(worker(queue, taken)) for _ in range(3)]
    await asyncio.sleep(0)
    queue.put(["a"])
    queue.close()
    queue.drop()
    await asyncio.wait_for(asyncio.gather(*workers), 1)
    assert taken == []
    assert queue.dropped


async def test_a_worker_that_is_cancelled_after_it_was_woken_passes_it_on() -> None:
    queue, taken = ChunkQueue[str](4), list[str]()
    workers = [asyncio.create_task(worker(queue, taken)) for _ in range(3)]
    await asyncio.sleep(0)
    queue.put(["a"])
    workers[0].cancel()
    queue.close()
    await asyncio.wait_for(asyncio.gather(*workers[1:]), 1)
    assert taken == ["a"]


async def test_every_chunk_is_taken_once_and_in_order() -> None:
    queue, taken = ChunkQueue[str](4), list[str]()
    workers = [asyncio.create_task(worker(queue, taken)) for _ in range(3)]
    for number in range(100):
        queue.put([f"{number:03}"])
        await queue.room()
    queue.close()
    await asyncio.wait_for(asyncio.gather(*workers), 1)
    assert taken == [f"{number:03}" for number in range(100)]
