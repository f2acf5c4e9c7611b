"""What reviewers broke in refusals, pace and outages: the pipeline in virtual time, with a server of a few lines."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from calls_async import NoAnswerError, OutageBegan, OutcomeStatus
from calls_async.protocol.endpoints import Response
from calls_async.upload.upload import Upload
from tests.helpers.line import Setting, answer, call, many
from tests.helpers.play import FIRST, LOST, Play, Server, after

# --- nobody twice ---


@pytest.mark.parametrize("phone", [None, "+1 650-0000000", "someone"])
def test_a_report_that_does_not_say_whose_a_job_is(phone: str | None) -> None:  # C-REP-4
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if before == 0 and len(phones) == 8:
            server.create("lost", phones)
            return LOST
        return Response(status=400, body=b"no") if len(phones) == 8 else None

    report = {"callJobId": "1", "createdAt": None} | ({} if phone is None else {"phone": phone})
    play = Play(Server(says, report=lambda server: Response(status=200, body=json.dumps([report]).encode())))
    assert play.run(8) is None
    assert len(play.server.jobs) == (8 if phone != "+1 650-0000000" else 8 + 7)
    if phone != "+1 650-0000000":  # which says that row 1 has a job, and the others have none
        assert play.statuses() == {"unknown": 8}


def test_408_may_have_been_passed_on() -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | None:
        if before == 0:
            server.create("passed on", phones)
            return Response(status=408)
        return Response(status=400)

    play = Play(Server(says))
    play.run(8)
    assert len(play.server.jobs) == 8
    assert play.statuses() == {"unknown": 8}


def test_an_excluded_number_is_not_called_through_a_split(path: Path, tmp_path: Path) -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if not resumed:
            return LOST
        return Response(status=400) if str(FIRST + 3) in phones else None

    resumed = False
    play = Play(Server(says), journal=path)
    play.run(10, act=after(5, try_again=False))
    resumed = True
    listed = tmp_path / "dnc"
    listed.write_text(str(FIRST + 6))
    assert play.run(10, exclude=[listed]) is None
    assert str(FIRST + 6) not in play.server.jobs
    assert sorted(play.server.jobs) == [str(FIRST + n) for n in range(10) if n not in (3, 6)]


def test_what_was_sent_is_not_screened_again(path: Path, tmp_path: Path) -> None:  # C-IDEM-1
    """Who is excluded now may have been called already: the chunk goes again as it was, under its key."""

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if before == 0:
            server.create(server.key, phones)
        return None if resumed else LOST

    resumed = False
    play = Play(Server(says), journal=path)
    play.run(10, act=after(5, try_again=False))
    resumed = True
    listed = tmp_path / "dnc"
    listed.write_text(str(FIRST + 6))
    assert play.run(10, exclude=[listed]) is None
    assert len(play.server.jobs) == 10
    assert len(play.server.came) == 1
    assert {outcome.row for outcome in play.outcomes if outcome.error and "excluded" in outcome.error} == set()


# --- nothing lost, nothing invented ---


def test_a_report_that_fails_while_stopping_leaves_the_chunk_to_the_next_run(path: Path) -> None:
    ready = False

    def report(server: Server) -> Response:
        return Response(status=200, body=b'[{"callJobId":"0","phone":"%d"}]' % FIRST) if ready else answer(503)

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        server.create("key", phones[:1])
        return Response(status=200, body=b'["0"]')

    play = Play(Server(says, report=report), journal=path)
    play.run(4, act=after(3, try_again=False))
    assert not play.upload.complete
    assert play.outcomes == []
    ready = True
    assert play.run(4) is None
    assert play.statuses() == {"accepted": 1, "unknown": 3}


def test_receipts_of_what_was_accepted_are_handed_out_after_a_failure() -> None:
    denied = False

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        nonlocal denied
        denied = denied or len(server.jobs) >= 40
        return Response(status=401) if denied else None

    play = Play(Server(says))
    error = play.run(400, chunk_rows=2, consumer_seconds=3.0)
    assert error is not None
    accepted = {outcome.phone for outcome in play.outcomes if outcome.status is OutcomeStatus.ACCEPTED}
    assert accepted == set(play.server.jobs)
    assert play.upload.summary.rows == len(play.outcomes)


def test_an_upload_that_failed_or_was_cut_short_is_not_complete(path: Path) -> None:
    play = Play(Server(lambda server, phones, before: Response(status=401)), journal=path)
    assert play.run(6, chunk_rows=2, concurrency=1) is not None
    assert not play.upload.complete
    hanging = Play(Server(lambda server, phones, before: LOST), journal=path)

    async def act(upload: Upload) -> None:
        await asyncio.sleep(5)
        upload.stop(try_again=False)

    assert hanging.run(6, chunk_rows=2, act=act) is None
    assert not hanging.upload.complete


def test_requests_that_were_never_made_are_not_counted() -> None:
    play = Play(Server(lambda server, phones, before: answer(429, retry_after="30")))
    play.run(1000, chunk_rows=10, act=after(5, try_again=False))
    assert play.upload.summary.requests == play.server.requests


def test_refused_in_a_row_are_kept_for_when_the_campaign_runs(path: Path) -> None:
    running = False
    play = Play(Server(lambda s, phones, before: None if running else Response(status=400, body=b"paused")), path)
    error = play.run(300, chunk_rows=10, max_refusals=20)
    assert "They and what was not sent yet are sent" in str(error)
    running = True
    assert play.run(300, chunk_rows=10) is None
    assert len(set(play.server.jobs)) == len(play.server.jobs)
    assert play.statuses() == {"accepted": 300}
    assert sorted(outcome.row for outcome in play.outcomes) == list(range(1, 301))


def test_what_is_excluded_was_not_refused_by_the_server(path: Path, tmp_path: Path) -> None:
    play = Play(Server(lambda server, phones, before: LOST), journal=path)
    play.run(60, chunk_rows=10, concurrency=1, act=after(1, try_again=False))
    listed = tmp_path / "dnc"
    listed.write_text("\n".join(str(FIRST + n) for n in range(60)))
    play.server.says = lambda server, phones, before: None
    assert play.run(60, exclude=[listed], max_refusals=20) is None
    assert len(play.outcomes) == 60


# --- progress ---


def test_one_request_that_always_fails_is_no_outage() -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | None:
        return answer(500) if str(FIRST + 5) in phones else None

    play = Play(Server(says))
    assert play.run(40, chunk_rows=2, concurrency=1) is None
    assert play.statuses() == {"accepted": 39, "rejected": 1}
    assert not [event for event in play.told if isinstance(event, OutageBegan)]


def test_429_for_hours_leaves_nothing_unknown(path: Path) -> None:
    play = Play(Server(lambda server, phones, before: answer(429, retry_after="3600")), journal=path)
    error = play.run(200, chunk_rows=10)
    assert isinstance(error, NoAnswerError)
    assert play.outcomes == []
    play.server.says = lambda server, phones, before: None
    assert play.run(200, chunk_rows=10) is None
    assert play.statuses() == {"accepted": 200}


def test_words_of_size_may_mean_a_contact() -> None:
    bad = {str(FIRST + n) for n in range(50, 2000, 100)}

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        return Response(status=422, body=b"maxAttempts exceeds the limit") if bad & set(phones) else None

    play = Play(Server(says))
    assert play.run(2000, chunk_rows=100, concurrency=1) is None
    assert play.statuses() == {"accepted": 1980, "rejected": 20}
    assert play.server.requests < 500
    assert play.upload.pace.body_limit.too_large is None


def test_stopping_in_the_wait_for_what_is_late_is_no_failure(path: Path) -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        return None if len(phones) < 8 else LOST if before == 0 else Response(status=400)

    play = Play(Server(says), journal=path)
    assert play.run(8, act=after(30, try_again=False)) is None
    assert play.loop.time() < 31
    assert not play.upload.complete
    assert play.run(8) is None
    assert play.statuses() == {"accepted": 8}


def test_others_go_on_while_some_wait_for_what_may_be_late() -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if len(phones) == 1 or int(phones[0]) >= FIRST + 16 * 2:
            return None
        return LOST if before == 0 else Response(status=400)

    done_early = 0

    async def act(upload: Upload) -> None:
        nonlocal done_early
        await asyncio.sleep(60)
        done_early = len(play.server.jobs)

    play = Play(Server(says))
    assert play.run(2000, chunk_rows=2, act=act) is None
    assert play.statuses() == {"accepted": 2000}
    assert done_early == 2000 - 16 * 2


def test_stopping_sends_nothing_that_waits_for_the_rate(path: Path) -> None:
    play = Play(Server(lambda server, phones, before: None), journal=path)
    assert play.run(4000, rate=50, act=after(4, try_again=False)) is None
    assert play.loop.time() < 4.5
    assert len(play.server.jobs) <= 50 * 4.2
    assert not play.upload.complete


def test_a_key_in_progress_holds_back_its_own_chunk_only() -> None:
    one = Setting()
    said = iter([answer(409, retry_after="120")])

    async def act() -> None:
        waiting = asyncio.create_task(call(one.caller(), 0))
        await asyncio.sleep(1)
        began = one.loop.time()
        await many(one.caller(), 5)
        assert one.loop.time() - began < 5
        await waiting

    one.play(lambda now, request: next(said, Response(status=200, body=b'["1"]')), act)
