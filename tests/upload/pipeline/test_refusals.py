"""A refused chunk costs only the rows that earned it; what the server refuses as too large is learnt."""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import (
    AccessError,
    CallsClient,
    Campaign,
    ChunkSplit,
    ConfigurationError,
    Event,
    Outcome,
    OutcomeStatus,
    TooManyRefusalsError,
)
from calls_async.protocol.endpoints import Response
from calls_async.sandbox.api import Reply
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.server.server import Sandbox
from calls_async.transport.pacing.body_limit import BodyLimit
from calls_async.upload.chunks.chunk import halves, pieces
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.pipeline.pipeline import WRITERS_OF
from calls_async.upload.rows.contacts import encode_items
from calls_async.upload.rows.numbers import CHECKED
from calls_async.upload.rows.row import EncodedRow, each_row, group_into_runs
from tests.helpers.asserts import assert_each_once, outcomes_of
from tests.helpers.clock import HeldClock
from tests.helpers.contacts import contacts
from tests.helpers.play import Play, Server

FIRST = 16500000000
Refuse = Callable[[list[dict[str, Any]]], Reply | None]


@attrs.define
class Picky:
    """Lets a sandbox refuse some lists of contacts, whole, before it handles them."""

    sandbox: Sandbox
    refuse: Refuse
    requests: list[int] = attrs.field(factory=list)
    """How many contacts each had."""

    def __attrs_post_init__(self) -> None:
        answer = self.sandbox.api.handle

        def handle(call: Any) -> Reply:
            if not call.path.endswith("addPhones"):
                return answer(call)
            batch = json.loads(call.body)
            self.requests.append(len(batch))
            return self.refuse(batch) or answer(call)

        self.sandbox.api.handle = handle  # type: ignore[method-assign]


def those(bad: set[int], status: int = 400, words: str = "no such country") -> Refuse:
    """Refuses every list in which one of these contacts is."""
    phones = {str(FIRST + index) for index in bad}

    def refuse(batch: list[dict[str, Any]]) -> Reply | None:
        return Reply.error(status, words) if phones & {contact["phone"] for contact in batch} else None

    return refuse


def rows_with(outcomes: list[Outcome], status: OutcomeStatus) -> set[int]:
    return {outcome.row for outcome in outcomes if outcome.status is status}


@pytest.mark.parametrize("bad", [1, 7, 60, 250, 500])
async def test_a_refusal_costs_only_the_rows_that_earned_it(sandbox: Sandbox, campaign: Campaign, bad: int) -> None:
    # C-ERR-1
    rows = set(random.Random(bad).sample(range(500), bad))
    server = Picky(sandbox, those(rows))
    outcomes = await outcomes_of(campaign.upload(contacts(500), chunk_rows=500))
    assert_each_once(sandbox, outcomes)
    rejected = rows_with(outcomes, OutcomeStatus.REJECTED)
    assert rejected == {index + 1 for index in rows}
    assert all("no such country" in str(o.error) for o in outcomes if o.row in rejected)
    assert len(server.requests) <= min(2 * bad * math.ceil(math.log2(500)) + 1, 2 * 500)


async def test_neighbouring_chunks_are_not_concerned(sandbox: Sandbox, campaign: Campaign) -> None:
    server = Picky(sandbox, those({42}))
    outcomes = await outcomes_of(campaign.upload(contacts(1000), chunk_rows=100))
    assert_each_once(sandbox, outcomes)
    assert rows_with(outcomes, OutcomeStatus.REJECTED) == {43}
    assert server.requests.count(100) == 10


async def test_each_part_has_a_key_of_its_own(sandbox: Sandbox, campaign: Campaign) -> None:  # C-IDEM-8
    Picky(sandbox, those({3, 4, 90}))
    keys = Counter()  # type: ignore[var-annotated]
    answer = sandbox.api.handle

    def handle(call: Any) -> Reply:
        keys[call.key] += 1
        return answer(call)

    sandbox.api.handle = handle  # type: ignore[method-assign]
    await campaign.upload(contacts(100), chunk_rows=100).run()
    assert set(keys.values()) == {1}


