"""One schedule: uploads of some lists through several lives of their process, until they are done."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs

from calls_async.errors import ConfigurationError, JournalRefusedError, NoAnswerError, RefusedError
from calls_async.protocol.token import Token
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.transport.connection import Connection
from calls_async.upload.journal.settings import Durability, JournalSettings, Purpose
from calls_async.upload.outcomes.outcome import Outcome
from calls_async.upload.reconcile import reconcile
from calls_async.upload.status import OutcomeStatus
from calls_async.upload.upload import Upload
from tests.proofs.simulation.backup import Backup
from tests.proofs.simulation.contact_list import ContactList
from tests.proofs.simulation.disturbances import disturb
from tests.proofs.simulation.lives import EXPECTED, HOUR, MOST_LIVES, ConsumerError, Lives
from tests.proofs.simulation.loop import Crash, SimulatedLoop
from tests.proofs.simulation.world import TOKEN


@attrs.define
class Schedule(Lives):
    """`run` plays it and raises `AssertionError` where a contact is lost, called twice, or lied about."""

    lists: list[ContactList] = attrs.field(init=False)
    restores: bool = False
    """Whether an old copy of the journal is put in its place once."""
    backup: Backup | None = None
    jobs_before: int = 0
    """How many there were when the copy was put in the journal's place."""
    diverged: bool = False
    """Whether both the old copy and the newest journal know of jobs that the other does not: then neither goes on."""

    def __attrs_post_init__(self) -> None:
        Lives.__attrs_post_init__(self)
        rng, world = self.rng, self.world
        world.api.account.duplicates = rng.choice([DuplicateRule.OFF, DuplicateRule.OFF, *DuplicateRule])
        count = 1 if rng.random() < 0.8 else 2
        self.lists = [ContactList(rng, world, self.folder / str(n), base=1000 * n) for n in range(count)]
        world.largest_body = rng.choice([None, None, 50, 120, 400])
        if rng.random() < 0.3:
            for row in (row for one in self.lists for row in one.rows):
                if rng.random() < 0.2 and row["phone"] != "12":
                    world.add_stranger(row["phone"], days_ago=rng.choice([0.01, 0.5, 2.0, 40.0]))
        # Of a source that comes in time, so do the borders of the chunks; and a server that refuses duplicates calls
        # nobody twice, but says so of a row's own job.
        self.restores = rng.random() < 0.15 and self.lists[0].kind in ("csv", "list") and count == 1
        self.restores = self.restores and world.duplicates is DuplicateRule.OFF and not self.clock_jumps
        world.consistent = self.restores
        if self.restores:  # whoever stands beside a refused contact may go alone or in a group, as answers are lost
            world.refused, world.poison = set(), set()

    def may_be_wrong(self) -> bool:
        return all(one.finished or one.was_sent() for one in self.lists)

    # --- lives ---

    def run(self) -> None:
        while not all(one.finished for one in self.lists):
            self.lives += 1
            last = self.lives >= MOST_LIVES or self._restore()
            if last:
                self.calm_down()
            if self.lives > 1 and not last and self.rng.random() < 0.1:
                disturb(self, self.rng.choice([one for one in self.lists if not one.finished]))
            for one in self.lists:
                one.grow(whole=last)
            self._live(calm=last)
            done = all(one.finished for one in self.lists)
            assert done or not last or self._bring_newest(), "a calm life does not finish the upload"
            self._check_nobody_twice()
            if self.diverged:
                return
            self.pass_time()
        for one in self.lists:
            one.check(one.outcomes())
            self._reconcile(one)

    def _live(self, *, calm: bool) -> None:
        """One life of the process: all lists that are not finished are uploaded at once."""
        ending = self.in_a_process(lambda loop: self._upload_all(loop, calm=calm), calm=calm)
        assert ending is None or isinstance(ending, EXPECTED), ending

    async def _upload_all(self, loop: SimulatedLoop, *, calm: bool) -> None:
        self.jump(loop, calm=calm)
        shared = self.connection(loop, calm=calm) if self.clock_jumps or self.rng.random() < 0.5 else None
        if not calm and self.rng.random() < 0.1:
            task = asyncio.current_task()
            assert task is not None
            loop.call_later(self.rng.expovariate(1 / 20), task.cancel)
        uploads = [
            asyncio.create_task(self.upload(one, shared or self.connection(loop, calm=calm), calm=calm))
            for one in self.lists
            if not one.finished
        ]
        for ending in await asyncio.gather(*uploads, return_exceptions=True):
            expected = (*EXPECTED, JournalRefusedError) if any(one.restored for one in self.lists) else EXPECTED
            assert ending is None or isinstance(ending, expected), ending

    async def upload(self, one: ContactList, connection: Connection, *, calm: bool, **changed: Any) -> None:
        """Upload a list for as long as this life lasts; `changed` are other settings of its journal."""
        rng, upload = self.rng, Upload(one.request(connection, calm=calm, **changed), connection)
        slow, dies, leaves = (not calm and rng.random() < share for share in (0.3, 0.1, 0.1))
        outcomes: list[Outcome] = []
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
            one.note_finished(one.outcomes())
            return
        assert upload.summary.rows == len(outcomes) or left
        if not left:  # who reads to the end has seen every row once, also those of earlier lives
            one.note_finished(outcomes)

    # --- between lives ---

    def _restore(self) -> bool:
        """Take a copy of the journal, or put one in its place, and the upload goes on with that at once: the same
        rows have the same keys, or the report tells. Return whether it does."""
        one = self.lists[0]
        if not self.restores or not one.journal.exists():
            return False
        if self.backup is None:
            if self.rng.random() < 0.5:
                self.backup = Backup.take(one.journal, len(self.world.jobs()))
            return False
        if self.rng.random() < 0.3:
            return False
        self.restores, one.restored, self.jobs_before = False, True, len(self.world.jobs())
        self.backup = self.backup.swap(one.journal)
        self.story.tell("the journal is an old copy now")
        return True

    def _bring_newest(self) -> bool:
        """Bring the newest journal back where the old copy was refused, as it must be only when it is one."""
        one = self.lists[0]
        if not one.restored or self.backup is None:
            return False
        assert self.backup.jobs < self.jobs_before, "it knew all jobs"
        self.backup.swap(one.journal)
        one.restored, self.backup = False, None
        self.diverged = len(self.world.jobs()) > self.jobs_before
        self.story.tell("the newest journal is back")
        return True

    # --- what must hold ---

    def _check_nobody_twice(self) -> None:
        for one in self.lists:
            one.check_nobody_twice()
        assert not self.world.api.account.key_conflicts

    def _reconcile(self, one: ContactList) -> None:
        """Unknown rows are settled by the report; only what cannot be told apart stays unknown."""
        resend = self.rng.random() < 0.7
        if self.rng.random() < 0.3 and not self.clock_jumps:  # else nobody knows when the last attempt was
            self.world.now += HOUR  # and another list calls some of them meanwhile
            unknown = [str(each.phone) for each in one.outcomes() if each.status is OutcomeStatus.UNKNOWN]
            for phone in unknown[:3]:
                self.world.add_stranger(phone)
            self.world.now += HOUR
        for _ in range(MOST_LIVES):
            ending = self.in_a_process(
                lambda loop: self._reconcile_once(one, loop, resend=resend),
                calm=self.rng.random() < 0.3,
                crash_after_steps=60,
            )
            self._check_nobody_twice()
            if not isinstance(ending, BaseException):
                break
            wrong_clock = ConfigurationError if self.clock_jumps else Crash
            assert isinstance(ending, Crash | NoAnswerError | RefusedError | wrong_clock), ending
            self.world.now += self.rng.uniform(0, 1000)
        else:
            self.calm_down()
            ending = self.in_a_process(lambda loop: self._reconcile_once(one, loop, resend=resend), calm=True)
            assert not isinstance(ending, BaseException), ending
        outcomes = one.outcomes()
        one.check(outcomes)
        if resend and self.world.trouble == 0.0 and not self.world.poison and not self.clock_jumps:
            one.check_settled(outcomes)

    async def _reconcile_once(self, one: ContactList, loop: SimulatedLoop, *, resend: bool) -> None:
        settings = JournalSettings(path=one.journal, durability=Durability.PROCESS, purpose=Purpose.SETTLING)
        await reconcile(self.connection(loop, calm=False), Token(TOKEN), settings, resend=resend)
