"""The seam between what is said and how it travels: a request goes out, a response or a failure comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from calls_async.protocol.endpoints import Request, Response

Exchange = Callable[[Request], Awaitable[Response]]
"""Sends a request once. Returns the response whatever its status; raises `ExchangeFailed` where there is none."""

TOKEN_PLACEHOLDER = "{token}"  # noqa: S105  # what is shown instead of the token

SHOWN_BODY_CHARS = 500
"""How much of an answer an error keeps (C-ERR-1)."""


class ExchangeFailed(Exception):  # noqa: N818  # a signal between the floors, not one of the package's errors
    """No response. `reached`: the request may have got to the server; `lasting`: trying again cannot help."""

    def __init__(self, reason: str, *, reached: bool, lasting: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reached = reached
        self.lasting = lasting


def scrub(text: str, token: str) -> str:
    """`text` without the token, which servers like to repeat in their error pages (C-M-18)."""
    for form in {token, quote(token, safe=""), quote(token)}:
        text = text.replace(form, TOKEN_PLACEHOLDER)
    return text


def shown_body(response: Response, token: str) -> str:
    """The beginning of an answer, fit to be shown."""
    read = SHOWN_BODY_CHARS * 4
    text = response.body[:read].decode("utf-8", "replace")
    if len(response.body) > read:
        text = text[: -len(quote(token, safe=""))]  # the cut may have gone through a token
    return scrub(text, token)[:SHOWN_BODY_CHARS].strip()
