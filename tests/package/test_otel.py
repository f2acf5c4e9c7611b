"""Telemetry: what spans and metrics say, and what they must not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from calls_async import AccessError, CallsClient, NoAnswerError, RetryPolicy
from calls_async.otel import OpenTelemetry
from calls_async.sandbox.server.server import Sandbox
from calls_async.testing import InProcessSandbox
from tests.helpers.servers import QUICK

CONTACTS = [{"phone": 16500000000 + n, "payload": {"name": "Alexandra"}} for n in range(100)]


class Watched:
    """What was exported."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._meters = MeterProvider([self._reader])
        self.telemetry = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self._meters)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name.startswith(name)]

    def metrics(self) -> dict[str, list[Any]]:
        data = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def counts(self, name: str, attribute: str) -> dict[Any, Any]:
        return {point.attributes[attribute]: point.value for point in self.metrics()[name]}

    def everything(self) -> str:
        return "".join(span.to_json() for span in self.spans()) + str(self.metrics())

    def close(self) -> None:
        self.tracers.shutdown()
        self._meters.shutdown()


@pytest.fixture
def watched() -> Iterator[Watched]:
    one = Watched()
    yield one
    one.close()


async def test_a_call_and_its_attempts(watched: Watched) -> None:
    async with Sandbox() as sandbox, CallsClient(sandbox.url, telemetry=watched.telemetry, retry=QUICK) as client:
        sandbox.fail_next("503")
        sandbox.fail_next("reset-after")
        await client.campaign(sandbox.token).add_phones(CONTACTS[:2])
        port = int(sandbox.url.rpartition(":")[2])
        headers = [call.headers.get("traceparent") for call in sandbox.calls]
    (call,) = watched.spans("call addPhones")
    attempts = watched.spans("POST /api/calls/campaign/{token}/addPhones")
    assert [span.parent and span.parent.span_id for span in attempts] == [call.context.span_id] * 3
    assert [span.kind for span in attempts] == [SpanKind.CLIENT] * 3
    first, second, last = (dict(span.attributes or {}) for span in attempts)
    assert first == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.template": "/api/calls/campaign/{token}/addPhones",
        "url.full": f"{sandbox.url}/api/calls/campaign/{{token}}/addPhones",
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert (second["error.type"], second["http.request.resend_count"]) == ("connection", 1)
    assert (last["http.response.status_code"], last["http.request.resend_count"]) == (200, 2)
    assert "error.type" not in last
    assert [span.status.status_code for span in attempts] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert call.status.status_code is StatusCode.UNSET
    # W3C trace context: what was handled (not the 503) carries the trace and the span of its own attempt.
    wanted = [f"00-{call.context.trace_id:032x}-{span.context.span_id:016x}" for span in attempts[1:]]
    assert [(header or "").rpartition("-")[0] for header in headers] == wanted
    assert watched.counts("calls_async.retries", "error.type") == {"503": 1, "connection": 1}
    points = watched.metrics()["http.client.request.duration"]
    assert sorted(point.attributes.get("http.response.status_code", 0) for point in points) == [0, 200, 503]
    assert all(point.attributes["server.port"] == port for point in points)
    assert [point.value for point in watched.metrics()["http.client.active_requests"]] == [0]


async def test_an_upload(watched: Watched, path: Path) -> None:
    sandbox = InProcessSandbox()
    rows: list[dict[str, Any]] = [*CONTACTS, {"phone": "bad"}]
    async with sandbox.client(telemetry=watched.telemetry, upload_retry=QUICK) as client:
        tracer = watched.tracers.get_tracer("service")
        with tracer.start_as_current_span("nightly upload") as outer:
            await client.campaign(sandbox.token).upload(rows, chunk_rows=20, journal=path).run()
    chunks = watched.spans("chunk")
    assert len(chunks) == 5
    assert {span.parent and span.parent.span_id for span in chunks} == {outer.get_span_context().span_id}
    assert {(span.attributes or {})["calls_async.chunk.accepted"] for span in chunks} == {20}
    calls = watched.spans("call addPhones")
    assert {span.parent and span.parent.span_id for span in calls} == {span.context.span_id for span in chunks}
    assert watched.counts("calls_async.contacts", "calls_async.status") == {"accepted": 100, "rejected": 1}
    (commits,) = watched.metrics()["calls_async.journal.commit.duration"]
    assert commits.count > 2


