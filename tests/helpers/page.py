"""A sandbox with its page, and a client of it."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from calls_async.sandbox.server.server import Sandbox

PARTS = ["", "sandbox/overview", "sandbox/jobs", "sandbox/requests", "sandbox/faults"]


class Held:
    """A sandbox whose time is held, and a client of it."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.http = http

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(f"{self.sandbox.url}/{path}", headers=headers) as response:
            return response.status, await response.text()

    async def post(self, path: str, fields: Any, **headers: str) -> tuple[int, str]:
        """As JSON; a str is sent as it is, as a form."""
        sent: dict[str, Any] = {"data": fields} if isinstance(fields, str) else {"json": fields}
        if isinstance(fields, str):
            headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        url = f"{self.sandbox.url}/{path}"
        async with self.http.post(url, headers=headers, allow_redirects=False, **sent) as response:
            return response.status, await response.text()

    async def add(self, *phones: int, key: str | None = "k", **fields: Any) -> list[str]:
        headers = {} if key is None else {"Idempotence-Key": key}
        path = f"api/calls/campaign/{self.sandbox.token}/addPhones"
        status, text = await self.post(path, [{"phone": phone, **fields} for phone in phones], **headers)
        assert status == 200
        return json.loads(text)  # type: ignore[no-any-return]
