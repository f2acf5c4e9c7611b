"""Which job is whose: by position where that is certain, by the report where it is not."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import CallsClient, JobReport, Outcome, OutcomeStatus
from calls_async.sandbox.api import Reply
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.outcomes.attribution import settle_by_report, tells_certainly, verify_by_report
from tests.helpers.asserts import outcomes_of
from tests.helpers.contacts import contacts
from tests.helpers.servers import QUICK


def shuffling(sandbox: Sandbox) -> None:
    """Lets the server answer the IDs in another order than that of the contacts."""
    answer = sandbox.api.handle

    def handle(call: Any) -> Reply:
        reply = answer(call)
        if call.path.endswith("addPhones"):
            ids = json.loads(reply.body)
            random.Random(1).shuffle(ids)
            return Reply.json(ids)
        return reply

    sandbox.api.handle = handle  # type: ignore[method-assign]


def wrong(sandbox: Sandbox, outcomes: list[Outcome]) -> int:
    """How many outcomes have another row's job."""
    read_phone = {job.id: job.phone for job in sandbox.jobs}
    return sum(outcome.job_id is not None and read_phone[outcome.job_id] != outcome.phone for outcome in outcomes)


@pytest.mark.parametrize("verify", [True, False])
async def test_another_order_is_found_by_verifying(verify: bool) -> None:  # C-M-19
    async with Sandbox() as sandbox, CallsClient(sandbox.url, upload_retry=QUICK) as client:
        shuffling(sandbox)
        upload = client.campaign(sandbox.token).upload(contacts(300), chunk_rows=50, verify=verify)
        outcomes = await outcomes_of(upload)
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.ACCEPTED}
    assert (wrong(sandbox, outcomes) == 0) is verify
    assert {outcome.job_id for outcome in outcomes} == {job.id for job in sandbox.jobs}


async def test_one_report_a_chunk(sandbox: Sandbox, client: CallsClient) -> None:
    upload = client.campaign(sandbox.token).upload(contacts(300), chunk_rows=50, verify=True)
    await upload.run()
    reports = [call for call in sandbox.calls if call.path.endswith("getReport")]
    assert (len(reports), upload.summary.requests) == (6, 12)


async def test_a_report_that_fails_leaves_the_position_and_says_so(sandbox: Sandbox, client: CallsClient) -> None:
    answer = sandbox.api.handle

    def handle(call: Any) -> Reply:
        return Reply.error(400, "no reports") if call.path.endswith("getReport") else answer(call)

    sandbox.api.handle = handle  # type: ignore[method-assign]
    outcomes = await outcomes_of(client.campaign(sandbox.token).upload(contacts(10), verify=True))
    assert wrong(sandbox, outcomes) == 0
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.ACCEPTED}
    assert all("could not be checked" in str(outcome.error) for outcome in outcomes)


async def test_one_id_for_two_rows_is_no_position(sandbox: Sandbox, client: CallsClient) -> None:
    """A server that answers a repeated contact with the first one's job (C-DUP-1 with an ID)."""
    answer = sandbox.api.handle

    def handle(call: Any) -> Reply:
        reply = answer(call)
        if not call.path.endswith("addPhones"):
            return reply
        (first, *_) = json.loads(reply.body)
        return Reply.json([first, first])

    sandbox.api.handle = handle  # type: ignore[method-assign]
    outcomes = await outcomes_of(client.campaign(sandbox.token).upload([{"phone": 16500000000}] * 2, verify=True))
    assert [str(outcome.status) for outcome in outcomes] == ["accepted", "duplicate"]
    assert len(sandbox.jobs) == 1


async def test_the_same_number_in_another_order_is_not_guessed() -> None:
    source = [{"phone": 16500000000, "payload": {"n": n}} for n in range(2)] + [{"phone": 16500000001}]
    async with Sandbox(duplicates=DuplicateRule.OFF) as sandbox, CallsClient(sandbox.url) as client:
        shuffling(sandbox)
        outcomes = await outcomes_of(client.campaign(sandbox.token).upload(source, verify=True))
    assert wrong(sandbox, outcomes) == 0
    assert [outcome.error is not None for outcome in outcomes] == [True, True, False]
    assert "not certain" in str(outcomes[0].error)


some_ids = st.sampled_from(["1", "22", "c3", "d-4", "5", "-1", "error", "0"])
ids_and_phones = st.lists(st.tuples(some_ids, st.sampled_from("12345")), max_size=8)


