"""How a file is read: its format, its columns, and which part of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from calls_async.errors import ConfigurationError
from calls_async.upload.rows.numbers import CHECKED, NumberRules
from calls_async.upload.sources.signature import strip_compression

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "xlsx",
    ".xls": "xlsx",
    ".xlsb": "xlsx",
    ".ods": "xlsx",
}
"""File name endings and the format each means."""


@attrs.frozen(slots=True, kw_only=True)
class FilePart:
    """A part of a file, for a reader of its own: rows, or bytes of whole records (CSV, JSON Lines), or row groups
    (Parquet). Its rows keep their numbers: `first_row` is that of the first."""

    first_row: int = 1
    last_row: int | None = None
    """The number of its last row, where it is a part by rows; None: as far as the part or the file goes."""
    bytes: tuple[int, int] | None = None
    """From where to where."""
    header_bytes: int = 0
    """How many bytes the file's header takes, which goes before a part by bytes."""
    row_groups: Sequence[int] | None = None

    @property
    def by_rows(self) -> bool:
        """Whether it is found by counting rows from the file's beginning."""
        return self.bytes is None and self.row_groups is None


@attrs.frozen(slots=True, kw_only=True)
class Reading:
    """How a file is to be read."""

    format: str | None = None
    """csv, jsonl, parquet or xlsx; None: by the file's ending."""
    columns: Mapping[str, str] = attrs.field(
        factory=dict,
        converter=attrs.converters.default_if_none(factory=dict),  # type: ignore[misc]
    )
    """Columns of another name: the name in the file and the field that it means."""
    rules: NumberRules = CHECKED
    """How numbers are read."""
    delimiter: str | None = None
    """None: the one of `, ; tab |` that the header has most of."""
    encoding: str | None = None
    """None: by the byte order mark, else UTF-8."""
    multiline: bool = False
    """Whether quoted cells of a CSV file may hold lines that look like its rows; else such lines are rejected."""
    header_row: int | None = None
    """In which line of a CSV file, or row of a sheet, the header is; None: in the first that is not blank."""
    sheet: str | int | None = None
    """Which sheet of a workbook is read, by its name or its number from 1; None: the first."""
    skip_hidden: bool = False
    """Whether hidden rows of a sheet are left out."""
    part: FilePart | None = None
    """None: all of it."""
    columnar: bool = True
    """Whether lists may be encoded by columns, many times as fast, where pyarrow is installed; what comes of them is
    the same."""
    keeps_fields: bool = False
    """Whether rows are only looked at: each is an `UnsentRow` with its original `fields`."""
    on_hint: Callable[[str], None] | None = None
    """Told what looks like a mistake but need not be one; called by the thread that reads."""

    @property
    def row_options(self) -> str:
        """The options that decide which rows a file has, as they are written on a command line; empty for none."""
        given = {"--sheet": self.sheet, "--header-row": self.header_row}
        flags = {"--skip-hidden": self.skip_hidden, "--multiline": self.multiline}
        valued = [f"{option} {value}" for option, value in given.items() if value is not None]
        return " ".join([*valued, *(option for option, on in flags.items() if on)])

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        given = {name: getattr(self, name) for name in _KEPT_OPTIONS} | self.rules.options()
        return json.dumps({name: value for name, value in given.items() if value}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Reading:
        """Make it of what was kept. Raises `ValueError` for what is damaged."""
        kept = json.loads(text)
        return cls(**{name: kept[name] for name in _KEPT_OPTIONS if name in kept})

    def spell_changes(self, before: str) -> str:
        """Return which options are others than those that were kept, as words for a person; empty for none. The
        encoding has words of its own."""
        old, new = json.loads(before), json.loads(self.to_json())
        names = sorted((old.keys() | new.keys()) - {"encoding", "format"})
        return ", ".join(
            f"{name} {new.get(name, 'as by default')!s} instead of {old.get(name, 'as by default')!s}"
            for name in names
            if old.get(name) != new.get(name)
        )

    def __attrs_post_init__(self) -> None:
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '\r\n"'):
            raise ConfigurationError(f"the delimiter must be one character such as ';', not {self.delimiter!r}")
        if self.encoding is not None:
            _check_encoding(self.encoding)


_KEPT_OPTIONS = (
    "format", "columns", "delimiter", "encoding", "multiline", "header_row", "sheet", "skip_hidden",
)  # fmt: skip
"""What a journal keeps of how its list is read."""


def read_rules(text: str) -> NumberRules:
    """Return how the numbers of a list were read, of what `Reading.to_json` has kept; each by itself, whatever most
    of them are. Raises `ValueError` for what is damaged."""
    kept = json.loads(text)
    names = ("region", "first_number", "international", "numbers")
    rules = NumberRules(**{name: kept[name] for name in names if name in kept})
    return attrs.evolve(rules, international=True) if rules.region is None else rules


def _check_encoding(name: str) -> None:
    try:
        known = "x".encode(name).decode(name) == "x"
    except (LookupError, ValueError, TypeError):
        known = False
    if not known:
        raise ConfigurationError(f"{name!r} is no encoding of text; name one such as cp1251 or utf-16")


def detect_format(name: str, reading: Reading) -> str:
    """Return the format of the file `name`. Raises `ConfigurationError`."""
    known = sorted(set(FORMATS.values()))
    found = reading.format or FORMATS.get(Path(strip_compression(name)).suffix.lower())
    if found not in known:
        raise ConfigurationError(f"{name}: the format cannot be told by the name; give one of {', '.join(known)}")
    return found
