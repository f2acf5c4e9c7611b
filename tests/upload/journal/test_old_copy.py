"""An old copy of the journal in its place: the same rows have the same keys, whatever happened between."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from calls_async.errors import JournalRefusedError, RequestError
from calls_async.protocol.endpoints import Request, Response
from calls_async.upload.journal.overview import open_for_reading
from calls_async.upload.pipeline import old_copy
from tests.helpers.play import FIRST, GONE, LOST, Play, Server, after

HOUR = 3600.0
ROWS = 200


def goes_well(server: Server, phones: list[str], before: int) -> Response | Exception | None:
    return None


def refuses_some(server: Server, phones: list[str], before: int) -> Response | Exception | None:
    return Response(status=400) if {str(FIRST + n) for n in (3, 77, 78)} & set(phones) else None


def takes_little(server: Server, phones: list[str], before: int) -> Response | Exception | None:
    return Response(status=413) if len(phones) > 5 else None


def loses_answers(server: Server, phones: list[str], before: int) -> Response | Exception | None:
    if before == 0 and server.requests % 3 == 0:
        server.create(server.key, phones)
        return LOST
    return None


@pytest.mark.parametrize("says", [goes_well, refuses_some, takes_little, loses_answers])
@pytest.mark.parametrize("taken_after", [0.15, 0.25, 0.45])
def test_within_the_keys_day_nobody_is_called_twice(says: object, taken_after: float, path: Path) -> None:
    # C-IDEM-1
    play = Play(Server(says), path)  # type: ignore[arg-type]
    play.run(ROWS, chunk_rows=20, concurrency=2, act=after(taken_after, try_again=False))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    play.started += HOUR
    assert play.run(ROWS, chunk_rows=7, concurrency=4) is None  # the borders stay where they were
    shutil.copy(copy, path)
    play.started += HOUR
    assert play.run(ROWS, chunk_rows=11, chunk_bytes=300) is None
    assert set(Counter(play.server.jobs).values()) == {1}
    assert len(play.outcomes) == ROWS
    assert set(play.server.jobs) >= {str(FIRST + n) for n in range(ROWS) if n not in (3, 77, 78)}


def test_the_size_of_chunks_stands_in_the_journal(path: Path) -> None:
    play = Play(Server(goes_well), path)
    play.run(ROWS, chunk_rows=20, chunk_bytes=5000, rate=10.0, act=after(0.5, try_again=False))
    store = open_for_reading(path)
    try:
        size = store.upload.record().chunk_size
    finally:
        store.close()
    assert size is not None
    assert size.body_bytes == 5000
    assert size.rows <= 20


def test_what_is_learnt_of_sizes_moves_no_border(path: Path) -> None:
    """A 413 splits a chunk; later chunks that are as large are split in the same way, unasked."""
    bodies: list[int] = []

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        bodies.append(len(phones))
        return Response(status=413) if len(json.dumps(phones)) > 15 * 10 else None

    play = Play(Server(says), path)
    assert play.run(ROWS, chunk_rows=20, concurrency=1) is None
    assert set(bodies) == {20, 10}
    assert bodies.count(20) == 1
    assert len(play.server.jobs) == ROWS


def leave_an_old_copy(play: Play, path: Path) -> None:
    """Restore a copy from before the last life, two days later."""
    play.run(ROWS, chunk_rows=20, concurrency=2, act=after(0.15, try_again=False))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    play.run(ROWS, chunk_rows=20, concurrency=2, act=after(0.15, try_again=False))
    path.rename(path.with_name("newest"))
    shutil.copy(copy, path)
    play.started += 48 * HOUR
    play.server.forget_keys()


@pytest.mark.parametrize("source", [True, False])
def test_after_the_keys_day_an_old_copy_is_recognised(path: Path, *, source: bool) -> None:
    # C-IDEM-7, C-M-6
    play = Play(Server(goes_well), path)
    leave_an_old_copy(play, path)
    before = list(play.server.jobs)
    assert len(before) < ROWS
    error = play.run(ROWS, chunk_rows=20, concurrency=4, from_source=source)
    if not source and error is None:  # nothing in it waits to be sent
        assert play.server.jobs == before
        return
    assert isinstance(error, JournalRefusedError)
    assert "is an old copy" in str(error)
    assert "--trust-journal" in str(error)
    assert play.server.jobs == before
    assert isinstance(play.run(ROWS), JournalRefusedError)  # asked again in the next life
    shutil.copy(path.with_name("newest"), path)
    assert play.run(ROWS) is None
    assert set(Counter(play.server.jobs).values()) == {1}
    assert len(play.server.jobs) == ROWS


def test_the_next_process_goes_on_asking(path: Path) -> None:
    """The first of the next chunks was never called, and its new send makes the journal young again."""
    lost: set[str] = set()
    play = Play(Server(lambda server, phones, before: LOST if lost & set(phones) else None), path)
    play.run(ROWS, chunk_rows=20, concurrency=1, act=after(0.15, try_again=False))
    known = len(play.server.jobs)
    lost.add(str(FIRST + known))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    play.run(ROWS, chunk_rows=20, concurrency=2, act=after(0.45, try_again=False))
    assert known < len(play.server.jobs) < ROWS
    shutil.copy(copy, path)
    play.started += 48 * HOUR
    play.server.forget_keys()
    sent = play.server.came.total()
    play.run(ROWS, concurrency=1, act=after(0.35, try_again=False))
    assert play.server.came.total() == sent + 1
    lost.clear()
    assert isinstance(play.run(ROWS, concurrency=1), JournalRefusedError)
    assert max(Counter(play.server.jobs).values()) == 1


def test_its_owner_may_vouch_for_a_journal(path: Path) -> None:
    play = Play(Server(goes_well), path)
    leave_an_old_copy(play, path)
    assert play.run(ROWS, trust_journal=True) is None
    assert max(Counter(play.server.jobs).values()) == 2


@pytest.mark.parametrize(("says", "repeated"), [(goes_well, False), (refuses_some, True), (loses_answers, True)])
def test_the_newest_journal_goes_on_after_the_keys_day(path: Path, says: object, *, repeated: bool) -> None:
    """Jobs of rows that it knows, or that may have one, are explained: also where the same phone stands again."""
    play = Play(Server(says), path)  # type: ignore[arg-type]
    contacts = [{"phone": FIRST + n % (ROWS // 2 if repeated else ROWS), "payload": {"row": n}} for n in range(ROWS)]
    play.run_of(contacts, chunk_rows=20, concurrency=2, act=after(0.35, try_again=False))
    assert 0 < len(play.server.jobs) < ROWS
    play.started += 48 * HOUR
    play.server.forget_keys()
    assert play.run_of(contacts, chunk_rows=20, concurrency=2) is None
    assert len(play.outcomes) == ROWS


def test_no_later_chunk_goes_before_an_earlier_one_is_known(path: Path) -> None:
    play = Play(Server(goes_well), path)
    play.run(ROWS, chunk_rows=20, concurrency=2, act=after(0.25, try_again=False))
    before = list(play.server.jobs)
    play.server.report = lambda server: Response(status=404)
    play.started += 48 * HOUR
    assert isinstance(play.run(ROWS, concurrency=4), RequestError)
    assert play.server.jobs == before
    play.server.report = None
    assert play.run(ROWS, concurrency=4) is None
    assert len(play.server.jobs) == ROWS


def test_jobs_from_before_the_upload_are_no_reason(path: Path) -> None:
    # C-REP-3
    play = Play(Server(goes_well), path)
    play.run(ROWS, chunk_rows=20, concurrency=2, act=after(0.25, try_again=False))
    created = (play.started - 30 * 24 * HOUR) * 1000
    play.server.report = lambda server: Response(
        status=200,
        body=json.dumps([{"callJobId": "1", "phone": str(FIRST + ROWS - 1), "createdAt": created}]).encode(),
    )
    play.started += 48 * HOUR
    assert play.run(ROWS, chunk_rows=20) is None
    assert len(play.server.jobs) == ROWS


def test_an_outage_over_the_end_of_the_keys_day_asks_too(path: Path) -> None:
    """Opened in time, and sent when the keys of the copy's later life are forgotten."""
    # C-IDEM-7
    play = Play(Server(goes_well), path)
    leave_an_old_copy(play, path)
    before = list(play.server.jobs)
    play.started -= 48 * HOUR - 22.5 * HOUR

    def says(server: Server, phones: list[str], before: int) -> Exception | None:
        return GONE if play.loop.time() < 2 * HOUR else None

    play.server.says = says
    error = play.run(ROWS, chunk_rows=20, concurrency=2, max_outage_seconds=10 * HOUR)
    assert isinstance(error, JournalRefusedError), error
    assert play.server.jobs == before


