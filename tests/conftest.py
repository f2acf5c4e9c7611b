"""What the tests share: a sandbox, clients of it, clocks that are held, and the wire without a network."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import attrs
import pytest
from aioresponses import aioresponses

from calls_async import CallsClient, Campaign, RetryPolicy
from calls_async.sandbox.server.server import Sandbox
from calls_async.transport.clock import Clock

TOKEN = "8231.7056.1b131df1"
QUICK = RetryPolicy(max_attempts=None, give_up_seconds=20, unreachable_seconds=1, backoff_seconds=0.001)
"""For uploads to a sandbox: real waits, but short ones."""


@attrs.define
class HeldClock:
    """A clock that moves only when somebody sleeps."""

    now: float = 1_800_000_000.0
    slept: list[float] = attrs.field(factory=list)

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now, monotonic=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def held_clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[CallsClient]:
    async with CallsClient(sandbox.url, retry=QUICK, upload_retry=QUICK, rng=random.Random(1)) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a journal."""
    return tmp_path / "list.journal"


@pytest.fixture
def campaign(sandbox: Sandbox, client: CallsClient) -> Campaign:
    return client.campaign(sandbox.token)


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not give aiohttp 3.14 the stream writer that it asks for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class Wire(aioresponses):
    """Answers in place of a network; `sent` has every request as aiohttp got it."""

    def add(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("response_class", _Response)
        super().add(*args, **kwargs)

    @property
    def sent(self) -> list[tuple[str, Any, dict[str, Any]]]:
        return [(method, url, call.kwargs) for (method, url), calls in self.requests.items() for call in calls]


@pytest.fixture
def wire() -> Iterator[Wire]:
    answering = Wire()
    with answering:
        yield answering


@pytest.fixture
async def jaicp(held_clock: HeldClock) -> AsyncIterator[CallsClient]:
    """A client of a system that `wire` plays."""
    async with CallsClient("jaicp", clock=held_clock.clock(), rng=random.Random(1)) as opened:
        yield opened
