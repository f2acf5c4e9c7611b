"""Sandboxes that are called and closed without a socket."""

from __future__ import annotations

import json
from typing import Any

from calls_async.sandbox.api import Call
from calls_async.sandbox.server.server import Sandbox


def call(path: str, body: Any = None, key: str | None = None, method: str = "POST", token: str = "a") -> Call:
    return Call(
        method=method,
        path=f"/api/calls/campaign/{token}{path}",
        headers={} if key is None else {"idempotence-key": key},
        body=b"" if body is None else json.dumps(body).encode(),
    )


def close(sandbox: Sandbox) -> None:
    assert sandbox._state is not None
    sandbox._state.close()
