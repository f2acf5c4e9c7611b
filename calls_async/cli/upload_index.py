"""Remembers, for this user, which list went to which campaign: the same one, under another journal, is asked about.

A line of JSON an upload, in the user's state folder: when, its journal, and salted digests of campaign and content.
No phone, no token, no host.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import platformdirs

from calls_async.cli.output import warn
from calls_async.errors import CallsError, ConfigurationError
from calls_async.protocol.token import Token
from calls_async.transport.http import is_loopback_url
from calls_async.upload.journal.overview import open_for_reading
from calls_async.upload.journal.settings import JournalOwner, JournalSettings
from calls_async.upload.journal.upload_table import make_fingerprint

WHOLE_BYTES = 2**20
"""A list that is no larger is known by all of its bytes; a larger one by its size and some of them."""
SAMPLES = 16
_YES = ("y", "yes")


@attrs.frozen(slots=True, kw_only=True)
class IndexedUpload:
    """One upload of before."""

    at: float
    """Unix time, seconds."""
    journal: str | None
    campaign: str = attrs.field(repr=False)
    content: str = attrs.field(repr=False)

    @classmethod
    def read(cls, line: str) -> IndexedUpload | None:
        """Read a line; None for one that is damaged."""
        try:
            fields = json.loads(line)
            return cls(
                at=float(fields["at"]),
                journal=fields["journal"],
                campaign=fields["campaign"],
                content=fields["content"],
            )
        except (ValueError, TypeError, KeyError):
            return None


class UploadIndex:
    """Reads and writes the file, which begins with its salt. Raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._salt = self._read_salt()

    def describe(self, source: Path, owner: JournalOwner, journal: Path | None) -> IndexedUpload:
        """Return what stands in it of an upload that begins now."""
        campaign = make_fingerprint(Token(f"{owner.host} {owner.token.reveal()}"), self._salt)
        return IndexedUpload(
            at=time.time(),
            journal=None if journal is None else str(journal.resolve()),
            campaign=campaign.hex(),
            content=_digest(source, self._salt),
        )

    def find(self, upload: IndexedUpload) -> list[IndexedUpload]:
        """Return the uploads of the same list to the same campaign, the oldest first."""
        wanted = upload.campaign, upload.content
        return [one for one in self._read() if (one.campaign, one.content) == wanted]

    def add(self, upload: IndexedUpload) -> None:
        """Note an upload."""
        line = json.dumps(attrs.asdict(upload)).encode() + b"\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line)  # at once: several commands may write
        finally:
            os.close(file)

    def _read(self) -> Iterator[IndexedUpload]:
        with self._path.open(encoding="utf-8", errors="replace") as lines:
            next(lines, None)
            for line in lines:
                if (one := IndexedUpload.read(line)) is not None:
                    yield one

    def _read_salt(self) -> bytes:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        if not self._path.exists():
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(json.dumps({"salt": secrets.token_hex(16)}) + "\n")
            try:
                os.link(made, self._path)  # whole, or not at all: another command may be doing the same
            except FileExistsError:
                pass
            finally:
                made.unlink()
        with self._path.open(encoding="utf-8", errors="replace") as lines:
            try:
                return bytes.fromhex(json.loads(next(lines, ""))["salt"])
            except (ValueError, TypeError, KeyError):
                raise OSError(f"{self._path} is damaged; delete it") from None


def _digest(source: Path, salt: bytes) -> str:
    size = source.stat().st_size
    mixed = hashlib.sha256(salt + str(size).encode())
    with source.open("rb") as file:
        if size <= WHOLE_BYTES:
            mixed.update(file.read())
        else:
            sample_bytes = WHOLE_BYTES // SAMPLES
            for number in range(SAMPLES):
                file.seek((size - sample_bytes) * number // (SAMPLES - 1))
                mixed.update(file.read(sample_bytes))
    return mixed.hexdigest()


def check_index(arguments: Namespace, owner: JournalOwner, journal: JournalSettings | None) -> None:
    """Ask, or stop, where the same list went to the same campaign under another journal; and note this upload.

    Raises `ConfigurationError` where it is not to be uploaded. An index that cannot be used is a warning.
    """
    if arguments.source == "-" or arguments.sandbox or is_loopback_url(owner.host):
        return
    source, path = Path(arguments.source), None if journal is None else journal.path
    try:
        if not source.is_file():
            return  # the upload says so
        index = UploadIndex(platformdirs.user_state_path("calls_async", appauthor=False) / "uploads.jsonl")
        upload = index.describe(source, owner, path)
        before = index.find(upload)
        goes_on = path is not None and path.is_file() and any(one.journal == upload.journal for one in before)
        if goes_on:
            return  # its journal knows what was sent
        called = next((one for one in before if _may_have_called(one, source)), None)
        if called is not None and not arguments.again:
            _ask(arguments, called)
        index.add(upload)
    except OSError as error:
        warn(f"whether this list was uploaded before is not known: {error.strerror or error}")


def _may_have_called(one: IndexedUpload, source: Path) -> bool:
    """Return whether an earlier upload may have called somebody of this list: as far as its journal can tell."""
    if one.journal is None or not Path(one.journal).is_file():
        return True
    try:
        with closing(open_for_reading(Path(one.journal))) as store:
            if not store.chunks.any_sent():
                return False
            marks = [chunk.mark for chunk in store.chunks.past() if chunk.mark is not None]
    except CallsError:
        return True
    last = max(marks, key=lambda mark: mark.position, default=None)
    if last is None:
        return True
    with source.open("rb") as file:
        read = hashlib.sha256()
        left = last.position
        while left and (data := file.read(min(left, WHOLE_BYTES))):
            read.update(data)
            left -= len(data)
    return read.digest() == last.digest


def _ask(arguments: Namespace, one: IndexedUpload) -> None:
    """Ask whether to upload it all the same. Raises `ConfigurationError` where nobody says yes."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at))
    where = "without a journal" if one.journal is None else f"journal {one.journal}"
    words = f"this list was uploaded to this campaign on {when}, {where}. A second time calls everybody again"
    quiet = arguments.json or arguments.quiet
    if not quiet and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"calls-async: {words}. Upload it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in _YES:
            return
        raise ConfigurationError("not uploaded; nobody was called")
    raise ConfigurationError(f"{words}; --again uploads it all the same")
