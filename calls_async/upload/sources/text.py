"""The text of a file as UTF-8, in blocks of whole lines."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence

from calls_async.errors import SourceError

BLOCK_BYTES = 512 * 1024
"""How much is asked of a file at a time."""
MAX_LINE_BYTES = 16 * 2**20
"""The longest line."""
_BEGINNING_BYTES = 16 * 1024


class LineTooLong(Exception):  # noqa: N818  # a signal to the reader of the blocks, which names the row
    """A line has more than `MAX_LINE_BYTES`; the next block begins behind it."""


class LineBlocks:
    """Reads a file by `read`, which returns as much as there is, up to a number of bytes, and nothing at its end.

    Bytes that are not of the encoding stay in the text, as something that UTF-8 does not have. `ends` are the bytes
    that may end a line; the first that a block has is where it is cut.
    """

    def __init__(
        self, name: str, read: Callable[[int], bytes], encoding: str | None, ends: tuple[bytes, ...]
    ) -> None:
        self._name = name
        self._read = read
        self._ends = ends
        beginning = self._beginning()
        self.encoding = encoding or guess_encoding(beginning)
        utf8 = codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig")
        self._decoder = None if utf8 else codecs.getincrementaldecoder(self.encoding)("surrogateescape")
        self._errors = "surrogateescape" if utf8 else "surrogatepass"
        self._rest = b""
        self._take_in(beginning.removeprefix(codecs.BOM_UTF8) if utf8 else beginning)
        self._ended = False

    def text(self, block: bytes) -> str:
        """Decode a block; what is not of the encoding became halves of surrogate pairs."""
        return block.decode("utf-8", self._errors)

    def encoded(self, text: str) -> bytes:
        """Return what `text` was made of."""
        return text.encode("utf-8", self._errors)

    def next(self) -> bytes:
        """Return the next whole lines; nothing at the end. Raises `LineTooLong`, and `SourceError` for another
        encoding."""
        while not self._ended:
            for end in self._ends:
                # A carriage return at the very end may be half of a line end.
                stop = len(self._rest) - (end == b"\r")
                if cut := self._rest.rfind(end, 0, stop) + 1:
                    block, self._rest = self._rest[:cut], self._rest[cut:]
                    return block
            if len(self._rest) > MAX_LINE_BYTES:
                self._skip_line()
                raise LineTooLong
            self._take_more()
        block, self._rest = self._rest, b""
        return block

    def starts_with(self, sign: bytes) -> bool:
        """Return whether the first character that is no white space is `sign`."""
        while not self._rest.strip() and not self._ended:
            self._take_more()
        return self._rest.lstrip().startswith(sign)

    def look(self) -> bytes:
        """Return what has been read and not been taken yet, without taking it."""
        return self._rest

    def raw(self) -> bytes:
        """Return what comes next, whatever lines there are; nothing at the end. Raises `SourceError` for another
        encoding."""
        if not self._rest and not self._ended:
            self._take_more()
        block, self._rest = self._rest, b""
        return block

    def _take_more(self) -> None:
        data = self._read(BLOCK_BYTES)
        self._ended = not data
        self._take_in(data)

    def _take_in(self, data: bytes) -> None:
        if self._decoder is None:
            self._rest += data
            return
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeError as error:
            reason = f"is not {self.encoding}: {error.args[-1]}; name its encoding with --encoding"
        else:
            self._rest += self.encoded(text)
            return
        raise SourceError(self._name, reason)

    def _skip_line(self) -> None:
        while not self._ended:
            self._rest = b""
            self._take_more()
            for end in self._ends:
                if (place := self._rest.find(end)) >= 0:
                    self._rest = self._rest[place + 1 :]
                    return

    def _beginning(self) -> bytes:
        data = b""
        while len(data) < _BEGINNING_BYTES and not any(end in data for end in self._ends):
            if not (more := self._read(BLOCK_BYTES)):
                break
            data += more
        return data


_UPPER_BYTES = bytes(range(7))
"""The upper halves of characters of UTF-16 from Latin to Arabic; in UTF-8, such bytes do not occur in text."""
_OTHER_CHARACTERS = 0.2
"""How many of a text's characters may be others."""


def guess_encoding(beginning: bytes) -> str:
    """Return the encoding that the first bytes of a text show: a byte order mark, or UTF-16's zero bytes; else
    UTF-8."""
    if beginning.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding, upper in (("utf-16-le", beginning[1::2]), ("utf-16-be", beginning[::2])):
        if upper and len(upper.translate(None, _UPPER_BYTES)) <= len(upper) * _OTHER_CHARACTERS:
            return encoding
    return "utf-8"


_DELIMITERS = ",;\t|"


def guess_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter under which the header, which is the first line that is not blank, has as many cells as
    the most of the lines behind it; a comma where there is none."""
    header, *others = [line.strip("\r\n") for line in lines if line.strip()] or [""]

    def fits(delimiter: str) -> tuple[int, bool, int]:
        count = _count_outside(header, delimiter)
        alike = sum(_count_outside(line, delimiter) == count for line in others)
        named = "phone" in [cell.strip(' "') for cell in header.split(delimiter)]
        return (1 + alike if count else 0), named, count

    return max(_DELIMITERS, key=fits)


def _count_outside(line: str, delimiter: str) -> int:
    """Return how often a delimiter stands outside quotes."""
    return sum(part.count(delimiter) for part in line.split('"')[::2])
