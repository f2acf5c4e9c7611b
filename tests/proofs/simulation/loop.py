"""An event loop whose time is virtual and whose life can end between any two steps, like a process under kill -9."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

_MOST_CLOSINGS = 50


class Crash(BaseException):
    """The process dies here. Nothing of it runs any more: no `finally`, no cleaning up."""


class _NoSelector:
    """Nothing to wait for but time."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.step(timeout)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs everything on one thread, in an order that depends on `rng` alone.

    `crash_after` counts steps; a step is one round of callbacks. Work for threads is done inline, after a moment.
    """

    def __init__(self, rng: random.Random, crash_after: int | None = None, disk_seconds: float = 0.01) -> None:
        super().__init__()
        self._selector = _NoSelector(self)
        self._now = 0.0
        self._rng = rng
        self._crash_after = crash_after
        self._disk_seconds = disk_seconds
        self.steps = 0
        self.dead = False
        self._at_step: tuple[int, Callable[[], object]] | None = None

    def time(self) -> float:
        return self._now

    def die(self) -> None:
        """End here: no step follows."""
        self.dead, self._crash_after = True, self.steps

    def at_step(self, step: int, act: Callable[[], object]) -> None:
        """Lets something happen after a step of that number."""
        self._at_step = (step, act)

    def step(self, timeout: float | None) -> None:
        self.steps += 1
        if self._crash_after is not None and self.steps > self._crash_after:
            self.dead = True
            raise Crash
        if self._at_step is not None and self.steps == self._at_step[0]:
            self._at_step[1]()
            return
        if timeout is None:
            raise RuntimeError("everything waits and nothing can happen any more")
        self._now += timeout

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done = self.create_future()

        def finish(result: Any, error: Exception | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def work() -> None:
            result, failed = None, None
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001  # it is handed to whoever waits
                failed = error
            # The work is done, but nobody knows yet: a crash may fall between.
            self.call_later(self._rng.uniform(0, self._disk_seconds), finish, result, failed)

        self.call_later(self._rng.uniform(0, self._disk_seconds), work)
        return done

    def bury(self) -> None:
        """Lets go of what the dead process has left. It can do nothing any more: its files are torn away, and there
        is no running loop to wait in."""
        self.set_exception_handler(lambda *_: None)
        # What a `finally` begins now must not make a loop of its own, which nobody would ever close.
        asyncio.set_event_loop(self)
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            for _ in range(_MOST_CLOSINGS):
                try:
                    task.get_coro().close()
                    break
                except BaseException:  # noqa: BLE001  # whatever a finally tried to do came too late
                    continue
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        self.close()
        asyncio.set_event_loop(None)

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        if not self.dead:
            super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
