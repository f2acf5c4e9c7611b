"""How an answer travels: whole, late, in parts, cut short, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from aiohttp import web

from calls_async.sandbox.api import Reply
from calls_async.sandbox.faults import FaultKind


async def send(
    request: web.Request, reply: Reply | None, fault: FaultKind | None, *, slow_seconds: float
) -> web.StreamResponse:
    """Answer as the fault asks for; None resets the connection."""
    if reply is None:
        return _reset(request)
    if fault is FaultKind.DELAY_AFTER:
        await asyncio.sleep(slow_seconds)
    half = len(reply.body) // 2
    if fault is FaultKind.TRUNCATED_AFTER:
        return await _in_parts(request, reply, [reply.body[:half]], pause=0)
    if fault is FaultKind.SLOW_BODY_AFTER:
        return await _in_parts(request, reply, [reply.body[:half], reply.body[half:]], pause=slow_seconds)
    content_type = f"{reply.content_type}; charset=utf-8"
    return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": content_type, **reply.headers})


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # nobody is there to read it


async def _in_parts(
    request: web.Request, reply: Reply, parts: Iterable[bytes], *, pause: float
) -> web.StreamResponse:
    # Also an empty body can be cut short: one byte more is promised.
    whole = b"".join(parts) == reply.body and pause > 0
    promised = len(reply.body) if whole else len(reply.body) + 1
    headers = {"Content-Type": reply.content_type, "Content-Length": str(promised)}
    response = web.StreamResponse(status=reply.status, headers=headers)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for part in parts:
            await response.write(part)
            await asyncio.sleep(pause)
    if not whole and request.transport is not None:
        request.transport.close()
    return response
