"""Refusals and failures that prove nothing: the report is asked before anything goes under a new key."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from email.utils import formatdate
from pathlib import Path

import pytest

from calls_async import AccessError, ChunkWaits, Contact, NoAnswerError, OutageBegan, OutcomeStatus
from calls_async.protocol.endpoints import Response
from calls_async.upload.chunks.chunk import Chunk, ChunkContent
from calls_async.upload.outcomes.attribution import LATE_SECONDS
from calls_async.upload.pipeline.hints import apart, named_by
from calls_async.upload.upload import Upload
from tests.helpers.line import answer
from tests.helpers.play import FIRST, LOST, Play, Server, Twice

FAILURES = [408, 500, 502, 503, 504, 520, 522, 524, 529, 598]


def phone(index: int) -> str:
    return str(FIRST + index)


# --- nobody twice ---


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.parametrize("again", [b"duplicate request", b"", b"Conflict"])
def test_what_a_failure_leaves_is_acted_upon_seconds_later(status: int, again: bytes) -> None:  # C-IDEM-1
    late = Twice(first=answer(status), then=Response(status=409, body=again), acts_after_seconds=30.0)
    play = Play(late.server())
    assert play.run(8) is None
    assert Counter(play.server.jobs) == {phone(n): 1 for n in range(8)}
    assert play.statuses() == {"accepted": 8}  # the key was asked again, once the report had said that there are jobs


@pytest.mark.parametrize("words", [b"", b"Conflict", b"key already used"])
@pytest.mark.parametrize("answers_late", [True, False])
def test_a_first_409_means_that_the_key_is_known(words: bytes, answers_late: bool) -> None:  # C-IDEM-1
    """The app has acted; a gateway has repeated the request, and hands on what the repetition was told."""

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        if before == 0:
            server.create("acted", phones)
        return None if answers_late and before == 3 else Response(status=409, body=words)

    play = Play(Server(says))
    play.server.known_as = "acted"
    assert play.run(8) is None
    assert len(play.server.jobs) == 8
    assert play.statuses() == {"accepted" if answers_late else "unknown": 8}


@pytest.mark.parametrize("status", [406, 411, 418, 423, 451])
def test_any_other_refusal_waits_and_asks_the_report_before_a_new_key(status: int) -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | None:
        if len(phones) == 1:
            return None
        server.act_later(phones[:4], 60.0)
        return Response(status=status)

    play = Play(Server(says))
    assert play.run(8) is None
    assert Counter(play.server.jobs) == {phone(n): 1 for n in range(8)}
    assert play.statuses() == {"unknown": 4, "accepted": 4}
    assert [event.wait_seconds for event in play.told if isinstance(event, ChunkWaits)] == [LATE_SECONDS]


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404, 405, 407, 410, 501])
def test_where_nothing_goes_the_chunk_stays_open_under_its_key(status: int, path: Path) -> None:  # C-M-18
    keys: list[str] = []

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        if before == 0 and not keys:
            server.create("acted", phones)
            keys.append("acted")
            return Response(status=status)
        return None

    play = Play(Server(says), path)
    play.server.known_as = "acted"
    error = play.run(8)
    assert isinstance(error, AccessError)
    assert error.status == status
    assert not play.outcomes
    assert play.run(8) is None
    assert len(play.server.jobs) == 8
    assert play.statuses() == {"accepted": 8}
    assert list(play.server.came.values()) == [2]  # one key, twice


def test_nobody_is_told_to_be_rejected_where_nothing_goes_here() -> None:
    play = Play(Server(lambda server, phones, before: Response(status=403)))
    assert isinstance(play.run(8), AccessError)
    assert play.statuses() == {"unknown": 8}


@pytest.mark.parametrize("status", [200, 400, 404, 422])
def test_a_web_page_as_the_first_answer_stops_the_upload(status: int, path: Path) -> None:
    play = Play(Server(lambda server, phones, before: Response(status=status, body=b"<html>Sign in</html>")), path)
    error = play.run(8)
    assert isinstance(error, AccessError)
    assert "check the host" in str(error)
    play.server.says = lambda server, phones, before: None
    assert play.run(8) is None
    assert play.statuses() == {"accepted": 8}


# --- a refusal that is kept with the key ---


@pytest.mark.parametrize("status", [401, 403, 404, 410, 501])
def test_a_refusal_that_is_kept_with_the_key(status: int, path: Path) -> None:  # C-IDEM-1
    kept: set[str] = set()

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        if not kept:
            kept.add(next(iter(server.came)))
        return Response(status=status) if kept & {server.key} else None

    play = Play(Server(says), path)
    assert isinstance(play.run(8), AccessError)
    assert play.run(8) is None  # the report works, so it is the key
    assert play.statuses() == {"accepted": 8}
    assert len(play.server.jobs) == 8
    assert sorted(play.server.came.values()) == [1, 2]


def test_a_token_that_is_refused_by_the_report_too_is_no_matter_of_the_key(path: Path) -> None:
    play = Play(Server(lambda server, phones, before: Response(status=403), lambda server: answer(403)), path)
    assert isinstance(play.run(8), AccessError)
    began = play.started
    assert isinstance(play.run(8), NoAnswerError)
    assert play.started - began < LATE_SECONDS  # at once
    assert list(play.server.came.values()) == [2]


# --- a row at which the server always fails ---


@pytest.mark.parametrize("poisoned", [{5}, {0, 250, 499}, {3, 4}])
@pytest.mark.parametrize("rows", [500, 3000])
def test_a_poisoned_row_costs_itself(poisoned: set[int], rows: int, path: Path) -> None:
    phones_poisoned = {phone(n) for n in poisoned}

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        return answer(500) if phones_poisoned & set(phones) else None

    play = Play(Server(says), path)
    began = play.started
    assert play.run(rows) is None
    assert play.statuses()["accepted"] == rows - len(poisoned)
    others = {outcome.phone for outcome in play.outcomes if outcome.status is not OutcomeStatus.ACCEPTED}
    assert others == phones_poisoned
    assert play.started - began < 600  # minutes: two waits and the attempts between them
    assert sorted(play.server.jobs) == sorted(phone(n) for n in range(rows) if n not in poisoned)


def test_three_poisoned_chunks_are_no_outage() -> None:
    poisoned = {phone(n) for n in (5, 505, 1005)}
    play = Play(Server(lambda s, phones, before: answer(500) if poisoned & set(phones) else None))
    assert play.run(5000, max_outage_seconds=60) is None
    assert play.statuses()["accepted"] == 4997


def test_a_server_that_fails_at_everybody_is_an_outage_and_splits_nothing(path: Path) -> None:
    play = Play(Server(lambda server, phones, before: answer(500), report=lambda server: answer(500)), path)
    error = play.run(5000, chunk_rows=100, max_outage_seconds=900)
    assert isinstance(error, NoAnswerError)
    assert error.outage
    assert any(isinstance(event, OutageBegan) for event in play.told)
    assert all(count > 1 for count in play.server.came.values())
    play.server.says, play.server.report = lambda server, phones, before: None, None
    assert play.run(5000, chunk_rows=100) is None
    assert play.statuses() == {"accepted": 5000}


# --- how long it takes ---


def test_any_number_may_wait_and_all_others_go_on() -> None:
    """0.5 % refused and 2 % of the answers lost: one or two waits at the end, not one after the other."""
    refused = {phone(n) for n in range(0, 20_000, 200)}

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        bad = refused & set(phones)
        if before == 0 and server.requests % 50 == 0:
            if not bad:
                server.create(server.key, phones)
            return LOST
        return Response(status=400, body=b"no such country") if bad else None

    play = Play(Server(says))
    began = play.started
    assert play.run(20_000, chunk_rows=100) is None
    assert play.statuses() == {"accepted": 19_900, "rejected": 100}
    assert len(play.server.jobs) == len(set(play.server.jobs)) == 19_900
    assert play.started - began < 3 * LATE_SECONDS


def test_more_chunks_wait_than_there_are_workers(path: Path) -> None:
    """Each chunk's first answer is lost, and its repetition refused: all wait at the same time."""

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        return None if len(phones) == 1 else LOST if before == 0 else Response(status=400)

    play = Play(Server(says), path)
    began = play.started
    assert play.run(400, chunk_rows=4, concurrency=2) is None
    assert play.statuses() == {"accepted": 400}
    assert sum(isinstance(event, ChunkWaits) for event in play.told) == 100
    assert play.started - began < 2 * LATE_SECONDS


