"""The sandbox without a socket: settings, account, faults, log of requests, and the way from a call to its reply."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formatdate
from importlib.resources import files
from pathlib import Path
from typing import TypedDict, Unpack

import attrs

from calls_async.sandbox.api import Api, Call, Reply, match_route
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import DEFAULT_TOKEN, Account, DuplicateRule, KeyConflict, make_up_token
from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.model.job import Job
from calls_async.sandbox.request_log import RequestLog
from calls_async.sandbox.state_file import StateFile, StateFileError

MAX_REQUEST_BYTES = 64 * 2**20
_log = logging.getLogger(__name__)
_TOO_LARGE = Reply.error(413, "too large")
_BEFORE = {
    FaultKind.UNAVAILABLE: Reply.error(503, "overloaded"),
    FaultKind.IN_PROGRESS: Reply.error(409, "a request with this key is in progress"),
    FaultKind.TOO_MANY_SECONDS: Reply.error(429, "slow down"),
    FaultKind.TOO_MANY_DATE: Reply.error(429, "slow down"),
}
"""Replies of faults that strike before the API has acted."""
_AFTER = {
    FaultKind.SERVER_ERROR_AFTER: Reply.error(500, "something broke"),
    FaultKind.BAD_GATEWAY_AFTER: Reply(
        status=502, body=b"<html><body><h1>502 Bad Gateway</h1></body></html>", content_type="text/html"
    ),
    FaultKind.GARBAGE_AFTER: Reply(body=b'{"status": "welcome"}'),  # no web page: that ends an upload
}
"""Replies of faults that strike after the API has acted."""


@attrs.frozen(kw_only=True)
class SandboxSettings:
    """The settings of a sandbox."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: a free one."""
    tokens: Sequence[str] = ()
    """Of campaigns that exist from the start; none: one with `DEFAULT_TOKEN`, or a random one where others may reach
    this machine."""
    duplicates: DuplicateRule = DuplicateRule.IGNORE
    """Which rule holds: C-DUP-1 (ignore), C-DUP-2 (error), or none (off)."""
    quoted: bool = False
    """Answer strings as JSON (C-M-15)."""
    numeric_ids: bool = False
    """Answer IDs as numbers (C-M-17)."""
    max_request_bytes: int = MAX_REQUEST_BYTES
    """A larger request is answered 413 (C-M-16)."""
    faults: Faults | None = None
    behaviour: Behaviour | None = None
    """How calls end; None: nobody is called, jobs stay planned."""
    dialing: DialerSettings | None = None
    keep_calls: int | None = None
    """How many requests `calls` remembers; None: all."""
    clock: Clock | None = None
    state: Path | str | None = None
    """A file that keeps everything over the death of the process."""
    allowed_hosts: Sequence[str] = ()
    """Names of this machine that requests may use, besides localhost and every IP address."""


class SandboxOptions(TypedDict, total=False):
    """The fields of `SandboxSettings`, as keyword arguments."""

    host: str
    port: int
    tokens: Sequence[str]
    duplicates: DuplicateRule
    quoted: bool
    numeric_ids: bool
    max_request_bytes: int
    faults: Faults | None
    behaviour: Behaviour | None
    dialing: DialerSettings | None
    keep_calls: int | None
    clock: Clock | None
    state: Path | str | None
    allowed_hosts: Sequence[str]


