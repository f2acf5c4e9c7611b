"""Traces and metrics by the OpenTelemetry API (the extra `otel`): `CallsClient(host, telemetry=OpenTelemetry())`.

Spans: one a chunk, one a call with all its attempts, and one an attempt, as HTTP's semantic conventions want it;
each attempt carries its W3C trace context to the server. Metrics: `http.client.request.duration` and
`http.client.active_requests` by the same conventions, and

- `calls_async.contacts`: contacts by `calls_async.status`: accepted, duplicate, rejected, unknown;
- `calls_async.retries`: repeated attempts by `error.type` of the one before: a status, or what went wrong;
- `calls_async.journal.commit.duration`: how long the journal takes to write something down, seconds.

The token stands in no attribute, nor do phones, payloads and the server's words (C-M-18): paths have `{token}` in its
place, queries are left out, and exceptions are told by their type alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

from calls_async.errors import MissingExtraError, NoAnswerError, RequestError
from calls_async.events import ChunkDone, Event
from calls_async.protocol.endpoints import Request, Response
from calls_async.transport.exchange import Exchange, ExchangeFailed

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider


try:
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise MissingExtraError("telemetry", "otel") from None


_NAME = "calls_async"
_TRACE_CONTEXT = TraceContextTextMapPropagator()
"""And nothing else that a program propagates: its baggage is no matter of the vendor's."""
_FAILED_FROM = 400
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets that the conventions advise."""


@attrs.define
class _CallState:
    """What is known of the call under way."""

    attempts: int = 0
    failure: str = ""
    """What became of the last attempt."""

    def begin_attempt(self) -> None:
        """Count an attempt."""
        self.attempts += 1

    def note(self, failure: str) -> None:
        """Note what became of it."""
        self.failure = failure


class OpenTelemetry:
    """A client's telemetry. Without providers, the global ones are used."""

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._call: ContextVar[_CallState | None] = ContextVar("calls_async_call", default=None)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", unit="{request}", description="Requests in flight."
        )
        self._contacts = meter.create_counter(
            "calls_async.contacts", unit="{contact}", description="Contacts that have an outcome, by its status."
        )
        self._retries = meter.create_counter(
            "calls_async.retries", unit="{attempt}", description="Repeated attempts, by why the one before failed."
        )
        self._commits = meter.create_histogram(
            "calls_async.journal.commit.duration",
            unit="s",
            description="How long the journal takes to write something down.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    # --- what the client calls ---

    def exchange(self, exchange: Exchange, base_url: str) -> Exchange:
        """Give every attempt a span, its metrics, and the trace's context."""
        url = urlsplit(base_url)
        server: dict[str, str | int] = {
            "server.address": url.hostname or "",
            "server.port": url.port or (443 if url.scheme == "https" else 80),
        }

        async def watched(request: Request) -> Response:
            common = {**server, "http.request.method": request.method.value}
            shown = {**common, "url.template": request.path, "url.full": f"{base_url}{request.path}"}
            state = self._call.get() or _CallState()
            state.begin_attempt()
            if state.attempts > 1:
                self._retries.add(1, {"error.type": state.failure})
                shown["http.request.resend_count"] = state.attempts - 1
            began = time.perf_counter()
            self._active.add(1, common)
            try:
                with self._span(f"{request.method} {request.path}", SpanKind.CLIENT, shown) as span:
                    told = await _told(span, exchange, self._with_context(request), state)
            finally:
                self._active.add(-1, common)
                told_of = {**common, "url.template": request.path, **_result_attributes(state)}
                self._duration.record(time.perf_counter() - began, told_of)
            return told

        return watched

    @contextmanager
    def call(self, request: Request) -> Iterator[None]:
        """Open a span around a call with all its attempts."""
        verb = request.path.rpartition("{token}")[2].strip("/") or "campaign"
        before = self._call.set(_CallState())
        try:
            with self._span(f"call {verb}", SpanKind.INTERNAL, {"url.template": request.path}) as span:
                try:
                    yield
                except RequestError as error:
                    if isinstance(error, NoAnswerError):
                        span.set_attribute("calls_async.attempts", error.attempts)
                    raise
        finally:
            self._call.reset(before)

    @contextmanager
    def chunk(self, number: int, rows: int, body_bytes: int) -> Iterator[Callable[[Mapping[str, int]], None]]:
        """Open a span around the sending of a chunk."""
        shown = {
            "calls_async.chunk": number,
            "calls_async.chunk.rows": rows,
            "calls_async.chunk.size": body_bytes,
        }
        with self._span("chunk", SpanKind.INTERNAL, shown) as span:

            def note(counts: Mapping[str, int]) -> None:
                for status, count in counts.items():
                    span.set_attribute(f"calls_async.chunk.{status}", count)

            yield note

    def event(self, event: Event) -> None:
        """Count the contacts that have an outcome now."""
        if isinstance(event, ChunkDone):
            counts = {
                "accepted": event.accepted,
                "duplicate": event.duplicates,
                "rejected": event.rejected,
                "unknown": event.unknown,
            }
            for status, count in counts.items():
                if count:
                    self._contacts.add(count, {"calls_async.status": status})

    def committed(self, seconds: float) -> None:
        """Note how long the journal took."""
        self._commits.record(seconds)

    # --- how ---

    @contextmanager
    def _span(self, name: str, kind: SpanKind, shown: Mapping[str, str | int]) -> Iterator[Span]:
        """Open a span that tells of an error by its type alone: its words may hold what the server said of people."""
        with self._tracer.start_as_current_span(
            name, kind=kind, attributes=dict(shown), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", _name_type(error))
                span.set_status(StatusCode.ERROR)
                raise

    @staticmethod
    def _with_context(request: Request) -> Request:
        carrier: dict[str, str] = {}
        _TRACE_CONTEXT.inject(carrier)
        return attrs.evolve(request, headers={**request.headers, **carrier}) if carrier else request


async def _told(span: Span, exchange: Exchange, request: Request, state: _CallState) -> Response:
    """Make one attempt, and tell of it."""
    try:
        response = await exchange(request)
    except BaseException as error:
        state.note(_name_type(error))
        raise
    span.set_attribute("http.response.status_code", response.status)
    state.note(str(response.status))
    if response.status >= _FAILED_FROM:
        span.set_attribute("error.type", str(response.status))
        span.set_status(StatusCode.ERROR)
    return response


def _result_attributes(state: _CallState) -> dict[str, str | int]:
    """Return what the metric of an attempt tells of its end."""
    if not state.failure.isdigit():
        return {"error.type": state.failure}
    status = int(state.failure)
    failed: dict[str, str | int] = {"error.type": state.failure} if status >= _FAILED_FROM else {}
    return {"http.response.status_code": status, **failed}


def _name_type(error: BaseException) -> str:
    """Return a word for what went wrong; there are few of them."""
    if isinstance(error, ExchangeFailed):
        return "timeout" if error.timed_out else "connection" if error.reached else "unreachable"
    return type(error).__name__
