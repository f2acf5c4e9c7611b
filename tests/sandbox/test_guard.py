"""Web pages of other origins: what they cannot do."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import pytest

from calls_async.sandbox.model.account import DEFAULT_TOKEN
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.dialing import MARCH
from tests.helpers.page import PARTS, Held


async def test_where_others_may_come_no_token_can_be_guessed() -> None:
    assert Sandbox().token == Sandbox(host="::1").token == DEFAULT_TOKEN
    tokens = {Sandbox(host="0.0.0.0").token, Sandbox(allowed_hosts=["x"]).token, DEFAULT_TOKEN}
    assert len(tokens) == 3


# --- whom it lets change anything ---

ELSEWHERE: list[Mapping[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://{host}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "evil.example"},
    {"Host": "evil.example:8765"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost@evil.example"},
    {"Host": ""},
]


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
async def test_a_page_elsewhere_changes_nothing(held: Held, headers: Mapping[str, str]) -> None:
    host = held.sandbox.url.removeprefix("http://")
    sent = {name: value.format(host=host) for name, value in headers.items()}
    contact = [{"phone": 16500000001}]
    changes = [
        await held.post("sandbox/clock", "step_seconds=60", **sent),
        await held.post("sandbox/clock", {"step_seconds": 60}, **sent),
        await held.post("api/calls/campaign/a/addPhones", contact, **sent),
        await held.get("api/crmCalls/campaign/a/addPhone?phone=16500000001", **sent),
        await held.get("api/calls/campaign/a/addPhone?phone=16500000001", **sent),
        await held.get("elsewhere", **sent),
    ]
    assert {status for status, _ in changes} == {403}
    assert (held.sandbox.clock(), held.sandbox.jobs, held.sandbox.requests.total) == (MARCH, [], 0)


async def test_a_second_origin_is_looked_at_too(held: Held) -> None:
    host = held.sandbox.url.removeprefix("http://")
    headers = [("Origin", f"http://{host}"), ("Origin", "http://evil.example")]
    async with held.http.post(f"{held.sandbox.url}/sandbox/clock", headers=headers, data="speed=2") as response:
        assert response.status == 403


async def test_a_name_of_another_machine_reads_nothing(held: Held) -> None:
    for part in [*PARTS, "sandbox/summary", "openapi.json"]:
        status, text = await held.get(part, Host="evil.example")
        assert (status, "--allow-host" in text) == (403, True)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost.", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "10.1.2.3", "sandbox.test:99"]
)
async def test_its_own_names(host: str) -> None:
    async with Sandbox(allowed_hosts=["Sandbox.test"]) as sandbox, aiohttp.ClientSession() as http:
        held = Held(sandbox, http)
        own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert (await held.get("", **own))[0] == 200
        assert (await held.post("sandbox/clock", "step_seconds=60", **own))[0] == 303


async def test_a_link_from_elsewhere_may_lead_to_the_page(held: Held) -> None:
    assert (await held.get("", **{"Sec-Fetch-Site": "cross-site"}))[0] == 200