class SandboxCore:
    """A Calls API that answers calls and keeps what became of them. Takes the fields of `SandboxSettings`.

    Raises `StateFileError` for a state that cannot be used, `ValueError` for a token that is none.
    """

    def __init__(self, **settings: Unpack[SandboxOptions]) -> None:
        self.settings = given = SandboxSettings(**settings)
        self.clock = given.clock or Clock()
        self.faults = given.faults or Faults()
        self.account = Account(
            self.clock,
            given.duplicates,
            behaviour=given.behaviour,
            dialing=given.dialing,
            watched=given.state is not None,
        )
        self._state = None if given.state is None else StateFile(Path(given.state))
        if self._state is not None:
            self._state.load(self.account)
        try:
            tokens = self._set_up_campaigns()
        except ValueError:
            self.close()
            raise
        self.api = Api(self.account, quoted=given.quoted, numeric_ids=given.numeric_ids, keep_calls=given.keep_calls)
        self.requests = RequestLog()
        self.token = tokens[0] if tokens else next(iter(self.account.campaigns))
        """The first campaign's."""
        self.save()

    def _set_up_campaigns(self) -> Sequence[str]:
        tokens = self.settings.tokens
        if not (tokens or self.account.campaigns):
            # Where a browser may send the requests of other web pages unmarked, nobody shall guess it.
            private = is_loopback(self.settings.host) and not self.settings.allowed_hosts
            tokens = [DEFAULT_TOKEN if private else make_up_token()]
        for token in tokens:
            self.account.set_up(token)
        return tokens

    @property
    def closed(self) -> bool:
        """Whether its state was given back, so that it cannot go on."""
        return self._state is not None and self._state.closed

    @property
    def lives_by_itself(self) -> bool:
        """Whether something happens while nobody asks: calls, or a state that must be saved."""
        return self.settings.behaviour is not None or self._state is not None

    @property
    def jobs(self) -> list[Job]:
        """Every job of every campaign, in the order of creation."""
        self.account.catch_up()
        return [job for campaign in self.account.campaigns.values() for job in campaign.jobs.values()]

    @property
    def contacts(self) -> list[dict[str, object]]:
        """What the jobs were created from, under the API's field names."""
        return [job.contact for job in self.jobs]

    @property
    def calls(self) -> list[Call]:
        """Every request that was handled, or the last `keep_calls` of them."""
        return list(self.api.calls)

    @property
    def key_conflicts(self) -> list[KeyConflict]:
        """Keys that came with two contents; there must be none (C-IDEM-8)."""
        return self.account.key_conflicts

    def fail_next(self, kind: FaultKind | str, times: int = 1) -> None:
        """Let the next `times` requests go wrong in this way."""
        self.faults.fail_next(kind, times)

    def advance(self, *, hours: float = 0.0, seconds: float = 0.0) -> None:
        """Move the server's clock forward; keys and the duplicate rule go by it."""
        self.clock.advance(hours=hours, seconds=seconds)
        self.account.catch_up()

    def take(self, call: Call) -> tuple[Reply | None, FaultKind | None]:
        """Handle a call. Return the reply, None where the connection is reset, and the fault that befell it, which
        may have taken the reply's place: how slowly or how much of it comes is left to the caller."""
        fault = None if match_route(call.path) is None else self.faults.draw()
        again = self.account.knows(call.key or "")
        conflicts, jobs = len(self.account.key_conflicts), self.account.jobs_created
        reply = self._take(call, fault)
        self.requests.note(
            call,
            at=self.clock(),
            status=None if reply is None else reply.status,
            fault=fault,
            created_jobs=self.account.jobs_created - jobs,
            conflict=len(self.account.key_conflicts) > conflicts,
            again=again,
        )
        return None if reply is None else self._dated(reply), fault

    def _dated(self, reply: Reply) -> Reply:
        """Return a reply that says what time it is by the sandbox's clock, by which its jobs are created."""
        date = formatdate(self.clock(), usegmt=True)
        return attrs.evolve(reply, headers={**reply.headers, "Date": date})

    def _take(self, call: Call, fault: FaultKind | None) -> Reply | None:
        if fault is FaultKind.RESET_BEFORE:
            return None
        if fault in _BEFORE:
            return attrs.evolve(_BEFORE[fault], headers=self._retry_after(fault))
        if len(call.body) > self.settings.max_request_bytes:
            return _TOO_LARGE
        reply = self.api.handle(call)
        if not self.save():
            return Reply.error(503, "the sandbox cannot write its state")
        if fault is FaultKind.RESET_AFTER:
            return None
        return reply if fault is None else _AFTER.get(fault, reply)

    def refuse_size(self, call: Call) -> Reply:
        """Refuse a call whose body was not even read (C-M-16)."""
        self.requests.note(
            call, at=self.clock(), status=_TOO_LARGE.status, fault=None, created_jobs=0, conflict=False, again=False
        )
        return _TOO_LARGE

    def save(self, *, clock_too: bool = False) -> bool:
        """Write the state, and the clock's moment if asked to, or now and then; return whether that succeeded."""
        if self._state is None:
            return True
        try:
            self._state.save(self.account, clock_too=clock_too)
        except StateFileError as error:
            _log.error("%s", error)
            return False
        return True

    def close(self) -> None:
        """Give the state file back."""
        if self._state is not None:
            self._state.close()

    def _retry_after(self, fault: FaultKind) -> dict[str, str]:
        seconds = self.faults.retry_after_seconds
        if fault is FaultKind.TOO_MANY_SECONDS:
            return {"Retry-After": str(seconds)}
        if fault is FaultKind.TOO_MANY_DATE:
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            return {"Retry-After": format_datetime(until, usegmt=True)}
        return {}


def read_description() -> bytes:
    """Return the Calls API as an OpenAPI 3.1 document, which the package holds as a file."""
    return files("calls_async.sandbox").joinpath("openapi.json").read_bytes()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens at `host`."""
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback


def parse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an IP address; None where it is none."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
