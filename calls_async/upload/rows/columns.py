"""The fast lane: columns of a table become the bytes of its contacts, many rows at a time, by pyarrow.

What it makes is what `Table.encode` makes of each row, to the byte. A row that it cannot vouch for leaves the lane
and is encoded by `Table.encode`, which also gives the reason where it is no contact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from calls_async.errors import ContactError
from calls_async.protocol.calling_codes import PREFIX_DIGITS
from calls_async.protocol.contact import encode_json
from calls_async.upload.rows.cells import carried
from calls_async.upload.rows.fast_rows import SettingsCache, WrongNumbers
from calls_async.upload.rows.national_columns import TWO_NUMBERS, find_plan
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.row import EncodedRow, EncodedRows, Row, Run, UnsentRow, as_range
from calls_async.upload.rows.scalars import scalar
from calls_async.upload.rows.table import Table

_WITH_PLUS = (
    r"^\+([1-9][0-9]{0,2})[ -]?\(?([0-9]{2,5})\)?[ -]?([0-9]{1,5})[ -]?([0-9]{0,5})[ -]?([0-9]{0,5})$",
    r"\1\2\3\4\5",
)
"""Numbers as people write them most often, such as +7 (999) 123-45-67. With a plus, for then nothing is in doubt."""
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
"""As orjson writes them; the backslash comes first."""
_ALL_COMBINATIONS = 256
"""So few combinations of settings are all looked at; of more, those that occur."""
_OTHER_CONTROLS = [bytes([code]) for code in range(32) if chr(code) not in _ESCAPES]
_OTHER_CONTROLS_PATTERN = r"[\x00-\x07\x0b\x0e-\x1f]"


@attrs.frozen(slots=True, kw_only=True)
class RowLane:
    """Where rows go that leave the fast lane. Rows are meant by their indexes in the batch."""

    encode: Callable[[int, Sequence[int]], Sequence[Row]]
    """Returns what the row lane makes of rows, by the number of the batch's first row and their indexes."""
    place: Callable[[int], str] = lambda index: ""
    """Returns what a reason begins with that says where in the file the row stands."""


