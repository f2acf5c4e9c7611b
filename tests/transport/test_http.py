"""The aiohttp adapter over real sockets: redirects, sizes, silence, and an address where nobody listens."""

from __future__ import annotations

import asyncio
import socket
import ssl
from importlib.util import find_spec
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from calls_async import AccessError, CallsClient, CallsError, NoAnswerError, RetryPolicy, Timeouts, UnreachableError
from calls_async.protocol.token import to_token
from calls_async.sandbox.server.server import Sandbox
from calls_async.transport import http
from tests.helpers.servers import QUICK, TOKEN
from tests.helpers.serving import serving

ONCE = RetryPolicy(max_attempts=1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:  # C-M-18
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with serving(handler) as url, CallsClient(url) as client:
        with pytest.raises(AccessError, match="redirects are not followed"):
            await client.campaign(TOKEN).info()
    assert seen == [f"/api/calls/campaign/{TOKEN}"]


@pytest.mark.parametrize("announced", [True, False])
async def test_answers_larger_than_the_limit_are_refused(announced: bool) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if announced:
            response.content_length = 200_000
        await response.prepare(request)
        for _ in range(200):
            await response.write(b" " * 1000)
        return response

    async with serving(handler) as url, CallsClient(url, max_answer_bytes=100_000) as client:
        with pytest.raises(NoAnswerError, match="more than 100000 bytes") as caught:
            await client.campaign(TOKEN).info()
    assert caught.value.attempts == 1


async def test_a_silent_server_is_waited_for_only_so_long() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    timeouts = Timeouts(read_seconds=0.05)
    async with serving(handler) as url, CallsClient(url, timeouts=timeouts, retry=ONCE) as client:
        with pytest.raises(NoAnswerError, match="no answer in time") as caught:
            await client.campaign(TOKEN).info()
    assert not isinstance(caught.value, UnreachableError)


async def test_a_server_that_drips_is_cut_off() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" ")
            await asyncio.sleep(0.01)
        return response

    timeouts = Timeouts(read_seconds=5, total_seconds=0.2)
    async with serving(handler) as url, CallsClient(url, timeouts=timeouts, retry=ONCE) as client:
        with pytest.raises(NoAnswerError, match="no answer in time"):
            await client.campaign(TOKEN).info()


async def test_where_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with CallsClient(url, retry=ONCE) as client:
            with pytest.raises(UnreachableError, match="was not sent"):
                await client.campaign(TOKEN).add_phone("16500000000")


async def test_a_body_past_a_mebibyte_is_sent_whole_at_each_attempt() -> None:  # C-M-16
    payload = {"text": "x" * 2_000_000}
    async with Sandbox() as sandbox, CallsClient(sandbox.url, retry=QUICK) as client:
        sandbox.fail_next("reset-after")
        (job,) = await client.campaign(sandbox.token).add_phones([{"phone": "16500000000", "payload": payload}])
        assert [one.id for one in sandbox.jobs] == [job]
        assert len({call.body for call in sandbox.calls}) == 1
        assert len(sandbox.calls) == 2


async def test_a_path_prefix() -> None:  # C-HOST-5
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return web.Response(text="planned")

    async with serving(handler) as url, CallsClient(url + "/calls/v1/") as client:
        await client.campaign("a/b c").status()
    assert seen == ["/calls/v1/api/calls/campaign/a%2Fb%20c/status"]


async def test_something_that_is_not_http() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with CallsClient(f"http://127.0.0.1:{port}", retry=ONCE) as client:
            with pytest.raises(CallsError):
                await client.campaign(TOKEN).info()


@pytest.mark.parametrize(
    ("code", "said"),
    [(62, "for another host"), (64, "for another host"), (10, "has expired"), (18, "SSL_CERT_FILE"),
     (20, "an authority that this machine does not know"), (99, "is not valid")],
)  # fmt: skip
def test_certificates_are_told_apart(code: int, said: str) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code = code
    key: Any = None
    for one in (error, aiohttp.ClientConnectorCertificateError(key, error)):
        failure = http._failure(one, to_token("t"))
        assert said in str(failure)
        assert failure.lasting


async def test_only_what_can_be_unpacked_is_asked_for() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Accept-Encoding"])
        return web.json_response("planned")

    async with serving(answer) as url, CallsClient(url) as client:
        await client.campaign(TOKEN).status()
    installed = {name for name, module in (("br", "brotli"), ("br", "brotlicffi")) if find_spec(module)}
    assert {part.strip() for part in asked[0].split(",")} - {"zstd"} == {"gzip", "deflate", *installed}
    assert "zstd" not in asked[0] or find_spec("backports") or find_spec("compression")
