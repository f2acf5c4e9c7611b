"""What the sandbox remembers: campaigns, their jobs, and the answers to idempotence keys. Pure but for the clock."""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import attrs

from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.campaign import Campaign
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.model.job import Attempt, Content, Job, packed

DAY_SECONDS = 86_400
"""Keys expire after it (C-IDEM-7), and so does the duplicate rule (C-DUP-1)."""
DEFAULT_TOKEN = "8231.7056.sandbox"  # noqa: S105  # of a campaign that calls nobody
_FIRST_JOB_ID = 5_665_330_001
MAX_NAME = 100
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,100}")
_NO_SETTINGS: tuple[bytes, Mapping[str, Any]] = b"", {}


def make_up_token() -> str:
    """Make a token that nobody can guess."""
    return f"8231.{secrets.token_hex(4)}.sandbox"


class DuplicateRule(StrEnum):
    """What happens to a number that was added already."""

    IGNORE = "ignore"
    """The same number, settings and payload: ignored, no ID (C-DUP-1)."""
    ERROR = "error"
    """The same number and payload without the same key: the request gets an error (C-DUP-2)."""
    OFF = "off"


@attrs.frozen(slots=True)
class Ignored:
    """A contact for which no job was created, and the job that stands for it (C-DUP-1)."""

    job: Job


class DuplicatePhone(Exception):  # noqa: N818  # told to the client as an answer
    """C-DUP-2."""


@attrs.frozen(slots=True)
class KeyConflict:
    """A key that came with two contents. No page defines what happens then (C-IDEM-8); here, the second is another
    request, and the conflict is noted."""

    key: str
    at: float


@attrs.frozen(slots=True)
class KnownKey:
    """What a key stands for."""

    key: str
    first_used_at: float
    content: bytes
    answer: Any


