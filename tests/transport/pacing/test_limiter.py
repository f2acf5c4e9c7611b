"""Contacts a second."""

from __future__ import annotations

import random

from calls_async.protocol.endpoints import Response
from calls_async.transport.pacing.limiter import RateLimiter
from tests.helpers.clock import HeldClock
from tests.helpers.line import Line, Setting


def never(seconds: float) -> bool:
    return False


async def test_the_rate_is_kept(held_clock: HeldClock) -> None:
    limiter = RateLimiter(1000, held_clock.clock())

    async def enter() -> bool:
        return True

    sent: list[tuple[float, int]] = []
    rng = random.Random(3)
    while held_clock.now < 1_800_000_000 + 60:
        count = rng.randint(1, limiter.largest_chunk)
        assert await limiter.take(count, enter, too_late=never, sleep=held_clock.sleep)
        sent.append((held_clock.now, count))
    first = sent[0][0]
    for start in range(50):
        within = sum(count for at, count in sent if first + start <= at < first + start + 10)
        assert 9_800 <= within <= 10_200


def test_the_rate_limiter_does_not_wait_for_what_is_too_late() -> None:
    one = Setting()
    one.line = Line(one.loop, lambda now, request: Response(status=200, body=b"[]"))
    limiter = RateLimiter(1, one.clock)

    async def enter() -> bool:
        return True

    async def main() -> None:
        assert await limiter.take(100, enter, too_late=never, sleep=one.clock.sleep)
        assert not await limiter.take(1, enter, too_late=lambda seconds: seconds > 50, sleep=one.clock.sleep)

    one.loop.run_until_complete(main())
    assert one.loop.time() == 0
    one.loop.close()
