"""One schedule: an upload of some rows through several lives of its process, until it is done; and what must hold.

Everything is drawn from the seed: the same seed is the same schedule.
"""

from __future__ import annotations

import asyncio
import csv
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs

from calls_async.errors import AccessError, CallsError, JournalError, JournalRefusedError, NoAnswerError
from calls_async.transport.clock import Clock
from calls_async.transport.retry import Caller, RetryPolicy
from calls_async.upload.files import Reading
from calls_async.upload.journal import Durability, JournalSettings
from calls_async.upload.locks import unlock_file
from calls_async.upload.outcomes import Outcome, OutcomeStatus
from calls_async.upload.reconcile import reconcile
from calls_async.upload.sources import SourceLike, open_source
from calls_async.upload.store import Store
from calls_async.upload.uploader import Upload, UploadSettings
from tests.simulation.loop import Crash, SimulatedLoop
from tests.simulation.world import LATEST_SECONDS, TOKEN, World

MOST_LIVES = 12
DAY = 86_400.0


class ConsumerError(Exception):
    """The service's own loop over the receipts fails."""


@attrs.define
class Schedule:
    """`run` plays it and raises `AssertionError` where a contact is lost, called twice, or lied about."""

    seed: int
    folder: Path
    first_crash: int | None = None
    """The step of the first life after which it dies; None: drawn like the others."""
    first_cancel: int | None = None
    """The step of the first life after which it is cancelled."""
    rng: random.Random = attrs.field(init=False)
    world: World = attrs.field(init=False)
    rows: list[dict[str, Any]] = attrs.field(init=False)
    kind: str = attrs.field(init=False)
    disk_seconds: float = attrs.field(init=False)
    lives: int = 0
    story: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        rng = self.rng = random.Random(self.seed)
        self.world = World(
            rng,
            trouble=rng.choice([0.0, 0.1, 0.3, 0.6]),
            skew_seconds=rng.uniform(-200, 200),
            slowness_seconds=rng.choice([0.0, 0.01, 0.3]),
        )
        self.disk_seconds = rng.choice([0.01, 0.01, 2.0])
        self.rows = [self._row(number) for number in range(1, rng.randint(1, 40) + 1)]
        self.world.refused = {row["phone"] for row in self.rows if rng.random() < 0.01}
        self.kind = rng.choice(["csv", "list", "generator", "async"])

    def _row(self, number: int) -> dict[str, Any]:
        if self.rng.random() < 0.05:
            return {"phone": "12", "payload": {"row": number}}
        phone = 16500000000 + (number if self.rng.random() < 0.9 else 1)  # now and then the same number again
        return {"phone": str(phone), "payload": {"row": number}}

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    # --- lives ---

    def run(self) -> None:
        finished = False
        while not finished:
            self.lives += 1
            last = self.lives >= MOST_LIVES
            if last:
                self.world.trouble = 0.0
            finished = self._live(calm=last)
            assert finished or not last, "a calm life does not finish the upload"
            self._check_nobody_twice()
            self._pass_time()
        self._check(self._outcomes())
        self._reconcile()

    def _live(self, *, calm: bool) -> bool:
        """One life of the process; whether it ended with the upload finished."""
        if self.lives > 1 and not calm and self.rng.random() < 0.1:
            self._tamper()
        crash_after = None if calm or self.rng.random() < 0.3 else int(self.rng.expovariate(1 / 150)) + 1
        if self.lives == 1 and self.first_crash is not None:
            crash_after = self.first_crash
        outcomes: list[Outcome] = []
        ending = self._in_a_process(lambda loop: self._upload(loop, outcomes, calm=calm), crash_after)
        self.story.append(f"life {self.lives}: {ending!r}")
        if isinstance(ending, BaseException):
            expected = (Crash, ConsumerError, NoAnswerError, asyncio.CancelledError)
            assert isinstance(ending, expected), ending
            return False
        if ending:
            # A consumer that reads to the end has seen every row once, also those of earlier lives.
            assert sorted(outcome.row for outcome in outcomes) == list(range(1, len(self.rows) + 1)), self.story
        return bool(ending)

    def _in_a_process(self, main: Any, crash_after: int | None) -> Any:
        loop = SimulatedLoop(self.rng, crash_after, self.disk_seconds)
        stores: list[Store] = []
        started = self.world.now
        make = Store.__init__

        def noting(store: Store, *args: Any, **kwargs: Any) -> None:
            make(store, *args, **kwargs)
            stores.append(store)

        commit = Store.commit

        def commit_if_alive(store: Store, operations: Any) -> None:
            if loop.dead:
                raise Crash
            commit(store, operations)

        Store.__init__ = noting  # type: ignore[method-assign,assignment]
        Store.commit = commit_if_alive  # type: ignore[method-assign,assignment]
        try:
            task = loop.create_task(main(loop))
            loop.call_soon(self._tick, loop, started)
            if self.first_cancel is not None:
                loop.at_step(self.first_cancel, task.cancel)
                self.first_cancel = None
            try:
                return loop.run_until_complete(task)
            except (Crash, Exception, asyncio.CancelledError) as error:
                if not task.done() and not loop.dead:
                    raise  # the loop itself has failed
                if not loop.dead:
                    self._check_nothing_left(loop)
                return error
        finally:
            if loop.dead:
                for store in stores:
                    _tear_away(store)
                loop.bury()
            else:
                loop.close()
            Store.__init__, Store.commit = make, commit  # type: ignore[method-assign]

    def _tick(self, loop: SimulatedLoop, started: float) -> None:
        """Keeps the world's time at the process's."""
        step = loop.step

        def stepping(timeout: float | None) -> None:
            step(timeout)
            self.world.now = started + loop.time()
            self.world.catch_up()

        loop.step = stepping  # type: ignore[method-assign]

    @staticmethod
    def _check_nothing_left(loop: SimulatedLoop) -> None:
        left = [task.get_name() for task in asyncio.all_tasks(loop)]
        assert not left, left

    async def _upload(self, loop: SimulatedLoop, outcomes: list[Outcome], *, calm: bool) -> bool:
        rng = self.rng
        upload = Upload(
            open_source(self._source(), Reading()),
            UploadSettings(
                chunk_rows=rng.randint(1, 8), chunk_bytes=rng.choice([200, 100_000]), concurrency=rng.randint(1, 4)
            ),
            self._caller(loop, calm=calm),
            token=TOKEN,
            host="simulated",
            journal=JournalSettings(path=self.journal, durability=Durability.PROCESS),
        )
        slow, dies, leaves, cancels = (not calm and rng.random() < share for share in (0.3, 0.1, 0.1, 0.1))
        if cancels:
            task = asyncio.current_task()
            assert task is not None
            loop.call_later(rng.expovariate(1 / 20), task.cancel)
        left = False
        try:
            async with upload:
                async for receipt in upload:
                    outcomes.extend(receipt.outcomes())
                    if slow:
                        await asyncio.sleep(rng.uniform(0, 5))
                    if dies and rng.random() < 0.2:
                        raise ConsumerError
                    if leaves and rng.random() < 0.2:
                        left = True
                        break
        except JournalRefusedError as error:
            if "finished" not in str(error):
                raise
            # It was finished in the very moment of an earlier death, and is refused a second time, as it must be.
            outcomes[:] = self._outcomes()
            return True
        assert upload.summary.rows == len(outcomes) or left
        return not left

    def _caller(self, loop: SimulatedLoop, *, calm: bool) -> Caller:
        rng = self.rng
        policy = RetryPolicy(
            max_attempts=None if calm else rng.choice([None, 3]),
            give_up_seconds=rng.choice([100.0, 2000.0, 200_000.0]),
            retry_after_max_seconds=rng.choice([60.0, 10_000.0]),
        )
        world = self.world
        clock = Clock(wall=lambda: world.now, monotonic=loop.time, sleep=asyncio.sleep)
        return Caller(exchange=world.exchange, policy=policy, clock=clock, rng=rng)

    def _source(self) -> SourceLike:
        if self.kind == "csv":
            path = self.folder / "list.csv"
            with path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["phone", "payload"])
                writer.writerows([row["phone"], '{"row": %d}' % row["payload"]["row"]] for row in self.rows)  # noqa: UP031
            return path
        if self.kind == "list":
            return list(self.rows)
        return self._slowly() if self.kind == "async" else self._generate()

    def _generate(self) -> Iterator[dict[str, Any]]:
        yield from list(self.rows)

    async def _slowly(self) -> AsyncIterator[dict[str, Any]]:
        for row in list(self.rows):
            if self.rng.random() < 0.2:
                await asyncio.sleep(self.rng.uniform(0, 3))
            yield row

    # --- between lives ---

    def _pass_time(self) -> None:
        self.world.now += self.rng.choice([0.0, 1.0, 60.0, 3600.0, 0.9 * DAY, 0.97 * DAY, 1.1 * DAY, 3 * DAY])
        self.world.catch_up()

    def _tamper(self) -> None:
        """Somebody changes the source where it has been read, or the journal's bytes: nothing may be sent."""
        store = Store(self.journal)
        if store.empty or store.finished():
            store.close()
            return
        past, pending = store.past(), store.pending()
        store.close()
        self.world.now += LATEST_SECONDS
        self.world.catch_up()
        before = self.world.jobs_by_row()
        if pending and self.rng.random() < 0.5:
            with sqlite3.connect(self.journal) as connection:
                number = pending[0].number
                damage = self.rng.choice(["replace(body, '165', '167')", "CAST(replace(body, '165', '167') AS BLOB)"])
                connection.execute(f"UPDATE body SET body = {damage} WHERE number = ?", (number,))
            connection.close()
            ending = self._in_a_process(lambda loop: self._upload(loop, [], calm=True), None)
            assert isinstance(ending, JournalError), (ending, self.story)
            with sqlite3.connect(self.journal) as connection:
                connection.execute("UPDATE body SET body = ? WHERE number = ?", (pending[0].body, number))
            connection.close()
        elif consumed := [row for chunk in past for row in chunk.rows]:
            row = self.rows[self.rng.choice(consumed) - 1]
            kept = row["phone"]
            row["phone"] = "16599999999"
            ending = self._in_a_process(lambda loop: self._upload(loop, [], calm=True), None)
            row["phone"] = kept
            assert isinstance(ending, JournalRefusedError), (ending, self.story)
            assert "changed" in str(ending)
        assert self.world.jobs_by_row() == before, "something was sent though the source or the journal had changed"

    # --- what must hold ---

    def _check_nobody_twice(self) -> None:
        twice = {row: count for row, count in self.world.jobs_by_row().items() if count > 1}
        assert not twice, (twice, self.story)
        assert not self.world.api.account.key_conflicts, self.story

    def _outcomes(self) -> list[Outcome]:
        store = Store(self.journal, writing=False)
        try:
            assert store.finished()
            return [outcome for receipt in store.receipts(store.answered()) for outcome in receipt.outcomes()]
        finally:
            store.close()

    def _check(self, outcomes: list[Outcome]) -> None:
        """Every row has exactly one outcome, and it is true."""
        assert Counter(outcome.row for outcome in outcomes) == Counter(range(1, len(self.rows) + 1)), self.story
        jobs, row_of_job = self.world.jobs_by_row(), self.world.row_of_job()
        for outcome in outcomes:
            if outcome.status is OutcomeStatus.ACCEPTED:
                assert jobs[outcome.row] == 1, (outcome, self.story)
                assert row_of_job[str(outcome.job_id)] == outcome.row, (outcome, self.story)
            elif outcome.status is OutcomeStatus.REJECTED:
                assert jobs[outcome.row] == 0, (outcome, self.story)
                assert outcome.error
            else:
                assert outcome.status is OutcomeStatus.UNKNOWN, (outcome, self.story)
                assert jobs[outcome.row] <= 1
                assert outcome.error

    def _reconcile(self) -> None:
        """Unknown rows are settled by the report; only what cannot be told apart stays unknown."""
        resend = self.rng.random() < 0.7
        unknown = [outcome for outcome in self._outcomes() if outcome.status is OutcomeStatus.UNKNOWN]
        for _ in range(MOST_LIVES):
            crash_after = int(self.rng.expovariate(1 / 60)) + 1 if self.rng.random() < 0.5 else None
            ending = self._in_a_process(lambda loop: self._reconcile_once(loop, resend=resend), crash_after)
            self.story.append(f"reconcile: {ending!r}")
            self._check_nobody_twice()
            if not isinstance(ending, BaseException):
                break
            assert isinstance(ending, Crash | NoAnswerError), ending
            self.world.now += self.rng.uniform(0, 1000)
        else:
            self.world.trouble = 0.0
            ending = self._in_a_process(lambda loop: self._reconcile_once(loop, resend=resend), None)
            assert not isinstance(ending, BaseException), ending
        outcomes = self._outcomes()
        self._check(outcomes)
        phones = Counter(row["phone"] for row in self.rows)
        left = [outcome for outcome in outcomes if outcome.status is OutcomeStatus.UNKNOWN]
        if resend and self.world.trouble == 0.0:
            assert all(phones[str(outcome.phone)] > 1 for outcome in left), (left, unknown, self.story)

    async def _reconcile_once(self, loop: SimulatedLoop, *, resend: bool) -> bool:
        try:
            await reconcile(
                JournalSettings(path=self.journal, durability=Durability.PROCESS, reopen=True),
                caller=self._caller(loop, calm=False),
                token=TOKEN,
                host="simulated",
                resend=resend,
            )
        except AccessError as error:
            raise CallsError(str(error)) from error
        return True


def _tear_away(store: Store) -> None:
    """What the operating system does with the open files of a dead process."""
    store._connection.close()
    if store._lock is not None:
        unlock_file(store._lock)
        store._lock = None
