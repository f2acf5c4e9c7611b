"""CSV by columns without pyarrow, which is an extra: for blocks without quotes, by the functions of Python's text.

Each byte is one character of the text (Latin-1), so that lengths in characters are lengths in bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, compress, repeat
from operator import add, attrgetter, itemgetter
from typing import NamedTuple, cast

import attrs

from calls_async.protocol.calling_codes import PREFIX_DIGITS
from calls_async.protocol.contact import encode_json
from calls_async.upload.rows.fast_rows import MAX_FRAGMENTS, WrongNumbers
from calls_async.upload.rows.row import (
    EncodedRow,
    EncodedRows,
    Row,
    Run,
    UnsentRow,
    as_range,
    at_line,
    each_row,
    group_into_runs,
)
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.csv_records import MAX_CELL_BYTES, WHITE_SPACE

_CHARSET = "latin-1"
_ESCAPED = bytes({*range(32), *b'"\\'} - {*b"\r\n"})
"""What JSON does not hold as it is, but for line ends."""
_END_OF_LINE = "\0"
_first_digits = itemgetter(slice(PREFIX_DIGITS))


@attrs.frozen(slots=True)
class TextBlock:
    """The columns of whole lines, none of which is blank; `line_lengths` are without their ends."""

    columns: Sequence[Sequence[str]] = attrs.field(repr=False)
    good: Sequence[bool] = attrs.field(repr=False)
    """Which rows have a number that is sent as it stands."""
    line_lengths: Sequence[int] = attrs.field(repr=False)
    blank: int = 0

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.good)

    @property
    def lines(self) -> int:
        """How many lines."""
        return len(self.good)


class _Ending(NamedTuple):
    """What stands in a contact's JSON behind its payload, and how much longer all of that is than its line."""

    text: str
    longer: int


class _Endings(dict[tuple[str, ...], _Ending | None]):
    """The endings by the cells of the settings, which are few in most lists; None where these are not valid."""

    def __init__(self, table: Table, around: int, behind: str) -> None:
        self._table = table
        self._around = around
        self._behind = behind

    def __missing__(self, cells: tuple[str, ...]) -> _Ending | None:
        if len(self) >= MAX_FRAGMENTS:
            self.clear()
        fragment = self._table.settings_as_json([_decode(cell) for cell in cells])
        ending = None
        if fragment is not None:
            text = f"{self._behind}{fragment.decode(_CHARSET)},"
            ending = _Ending(text, self._around + len(text) - sum(map(len, cells)))
        self[cells] = ending
        return ending


