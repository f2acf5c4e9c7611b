"""What is taken out of a source before anything is sent: excluded numbers and repetitions."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import CallsClient, Campaign, ConfigurationError, Outcome, OutcomeStatus, SourceError
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal.store import Store
from calls_async.upload.rows.contacts import encode_items
from calls_async.upload.rows.number_set import NumberSet
from calls_async.upload.rows.numbers import CHECKED, NumberRules
from calls_async.upload.rows.row import EncodedRow, each_row
from calls_async.upload.screening.exclusions import read_numbers
from calls_async.upload.screening.repeats import SeenContacts
from tests.helpers.asserts import outcomes_of
from tests.helpers.contacts import contacts
from tests.helpers.servers import QUICK

FIRST = 16500000000
numbers = st.integers(10**6, 10**15 - 1)


def exclusions(folder: Path, *rows: object, name: str = "dnc.txt") -> Path:
    path = folder / name
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def by_row(outcomes: list[Outcome]) -> list[tuple[str, str | None]]:
    return [(str(o.status), o.error) for o in sorted(outcomes, key=lambda o: o.row)]


# --- numbers that must not be called ---


@given(st.lists(numbers, max_size=200), st.lists(numbers, max_size=50))
def test_a_set_of_numbers_is_a_set(kept: list[int], asked: list[int]) -> None:
    found = NumberSet(iter(kept))
    assert len(found) == len(set(kept))
    assert all(number in found for number in kept)
    assert [number in found for number in asked] == [number in set(kept) for number in asked]


def test_a_number_takes_at_most_10_bytes_while_it_is_read_and_after() -> None:
    count, rng = 300_000, random.Random(1)

    def many() -> Iterator[int]:
        for _ in range(count):
            yield rng.randrange(10**10, 10**14)

    tracemalloc.start()
    try:
        kept = NumberSet(many())
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after <= 10 * count + 4096 * 200
    assert peak <= 10 * count + 4096 * 200  # and an array for each remainder
    assert len(kept) > 0.99 * count


@pytest.mark.parametrize(
    "text",
    [
        "16500000001\n16500000002\n",
        "\ufeff+1 (650) 000-0001\r\n\r\n# a comment\r\n0016500000002",
        "phone\n16500000001\n16500000002\n",
        'name;phone\n"a;b";16500000001\nc;+1 650 000 0002\n',
    ],
)
def test_how_a_list_may_be_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list"
    path.write_text(text, encoding="utf-8", newline="")
    found = read_numbers(path, CHECKED)
    assert len(found) == 2
    assert 16500000001 in found
    assert 16500000002 in found


def test_national_numbers_of_a_region(tmp_path: Path) -> None:
    pytest.importorskip("phonenumbers")
    assert 16502530000 in read_numbers(exclusions(tmp_path, "(650) 253-0000"), NumberRules(region="US"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("16500000001\nnobody\n", "line 2: contains 'n'"),
        ("a,b\n1,2\n", "line 1: "),
        ("x,phone\n1,16500000001\n2\n", "line 3: has 1 cells, but the header has 2"),
        ("1.65E+10\n", "line 1: was spoilt by a spreadsheet"),
    ],
)
async def test_a_list_that_cannot_be_read_stops_everything(
    sandbox: Sandbox, campaign: Campaign, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    with pytest.raises(SourceError, match="list, ") as caught:
        await campaign.upload(contacts(10), exclude=[path]).run()
    assert said in str(caught.value)
    assert "16500000001" not in str(caught.value)
    with pytest.raises(SourceError, match="No such file"):
        await campaign.upload(contacts(10), exclude=[tmp_path / "missing"]).run()
    assert sandbox.calls == []


async def test_excluded_numbers_are_not_called(sandbox: Sandbox, campaign: Campaign, tmp_path: Path) -> None:
    one = exclusions(tmp_path, FIRST + 3, FIRST + 77)
    other = exclusions(tmp_path, FIRST + 5, name="other.csv")
    outcomes = await outcomes_of(campaign.upload(contacts(100), chunk_rows=10, exclude=[one, str(other)]))
    rejected = {o.row: o.error for o in outcomes if o.status is OutcomeStatus.REJECTED}
    assert rejected == {4: f"excluded by {one}", 78: f"excluded by {one}", 6: f"excluded by {other}"}
    assert len(sandbox.jobs) == 97
    assert {job.phone for job in sandbox.jobs}.isdisjoint({str(FIRST + n) for n in (3, 5, 77)})


async def test_a_list_that_is_given_when_it_is_resumed(sandbox: Sandbox, path: Path, tmp_path: Path) -> None:
    """Also what had been read, and was not sent yet, is looked through."""
    async with CallsClient(sandbox.url, upload_retry=QUICK) as client:
        campaign = client.campaign(sandbox.token)
        with pytest.raises(KeyError):
            async with campaign.upload(contacts(100), chunk_rows=5, concurrency=1, journal=path) as upload:
                async for _ in upload:
                    raise KeyError
        store = Store(path, writing=False)
        waiting = [chunk for chunk in store.chunks.pending() if chunk.first_sent_at is None]
        store.close()
        assert waiting
        some = [phone for chunk in waiting for phone in chunk.phones][::3]
        listed = exclusions(tmp_path, *some, FIRST + 99)
        outcomes = await outcomes_of(campaign.upload(contacts(100), journal=path, exclude=[listed]))
    assert sorted(o.row for o in outcomes) == list(range(1, 101))
    rejected = {o.phone for o in outcomes if o.error == f"excluded by {listed}"}
    assert rejected == {*some, str(FIRST + 99)}
    assert {job.phone for job in sandbox.jobs}.isdisjoint(rejected)
    assert len(sandbox.jobs) == 100 - len(rejected)


def test_exclude_is_a_list(campaign: Campaign) -> None:
    with pytest.raises(ConfigurationError, match="brackets"):
        campaign.upload([], exclude="dnc.txt")


# --- repetitions in the source ---


def seen(*items: dict[str, Any]) -> list[int]:
    contacts_so_far = SeenContacts()
    rows = list(each_row(encode_items(1, items, CHECKED)))
    found = [contacts_so_far.find_first_row(row) for row in rows if isinstance(row, EncodedRow)]
    contacts_so_far.close()
    return found


def test_what_says_the_same() -> None:  # C-DUP-1
    assert seen({"phone": FIRST}, {"phone": str(FIRST)}, {"phone": "+1 650 000 0000"}) == [1, 1, 1]
    assert seen({"phone": FIRST}, {"phone": FIRST, "maxAttempts": 1}, {"phone": FIRST, "payload": {}}) == [1, 2, 3]
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert seen({"phone": FIRST, "payload": one}, {"phone": FIRST, "payload": other}) == [1, 1]
    assert seen(*({"phone": FIRST, "payload": {"n": 10**20 + n}} for n in range(3))) == [1, 2, 3]
    assert seen({"phone": FIRST, "payload": {"n": 1}}, {"phone": FIRST, "payload": {"n": "1"}}) == [1, 2]


@given(st.lists(st.tuples(st.integers(FIRST, FIRST + 5), st.sampled_from([None, {}, {"a": 1}, {"a": [1]}]))))
def test_the_first_of_each_is_found(items: list[tuple[int, Any]]) -> None:
    rows = [{"phone": phone} | ({} if payload is None else {"payload": payload}) for phone, payload in items]
    assert seen(*rows) == [rows.index(row) + 1 for row in rows]


async def test_repetitions_are_not_sent(path: Path) -> None:
    source = [{"phone": FIRST + n % 70} for n in range(100)]
    async with Sandbox(duplicates=DuplicateRule.OFF) as sandbox, CallsClient(sandbox.url) as client:
        campaign = client.campaign(sandbox.token)
        outcomes = await outcomes_of(campaign.upload(source, chunk_rows=7, dedupe=True, journal=path))
        assert len(sandbox.jobs) == 70
    assert by_row(outcomes)[:70] == [("accepted", None)] * 70
    assert by_row(outcomes)[70:] == [("duplicate", f"says the same as row {n}") for n in range(1, 31)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "list", "async"])
async def test_a_resumed_upload_knows_what_was_sent_before(path: Path, tmp_path: Path, kind: str) -> None:
    source = [{"phone": str(FIRST + n % 70)} for n in range(1000)]
    file = tmp_path / f"list.{kind}"
    file.write_text("phone\n" * (kind == "csv") + "".join(
        f"{row['phone']}\n" if kind == "csv" else json.dumps(row) + "\n" for row in source
    ))  # fmt: skip

    async def slowly() -> Any:
        for row in source:
            yield row

    async with Sandbox(duplicates=DuplicateRule.OFF) as sandbox, CallsClient(sandbox.url) as client:
        campaign = client.campaign(sandbox.token)
        outcomes: list[Outcome] = []
        for _ in range(20):
            given: Any = file if kind in ("csv", "jsonl") else source if kind == "list" else slowly()
            outcomes.clear()
            try:
                async with campaign.upload(given, chunk_rows=7, concurrency=1, dedupe=True, journal=path) as upload:
                    async for receipt in upload:
                        outcomes.extend(receipt.outcomes())
                        if not receipt.replayed and len(sandbox.jobs) < 60:
                            raise KeyError
            except KeyError:
                continue
            break
        assert len(sandbox.jobs) == 70
        assert [status for status, _ in by_row(outcomes)] == ["accepted"] * 70 + ["duplicate"] * 930
