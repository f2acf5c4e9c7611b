"""A call job, and the attempts that were made for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import orjson

from calls_async.sandbox.model.behaviour import Ending

Content = tuple[bytes | None, bytes]
"""A payload and settings as JSON: what counts of a contact where duplicates are looked for, beside its phone."""
FEW_ATTEMPTS = 10
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

    def end(self, moment: float, talk_seconds: int, ending: Ending) -> None:
        """End the call at `moment` (Unix time, seconds)."""
        self.finished_at_ms = round(moment * 1000)
        self.talk_seconds, self.ending = talk_seconds, ending

    def report(self) -> dict[str, Any]:
        """Return it as the API reports it (C-REP-2)."""
        return {
            "callDuration": self.talk_seconds,
            "callResult": None if self.ending is None else str(self.ending),
            "finishedAt": self.finished_at_ms,
            "reportData": {"result": "done"} if self.ending is Ending.WITH_RESULT else None,
            "startedAt": self.started_at_ms,
        }


@attrs.define(slots=True, kw_only=True)
class Job:
    """A call job. Millions of them must fit into the memory: the payload is kept as its JSON, settings are shared."""

    id: str
    phone: str
    packed_payload: bytes | None
    packed_settings: bytes
    """As far as they count where duplicates are looked for."""
    settings: Mapping[str, Any]
    created_at_ms: int
    test: bool = False
    status: str = attrs.field(default="planned", init=False)
    attempts: Sequence[Attempt] = attrs.field(default=(), init=False)
    """A tuple, or a list where there are many: it takes more room, but no time to grow."""

    def restore(self, status: str, attempts: Sequence[Attempt]) -> None:
        """Take in what it was before."""
        self.status, self.attempts = status, attempts

    def move_to(self, status: str) -> None:
        """Take another status."""
        self.status = status

    def begin_attempt(self, moment: float) -> Attempt:
        """Begin one more attempt; `moment` is Unix time in seconds."""
        attempt = Attempt(started_at_ms=round(moment * 1000))
        if isinstance(self.attempts, list):
            self.attempts.append(attempt)
        else:
            several = (*self.attempts, attempt)
            self.attempts = several if len(several) < FEW_ATTEMPTS else list(several)
        return attempt

    @property
    def payload(self) -> Any:
        return None if self.packed_payload is None else json.loads(self.packed_payload)

    @property
    def contact(self) -> dict[str, Any]:
        """What it was created from, under the API's field names."""
        payload = {} if self.packed_payload is None else {"payload": self.payload}
        return {"phone": self.phone, **payload, **self.settings}

    @property
    def content(self) -> Content:
        return self.packed_payload, self.packed_settings

    def report(self) -> dict[str, Any]:
        """Return it as the API reports it (C-REP-2, C-REP-3)."""
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
        """Return every attempt of it (C-M-7)."""
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


def packed(value: Any) -> bytes:
    """Return JSON that is the same for the same value, whatever the order of its names."""
    try:
        # A copy: what orjson gives holds on to a kilobyte.
        return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))
    except TypeError:  # an integer that orjson does not have
        return json.dumps(value, sort_keys=True).encode()