@pytest.mark.parametrize(
    "words", ['{{"error": "phone {phone} is not allowed"}}', "[{index}]: bad phone", "row {row}"]
)
@pytest.mark.parametrize("bad", [1, 7])
def test_words_that_name_the_rows_save_requests(words: str, bad: int) -> None:
    refused = {phone(n): n for n in range(11, 500, 500 // bad)}

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        named = next((one for one in phones if one in refused), None)
        if named is None:
            return None
        place = phones.index(named)
        said = words.format(phone=named, index=place, row=place + 1)
        return Response(status=400, body=said.encode())

    play = Play(Server(says))
    assert play.run(500) is None
    assert play.statuses() == {"accepted": 500 - len(refused), "rejected": len(refused)}
    assert play.server.requests <= 3 * len(refused) + 2


@pytest.mark.parametrize(
    "words", [b"error in line 1", b"[0]", b"too many phones: 500", b"phones: 499 is the maximum"]
)
def test_words_that_always_name_the_same_place_cost_little(words: bytes) -> None:
    bad = {phone(n) for n in (100, 400)}
    play = Play(Server(lambda s, phones, before: Response(status=400, body=words) if bad & set(phones) else None))
    assert play.run(500) is None
    assert play.statuses() == {"accepted": 498, "rejected": 2}
    assert play.server.requests < 120


def test_a_clock_that_is_ahead_makes_no_job_an_old_one() -> None:
    """The first send was noted by a clock that is three days ahead of the server's: its jobs are no older than it."""

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if before == 0:
            server.create("acted", phones)
            return LOST
        return Response(status=400, headers={"date": formatdate(1.8e9, usegmt=True)})

    def report(server: Server) -> Response:
        jobs = [{"callJobId": "1", "phone": one, "createdAt": int(1.8e12)} for one in server.jobs]
        return Response(status=200, body=json.dumps(jobs).encode())

    play = Play(Server(says, report), started=1.8e9 + 3 * 86_400)
    assert play.run(8) is None
    assert len(play.server.jobs) == 8
    assert play.statuses() == {"unknown": 8}


def test_stopping_at_once_asks_and_sends_nothing_more_for_what_waits() -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        return None if len(phones) == 1 else LOST if before == 0 else Response(status=400)

    play = Play(Server(says))
    asked: list[int] = []

    async def act(upload: Upload) -> None:
        await asyncio.sleep(30)
        asked.append(play.server.requests)
        upload.stop(try_again=False)

    began = play.started
    assert play.run(40, chunk_rows=8, act=act) is None
    assert play.statuses() == {"unknown": 40}
    assert asked == [play.server.requests]
    assert play.started - began < LATE_SECONDS


def test_being_cancelled_leaves_what_waits_in_doubt() -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        return LOST if before == 0 else Response(status=400)

    play = Play(Server(says))

    async def act(upload: Upload) -> None:
        await asyncio.sleep(30)
        await upload._cancel()

    with pytest.raises(asyncio.CancelledError):
        play.run(40, chunk_rows=8, act=act)
    doubted = [outcome for receipt in play.upload.in_doubt for outcome in receipt.outcomes()]
    assert sorted(outcome.row for outcome in doubted) == list(range(1, 41))
    assert {outcome.status for outcome in doubted} == {OutcomeStatus.UNKNOWN}
    assert sorted(str(outcome.phone) for outcome in doubted) == sorted(phone(n) for n in range(40))


# --- hints ---


def chunk_of(count: int) -> Chunk:
    phones = [phone(n) for n in range(count)]
    body = b"[%b]" % b",".join(Contact(phone=one).to_bytes() for one in phones)
    content = ChunkContent(first_row=1, last_row=count, rows=range(1, count + 1), phones=phones, body=body)
    return Chunk.seal(content, number=1, upload_id="u")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (f"{FIRST + 3} is on the stop list", [3]),
        (json.dumps({"invalid": [phone(1), phone(7)]}), [1, 7]),
        ("[4]: phone", [4]),
        ('{"pointer": "/4/phone"}', [4]),
        ("invalid phone at index 4", [4]),
        ("row 4 is wrong", [3, 4]),
        ("item #4", [3, 4]),
        ("no such country", []),
        ("[400]", []),
        ("line 99", []),
        ("index -4", [4]),
        (" ".join(phone(n) for n in range(10)), []),  # all of them: nothing is gained
    ],
)
def test_what_words_name(words: str, named: list[int]) -> None:
    assert named_by(words, chunk_of(10)) == named


def test_named_rows_stand_apart() -> None:
    assert apart([1, 3], 5) == [[1], [3], [0, 2, 4]]
    assert apart([0], 1) == [[0]]
