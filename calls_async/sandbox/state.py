"""What the sandbox remembers: campaigns, their jobs, and the answers to idempotence keys. Pure but for the clock."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

import attrs

from calls_async.sandbox.behaviour import Behaviour
from calls_async.sandbox.dialer import Dialer, DialerSettings
from calls_async.sandbox.jobs import FINAL, Job

DAY_SECONDS = 86_400
"""Keys expire after it (C-IDEM-7), and so does the duplicate rule (C-DUP-1)."""
DEFAULT_TOKEN = "8231.7056.sandbox"  # noqa: S105  # of a campaign that calls nobody
_FIRST_JOB_ID = 5_665_330_001


class DuplicateRule(StrEnum):
    """What happens to a number that was added already."""

    IGNORE = "ignore"
    """The same number, settings and payload: ignored, no ID (C-DUP-1)."""
    ERROR = "error"
    """The same number and payload without the same key: the request gets an error (C-DUP-2)."""
    OFF = "off"


class DuplicatePhone(Exception):  # noqa: N818  # told to the client as an answer
    """C-DUP-2."""


class Clock:
    """Unix time in seconds that can be moved forward, and runs `speed` times as fast as `now` since it was made."""

    def __init__(self, now: Callable[[], float] = time.time, *, speed: float = 1.0) -> None:
        if not speed >= 0:
            raise ValueError("the speed of a clock must be 0 or more")
        self._now = now
        self._ahead = 0.0
        self._speed = speed
        self._made_at = now()

    def __call__(self) -> float:
        now = self._now()
        return now + self._ahead + (now - self._made_at) * (self._speed - 1)

    def advance(self, *, hours: float = 0.0, seconds: float = 0.0) -> None:
        self._ahead += hours * 3600 + seconds


@attrs.define(slots=True, kw_only=True)
class Campaign:
    """A campaign and its jobs."""

    token: str
    number: int
    created_at_ms: int
    dialer: Dialer | None = None
    """None: nobody is called."""
    settings: DialerSettings = attrs.field(factory=DialerSettings)
    status: str = "planned"
    jobs: dict[str, Job] = attrs.field(factory=dict)
    by_phone: dict[str, list[Job]] = attrs.field(factory=dict)
    last_added: dict[bytes, tuple[float, Job]] = attrs.field(factory=dict)
    """What the duplicate rule knows: a contact's digest, when it was added, its job."""

    def pick(self, phones: Iterable[str], ids: Iterable[str]) -> list[Job]:
        """The jobs of these phones and IDs, each once (C-REP-1)."""
        picked: dict[str, Job] = {}
        for phone in phones:
            picked.update((job.id, job) for job in self.by_phone.get(phone, ()))
        for job_id in ids:
            if (job := self.jobs.get(job_id)) is not None:
                picked[job.id] = job
        return list(picked.values())

    def control(self, status: str, now: float) -> None:
        """C-M-10 … C-M-12."""
        self.status = status
        if self.dialer is None:
            return
        if status == "paused":
            self.dialer.pause()
        elif status == "finished":
            self.dialer.stop()
        else:
            self.dialer.resume(now)

    def cancel(self, job: Job) -> bool:
        """Whether the job was still to be canceled (C-M-5)."""
        if self.dialer is not None:
            return self.dialer.cancel(job)
        over = job.status in FINAL
        job.status = job.status if over else "canceled"
        return not over

    def catch_up(self, now: float) -> None:
        """Calls that were to be made by now have been."""
        if self.dialer is None:
            return
        self.dialer.run_until(now)
        if self.status == "inProcess" and self.jobs and self.dialer.done:
            self.status = "finished"

    def info(self) -> dict[str, Any]:
        """C-CAM-1, C-CAM-2."""
        statuses = Counter(job.status for job in self.jobs.values())
        return {
            "id": self.number,
            "name": f"Sandbox campaign {self.number}",
            "projectName": "sandbox",
            "creationDate": self.created_at_ms,
            "botId": "sandbox-channel",
            "status": self.status,
            "shortReport": {
                "totalNumbers": len(self.jobs),
                "processedNumbers": sum(statuses[status] for status in FINAL),
                "usedTalkingTime": 0 if self.dialer is None else self.dialer.talk_seconds,
                "usedAsrSeconds": 0 if self.dialer is None else self.dialer.talk_seconds // 2,
                "inProcessCalls": 0 if self.dialer is None else self.dialer.busy,
                "retryCalls": statuses["onRetry"],
            },
            "startTime": self.created_at_ms,
            "endTime": None,
            "maxSimultaneousCalls": self.settings.lines,
        }


@attrs.frozen(slots=True)
class KeyConflict:
    """A key that came with two contents. No page defines what happens then (C-IDEM-8); here, the second is another
    request, and the conflict is noted."""

    key: str
    at: float