async def test_the_exact_bytes_of_a_row_survive_its_chunk(sandbox: Sandbox, campaign: Campaign) -> None:
    # numbers that JSON readers like to round, and text that is not ASCII
    source = [
        {"phone": FIRST + n, "payload": {"n": 10**25 + n, "f": 0.1, "t": 'ж\n\\"]', "l": [1, {"a": []}]}}
        for n in range(8)
    ]
    Picky(sandbox, those({5}))
    bodies = []
    answer = sandbox.api.handle

    def handle(call: Any) -> Reply:
        bodies.append(call.body)
        return answer(call)

    sandbox.api.handle = handle  # type: ignore[method-assign]
    await campaign.upload(source, chunk_rows=8).run()
    whole = bodies[0][1:-1]
    assert all(body[1:-1] in whole for body in bodies)
    assert len(sandbox.jobs) == 7


async def test_a_dead_upload_goes_on_isolating(sandbox: Sandbox, held_clock: HeldClock, path: Path) -> None:
    # C-IDEM-1: what was refused is not sent again under its key; what was split is not split again
    server = Picky(sandbox, those({10, 30, 31, 77}))
    seen: list[Outcome] = []
    held_clock.now = time.time()
    for _ in range(80):
        seen.clear()
        try:
            async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
                campaign = client.campaign(sandbox.token)
                async with campaign.upload(contacts(80), chunk_rows=80, concurrency=1, journal=path) as upload:
                    async for receipt in upload:
                        seen.extend(receipt.outcomes())
                        if not receipt.replayed:
                            raise KeyError  # the service dies after each new receipt
        except KeyError:
            continue
        break
    assert_each_once(sandbox, seen)
    assert rows_with(seen, OutcomeStatus.REJECTED) == {11, 31, 32, 78}
    assert server.requests.count(80) == 1
    assert len(server.requests) <= 2 * 80  # what is refused after an answer was lost goes into single rows


async def test_it_is_told_that_a_chunk_was_split(sandbox: Sandbox, campaign: Campaign) -> None:
    told: list[Event] = []
    Picky(sandbox, those({0}))
    await campaign.upload(contacts(2), on_event=told.append).run()
    (split,) = [event for event in told if isinstance(event, ChunkSplit)]
    assert split.chunk == 1
    assert split.into == (2, 3)
    assert "no such country" in split.reason


async def test_a_campaign_that_takes_nobody_stops_the_upload(
    sandbox: Sandbox, client: CallsClient, path: Path
) -> None:
    campaign, running = client.campaign(sandbox.token), False
    server = Picky(sandbox, lambda batch: None if running else Reply.error(400, "the campaign is finished"))
    with pytest.raises(TooManyRefusalsError, match="the campaign is finished") as caught:
        await campaign.upload(contacts(10_000), chunk_rows=100, max_refusals=50, journal=path).run()
    assert 50 <= caught.value.refused < 100
    assert len(server.requests) < 250
    running = True
    summary = await campaign.upload(contacts(10_000), chunk_rows=100, journal=path).run()
    assert summary.rows == 10_000
    assert summary.rejected < 100
    assert summary.accepted == len(sandbox.jobs) == 10_000 - summary.rejected


async def test_refusals_with_acceptances_between_are_none_of_the_campaign(
    sandbox: Sandbox, campaign: Campaign
) -> None:
    Picky(sandbox, those(set(range(0, 1000, 2))))
    summary = await campaign.upload(contacts(1000), chunk_rows=100, max_refusals=50).run()
    assert summary.rejected == summary.accepted == 500


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_an_access_error_stops_and_leaves_it_resumable(
    sandbox: Sandbox, campaign: Campaign, path: Path, status: int
) -> None:
    denied = True
    Picky(sandbox, lambda batch: Reply.error(status, "who are you?") if denied else None)
    with pytest.raises(AccessError, match="who are you"):
        await campaign.upload(contacts(1000), chunk_rows=10, journal=path).run()
    denied = False
    summary = await campaign.upload(contacts(1000), chunk_rows=10, journal=path).run()
    assert summary.accepted == len(sandbox.jobs) == 1000


# --- duplicates by error ---


