"""Schedules of a batcher: customers that add, put, repeat and give up, in a service that dies and comes again."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs

from calls_async import (
    BatcherClosedError,
    BatcherFullError,
    CallsClient,
    CallsError,
    Outcome,
    OutcomeStatus,
    Receipt,
)
from calls_async.errors import JournalRefusedError
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.upload.batcher.batcher import Batcher
from calls_async.upload.journal.store import Store
from calls_async.upload.upload import Upload
from tests.proofs.simulation.contact_list import FIRST_PHONE, ContactList
from tests.proofs.simulation.lives import EXPECTED, MOST_LIVES, ConsumerError, Lives
from tests.proofs.simulation.loop import Crash, SimulatedLoop
from tests.proofs.simulation.world import TOKEN


@attrs.define
class BatcherSchedule(Lives):
    """`run` plays it and raises `AssertionError` where a contact that was taken is lost, called twice, lied about."""

    acknowledged: set[int] = attrs.field(factory=set)
    """The contacts whose `put` has returned."""
    tried: set[int] = attrs.field(factory=set)
    """Those that were added: nobody may add them a second time."""
    not_sent: set[int] = attrs.field(factory=set)
    """Those of whom it was said that they were not sent."""
    kept: set[int] = attrs.field(factory=set)
    """Those of whom it was said that the journal keeps them."""
    keeps: bool = True
    """Whether there is a journal."""
    told: dict[int, Outcome] = attrs.field(factory=dict)
    """What receipts said."""
    numbers: dict[int, int] = attrs.field(factory=dict)
    """Which contact each row of the journal is."""
    customers: ContactList = attrs.field(init=False)
    """Those who come to the service, and its journal."""
    beside: ContactList | None = attrs.field(init=False)
    """A list that is uploaded at the same time."""

    def __attrs_post_init__(self) -> None:
        Lives.__attrs_post_init__(self)
        rng = self.rng
        self.world.api.account.duplicates = DuplicateRule.OFF
        self.keeps = rng.random() < 0.8
        self.customers = ContactList(rng, self.world, self.folder / "customers")
        self.customers.dedupe = False
        self.customers.rows = [
            {"phone": str(FIRST_PHONE + n), "payload": {"row": n}} for n in range(1, rng.randint(1, 40) + 1)
        ]
        share = rng.choice([0, 0, 0.1])
        self.customers.excluded = {row["phone"] for row in self.rows if rng.random() < share}
        self.beside = ContactList(rng, self.world, self.folder / "beside", base=1000) if rng.random() < 0.2 else None
        self.clock_jumps = self.clock_jumps and self.beside is None
        self.world.refused = {row["phone"] for row in self.rows if rng.random() < rng.choice([0, 0.1])}

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.customers.rows

    def run(self) -> None:
        for self.lives in range(1, MOST_LIVES + 1):
            last = self.lives == MOST_LIVES or self.rng.random() < 0.2
            if last:
                self.calm_down()
            ending = self.in_a_process(lambda loop: self._live(loop, calm=last), calm=last)  # noqa: B023  # run at once
            expected = (
                None.__class__ if last else (Crash, ConsumerError, CallsError, asyncio.CancelledError, type(None))
            )
            assert isinstance(ending, expected), ending
            self.customers.check_nobody_twice()
            assert not self.world.api.account.key_conflicts
            if last:
                break
            self.pass_time()
        self._check_all()
        if self.beside is not None:
            self.beside.check(self.beside.outcomes())

    def may_be_wrong(self) -> bool:
        return self.keeps and self.customers.was_sent()

    async def _live(self, loop: SimulatedLoop, *, calm: bool) -> None:
        """The service, and beside it, from another process, an upload to the same campaign."""
        self.jump(loop, calm=calm)
        beside = asyncio.create_task(self._upload_beside(loop, calm=calm))
        try:
            await self._serve(loop, calm=calm)
        finally:
            ending = (await asyncio.gather(beside, return_exceptions=True))[0]
        assert ending is None or isinstance(ending, EXPECTED), ending

    async def _upload_beside(self, loop: SimulatedLoop, *, calm: bool) -> None:
        one = self.beside
        if one is None or one.finished:
            return
        one.grow(whole=calm)
        connection, outcomes = self.connection(loop, calm=calm), list[Outcome]()
        try:
            async with Upload(one.request(connection, calm=calm), connection) as upload:
                async for receipt in upload:
                    outcomes.extend(receipt.outcomes())
        except JournalRefusedError as error:
            if "finished" not in str(error):
                raise
            outcomes = one.outcomes()
        one.note_finished(outcomes)

    async def _serve(self, loop: SimulatedLoop, *, calm: bool) -> None:
        rng, world, policy = self.rng, self.world, self.policy(calm=calm)
        client = CallsClient(
            "https://simulated", exchange=world.exchange, upload_retry=policy, clock=self.clock(loop), rng=rng
        )
        batcher = client.campaign(TOKEN).batcher(
            linger_seconds=rng.choice([0.01, 0.5]),
            chunk_rows=rng.randint(1, 8),
            chunk_bytes=rng.choice([100, 200, 100_000]),
            exclude=self.customers.exclusions(),
            concurrency=rng.randint(1, 4),
            buffer_rows=rng.choice([2, 5, 100]),
            drain_seconds=1e7 if calm else rng.choice([0.1, 100.0]),
            keep_seconds=1e7,
            journal=self.customers.journal if self.keeps else None,
            durability="process",
            rate=rng.choice([None, None, 5.0]),
            on_receipt=self._hear_receipt if calm else self._hear_receipt_or_fail,
            on_event=self.customers.hear,
        )
        numbers = [n for n in range(1, len(self.rows) + 1) if n not in self.acknowledged | self.tried]
        numbers += [
            n for n in numbers if n % 2 and self.keeps and rng.random() < 0.2
        ]  # some come twice at the same time
        customers: list[asyncio.Task[None]] = []
        try:
            async with batcher:
                customers += [asyncio.create_task(self._come(batcher, number, calm=calm)) for number in numbers]
                if calm or rng.random() < 0.5:
                    await asyncio.gather(*customers)
                else:
                    await asyncio.sleep(rng.expovariate(1 / 5))
                if not calm and rng.random() < 0.2:
                    raise ConsumerError
        finally:
            for customer in customers if rng.random() < 0.5 else ():
                customer.cancel()
            await asyncio.gather(*customers, return_exceptions=True)

    async def _come(self, batcher: Batcher, number: int, *, calm: bool) -> None:
        """A customer: with an odd number it wants to be kept, and comes again until it is; else it comes once."""
        rng, contact = self.rng, self.rows[number - 1]
        await asyncio.sleep(rng.expovariate(1 / 3))
        patience = None if calm or rng.random() < 0.7 else rng.expovariate(1 / 2)
        nowait = not calm and rng.random() < 0.1
        try:
            async with asyncio.timeout(patience):
                if number % 2 and self.keeps:
                    await batcher.put(contact, idempotence_key=str(number), nowait=nowait)
                    self.acknowledged.add(number)
                else:
                    self.tried.add(number)
                    self._hear_outcome(await batcher.add(contact, nowait=nowait))
        except BatcherFullError:
            self.not_sent.add(number)
        except BatcherClosedError as error:
            if error.kept:
                self.kept.add(number)
            elif number not in self.acknowledged:
                self.not_sent.add(number)
        except (TimeoutError, CallsError, ConsumerError):
            pass

    def _hear_receipt(self, receipt: Receipt) -> None:
        for outcome in receipt.outcomes():
            self._hear_outcome(outcome)

    async def _hear_receipt_or_fail(self, receipt: Receipt) -> None:
        if self.rng.random() < 0.1:
            await asyncio.sleep(self.rng.uniform(0, 3))
        if self.rng.random() < 0.02:
            raise ConsumerError
        self._hear_receipt(receipt)

    def _hear_outcome(self, outcome: Outcome) -> None:
        number = int(outcome.phone or "") - 16500000000
        assert self.told.setdefault(number, outcome) == outcome, (outcome, self.told[number])
        if self.keeps and outcome.status is not OutcomeStatus.REJECTED:  # who is not called need not be on disk first
            assert self.numbers.setdefault(outcome.row, number) == number

    def _check_all(self) -> None:
        if not self.keeps:
            self._check_promises()
            return
        store = Store(self.customers.journal, writing=False)
        left = None if store.empty or store.finished() else store.chunks.pending() or store.batcher.queued()
        store.close()
        assert not left, left
        self._check_promises()

    def _check_promises(self) -> None:
        jobs, row_of_job = self.customers.jobs(), self.world.row_of_job()
        promised = self.acknowledged | self.kept
        assert promised <= self.told.keys(), promised - self.told.keys()
        if self.keeps:
            assert jobs.keys() <= self.told.keys(), jobs.keys() - self.told.keys()
        put_again = {number for number in self.not_sent if number % 2 and self.keeps}
        assert not (self.not_sent - put_again) & jobs.keys(), self.not_sent & jobs.keys()
        assert not (self.not_sent - put_again) & self.told.keys()
        for number, outcome in self.told.items():
            self._check_one(number, outcome, jobs[number], row_of_job)

    def _check_one(self, number: int, outcome: Outcome, jobs: int, row_of_job: dict[str, Any]) -> None:
        if outcome.status is OutcomeStatus.ACCEPTED:
            assert row_of_job[str(outcome.job_id)] == number, outcome
        elif outcome.status is OutcomeStatus.REJECTED:
            assert jobs == 0, outcome
            assert self.customers.is_earned(attrs.evolve(outcome, row=number)), outcome
        else:
            assert outcome.status is OutcomeStatus.UNKNOWN, outcome
