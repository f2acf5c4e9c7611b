"""Hosts and tokens."""

from __future__ import annotations

from typing import Any

import pytest

from calls_async import CallsClient, CampaignStatus, ConfigurationError
from tests.helpers.servers import TOKEN
from tests.helpers.wire import Wire


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("tovie", "https://platform.tovie.ai"),  # C-HOST-1
        ("dialogstudio", "https://ds.tovie.ai"),  # C-HOST-2
        ("jaicp", "https://app.jaicp.com"),  # C-HOST-3
        ("aimylogic", "https://app.aimylogic.com"),  # C-HOST-4
        ("https://calls.example.com/some/prefix/", "https://calls.example.com/some/prefix"),  # C-HOST-5
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),  # C-HOST-5
        ("http://localhost:8080/x", "http://localhost:8080/x"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
async def test_addresses(wire: Wire, host: str, address: str) -> None:
    wire.get(f"{address}/api/calls/campaign/{TOKEN}/status", body="paused")
    async with CallsClient(host) as client:
        assert await client.campaign(TOKEN).status() is CampaignStatus.PAUSED


@pytest.mark.parametrize(
    "host",
    ["nowhere", "", "ftp://x.example", "https://", "https://u:p@x.example", "https://x.example?a=1", "http://x.example",
     "http://127.0.0.1.example.com", "https://x.example:port"],
)  # fmt: skip
def test_addresses_that_cannot_work(host: str) -> None:  # C-M-18: plain http would show the token
    with pytest.raises(ConfigurationError):
        CallsClient(host)


def test_plain_http_needs_a_word() -> None:
    assert CallsClient("http://x.example", allow_plain_http=True).base_url == "http://x.example"


@pytest.mark.parametrize("token", [" ", "", None, "a\nb", "secret\udce9", ".", "..", " .. "])
def test_a_token_that_is_none(token: Any) -> None:  # C-M-18
    with pytest.raises(ConfigurationError, match="token") as caught:
        CallsClient("jaicp").campaign(token)
    assert "secret" not in repr(caught.value)


async def test_a_client_that_is_not_open() -> None:
    with pytest.raises(ConfigurationError, match="async with"):
        await CallsClient("jaicp").campaign(TOKEN).info()
