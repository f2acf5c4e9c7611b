"""What a journal holds is settled without its source; what was not read of a file stays due."""

from __future__ import annotations

from pathlib import Path

import pytest

from calls_async import AccessError, CallsClient, Campaign
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal.overview import open_for_reading
from tests.helpers.asserts import assert_each_once, outcomes_of
from tests.helpers.contacts import contacts
from tests.helpers.journals import stopped_after


def finished(path: Path) -> bool:
    store = open_for_reading(path)
    try:
        return store.finished()
    finally:
        store.close()


async def test_the_rest_of_a_file_stays_due(sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "list.jsonl"
    file.write_bytes(b"\n".join(contact.to_bytes() for contact in contacts(20_000)))
    await stopped_after(campaign, file, path, 2, chunk_rows=100, concurrency=2)
    upload = campaign.upload(None, journal=path)
    settled = await upload.run()
    assert settled.rows < 20_000
    assert not upload.complete
    assert not finished(path)
    assert_each_once(sandbox, await outcomes_of(campaign.upload(file, journal=path)))
    assert len(sandbox.jobs) == 20_000
    assert finished(path)


async def test_an_iterables_journal_is_finished_without_it(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    await stopped_after(campaign, contacts(1000), path, 2, chunk_rows=100, concurrency=2)
    upload = campaign.upload(None, journal=path)
    await upload.run()
    assert upload.complete
    assert finished(path)


async def test_a_token_that_was_denied_may_be_corrected(sandbox: Sandbox, client: CallsClient, path: Path) -> None:
    rows = list(contacts(30))
    with pytest.raises(AccessError):
        await client.campaign("mistyped").upload(rows, journal=path, chunk_rows=10).run()
    campaign = client.campaign(sandbox.token)
    sandbox.fail_next("500-after", 2)
    await stopped_after(campaign, rows, path, 1, chunk_rows=10, concurrency=1)  # now somebody was called
    with pytest.raises(Exception, match="belongs to another campaign"):
        await client.campaign("mistyped").upload(rows, journal=path, chunk_rows=10).run()
    assert_each_once(sandbox, await outcomes_of(campaign.upload(rows, journal=path, chunk_rows=10)))
    assert len(sandbox.jobs) == 30