async def test_duplicates_that_are_errors_are_found() -> None:  # C-DUP-2
    async with Sandbox(duplicates=DuplicateRule.ERROR) as sandbox, CallsClient(sandbox.url) as client:
        one = client.campaign(sandbox.token)
        source = [{"phone": FIRST + n} for n in range(50)]
        await one.add_phones(source[20:23])
        twice = [*source, source[7]]
        outcomes = await outcomes_of(one.upload(twice, chunk_rows=51))
        assert len(sandbox.jobs) == 50
    duplicates = rows_with(outcomes, OutcomeStatus.DUPLICATE)
    assert duplicates - {8, 51} == {21, 22, 23}
    assert len(duplicates & {8, 51}) == 1  # which of the two came first is the server's matter
    assert len(rows_with(outcomes, OutcomeStatus.ACCEPTED)) == 47


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Duplicate phone", OutcomeStatus.DUPLICATE),
        ("The number was already added", OutcomeStatus.DUPLICATE),
        ("the phone is already known to the stop list", OutcomeStatus.REJECTED),
        ("already exists in the blacklist", OutcomeStatus.REJECTED),
        ("duplicate key name in payload", OutcomeStatus.REJECTED),
        ("duplicated JSON field", OutcomeStatus.REJECTED),
    ],
)
async def test_what_else_is_there_already_is_no_duplicate(
    sandbox: Sandbox, client: CallsClient, words: str, status: OutcomeStatus
) -> None:  # C-DUP-2
    campaign, (contact,) = client.campaign(sandbox.token), contacts(1)
    await campaign.add_phones([contact])
    Picky(sandbox, lambda batch: Reply.error(400, words))
    (outcome,) = await outcomes_of(campaign.upload([contact]))
    assert (outcome.status, words in str(outcome.error)) == (status, True)


@pytest.mark.parametrize("words", ["Duplicate phone", "already exists in the DNC registry"])
async def test_a_duplicate_of_nothing_is_rejected(sandbox: Sandbox, client: CallsClient, words: str) -> None:
    """Whatever the words say, the report knows no job of the phone."""
    # C-DUP-2, C-M-6
    Picky(sandbox, lambda batch: Reply.error(400, words))
    (outcome,) = await outcomes_of(client.campaign(sandbox.token).upload(contacts(1)))
    assert (outcome.status, words in str(outcome.error)) == (OutcomeStatus.REJECTED, True)


def test_the_words_are_believed_where_the_report_cannot_be_had() -> None:
    play = Play(Server(lambda server, phones, before: Response(status=400, body=b"Duplicate phone")))
    play.server.report = lambda server: Response(status=404)
    assert play.run(1) is None
    assert play.statuses() == {"duplicate": 1}


# --- too large ---