@attrs.define(slots=True)
class _KnownKey:
    first_used_at: float
    content: bytes
    answer: Any


class Account:
    """All campaigns of one account; keys count for all of them (C-IDEM-6)."""

    def __init__(
        self,
        tokens: Iterable[str],
        clock: Clock,
        duplicates: DuplicateRule,
        *,
        behaviour: Behaviour | None = None,
        settings: DialerSettings | None = None,
    ) -> None:
        self.clock = clock
        self.duplicates = duplicates
        settings = settings or DialerSettings()
        self.campaigns = {
            token: Campaign(
                token=token,
                number=number,
                created_at_ms=self._now_ms(),
                settings=settings,
                dialer=None if behaviour is None else Dialer(behaviour, settings),
            )
            for number, token in enumerate(tokens, start=1)
        }
        self.key_conflicts: list[KeyConflict] = []
        self._keys: dict[str, list[_KnownKey]] = {}
        self._next_id = _FIRST_JOB_ID

    def _now_ms(self) -> int:
        return int(self.clock() * 1000)

    def catch_up(self) -> None:
        """Everything has happened that was to happen by now."""
        for campaign in self.campaigns.values():
            campaign.catch_up(self.clock())

    # --- idempotence ---

    def answer_to(self, key: str, content: bytes) -> Any:
        """What `remember` was told of the same key and content within the key's day, or None."""
        known = [one for one in self._keys.get(key, ()) if self.clock() - one.first_used_at < DAY_SECONDS]
        for one in known:
            if one.content == content:
                return one.answer
        if known:
            self.key_conflicts.append(KeyConflict(key, self.clock()))
        return None

    def remember(self, key: str, content: bytes, answer: Any) -> None:
        now = self.clock()
        known = [one for one in self._keys.get(key, ()) if now - one.first_used_at < DAY_SECONDS]
        self._keys[key] = [*known, _KnownKey(now, content, answer)]

    # --- jobs ---

    def add(
        self, campaign: Campaign, contacts: Iterable[Mapping[str, Any]], *, test: bool = False
    ) -> list[Job | None]:
        """The created job of each contact; None for an ignored duplicate. All or nothing: `DuplicatePhone`."""
        wanted = [(contact, self._fingerprint(contact)) for contact in contacts]
        if self.duplicates is DuplicateRule.ERROR and not test:
            self._refuse_duplicates(campaign, [fingerprint for _, fingerprint in wanted])
        return [self._add(campaign, contact, fingerprint, test) for contact, fingerprint in wanted]

    def previous(self, campaign: Campaign, contact: Mapping[str, Any]) -> Job | None:
        """The job that makes `contact` a duplicate now."""
        found = campaign.last_added.get(self._fingerprint(contact))
        return found[1] if found is not None and self.clock() - found[0] < DAY_SECONDS else None

    def _fingerprint(self, contact: Mapping[str, Any]) -> bytes:
        # C-DUP-2 compares phone and payload, C-DUP-1 the settings, too.
        counted = contact if self.duplicates is not DuplicateRule.ERROR else _phone_and_payload(contact)
        text = json.dumps({**counted, "phone": str(contact["phone"])}, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def _refuse_duplicates(self, campaign: Campaign, fingerprints: list[bytes]) -> None:
        seen: set[bytes] = set()
        for index, fingerprint in enumerate(fingerprints):
            found = campaign.last_added.get(fingerprint)
            if fingerprint in seen or (found is not None and self.clock() - found[0] < DAY_SECONDS):
                raise DuplicatePhone(f"duplicate phone at index {index}")
            seen.add(fingerprint)

    def _add(self, campaign: Campaign, contact: Mapping[str, Any], fingerprint: bytes, test: bool) -> Job | None:
        if self.duplicates is DuplicateRule.IGNORE and not test:
            found = campaign.last_added.get(fingerprint)
            if found is not None and self.clock() - found[0] < DAY_SECONDS:
                return None
        job = Job(
            id=str(self._next_id),
            phone=str(contact["phone"]),
            payload=contact.get("payload"),
            settings={name: value for name, value in contact.items() if name not in ("phone", "payload")},
            created_at_ms=self._now_ms(),
            test=test,
        )
        self._next_id += 1
        campaign.jobs[job.id] = job
        campaign.by_phone.setdefault(job.phone, []).append(job)
        if not test:
            campaign.last_added[fingerprint] = (self.clock(), job)
        stopped = campaign.dialer is not None and campaign.dialer.stopped
        if campaign.status == "planned" or (campaign.status == "finished" and campaign.dialer and not stopped):
            campaign.status = "inProcess"
        if campaign.dialer is not None:
            campaign.dialer.add(job, self.clock())
        return job


def _phone_and_payload(contact: Mapping[str, Any]) -> dict[str, Any]:
    return {name: contact[name] for name in ("phone", "payload") if contact.get(name) is not None}
