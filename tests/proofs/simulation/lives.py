"""The lives of a process: what is drawn for each, what it may end with, and what passes between two of them."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import attrs

from calls_async.errors import AccessError, NoAnswerError, RefusedError, TooManyRefusalsError
from calls_async.transport.attempts import Runtime
from calls_async.transport.clock import Clock
from calls_async.transport.connection import Connection
from calls_async.transport.policy import RetryPolicy
from tests.proofs.simulation.loop import Crash, SimulatedLoop
from tests.proofs.simulation.process import live
from tests.proofs.simulation.story import Story
from tests.proofs.simulation.world import World

MOST_LIVES = 12
HOUR = 3600.0
DAY = 24 * HOUR
HOST = "simulated"


class ConsumerError(Exception):
    """The service's own loop over the receipts fails."""


EXPECTED = (
    Crash,
    ConsumerError,
    AccessError,
    NoAnswerError,
    RefusedError,
    TooManyRefusalsError,
    asyncio.CancelledError,
)
"""What a life may end with; whatever else it is, is a bug."""


@attrs.define
class Lives:
    """Everything is drawn from the seed: the same seed is the same schedule."""

    seed: int
    folder: Path
    first_crash: int | None = None
    """The step of the first life after which it dies; None: drawn like the others."""
    first_cancel: int | None = None
    """The step of the first life after which it is cancelled."""
    rng: random.Random = attrs.field(init=False)
    world: World = attrs.field(init=False)
    disk_seconds: float = attrs.field(init=False)
    clock_jumps: bool = attrs.field(init=False)
    """Whether the wall clock is wrong now and then, but before the first answer. The server's `Date` tells."""
    clock_off: float = 0.0
    """How far it is set off now; seconds."""
    story: Story = attrs.field(factory=Story)
    lives: int = 0

    def __attrs_post_init__(self) -> None:
        rng = self.rng = random.Random(self.seed)
        self.world = World(
            rng,
            trouble=rng.choice([0.0, 0.1, 0.3, 0.6]),
            skew_seconds=rng.uniform(-200, 200),
            slowness_seconds=rng.choice([0.0, 0.01, 0.3]),
            story=self.story,
        )
        self.world.tells_time = rng.random() < 0.5
        self.clock_jumps = self.world.tells_time and rng.random() < 0.3
        self.disk_seconds = rng.choice([0.01, 0.01, 2.0])
        for _ in range(rng.choice([0, 0, 1, 3])):
            start = self.world.now + rng.expovariate(1 / 60)
            self.world.outages.append((start, start + rng.choice([5.0, 100.0, 5000.0])))

    def run(self) -> None:
        """Play it."""
        raise NotImplementedError

    def calm_down(self) -> None:
        """From now on, everything goes well."""
        self.world.trouble = 0.0
        self.world.outages.clear()

    def in_a_process(self, main: Any, *, calm: bool, crash_after_steps: float = 150) -> Any:
        """Run `main(loop)` in a process of its own; return what it returns, or the error that it ends with."""
        crash_after = None
        if not calm and self.rng.random() >= 0.3:
            crash_after = int(self.rng.expovariate(1 / crash_after_steps)) + 1
        if self.lives == 1 and self.first_crash is not None:
            crash_after = self.first_crash
        self._set_clock(calm=calm)
        loop = SimulatedLoop(self.rng, crash_after, self.disk_seconds)
        cancel_at, self.first_cancel = self.first_cancel, None
        draw = random.Random(f"{self.seed} {self.lives} {self.world.now}")  # of its own: other draws stay as they are
        in_files = None if calm or draw.random() >= 0.2 else draw.randrange(1, 8)
        ending = live(loop, main, self.world, cancel_at, in_files)
        self.story.tell(f"{self.world.since():12.1f} s  the process ends: {ending!r}")
        return ending

    def may_be_wrong(self) -> bool:
        """Whether the clock may be wrong when a process begins: an earlier one has sent something."""
        raise NotImplementedError

    def _set_clock(self, *, calm: bool) -> None:
        self.clock_off, self.world.told_time = 0.0, False
        if self.clock_jumps and not calm and self.may_be_wrong():
            self.clock_off = self.rng.choice([0.0, 0.0, -8 * HOUR, 8 * HOUR, -3 * DAY, 3 * DAY])
        self.story.tell(f"{self.world.since():12.1f} s  a process begins; its clock is {self.clock_off:+.0f} s off")

    def jump(self, loop: SimulatedLoop, *, calm: bool) -> None:
        """Set the wall clock right, or wrong, in the middle of a life; sometimes."""
        if self.clock_jumps and not calm and self.rng.random() < 0.3:
            loop.call_later(self.rng.expovariate(1 / 60), self._jump)

    def _jump(self) -> None:
        if self.world.told_time:
            self.clock_off = self.rng.choice([0.0, -8 * HOUR, 8 * HOUR, 3 * DAY])
            self.story.tell(f"{self.world.since():12.1f} s  the clock is {self.clock_off:+.0f} s off now")

    def clock(self, loop: SimulatedLoop) -> Clock:
        return Clock(wall=lambda: self.world.now + self.clock_off, monotonic=loop.time, sleep=asyncio.sleep)

    def policy(self, *, calm: bool) -> RetryPolicy:
        rng = self.rng
        return RetryPolicy(
            max_attempts=None if calm else rng.choice([None, 3]),
            give_up_seconds=rng.choice([100.0, 2000.0, 200_000.0]),
            retry_after_max_seconds=rng.choice([60.0, 10_000.0]),
        )

    def connection(self, loop: SimulatedLoop, *, calm: bool, host: str = HOST) -> Connection:
        policy = self.policy(calm=calm)
        runtime = Runtime(exchange=self.world.exchange, clock=self.clock(loop), rng=self.rng)
        return Connection(base_url=host, runtime=runtime, retry=policy, upload_retry=policy)

    def pass_time(self) -> None:
        self.world.now += self.rng.choice([0.0, 1.0, 60.0, HOUR, 0.9 * DAY, 0.97 * DAY, 1.1 * DAY, 3 * DAY])
        self.world.catch_up()
