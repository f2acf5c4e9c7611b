"""Every interleaving of a few chunks, faults and crashes: the search ends, and says how many states it saw.

`CALLS_SMALL_SCOPE=large pytest -m proof tests/proofs/test_small_scope.py -s` takes a larger one, for many minutes and
gigabytes.
"""

from __future__ import annotations

import os

import attrs
import pytest

from calls_async.transport.evidence import Evidence
from tests.proofs.small_scope.decisions import judge_answer, seal
from tests.proofs.small_scope.model import Scope
from tests.proofs.small_scope.search import Found, search

FAULTS = {"lost": 1, "answer lost": 1, "late": 1}


def scope(*chunks: tuple[int, int], refused: int = 1, **most: int) -> Scope:
    """A scope of chunks by their first and last row, one of whose rows the server refuses, so that it is split."""
    kinds = {kind.replace("_", " "): count for kind, count in most.items()}
    return Scope(tuple(seal(*rows) for rows in chunks), kinds, bad_rows=frozenset({refused}))


ONE, TWO, THREE = [(1, 2)], [(1, 2), (3, 3)], [(1, 2), (3, 3), (4, 4)]
SINGLES = [(1, 1), (2, 2)]

QUICK = {
    "one chunk, all kinds": scope(*ONE, crash=2, lost=2, answer_lost=1, late=1, status=1),
    "two chunks": scope(*TWO, crash=1, lost=1, answer_lost=1, late=1),
    "an old copy": scope(*TWO, crash=1, answer_lost=1, restore=1, day=1),
    "an old copy, two deaths": scope(*SINGLES, refused=0, crash=2, lost=1, restore=1, day=1),
}
LONG = {
    "one chunk, two of each": scope(*ONE, crash=2, lost=2, answer_lost=2, late=2, status=2),
    "two chunks, all kinds": scope(*TWO, crash=1, lost=1, answer_lost=1, late=1, status=1),
    "two chunks, two of each": scope(*TWO, crash=2, lost=2, answer_lost=2, late=1),
    "three chunks": scope(*THREE, crash=2, answer_lost=1, late=1),
    "three chunks, an old copy": scope(*THREE, crash=1, lost=1, restore=1, day=1),
    "two chunks, an old copy, late requests": scope(*TWO, crash=1, answer_lost=1, late=1, restore=1, day=1),
}
LARGE = {"by hand": scope(*THREE, crash=2, lost=1, answer_lost=1, late=1, status=1)}


def play(one: Scope) -> Found:
    # C-IDEM-1, C-IDEM-7
    found = search(one)
    story = "\n".join(found.story)
    assert found.breach is None, f"{found.breach}, after:\n{story}"
    assert found.finished > 0
    print(f"{found.states:,} states, {found.finished:,} of them finished")  # noqa: T201  # pytest -rP shows it
    return found


@pytest.mark.parametrize("name", QUICK)
def test_no_interleaving_breaks_the_promise(name: str) -> None:
    assert play(QUICK[name]).states > 1_000


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", LONG)
def test_nor_does_one_of_a_larger_scope(name: str) -> None:
    assert play(LONG[name]).states > 10_000


@pytest.mark.proof
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(os.environ.get("CALLS_SMALL_SCOPE") != "large", reason="takes very long; CALLS_SMALL_SCOPE=large")
@pytest.mark.parametrize("name", LARGE)
def test_nor_does_one_of_the_largest(name: str) -> None:
    play(LARGE[name])


def test_it_would_find_who_does_not_wait_for_what_is_late() -> None:
    found = search(attrs.evolve(scope(*ONE, late=1, status=1), waits=False))
    assert found.breach is not None
    assert "a late request arrives" in " ".join(found.story)


def test_it_would_find_who_asks_only_the_first_time() -> None:
    found = search(attrs.evolve(scope(*SINGLES, refused=0, crash=2, restore=1, day=1), asks_on=False))
    assert found.breach == "rows are called twice: [2]"
    assert found.story[-1] == "2-2: sent, 200"


def test_it_would_find_a_refusal_that_is_believed_after_a_lost_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decisions are the package's own: where one of them is wrong, the search says so."""
    monkeypatch.setattr(Evidence, "maybe_created", False)
    judge_answer.cache_clear()
    try:
        found = search(scope(*ONE, refused=0, late=1, status=1))
    finally:
        judge_answer.cache_clear()
    assert found.breach is not None
    assert "1-2: a late request arrives" in found.story
