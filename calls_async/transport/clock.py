"""Time as a thing that is handed in, so that tests hold it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import attrs


@attrs.frozen(slots=True, kw_only=True)
class Clock:
    """`wall` is Unix time in seconds, which journals and keys count by; `monotonic` measures waits."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