@attrs.define
class Columns:
    """Encodes whole columns of a `table`; `fragments` are what its settings become."""

    table: Table
    fragments: SettingsCache
    wrong_numbers: WrongNumbers

    @classmethod
    def of(cls, table: Table, as_json: Callable[[Sequence[Any]], bytes | None]) -> Columns:
        """Make the lane of a table, whose settings become JSON by `as_json`."""
        return cls(table, SettingsCache(as_json), WrongNumbers(table.rules))

    def encode(
        self, first_row: int, columns: Sequence[pa.Array], lane: RowLane, sure: pa.Array | None = None
    ) -> list[Run]:
        """Return the rows from number `first_row` on; those that are not `sure` leave the lane. Raises
        `pyarrow.ArrowException` for types that it does not know."""
        phones, dialled = _phones(columns[self.table.phone], self.table.rules)
        pieces: list[Any] = ['{"phone":"', phones]
        behind = '"'
        for position, (index, name) in enumerate(self.table.payload):
            key = encode_json("payload", name).decode()
            piece, quote, certain = _as_json(columns[index])
            opening = "," if position else ',"payload":{'
            pieces += [f"{behind}{opening}{key}:{quote}", piece]
            behind = quote
            sure = _and(sure, certain)
        if self.table.payload:
            behind += "}"
        if self.table.settings:
            fragments = self._settings([columns[index] for index, _ in self.table.settings], behind)
            sure = _and(sure, fragments.is_valid())
            pieces.append(fragments)
        else:
            pieces.append(behind + "},")
        parts = [scalar(piece) if isinstance(piece, str) else piece for piece in (*pieces, "")]
        text = pc.binary_join_element_wise(*parts, null_handling="replace")
        good = dialled if sure is None else pc.and_(dialled, sure)
        if pc.all(good).as_py():
            return [_make_run(range(first_row, first_row + len(text)), phones, text)]
        return self._with_others(first_row, _Encoded(phones, text, good, sure), columns[self.table.phone], lane)

    def _with_others(self, first_row: int, encoded: _Encoded, written: pa.Array, lane: RowLane) -> list[Run]:
        """Return the good rows, and what the row lane makes of the others. Where nothing but the number is wrong, its
        reason is remembered; `written` are the numbers as they stand in the list."""
        bad = pc.indices_nonzero(pc.invert(encoded.good))
        others: dict[int, Row | None] = dict.fromkeys(bad.to_pylist())
        if pa.types.is_string(written.type) and self.table.rules.region is None:  # else most of them are numbers
            known = (
                bad if encoded.sure is None else pc.indices_nonzero(pc.and_(encoded.sure, pc.invert(encoded.good)))
            )
            numbers = written.take(known).to_pylist()
            for index, number in zip(known.to_pylist(), numbers, strict=True):
                if number is not None:
                    others[index] = self.wrong_numbers.reject(first_row + index, number, lane.place(index))
        left = [index for index, row in others.items() if row is None]
        others.update(zip(left, lane.encode(first_row, left), strict=True))
        mended = {index: row for index, row in others.items() if isinstance(row, EncodedRow)}
        if mended:
            encoded = encoded.mended(mended)
        rows = [first_row + index for index in pc.indices_nonzero(encoded.good).to_pylist()]
        unsent = [row for row in others.values() if isinstance(row, UnsentRow)]
        if not rows:
            return list(unsent)
        good = encoded.good
        return [_make_run(as_range(rows), encoded.phones.filter(good), encoded.text.filter(good), unsent)]

    def _settings(self, columns: Sequence[pa.Array], behind: str) -> pa.Array:
        """Return the end of each contact; null where its settings are not valid. Few combinations of settings make up
        most lists, so each is looked at once."""
        combinations: list[tuple[Any, ...]] = [()]
        codes = None
        for column in map(_plain, columns):
            encoded = column.dictionary_encode(null_encoding="encode")
            values, own = encoded.dictionary.to_pylist(), encoded.indices
            if codes is None:
                combinations, codes = [(value,) for value in values], own
            elif len(combinations) * len(values) <= _ALL_COMBINATIONS:
                codes = pc.add(pc.multiply(codes, scalar(len(values))), own)
                combinations = [(*one, value) for one in combinations for value in values]
            else:
                joint = pc.add(pc.multiply(codes, scalar(len(values))), own).dictionary_encode()
                combinations = [
                    (*combinations[code // len(values)], values[code % len(values)])
                    for code in joint.dictionary.to_pylist()
                ]
                codes = joint.indices
        found = map(self.fragments.of, combinations)
        ends = pa.array([None if one is None else f"{behind}{one.decode()}," for one in found], pa.string())
        return ends.take(codes)


@attrs.frozen(slots=True)
class _Encoded:
    """The rows of a batch: their phones, their text with a comma behind it, which are good, and in which nothing but
    the number may be wrong (None: in all)."""

    phones: pa.Array
    text: pa.Array
    good: pa.Array
    sure: pa.Array | None

    def mended(self, rows: Mapping[int, EncodedRow]) -> _Encoded:
        """Return them with what the row lane has made of some, by their indexes, in their order."""
        taken = [False] * len(self.text)
        for index in rows:
            taken[index] = True
        here = pa.array(taken, pa.bool_())
        phones = pa.array([str(row.phone) for row in rows.values()], pa.string())
        texts = pa.array([row.body + b"," for row in rows.values()], pa.binary()).cast(pa.string())
        return _Encoded(
            pc.replace_with_mask(self.phones, here, phones),
            pc.replace_with_mask(self.text, here, texts),
            pc.or_(self.good, here),
            self.sure,
        )


def _make_run(rows: Sequence[int], phones: pa.Array, text: pa.Array, unsent: Sequence[UnsentRow] = ()) -> EncodedRows:
    _, starts, buffer = text.buffers()
    offsets = memoryview(starts).cast("i")[text.offset : text.offset + len(text) + 1]
    return EncodedRows(rows, phones.to_pylist(), memoryview(buffer), offsets, unsent)


def _and(one: pa.Array | None, other: pa.Array | None) -> pa.Array | None:
    """Return which rows are in both; None stands for all."""
    return other if one is None else one if other is None else pc.and_(one, other)


def read_columns(
    text: bytes, count: int, delimiter: str, *, quoted: bool | None, breaks: bool = False
) -> list[pa.Array] | None:
    """Return text with lines of `count` cells as columns of text; None where it is not that, or not UTF-8. `quoted`
    tells whether some are in quotes; None: a quote is a character like others. `breaks`: whether there may be line
    breaks in these."""
    names = [str(index) for index in range(count)]
    try:
        table = csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False),
            parse_options=csv.ParseOptions(
                delimiter=delimiter,
                quote_char=False if quoted is None else '"',
                newlines_in_values=breaks,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                null_values=[],
                check_utf8=not text.isascii(),
            ),
        )
    except pa.ArrowInvalid:
        return None
    # Read as one block, so each is one piece; an empty one has none.
    return [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]


