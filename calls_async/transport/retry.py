"""Which failure means what, and how often and how long a call is tried.

A failure is one of three things. A *definite refusal* (4xx): nothing was created. *Try again* (no connection, a
timeout, 408, 425, 429, 5xx, 409 while the key is in progress, a 2xx that cannot be read): the same bytes under the
same key. *No certain answer* (the limits are used up): never sent again blindly.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

import attrs
import tenacity

from calls_async.errors import AccessError, ConfigurationError, NoAnswerError, RefusedError, UnreachableError
from calls_async.protocol.endpoints import Request, Response, UnreadableAnswer
from calls_async.transport.clock import Clock
from calls_async.transport.exchange import Exchange, ExchangeFailed, shown_body

Answer = TypeVar("Answer")

_TRY_AGAIN_STATUSES = frozenset({408, 425, 429})
ACCESS_STATUSES = frozenset({401, 403, 404})
_IN_PROGRESS = re.compile(
    r"(?<!not )(?<!n't )(?:in[ -]?progress|processing|in[ -]?flight|concurrent|try again|retry)"
)


def _positive(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        raise ConfigurationError(f"{attribute.name} must be greater than 0, not {value!r}")


@attrs.frozen(slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long one call is tried. Whatever limit is met first ends it.

    The wait after attempt n is drawn between 0 and min(`backoff_max_seconds`, `backoff_seconds` · 2ⁿ⁻¹) (full
    jitter); a `Retry-After` of the server's, cut to `retry_after_max_seconds`, comes on top.
    """

    max_attempts: int | None = attrs.field(default=6, validator=_positive)
    """None: as many as fit into the time."""
    give_up_seconds: float = attrs.field(default=60.0, validator=_positive)
    """No attempt starts later than this after the first."""
    unreachable_seconds: float = attrs.field(default=30.0, validator=_positive)
    """The same, as long as the server has never answered at all: then the host is probably wrong."""
    backoff_seconds: float = attrs.field(default=0.5, validator=_positive)
    backoff_max_seconds: float = attrs.field(default=30.0, validator=_positive)
    retry_after_max_seconds: float = attrs.field(default=300.0, validator=_positive)

    @classmethod
    def for_uploads(cls) -> RetryPolicy:
        """For an unattended bulk upload: a chunk is given up by time, not after a handful of tries."""
        return cls(max_attempts=None, give_up_seconds=1800.0)


class _TryAgain(Exception):  # noqa: N818  # a signal within this module
    def __init__(
        self,
        reason: str,
        *,
        reached: bool,
        wait_seconds: float = 0.0,
        status: int | None = None,
        body: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reached = reached
        self.wait_seconds = wait_seconds
        self.status = status
        self.body = body


@attrs.frozen(slots=True, kw_only=True)
class Retry:
    """A failed attempt that will be repeated."""

    attempt: int
    reason: str
    wait_seconds: float


@attrs.define(slots=True, kw_only=True)
class Caller:
    """Makes calls over an exchange: the attempts of each, by the policy. Many tasks may share one."""

    exchange: Exchange
    policy: RetryPolicy
    clock: Clock = attrs.field(factory=Clock)
    rng: random.Random = attrs.field(factory=random.Random, repr=False)
    server_answered: bool = attrs.field(default=False, init=False)
    halted: bool = attrs.field(default=False, init=False)
    """Set to let no call try again any more."""

    async def call(
        self,
        request: Request,
        read: Callable[[Response], Answer],
        *,
        not_after: float | None = None,
        sent_before: bool = False,
        on_retry: Callable[[Retry], None] | None = None,
    ) -> Answer:
        """The answer to `request`, read by `read`.

        No attempt starts after `not_after` (Unix time, seconds). `sent_before` says that an earlier process may have
        sent the request. Raises `RefusedError`, `AccessError`, `NoAnswerError`, `UnreachableError`.
        """
        one = _Call(self, request, not_after=not_after, sent_before=sent_before, on_retry=on_retry)
        # A fresh tenacity object for each call: a shared one mixes the counts of concurrent tasks.
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_TryAgain),
            wait=one.wait_seconds,
            stop=one.must_stop,
            before_sleep=one.before_sleep,
            sleep=self.clock.sleep,
            reraise=True,
        )
        if not_after is not None and self.clock.wall() >= not_after:
            raise one.gave_up(_TryAgain("the idempotence key is near its expiry", reached=True))
        try:
            return await retrying(one.attempt, read)
        except _TryAgain as failure:
            last = failure
        raise one.gave_up(last)  # outside the handler: nothing of the last attempt hangs on it


