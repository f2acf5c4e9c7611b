"""A list that is uploaded: its rows, its journal, and what an all-knowing observer says of its outcomes."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from calls_async.events import Event, EventDispatcher
from calls_async.protocol.contact import to_contact
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.transport.connection import Connection
from calls_async.upload.assembly import UploadRequest
from calls_async.upload.journal.overview import open_for_reading
from calls_async.upload.journal.settings import Durability, JournalOwner, JournalSettings
from calls_async.upload.outcomes.outcome import Outcome
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from calls_async.upload.status import OutcomeStatus
from tests.proofs.simulation.sources import make_source
from tests.proofs.simulation.world import TOKEN, World

FIRST_PHONE = 16500000000
NO_PHONE = "12"


def fits(phone: str) -> bool:
    return phone != NO_PHONE


@attrs.define
class ContactList:
    """One of the lists of a schedule; those of the second begin with row 1001 by what their payload says."""

    rng: random.Random
    world: World
    folder: Path
    base: int = 0
    rows: list[dict[str, Any]] = attrs.field(init=False)
    kind: str = attrs.field(init=False)
    excluded: set[str] = attrs.field(init=False)
    dedupe: bool = attrs.field(init=False)
    visible: int = attrs.field(init=False)
    """How many rows it has yet: a file may grow between lives."""
    line_ends: bool = True
    """Whether its last line has an end."""
    finished: bool = False
    restored: bool = False
    """Whether its journal is an old copy now."""

    def __attrs_post_init__(self) -> None:
        rng, world = self.rng, self.world
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows = [self._row(number) for number in range(1, rng.randint(1, 40) + 1)]
        self._repeat_some()
        share = rng.choice([0.0, 0.01, 0.2, 1.0])
        world.refused |= {row["phone"] for row in self.rows if rng.random() < share}
        share = rng.choice([0.0, 0.0, 0.05])
        world.poison |= {row["phone"] for row in self.rows if rng.random() < share}
        self.excluded = {row["phone"] for row in self.rows if rng.random() < 0.05 and fits(row["phone"])}
        self.dedupe = rng.random() < 0.3
        self.kind = rng.choice(["csv", "list", "generator", "async"])
        self.visible = len(self.rows)
        if self.kind == "csv" and rng.random() < 0.3:
            self.visible, self.line_ends = rng.randint(1, len(self.rows)), False

    def _row(self, number: int) -> dict[str, Any]:
        payload = {"row": self.base + number}
        if self.rng.random() < 0.05:
            return {"phone": NO_PHONE, "payload": payload}
        own = number if self.rng.random() < 0.9 else 1  # now and then the same number again
        return {"phone": str(FIRST_PHONE + self.base + own), "payload": payload}

    def _repeat_some(self) -> None:
        """Now and then a row says exactly the same as an earlier one."""
        if self.rng.random() < 0.3:
            for index in range(1, len(self.rows)):
                if self.rng.random() < 0.1:
                    self.rows[index] = dict(self.rows[self.rng.randrange(index)])

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def was_sent(self) -> bool:
        """Whether a life has sent something of it."""
        if not self.journal.exists():
            return False
        with closing(open_for_reading(self.journal)) as store:
            return store.chunks.any_sent()

    def grow(self, *, whole: bool) -> None:
        """More rows come to a file, and the end of its last line."""
        if self.visible < len(self.rows):
            self.visible = len(self.rows) if whole else self.rng.randint(self.visible, len(self.rows))
        elif self.rng.random() < 0.5:
            self.line_ends = True

    def request(self, connection: Connection, *, calm: bool, token: str = TOKEN, **changed: Any) -> UploadRequest:
        """Make the upload of one life; `changed` are its journal's settings."""
        rng = self.rng
        source = make_source(self.kind, self.rows[: self.visible], self.folder, rng, line_ends=self.line_ends)
        return UploadRequest(
            source=open_source(source, Reading()),
            settings=UploadSettings(
                chunk_rows=rng.randint(1, 8),
                chunk_bytes=rng.choice([200, 100_000]),
                concurrency=rng.randint(1, 4),
                rate=rng.choice([None, None, 5.0, 50.0]),
                max_outage_seconds=1e6 if calm else rng.choice([30.0, 1800.0, 1e6]),
                max_refusals=None if calm else rng.choice([None, 3]),
                verify=rng.random() < 0.2,
            ),
            owner=JournalOwner(token=token, host=connection.base_url),
            journal=JournalSettings(path=self.journal, durability=Durability.PROCESS, **changed),
            screening=Screening(exclude=self.exclusions(), dedupe=self.dedupe),
            events=EventDispatcher(self.hear),
        )

    def exclusions(self) -> list[Path]:
        path = self.folder / "excluded"
        path.write_text("".join(f"{phone}\n" for phone in self.excluded))
        return [path] if self.excluded else []

    def hear(self, event: Event) -> None:
        assert TOKEN not in str(event)
        if self.rng.random() < 0.01:
            raise ValueError("a callback of the service's own fails")

    # --- what must hold ---

    def note_finished(self, outcomes: list[Outcome]) -> None:
        """The upload is finished; of a file that grows, with the rows that it had then."""
        self.finished = True
        if self.kind == "csv" and len(outcomes) <= self.visible:
            self.rows, self.visible = self.rows[: len(outcomes)], len(outcomes)
        assert sorted(outcome.row for outcome in outcomes) == list(range(1, len(self.rows) + 1)), "rows are missing"

    def says(self, row: int) -> int:
        """The number that a row's payload holds: that of the first row that says the same."""
        return int(self.rows[row - 1]["payload"]["row"])

    def owns(self, said: int) -> bool:
        return self.base < said <= self.base + 1000

    def jobs(self) -> Counter[int]:
        return Counter({said: count for said, count in self.world.jobs_by_row().items() if self.owns(said)})

    def check_nobody_twice(self) -> None:
        rows = Counter(self.says(row) for row in range(1, len(self.rows) + 1))
        most = {said: 1 if self.dedupe else count for said, count in rows.items()}
        twice = {said: count for said, count in self.jobs().items() if count > most[said]}
        assert not twice, f"called too often: {twice}"
        called = {str(job.phone) for job in self.world.jobs() if self.owns(job.payload["row"])}
        assert not called & self.excluded, f"called though excluded: {called & self.excluded}"

    def outcomes(self) -> list[Outcome]:
        with closing(open_for_reading(self.journal)) as store:
            assert store.finished()
            return [
                outcome
                for receipt in store.chunks.receipts(store.chunks.answered())
                for outcome in receipt.outcomes()
            ]

    def check(self, outcomes: list[Outcome]) -> None:
        """Every row has exactly one outcome, and it is true."""
        assert Counter(outcome.row for outcome in outcomes) == Counter(range(1, len(self.rows) + 1))
        jobs, row_of_job = self.jobs(), self.world.row_of_job()
        may_have: Counter[int] = Counter()
        for outcome in outcomes:
            said = self.says(outcome.row)
            if outcome.status is OutcomeStatus.ACCEPTED:
                assert row_of_job[str(outcome.job_id)] == said, f"another's job: {outcome}"
                may_have[said] += 1
            elif outcome.status is OutcomeStatus.REJECTED:
                assert outcome.error
                assert self.is_earned(outcome), f"rejected for nothing: {outcome}"
            elif outcome.status is OutcomeStatus.DUPLICATE:
                assert said != self.base + outcome.row or self.world.duplicates is not DuplicateRule.OFF, outcome
                assert jobs[said] or self.dedupe, f"a duplicate of nothing: {outcome}"
            else:
                assert outcome.status is OutcomeStatus.UNKNOWN, outcome
                assert outcome.error
                may_have[said] += 1
        accepted = [outcome.job_id for outcome in outcomes if outcome.status is OutcomeStatus.ACCEPTED]
        assert len(accepted) == len(set(accepted)), "two rows have one job"
        assert jobs <= may_have, f"called, and not said to be: {jobs - may_have}"

    def is_earned(self, outcome: Outcome) -> bool:
        """Whether a rejected row has itself to thank for that, and not its neighbours."""
        row, world = self.rows[outcome.row - 1], self.world
        phone, largest = str(row["phone"]), world.largest_body
        if phone in self.excluded:
            return "excluded by" in str(outcome.error)
        size = len(b"[%b]" % to_contact(row).to_bytes()) if fits(phone) else 0
        too_large = largest is not None and size > largest
        return not fits(phone) or phone in world.refused | world.doubted | world.poison or too_large

    def check_settled(self, outcomes: list[Outcome]) -> None:
        """What was to be sent again stays unknown only where nobody can tell."""
        phones = Counter(row["phone"] for row in self.rows)
        left = [outcome for outcome in outcomes if outcome.status is OutcomeStatus.UNKNOWN]
        unclear = [one for one in left if phones[str(one.phone)] == 1 and one.phone not in self.world.strangers]
        assert not unclear, f"still unknown: {unclear}"
