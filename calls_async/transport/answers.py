"""Which answer means what: a refusal, something to try again, a wish to wait. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import attrs
import orjson

from calls_async.errors import AccessError, NoAnswerError, RefusedError, RequestError
from calls_async.protocol.endpoints import Request, Response, UnreadableAnswer
from calls_async.transport.evidence import Evidence, Trace
from calls_async.transport.pacing.signals import Sign
from calls_async.transport.redaction import shown_body

BUSY_STATUSES = frozenset({408, 425, 429})
_NO_SUCH_METHOD = frozenset({404, 405, 501})
_ACCESS_STATUSES = frozenset({401, 402, 403, 404, 405, 407, 410, 501})
_BELIEVED_STATUSES = frozenset({400, 422})
"""A first answer by them is taken at its word: nothing was created. After another attempt, it is not."""
ASKED_AGAIN = 2
"""How often a request is repeated under its key after a 409 that does not say that it is in progress."""
_TURNED_AWAY_STATUSES = frozenset({425, 429})
_OVERLOADED_STATUSES = frozenset({503, 504})
_GATEWAY_STATUSES = frozenset({502})
_IN_PROGRESS = re.compile(
    r"(?<!not )(?<!n't )(?:in[ -]?progress|processing|in[ -]?flight|concurrent|try again|retry)"
)


class TryAgain(Exception):  # noqa: N818  # a signal within this layer
    """An attempt came to nothing that is certain."""

    def __init__(
        self,
        reason: str,
        *,
        sign: Sign = Sign.FAILED,
        wait_seconds: float = 0.0,
        status: int | None = None,
        body: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sign = sign
        self.wait_seconds = wait_seconds
        self.status = status
        self.body = body


@attrs.frozen(slots=True)
class Judgement:
    """What an answer means: the `trace` that its attempt has left, and the `failure` to be told; None for a 2xx."""

    trace: Trace
    failure: TryAgain | RefusedError | None = None
    doubtful: bool = False
    """Whether it is a refusal that does not prove that nothing was created: the call ends uncertain."""


def judge(response: Response, request: Request, evidence: Evidence, now: float, *, recognised: bool) -> Judgement:
    """Judge an answer by its status, after the attempts that `evidence` tells of; `now` is Unix time in seconds.
    `recognised`: the server has answered as the API does before."""
    status = response.status
    if 200 <= status < 300:
        return Judgement(Trace.ANSWERED)
    if denies_all(status):
        doubtful = request.creates and evidence.maybe_created
        return _doubt(response, request, now) if doubtful else Judgement(Trace.UNCERTAIN, refused(response, request))
    if status in BUSY_STATUSES or status >= 500:
        trace = Trace.TURNED_AWAY if status in _TURNED_AWAY_STATUSES else Trace.UNCERTAIN
        return Judgement(trace, _try_again(response, spell(status), request, now))
    if status == HTTPStatus.CONFLICT and (request.creates or _is_in_progress(response)):
        return _judge_conflict(response, request, evidence, now)
    too_large = status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE  # often a gateway's own page
    if not recognised and is_web_page(response) and not too_large:
        return Judgement(Trace.UNCERTAIN, not_the_api(response, request))
    if not request.creates or too_large:
        return Judgement(Trace.ANSWERED, refused(response, request))
    if status in _BELIEVED_STATUSES and not evidence.maybe_created and not is_web_page(response):
        return Judgement(Trace.ANSWERED, refused(response, request))
    return _doubt(response, request, now, first=not evidence.maybe_created)


def denies_all(status: int | None) -> bool:
    """Return whether a status says that nothing goes here: it concerns every request alike."""
    return status is not None and (status < 400 or status in _ACCESS_STATUSES)


def judge_unreadable(
    response: Response, unreadable: UnreadableAnswer, request: Request, now: float, *, recognised: bool
) -> Judgement:
    """Judge a 2xx that is not what the method answers: the server has acted, or a gateway has spoken for it; or it is
    not the API."""
    if not recognised and is_web_page(response):
        return Judgement(Trace.UNCERTAIN, not_the_api(response, request))
    return Judgement(Trace.UNCERTAIN, _try_again(response, f"{response.status} with {unreadable}", request, now))


def _judge_conflict(response: Response, request: Request, evidence: Evidence, now: float) -> Judgement:
    """Judge a 409: the key is known already. No page defines the words."""
    if _is_in_progress(response):
        return Judgement(Trace.UNCERTAIN, _try_again(response, "409, the key is in progress", request, now))
    if evidence.conflicts < ASKED_AGAIN:
        return Judgement(Trace.UNCERTAIN, _try_again(response, "409, the key is known", request, now))
    return _doubt(response, request, now)


def _doubt(response: Response, request: Request, now: float, *, first: bool = False) -> Judgement:
    """Judge a refusal that does not prove that nothing was created."""
    reason = spell(response.status) if first else f"{spell(response.status)}, after an attempt without an answer"
    return Judgement(Trace.UNCERTAIN, _try_again(response, reason, request, now), doubtful=True)


def _try_again(response: Response, reason: str, request: Request, now: float) -> TryAgain:
    return TryAgain(
        reason,
        sign=_read_sign(response.status),
        wait_seconds=retry_after_seconds(response.headers, now),
        status=response.status,
        body=shown_body(response, request.token),
    )


def _is_in_progress(response: Response) -> bool:
    """Return whether a 409 says that an earlier attempt under this key is still being handled."""
    words = response.body[:2000].decode("utf-8", "replace").lower()
    return _IN_PROGRESS.search(words) is not None or "retry-after" in response.headers


def is_web_page(response: Response) -> bool:
    """Return whether it is HTML, which the API never answers: a gateway, a login page, another server."""
    return "html" in response.headers.get("content-type", "").lower() or response.body[:100].lstrip()[:1] == b"<"


def not_the_api(response: Response, request: Request) -> AccessError:
    """Make the error for a server that has answered with nothing but a web page."""
    body = shown_body(response, request.token)
    said = f"{spell(response.status)} with a web page, which is no answer of the Calls API; check the host."
    said += _said(body)
    return AccessError(said, method=request.method.value, path=request.path, status=response.status, body=body)


def refused(response: Response, request: Request) -> RefusedError:
    """Make the error for a 3xx or 4xx."""
    status, body = response.status, shown_body(response, request.token)
    if 300 <= status < 400:
        said = f"{spell(status)}; redirects are not followed with a token. Use the address where the API is."
    elif status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        said = f"{spell(status)}; a proxy on the way wants a password." + _said(body)
    elif status in _NO_SUCH_METHOD and request.path.endswith("/test/addPhone"):
        said = f"{spell(status)}; this system may have no test calls (C-M-14). Else check host and token."
        said += _said(body)
    elif status in _ACCESS_STATUSES:
        said = f"{spell(status)}; check the host and the campaign's token." + _said(body)
    else:
        said = f"refused with {spell(status)}." + _said(body)
    kind = AccessError if denies_all(status) else RefusedError
    return kind(said, method=request.method.value, path=request.path, status=status, body=body)


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float:
    """Return the server's wish in seconds from now, given as seconds or as an HTTP date, which counts from the
    server's own `Date`, or else from `now` (Unix time); 0 without one."""
    wish = headers.get("retry-after", "").strip()
    if not wish:
        return 0.0
    if wish.isascii() and wish.isdigit():
        return float(wish[:9])
    until = _read_moment(wish)
    if until is None:
        return 0.0
    sent_at = _read_moment(headers.get("date", ""))
    return max(0.0, until - (now if sent_at is None else sent_at))


def _read_moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def spell(status: int) -> str:
    """Spell a status with its name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _read_sign(status: int) -> Sign:
    if status in BUSY_STATUSES:
        return Sign.BUSY
    if status in _OVERLOADED_STATUSES:
        return Sign.OVERLOADED
    if status in _GATEWAY_STATUSES:
        return Sign.ABSENT
    return Sign.ANSWERED if status == HTTPStatus.CONFLICT else Sign.FAILED


def _said(body: str) -> str:
    return f" The server said: {body}" if body else ""


def describe_refusal(error: RequestError) -> str:
    """Say what a row's outcome tells of a refusal: the status and the server's words, without JSON around them."""
    if not isinstance(error, RefusedError) and not (isinstance(error, NoAnswerError) and error.refused):
        return str(error)
    name = spell(error.status) if error.status is not None else "no status"
    words = _read_words(error.body)
    return f"refused with {name}: {words}" if words else f"refused with {name}"


def _read_words(body: str) -> str:
    try:
        said = orjson.loads(body)
    except ValueError:
        return body
    if isinstance(said, dict):
        found = [said[name] for name in ("message", "error", "detail", "reason") if isinstance(said.get(name), str)]
        return found[0] if found else body
    return said if isinstance(said, str) else body
