"""A page in headless Chromium."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from calls_async.testing import SandboxThread

sync_api = pytest.importorskip("playwright.sync_api")
FOLDER = os.environ.get("SCREENSHOTS")
"""Where pictures go, for people to look at."""


class Driven:
    """A sandbox, and its page in a browser."""

    def __init__(self, sandbox: SandboxThread, page: Any) -> None:
        self.sandbox = sandbox
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.set_default_timeout(10_000)

    def open(self) -> None:
        self.page.goto(self.sandbox.url)
        self.page.evaluate("window.loaded = true")

    def check(self) -> None:
        """It was never loaded anew, and nothing failed but requests that gave way to later ones."""
        assert self.page.evaluate("window.loaded") is True
        assert self.page.evaluate("window.hacked") is None
        given_way = ("htmx:afterRequest", "htmx:sendAbort")
        assert [error for error in self.errors if not error.startswith(given_way)] == []

    def picture(self, name: str) -> None:
        if FOLDER:
            self.page.screenshot(path=Path(FOLDER) / f"{name}.png", full_page=True)

    def expect(self, selector: str) -> Any:
        return sync_api.expect(self.page.locator(selector))

    def refreshed(self, part: str) -> None:
        """Twice: what was under way has come, and one more."""
        for _ in range(2):
            with self.page.expect_response(lambda answer: f"/sandbox/{part}" in answer.url):
                pass

    def summary(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.sandbox.url}/sandbox/summary") as answer:
            return json.load(answer)  # type: ignore[no-any-return]

    def add(self, *phones: int, key: str | None = None, **fields: Any) -> list[str]:
        headers = {} if key is None else {"Idempotence-Key": key}
        url = f"{self.sandbox.url}/api/calls/campaign/{self.sandbox.token}/addPhones"
        body = json.dumps([{"phone": phone, **fields} for phone in phones]).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return json.load(answer)  # type: ignore[no-any-return]
