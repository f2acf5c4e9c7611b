"""What the tests share: a sandbox, clients of it, clocks that are held, and the wire without a network."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest

from calls_async import CallsClient, Campaign
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK
from tests.helpers.wire import Wire

hypothesis.settings.register_profile(
    "loaded machine", deadline=timedelta(seconds=10), suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("loaded machine")


@pytest.fixture(autouse=True)
def _no_state_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Uploads of tests are not remembered among the user's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


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
