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
from calls_async.upload.rows.fast_rows import SettingsCache
from calls_async.upload.rows.national_columns import TWO_NUMBERS, find_plan
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.row import EncodedRows, Row, Run, group_into_runs
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


Other = Callable[[int, int], Row]
"""What the row lane makes of a row, by its number and its index in the batch."""


@attrs.define
class Columns:
    """Encodes whole columns of a `table`; `fragments` are what its settings become."""

    table: Table
    fragments: SettingsCache

    def encode(
        self, first_row: int, columns: Sequence[pa.Array], other: Other, sure: pa.Array | None = None
    ) -> list[Run]:
        """Return the rows from number `first_row` on; those that are not `sure` leave the lane. Raises
        `pyarrow.ArrowException` for types that it does not know."""
        phones, good = _phones(columns[self.table.phone], self.table.rules)
        good = good if sure is None else pc.and_(good, sure)
        pieces: list[Any] = ['{"phone":"', phones]
        behind = '"'
        for position, (index, name) in enumerate(self.table.payload):
            key = encode_json("payload", name).decode()
            piece, quote, sure = _as_json(columns[index])
            opening = "," if position else ',"payload":{'
            pieces += [f"{behind}{opening}{key}:{quote}", piece]
            behind = quote
            good = good if sure is None else pc.and_(good, sure)
        if self.table.payload:
            behind += "}"
        if self.table.settings:
            fragments = self._settings([columns[index] for index, _ in self.table.settings], behind)
            good = pc.and_(good, fragments.is_valid())
            pieces.append(fragments)
        else:
            pieces.append(behind + "},")
        parts = [scalar(piece) if isinstance(piece, str) else piece for piece in (*pieces, "")]
        text = pc.binary_join_element_wise(*parts, null_handling="replace")
        _, starts, buffer = text.buffers()
        bad = pc.indices_nonzero(pc.invert(good)).to_pylist()
        if bad:  # what stands there need not even be text
            phones = pc.if_else(good, phones, scalar(""))
        encoded = EncodedRows(
            first_row, phones.to_pylist(), memoryview(buffer), memoryview(starts).cast("i")[: len(text) + 1]
        )
        return self._with_others(encoded, bad, other) if bad else [encoded]

    def _with_others(self, encoded: EncodedRows, bad: Sequence[int], other: Other) -> list[Run]:
        """Return the runs of the good rows, and between them what the row lane makes of the `bad` ones."""
        runs: list[Run] = []
        others: list[Row] = []
        done = 0
        for index in bad:
            if index > done:
                runs += [*group_into_runs(others), encoded.part(done, index)]
                others.clear()
            others.append(other(encoded.first_row + index, index))
            done = index + 1
        runs += group_into_runs(others)
        if done < len(encoded):
            runs.append(encoded.part(done, len(encoded)))
        return runs

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
