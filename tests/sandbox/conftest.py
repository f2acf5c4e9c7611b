"""Fixtures of the sandbox's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.dialing import MARCH
from tests.helpers.page import Held


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    async with (
        Sandbox(tokens=["a"], behaviour=Behaviour(), clock=Clock(lambda: MARCH), keep_calls=0) as sandbox,
        aiohttp.ClientSession() as http,
    ):
        yield Held(sandbox, http)
