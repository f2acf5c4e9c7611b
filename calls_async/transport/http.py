"""The aiohttp adapter: addresses, sessions, timeouts, size caps. The only room of the client that knows aiohttp.

aiohttp's exceptions carry the full URL, hence the token: they end here, and what is raised instead is raised after
their handler, so that it does not even refer to them.
"""

from __future__ import annotations

import ipaddress
import ssl
from importlib.metadata import version
from io import BytesIO
from typing import Self
from urllib.parse import quote, urlencode

import aiohttp
import attrs
from yarl import URL

from calls_async.errors import ConfigurationError
from calls_async.protocol.endpoints import HOSTS, KEY_NAME, Method, Request, Response
from calls_async.protocol.token import Token
from calls_async.transport.exchange import ExchangeFailed
from calls_async.transport.redaction import TOKEN_PLACEHOLDER, scrub, without_frames

_MAX_PLAIN_BODY_BYTES = 2**20  # aiohttp warns about larger bodies that are given as bytes


@attrs.frozen(slots=True, kw_only=True)
class Timeouts:
    """For one attempt; how long a whole call may take is the `RetryPolicy`'s matter."""

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    """The longest silence while waiting for the answer."""
    total_seconds: float = 120.0


def resolve_host(host: str, *, allow_plain_http: bool) -> str:
    """Return the base URL that `host` means: one of the four systems by name (C-HOST-1 … 4), or a URL (C-HOST-5).

    Raises `ConfigurationError`.
    """
    if host in HOSTS:
        return HOSTS[host]
    url = _parse(host)
    if url is None or url.scheme not in ("http", "https") or not url.host:
        names = ", ".join(sorted(HOSTS))
        raise ConfigurationError(f"the host must be one of {names}, or a URL such as https://calls.example.com")
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise ConfigurationError("the host's URL may have a port and a path, but no user, query or fragment")
    if url.scheme == "http" and not allow_plain_http and not _is_loopback(url.host):
        raise ConfigurationError(
            f"plain http to {url.host} would show the token and every phone number to the network; use https, "
            "or say allow_plain_http=True (--plain-http)"
        )
    return str(url).rstrip("/")


def _parse(text: str) -> URL | None:
    try:
        return URL(text)
    except ValueError:
        return None


def is_loopback_url(url: str) -> bool:
    """Return whether a base URL leads to this machine."""
    parsed = _parse(url)
    return parsed is not None and _is_loopback(parsed.host or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class HttpTransport:
    """Sends requests to one base URL over one pool of connections. `async with` opens and closes it."""

    def __init__(self, base_url: str, *, timeouts: Timeouts, max_answer_bytes: int) -> None:
        self._base_url = base_url
        self._max_answer_bytes = max_answer_bytes
        self._timeout = aiohttp.ClientTimeout(
            total=timeouts.total_seconds, sock_connect=timeouts.connect_seconds, sock_read=timeouts.read_seconds
        )
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # what is in flight is bounded elsewhere
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            headers={"User-Agent": f"calls_async/{version('calls_async')}", "Accept": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def exchange(self, request: Request) -> Response:
        """Send `request` once; see `Exchange`."""
        session = self._session
        if session is None:
            raise ConfigurationError("the client is not open; use it inside `async with CallsClient(...) as client:`")
        try:
            # The URL is no variable here, and what is raised is raised below, without the frames that have it: tools
            # that show a traceback with its variables must not show the token.
            async with session.request(
                request.method.value,
                URL(self._base_url + make_path_and_query(request), encoded=True),
                data=_body(request),
                headers=make_headers(request),
                allow_redirects=False,
            ) as response:
                return Response(
                    status=response.status,
                    headers=response.headers,
                    body=await self._read(response),
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure: BaseException = _failure(error, request.token)
        except BaseException as error:  # noqa: BLE001  # also a cancellation: the frames below hold the URL
            failure = without_frames(error)
        raise failure

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._max_answer_bytes
        parts, size = [], 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > limit:
                # Not read to its end, so that a server cannot fill the memory.
                reason = f"an answer of more than {limit} bytes; raise max_answer_bytes if that is right"
                raise ExchangeFailed(reason, reached=True, lasting=True)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def make_path_and_query(request: Request) -> str:
    """Return the request's URL after the host, with the token."""
    path = request.path.replace(TOKEN_PLACEHOLDER, quote(request.token.reveal(), safe=""))
    if not request.query and request.method is Method.POST:
        return path
    query = list(request.query)
    if request.method is Method.GET and request.idempotence_key is not None:
        query.append((KEY_NAME, request.idempotence_key))  # C-IDEM-4
    return f"{path}?{urlencode(query, quote_via=quote)}" if query else path


def make_headers(request: Request) -> dict[str, str]:
    """Return the headers that the request itself needs."""
    headers = dict(request.headers)
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    if request.method is Method.POST and request.idempotence_key is not None:
        headers[KEY_NAME] = request.idempotence_key  # C-IDEM-3
    return headers


def _body(request: Request) -> bytes | BytesIO | None:
    if request.body is None or len(request.body) < _MAX_PLAIN_BODY_BYTES:
        return request.body
    return BytesIO(request.body)  # a new one for each attempt: a used one is empty


def _failure(error: Exception, token: Token) -> ExchangeFailed:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return ExchangeFailed(_describe_certificate(error), reached=False, lasting=True)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ExchangeFailed("connecting took too long", reached=False, timed_out=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return ExchangeFailed(f"no connection: {_os_reason(error.os_error)}", reached=False)
    if isinstance(error, TimeoutError):
        return ExchangeFailed("no answer in time", reached=True, timed_out=True)
    if isinstance(error, aiohttp.InvalidURL):
        return ExchangeFailed("the host's URL is not valid", reached=False, lasting=True)
    if isinstance(error, aiohttp.ClientPayloadError):
        return ExchangeFailed("the answer broke off", reached=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return ExchangeFailed("the answer is not HTTP", reached=True)
    return ExchangeFailed(scrub(f"the connection broke: {_os_reason(error)}", token), reached=True)


_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH, _EXPIRED = 62, 64, 10
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
"""Codes of X.509 verification, as OpenSSL numbers them."""


def _describe_certificate(error: Exception) -> str:
    """Return what is wrong with a certificate, and what to do."""
    cause = getattr(error, "certificate_error", error)
    code = getattr(cause, "verify_code", None)
    if code in (_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH):
        return "the server's certificate is for another host; check the address"
    if code == _EXPIRED:
        return "the server's certificate has expired; tell who runs it"
    if code in _UNKNOWN_AUTHORITY:
        return (
            "the server's certificate is signed by an authority that this machine does not know; where that is your "
            "company's, name its certificate in SSL_CERT_FILE"
        )
    return "the server's certificate is not valid"


def _os_reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
