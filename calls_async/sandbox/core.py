"""Core."""

from __future__ import annotations

from calls_async.sandbox.api import Reply
from calls_async.sandbox.faults import FaultKind

_TOO_LARGE = Reply.error(413, "too large")
_BEFORE = {
    FaultKind.UNAVAILABLE: Reply.error(503, "overloaded"),
    FaultKind.IN_PROGRESS: Reply.error(409, "a request with this key is in progress"),
    FaultKind.TOO_MANY_SECONDS: Reply.error(429, "slow down"),
    FaultKind.TOO_MANY_DATE: Reply.error(429, "slow down"),
}
_AFTER = {
    FaultKind.SERVER_ERROR_AFTER: Reply.error(500, "something broke"),
    FaultKind.BAD_GATEWAY_AFTER: Reply(
        status=502, body=b"<html><body><h1>502 Bad Gateway</h1></body></html>", content_type="text/html"
    ),
    FaultKind.GARBAGE_AFTER: Reply(body=b"<html>Welcome</html>", content_type="text/html"),
}
