"""The seam between what is said and how it travels: a request goes out, a response or a failure comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from calls_async.protocol.endpoints import Request, Response

Exchange = Callable[[Request], Awaitable[Response]]
"""Sends a request once. Returns the response whatever its status; raises `ExchangeFailed` where there is none."""


class ExchangeFailed(Exception):  # noqa: N818  # a signal between the floors, not one of the package's errors
    """No response. `reached`: the request may have got to the server; `lasting`: trying again cannot help;
    `timed_out`: the server may only be slow."""

    def __init__(self, reason: str, *, reached: bool, lasting: bool = False, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reached = reached
        self.lasting = lasting
        self.timed_out = timed_out
