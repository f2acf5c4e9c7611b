"""Unknown rows are settled by the report."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest

from calls_async import CallsClient, JobReport, JournalError
from calls_async.protocol.endpoints import Response
from calls_async.protocol.reports import to_report
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.chunks.chunk import Chunk, ChunkContent
from calls_async.upload.outcomes.attribution import LATE_SECONDS, make_sense_of
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.reconcile import Finding, UnknownRow, list_unknown, settle_unknown
from calls_async.upload.status import OutcomeStatus
from tests.helpers.asserts import assert_each_once, outcomes_of
from tests.helpers.clock import HeldClock
from tests.helpers.contacts import contacts
from tests.helpers.journals import outcomes_in, unknown_upload
from tests.helpers.play import FIRST, Play, Server


@pytest.mark.parametrize("resend", [False, True])
async def test_rows_that_have_a_job_are_adopted(sandbox: Sandbox, path: Path, resend: bool) -> None:
    await unknown_upload(sandbox, path, "500-after")
    async with CallsClient(sandbox.url) as client:
        found = await client.campaign(sandbox.token).reconcile(path, resend=resend)
    assert (found.unknown, found.adopted, found.without_job, found.unclear) == (10, 10, 0, 0)
    assert_each_once(sandbox, outcomes_in(path))


@pytest.mark.parametrize("resend", [False, True])
async def test_rows_without_a_job_are_sent_again_if_the_user_says_so(
    sandbox: Sandbox, path: Path, resend: bool, held_clock: HeldClock
) -> None:
    await unknown_upload(sandbox, path, "503")
    keys = {call.key for call in sandbox.calls}
    held_clock.now = sandbox.clock()
    async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
        found = await client.campaign(sandbox.token).reconcile(path, resend=resend)
    assert (found.unknown, found.adopted, found.without_job, found.resent) == (10, 0, 10, resend)
    outcomes = outcomes_in(path)
    assert sorted(outcome.row for outcome in outcomes) == list(range(1, 11))
    if resend:
        assert held_clock.slept  # a late request had time to arrive
        assert max(held_clock.slept) > 100
        assert_each_once(sandbox, outcomes)
        assert len(sandbox.jobs) == 10
        assert not keys & {call.key for call in sandbox.calls if call.path.endswith("addPhones")}
    else:
        assert sandbox.jobs == []
        assert {str(outcome.status) for outcome in outcomes} == {"unknown"}
        assert "--resend" in str(outcomes[0].error)


def row(index: int, phone: str, content: str = "c") -> UnknownRow:
    return UnknownRow(1, index, phone, content.encode(), 1_000_000.0, 1_000_500.0, 300.0)


def job(job_id: str, phone: str | None, seconds_after: float | None = 1.0) -> JobReport:
    created = None if seconds_after is None else int((1_000_000 + seconds_after) * 1000)
    return JobReport(call_job_id=job_id, phone=phone, created_at=created)


@pytest.mark.parametrize(
    ("rows", "jobs", "found"),
    [
        ([row(0, "p")], [job("1", "p")], ["1"]),
        ([row(0, "p")], [job("1", "+p")], ["1"]),
        ([row(0, "p")], [], [None]),
        ([row(0, "p")], [job("1", "q")], ["?"]),  # nobody asked for q: whose is it?
        ([row(0, "p")], [job("1", None)], ["?"]),  # C-REP-4
        ([row(0, "p")], [job("taken", "p")], [None]),
        ([row(0, "p")], [job("1", "p", -26 * 3600)], [None]),  # long before it was first sent
        ([row(0, "p")], [job("1", "p", -200)], ["1"]),  # the server's clock may be behind
        ([row(0, "p")], [job("1", "p", 799)], ["1"]),  # its last request may have been late
        ([row(0, "p")], [job("1", "p", 801)], ["?"]),  # another list's
        ([row(0, "p")], [job("1", "p"), job("2", "p", -1800)], ["?"]),  # one of them is; which?
        ([row(0, "p")], [job("1", "p", -1800)], ["?"]),  # or not so much
        ([row(0, "p")], [job("1", "p", None)], ["?"]),
        ([row(0, "p")], [job("1", "p"), job("2", "p")], ["?"]),
        ([row(0, "p")], [job("1", "p"), job("1", "p")], ["1"]),
        ([row(0, "p", "a"), row(1, "p", "b")], [job("1", "p")], ["?", "?"]),
        ([row(0, "p", "a"), row(1, "p", "b")], [job("1", "p"), job("2", "p")], ["?", "?"]),
        ([row(0, "p", "a"), row(1, "p", "b")], [], [None, None]),
        ([row(0, "p"), row(1, "p")], [job("1", "p"), job("2", "p")], ["1", "2"]),
    ],
)
def test_what_a_report_says_of_unknown_rows(rows: Any, jobs: Any, found: Any) -> None:
    findings = settle_unknown(rows, jobs, frozenset({"taken"}), 2_000_000.0)
    said = ["?" if findings[one].unclear else findings[one].job_id for one in rows]
    assert said == found
    assert Finding() == Finding(None, None)


def test_a_first_send_that_seems_to_be_in_the_future_loses_no_job() -> None:
    """The clock was ahead when it was sent: its job was created before that, and is its job all the same."""
    one = row(0, "p")
    assert settle_unknown([one], [job("1", "p", -500_001)], frozenset(), 500_000.0)[one] == Finding(job_id="1")


async def test_a_refusal_after_a_lost_answer_is_not_believed(sandbox: Sandbox, held_clock: HeldClock) -> None:
    # C-IDEM-1: the first attempt was accepted; a gateway says no to the second
    answer = sandbox.api.handle
    attempts: Counter[str] = Counter()

    def refusing(call: Any) -> Any:
        attempts[call.key] += 1
        reply = answer(call)
        if call.path.endswith("addPhones") and attempts[call.key] > 1:
            return type(reply).error(400, "no")
        return reply

    sandbox.api.handle = refusing  # type: ignore[method-assign]
    sandbox.fail_next("reset-after", 1)
    held_clock.now = time.time()
    async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
        outcomes = await outcomes_of(client.campaign(sandbox.token).upload(contacts(5)))
    assert {str(outcome.status) for outcome in outcomes} == {"unknown"}
    assert max(held_clock.slept) == LATE_SECONDS  # what was lost may have been late
    assert len(sandbox.jobs) == 5


async def test_a_journal_that_is_not_there_is_no_journal_without_unknown_rows(
    client: CallsClient, path: Path
) -> None:
    with pytest.raises(JournalError, match="there is no such file"):
        await client.campaign("token").reconcile(path)
    assert not path.exists()


@pytest.mark.parametrize(
    "odd", [{"createdAt": "2026-11-25"}, {"createdAt": True}, {"phone": {"number": 1}}, {"callJobId": ["1"]}]
)
def test_a_report_of_other_types_is_no_error(path: Path, odd: dict[str, Any]) -> None:
    # C-REP-4
    play = Play(Server(lambda server, phones, before: Response(status=200, body=b"[]")), path)
    job = {"callJobId": "1", "phone": str(FIRST), "createdAt": 0} | odd
    play.server.report = lambda server: Response(status=200, body=json.dumps([job]).encode())
    assert play.run(3) is None  # IDs are missing, so that the report is asked
    assert set(play.statuses()) <= {"unknown", "duplicate"}
    (report,) = make_sense_of([to_report(JobReport, job)])
    assert settle_unknown([UnknownRow(1, 0, str(FIRST), b"{}", 0.0, 1.0, 300.0)], [report], frozenset(), 0.0)


T, HOUR = 1_000_000.0, 3600.0


@pytest.mark.parametrize(
    ("sent_at", "sent_ahead", "given_up_at", "ahead", "since", "until"),
    [
        (T, 0.0, T + 60, 0.0, T, T + 60 + LATE_SECONDS),
        (T + 72 * HOUR, -72 * HOUR, T + 60, 0.0, T, T + 60 + LATE_SECONDS),  # three days ahead when it was sent
        # and nobody knew: it was not in the future
        (T + 72 * HOUR, None, T + 60, 0.0, T + 60, T + 60 + LATE_SECONDS),
        # given up long after its key's last attempt
        (T, 0.0, T + 99 * HOUR, None, T, T + 23 * HOUR + LATE_SECONDS),
        # wrong when it was given up, ahead or behind: none is sure
        (T, None, T + 72 * HOUR, -72 * HOUR, T - 72 * HOUR, T - 97 * HOUR),
        (T, None, T - 45 * HOUR, 72 * HOUR, T, T - 25 * HOUR),
    ],
)
def test_between_which_times_a_job_is_a_rows_own(
    sent_at: float, sent_ahead: float | None, given_up_at: float, ahead: float | None, since: float, until: float
) -> None:
    # C-IDEM-7
    content = ChunkContent(
        first_row=1, last_row=1, rows=[1], phones=["16500000001"], body=b'[{"phone":"16500000001"}]'
    )
    chunk = attrs.evolve(
        Chunk.seal(content, number=1, upload_id="u"), first_sent_at=sent_at, first_sent_ahead=sent_ahead
    )
    (one,) = list_unknown(chunk, Verdict.all(OutcomeStatus.UNKNOWN, 1, "why"), given_up_at, ahead)
    assert (one.since, one.until) == (since, until)
