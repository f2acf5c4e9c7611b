"""A server that answers addPhones as fast as Python can: one ID for each phone, nothing remembered.

Runs as a process of its own and prints its port; ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Sink(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = bytearray()
        self.wanted = -1

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
            body = b"[" + b",".join([b'"5665334669"'] * rows) + b"]"
            self.transport.write(_HEAD % len(body) + body)
            del self.received[: self.wanted]
            self.wanted = -1


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
