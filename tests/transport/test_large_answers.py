"""Large answers are read by a thread: the event loop goes on meanwhile."""

from __future__ import annotations

import threading

import pytest

from calls_async.protocol import endpoints
from calls_async.protocol.endpoints import Request, Response
from calls_async.transport.attempts import LARGE_ANSWER_BYTES, CallContext, CallPlan, Runtime
from calls_async.transport.caller import Caller
from calls_async.transport.policy import RetryPolicy


@pytest.mark.parametrize(("size", "by_thread"), [(LARGE_ANSWER_BYTES, False), (LARGE_ANSWER_BYTES + 1, True)])
async def test_a_large_answer_is_read_by_a_thread(size: int, by_thread: bool) -> None:
    async def exchange(request: Request) -> Response:
        return Response(status=200, body=b" " * size)

    readers: list[threading.Thread] = []

    def read(response: Response) -> int:
        readers.append(threading.current_thread())
        return len(response.body)

    caller = Caller(CallContext(runtime=Runtime(exchange=exchange), policy=RetryPolicy()))
    assert await caller.call(CallPlan(request=endpoints.info("token")), read) == size
    assert (readers[0] is not threading.main_thread()) is by_thread


async def test_an_answer_that_the_thread_cannot_read_is_tried_again() -> None:
    came = 0

    async def exchange(request: Request) -> Response:
        nonlocal came
        came += 1
        return Response(status=200, body=b"[%b%b" % (b"1," * LARGE_ANSWER_BYTES, b"1]" if came == 2 else b""))

    caller = Caller(CallContext(runtime=Runtime(exchange=exchange), policy=RetryPolicy(backoff_seconds=0.001)))
    ids = await caller.call(CallPlan(request=endpoints.add_phones("t", b"[]", "key")), endpoints.read_ids)
    assert (came, len(ids)) == (2, LARGE_ANSWER_BYTES + 1)
