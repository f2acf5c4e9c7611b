"""A server of limited capacity: so many requests at a time, a queue beyond, and 503 past its length.

    python benchmarks/limited.py PLACES QUEUE SERVICE_SECONDS

Runs as a process of its own and prints its port. Each line of its standard input is a new number of places; it ends
with that input.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import deque

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
VARIATION = 0.3
"""Service times vary by so much of their mean, in both directions."""


class Capacity:
    """The places, and who waits for one."""

    def __init__(self, places: int, queue: int, service_seconds: float) -> None:
        self.places = places
        self._queue = queue
        self._service_seconds = service_seconds
        self._busy = 0
        self._waiting: deque[tuple[Connection, bytes]] = deque()
        self._rng = random.Random(1)

    def arrive(self, connection: Connection, answer: bytes) -> None:
        if self._busy < self.places:
            self._serve(connection, answer)
        elif len(self._waiting) < self._queue:
            self._waiting.append((connection, answer))
        else:
            connection.answer(_BUSY)

    def change(self, places: int) -> None:
        self.places = places
        self._fill()

    def _serve(self, connection: Connection, answer: bytes) -> None:
        self._busy += 1
        seconds = self._service_seconds * self._rng.uniform(1 - VARIATION, 1 + VARIATION)
        asyncio.get_running_loop().call_later(seconds, self._done, connection, answer)

    def _done(self, connection: Connection, answer: bytes) -> None:
        self._busy -= 1
        connection.answer(answer)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and self._busy < self.places:
            self._serve(*self._waiting.popleft())


class Connection(asyncio.Protocol):
    """Requests come one after the other."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        start = head.index(b"content-length:") + 15
        size = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
        if len(self._received) >= size:
            rows = self._received.count(b'"phone":', 0, size)
            body = b"[" + b",".join([b'"%d"' % random.getrandbits(60) for _ in range(rows)]) + b"]"
            self._received.clear()
            self._capacity.arrive(self, _OK % len(body) + body)

    def answer(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


async def main() -> None:
    capacity = Capacity(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(capacity), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        while line := await asyncio.to_thread(sys.stdin.readline):
            capacity.change(int(line))


if __name__ == "__main__":
    asyncio.run(main())
