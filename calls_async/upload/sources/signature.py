"""What a file is, by its first bytes: its name may say otherwise."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, cast

from calls_async.errors import MissingExtraError, SourceError

_BEGINNING_BYTES = 4096


class Content(Enum):
    """What the first bytes of a file show."""

    TEXT = "text"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"
    ZIP = "a ZIP archive"
    OLE = "an old workbook, or one with a password"
    PARQUET = "Parquet"
    HTML = "a web page"
    VCARD = "a vCard"
    PDF = "a PDF document"

    @property
    def is_compressed(self) -> bool:
        """Whether it holds something else, in fewer bytes."""
        return self in COMPRESSED.values()


_SIGNATURES = (
    (b"\x1f\x8b", Content.GZIP),
    (b"BZh", Content.BZIP2),
    (b"\xfd7zXZ\0", Content.XZ),
    (b"\x28\xb5\x2f\xfd", Content.ZSTD),
    (b"PK\x03\x04", Content.ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Content.OLE),
    (b"PAR1", Content.PARQUET),
    (b"%PDF-", Content.PDF),
)
_TEXTS = (
    ((b"<!doctype html", b"<html", b"<table", b"<head", b"<meta", b"<style"), Content.HTML),
    ((b"begin:vcard",), Content.VCARD),
)
_CURES = {
    Content.HTML: "is a web page, whatever its name says; open it and save it as .xlsx or CSV",
    Content.VCARD: "is a vCard, an address book; export it as CSV",
    Content.PDF: "is a PDF document; give the list as CSV or a workbook",
}
_OPENERS: dict[Content, Callable[[BinaryIO], Any]] = {
    Content.GZIP: lambda file: gzip.GzipFile(fileobj=file),
    Content.BZIP2: bz2.BZ2File,
    Content.XZ: lzma.LZMAFile,
}
COMPRESSED = {".gz": Content.GZIP, ".bz2": Content.BZIP2, ".xz": Content.XZ, ".zst": Content.ZSTD}
"""File name endings of compressed files."""


def strip_compression(name: str) -> str:
    """Return a file's name without the ending that says how it is compressed."""
    return str(Path(name).with_suffix("")) if Path(name).suffix.lower() in COMPRESSED else name


def find_content(beginning: bytes) -> Content:
    """Return what the first bytes of a file show."""
    for signature, content in _SIGNATURES:
        if beginning.startswith(signature):
            return content
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((content for starts, content in _TEXTS if text.startswith(starts)), Content.TEXT)


class Peeked:
    """A binary file, read from its beginning, of which the first bytes are known."""

    def __init__(self, file: BinaryIO | Decompressed) -> None:
        self._file = file
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        self.beginning = self._read(_BEGINNING_BYTES)
        self._rest = self.beginning

    def read(self, size: int = -1, /) -> bytes:
        """Return what there is, up to `size` bytes (-1: all of it); nothing at the end."""
        if size < 0:
            rest, self._rest = self._rest, b""
            return rest + self._file.read()
        if self._rest:
            data, self._rest = self._rest[:size], self._rest[size:]
            return data
        return self._read(size)


class Decompressed:
    """What a compressed file holds. Raises `SourceError` where it is damaged."""

    def __init__(self, name: str, file: Peeked, content: Content) -> None:
        self._name = name
        self._content = content
        self._file = self._open(cast("BinaryIO", _Readable(file)))

    def _open(self, file: BinaryIO) -> Any:
        if self._content is not Content.ZSTD:
            return _OPENERS[self._content](file)
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("reading zstd", "arrow") from None
        return pa.CompressedInputStream(file, "zstd")

    def read(self, size: int = -1, /) -> bytes:
        """Return what there is, up to `size` bytes (-1: all of it); nothing at the end."""
        try:
            return bytes(self._file.read(size) if size >= 0 else self._file.read())
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            reason = f"is damaged {self._content.value}: {error}"
        raise SourceError(self._name, reason)


class _Readable(io.RawIOBase):
    """What the decompressors want of a file: they read all that they ask for."""

    def __init__(self, file: Peeked) -> None:
        super().__init__()
        self._peeked = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._peeked.read(size)
        while 0 <= len(data) < size and (more := self._peeked.read(size - len(data))):
            data += more
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def find_workbook(name: str, content: Content, whole: bytes) -> str:
    """Return the format of a ZIP archive or an old container. Raises `SourceError` where it is no workbook."""
    if content is Content.OLE and "EncryptedPackage".encode("utf-16-le") in whole:
        raise SourceError(name, "is a workbook with a password; save it without one")
    workbook = any(mark in whole for mark in (b"xl/workbook", b"vnd.oasis.opendocument.spreadsheet"))
    if content is Content.ZIP and not workbook:
        raise SourceError(name, "is a ZIP archive; unpack it, and give the list that it holds")
    return "xlsx"


def refuse_foreign(name: str, content: Content) -> None:
    """Refuse what is no list at all, with the cure. Raises `SourceError`."""
    if content in _CURES:
        raise SourceError(name, _CURES[content])
