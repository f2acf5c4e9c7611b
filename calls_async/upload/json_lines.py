"""JSON Lines: one object a line."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from calls_async.errors import ContactError
from calls_async.upload.lines import MAX_LINE_BYTES, LineBlocks, LineTooLong
from calls_async.upload.rows import encode_object, rejected
from calls_async.upload.runs import Gathered, Row, Run

_LINE_ENDS = (b"\n",)
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


def read_json_lines(
    name: str,
    read: Callable[[int], bytes],
    *,
    encoding: str | None,
    columns: Mapping[str, str],
    region: str | None,
    skip: int,
) -> Iterator[list[Run]]:
    """The rows after those to `skip`, as lists of runs; blank lines have no number."""
    blocks, row, ended = LineBlocks(name, read, encoding or "utf-8", _LINE_ENDS), 0, False
    while not ended:
        gathered = Gathered()
        try:
            block = blocks.next()
        except LineTooLong:
            row += 1
            if row > skip:
                gathered.add(rejected(row, None, ContactError("row", f"has more than {MAX_LINE_BYTES:,} bytes")))
        else:
            ended = not block
            for line in block.split(b"\n"):
                if stripped := line.strip().removeprefix(codecs.BOM_UTF8):
                    row += 1
                    if row > skip:
                        gathered.add(_row(row, stripped, columns, region))
                        if gathered.full:
                            yield gathered.take()
        yield gathered.take()


def _row(row: int, line: bytes, columns: Mapping[str, str], region: str | None) -> Row:
    try:
        return encode_object(row, _read_object(line), columns, region)
    except ContactError as error:
        return rejected(row, None, error)


def _read_object(line: bytes) -> dict[str, Any]:
    try:
        # orjson would round integers past 64 bits.
        fields = json.loads(line) if _LONG_NUMBER.search(line) else orjson.loads(line)
    except (ValueError, RecursionError):
        raise ContactError("row", "is not JSON") from None
    if not isinstance(fields, dict):
        raise ContactError("row", f"is a JSON {type(fields).__name__}; give an object")
    return fields
