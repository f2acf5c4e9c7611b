"""What must hold after an upload."""

from __future__ import annotations

import asyncio

from calls_async import Outcome, OutcomeStatus, Upload
from calls_async.sandbox.server.server import Sandbox


async def outcomes_of(upload: Upload) -> list[Outcome]:
    async with upload:
        return [outcome async for receipt in upload for outcome in receipt.outcomes()]


def assert_each_once(sandbox: Sandbox, outcomes: list[Outcome]) -> None:
    """Every row has one outcome, every accepted row one job, and there is no other job."""
    assert sorted(outcome.row for outcome in outcomes) == list(range(1, len(outcomes) + 1))
    jobs = {job.id: job.phone for job in sandbox.jobs}
    accepted = [outcome for outcome in outcomes if outcome.status is OutcomeStatus.ACCEPTED]
    assert {outcome.job_id: outcome.phone for outcome in accepted} == jobs
    assert len(accepted) == len(jobs)
    assert sandbox.key_conflicts == []


def only_this_task() -> bool:
    own = [task for task in asyncio.all_tasks() if "calls_async" in task.get_name()]
    return own == []
