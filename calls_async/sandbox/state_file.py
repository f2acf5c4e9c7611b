"""The sandbox's state in a file, written before any answer leaves: it survives the death of the process.

A SQLite database with a table each for campaigns, jobs and keys. The sandbox works in memory; from the file, it reads
only when it starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from calls_async.sandbox.api import Reply
from calls_async.sandbox.model.account import DAY_SECONDS, Account, Ignored, KeyConflict, KnownKey
from calls_async.sandbox.model.behaviour import Ending
from calls_async.sandbox.model.campaign import Campaign
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.model.job import Attempt, Job, packed

_APPLICATION_ID = 0x43534258
_VERSION = 1
_CLOCK_STEP_SECONDS = 60
"""So far the clock may run before it alone is worth a write."""
_TABLES = """
CREATE TABLE clock (moment REAL NOT NULL);
CREATE TABLE campaign (
    number INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, name TEXT NOT NULL, created_at_ms INTEGER NOT NULL,
    status TEXT NOT NULL, stopped INTEGER NOT NULL, lines INTEGER NOT NULL, max_attempts INTEGER NOT NULL,
    retry_minutes INTEGER NOT NULL
);
CREATE TABLE job (
    id INTEGER PRIMARY KEY, campaign INTEGER NOT NULL REFERENCES campaign, phone TEXT NOT NULL, payload BLOB,
    settings BLOB NOT NULL, created_at_ms INTEGER NOT NULL, test INTEGER NOT NULL, status TEXT NOT NULL,
    attempts TEXT
);
CREATE TABLE key (key BLOB NOT NULL, first_used_at REAL NOT NULL, content BLOB NOT NULL, answer TEXT NOT NULL);
CREATE TABLE key_conflict (key BLOB NOT NULL, at REAL NOT NULL);
"""
_PUT_CAMPAIGN = "INSERT OR REPLACE INTO campaign VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_JOB = """
INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts
"""


class StateFileError(Exception):
    """The file cannot be used, or cannot be written."""


class StateFile:
    """The file. Raises `StateFileError` where it is another program's, in use, or cannot be written."""

    def __init__(self, path: Path) -> None:
        self.closed = False
        self._path = path
        self._saved_campaigns: dict[int, tuple[Any, ...]] = {}
        self._saved_conflicts = 0
        self._saved_moment = -float(_CLOCK_STEP_SECONDS)
        self._texts: dict[int, tuple[Mapping[str, Any], bytes]] = {}
        """Of settings, which many jobs share, by their identity; kept beside the text, so that it stays theirs."""
        try:
            with contextlib.suppress(FileExistsError):
                # It holds numbers and names: nobody else's to read. Where it exists, it must not be opened beside
                # SQLite, whose locks would be gone when it is closed.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            self._db = sqlite3.connect(path.absolute(), timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, ValueError, sqlite3.Error) as error:
            raise StateFileError(f"{path} cannot be opened: {_reason(error)}") from None
        try:
            self._prepare()
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise StateFileError(f"{path} is in use by another sandbox") from None
            if isinstance(error, (sqlite3.Error, ValueError)):
                raise StateFileError(f"{path} is no state of a sandbox: {error}") from None
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("BEGIN EXCLUSIVE")
        (mark,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if mark == 0 and tables == 0:
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        elif mark != _APPLICATION_ID:
            raise StateFileError(f"{self._path} is no state of a sandbox")
        elif version != _VERSION:
            raise StateFileError(
                f"{self._path} was written by another version of calls_async (its form is {version}, not {_VERSION});"
                " start with another file"
            )
        self._db.execute("COMMIT")
        self._db.execute("PRAGMA journal_mode = WAL")
        # Safe against the death of the process; after a power cut, the last seconds may be missing, no more.
        self._db.execute("PRAGMA synchronous = NORMAL")

    def close(self) -> None:
        self.closed = True
        self._db.close()

    # --- reading ---

    def load(self, account: Account) -> None:
        """Put what the file holds into an account that is empty."""
        try:
            self._load(account)
        except Exception as error:  # noqa: BLE001  # anything may be in a file that somebody has changed
            self.close()
            raise StateFileError(f"{self._path} is damaged: {str(error) or type(error).__name__}") from None

    def _load(self, account: Account) -> None:
        moment = self._db.execute("SELECT max(moment) FROM clock").fetchone()[0]
        if moment is not None:
            account.clock.not_before(moment)
        campaigns: dict[int, Campaign] = {}
        for row in self._db.execute("SELECT * FROM campaign ORDER BY number"):
            number, token, name, created_at_ms, status, stopped, lines, max_attempts, retry_minutes = row
            settings = DialerSettings(lines=lines, max_attempts=max_attempts, retry_minutes=retry_minutes)
            campaign = account.take_in(token, number=number, created_at_ms=created_at_ms)
            campaign.restore(name=name, status=status, stopped=bool(stopped), settings=settings)
            campaigns[number] = campaign
            self._saved_campaigns[number] = _campaign_row(campaign)
        for job_id, number, phone, payload, settings, created_at_ms, test, status, attempts in self._db.execute(
            "SELECT * FROM job ORDER BY id"
        ):
            account.restore(
                campaigns[number],
                job_id=str(job_id),
                phone=phone,
                payload=payload,
                settings=settings,
                created_at_ms=created_at_ms,
                test=bool(test),
                status=status,
                attempts=() if attempts is None else _attempts(attempts),
            )
        self._db.execute("DELETE FROM key WHERE first_used_at <= ?", [account.clock() - DAY_SECONDS])
        for key, first_used_at, content, answer in self._db.execute("SELECT * FROM key ORDER BY rowid"):
            account.take_key_in(KnownKey(_key(key), first_used_at, content, _answer(answer, account)))
        for key, at in self._db.execute("SELECT * FROM key_conflict ORDER BY rowid"):
            account.key_conflicts.append(KeyConflict(_key(key), at))
        self._saved_conflicts = len(account.key_conflicts)
        for campaign in campaigns.values():
            campaign.watch_anew()
            # What was to happen since then comes next, in its order.
            campaign.begin(account.clock() if moment is None else moment)

    # --- writing ---

    def save(self, account: Account, *, clock_too: bool = False) -> None:
        """Write what is new or has changed; the clock alone only now and then, or if asked to. Where that fails, it
        is written the next time."""
        moment = account.clock()
        account.catch_up()  # what is written has happened up to the moment that is written
        campaigns = {campaign.number: _campaign_row(campaign) for campaign in account.campaigns.values()}
        jobs = [campaign for campaign in account.campaigns.values() if campaign.changed]
        same = campaigns == self._saved_campaigns and len(account.key_conflicts) == self._saved_conflicts
        recent = not clock_too and moment - self._saved_moment < _CLOCK_STEP_SECONDS
        if same and not jobs and not account.new_keys and recent:
            return
        try:
            self._db.execute("BEGIN")
            self._db.execute("DELETE FROM clock")
            self._db.execute("INSERT INTO clock VALUES (?)", [moment])
            if campaigns != self._saved_campaigns:
                self._db.executemany(_PUT_CAMPAIGN, campaigns.values())
            for campaign in jobs:
                self._db.executemany(_PUT_JOB, self._job_rows(campaign))
            self._db.executemany("INSERT INTO key VALUES (?, ?, ?, ?)", map(_key_row, account.new_keys))
            conflicts = account.key_conflicts[self._saved_conflicts :]
            self._db.executemany(
                "INSERT INTO key_conflict VALUES (?, ?)", [(_packed_key(one.key), one.at) for one in conflicts]
            )
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, (sqlite3.Error, ValueError, OverflowError)):
                raise StateFileError(f"{self._path} cannot be written: {error}") from None
            raise
        self._saved_moment = moment
        self._saved_campaigns = campaigns
        self._saved_conflicts = len(account.key_conflicts)
        account.new_keys.clear()
        for campaign in jobs:
            campaign.watch_anew()

    def _job_rows(self, campaign: Campaign) -> Iterator[tuple[Any, ...]]:
        number = campaign.number
        for job in (campaign.changed or {}).values():
            attempts = _packed_attempts(job) if job.attempts else None
            yield (
                int(job.id), number, job.phone, job.packed_payload, self._text(job.settings), job.created_at_ms,
                job.test, job.status, attempts,
            )  # fmt: skip

    def _text(self, settings: Mapping[str, Any]) -> bytes:
        known = self._texts.get(id(settings))
        if known is None:
            known = self._texts[id(settings)] = settings, packed(settings) if settings else b""
        return known[1]


