"""What may be shown: texts without the token, beginnings of answers."""

from __future__ import annotations

from urllib.parse import quote

from calls_async.protocol.endpoints import Response
from calls_async.protocol.token import AnyToken, to_token

TOKEN_PLACEHOLDER = "{token}"  # noqa: S105  # what is shown instead of the token


SHOWN_BODY_CHARS = 500
"""How much of an answer an error keeps (C-ERR-1)."""


def scrub(text: str, token: AnyToken) -> str:
    """Return `text` without the token, which servers like to repeat in their error pages (C-M-18)."""
    for form in _forms(token):
        text = text.replace(form, TOKEN_PLACEHOLDER)
    return text


def shown_body(response: Response, token: AnyToken) -> str:
    """Return the beginning of an answer, fit to be shown."""
    text = scrub(response.body[: SHOWN_BODY_CHARS * 4].decode("utf-8", "replace"), token)
    for form in _forms(token):
        # The cut may have gone through a token, whose beginning is left at the end.
        longest = next((size for size in range(len(form) - 1, 0, -1) if text.endswith(form[:size])), 0)
        text = text[: len(text) - longest]
    return text[:SHOWN_BODY_CHARS].strip()


def without_frames(error: BaseException) -> BaseException:
    """Return an error with nothing of where it came from: no frames, no cause, no context."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _forms(token: AnyToken) -> set[str]:
    """Return how a token may stand in a text or in a URL."""
    value = to_token(token).reveal()
    return {value, quote(value, safe=""), quote(value)}
