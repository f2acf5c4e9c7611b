"""In which encoding a text is, found out from all of it: before anything is sent, not in the middle."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import BinaryIO

from calls_async.errors import SourceError
from calls_async.upload.sources.checkpoint import SupportsRead
from calls_async.upload.sources.text import guess_encoding

_BLOCK_BYTES = 2**16
"""Small enough for the processor's cache: decoding 13 MB takes 12 ms, and 38 ms with 1 MB."""
_SAMPLE_BYTES = 64 * 1024
_RUSSIAN_ENCODINGS = ("cp1251", "cp866", "koi8-r")
_CYRILLIC_WORD = re.compile("[А-Яа-яЁё]{2,}")  # noqa: RUF001  # meant so
_FREQUENT_LETTERS = "оеаинтсрвл"  # meant so
_FREQUENT_SHARE = 0.5
"""How much of a Russian text these letters are at least: on average 67 %; of other languages in other encodings, 10
to 40 %."""
_WORDS_SHARE = 0.8
"""How many of the characters beyond ASCII stand in words of Russian letters at least."""


def find_encoding(name: str, file: BinaryIO) -> str | None:
    """Return the encoding of a text that is neither UTF-8 nor marked; None where it is, but for a few lines.

    Reads all of it. Raises `SourceError` where no encoding fits.
    """
    begin = file.tell()
    start = file.read(_BLOCK_BYTES)
    if guess_encoding(start) != "utf-8" or _is_utf8(start, file):
        return None
    file.seek(begin)
    other, utf8, sample = _count_lines(file)
    if other <= utf8:
        return None  # a few bad bytes: their lines are rejected
    if (russian := _find_russian(sample)) is not None:
        return russian
    from charset_normalizer import from_bytes  # a tenth of the start

    best = from_bytes(sample).best()
    if best is None:
        raise SourceError(name, "is not UTF-8, and its encoding cannot be told; name it, such as --encoding cp1251")
    return best.encoding


def _find_russian(sample: bytes) -> str | None:
    """Return the encoding in which a text is Russian, by its most frequent letters; None where it is not. Of a few
    names, charset-normalizer makes Japanese or Hebrew."""
    shares = {}
    for encoding in _RUSSIAN_ENCODINGS:
        text = sample.decode(encoding, "replace")
        words = _CYRILLIC_WORD.findall(text)
        beyond = sum(not char.isascii() for char in text)
        if encoding == "koi8-r" and text.upper() == text:
            continue  # Hebrew looks so
        letters = "".join(words).lower()
        if letters and len(letters) >= _WORDS_SHARE * beyond:
            shares[encoding] = sum(map(letters.count, _FREQUENT_LETTERS)) / len(letters)
    best = max(shares, key=lambda encoding: shares[encoding], default=None)
    return best if best is not None and shares[best] >= _FREQUENT_SHARE else None


def _is_utf8(start: bytes, file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    block = start
    try:
        while block:
            decoder.decode(block)
            block = file.read(_BLOCK_BYTES)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _count_lines(file: BinaryIO) -> tuple[int, int, bytes]:
    """Return how many lines are no UTF-8, and how many are and go beyond ASCII; and some of the first kind."""
    other = utf8 = 0
    sample, rest = b"", b""
    ended = False
    while not ended:
        data = file.read(_BLOCK_BYTES)
        ended = not data
        data = data or b"\n"
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.isascii():
                continue
            if _decodes(line):
                utf8 += 1
                continue
            other += 1
            if len(sample) < _SAMPLE_BYTES:
                sample += line + b"\n"
    return other, utf8, sample


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


class Utf8Pipe:
    """A text that can be read only once. Raises `SourceError` where most of its lines beyond ASCII are no UTF-8: a
    pipe's encoding cannot be found out beforehand."""

    def __init__(self, name: str, file: SupportsRead) -> None:
        self._name = name
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        self._rest = b""
        self._checked: bool | None = None
        """Whether it is looked at: not where a mark says that it is another encoding. None: nothing has come yet."""
        self._utf8 = self._other = 0

    def read(self, size: int, /) -> bytes:
        """Return what there is, up to `size` bytes; nothing at the end."""
        data = self._read(size)
        if self._checked is None:
            self._checked = guess_encoding(data) == "utf-8"
        if self._checked:
            lines, end, self._rest = (self._rest + data if data else self._rest + b"\n").rpartition(b"\n")
            self._check(lines if end else b"")
        return data

    def _check(self, lines: bytes) -> None:
        if lines.isascii():
            return
        if _decodes(lines):
            self._utf8 += lines.count(b"\n") + 1
            return
        beyond = [line for line in lines.split(b"\n") if not line.isascii()]
        good = sum(map(_decodes, beyond))
        self._utf8, self._other = self._utf8 + good, self._other + len(beyond) - good
        if self._other > self._utf8:
            raise SourceError(self._name, "is not UTF-8; name its encoding, such as --encoding cp1251")