def _campaign_row(campaign: Campaign) -> tuple[Any, ...]:
    dialing = attrs.astuple(campaign.settings)
    return (
        campaign.number, campaign.token, campaign.name, campaign.created_at_ms, campaign.status, campaign.stopped,
        *dialing,
    )  # fmt: skip


def _key_row(known: KnownKey) -> tuple[Any, ...]:
    answer = known.answer
    if isinstance(answer, Reply):
        value: Any = {"status": answer.status, "body": answer.body.decode(), "content_type": answer.content_type}
    else:
        value = [[added.job.id] if isinstance(added, Ignored) else added.id for added in answer]
    return _packed_key(known.key), known.first_used_at, known.content, json.dumps(value)


def _packed_key(key: str) -> bytes:
    """Return a key as bytes: any may come in a header; those that are no text are surrogates here."""
    return key.encode("utf-8", "surrogatepass")


def _key(packed: bytes) -> str:
    return packed.decode("utf-8", "surrogatepass")


def _answer(text: str, account: Account) -> Any:
    value = json.loads(text)
    if isinstance(value, dict):
        return Reply(**{**value, "body": value["body"].encode()})
    return [Ignored(_job(one[0], account)) if isinstance(one, list) else _job(one, account) for one in value]


def _job(job_id: str, account: Account) -> Job:
    found = (campaign.jobs.get(job_id) for campaign in account.campaigns.values())
    job = next((job for job in found if job is not None), None)
    if job is None:
        raise ValueError(f"job {job_id} is missing")
    return job


def _packed_attempts(job: Job) -> str:
    return json.dumps(
        [
            (one.started_at_ms, one.finished_at_ms, one.talk_seconds, None if one.ending is None else str(one.ending))
            for one in job.attempts
        ]
    )


def _attempts(text: str) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            started_at_ms=started,
            finished_at_ms=finished,
            talk_seconds=talk,
            ending=None if ending is None else Ending(ending),
        )
        for started, finished, talk, ending in json.loads(text)
    )


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
