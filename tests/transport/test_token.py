"""The token shows nothing: not in what is printed, and in no frame of whatever is raised (C-M-18)."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rich.console
import rich.traceback
from aiohttp import web

from calls_async import CallsClient, CallsError, Campaign, RetryPolicy
from calls_async.protocol import endpoints
from calls_async.protocol.token import Token, to_token
from calls_async.transport.http import Timeouts
from tests.helpers.contacts import contacts
from tests.helpers.serving import serving

SECRET = "8231.7056.s3cr3t-t0ken"
ONCE = RetryPolicy(max_attempts=1, unreachable_seconds=0.1)


def test_a_token_shows_nothing() -> None:
    token = Token(SECRET)
    shown = [repr(token), str(token), f"{token}", f"{token!r:>10}", "%s" % token, repr([token]), repr({"t": token})]  # noqa: UP031
    assert not [text for text in shown if SECRET in text]
    assert SECRET not in repr(endpoints.add_phones(SECRET, b"[]", "key"))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(token)
    with pytest.raises(TypeError):
        json.dumps(token)
    assert not hasattr(token, "__dict__")


def test_tokens_are_told_apart() -> None:
    assert to_token(SECRET) == Token(SECRET) == to_token(Token(SECRET))
    assert Token("a") != Token("b")
    assert Token(SECRET) != SECRET
    assert len({Token("a"), Token("a"), Token("b")}) == 2
    assert Token(SECRET).reveal() == SECRET


def all_errors(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    yield from all_errors(error.__cause__, seen)
    yield from all_errors(error.__context__, seen)
    for one in getattr(error, "exceptions", ()):
        yield from all_errors(one, seen)


def leaks(error: BaseException, skip: str) -> list[str]:
    """Where the token stands in the variables of any frame, but those of the functions of this file."""
    found = []
    for one in all_errors(error, set()):
        if SECRET in str(one) or SECRET in repr(one):
            found.append(f"the text of {type(one)}")
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename == skip:
                continue
            for name, value in frame.f_locals.items():
                if SECRET in repr(value) or SECRET in str(value):
                    found.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}: {name}")
    return found


def dump(error: BaseException) -> str:
    """What an error reporter that collects variables gets of it."""
    text = io.StringIO()
    console = rich.console.Console(file=text, width=400)
    shown = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=10_000
    )
    console.print(shown)
    return text.getvalue()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def repeat_the_url(request: web.Request) -> web.StreamResponse:
    return web.Response(status=403, text=f"no campaign at {request.url}")


async def welcome(request: web.Request) -> web.StreamResponse:
    return web.Response(text=f"<html>{request.url}</html>", content_type="text/html")


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    assert request.transport is not None
    request.transport.close()
    return response


async def add(campaign: Campaign) -> None:
    await campaign.add_phones(list(contacts(2)))


async def upload(campaign: Campaign) -> None:
    await campaign.upload(contacts(20), chunk_rows=5).run()


async def ask(campaign: Campaign) -> None:
    await campaign.job_report(phones=["16500000000"])


@pytest.mark.parametrize("handler", [hang, reset, repeat_the_url, welcome, cut])
@pytest.mark.parametrize("act", [add, upload, ask])
async def test_no_frame_of_an_error_has_it(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], act: Callable[[Campaign], Awaitable[None]]
) -> None:
    async with serving(handler) as url:
        timeouts = Timeouts(total_seconds=0.1)
        async with CallsClient(url, retry=ONCE, upload_retry=ONCE, timeouts=timeouts) as client:
            campaign = client.campaign(SECRET)
            try:
                await act(campaign)
            except CallsError as error:
                assert leaks(error, __file__) == []
                assert SECRET not in dump(error)
            else:
                assert act is upload  # whose rows are unknown


@pytest.mark.parametrize("act", [add, upload, ask])
async def test_no_frame_of_a_cancellation_has_it(act: Callable[[Campaign], Awaitable[None]]) -> None:
    async with serving(hang) as url, CallsClient(url) as client:
        task = asyncio.ensure_future(act(client.campaign(SECRET)))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert leaks(caught.value, __file__) == []


async def test_no_frame_of_an_error_that_nobody_expects_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(hang) as url, CallsClient(url) as client:
        campaign = client.campaign(SECRET)

        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("aiohttp.ClientRequest.__init__", broken)
        with pytest.raises(ZeroDivisionError) as caught:
            await campaign.info()
        assert leaks(caught.value, __file__) == []


async def test_no_frame_has_it_where_nobody_listens(path: Path) -> None:
    async with CallsClient("http://127.0.0.1:9", retry=ONCE, upload_retry=ONCE) as client:
        with pytest.raises(CallsError) as caught:
            await client.campaign(SECRET).upload(contacts(20), journal=path).run()
        assert leaks(caught.value, __file__) == []
