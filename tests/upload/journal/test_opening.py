"""Journals that are begun, gone on with, or refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from calls_async import (
    AccessError,
    CallsClient,
    Campaign,
    JournalError,
    JournalRefusedError,
    RetryPolicy,
    SourceError,
    UnreachableError,
)
from calls_async.protocol.endpoints import Response
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal import database
from calls_async.upload.journal.bodies import bodies_path
from calls_async.upload.journal.locks import unlock_file
from calls_async.upload.journal.overview import open_for_reading, set_host
from calls_async.upload.journal.schema import SCHEMA_VERSION
from calls_async.upload.journal.settings import JournalOwner, JournalSettings
from calls_async.upload.journal.store import Store
from tests.helpers.contacts import contacts
from tests.helpers.journals import outcomes_in, stopped_after
from tests.helpers.play import LOST, Play, Server, after


async def test_a_missing_source_leaves_the_journal_as_it_is(campaign: Campaign, path: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(SourceError, match="cannot be read"):
            await campaign.upload(tmp_path / "none.csv", journal=path).run()


async def test_a_wrong_campaign_is_refused(sandbox: Sandbox, client: CallsClient, path: Path) -> None:  # C-M-18
    await stopped_after(client.campaign(sandbox.token), list(contacts(100)), path, 1, chunk_rows=10)
    with pytest.raises(JournalRefusedError, match="another campaign"):
        await client.campaign("another").upload(list(contacts(100)), journal=path).run()


async def test_one_journal_belongs_to_one_upload_at_a_time(campaign: Campaign, path: Path) -> None:
    async with campaign.upload(contacts(100_000), journal=path, chunk_rows=10) as upload:
        await anext(upload)
        with pytest.raises(JournalError, match="in use"):
            await campaign.upload(contacts(10), journal=path).run()
        upload.stop()


async def test_again_begins_a_new_upload_and_keeps_the_old_journal(
    sandbox: Sandbox, campaign: Campaign, path: Path
) -> None:
    first = await campaign.upload(contacts(10), journal=path).run()
    sandbox.advance(hours=25)
    second = await campaign.upload(contacts(10), journal=path, again=True).run()
    assert first.upload_id != second.upload_id
    assert len(sandbox.jobs) == 20
    assert path.with_name("list.journal.1").exists()
    await stopped_after(campaign, list(contacts(100, 17000000000)), path.with_name("other"), 1, chunk_rows=10)
    # The same again after a death is no new upload.
    summary = await campaign.upload(
        list(contacts(100, 17000000000)), journal=path.with_name("other"), again=True
    ).run()
    assert summary.rows == 100
    assert len(sandbox.jobs) == 120


async def test_a_rehearsal_never_touches_a_real_journal(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    await campaign.upload(contacts(10), journal=path).run()
    before = path.read_bytes()
    async with Sandbox() as stage, CallsClient(stage.url) as rehearsing:
        for again in (False, True):
            rehearsal = JournalSettings(path=path, rehearsal=True, again=again)
            with pytest.raises(JournalRefusedError, match="no rehearsal touches"):
                await rehearsing.campaign(stage.token).upload(contacts(10), journal=rehearsal).run()
        assert not stage.jobs
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_rehearsal_begins_anew_each_time(path: Path) -> None:
    rehearsal = JournalSettings(path=path, rehearsal=True)
    for _ in range(2):
        async with Sandbox() as stage, CallsClient(stage.url) as rehearsing:
            await rehearsing.campaign(stage.token).upload(contacts(10), journal=rehearsal).run()
            assert len(stage.jobs) == 10
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_rehearsals_journal_gives_way_to_a_real_upload(
    sandbox: Sandbox, campaign: Campaign, path: Path
) -> None:  # 0.1.0 gave both the same name
    async with Sandbox() as stage, CallsClient(stage.url) as rehearsing:
        rehearsal = JournalSettings(path=path, rehearsal=True)
        await rehearsing.campaign(stage.token).upload(contacts(10), journal=rehearsal).run()
    await campaign.upload(contacts(10), journal=path).run()
    assert len(sandbox.jobs) == 10


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"not a database, but long enough to be one" * 100, "is not a journal"), (None, "another program")],
)
async def test_a_foreign_file_is_refused(campaign: Campaign, path: Path, content: bytes | None, said: str) -> None:
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE t (x)")
        other.close()
    else:
        path.write_bytes(content)
    with pytest.raises(JournalError, match=said):
        await campaign.upload(contacts(10), journal=path).run()
    assert content is None or path.read_bytes() == content


async def test_a_newer_schema_is_refused(campaign: Campaign, path: Path) -> None:
    await stopped_after(campaign, list(contacts(100)), path, 1, chunk_rows=10)
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(JournalError, match="newer version"):
        await campaign.upload(list(contacts(100)), journal=path).run()


async def test_an_empty_file_is_a_new_journal(campaign: Campaign, path: Path) -> None:
    path.touch()
    assert (await campaign.upload(contacts(10), journal=path).run()).accepted == 10


async def test_a_folder_that_cannot_be_written(campaign: Campaign, tmp_path: Path) -> None:
    for place in (tmp_path / "none" / "list.journal", Path("/proc/list.journal"), tmp_path):
        with pytest.raises(JournalError, match="cannot be written"):
            await campaign.upload(contacts(10), journal=place).run()


async def test_again_while_somebody_reads_the_journal_keeps_both(campaign: Campaign, path: Path) -> None:
    await campaign.upload(contacts(10), journal=path).run()
    store = Store(path)  # as an upload that has just ended; its log is still there
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM chunk").fetchone()
    try:
        with pytest.raises(JournalError, match="read by another program"):
            store.set_aside(keep=True)
    finally:
        reader.close()
        store.close()
    assert len(outcomes_in(path)) == 10
    await campaign.upload(contacts(10), journal=path, again=True).run()
    assert len(outcomes_in(path.with_name("list.journal.1"))) == 10


async def test_a_mistyped_token_locks_nobody_out(sandbox: Sandbox, client: CallsClient, path: Path) -> None:
    with pytest.raises(AccessError):
        await client.campaign("mistyped").upload(list(contacts(30)), journal=path, chunk_rows=10).run()
    assert (await client.campaign(sandbox.token).upload(list(contacts(30)), journal=path).run()).accepted == 30


async def test_what_stands_nowhere_else_is_sent_with_the_right_token(
    sandbox: Sandbox, client: CallsClient, path: Path
) -> None:
    """The rows came from an iterable that is gone; the journal alone holds them."""
    with pytest.raises(AccessError):
        await client.campaign("mistyped").upload(contacts(30), journal=path, chunk_rows=10).run()
    with pytest.raises(JournalRefusedError, match="another campaign"):
        await client.campaign("another").reconcile(path)
    campaign = client.campaign(sandbox.token)
    summary = await campaign.upload(None, journal=path).run()
    assert summary.accepted == len(sandbox.jobs) > 0
    with pytest.raises(JournalRefusedError, match="finished"):
        await campaign.upload(None, journal=path).run()


async def test_a_journal_that_gives_way_is_kept(sandbox: Sandbox, client: CallsClient, path: Path) -> None:
    with pytest.raises(AccessError):
        await client.campaign("mistyped").upload(list(contacts(30)), journal=path, chunk_rows=10).run()
    assert (await client.campaign(sandbox.token).upload(list(contacts(20)), journal=path).run()).accepted == 20
    with closing(open_for_reading(path.with_name(path.name + ".1"))) as store:
        assert store.chunks.past()[-1].last_row >= 10


def test_nothing_is_removed_when_the_next_process_may_have_the_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(path)
    store.begin(JournalOwner(token="a", host="http://127.0.0.1"), at=0.0)
    bodies_path(path).write_bytes(b"")
    left: list[set[str]] = []

    def unlock(descriptor: int) -> None:
        left.append({file.name for file in path.parent.iterdir() if file.name.startswith(path.name)})
        unlock_file(descriptor)

    monkeypatch.setattr(database, "unlock_file", unlock)
    store.set_aside(keep=False)
    assert left == [set()]


@pytest.mark.parametrize("statement", ["begin_log", "overwrite_deleted"])
def test_a_setting_that_fails_is_an_error_of_the_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    class Full(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql.startswith(("PRAGMA journal_mode = WAL", "PRAGMA secure_delete")):
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Full))
    with closing(Store(path)) as store, pytest.raises(JournalError, match="disk is full"):
        store.begin(JournalOwner(token="a", host="h"), at=0.0)
        getattr(store.database, statement)()


async def test_another_host_is_refused_until_it_is_said_to_be_the_same(sandbox: Sandbox, path: Path) -> None:
    """The same token at another server: what was sent to the first one would be sent again there."""
    async with CallsClient(sandbox.url) as client:
        await stopped_after(client.campaign(sandbox.token), contacts(1000), path, 1, chunk_rows=10)
    answered = len(outcomes_in(path))
    async with Sandbox(tokens=[sandbox.token]) as other, CallsClient(other.url) as client:
        campaign = client.campaign(sandbox.token)
        with pytest.raises(JournalRefusedError, match=f"is of another server, {sandbox.url}") as caught:
            await campaign.upload(contacts(1000), journal=path).run()
        assert f"journal set-host {path} {other.url}" in str(caught.value)
        with pytest.raises(JournalRefusedError, match="another server"):
            await campaign.reconcile(path)
        assert not other.jobs
        set_host(path, other.url)
        await campaign.upload(contacts(1000), journal=path, chunk_rows=10).run()
        assert answered + len(other.jobs) == 1000  # what had no answer goes again under its keys


async def test_a_mistyped_host_locks_nobody_out(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    async with CallsClient("http://127.0.0.1:9", upload_retry=RetryPolicy(unreachable_seconds=0.1)) as client:
        with pytest.raises(UnreachableError):
            await client.campaign(sandbox.token).upload(contacts(10), journal=path).run()
    assert (await campaign.upload(contacts(10), journal=path).run()).accepted == len(sandbox.jobs) == 10


def test_a_denial_is_forgotten_when_the_same_campaign_goes_on(path: Path) -> None:
    """It was told that nothing goes here; then the same request may have been acted upon."""
    play = Play(Server(lambda server, phones, before: Response(status=401)), path)
    assert isinstance(play.run(8), AccessError)
    with closing(open_for_reading(path)) as store:
        assert not store.chunks.any_sent()
    play.server.says = lambda server, phones, before: LOST
    play.run(8, act=after(1, try_again=False))
    with closing(open_for_reading(path)) as store:
        assert store.chunks.any_sent()


def test_who_was_denied_after_another_answer_may_have_been_called(path: Path) -> None:
    says = [Response(status=502), Response(status=200, headers={"content-type": "text/html"}, body=b"<html>")]
    play = Play(Server(lambda server, phones, before: says[min(before, 1)]), path)
    assert isinstance(play.run(8), AccessError)
    with closing(open_for_reading(path)) as store:
        assert store.chunks.any_sent()


def test_a_web_page_in_the_answers_place_is_no_denial(path: Path) -> None:
    """A gateway's, after the server has acted."""

    def says(server: Server, phones: list[str], before: int) -> Response:
        server.create(server.key, phones)
        return Response(status=200, body=b"<html>")

    play = Play(Server(says), path)
    assert isinstance(play.run(8), AccessError)
    with closing(open_for_reading(path)) as store:
        assert store.chunks.any_sent()
