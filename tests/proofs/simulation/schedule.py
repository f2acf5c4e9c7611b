"""One schedule: an upload of some rows through several lives of its process, until it is done; and what must hold.

Everything is drawn from the seed: the same seed is the same schedule.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import attrs

from calls_async.errors import (
    AccessError,
    JournalError,
    JournalRefusedError,
    NoAnswerError,
    RefusedError,
    TooManyRefusalsError,
)
from calls_async.events import Event, EventDispatcher
from calls_async.protocol.contact import to_contact
from calls_async.protocol.token import Token
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.transport.attempts import Runtime
from calls_async.transport.clock import Clock
from calls_async.transport.connection import Connection
from calls_async.transport.policy import RetryPolicy
from calls_async.upload.assembly import UploadRequest
from calls_async.upload.journal.settings import Durability, JournalOwner, JournalSettings, Purpose
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.outcome import Outcome
from calls_async.upload.reconcile import reconcile
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from calls_async.upload.sources.source import SourceLike
from calls_async.upload.status import OutcomeStatus
from calls_async.upload.upload import Upload
from tests.proofs.simulation.backup import Backup
from tests.proofs.simulation.loop import Crash, SimulatedLoop
from tests.proofs.simulation.process import live
from tests.proofs.simulation.sources import make_source
from tests.proofs.simulation.world import LATEST_SECONDS, TOKEN, World

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
    excluded: set[str] = attrs.field(init=False)
    dedupe: bool = attrs.field(init=False)
    restores: bool = False
    """Whether an old copy of the journal is put in its place once, within the keys' day."""
    backup: Backup | None = None
    lives: int = 0
    story: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        rng = self.rng = random.Random(self.seed)
        self.world = World(
            rng,
            trouble=rng.choice([0.0, 0.1, 0.3, 0.6]),
            skew_seconds=rng.uniform(-200, 200),
            slowness_seconds=rng.choice([0.0, 0.01, 0.3]),
            duplicates=rng.choice([DuplicateRule.OFF, DuplicateRule.OFF, DuplicateRule.ERROR]),
        )
        self.world.tells_time = rng.random() < 0.5
        self.disk_seconds = rng.choice([0.01, 0.01, 2.0])
        self.rows = [self._row(number) for number in range(1, rng.randint(1, 40) + 1)]
        self._repeat_some()
        share = rng.choice([0.0, 0.01, 0.2, 1.0])
        self.world.refused = {row["phone"] for row in self.rows if rng.random() < share}
        share = rng.choice([0.0, 0.0, 0.05])
        self.world.poison = {row["phone"] for row in self.rows if rng.random() < share}
        self.excluded = {row["phone"] for row in self.rows if rng.random() < 0.05 and row["phone"] != "12"}
        self.world.largest_body = rng.choice([None, None, 50, 120, 400])
        self.dedupe = rng.random() < 0.3
        for _ in range(rng.choice([0, 0, 1, 3])):
            start = self.world.now + rng.expovariate(1 / 60)
            self.world.outages.append((start, start + rng.choice([5.0, 100.0, 5000.0])))
        self.kind = rng.choice(["csv", "list", "generator", "async"])
        # Of a source that comes in time, so do the borders of the chunks; and a server that refuses duplicates calls
        # nobody twice, but says so of a row's own job.
        self.restores = rng.random() < 0.15 and self.kind in ("csv", "list")
        self.restores = self.restores and self.world.duplicates is DuplicateRule.OFF
        self.world.consistent = self.restores
        if self.restores:  # whoever stands beside a refused contact may go alone or in a group, as answers are lost
            self.world.refused = self.world.poison = set()

    def _row(self, number: int) -> dict[str, Any]:
        if self.rng.random() < 0.05:
            return {"phone": "12", "payload": {"row": number}}
        phone = 16500000000 + (number if self.rng.random() < 0.9 else 1)  # now and then the same number again
        return {"phone": str(phone), "payload": {"row": number}}

    def _repeat_some(self) -> None:
        """Now and then a row says exactly the same as an earlier one."""
        if self.rng.random() < 0.3:
            for index in range(1, len(self.rows)):
                if self.rng.random() < 0.1:
                    self.rows[index] = dict(self.rows[self.rng.randrange(index)])

    def _says(self, row: int) -> int:
        """The number that a row's payload holds: that of the first row that says the same."""
        return int(self.rows[row - 1]["payload"]["row"])

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    # --- lives ---

    def run(self) -> None:
        finished = False
        while not finished:
            self.lives += 1
            last = self.lives >= MOST_LIVES or self._restore()
            if last:
                self.world.trouble = 0.0
                self.world.outages.clear()
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
            expected = (
                Crash,
                ConsumerError,
                AccessError,
                NoAnswerError,
                RefusedError,
                TooManyRefusalsError,
                asyncio.CancelledError,
            )
            assert isinstance(ending, expected), ending
            return False
        if ending:
            # A consumer that reads to the end has seen every row once, also those of earlier lives.
            assert sorted(outcome.row for outcome in outcomes) == list(range(1, len(self.rows) + 1)), self.story
        return bool(ending)

    def _in_a_process(self, main: Any, crash_after: int | None) -> Any:
        loop = SimulatedLoop(self.rng, crash_after, self.disk_seconds)
        cancel_at, self.first_cancel = self.first_cancel, None
        return live(loop, main, self.world, cancel_at)

    async def _upload(self, loop: SimulatedLoop, outcomes: list[Outcome], *, calm: bool) -> bool:
        rng = self.rng
        connection = self._connection(loop, calm=calm)
        request = UploadRequest(
            source=open_source(self._source(), Reading()),
            settings=UploadSettings(
                chunk_rows=rng.randint(1, 8),
                chunk_bytes=rng.choice([200, 100_000]),
                concurrency=rng.randint(1, 4),
                rate=rng.choice([None, None, 5.0, 50.0]),
                max_outage_seconds=1e6 if calm else rng.choice([30.0, 1800.0, 1e6]),
                max_refusals=None if calm else rng.choice([None, 3]),
                verify=rng.random() < 0.2,
            ),
            owner=JournalOwner(token=TOKEN, host=connection.base_url),
            journal=JournalSettings(path=self.journal, durability=Durability.PROCESS),
            screening=Screening(exclude=self._exclusions(), dedupe=self.dedupe),
            events=EventDispatcher(self._hear),
        )
        upload = Upload(request, connection)
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

    def _connection(self, loop: SimulatedLoop, *, calm: bool) -> Connection:
        rng = self.rng
        policy = RetryPolicy(
            max_attempts=None if calm else rng.choice([None, 3]),
            give_up_seconds=rng.choice([100.0, 2000.0, 200_000.0]),
            retry_after_max_seconds=rng.choice([60.0, 10_000.0]),
        )
        world = self.world
        clock = Clock(wall=lambda: world.now, monotonic=loop.time, sleep=asyncio.sleep)
        runtime = Runtime(exchange=world.exchange, clock=clock, rng=rng)
        return Connection(base_url="simulated", runtime=runtime, retry=policy, upload_retry=policy)

    def _exclusions(self) -> list[Path]:
        path = self.folder / "excluded"
        path.write_text("".join(f"{phone}\n" for phone in self.excluded))
        return [path] if self.excluded else []

    def _hear(self, event: Event) -> None:
        assert TOKEN not in str(event)
        if self.rng.random() < 0.01:
            raise ValueError("a callback of the service's own fails")

    def _source(self) -> SourceLike:
        return make_source(self.kind, self.rows, self.folder, self.rng)

    # --- between lives ---

    def _pass_time(self) -> None:
        self.world.now += self.rng.choice([0.0, 1.0, 60.0, 3600.0, 0.9 * DAY, 0.97 * DAY, 1.1 * DAY, 3 * DAY])
        self.world.catch_up()

    def _restore(self) -> bool:
        """Take a copy of the journal, or put one in its place, and the upload goes on with that at once: the same
        rows have the same keys. Return whether it does."""
        if not self.restores or not self.journal.exists():
            return False
        if self.backup is None:
            if self.rng.random() < 0.5:
                self.backup = Backup.take(self.journal, self.world.now)
            return False
        if self.world.now - self.backup.taken_at > DAY / 2 or self.rng.random() < 0.3:
            return False
        self.restores = False
        self.backup.put_back(self.journal)
        self.story.append("the journal is an old copy now")
        return True

    def _tamper(self) -> None:
        """Somebody changes the source where it has been read, or the journal's bytes: nothing may be sent."""
        store = Store(self.journal)
        if store.empty or store.finished():
            store.close()
            return
        past, pending = store.chunks.past(), store.chunks.pending()
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
        rows = Counter(self._says(row) for row in range(1, len(self.rows) + 1))
        most = {said: 1 if self.dedupe else count for said, count in rows.items()}
        jobs = self.world.jobs_by_row()
        twice = {said: count for said, count in jobs.items() if count > most[said]}
        assert not twice, (twice, self.story)
        called = {str(job.phone) for job in self.world.jobs()}
        assert not called & self.excluded, self.story
        assert not self.world.api.account.key_conflicts, self.story

    def _outcomes(self) -> list[Outcome]:
        store = Store(self.journal, writing=False)
        try:
            assert store.finished()
            return [
                outcome
                for receipt in store.chunks.receipts(store.chunks.answered())
                for outcome in receipt.outcomes()
            ]
        finally:
            store.close()

    def _check(self, outcomes: list[Outcome]) -> None:
        """Every row has exactly one outcome, and it is true."""
        assert Counter(outcome.row for outcome in outcomes) == Counter(range(1, len(self.rows) + 1)), self.story
        jobs, row_of_job = self.world.jobs_by_row(), self.world.row_of_job()
        may_have: Counter[int] = Counter()
        for outcome in outcomes:
            said = self._says(outcome.row)
            if outcome.status is OutcomeStatus.ACCEPTED:
                assert row_of_job[str(outcome.job_id)] == said, (outcome, self.story)
                may_have[said] += 1
            elif outcome.status is OutcomeStatus.REJECTED:
                assert outcome.error
                assert self._is_earned(outcome), (outcome, self.story)
            elif outcome.status is OutcomeStatus.DUPLICATE:
                assert said != outcome.row or self.world.duplicates is DuplicateRule.ERROR, (outcome, self.story)
                assert jobs[said] or self.dedupe, (outcome, self.story)
            else:
                assert outcome.status is OutcomeStatus.UNKNOWN, (outcome, self.story)
                assert outcome.error
                may_have[said] += 1
        accepted = [outcome.job_id for outcome in outcomes if outcome.status is OutcomeStatus.ACCEPTED]
        assert len(accepted) == len(set(accepted)), self.story
        assert jobs <= may_have, (jobs - may_have, self.story)

    def _is_earned(self, outcome: Outcome) -> bool:
        """Whether a rejected row has itself to thank for that, and not its neighbours."""
        phone, largest = str(self.rows[outcome.row - 1]["phone"]), self.world.largest_body
        if phone in self.excluded:
            return "excluded by" in str(outcome.error)
        size = len(b"[%b]" % to_contact(self.rows[outcome.row - 1]).to_bytes()) if phone != "12" else 0
        too_large = largest is not None and size > largest
        return phone == "12" or phone in self.world.refused | self.world.doubted | self.world.poison or too_large

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
            assert isinstance(ending, Crash | NoAnswerError | RefusedError), ending
            self.world.now += self.rng.uniform(0, 1000)
        else:
            self.world.trouble = 0.0
            self.world.outages.clear()
            ending = self._in_a_process(lambda loop: self._reconcile_once(loop, resend=resend), None)
            assert not isinstance(ending, BaseException), ending
        outcomes = self._outcomes()
        self._check(outcomes)
        phones = Counter(row["phone"] for row in self.rows)
        left = [outcome for outcome in outcomes if outcome.status is OutcomeStatus.UNKNOWN]
        if resend and self.world.trouble == 0.0 and not self.world.poison:
            assert all(phones[str(outcome.phone)] > 1 for outcome in left), (left, unknown, self.story)

    async def _reconcile_once(self, loop: SimulatedLoop, *, resend: bool) -> bool:
        settings = JournalSettings(path=self.journal, durability=Durability.PROCESS, purpose=Purpose.SETTLING)
        await reconcile(self._connection(loop, calm=False), Token(TOKEN), settings, resend=resend)
        return True
