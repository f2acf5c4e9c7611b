"""Remembers, for this user, which list went to which campaign: the same one, under another journal, is asked about.

A line of JSON an upload, in the user's state folder: when, its journal, and salted digests of campaign and content.
No phone, no token, no host.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import attrs
import platformdirs

from calls_async.cli.output import warn
from calls_async.cli.questions import ask, may_ask
from calls_async.errors import CallsError, ConfigurationError, JournalError
from calls_async.protocol.token import Token
from calls_async.transport.http import is_loopback_url
from calls_async.upload.chunks.chunk import Mark
from calls_async.upload.journal.locks import lock_file, unlock_file
from calls_async.upload.journal.overview import open_for_reading
from calls_async.upload.journal.settings import JournalOwner, JournalSettings
from calls_async.upload.journal.upload_table import make_fingerprint

WHOLE_BYTES = 2**20
"""A list that is no larger is known by all of its bytes; a larger one by its size and some of them."""
SAMPLES = 16
LOCK_SECONDS = 10.0


@attrs.frozen(slots=True, kw_only=True)
class IndexedUpload:
    """One upload of before."""

    at: float
    """Unix time, seconds."""
    journal: str | None
    campaign: str = attrs.field(repr=False)
    content: str = attrs.field(repr=False)

    def to_line(self) -> str:
        """Return the line that it stands in."""
        return json.dumps(attrs.asdict(self)) + "\n"

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
        except (ValueError, TypeError, KeyError, RecursionError):
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

    def add(self, upload: IndexedUpload, known: Sequence[IndexedUpload]) -> list[IndexedUpload]:
        """Note an upload, where `known` are all others of the same list to the same campaign; else return those."""
        with self._locked():
            wanted = upload.campaign, upload.content
            found = [one for one in self._read() if (one.campaign, one.content) == wanted]
            if [one for one in found if one not in known]:
                return found
            if all(one.journal != upload.journal or one.journal is None for one in found):
                with self._path.open("a") as file:
                    file.write(upload.to_line())
        return []

    def remove(self, upload: IndexedUpload) -> None:
        """Forget an upload that sent nothing."""
        with self._locked():
            text = self._path.read_text(encoding="utf-8")
            if upload.to_line() in text:
                self._path.write_text(text.replace(upload.to_line(), "", 1), encoding="utf-8")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other command look into it meanwhile: two may begin at once."""
        lock = self._path.with_name(f"{self._path.name}.lock")
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                held = lock_file(lock)
                break
            except JournalError:
                if time.monotonic() > deadline:
                    raise OSError(f"{lock} is held by another command") from None
                time.sleep(0.01)
        try:
            yield
        finally:
            unlock_file(held)

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
            except (ValueError, TypeError, KeyError, RecursionError):
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


def check_index(arguments: Namespace, owner: JournalOwner, journal: JournalSettings | None) -> Callable[[], None]:
    """Ask, or stop, where the same list went to the same campaign under another journal; and note this upload. Return
    what forgets it again, for an upload that sends nothing.

    Raises `ConfigurationError` where it is not to be uploaded. An index that cannot be used is a warning.
    """
    source, path = Path(arguments.source), None if journal is None else journal.path
    if arguments.source == "-" or arguments.sandbox or is_loopback_url(owner.host) or not source.is_file():
        return _do_nothing
    try:
        index = UploadIndex(platformdirs.user_state_path("calls_async", appauthor=False) / "uploads.jsonl")
        upload = index.describe(source, owner, path)
        known: list[IndexedUpload] = []
        while found := index.add(upload, known):
            new = [one for one in found if one not in known]
            goes_on = path is not None and _has_sent(path)
            called = next((one for one in new if _may_have_called(one, upload, source)), None)
            if called is not None and not goes_on and not arguments.again:
                _ask(arguments, called)
            known = found
    except OSError as error:
        _warn(error)
        return _do_nothing

    def forget() -> None:
        try:
            index.remove(upload)
        except OSError as error:
            _warn(error)

    return forget


def _do_nothing() -> None:
    pass


def _warn(error: OSError) -> None:
    warn(f"whether this list was uploaded before is not known: {error.strerror or error}")


def _has_sent(journal: Path) -> bool:
    """Return whether a journal is there, and has sent something: then it knows what, and goes on."""
    try:
        with closing(open_for_reading(journal)) as store:
            return store.database.any("chunk WHERE sent_at IS NOT NULL")
    except CallsError:
        return False


def _may_have_called(one: IndexedUpload, upload: IndexedUpload, source: Path) -> bool:
    """Return whether an earlier upload may have called somebody of this list: as far as its journal can tell."""
    if one.journal is None or not Path(one.journal).is_file():
        return True
    try:
        with closing(open_for_reading(Path(one.journal))) as store:
            if not store.database.any("chunk WHERE sent_at IS NOT NULL"):
                return one.journal != upload.journal and _is_in_use(Path(one.journal))
            marks = [chunk.mark for chunk in store.chunks.past() if chunk.mark is not None]
    except CallsError:
        return True
    last = max(marks, key=lambda mark: mark.position, default=None)
    return last is None or _begins_with(source, last)


def _is_in_use(journal: Path) -> bool:
    """Return whether another command is about to send something."""
    try:
        unlock_file(lock_file(journal))
    except JournalError:
        return True
    return False


def _begins_with(source: Path, mark: Mark) -> bool:
    """Return whether a list is the same as one that was read so far."""
    read, left = hashlib.sha256(), mark.position
    with source.open("rb") as file:
        while left and (data := file.read(min(left, WHOLE_BYTES))):
            read.update(data)
            left -= len(data)
    return read.digest() == mark.digest


def _ask(arguments: Namespace, one: IndexedUpload) -> None:
    """Ask whether to upload it all the same. Raises `ConfigurationError` where nobody says yes."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at))
    where = "without a journal" if one.journal is None else f"journal {one.journal}"
    words = f"this list was uploaded to this campaign on {when}, {where}. A second time calls everybody again"
    if may_ask(arguments):
        ask(words)
        return
    raise ConfigurationError(f"{words}; --again uploads it all the same")