@attrs.define(slots=True)
class _Call:
    """One call under way."""

    caller: Caller
    request: Request
    not_after: float | None = attrs.field(kw_only=True)
    sent_before: bool = attrs.field(kw_only=True)
    on_retry: Callable[[Retry], None] | None = attrs.field(kw_only=True)
    attempts: int = 0
    reached: bool = False
    maybe_created: bool = attrs.field(init=False)
    """Whether an earlier attempt may have been acted upon, though its answer did not come or was none."""
    started: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.started = self.caller.clock.monotonic()
        self.maybe_created = self.sent_before

    async def attempt(self, read: Callable[[Response], Answer]) -> Answer:
        self.attempts += 1
        try:
            response = await self.caller.exchange(self.request)
        except ExchangeFailed as failure:
            self.reached = self.reached or failure.reached
            self.maybe_created = self.maybe_created or failure.reached
            failed = failure
        else:
            self.reached = self.caller.server_answered = True
            return self.judge(response, read)
        if failed.lasting:
            raise self.gave_up(_TryAgain(failed.reason, reached=failed.reached))
        raise _TryAgain(failed.reason, reached=failed.reached)

    def judge(self, response: Response, read: Callable[[Response], Answer]) -> Answer:
        status = response.status
        if 200 <= status < 300:
            try:
                return read(response)
            except UnreadableAnswer as unreadable:
                reason = f"{status} with {unreadable}"
            self.maybe_created = True
            raise self.again(response, reason)
        if status >= 500 or status in _TRY_AGAIN_STATUSES:
            self.maybe_created = self.maybe_created or status >= 500
            raise self.again(response, _spell(status))
        if status == HTTPStatus.CONFLICT and self.in_progress(response):
            raise self.again(response, "409, the key is in progress")
        refusal = self.refused(response)
        if self.request.creates and self.maybe_created:
            reason = f"{_spell(status)}, after an attempt without an answer"
            raise self.gave_up(self.again(response, reason), refused=True)
        raise refusal

    def in_progress(self, response: Response) -> bool:
        """Whether a 409 means that an earlier attempt under this key is still being handled."""
        words = response.body[:2000].decode("utf-8", "replace").lower()
        if _IN_PROGRESS.search(words) or "retry-after" in response.headers:
            return True
        # No page defines the words. A key that was never sent cannot be in progress.
        return self.maybe_created and "duplicate" not in words

    def again(self, response: Response, reason: str) -> _TryAgain:
        return _TryAgain(
            reason,
            reached=True,
            wait_seconds=retry_after_seconds(response.headers, self.caller.clock.wall()),
            status=response.status,
            body=shown_body(response, self.request.token),
        )

    def refused(self, response: Response) -> RefusedError:
        status, body = response.status, shown_body(response, self.request.token)
        if 300 <= status < 400:
            said = f"{_spell(status)}; redirects are not followed with a token. Use the address where the API is."
        elif status in ACCESS_STATUSES:
            said = f"{_spell(status)}; check the host and the campaign's token." + _said(body)
        else:
            said = f"refused with {_spell(status)}." + _said(body)
        kind = AccessError if status < 400 or status in ACCESS_STATUSES else RefusedError
        return kind(said, method=self.request.method.value, path=self.request.path, status=status, body=body)

    def gave_up(self, last: _TryAgain, *, refused: bool = False) -> NoAnswerError:
        seconds = self.caller.clock.monotonic() - self.started
        unreachable = self.attempts > 0 and not self.reached
        kind = UnreachableError if unreachable and not self.sent_before else NoAnswerError
        if kind is UnreachableError:
            said = f"the server cannot be reached ({last.reason}); check the host and the network. "
            said += "This request was not sent." if self.caller.server_answered else "Nothing was sent."
        else:
            said = f"no certain answer in {self.attempts} attempts over {seconds:.0f} s (last: {last.reason})."
            if self.request.creates:
                said += " Repeat it with the same idempotence key within 24 hours, or look into the report."
        return kind(
            said,
            method=self.request.method.value,
            path=self.request.path,
            attempts=self.attempts,
            seconds=seconds,
            idempotence_key=self.request.idempotence_key,
            unreachable=unreachable,
            refused=refused,
            status=last.status,
            body=last.body,
        )

    # --- what tenacity asks ---

    def wait_seconds(self, state: tenacity.RetryCallState) -> float:
        policy = self.caller.policy
        exponent = min(state.attempt_number - 1, 30)
        jitter = self.caller.rng.uniform(0, min(policy.backoff_max_seconds, policy.backoff_seconds * 2**exponent))
        return jitter + min(_failure(state).wait_seconds, policy.retry_after_max_seconds)

    def must_stop(self, state: tenacity.RetryCallState) -> bool:
        policy, clock = self.caller.policy, self.caller.clock
        if self.caller.halted:
            return True
        if policy.max_attempts is not None and state.attempt_number >= policy.max_attempts:
            return True
        if self.not_after is not None and clock.wall() + state.upcoming_sleep >= self.not_after:
            return True
        known = self.reached or self.caller.server_answered
        patience = policy.give_up_seconds if known else min(policy.unreachable_seconds, policy.give_up_seconds)
        return clock.monotonic() + state.upcoming_sleep > self.started + patience

    def before_sleep(self, state: tenacity.RetryCallState) -> None:
        if self.on_retry is not None:
            reason = _failure(state).reason
            self.on_retry(Retry(attempt=state.attempt_number, reason=reason, wait_seconds=state.upcoming_sleep))


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float:
    """The server's wish in seconds from `now` (Unix time), given as seconds or as an HTTP date; 0 without one."""
    wish = headers.get("retry-after", "").strip()
    if not wish:
        return 0.0
    if wish.isascii() and wish.isdigit():
        return float(wish[:9])
    try:
        return max(0.0, parsedate_to_datetime(wish).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def _failure(state: tenacity.RetryCallState) -> _TryAgain:
    failure = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(failure, _TryAgain):
        raise TypeError(f"tenacity asked about {failure!r}")
    return failure


def _spell(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _said(body: str) -> str:
    return f" The server said: {body}" if body else ""
