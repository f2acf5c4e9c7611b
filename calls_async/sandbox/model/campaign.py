"""A campaign and its jobs. Pure."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.dialer import Dialer, DialerSettings
from calls_async.sandbox.model.job import FINAL, Content, Job

FEW_JOBS = 16
"""So many jobs of one number are looked through."""
RECENT_JOBS = 200
"""So many jobs are remembered of those that came into a status last."""
ANY = ""
"""Stands for every status."""


@attrs.define(slots=True, kw_only=True, eq=False)
class Campaign:
    """A campaign and its jobs."""

    token: str
    number: int
    name: str
    created_at_ms: int
    settings: DialerSettings = attrs.field(factory=DialerSettings, init=False)
    dialer: Dialer | None = attrs.field(default=None, init=False)
    """None: nobody is called."""
    status: str = attrs.field(default="planned", init=False)
    stopped: bool = attrs.field(default=False, init=False)
    """By somebody: jobs that come do not open it again."""
    jobs: dict[str, Job] = attrs.field(factory=dict, init=False)
    by_phone: dict[str, Job | list[Job]] = attrs.field(factory=dict, init=False)
    """Most numbers have one job."""
    repeated: dict[str, dict[Content, Job]] = attrs.field(factory=dict, init=False)
    """Of numbers with more than `FEW_JOBS`: the last job of each content."""
    counts: Counter[str] = attrs.field(factory=Counter, init=False)
    """How many jobs have each status; counting five millions anew takes a second."""
    recent: dict[str, OrderedDict[str, Job]] = attrs.field(factory=dict, init=False)
    """By status, and by `ANY`: the jobs by their IDs that came into it last."""
    changed: dict[str, Job] | None = attrs.field(default=None, init=False)
    """The jobs that are new or have changed since `watch_anew`; None: nobody wants to know."""

    def watch_anew(self) -> None:
        """Keep in `changed` what is new or changes from now on."""
        self.changed = {}

    def call(self, behaviour: Behaviour) -> None:
        """Call people from now on."""
        self.dialer = Dialer(behaviour, self.settings, self.move)

    def set_up(self, *, name: str | None, settings: DialerSettings, now: float) -> None:
        """Change what the campaign does."""
        self.name = name or self.name
        self.settings = settings
        if self.dialer is not None:
            self.dialer.change(settings, now)

    def restore(self, *, name: str, status: str, stopped: bool, settings: DialerSettings) -> None:
        """Restore what it was before; its jobs come next, and then `begin`."""
        self.name, self.status, self.stopped, self.settings = name, status, stopped, settings

    def begin(self, now: float) -> None:
        """Let calls go on, after jobs of before were taken in as they were at `now`."""
        if self.dialer is None:
            return
        self.dialer.change(self.settings, now)
        if self.stopped:
            self.dialer.stop(())
        elif self.status == "paused":
            self.dialer.pause()
        self.dialer.restore(self.jobs.values(), now)

    # --- jobs ---

    def pick(self, phones: Iterable[str], ids: Iterable[str]) -> list[Job]:
        """Return the jobs of these phones and IDs, each once (C-REP-1)."""
        picked: dict[str, Job] = {}
        for phone in phones:
            picked.update((job.id, job) for job in self.of_phone(phone))
        for job_id in ids:
            if (job := self.jobs.get(job_id)) is not None:
                picked[job.id] = job
        return list(picked.values())

    def of_phone(self, phone: str) -> Sequence[Job]:
        """Return the jobs of a number, in the order of their creation."""
        found = self.by_phone.get(phone, ())
        return [found] if isinstance(found, Job) else found

    def take_in(self, job: Job) -> None:
        """Take in a new job, or one of before."""
        self.jobs[job.id] = job
        self.counts[job.status] += 1
        self._note(job)
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
        """Return the last job of a number that has this content; test calls do not count (C-DUP-3)."""
        if (known := self.repeated.get(phone)) is not None:
            return known.get(content)
        same = (job for job in reversed(self.of_phone(phone)) if job.content == content and not job.test)
        return next(same, None)

    def move(self, job: Job, status: str) -> None:
        """Give a job another status; also called where only its attempts have changed."""
        self.counts[job.status] -= 1
        self.counts[status] += 1
        self.recent[job.status].pop(job.id, None)
        job.move_to(status)
        self._note(job)

    def _note(self, job: Job) -> None:
        for status in (job.status, ANY):
            if (latest := self.recent.get(status)) is None:
                latest = self.recent[status] = OrderedDict()
            latest[job.id] = job
            latest.move_to_end(job.id)
            if len(latest) > RECENT_JOBS:
                latest.popitem(last=False)
        if self.changed is not None:
            self.changed[job.id] = job

    def cancel(self, job: Job) -> bool:
        """Cancel a job; return whether it was still to be canceled (C-M-5)."""
        if self.dialer is not None:
            return self.dialer.cancel(job)
        if job.status in FINAL:
            return False
        self.move(job, "canceled")
        return True

    # --- what happens ---

    def control(self, status: str, now: float) -> None:
        """Pause, resume or stop (C-M-10 … C-M-12)."""
        self.status, self.stopped = status, status == "finished"
        if self.dialer is None:
            return
        if status == "paused":
            self.dialer.pause()
        elif status == "finished":
            self.dialer.stop(self.jobs.values())
        else:
            self.dialer.resume(now)

    def open(self) -> None:
        """Let the campaign run, for jobs have come, unless somebody has paused or stopped it."""
        if self.status in ("planned", "finished") and not self.stopped:
            self.status = "inProcess"

    def catch_up(self, now: float) -> None:
        """Make the calls that were to be made by now."""
        if self.dialer is None:
            return
        self.dialer.run_until(now)
        if self.status == "inProcess" and self.jobs and self.dialer.done:
            self.status = "finished"

    def info(self) -> dict[str, Any]:
        """Return the campaign as the API tells of it (C-CAM-1, C-CAM-2)."""
        return {
            "id": self.number,
            "name": self.name,
            "projectName": "sandbox",
            "creationDate": self.created_at_ms,
            "botId": "sandbox-channel",
            "status": self.status,
            "shortReport": self._short_report(),
            "startTime": self.created_at_ms,
            "endTime": None,
            "maxSimultaneousCalls": self.settings.lines,
        }

    def _short_report(self) -> Mapping[str, int]:
        talk_seconds = 0 if self.dialer is None else self.dialer.talk_seconds
        return {
            "totalNumbers": len(self.jobs),
            "processedNumbers": sum(self.counts[status] for status in FINAL),
            "usedTalkingTime": talk_seconds,
            "usedAsrSeconds": talk_seconds // 2,
            "inProcessCalls": 0 if self.dialer is None else self.dialer.busy,
            "retryCalls": self.counts["onRetry"],
        }
