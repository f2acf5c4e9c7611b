"""What befalls a journal or its source between two lives, and must be refused: nothing is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from calls_async.errors import AccessError, JournalError, JournalRefusedError, UnreachableError
from calls_async.upload.journal.overview import open_for_reading
from tests.proofs.simulation.contact_list import ContactList
from tests.proofs.simulation.lives import HOST
from tests.proofs.simulation.world import LATEST_SECONDS

if TYPE_CHECKING:
    from tests.proofs.simulation.schedule import Schedule


SENT = "SELECT number, state FROM chunk WHERE sent_at IS NOT NULL"


def disturb(schedule: Schedule, one: ContactList) -> None:
    """Do one of those things to a list that is not finished, where it can be done, and undo it again."""
    if not one.journal.exists():
        return
    with closing(open_for_reading(one.journal)) as store:
        if store.finished():
            return
    schedule.world.now += LATEST_SECONDS
    schedule.world.catch_up()
    before = schedule.world.requests
    ways: list[Callable[[Schedule, ContactList], None]] = [
        _damage_bytes,
        _change_a_row,
        _lose_a_file,
        _name_another_host,
        _rehearse,
        _mistype_the_token,
    ]
    way = schedule.rng.choice(ways)
    schedule.story.tell(f"somebody does this: {way.__name__}")
    way(schedule, one)
    may_send = way in (_lose_a_file, _mistype_the_token)
    assert schedule.world.requests == before or may_send, f"something was sent after {way.__name__}"


def _try(schedule: Schedule, one: ContactList, host: str = HOST, **changed: Any) -> Any:
    async def upload(loop: Any) -> None:
        await schedule.upload(one, schedule.connection(loop, calm=True, host=host), calm=True, **changed)

    return schedule.in_a_process(upload, calm=True)


def _damage_bytes(schedule: Schedule, one: ContactList) -> None:
    """Of a chunk under way, in the journal that was folded into one file."""
    with closing(open_for_reading(one.journal)) as store:
        pending = store.chunks.pending()
    if not pending or any(file.exists() for file in _beside(one)):
        return
    number, body = pending[0].number, pending[0].body
    damage = schedule.rng.choice(["replace(body, '165', '167')", "CAST(replace(body, '165', '167') AS BLOB)"])
    _execute(one, f"UPDATE body SET body = {damage} WHERE number = ?", number)
    ending = _try(schedule, one)
    assert isinstance(ending, JournalError), ending
    _execute(one, "UPDATE body SET body = ? WHERE number = ?", body, number)


def _change_a_row(schedule: Schedule, one: ContactList) -> None:
    """Of those that have been read."""
    with closing(open_for_reading(one.journal)) as store:
        consumed = [row for chunk in store.chunks.past() for row in chunk.rows]
    if not consumed:
        return
    row = one.rows[schedule.rng.choice(consumed) - 1]
    kept = row["phone"]
    row["phone"] = "16599999999"
    ending = _try(schedule, one)
    row["phone"] = kept
    assert isinstance(ending, JournalRefusedError), ending
    assert "another list" in str(ending)


def _lose_a_file(schedule: Schedule, one: ContactList) -> None:
    """Of those beside a journal that was not closed. Where it held nothing that counts, no harm is done."""
    files = [file for file in _beside(one) if file.exists()]
    if not files:
        return
    lost = schedule.rng.choice(files)
    with closing(open_for_reading(one.journal)) as store:
        known = store.database.read(SENT)
    counts = known != _read_alone(one, SENT)
    content = lost.read_bytes()
    lost.unlink()
    before = schedule.world.requests
    ending = _try(schedule, one)
    if isinstance(ending, JournalError):
        assert schedule.world.requests == before
        lost.write_bytes(content)
    else:
        assert not counts, (lost.name, ending)


def _name_another_host(schedule: Schedule, one: ContactList) -> None:
    with closing(open_for_reading(one.journal)) as store:
        if not store.chunks.any_sent():
            return  # then there is no harm in it
    ending = _try(schedule, one, host="another host")
    assert isinstance(ending, JournalRefusedError), ending
    assert "another server" in str(ending), ending


def _mistype_the_token(schedule: Schedule, one: ContactList) -> None:
    """Nobody is called by that, and nobody is lost: whatever becomes of the journal."""
    world, jobs = schedule.world, len(schedule.world.jobs())
    if one.jobs() and not one.was_sent():
        return  # whoever was told that nothing goes here, and was called all the same, is lost sight of
    trouble, world.trouble = world.trouble, 0.0
    ending = _try(schedule, one, token="mistyped")
    world.trouble = trouble
    assert isinstance(ending, AccessError | JournalRefusedError | UnreachableError), ending
    assert len(world.jobs()) == jobs


def _rehearse(schedule: Schedule, one: ContactList) -> None:
    """In the real upload's journal."""
    before = [file.read_bytes() for file in [one.journal, *_beside(one)] if file.exists()]
    ending = _try(schedule, one, rehearsal=True)
    assert isinstance(ending, JournalRefusedError), ending
    assert [file.read_bytes() for file in [one.journal, *_beside(one)] if file.exists()] == before


def _beside(one: ContactList) -> list[Any]:
    return [one.journal.with_name(f"{one.journal.name}-{what}") for what in ("wal", "bodies")]


def _read_alone(one: ContactList, statement: str) -> list[Any]:
    """What the journal's main file says, without those beside it."""
    with closing(sqlite3.connect(f"{one.journal.as_uri()}?immutable=1", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def _execute(one: ContactList, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(one.journal)) as connection, connection:
        connection.execute(statement, values)
