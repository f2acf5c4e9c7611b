"""An old copy of the journal in its place: the same rows have the same keys, whatever happened between."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from calls_async.protocol.endpoints import Response
from calls_async.upload.journal.overview import open_for_reading
from tests.helpers.play import FIRST, LOST, Play, Server, after

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
