"""What all campaigns of a client share: how requests travel, how often they are tried, and at which pace."""

from __future__ import annotations

import random

import attrs

from calls_async.transport.caller import Caller
from calls_async.transport.clock import Clock
from calls_async.transport.exchange import Exchange
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.policy import RetryPolicy
from calls_async.transport.telemetry import Telemetry


@attrs.frozen(kw_only=True)
class Connection:
    """To one server."""

    base_url: str
    exchange: Exchange
    retry: RetryPolicy
    upload_retry: RetryPolicy
    clock: Clock
    rng: random.Random
    telemetry: Telemetry
    single: Caller = attrs.field(init=False)
    """Makes single calls."""
    pace: Pace = attrs.field(init=False)

    @single.default
    def _single(self) -> Caller:
        return self._caller(self.retry)

    @pace.default
    def _pace(self) -> Pace:
        return Pace(policy=self.upload_retry, clock=self.clock, rng=self.rng)

    def patient(self) -> Caller:
        """As patient as uploads are, and at no common pace."""
        return self._caller(self.upload_retry)

    def for_upload(self) -> Caller:
        """For one upload, or anything else with many requests: all to this server share what they learn of it."""
        caller = self.patient()
        caller.pace = self.pace
        return caller

    def _caller(self, policy: RetryPolicy) -> Caller:
        return Caller(exchange=self.exchange, policy=policy, clock=self.clock, rng=self.rng, telemetry=self.telemetry)
