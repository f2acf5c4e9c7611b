"""A server that answers addPhones as fast as Python can: one ID for each phone, each ID another, nothing remembered.

    python benchmarks/sink.py [SECONDS THAT AN ANSWER TAKES [CORE]]

Runs as a process of its own and prints its port; ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from functools import cache

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_PLACE = b"0" * 7


class Sink(asyncio.Protocol):
    """One connection; requests come one after the other."""

    answered = 0

    def __init__(self, latency_seconds: float) -> None:
        self.latency_seconds = latency_seconds
        self.received = bytearray()
        self.wanted = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.wanted < 0:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.received[:end]).lower()
            start = head.index(b"content-length:") + 15
            self.wanted = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
        if len(self.received) >= self.wanted:
            rows = self.received.count(b'"phone":', 0, self.wanted)
            Sink.answered += 1
            answer = template(rows).replace(_PLACE, b"%07d" % (1_000_000 + Sink.answered))
            del self.received[: self.wanted]
            self.wanted = -1
            if self.latency_seconds:
                asyncio.get_running_loop().call_later(self.latency_seconds, self.answer, answer)
            else:
                self.answer(answer)

    def answer(self, answer: bytes) -> None:
        with contextlib.suppress(OSError):
            self.transport.write(answer)


@cache
def template(rows: int) -> bytes:
    """The answer for so many rows, with a place for what makes its IDs different from all others."""
    body = b"[" + b",".join([b'"%b%04d"' % (_PLACE, 1000 + row) for row in range(rows)]) + b"]"
    return _HEAD % len(body) + body


async def main() -> None:
    latency_seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    if len(sys.argv) > 2:
        os.sched_setaffinity(0, [int(sys.argv[2])])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(latency_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
