"""Uploads as a state machine: journal, process, network and server; every step that one of them can take.

Time is only as fine as the promises: a late request arrives before whoever waits for it is done waiting; a day passes
only where no process lives and nothing is under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import attrs

from calls_async.transport.evidence import Evidence
from tests.proofs.small_scope.decisions import (
    FRESH,
    FROM_BEFORE,
    LOST,
    Decision,
    all_of,
    judge_answer,
    key_of,
    rows_of,
    settle,
)

KINDS = ("crash", "lost", "answer lost", "late", "status", "restore", "day")
STATUSES = (404, 409, 418, 503)


class Record(NamedTuple):
    """What the journal says of a chunk: `planned`, `sent`, `old` (sent, and its key's day is over) or `answered`."""

    state: str
    outcomes: tuple[tuple[int, str], ...] = ()


class Journal(NamedTuple):
    """On disk."""

    chunks: tuple[tuple[str, Record], ...]
    """By place, in the order in which they are sent."""
    fresh: bool = True
    """Whether its last key was first used today."""
    to_ask: int = 0
    """Of how many of its next chunks the report is still to be asked, for it may be an old copy."""

    def of(self, place: str) -> Record:
        return dict(self.chunks)[place]

    def put(self, place: str, record: Record) -> Journal:
        chunks = tuple((each, record if each == place else old) for each, old in self.chunks)
        return self._replace(chunks=chunks)

    def split(self, place: str, decision: Decision) -> Journal:
        """Note what a chunk has come to; its parts are planned in the same step."""
        chunks = self.put(place, Record("answered", decision.outcomes)).chunks
        return self._replace(chunks=chunks + tuple((part, Record("planned")) for part in decision.parts))

    def grow_old(self) -> Journal:
        chunks = tuple((place, Record("old") if it.state == "sent" else it) for place, it in self.chunks)
        return self._replace(chunks=chunks, fresh=False)


class Flight(NamedTuple):
    """What the process knows of a chunk that it has taken: `noted` (it may be sent), `parked`, `decided`."""

    place: str
    phase: str
    evidence: Evidence = FRESH
    status: int = 0
    decision: Decision | None = None


class State(NamedTuple):
    """Everything, hashable."""

    journal: Journal
    flights: tuple[Flight, ...] = ()
    alive: bool = False
    acted: frozenset[str] = frozenset()
    """The keys upon which the server has acted within their day."""
    jobs: tuple[int, ...] = ()
    """By row: of all rows that have any, each time once more."""
    late: tuple[str, ...] = ()
    """What is still on its way."""
    copy: Journal | None = None
    spent: tuple[int, ...] = (0,) * len(KINDS)
    ended: bool = False
    """Refused as an old copy: a person brings the newest journal back."""


Step = tuple[str, State]


@attrs.frozen
class Scope:
    """How much may happen."""

    chunks: tuple[str, ...]
    most: dict[str, int]
    """Of each kind of `KINDS`; none where it is not named."""
    in_flight: int = 2
    bad_rows: frozenset[int] = frozenset()
    """Rows that the server refuses, and with them every chunk that holds one."""
    statuses: tuple[int, ...] = STATUSES
    waits: bool = True
    """Whether who is in doubt waits for what may be late. Without that, and without the next one, people are called
    twice: so that the search shows that it would find it."""
    asks_on: bool = True
    """Whether a journal that may be an old copy is asked about in the next process, too, where the first one died."""

    def start(self) -> State:
        return State(Journal(tuple((place, Record("planned")) for place in self.chunks)))


def steps(scope: Scope, state: State) -> Iterator[Step]:
    """Yield everything that can happen next, with its name."""
    if state.ended:
        return
    yield from _arrive(scope, state)
    if not state.alive:
        yield from _between_lives(scope, state)
        return
    if (crashed := _spend(scope, state, "crash")) is not None:
        yield "the process dies", crashed._replace(alive=False, flights=())
    if state.copy is None and scope.most.get("restore"):
        yield "the journal is copied", state._replace(copy=state.journal)
    yield from _take(scope, state)
    for flight in state.flights:
        if flight.phase == "noted":
            yield from _attempt(scope, state, flight)
        elif flight.phase == "decided":
            yield f"{flight.place}: written down", _commit(state, flight)
        elif not scope.waits or key_of(flight.place) not in map(key_of, state.late):
            yield from _settle(scope, state, flight)


def _spend(scope: Scope, state: State, kind: str) -> State | None:
    index = KINDS.index(kind)
    if state.spent[index] >= scope.most.get(kind, 0):
        return None
    spent = (*state.spent[:index], state.spent[index] + 1, *state.spent[index + 1 :])
    return state._replace(spent=spent)


# --- the server ---


def _handle(scope: Scope, state: State, place: str) -> tuple[int, State]:
    """The server gets a request: its answer, and what comes of it."""
    rows, key = rows_of(place), key_of(place)
    if key in state.acted:
        return 200, state
    if scope.bad_rows & set(rows):
        return 400, state
    return 200, state._replace(acted=state.acted | {key}, jobs=tuple(sorted(state.jobs + rows)))


def _arrive(scope: Scope, state: State) -> Iterator[Step]:
    for place in dict.fromkeys(state.late):
        left = list(state.late)
        left.remove(place)
        _, after = _handle(scope, state._replace(late=tuple(left)), place)
        yield f"{place}: a late request arrives", after


# --- between two lives ---


def _between_lives(scope: Scope, state: State) -> Iterator[Step]:
    if any(record.state != "answered" for _, record in state.journal.chunks):
        asked_on = state.journal.to_ask if scope.asks_on else 0
        to_ask = asked_on if state.journal.fresh else len(scope.chunks) + 2
        yield "a process begins", state._replace(alive=True, journal=state.journal._replace(to_ask=to_ask))
    if state.copy is not None and (restored := _spend(scope, state, "restore")) is not None:
        yield "the copy is restored", restored._replace(journal=state.copy, copy=None)
    if not state.late and (later := _spend(scope, state, "day")) is not None:
        copy = None if state.copy is None else state.copy.grow_old()
        yield "a day passes", later._replace(journal=state.journal.grow_old(), copy=copy, acted=frozenset())


# --- the process ---


def _take(scope: Scope, state: State) -> Iterator[Step]:
    """A worker takes a chunk, and notes that it is about to be sent."""
    at_work = [flight for flight in state.flights if flight.phase != "parked"]
    taken = {flight.place for flight in state.flights}
    if len(at_work) >= scope.in_flight:
        return
    for place, record in state.journal.chunks:
        if place in taken or record.state == "answered":
            continue
        if record.state == "planned":
            yield from _begin(state, place)
        elif record.state == "sent":
            yield f"{place}: taken up again", _add(state, Flight(place, "noted", FROM_BEFORE))
        else:
            unknown = Flight(place, "decided", decision=all_of(place, "unknown"))
            yield f"{place}: its key is too old", _add(state, unknown)
        return  # in their order


def _begin(state: State, place: str) -> Iterator[Step]:
    journal = state.journal
    if journal.to_ask:
        known = {row for _, record in journal.chunks for row, _ in record.outcomes}
        sent = {row for each, record in journal.chunks if record.state in ("sent", "old") for row in rows_of(each)}
        if set(state.jobs) & set(rows_of(place)) - known - sent:
            yield f"{place}: the report knows jobs: an old copy", state._replace(ended=True)
            return
        journal = journal._replace(to_ask=journal.to_ask - 1)
    noted = journal.put(place, Record("sent"))._replace(fresh=True)
    yield f"{place}: noted as sent", _add(state._replace(journal=noted), Flight(place, "noted"))


def _add(state: State, flight: Flight) -> State:
    return state._replace(flights=tuple(sorted((*state.flights, flight))))


def _put(state: State, flight: Flight) -> State:
    return _add(state._replace(flights=tuple(one for one in state.flights if one.place != flight.place)), flight)


def _commit(state: State, flight: Flight) -> State:
    decision = flight.decision
    if decision is None:
        raise TypeError("nothing is decided")
    flights = tuple(one for one in state.flights if one.place != flight.place)
    return state._replace(flights=flights, journal=state.journal.split(flight.place, decision))


def _attempt(scope: Scope, state: State, flight: Flight) -> Iterator[Step]:
    """The chunk is sent, and one thing becomes of that."""
    place, lost = flight.place, flight._replace(evidence=flight.evidence.seen(LOST))
    status, acted = _handle(scope, state, place)
    yield f"{place}: sent, {status}", _answer(acted, flight, status)
    if (spent := _spend(scope, state, "lost")) is not None:
        yield f"{place}: lost on the way", _put(spent, lost)
    if (spent := _spend(scope, acted, "answer lost")) is not None:
        yield f"{place}: sent, and the answer is lost", _put(spent, lost)
    if (spent := _spend(scope, state, "late")) is not None:
        late = tuple(sorted((*spent.late, place)))
        yield f"{place}: no answer, and still on its way", _put(spent._replace(late=late), lost)
    arrived = key_of(place) in state.acted or place in state.late
    if arrived and (spent := _spend(scope, state, "status")) is not None:
        yield f"{place}: 400, for the key has been seen", _answer(spent, flight, 400)
    for status in scope.statuses:
        if (spent := _spend(scope, state, "status")) is None:
            break
        yield f"{place}: {status}, never acted upon", _answer(spent, flight, status)
        _, before = _handle(scope, spent, place)
        yield f"{place}: {status}, acted upon before", _answer(before, flight, status)
        late = tuple(sorted((*spent.late, place)))
        yield f"{place}: {status}, acted upon later", _answer(spent._replace(late=late), flight, status)
    if flight.evidence.maybe_created:
        unknown = flight._replace(phase="decided", evidence=FRESH, decision=all_of(place, "unknown"))
        yield f"{place}: given up", _put(state, unknown)


def _answer(state: State, flight: Flight, status: int) -> State:
    judged = judge_answer(flight.place, status, flight.evidence)
    if judged.what == "stops":
        return state._replace(alive=False, flights=())  # the chunk stays open under its key
    if judged.what == "again":
        return _put(state, flight._replace(evidence=judged.evidence))
    if judged.what == "parked":
        return _put(state, Flight(flight.place, "parked", judged.evidence, judged.status))
    return _put(state, Flight(flight.place, "decided", decision=judged.decision))


def _settle(scope: Scope, state: State, flight: Flight) -> Iterator[Step]:
    """Nothing of it can be late any more, and the report is asked."""
    place = flight.place
    called = frozenset(rows_of(place)) & set(state.jobs)
    after = state
    if called == set(rows_of(place)):
        status, after = _handle(scope, state, place)
        if status == 200:
            yield f"{place}: asked once more, 200", _put(after, _decided(place, all_of(place, "accepted")))
    decision = settle(place, flight.status, called)
    yield f"{place}: settled by the report", _put(after, _decided(place, decision))


def _decided(place: str, decision: Decision) -> Flight:
    return Flight(place, "decided", decision=decision)


# --- what must hold ---


def find_breach(scope: Scope, state: State) -> str | None:
    """Say what is broken in a state; None where nothing is."""
    if len(set(state.jobs)) < len(state.jobs):
        return f"rows are called twice: {sorted({row for row in state.jobs if state.jobs.count(row) > 1})}"
    if state.alive or state.late or state.ended:
        return None
    if any(record.state != "answered" for _, record in state.journal.chunks):
        return None
    told = [outcome for _, record in state.journal.chunks for outcome in record.outcomes]
    rows = sorted(row for row, _ in told)
    if rows != sorted(row for place in scope.chunks for row in rows_of(place)):
        return f"outcomes of rows {rows}"
    for row, status in told:
        if (status == "accepted" and row not in state.jobs) or (status == "rejected" and row in state.jobs):
            return f"row {row} is said to be {status}"
    return None
