"""What the sandbox remembers: campaigns, their jobs, and the answers to idempotence keys. Pure but for the clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import attrs

from calls_async.sandbox.behaviour import Behaviour
from calls_async.sandbox.dialer import Dialer, DialerSettings
from calls_async.sandbox.jobs import FINAL, Content, Job, packed

DAY_SECONDS = 86_400
"""Keys expire after it (C-IDEM-7), and so does the duplicate rule (C-DUP-1)."""
DEFAULT_TOKEN = "8231.7056.sandbox"  # noqa: S105  # of a campaign that calls nobody
_FIRST_JOB_ID = 5_665_330_001
FEW_JOBS = 16
"""So many jobs of one number are looked through."""
_NO_SETTINGS: tuple[bytes, Mapping[str, Any]] = b"", {}


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
    by_phone: dict[str, Job | list[Job]] = attrs.field(factory=dict)
    """Most numbers have one job."""
    repeated: dict[str, dict[Content, Job]] = attrs.field(factory=dict)
    """Of numbers with more than `FEW_JOBS`: the last job of each content."""

    def pick(self, phones: Iterable[str], ids: Iterable[str]) -> list[Job]:
        """The jobs of these phones and IDs, each once (C-REP-1)."""
        picked: dict[str, Job] = {}
        for phone in phones:
            picked.update((job.id, job) for job in self.of_phone(phone))
        for job_id in ids:
            if (job := self.jobs.get(job_id)) is not None:
                picked[job.id] = job
        return list(picked.values())

    def of_phone(self, phone: str) -> Sequence[Job]:
        """The jobs of a number, in the order of their creation."""
        found = self.by_phone.get(phone, ())
        return [found] if isinstance(found, Job) else found

    def take_in(self, job: Job) -> None:
        """A new job."""
        self.jobs[job.id] = job
        same = self.by_phone.setdefault(job.phone, job)
        if isinstance(same, list):
            same.append(job)
            if len(same) > FEW_JOBS and not job.test:
                known = self.repeated.get(job.phone)
                if known is None:
                    known = self.repeated[job.phone] = {one.content: one for one in same if not one.test}
                known[job.content] = job
        elif same is not job:
            self.by_phone[job.phone] = [same, job]

    def last_like(self, phone: str, content: Content) -> Job | None:
        """The last job of a number that has this content; test calls do not count (C-DUP-3)."""
        if (known := self.repeated.get(phone)) is not None:
            return known.get(content)
        same = (job for job in reversed(self.of_phone(phone)) if job.content == content and not job.test)
        return next(same, None)

    def control(self, status: str, now: float) -> None:
        """C-M-10 … C-M-12."""
        self.status = status
        if self.dialer is None:
            return
        if status == "paused":
            self.dialer.pause()
        elif status == "finished":
            self.dialer.stop(self.jobs.values())
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
        self._settings: dict[bytes, tuple[bytes, Mapping[str, Any]]] = {}

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
        wanted = [(str(contact["phone"]), self._content(contact), contact) for contact in contacts]
        if self.duplicates is DuplicateRule.ERROR and not test:
            self._refuse_duplicates(campaign, [(phone, content) for phone, content, _ in wanted])
        now_ms = self._now_ms()
        return [self._add(campaign, *one, now_ms=now_ms, test=test) for one in wanted]

    def previous(self, campaign: Campaign, contact: Mapping[str, Any]) -> Job | None:
        """The job that makes `contact` a duplicate now."""
        return self._known(campaign, str(contact["phone"]), self._content(contact))

    def _known(self, campaign: Campaign, phone: str, content: Content) -> Job | None:
        """The job by which a contact is a duplicate now."""
        job = campaign.last_like(phone, content)
        return job if job is not None and self._now_ms() - job.created_at_ms < DAY_SECONDS * 1000 else None

    def _content(self, contact: Mapping[str, Any]) -> Content:
        """C-DUP-2 compares the payload, C-DUP-1 the settings, too."""
        payload = contact.get("payload")
        kept = None if payload is None else packed(payload)
        return kept, b"" if self.duplicates is DuplicateRule.ERROR else self._shared(contact)[0]

    def _refuse_duplicates(self, campaign: Campaign, wanted: list[tuple[str, Content]]) -> None:
        seen: set[tuple[str, Content]] = set()
        for index, one in enumerate(wanted):
            if one in seen or self._known(campaign, *one) is not None:
                raise DuplicatePhone(f"duplicate phone at index {index}")
            seen.add(one)

    def _shared(self, contact: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
        """The contact's settings, as JSON and as they are; the same ones in one place."""
        if contact.keys() <= {"phone", "payload"}:
            return _NO_SETTINGS
        settings = {name: value for name, value in contact.items() if name not in ("phone", "payload")}
        text = packed(settings)
        return self._settings.setdefault(text, (text, settings))

    def _add(
        self, campaign: Campaign, phone: str, content: Content, contact: Mapping[str, Any], *, now_ms: int, test: bool
    ) -> Job | None:
        if self.duplicates is DuplicateRule.IGNORE and not test and self._known(campaign, phone, content) is not None:
            return None
        job = Job(
            id=str(self._next_id),
            phone=phone,
            packed_payload=content[0],
            packed_settings=content[1],
            settings=self._shared(contact)[1],
            created_at_ms=now_ms,
            test=test,
        )
        self._next_id += 1
        campaign.take_in(job)
        stopped = campaign.dialer is not None and campaign.dialer.stopped
        if campaign.status == "planned" or (campaign.status == "finished" and campaign.dialer and not stopped):
            campaign.status = "inProcess"
        if campaign.dialer is not None:
            campaign.dialer.add(job, self.clock())
        return job
