"""Errors travel between processes."""

from __future__ import annotations

import pickle

import pytest

from calls_async import CallsError, ContactError, NoAnswerError, RefusedError, SourceError

ERRORS = [
    CallsError("x"),
    ContactError("phone", "is empty", 3),
    SourceError("list.csv", "is empty", "row 3"),
    RefusedError("no", method="POST", path="/{token}", status=400, body="b"),
    NoAnswerError("?", method="POST", path="/{token}", attempts=2, seconds=1.5, idempotence_key="k"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_errors_can_be_pickled(error: CallsError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)