class CsvTextColumns:
    """Cuts blocks of whole lines into columns, and encodes these."""

    most_bytes: int | None = 64 * 1024
    """Cutting a block keeps the interpreter's lock: of 512 KB, a service's event loop was late by 30 ms."""

    def __init__(self, table: Table, delimiter: str) -> None:
        self._table = table
        self._delimiter = delimiter
        self._refused = _ESCAPED.replace(delimiter.encode(), b"")
        self._wrong_numbers = WrongNumbers(table.rules)
        names = [encode_json("payload", name).decode(_CHARSET) for _, name in table.payload]
        openings = [('",' if index else '","payload":{') + f'{name}:"' for index, name in enumerate(names)]
        self._before = ['{"phone":"', *openings]
        """What stands before the phone, and before each cell of the payload."""
        around = len("".join(self._before)) - (len(table.columns) - 1) * len(delimiter)
        self._endings = _Endings(table, around, '"}' if names else '"')
        self._whole = 1 + len(names) + len(table.settings) == len(table.columns)

    def parse(self, block: bytes) -> TextBlock | None:
        """Return the rows of a block; None where it needs a closer look."""
        if not self._whole or len(block) > MAX_CELL_BYTES or not self._is_plain(block):
            return None
        if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            return None
        text = block.decode(_CHARSET).replace("\r\n", "\n")
        if not text.endswith("\n"):
            text += "\n"
        width, count = len(self._table.columns) + 1, text.count("\n")
        between = f"{self._delimiter}{_END_OF_LINE}{self._delimiter}"
        cells = text.replace("\n", between).split(self._delimiter)
        if len(cells) != count * width + 1 or cells[width - 1 :: width].count(_END_OF_LINE) != count:
            return None  # a row has too few cells, or too many
        columns = [cells[index:-1:width] for index in range(width - 1)]
        phones = columns[self._table.phone]
        good = self._judge(phones)
        for index in _find_bad(good):
            if not phones[index].strip(_WHITE) and not any(column[index].strip(_WHITE) for column in columns):
                return None  # a blank line
        return TextBlock(columns, good, list(map(len, text.split("\n")[:-1])))

    def encode(self, first_row: int, first_line: int, block: TextBlock, done: int) -> list[Run]:
        """Return the rows of a block, which begins with that row and that line, but for the first `done`."""
        settings = [block.columns[index] for index, _ in self._table.settings]
        keys = zip(*settings, strict=True) if settings else repeat((), block.rows)
        endings = list(map(self._endings.__getitem__, keys))
        good = [fine and ending is not None for fine, ending in zip(block.good, endings, strict=True)]
        used = [self._table.phone, *(index for index, _ in self._table.payload)]
        rows = _Rows(
            range(first_row, first_row + block.rows),
            [block.columns[index] for index in used],
            endings,
            block.line_lengths,
        )
        others: list[Row] = []
        for index in _find_bad(good):
            if index < done:
                continue
            row, line = first_row + index, first_line + index
            one: Row | None = None
            if endings[index] is not None:
                one = self._wrong_numbers.reject(row, _decode(rows.cells[0][index]), f"line {line}: ")
            if one is None:
                one = at_line(line, self._table.encode(row, [_decode(column[index]) for column in block.columns]))
            others.append(one)
        if done or others:
            rows = rows.only([False] * done + good[done:])
        unsent = [row for row in others if isinstance(row, UnsentRow)]
        run = [self._join(rows, unsent)] if len(rows.numbers) else unsent
        if len(unsent) == len(others):
            return [*run]
        mended = [row for row in others if isinstance(row, EncodedRow)]
        return group_into_runs(sorted([*each_row(run), *mended], key=attrgetter("row")))

    def _join(self, rows: _Rows, unsent: Sequence[UnsentRow]) -> EncodedRows:
        """Return the contacts of rows whose ending is known. Joined, not formatted one by one, they take half of the
        time."""
        endings = cast("Sequence[_Ending]", rows.endings)
        parts = [part for before in self._before for part in (before, "")] + [""]
        width = len(parts)
        parts *= len(rows.numbers)
        for place, column in enumerate(rows.cells):
            parts[2 * place + 1 :: width] = column
        parts[width - 1 :: width] = [ending.text for ending in endings]
        longer = [ending.longer for ending in endings]
        starts = [0, *accumulate(map(add, rows.line_lengths, longer))]
        text = "".join(parts).encode(_CHARSET)
        return EncodedRows(as_range(rows.numbers), rows.cells[0], memoryview(text), starts, unsent)

    def _judge(self, phones: Sequence[str]) -> Sequence[bool]:
        """Return which numbers are sent as they stand. Lists have few beginnings and lengths."""
        rules, digits = self._table.rules, "".join(phones)
        if not (digits.isascii() and digits.isdigit()):
            return list(map(rules.takes, phones))
        lengths = rules.as_written
        beginnings, sizes = set(map(_first_digits, phones)), set(map(len, phones))
        if len(beginnings) * len(sizes) <= len(phones) and all(
            lengths[one] >> size & 1 for one in beginnings for size in sizes
        ):
            return [True] * len(phones)
        return [lengths[phone[:PREFIX_DIGITS]] >> len(phone) & 1 == 1 for phone in phones]

    def _is_plain(self, block: bytes) -> bool:
        """Return whether a block is UTF-8, and holds nothing that JSON would write otherwise."""
        if len(block.translate(None, self._refused)) < len(block):
            return False
        if block.isascii():
            return True
        try:
            block.decode()
        except UnicodeDecodeError:
            return False
        return True


@attrs.frozen(slots=True)
class _Rows:
    """Some rows of a block: the cells of their phones, then of each part of their payload."""

    numbers: Sequence[int]
    cells: Sequence[Sequence[str]]
    endings: Sequence[_Ending | None]
    line_lengths: Sequence[int]

    def only(self, good: Sequence[bool]) -> _Rows:
        """Return those that are good."""
        return _Rows(
            list(compress(self.numbers, good)),
            [list(compress(column, good)) for column in self.cells],
            list(compress(self.endings, good)),
            list(compress(self.line_lengths, good)),
        )


def _decode(cell: str) -> str:
    """Return a cell as the text that it is."""
    return cell if cell.isascii() else cell.encode(_CHARSET).decode()


def _find_bad(good: Sequence[bool]) -> Sequence[int]:
    return [index for index, fine in enumerate(good) if not fine] if False in good else ()


_WHITE = WHITE_SPACE.encode().decode(_CHARSET)
"""No other character of UTF-8 is made of these bytes alone."""