async def test_413_teaches_the_size_for_the_rest(client: CallsClient) -> None:  # C-M-16
    async with Sandbox(max_request_bytes=5000) as sandbox, CallsClient(sandbox.url) as client:
        upload = client.campaign(sandbox.token).upload(contacts(5000), chunk_rows=500, concurrency=4)
        outcomes = await outcomes_of(upload)
        assert_each_once(sandbox, outcomes)
        assert upload.summary.accepted == 5000
        too_large = upload.pace.body_limit.too_large
        assert too_large is not None
        assert 5000 < too_large <= 10_000
        assert max(len(call.body) for call in sandbox.calls) <= 5000
        # Only what was in flight, or about to be, was sent in vain, each time that the size was halved.
        assert upload.summary.requests - len(sandbox.calls) <= 3 * (4 + 4 // WRITERS_OF)
        again = await client.campaign(sandbox.token).upload(contacts(5000, FIRST + 10_000)).run()
        assert again.accepted == 5000
        assert max(len(call.body) for call in sandbox.calls) <= 5000


async def test_what_413_taught_outlives_the_process(path: Path) -> None:
    async with Sandbox(max_request_bytes=5000) as sandbox:
        async with CallsClient(sandbox.url) as client:
            upload = client.campaign(sandbox.token).upload(contacts(5000), journal=path)
            async with upload:
                async for _ in upload:
                    if len(sandbox.jobs) > 1000:
                        break
        async with CallsClient(sandbox.url) as client:
            upload = client.campaign(sandbox.token).upload(contacts(5000), journal=path)
            requests = len(sandbox.calls)
            await upload.run()
            assert upload.summary.accepted == len(sandbox.jobs) == 5000
            assert upload.summary.requests == len(sandbox.calls) - requests  # none was too large


@pytest.mark.parametrize(("status", "words"), [(413, ""), (422, "too many phones, the limit is 20")])
async def test_a_limit_of_rows(sandbox: Sandbox, campaign: Campaign, status: int, words: str) -> None:
    server = Picky(sandbox, lambda batch: Reply.error(status, words) if len(batch) > 20 else None)
    outcomes = await outcomes_of(campaign.upload(contacts(2000), chunk_rows=500, concurrency=2))
    assert_each_once(sandbox, outcomes)
    assert sum(rows > 20 for rows in server.requests) <= 15
    assert len(server.requests) <= 200


async def test_no_split_below_one_row(sandbox: Sandbox, campaign: Campaign) -> None:
    server = Picky(sandbox, lambda batch: Reply.error(413, "too large"))
    upload = campaign.upload(contacts(16), chunk_rows=16)
    outcomes = await outcomes_of(upload)
    assert rows_with(outcomes, OutcomeStatus.REJECTED) == set(range(1, 17))
    assert len(server.requests) <= 31


async def test_one_giant_row_does_not_make_all_chunks_small(sandbox: Sandbox, campaign: Campaign) -> None:
    source = list(contacts(3000))
    source[1500] = {"phone": "16600000000", "payload": {"text": "x" * 100_000}}  # type: ignore[call-overload]
    server = Picky(sandbox, lambda b: Reply.error(413, "") if len(json.dumps(b)) > 60_000 else None)
    outcomes = await outcomes_of(campaign.upload(source, chunk_rows=500, concurrency=1))
    assert rows_with(outcomes, OutcomeStatus.REJECTED) == {1501}
    assert len(server.requests) <= 40


sizes = st.integers(1, 10**6)


@given(st.lists(st.tuples(st.booleans(), sizes), max_size=60))
def test_a_body_limit_is_the_smallest_that_was_refused_since_as_large_a_one_was_taken(
    happens: list[tuple[bool, int]],
) -> None:
    limit, refused = BodyLimit(), list[int]()
    for accepted, size in happens:
        if accepted:
            limit.accepted(size)
        else:
            limit.refused(size, certain=True)
            refused.append(size)
        if accepted and size >= min(refused, default=size + 1):
            refused = []
        assert limit.too_large == min(refused, default=None)


# --- parts of chunks ---


@given(st.integers(0, 600), st.integers(1, 700))
def test_pieces(count: int, wanted: int) -> None:
    groups = pieces(range(count), wanted)
    assert [index for group in groups for index in group] == list(range(count))
    assert len(groups) == min(wanted, count)
    assert not groups or max(map(len, groups)) - min(map(len, groups)) <= 1
    assert halves(range(count)) == pieces(range(count), 2)


@given(st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5), min_size=1, max_size=20))
def test_a_part_has_the_bytes_of_its_rows(payloads: list[Any]) -> None:
    items = [{"phone": FIRST + n, "payload": {"p": p}} for n, p in enumerate(payloads, start=1)]
    rows = list(each_row(encode_items(1, items, CHECKED)))
    sent = [row for row in rows if isinstance(row, EncodedRow)]
    chunker = Chunker(upload_id="u", chunk_rows=100, chunk_bytes=10**9)
    chunks = [*chunker.feed(group_into_runs(rows)), *chunker.flush()]
    for chunk in chunks:
        assert chunk.contents() == [row.body for row in sent]
        odd, even = range(1, len(sent), 2), range(0, len(sent), 2)
        rest, (part,) = chunk.divide(odd, [even], take_number=lambda: 7, upload_id="u")
        assert part.contents() == [row.body for row in sent[::2]]
        assert list(part.rows) == [row.row for row in sent[::2]]
        assert rest.contents() == [row.body for row in sent[1::2]]
        assert len({chunk.key, part.key}) == 2


def test_settings_that_cannot_work(campaign: Campaign) -> None:
    with pytest.raises(ConfigurationError, match="max_refusals"):
        campaign.upload([], max_refusals=0)
    with pytest.raises(ConfigurationError, match="max_outage_seconds"):
        campaign.upload([], max_outage_seconds=0)
