"""A call job, and the attempts that were made for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from calls_async.sandbox.behaviour import Ending

FINAL = frozenset({"canceled", "notDone", *map(str, Ending)})
"""The statuses of jobs that are over (C-REP-5)."""


@attrs.define(slots=True, kw_only=True)
class Attempt:
    """One call; moments are Unix time in milliseconds."""

    started_at_ms: int
    finished_at_ms: int | None = None
    talk_seconds: int = 0
    ending: Ending | None = None
    """None: it is not over."""

    def report(self) -> dict[str, Any]:
        """C-REP-2."""
        return {
            "callDuration": self.talk_seconds,
            "callResult": None if self.ending is None else str(self.ending),
            "finishedAt": self.finished_at_ms,
            "reportData": {"result": "done"} if self.ending is Ending.WITH_RESULT else None,
            "startedAt": self.started_at_ms,
        }


@attrs.define(slots=True, kw_only=True)
class Job:
    """A call job."""

    id: str
    phone: str
    payload: Any
    settings: Mapping[str, Any]
    created_at_ms: int
    status: str = "planned"
    test: bool = False
    attempts: list[Attempt] = attrs.field(factory=list)

    def report(self) -> dict[str, Any]:
        """As the API reports it (C-REP-2, C-REP-3)."""
        report = {
            "attemptsCount": len(self.attempts),
            "callDuration": 0,
            "callJobId": self.id,
            "createdAt": self.created_at_ms,
            "finishedAt": None,
            "jobStatus": self.status,
            "phone": self.phone,
            "redialNumber": None,
            "reportData": None,
            "tagName": None,
            "tagPayload": None,
        }
        if self.attempts:
            report |= self.attempts[-1].report()
            report["startedAt"] = self.attempts[0].started_at_ms
        if self.status not in FINAL:
            report["finishedAt"] = None
        return report

    def attempt_reports(self) -> list[dict[str, Any]]:
        """Every attempt of it (C-M-7)."""
        status = self.status
        return [
            {
                "callJobId": self.id,
                "jobStatus": status if attempt.ending is None else str(attempt.ending),
                "phone": self.phone,
                **attempt.report(),
            }
            for attempt in self.attempts
        ]
