"""What happens is told in typed, frozen events, to a callback that cannot break the upload, and to the log."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

import calls_async
from calls_async import (
    CallsClient,
    Campaign,
    ChunkDone,
    ChunkRetried,
    ChunkSent,
    ConfigurationError,
    Event,
    JournalLag,
    OutageBegan,
    Throttled,
)
from calls_async.events import EventDispatcher
from calls_async.protocol.endpoints import Response
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.server.server import Sandbox
from calls_async.transport.exchange import ExchangeFailed
from calls_async.transport.pacing.window import START
from calls_async.upload.journal.store import Store
from tests.helpers.clock import HeldClock
from tests.helpers.contacts import contacts
from tests.helpers.play import FIRST, LOST, Play, Server
from tests.helpers.servers import QUICK

KINDS = {
    kind
    for name in calls_async.__all__
    if isinstance(kind := getattr(calls_async, name), type) and issubclass(kind, Event)
} - {Event}


async def events_of(campaign: Campaign, count: int = 100, **settings: Any) -> list[Event]:
    told: list[Event] = []
    await campaign.upload(contacts(count), chunk_rows=10, on_event=told.append, **settings).run()
    return told


async def test_each_chunk_is_told_of(campaign: Campaign) -> None:
    told = await events_of(campaign)
    for kind in (ChunkSent, ChunkDone):
        assert sorted(event.chunk for event in told if isinstance(event, kind)) == list(range(1, 11))
    assert sum(event.accepted for event in told if isinstance(event, ChunkDone)) == 100
    assert sum(event.rows for event in told if isinstance(event, ChunkSent)) == 100
    for chunk in range(1, 11):
        own = [type(event) for event in told if isinstance(event, ChunkSent | ChunkDone) and event.chunk == chunk]
        assert own == [ChunkSent, ChunkDone]
    assert [event.at for event in told] == sorted(event.at for event in told)


async def test_retries_are_told_of_with_the_reason(sandbox: Sandbox, campaign: Campaign) -> None:
    sandbox.fail_next("500-after", 2)
    told = [event for event in await events_of(campaign, 10) if isinstance(event, ChunkRetried)]
    assert [(event.chunk, event.attempt, event.reason) for event in told] == [
        (1, 1, "500 Internal Server Error"),
        (1, 2, "500 Internal Server Error"),
    ]


async def test_throttling_is_told_of(sandbox: Sandbox, campaign: Campaign) -> None:
    sandbox.faults.retry_after_seconds = 0
    sandbox.fail_next("429-seconds", 2)
    told = [event for event in await events_of(campaign) if isinstance(event, Throttled)]
    assert told
    assert told[0].reason == "429 Too Many Requests"
    assert told[0].window < START


async def test_a_slow_disk_is_told_of(
    sandbox: Sandbox, held_clock: HeldClock, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Store.commit

    def slow(store: Store, operations: Any) -> None:
        held_clock.now += 0.7
        commit(store, operations)

    monkeypatch.setattr(Store, "commit", slow)
    async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
        told = await events_of(client.campaign(sandbox.token), journal=path)
    lags = [event for event in told if isinstance(event, JournalLag)]
    assert lags
    assert {round(event.seconds, 3) for event in lags} == {0.7}


async def test_a_callback_cannot_break_the_upload(campaign: Campaign, caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    def failing(event: Event) -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError if calls % 2 else ValueError("a bug of the service's own")

    summary = await campaign.upload(contacts(100), chunk_rows=10, on_event=failing).run()
    assert summary.accepted == 100
    assert calls == 20
    assert sum("on_event failed" in record.message for record in caplog.records) == 1


async def test_a_callback_may_stop_the_upload(campaign: Campaign) -> None:
    upload = campaign.upload(contacts(100_000), chunk_rows=10, on_event=lambda event: upload.stop())
    summary = await upload.run()
    assert summary.accepted == summary.rows < 100_000


def test_a_coroutine_is_no_callback(campaign: Campaign) -> None:
    async def told(event: Event) -> None:
        pass

    with pytest.raises(ConfigurationError, match="plain function"):
        campaign.upload([], on_event=told)


async def test_the_log_says_the_same_without_personal_data(
    sandbox: Sandbox, client: CallsClient, caplog: pytest.LogCaptureFixture
) -> None:  # C-M-18
    caplog.set_level(logging.DEBUG, "calls_async")
    sandbox.fail_next("garbage-after", 3)
    told = await events_of(client.campaign(sandbox.token))
    records = [record for record in caplog.records if record.name == "calls_async.upload"]
    assert [record.message for record in records] == [str(event) for event in told]
    assert [record.levelno for record in records] == [event.level for event in told]
    text = " ".join(map(repr, told)) + " ".join(map(str, told))
    assert "1650000" not in text
    assert sandbox.token not in text


def test_silent_by_default() -> None:
    script = (
        "import logging, calls_async, calls_async.events as e\n"
        "e.EventDispatcher(None)(calls_async.OutageBegan(at=0.0, reason='x'))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout + ran.stderr == ""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_events_are_frozen_and_have_words(kind: type[Event]) -> None:
    values: dict[str, Any] = {"str": "why", "int": 3, "float": 1.5, "tuple[int, ...]": (1, 2)}
    event = kind(**{field.name: values[str(field.type)] for field in attrs.fields(kind)})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.at = 2.0  # type: ignore[misc]
    assert event.level in (logging.DEBUG, logging.INFO, logging.WARNING)
    assert kind is Event or "(" not in str(event).split(" ")[0]  # words, not a repr


async def test_a_troubled_upload_is_told_of_consistently() -> None:
    faults = Faults(shares={FaultKind.RESET_AFTER: 0.2, FaultKind.UNAVAILABLE: 0.1}, seed=3)
    async with Sandbox(faults=faults) as sandbox, CallsClient(sandbox.url, upload_retry=QUICK) as one:
        told: list[Event] = []
        upload = one.campaign(sandbox.token).upload(contacts(1000), chunk_rows=10, on_event=told.append)
        await upload.run()
    assert sum(isinstance(event, ChunkRetried) for event in told) == upload.summary.retries
    assert sum(isinstance(event, ChunkSent) for event in told) == 100


# --- callbacks and the journal's writer ---


def test_what_is_no_function_is_no_callback() -> None:
    class Asynchronous:
        async def __call__(self, event: Event) -> None:
            pass

    for wrong in (Asynchronous(), 5):
        with pytest.raises(ConfigurationError, match="plain function"):
            EventDispatcher(wrong)  # type: ignore[arg-type]


def test_a_failing_callback_logs_no_words_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    def failing(event: Event) -> None:
        raise ValueError("a bug")

    with pytest.raises(KeyError):
        try:
            raise KeyError("phone 16500000000 is on the stop list")
        finally:
            EventDispatcher(failing)(OutageBegan(at=0.0, reason="x"))
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "16500000000" not in logging.Formatter().format(record)


class Troubled:
    """A server that is busy, fails, refuses, loses an answer, and is gone for a while."""

    def __init__(self) -> None:
        self.gone_until = 0.0

    def says(self, server: Server, phones: list[str], earlier: int) -> Response | Exception | None:
        number = int(phones[0]) - FIRST
        if asyncio.get_running_loop().time() < self.gone_until:
            return ExchangeFailed("no connection", reached=False)
        if number == 0 and earlier == 0:
            return Response(status=429, headers={"retry-after": "5"})
        if number == 10:
            return LOST if earlier == 0 else Response(status=400, body=b"no")
        if number == 20 and earlier == 0:
            self.gone_until = asyncio.get_running_loop().time() + 60
            return ExchangeFailed("no connection", reached=False)
        return None


def test_each_kind_is_told_of(tmp_path: Path) -> None:
    play = Play(Server(Troubled().says), journal=tmp_path / "journal", disk_seconds=0.6)
    assert play.run(100, chunk_rows=10, concurrency=2) is None
    assert {type(event) for event in play.told} == KINDS
    assert len(KINDS) == 9
    assert all(str(event) for event in play.told)
