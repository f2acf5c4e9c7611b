"""JSON Lines by columns: for lists whose lines all have the same fields in the same order, as programs write them.

Such lines, which may have an object `payload`, differ only in their values; so a block of them is cut into columns
without being read as JSON. A line that
is not like the first of its block, or whose values are more than plain texts and whole numbers, leaves the lane.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import attrs
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from calls_async.protocol.contact import FIELDS
from calls_async.upload.rows.columns import Columns, RowLane, read_columns
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.row import Row, Run
from calls_async.upload.rows.scalars import scalar
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.text import MAX_LINE_BYTES

_MARK = b"\x01"
_CONTROLS = [bytes([code]) for code in range(32) if code != ord("\n")]
_BLANKS = (b" ", codecs.BOM_UTF8)
_STYLES = ((",", ":"), (", ", ": "))
"""What stands between fields, and between a name and its value."""
_END = 2 * MAX_LINE_BYTES
"""Beyond the end of any value: pyarrow 26 fails where a slice has no end."""
_INTEGER = "(?:0|-?[1-9][0-9]{0,17})"
"""Written as orjson would write it, and short enough not to be rounded."""


@attrs.frozen(slots=True)
class _Field:
    """How the values of one field are written; the quotation mark before its name belongs to the field before it."""

    name: str
    parent: str | None
    """The field in whose object it stands; None: in none."""
    before: str
    behind: str
    text: bool


class _Leaf(NamedTuple):
    """A value of the first line, and where it stands: `opening` and `closing` are the brackets around it."""

    name: str
    parent: str | None
    value: str | int
    opening: str
    closing: str

    def spell(self, colon: str) -> tuple[str, str]:
        """Return what stands before a value, from the name on, and behind it."""
        quote = '"' if isinstance(self.value, str) else ""
        return self.opening.replace(":", colon) + f'{self.name}"{colon}{quote}', quote + self.closing


def _find_leaves(fields: Mapping[str, Any]) -> list[_Leaf] | None:
    """Return the values of an object, and of the objects in it; None where it is not that simple."""
    leaves: list[_Leaf] = []
    for name, value in fields.items():
        inner = value if isinstance(value, dict) else None
        for position, (own_name, own) in enumerate((inner or {name: value}).items()):
            if type(own) not in (str, int) or inner == {} or ":" in name:
                return None
            opening = "" if leaves else '{"'
            if inner is not None and position == 0:
                opening += f'{name}":{{"'
            closing = "}" if inner is not None and position == len(inner) - 1 else ""
            leaves.append(_Leaf(own_name, None if inner is None else name, own, opening, closing))
    return [*leaves[:-1], leaves[-1]._replace(closing=leaves[-1].closing + "}")]


@attrs.frozen(slots=True)
class _Shape:
    """How the lines of a list look."""

    comma: str
    fields: Sequence[_Field]

    @classmethod
    def of(cls, line: bytes) -> _Shape | None:
        """Return the shape of a line, where it is simple enough."""
        try:
            read = orjson.loads(line)
        except ValueError:
            return None
        leaves = _find_leaves(read) if isinstance(read, dict) and read else None
        if leaves is None:
            return None
        for comma, colon in _STYLES:
            fields = [
                _Field(leaf.name, leaf.parent, *leaf.spell(colon), isinstance(leaf.value, str)) for leaf in leaves
            ]
            parts = [f"{field.before}{leaf.value}{field.behind}" for field, leaf in zip(fields, leaves, strict=True)]
            if f'{comma}"'.join(parts).encode() == line:
                return cls(comma, fields)
        return None

    @property
    def quotes(self) -> int:
        """How many stand in a line, without those behind the commas."""
        return sum(map(_count_quotes, self.fields))

    def split(self, block: bytes) -> list[pa.Array] | None:
        """Return the columns of a block, values with what is around them; None where its lines have not so many."""
        if any(control in block for control in _CONTROLS) or block.startswith(_BLANKS):
            return None
        if any(b"\n" + blank in block for blank in _BLANKS):
            return None  # a line of nothing else has no number
        text = block.replace(f'{self.comma}"'.encode(), _MARK)
        return read_columns(text, len(self.fields), _MARK.decode(), quoted=None)

    def alike(self, columns: Sequence[pa.Array], block: bytes) -> pa.Array:
        """Return which rows have just this shape."""
        good = pa.repeat(scalar(value=True), len(columns[0]))
        for field, column in zip(self.fields, columns, strict=True):
            good = pc.and_(good, self._looks_like(field, column))
        commas = (len(self.fields) - 1) * len(good)
        # Every good row has at least so many quotes: if there are no more, no value has one of its own.
        plain = b"\\" not in block and block.count(b'"') == self.quotes * len(good) + commas
        return good if plain and pc.all(good).as_py() else pc.and_(good, self.alike_one_by_one(columns))

    def alike_one_by_one(self, columns: Sequence[pa.Array]) -> pa.Array:
        """Return what `alike` does, for some rows of a block, or where some are of another shape."""
        good = pa.repeat(scalar(value=True), len(columns[0]))
        for field, column in zip(self.fields, columns, strict=True):
            good = pc.and_(good, self._looks_like(field, column))
            if field.text:
                good = pc.and_(good, pc.match_substring_regex(column, rf'^{_quoted(field.before)}[^"\\]*"'))
                good = pc.and_(good, pc.equal(pc.count_substring(column, '"'), scalar(_count_quotes(field))))
        return good

    @staticmethod
    def _looks_like(field: _Field, column: pa.Array) -> pa.Array:
        if not field.text:
            return pc.match_substring_regex(column, f"^{_quoted(field.before)}{_INTEGER}{field.behind}$")
        long = pc.greater_equal(pc.binary_length(column), scalar(len(field.before.encode()) + len(field.behind)))
        around = pc.and_(pc.starts_with(column, field.before), pc.ends_with(column, field.behind))
        return pc.and_(long, around)

    def values(self, columns: Sequence[pa.Array]) -> list[pa.Array]:
        """Return the columns without what is around their values; those of rows of another shape mean nothing."""
        return [_value(field, column) for field, column in zip(self.fields, columns, strict=True)]

    def lines(self, columns: Sequence[pa.Array], indexes: Sequence[int]) -> list[bytes]:
        """Return lines as they were."""
        found = zip(*(column.take(pa.array(indexes, pa.int64())).to_pylist() for column in columns), strict=True)
        return [f'{self.comma}"'.join(parts).encode() for parts in found]


def _value(field: _Field, column: pa.Array) -> pa.Array:
    long = pc.greater_equal(pc.binary_length(column), scalar(len(field.before.encode()) + len(field.behind)))
    if not pc.all(long).as_py():
        column = pc.if_else(long, column, scalar(field.before + field.behind))
    raw = pa.Array.from_buffers(pa.binary(), len(column), column.buffers(), offset=column.offset)
    start, stop = len(field.before.encode()), -len(field.behind) or _END
    inner = pc.binary_slice(raw, start, stop)
    value = pa.Array.from_buffers(pa.string(), len(inner), inner.buffers(), offset=inner.offset)
    if field.text:
        return value
    wrong = pc.invert(pc.match_substring_regex(value, f"^{_INTEGER}$"))
    return pc.if_else(wrong, scalar("0"), value).cast(pa.int64())


def _quoted(text: str) -> str:
    """Return `text` as a pattern."""
    return "".join(char if char.isalnum() or char == "_" or ord(char) > 127 else f"\\{char}" for char in text)


def _count_quotes(field: _Field) -> int:
    return field.before.count('"') + field.behind.count('"')


class JsonColumns:
    """Encodes blocks of lines. `columns` are fields of another name; `encode_line` is the row lane."""

    def __init__(
        self, columns: Mapping[str, str], rules: NumberRules, encode_line: Callable[[int, bytes], Row]
    ) -> None:
        self._mapped = columns
        self._rules = rules
        self._encode_line = encode_line
        self._shape: _Shape | None = None
        self._columns: Columns | None = None

    def encode(self, rows_before: int, block: bytes, skip: int) -> tuple[int, list[Run]] | None:
        """Return the rows from number `first_row` on; those that are not `sure` leave the lane. Raises
        `pyarrow.ArrowException` for types that it does not know."""
        shape = _Shape.of(block.split(b"\n", 1)[0])
        if shape is None:
            return None
        if shape != self._shape:
            self._shape, self._columns = shape, self._make_columns(shape)
        parts = shape.split(block) if self._columns is not None else None
        if parts is None or self._columns is None:
            return None
        count, done = len(parts[0]), max(0, skip - rows_before)
        if done >= count:
            return count, []
        left, first_row = [part.slice(done) for part in parts], rows_before + done + 1
        good = shape.alike(left, block) if not done else shape.alike_one_by_one(left)

        def encode(first_row: int, indexes: Sequence[int]) -> list[Row]:
            lines = shape.lines(left, indexes)
            return [self._encode_line(first_row + index, line) for index, line in zip(indexes, lines, strict=True)]

        return count, self._columns.encode(first_row, shape.values(left), RowLane(encode=encode), good)

    def _make_columns(self, shape: _Shape) -> Columns | None:
        table = self._make_table(shape.fields)
        if table is None or not table.independent:
            return None
        return Columns.of(table, table.values_as_json)

    def _make_table(self, fields: Sequence[_Field]) -> Table | None:
        """Return the table of these fields; None where the meaning of one depends on another."""
        if all(field.parent is None for field in fields):
            return Table.of_fields([field.name for field in fields], self._mapped, self._rules)
        meant = [None if field.parent else self._mapped.get(field.name, field.name) for field in fields]
        parents = {self._mapped.get(field.parent, field.parent) for field in fields if field.parent is not None}
        settings = [(index, field) for index, field in enumerate(meant) if field not in (None, "phone")]
        names = [field for _, field in settings]
        if parents != {"payload"} or meant.count("phone") != 1 or not set(names) <= FIELDS.keys() - {"payload"}:
            return None
        if len(set(names)) < len(names):
            return None
        payload = [(index, field.name) for index, field in enumerate(fields) if field.parent is not None]
        names = [field.name for field in fields]
        return Table(tuple(names), self._rules, (), settings, payload, meant.index("phone"))
