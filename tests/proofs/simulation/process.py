"""One life of a process in virtual time: it may die between any two steps, and the disk keeps what was committed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from calls_async.upload.journal.bodies import Bodies
from calls_async.upload.journal.chunk_table import ChunkTable
from calls_async.upload.journal.database import Database
from calls_async.upload.journal.locks import unlock_file
from calls_async.upload.journal.store import Store
from tests.proofs.simulation.loop import Crash, SimulatedLoop
from tests.proofs.simulation.world import World

FILE_STEPS = [
    (Bodies, "begin"),
    (Bodies, "remove"),
    (ChunkTable, "gather_bodies"),
    (Database, "begin_log"),
    (Database, "fold_log"),
]
"""What is done to a journal's files one after the other when it is opened or closed, in one step of the loop."""


def live(
    loop: SimulatedLoop, main: Any, world: World, cancel_at: int | None, dies_at_file_step: int | None = None
) -> Any:
    """Run `main(loop)`; return what it returns, or the error or crash that it ends with. At step `cancel_at` it is
    cancelled; it dies before the step `dies_at_file_step` of those in `FILE_STEPS`."""
    with _dying_in_files(loop, dies_at_file_step):
        return _live(loop, main, world, cancel_at)


@contextmanager
def _dying_in_files(loop: SimulatedLoop, dies_at: int | None) -> Iterator[None]:
    steps = 0

    def wrap(original: Any) -> Any:
        def step(*args: Any) -> Any:
            nonlocal steps
            steps += 1
            if loop.dead or steps == dies_at:
                loop.die()
                raise Crash
            return original(*args)

        return step

    before = [(kind, name, getattr(kind, name)) for kind, name in FILE_STEPS]
    for kind, name, original in before:
        setattr(kind, name, wrap(original))
    try:
        yield
    finally:
        for kind, name, original in before:
            setattr(kind, name, original)


def _live(loop: SimulatedLoop, main: Any, world: World, cancel_at: int | None) -> Any:
    stores: list[Store] = []
    started = world.now
    make, commit = Store.__init__, Store.commit

    def noting(store: Store, *args: Any, **kwargs: Any) -> None:
        stores.append(store)
        make(store, *args, **kwargs)

    def commit_if_alive(store: Store, operations: Any) -> None:
        if loop.dead:
            raise Crash
        commit(store, operations)

    Store.__init__ = noting  # type: ignore[method-assign,assignment]
    Store.commit = commit_if_alive  # type: ignore[method-assign,assignment]
    try:
        task = loop.create_task(main(loop))
        loop.call_soon(_keep_time, world, loop, started)
        if cancel_at is not None:
            loop.at_step(cancel_at, task.cancel)
        try:
            return loop.run_until_complete(task)
        except (Crash, Exception, asyncio.CancelledError) as error:
            if not task.done() and not loop.dead:
                raise  # the loop itself has failed
            if not loop.dead:
                left = [task.get_name() for task in asyncio.all_tasks(loop)]
                assert not left, left
            return error
    finally:
        if loop.dead:
            for store in stores:
                _tear_away(store)
            loop.bury()
        else:
            loop.close()
        Store.__init__, Store.commit = make, commit  # type: ignore[method-assign]


def _keep_time(world: World, loop: SimulatedLoop, started: float) -> None:
    """Keep the world's time at the process's."""
    step = loop.step

    def stepping(timeout: float | None) -> None:
        step(timeout)
        world.now = started + loop.time()
        world.catch_up()

    loop.step = stepping  # type: ignore[method-assign]


def _tear_away(store: Store) -> None:
    """Do what the operating system does with the open files of a dead process: nothing is folded into another."""
    database = getattr(store, "database", None)
    if database is None:
        return
    files = [database.path, database.path.with_name(database.path.name + "-wal")]
    left = {file: file.read_bytes() for file in files if file.exists()}
    database._connection.close()
    for file, content in left.items():
        file.write_bytes(content)
    if database._lock is not None:
        unlock_file(database._lock)
        database._lock = None
