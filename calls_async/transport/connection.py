"""What all campaigns of a client share: how requests travel, how often they are tried, and at which pace."""

from __future__ import annotations

import math

import attrs

from calls_async.transport.attempts import CallContext, Runtime
from calls_async.transport.caller import Caller
from calls_async.transport.clock import Clock
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.pacing.limiter import Limiter
from calls_async.transport.policy import RetryPolicy
from calls_async.transport.telemetry import Telemetry


@attrs.frozen(kw_only=True)
class Connection:
    """A connection to one server."""

    base_url: str
    runtime: Runtime
    retry: RetryPolicy
    """For single calls."""
    upload_retry: RetryPolicy
    """For uploads and everything else with many requests."""
    single: Caller = attrs.field(init=False)
    """Makes single calls."""
    pace: Pace = attrs.field()
    """What all uploads have learnt of the server."""

    @single.default
    def _single(self) -> Caller:
        return Caller(CallContext(runtime=self.runtime, policy=self.retry))

    @pace.default
    def _pace(self) -> Pace:
        return Pace(policy=self.upload_retry, clock=self.clock, rng=self.runtime.rng)

    @property
    def clock(self) -> Clock:
        """The clock that everything here goes by."""
        return self.runtime.clock

    @property
    def telemetry(self) -> Telemetry:
        """What watches it."""
        return self.runtime.telemetry

    def make_patient_caller(self) -> Caller:
        """Make a caller as patient as uploads are, at no common pace."""
        return Caller(CallContext(runtime=self.runtime, policy=self.upload_retry))

    def make_upload_caller(
        self,
        limiter: Limiter | None = None,
        *,
        max_outage_seconds: float = math.inf,
        server_answered: bool = False,
    ) -> Caller:
        """Make a caller for one upload, at the pace that all of this connection share.

        `server_answered`: the server is believed to be there, so that it is waited for as for one that has answered.
        """
        context = CallContext(
            runtime=self.runtime,
            policy=self.upload_retry,
            gate=self.pace,
            limiter=limiter or Limiter(),
            max_outage_seconds=max_outage_seconds,
            server_answered=server_answered,
        )
        return Caller(context)