class Account:
    """All campaigns of one account; keys count for all of them (C-IDEM-6). With a `behaviour`, people are called.
    `dialing` is what new campaigns do. `watched` keeps what is new or has changed for somebody to take away."""

    def __init__(
        self,
        clock: Clock,
        duplicates: DuplicateRule = DuplicateRule.IGNORE,
        *,
        behaviour: Behaviour | None = None,
        dialing: DialerSettings | None = None,
        watched: bool = False,
    ) -> None:
        self.clock = clock
        self.duplicates = duplicates
        self.campaigns: dict[str, Campaign] = {}
        self.key_conflicts: list[KeyConflict] = []
        self.new_keys: deque[KnownKey] = deque(maxlen=None if watched else 0)
        """The keys that came since somebody emptied it."""
        self._watched = watched
        self._behaviour = behaviour
        self._dialing = dialing or DialerSettings()
        self._keys: OrderedDict[str, dict[bytes, KnownKey]] = OrderedDict()
        """By key and content, both in the order of their use."""
        self._next_id = _FIRST_JOB_ID
        self._last_moment_ms = 0
        self._settings: dict[bytes, tuple[bytes, Mapping[str, Any]]] = {b"": _NO_SETTINGS}

    def _now_ms(self) -> int:
        return int(self.clock() * 1000)

    # --- campaigns ---

    def set_up(
        self,
        token: str | None = None,
        *,
        name: str | None = None,
        lines: int | None = None,
        max_attempts: int | None = None,
        retry_minutes: int | None = None,
    ) -> Campaign:
        """Return the campaign of this token, which is made where it does not exist; without a token, a new one. What
        is given is changed. Raises ValueError."""
        token = make_up_token() if token is None else token
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"{token!r} cannot be a token: it takes 1 to 100 letters, digits and any of . _ ~ -")
        campaign = self.campaigns.get(token)
        given = {"lines": lines, "max_attempts": max_attempts, "retry_minutes": retry_minutes}
        if name is not None and not (name.isprintable() and 1 <= len(name) <= MAX_NAME):
            raise ValueError(f"a campaign's name has 1 to {MAX_NAME} characters, and none that cannot be seen")
        known = self._dialing if campaign is None else campaign.settings
        settings = attrs.evolve(known, **{key: value for key, value in given.items() if value is not None})
        if campaign is None:
            campaign = self.take_in(token, number=len(self.campaigns) + 1, created_at_ms=self._now_ms())
        campaign.set_up(name=name, settings=settings, now=self.clock())
        return campaign

    def take_in(self, token: str, *, number: int, created_at_ms: int) -> Campaign:
        """Take in a new campaign, or one of before."""
        campaign = Campaign(
            token=token, number=number, name=f"Sandbox campaign {number}", created_at_ms=created_at_ms
        )
        if self._watched:
            campaign.watch_anew()
        if self._behaviour is not None:
            campaign.call(self._behaviour)
        self.campaigns[token] = campaign
        return campaign

    def catch_up(self) -> None:
        """Let happen everything that was to happen by now."""
        for campaign in self.campaigns.values():
            campaign.catch_up(self.clock())

    @property
    def jobs_created(self) -> int:
        """So many, ever."""
        return self._next_id - _FIRST_JOB_ID

    # --- idempotence ---

    def answer_to(self, key: str, content: bytes) -> Any:
        """Return what `remember` was told of the same key and content within the key's day, or None."""
        known = self._keys.get(key, {})
        if (same := known.get(content)) is not None and self._is_fresh(same):
            return same.answer
        if self.knows(key):
            self.key_conflicts.append(KeyConflict(key, self.clock()))
        return None

    def knows(self, key: str) -> bool:
        """Return whether a key was used within its day, with any content."""
        known = self._keys.get(key)
        return known is not None and self._is_fresh(known[next(reversed(known))])

    def remember(self, key: str, content: bytes, answer: Any) -> None:
        """Remember what a key stands for from now on, for its day (C-IDEM-7)."""
        new = KnownKey(key, self.clock(), content, answer)
        self.take_key_in(new)
        self.new_keys.append(new)

    def take_key_in(self, known: KnownKey) -> None:
        """Take in a new key, or one of before."""
        contents = self._keys.setdefault(known.key, {})
        contents.pop(known.content, None)
        contents[known.content] = known
        self._keys.move_to_end(known.key)
        while not self.knows(oldest := next(iter(self._keys))) and oldest != known.key:
            del self._keys[oldest]

    def _is_fresh(self, known: KnownKey) -> bool:
        return self.clock() - known.first_used_at < DAY_SECONDS

    # --- jobs ---

    def add(
        self, campaign: Campaign, contacts: Iterable[Mapping[str, Any]], *, test: bool = False
    ) -> list[Job | Ignored]:
        """Return the created job of each contact, unless it is an ignored duplicate. All or nothing:
        `DuplicatePhone`."""
        wanted = [(str(contact["phone"]), self._content(contact), contact) for contact in contacts]
        if self.duplicates is DuplicateRule.ERROR and not test:
            self._refuse_duplicates(campaign, [(phone, content) for phone, content, _ in wanted])
        now_ms = self._now_ms()
        added = [self._add(campaign, *one, now_ms=now_ms, test=test) for one in wanted]
        created = [one for one in added if isinstance(one, Job)]
        if created:
            campaign.open()
        if campaign.dialer is not None:
            campaign.dialer.add(created, self.clock())
        return added

    def _known(self, campaign: Campaign, phone: str, content: Content) -> Job | None:
        """Return the job by which a contact is a duplicate now."""
        job = campaign.last_like(phone, content)
        return job if job is not None and self._now_ms() - job.created_at_ms < DAY_SECONDS * 1000 else None

    def _content(self, contact: Mapping[str, Any]) -> Content:
        """Return what is compared: C-DUP-2 compares the payload, C-DUP-1 the settings, too."""
        payload = contact.get("payload")
        return None if payload is None else packed(payload), self._counting(self._shared(contact)[0])

    def _counting(self, settings: bytes) -> bytes:
        """Return what counts of a contact's settings where duplicates are looked for."""
        return b"" if self.duplicates is DuplicateRule.ERROR else settings

    def _refuse_duplicates(self, campaign: Campaign, wanted: list[tuple[str, Content]]) -> None:
        seen: set[tuple[str, Content]] = set()
        for index, one in enumerate(wanted):
            if one in seen or self._known(campaign, *one) is not None:
                raise DuplicatePhone(f"duplicate phone at index {index}")
            seen.add(one)

    def _shared(self, contact: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
        """Return the contact's settings, as JSON and as they are; the same ones in one place."""
        if contact.keys() <= {"phone", "payload"}:
            return _NO_SETTINGS
        settings = {name: value for name, value in contact.items() if name not in ("phone", "payload")}
        text = packed(settings)
        return self._settings.get(text) or self._share(text, settings)

    def _share(self, text: bytes, settings: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
        shared = self._settings[text] = text, settings
        return shared

    def _add(
        self, campaign: Campaign, phone: str, content: Content, contact: Mapping[str, Any], *, now_ms: int, test: bool
    ) -> Job | Ignored:
        if self.duplicates is DuplicateRule.IGNORE and not test:
            known = self._known(campaign, phone, content)
            if known is not None:
                return Ignored(known)
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
        return job

    def _same_moment(self, created_at_ms: int) -> int:
        """Return the same object for the jobs of a request: each would take 32 bytes more."""
        if created_at_ms != self._last_moment_ms:
            self._last_moment_ms = created_at_ms
        return self._last_moment_ms

    def restore(
        self,
        campaign: Campaign,
        *,
        job_id: str,
        phone: str,
        payload: bytes | None,
        settings: bytes,
        created_at_ms: int,
        test: bool,
        status: str,
        attempts: Sequence[Attempt],
    ) -> None:
        """Take a job of before into a campaign that has not begun; `payload` and `settings` are JSON. Raises
        ValueError."""
        text, shared = self._settings.get(settings) or self._share(settings, json.loads(settings or b"{}"))
        if not isinstance(shared, dict) or (status in ("inProcess", "onRetry") and not attempts):
            raise ValueError(f"job {job_id} is not as it was written")
        job = Job(
            id=job_id,
            phone=phone,
            packed_payload=payload,
            packed_settings=self._counting(text),
            settings=shared,
            created_at_ms=self._same_moment(created_at_ms),
            test=test,
        )
        job.restore(sys.intern(status), attempts)
        self._next_id = max(self._next_id, int(job_id) + 1)
        campaign.take_in(job)