def _phones(column: pa.Array, rules: NumberRules) -> tuple[pa.Array, pa.Array]:
    """Return the numbers as the API wants them, and which of them are."""
    phones = column.cast(pa.string()) if pa.types.is_integer(column.type) else _plain(column)
    if not pa.types.is_string(phones.type):
        raise pa.ArrowTypeError("phones are written as text or as whole numbers")
    plan = None if rules.region is None else find_plan(rules.region)
    plus = pc.starts_with(phones, "+") if b"+" in join_text(phones) else None
    if plus is None and plan is None:
        return phones, pc.fill_null(_have_lengths(phones, rules.as_written), scalar(value=False))
    written = phones
    if plus is not None:
        phones = pc.replace_substring_regex(phones, *_WITH_PLUS)
    good = _have_lengths(phones, rules.as_written)
    if plan is not None:
        completed, sure = plan.complete(written)
        good = pc.and_(sure, _have_lengths(completed, rules.with_plus))
        phones = completed if plus is None else pc.if_else(plus, phones, completed)
    if plus is not None:
        one = pc.invert(pc.match_substring_regex(written, TWO_NUMBERS))
        good = pc.if_else(plus, pc.and_(one, _have_lengths(phones, rules.with_plus)), good)
    return phones, pc.fill_null(good, scalar(value=False))


def _have_lengths(phones: pa.Array, lengths: Mapping[str, int]) -> pa.Array:
    """Return which numbers are digits alone, and as many as there may be by their beginning. Lists have few
    beginnings, so each is looked at once."""
    # As bytes: in rows that mean nothing, a cut may have fallen into the middle of a character.
    raw = pa.Array.from_buffers(pa.binary(), len(phones), phones.buffers(), offset=phones.offset)
    found = pc.binary_slice(raw, 0, PREFIX_DIGITS).dictionary_encode(null_encoding="encode")
    prefixes = [(prefix or b"").decode("ascii", "replace") for prefix in found.dictionary.to_pylist()]
    bits = pa.array([lengths[prefix] for prefix in prefixes], pa.int32()).take(found.indices)
    fits = pc.bit_wise_and(pc.shift_right(bits, pc.binary_length(phones)), scalar(1))
    return pc.and_(pc.ascii_is_decimal(phones), pc.equal(fits, scalar(1)))


def _as_json(column: pa.Array) -> tuple[pa.Array, str, pa.Array | None]:
    """Return a column's values as JSON, the quotation mark that still belongs around each, and which of them can be
    vouched for (None: all)."""
    column = _plain(column)
    kind, sure = column.type, None
    if pa.types.is_string(kind):
        column, sure = _escaped(column)
        if not column.null_count:
            return column, '"', sure
        column = pc.binary_join_element_wise(scalar('"'), column, scalar('"'), scalar(""))
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        column = column.cast(pa.string())
    else:
        written = [_value_as_json(value) for value in column.to_pylist()]
        column = pa.array(written, pa.string())
        return column, "", column.is_valid()
    return pc.fill_null(column, scalar("null")), "", sure


def _value_as_json(value: Any) -> str | None:
    try:
        return encode_json("payload", carried("payload", value)).decode()
    except ContactError:
        return None


def _escaped(column: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    text = join_text(column)
    sure = None
    if any(control in text for control in _OTHER_CONTROLS):
        sure = pc.fill_null(pc.invert(pc.match_substring_regex(column, _OTHER_CONTROLS_PATTERN)), scalar(value=True))
    for char, escape in _ESCAPES.items():
        if char.encode() in text:
            column = pc.replace_substring(column, char, escape)
    return column, sure


def _plain(column: pa.Array) -> pa.Array:
    """Return text of any of Arrow's types as its simplest one."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.string())
    return column


def join_text(column: pa.Array) -> bytes:
    """Return all of a text column, one value after the other."""
    _, starts, text = column.buffers()
    if text is None:
        return b""
    offsets = memoryview(starts).cast("i")
    return bytes(memoryview(text)[offsets[column.offset] : offsets[column.offset + len(column)]])
