"""One life of a process in virtual time: it may die between any two steps, and the disk keeps what was committed."""

from __future__ import annotations

import asyncio
from typing import Any

from calls_async.upload.journal.locks import unlock_file
from calls_async.upload.journal.store import Store
from tests.proofs.simulation.loop import Crash, SimulatedLoop
from tests.proofs.simulation.world import World


def live(loop: SimulatedLoop, main: Any, world: World, cancel_at: int | None) -> Any:
    """Run `main(loop)`; return what it returns, or the error or crash that it ends with. At step `cancel_at` it is
    cancelled."""
    stores: list[Store] = []
    started = world.now
    make, commit = Store.__init__, Store.commit

    def noting(store: Store, *args: Any, **kwargs: Any) -> None:
        make(store, *args, **kwargs)
        stores.append(store)

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
    database = store.database
    files = [database.path, database.path.with_name(database.path.name + "-wal")]
    left = {file: file.read_bytes() for file in files if file.exists()}
    database._connection.close()
    for file, content in left.items():
        file.write_bytes(content)
    if database._lock is not None:
        unlock_file(database._lock)
        database._lock = None
