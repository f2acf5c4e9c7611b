"""JSON Lines: one object a line."""

from __future__ import annotations

import codecs
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from calls_async.errors import ContactError, SourceError
from calls_async.upload.rows.cells import rejected
from calls_async.upload.rows.contacts import encode_object
from calls_async.upload.rows.fast_rows import QuickObjects
from calls_async.upload.rows.header import SAMPLE_ROWS, Sample
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.originals import keep_row
from calls_async.upload.rows.row import Row, RowBuffer, Run
from calls_async.upload.sources.json_array import read_elements
from calls_async.upload.sources.text import MAX_LINE_BYTES, LineBlocks, LineTooLong

if TYPE_CHECKING:
    from calls_async.upload.sources.json_columns import JsonColumns


_LINE_ENDS = (b"\n",)
_LONG_NUMBER = b"0" * 19
"""So many digits in a row, once all are written as zeros: ten times as fast as a pattern."""
_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")


class JsonReader:
    """The rows of a JSON Lines file as lists of runs, numbered from 1; blank lines have no number."""

    def __init__(
        self, name: str, read: Callable[[int], bytes], encoding: str | None, *, rows_before: int = 0
    ) -> None:
        self._blocks = LineBlocks(name, read, encoding, _LINE_ENDS)
        self._name = name
        self._row = rows_before

    def sample(self) -> tuple[list[str], Sample]:
        """Return the names of the fields of the first contacts, and their values, as far as they have been read."""
        start = self._blocks.look().decode("utf-8", "replace")
        found: list[Any] = []
        with contextlib.suppress(SourceError, ValueError):
            elements = read_elements("", [start]) if start.lstrip().startswith("[") else start.split("\n")
            found.extend(map(json.loads, islice((one for one in elements if one.strip()), SAMPLE_ROWS)))
        objects = [one for one in found if isinstance(one, dict)]
        names = list(dict.fromkeys(name for one in objects for name in one))
        return names, Sample(1, [(place, [one.get(name) for name in names]) for place, one in enumerate(objects, 1)])

    def rows(self, encode_line: EncodeLine, fast: JsonColumns | None, skip: int) -> Iterator[list[Run]]:
        """Return the rows after those to `skip`."""
        if self._blocks.starts_with(b"["):
            yield from self._by_elements(encode_line, skip)
            return
        while True:
            try:
                block = self._blocks.next()
            except LineTooLong:
                self._row += 1
                if self._row > skip:
                    wrong = ContactError("row", f"has more than {MAX_LINE_BYTES:,} bytes")
                    yield [rejected(self._row, None, wrong)]
                continue
            if not block:
                return
            count = _count_rows(block) if self._row < skip else None
            if count is not None and self._row + count <= skip:
                self._row += count  # resuming skips millions of rows: nobody needs to parse them
                continue
            encoded = fast.encode(self._row, block, skip) if fast is not None else None
            if encoded is None:
                yield from self._by_lines(block, encode_line, skip)
            else:
                self._row += encoded[0]
                yield encoded[1]

    def _by_elements(self, encode_line: EncodeLine, skip: int) -> Iterator[list[Run]]:
        """Yield the rows of one JSON array, however it is printed."""
        gathered = RowBuffer()
        for element in read_elements(self._name, self._texts()):
            self._row += 1
            if self._row > skip:
                gathered.add(encode_line(self._row, element.encode("utf-8", "surrogatepass")))
                if gathered.full:
                    yield gathered.take()
        yield gathered.take()

    def _texts(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        while block := self._blocks.raw():
            try:
                yield decoder.decode(block)
            except UnicodeDecodeError:
                reason = "is not UTF-8; name its encoding, such as --encoding cp1251"
                raise SourceError(self._name, reason) from None

    def _by_lines(self, block: bytes, encode_line: EncodeLine, skip: int) -> Iterator[list[Run]]:
        gathered = RowBuffer()
        for line in block.split(b"\n"):
            if stripped := line.strip().removeprefix(codecs.BOM_UTF8):
                self._row += 1
                if self._row > skip:
                    gathered.add(encode_line(self._row, stripped))
                    if gathered.full:
                        yield gathered.take()
        yield gathered.take()


def _count_rows(block: bytes) -> int | None:
    """Return how many rows a block has, where each of its lines begins an object."""
    count = block.count(b"\n") + (not block.endswith(b"\n"))
    return count if block.startswith(b"{") and block.count(b"\n{") == count - 1 else None


EncodeLine = Callable[[int, bytes], Row]


def keep_line(row: int, line: bytes) -> Row:
    """Return a row as it stands there: nothing comes of it."""
    try:
        return keep_row(row, _read_object(line.strip().removeprefix(codecs.BOM_UTF8), long=True))
    except ContactError:
        return keep_row(row, {"line": line.decode("utf-8", "replace")})


def line_encoder(columns: Mapping[str, str], rules: NumberRules) -> EncodeLine:
    """Return the row lane: what a line becomes."""

    quick = QuickObjects(columns, rules) if rules.columnar else None

    def encode_line(row: int, line: bytes) -> Row:
        try:
            long = _LONG_NUMBER in line.translate(_AS_ZEROS)
            fields = _read_object(line.strip().removeprefix(codecs.BOM_UTF8), long=long)
        except ContactError as error:
            return rejected(row, None, error)
        if quick is None or long:
            return encode_object(row, fields, columns, rules)
        return quick.encode(row, fields)

    return encode_line


def _count_keys(fields: Mapping[str, Any]) -> int:
    count = len(fields)
    for value in fields.values():
        if type(value) is dict:
            count += _count_keys(value)
    return count


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in fields if names.count(name) > 1)
        raise ContactError("row", f"has the key {name!r:.40} more than once")
    return fields


def _read_object(line: bytes, *, long: bool) -> dict[str, Any]:
    try:
        # orjson would round integers past 64 bits.
        fields = json.loads(line) if long else orjson.loads(line)
        if isinstance(fields, dict) and (keys := line.count(b'":')) != len(fields) and keys != _count_keys(fields):
            json.loads(line, object_pairs_hook=_refuse_repeated)
    except (ValueError, RecursionError):
        raise ContactError("row", "is not JSON") from None
    if not isinstance(fields, dict):
        raise ContactError("row", f"is a JSON {type(fields).__name__}; give an object")
    return fields
