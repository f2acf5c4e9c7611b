"""The token stands in no error, log line, repr or traceback (C-M-18); phones and payloads are not logged."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import quote

import pytest
from aiohttp import web

from calls_async import CallsClient, CallsError, Campaign, Contact, RetryPolicy
from calls_async.protocol.endpoints import Response
from calls_async.transport.redaction import shown_body
from tests.helpers.serving import serving

SECRET = "se/cret tok\u00ebn.123"
PHONE = "16505550199"
FORMS = [SECRET, quote(SECRET, safe=""), quote(SECRET), "se%2Fcret", "cret tok"]


Call = Callable[[Campaign], Awaitable[object]]


def assert_clean(text: str) -> None:
    for form in FORMS:
        assert form not in text


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


async def source() -> AsyncIterator[Contact]:
    yield Contact(phone=PHONE)


CALLS: list[Call] = [
    lambda campaign: campaign.add_phones([{"phone": PHONE}]),
    lambda campaign: campaign.add_phone(PHONE, method="GET"),
    lambda campaign: campaign.info(),
    lambda campaign: campaign.upload(source()).run(),
]


@pytest.mark.parametrize("status", [0, 200, 302, 400, 404, 500])
@pytest.mark.parametrize("call", CALLS)
async def test_no_failure_shows_the_token(status: int, call: Call, log: pytest.LogCaptureFixture) -> None:
    async def echo(request: web.Request) -> web.Response:
        if status == 0 and request.transport is not None:
            request.transport.abort()
        body = f"<html>{request.path} {request.raw_path} {SECRET} is wrong</html>"
        return web.Response(status=status or 500, text=body, headers={"Location": request.raw_path})

    asyncio.get_running_loop().set_debug(True)
    once = RetryPolicy(max_attempts=1)
    async with serving(echo) as url, CallsClient(url, retry=once, upload_retry=once) as client:
        campaign = client.campaign(SECRET)
        assert_clean(repr(campaign) + repr(client))
        text = ""
        try:
            text = repr(await call(campaign))
        except CallsError as error:
            chain: BaseException | None = error
            while chain is not None:
                text += "".join(traceback.format_exception(chain)) + repr(chain.__dict__)
                chain = chain.__context__
            for frame, _ in traceback.walk_tb(error.__traceback__):
                if "transport" in frame.f_code.co_filename and frame.f_code.co_name == "exchange":
                    text += "".join(repr(value) for name, value in frame.f_locals.items() if name != "self")
        assert text
        assert_clean(text)
    # aiohttp's own server, on the other side of this test, logs nothing of the kind either.
    assert_clean(log.text)
    assert PHONE not in log.text


async def test_a_host_that_is_not_there_shows_no_token(log: pytest.LogCaptureFixture) -> None:
    async with CallsClient("http://127.0.0.1:9", retry=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(CallsError) as caught:
            await client.campaign(SECRET).add_phone(PHONE)
    assert_clean("".join(traceback.format_exception(caught.value)) + log.text)
    assert caught.value.__context__ is None


def test_a_token_that_fills_the_servers_error() -> None:  # C-M-18
    token = "0123456789abcdefghijklmnopqrstuvwxyz.x"
    body = b"x" * 25 + (token.encode() + b" ") * 200
    shown = shown_body(Response(status=400, body=body), token)
    assert token[:20] not in shown
    assert shown
