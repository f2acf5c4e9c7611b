"""Keeps web pages of other origins from driving the sandbox through somebody's browser.

A browser tells where a request comes from (`Origin`, `Sec-Fetch-Site`) and which name it was sent to (`Host`); a page
elsewhere can change neither. Programs that are no browsers send the first two not at all. Nor does a browser that
loads a picture over plain http from anything but this machine: there, only a token helps that nobody guesses.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from calls_async.sandbox.core import parse_address

_SAFE = frozenset({"GET", "HEAD"})
_OWN_SITE = frozenset({"same-origin", "none"})


class Guard:
    """Lets requests pass that name this machine, and changes that come from no other origin."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names of this machine. Raises ValueError for a name that is none."""
        self._names = {"localhost", *(name.lower() for name in names)}
        for name in self._names:
            if not name or name.endswith(".") or (set(name) & set(":/@ ") and parse_address(name) is None):
                raise ValueError(f"{name!r} cannot be the name of a host: give it without scheme and port")

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if (refusal := self.refuses(request)) is not None:
            return web.Response(status=403, text=refusal + "\n")
        return await handler(request)

    def refuses(self, request: web.Request) -> str | None:
        """Return why a request is refused, if it is."""
        headers = request.headers
        host = headers.get("Host", "")
        if not self._is_ours(host):
            return (
                "the Host header names another machine; calls-async sandbox --allow-host NAME,"
                " or Sandbox(allowed_hosts=[NAME]), allows it"
            )
        if request.method in _SAFE and (
            request.path in ("/", "/openapi.json") or request.path.startswith("/sandbox/")
        ):
            return None  # to be read by whoever got a link; pages elsewhere see no answer
        if headers.get("Sec-Fetch-Site", "none") not in _OWN_SITE:
            return "a web page of another site sent this"
        origins = headers.getall("Origin", [])
        if any(origin.lower() != f"{request.scheme}://{host}".lower() for origin in origins):
            return "a web page of another origin sent this"
        return None

    def _is_ours(self, host: str) -> bool:
        """Return whether a name means this machine: one that is not known may be made to by its owner; an address
        means itself."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name.removesuffix(".") in self._names or parse_address(name) is not None
