"""In which encoding a text is, found out from all of it: before anything is sent, not in the middle."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from calls_async.errors import SourceError
from calls_async.upload.sources.text import guess_encoding

_BLOCK_BYTES = 2**20
_SAMPLE_BYTES = 64 * 1024


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
    from charset_normalizer import from_bytes  # a tenth of the start

    best = from_bytes(sample).best()
    if best is None:
        raise SourceError(name, "is not UTF-8, and its encoding cannot be told; name it, such as --encoding cp1251")
    return best.encoding


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
