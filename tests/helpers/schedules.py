"""Intervals and tables of allowed times, as properties draw them."""

from __future__ import annotations

from hypothesis import strategies as st

from calls_async.protocol.schedule import WEEKDAYS

MINUTES = 24 * 60
times_of_day = st.integers(0, MINUTES - 1)


def spell(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def interval(start: int, end: int) -> dict[str, str]:
    return {"localTimeFrom": spell(start), "localTimeTo": spell(end)}


quarters = st.integers(0, 95).map(lambda quarter: quarter * 15)
bounds = st.tuples(quarters, quarters).filter(lambda pair: pair[0] != pair[1])
intervals = st.lists(bounds.map(lambda pair: interval(*pair)), max_size=3)
tables = st.dictionaries(st.sampled_from([*WEEKDAYS, "default"]), intervals, min_size=1, max_size=4)