def test_the_parts_of_a_chunk_that_was_split_are_asked_about(path: Path) -> None:
    play = Play(Server(takes_little), path)
    play.run(40, chunk_rows=20, concurrency=1, act=after(0.15, try_again=False))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    play.run(40, concurrency=1, act=after(0.45, try_again=False))
    before = list(play.server.jobs)
    assert before
    shutil.copy(copy, path)
    play.started += 48 * HOUR
    play.server.forget_keys()
    assert isinstance(play.run(40, concurrency=1), JournalRefusedError)
    assert play.server.jobs == before


def next_rows(journal: Path) -> int:
    """The first row (from 0) that a journal takes for never sent: of a planned chunk, or of the source."""
    with closing(open_for_reading(journal)) as store:
        planned = [chunk for chunk in store.chunks.pending() if chunk.first_sent_at is None]
        rows = [chunk.first_row - 1 for chunk in planned]
        return min(rows, default=store.chunks.past()[-1].last_row)


def test_refused_rows_use_no_questions_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of the first chunk are all refused, and asked about; then comes one that was called."""
    monkeypatch.setattr(old_copy, "ASKED_ROWS", 30)
    refused: set[str] = set()
    says = lambda server, phones, before: Response(status=400) if refused & set(phones) else None  # noqa: E731
    play = Play(Server(says), path)
    play.run(ROWS, chunk_rows=20, concurrency=1, act=after(0.15, try_again=False))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    first = next_rows(copy)
    refused |= {str(FIRST + first + n) for n in range(20)}
    assert play.run(ROWS) is None
    shutil.copy(copy, path)
    play.started += 48 * HOUR
    play.server.forget_keys()
    assert isinstance(play.run(ROWS, concurrency=1), JournalRefusedError)
    assert max(Counter(play.server.jobs).values()) == 1


def test_no_chunk_overtakes_the_question_about_an_earlier_one(path: Path) -> None:
    """The first of them was called, which its report says only after a while; the second was not."""
    slow, lost = set[str](), set[str]()

    class Slow(Server):
        async def exchange(self, request: Request) -> Response:
            if request.path.endswith("getReport") and slow & set(json.loads(request.body or b"{}")["phones"]):
                await asyncio.sleep(5)
            return await Server.exchange(self, request)

    play = Play(Slow(lambda server, phones, before: LOST if lost & set(phones) else None), path)
    play.run(ROWS, chunk_rows=20, concurrency=1, act=after(0.15, try_again=False))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    first = next_rows(copy)
    lost |= {str(FIRST + n) for n in range(first + 20, ROWS)}
    play.run(ROWS, concurrency=2, act=after(0.35, try_again=False))
    before = list(play.server.jobs)
    assert str(FIRST + first) in before
    shutil.copy(copy, path)
    play.started += 48 * HOUR
    play.server.forget_keys()
    lost.clear()
    slow.add(str(FIRST + first))
    assert isinstance(play.run(ROWS, concurrency=4), JournalRefusedError)
    assert play.server.jobs == before


def test_a_first_run_of_more_than_a_day_asks_nobody(path: Path) -> None:
    """Whatever other lists do meanwhile: it is no copy."""
    play = Play(Server(goes_well), path)
    play.server.report = lambda server: Response(
        status=200, body=json.dumps([{"callJobId": "x", "phone": str(FIRST + n)} for n in range(4)]).encode()
    )
    play.server.jobs, play.server.times = ["another"], [0.0]
    assert play.run(4, rate=1 / (10 * HOUR), max_outage_seconds=1e9) is None
    assert play.loop.time() > 24 * HOUR
    assert play.statuses() == {"accepted": 4}