@given(ids_and_phones, ids_and_phones)
def test_verifying_contradicts_no_report(answered: list[tuple[str, str]], known: list[tuple[str, str]]) -> None:
    ids, phones = [job for job, _ in answered], [phone for _, phone in answered]
    reports = [JobReport(call_job_id=job, phone=f"+{phone}") for job, phone in dict(known).items()]
    verdict = verify_by_report(phones, ids, reports)
    no_ids = {"-1", "error", "0"}
    contradicted = any(dict(known).get(job, None if job in no_ids else phone) != phone for job, phone in answered)
    assert (verdict is None) is (contradicted or len(set(ids)) != len(ids))
    if verdict is not None:
        assert list(verdict.job_ids) == ids
        assert [error is None for error in verdict.errors] == [job in dict(known) for job in ids]


DAY_SECONDS = 24 * 3600.0


@pytest.mark.parametrize(
    ("answer", "jobs", "expected"),
    [
        # C-M-19: what is no ID, or one for several rows, is looked up
        (["error"], [], "u"),
        (["-1"], [], "u"),
        (["0"], [("7", "16500000000", 0.0)], "d"),
        (["error"], [("error", "16500000000", 0.0)], "a"),
        (["7", "error"], [("7", "16500000000", 0.0)], "au"),
        (["7"] * 3, [("7", "16500000001", 0.0)], "uau"),
        (["7", "8", "9"], [("7", "16500000000", 0.0), ("8", "16500000001", 0.0)], "uu"),
        # C-DUP-1: only a job of the last day is a reason to ignore a row
        ([], [("7", "16500000000", DAY_SECONDS - 60)], "d"),
        ([], [("7", "16500000000", DAY_SECONDS + 60)], "u"),
        ([], [("7", "16500000000", None)], "u"),
        (["8"], [("8", "16500000001", 0.0), ("7", "16500000000", 365 * DAY_SECONDS)], "ua"),
    ],
)
async def test_an_answer_that_tells_nothing_is_looked_up_at_once(
    client: CallsClient,
    sandbox: Sandbox,
    answer: list[str],
    jobs: list[tuple[str, str, float | None]],
    expected: str,
) -> None:
    """`jobs` are those of the report: ID, phone, and how many seconds ago it was created."""

    def handle(call: Any) -> Reply:
        if call.path.endswith("addPhones"):
            return Reply.json(answer)
        reports: list[dict[str, Any]] = [{"callJobId": job_id, "phone": phone} for job_id, phone, _ in jobs]
        for report, (_, _, age) in zip(reports, jobs, strict=True):
            if age is not None:
                report["createdAt"] = int((time.time() - age) * 1000)
        return Reply.json(reports)

    sandbox.api.handle = handle  # type: ignore[method-assign]
    outcomes = await outcomes_of(client.campaign(sandbox.token).upload(contacts(len(expected))))
    assert "".join(outcome.status.value[0] for outcome in outcomes) == expected
    assert all(outcome.error for outcome in outcomes if outcome.status is OutcomeStatus.UNKNOWN)


async def test_a_failed_report_leaves_what_is_no_id_unknown(sandbox: Sandbox, client: CallsClient) -> None:
    def handle(call: Any) -> Reply:
        if call.path.endswith("addPhones"):
            return Reply.json(["1", "error"])
        return Reply.error(400, "no reports")

    sandbox.api.handle = handle  # type: ignore[method-assign]
    outcomes = await outcomes_of(client.campaign(sandbox.token).upload(contacts(2)))
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.UNKNOWN}


@given(st.lists(some_ids, max_size=8), st.integers(0, 8))
def test_an_answer_tells_for_certain_by_ids_that_look_like_one(ids: list[str], rows: int) -> None:  # C-M-19
    wanted = len(ids) == rows == len(set(ids)) and not {"-1", "error", "0"} & set(ids)
    assert tells_certainly(ids, rows) is wanted


def test_digits_of_another_script_are_no_id() -> None:
    assert not tells_certainly(["\u0661"], 1)


def test_a_report_that_gives_a_job_of_the_answer_to_somebody_else_tells_nothing() -> None:  # C-M-19
    phones = ["16500000001", "16500000002", "16500000003"]
    reports = [JobReport(call_job_id="1", phone=phones[0]), JobReport(call_job_id="2", phone="17000000000")]
    verdict = settle_by_report(phones, [b"a", b"b", b"c"], ["1", "2"], reports, first_sent_at=1.8e9)
    assert set(verdict.statuses) == {OutcomeStatus.UNKNOWN}
    assert not any(verdict.job_ids)
    assert all("does not tell whose" in str(error) for error in verdict.errors)