async def test_no_token_no_phone_no_payload_no_words(watched: Watched) -> None:  # C-M-18
    async with Sandbox() as sandbox, CallsClient(sandbox.url, telemetry=watched.telemetry, retry=QUICK) as client:
        campaign = client.campaign(sandbox.token)
        await campaign.upload(CONTACTS, chunk_rows=30).run()
        await campaign.add_phone("16500000777", payload={"name": "Alexandra"}, method="GET")
        await campaign.job_report(phones=["16500000777"])
        with pytest.raises(AccessError):
            await client.campaign("8231.7056.other").info()
    strict = RetryPolicy(max_attempts=2, backoff_seconds=0.001)
    async with CallsClient("http://127.0.0.1:9", telemetry=watched.telemetry, retry=strict) as client:
        with pytest.raises(NoAnswerError):
            await client.campaign(sandbox.token).add_phone("16500000777")
    said = watched.everything()
    for secret in (sandbox.token, "8231.7056", "16500000", "Alexandra", "no campaign has", "exception"):
        assert secret not in said
    (refused, unreachable) = (span for span in watched.spans("call") if span.status.status_code is StatusCode.ERROR)
    assert (refused.attributes or {})["error.type"] == "AccessError"
    assert (unreachable.attributes or {})["error.type"] == "UnreachableError"
    assert (unreachable.attributes or {})["calls_async.attempts"] == 2
    assert watched.counts("calls_async.retries", "error.type") == {"unreachable": 1}


async def test_baggage_is_no_matter_of_the_vendors(watched: Watched) -> None:
    async with Sandbox() as sandbox, CallsClient(sandbox.url, telemetry=watched.telemetry) as client:
        token = attach(baggage.set_baggage("customer", "16500000000"))
        await client.campaign(sandbox.token).info()
        detach(token)
        assert "traceparent" in sandbox.calls[0].headers
        assert "baggage" not in sandbox.calls[0].headers


async def test_a_batchers_chunks_are_no_part_of_who_opened_it(watched: Watched) -> None:
    sandbox = InProcessSandbox()
    async with sandbox.client(telemetry=watched.telemetry) as client:
        with watched.tracers.get_tracer("service").start_as_current_span("startup"):
            batcher = await client.campaign(sandbox.token).batcher(linger_seconds=0.001).__aenter__()
        for contact in CONTACTS[:3]:
            await batcher.add(contact)
        await batcher.__aexit__(None, None, None)
    assert [span.parent for span in watched.spans("chunk")] == [None] * 3
    assert [(span.attributes or {}).get("http.request.resend_count") for span in watched.spans("POST")] == [None] * 3


async def test_the_global_providers_are_the_default() -> None:
    sandbox = InProcessSandbox()
    async with sandbox.client(telemetry=OpenTelemetry()) as client:
        await client.campaign(sandbox.token).upload(CONTACTS).run()
    assert len(sandbox.jobs) == 100
    assert not trace.get_current_span().get_span_context().is_valid


def test_without_the_extra_it_says_what_to_install() -> None:
    program = (
        "import sys\nsys.modules['opentelemetry'] = None\n"
        "import calls_async\ntry:\n    import calls_async.otel\nexcept calls_async.MissingExtraError as error:\n"
        "    assert 'calls_async[otel]' in str(error), error\nelse:\n    raise SystemExit('it was imported')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_client_without_telemetry_imports_none_of_it() -> None:
    program = "import sys, calls_async; calls_async.CallsClient; assert 'opentelemetry' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
