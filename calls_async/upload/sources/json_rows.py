"""JSON Lines: one object a line."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from calls_async.errors import ContactError
from calls_async.upload.rows.cells import rejected
from calls_async.upload.rows.contacts import encode_object
from calls_async.upload.rows.fast_rows import QuickObjects
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.row import Row, RowBuffer, Run
from calls_async.upload.sources.text import MAX_LINE_BYTES, LineBlocks, LineTooLong

if TYPE_CHECKING:
    from calls_async.upload.sources.json_columns import JsonColumns


_LINE_ENDS = (b"\n",)
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


class JsonReader:
    """The rows of a JSON Lines file as lists of runs, numbered from 1; blank lines have no number."""

    def __init__(
        self, name: str, read: Callable[[int], bytes], encoding: str | None, *, rows_before: int = 0
    ) -> None:
        self._blocks = LineBlocks(name, read, encoding or "utf-8", _LINE_ENDS)
        self._row = rows_before

    def rows(self, encode_line: EncodeLine, fast: JsonColumns | None, skip: int) -> Iterator[list[Run]]:
        """Return the rows after those to `skip`."""
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


def line_encoder(columns: Mapping[str, str], rules: NumberRules) -> EncodeLine:
    """Return the row lane: what a line becomes."""

    quick = QuickObjects(columns, rules) if rules.columnar else None

    def encode_line(row: int, line: bytes) -> Row:
        try:
            long = _LONG_NUMBER.search(line) is not None
            fields = _read_object(line.strip().removeprefix(codecs.BOM_UTF8), long=long)
        except ContactError as error:
            return rejected(row, None, error)
        if quick is None or long:
            return encode_object(row, fields, columns, rules)
        return quick.encode(row, fields)

    return encode_line


def _read_object(line: bytes, *, long: bool) -> dict[str, Any]:
    try:
        # orjson would round integers past 64 bits.
        fields = json.loads(line) if long else orjson.loads(line)
    except (ValueError, RecursionError):
        raise ContactError("row", "is not JSON") from None
    if not isinstance(fields, dict):
        raise ContactError("row", f"is a JSON {type(fields).__name__}; give an object")
    return fields
