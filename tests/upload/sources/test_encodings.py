"""The encoding of a file is found out from all of it, before anything is sent."""

from __future__ import annotations

import io
from typing import Any

import pytest

from calls_async import SourceError
from calls_async.upload.rows.row import UnsentRow, each_row
from calls_async.upload.sources import encodings
from calls_async.upload.sources.encodings import find_encoding
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from tests.helpers.sources import contacts_of

NAMES = ["Анна", "Пётр", "Мария", "Олег"]
LIST = "phone,имя,город\n" + "".join(f"7916000000{n},{name},Москва\n" for n, name in enumerate(NAMES))


def read(data: bytes, **reading: Any) -> tuple[list[Any], list[str]]:
    told: list[str] = []
    batches = read_batches("list.csv", io.BytesIO(data), Reading(format="csv", on_hint=told.append, **reading))
    return [row for batch in batches for row in each_row(batch.runs)], told


@pytest.mark.parametrize("block_bytes", [50, 2**20])
def test_another_encoding_is_found_out_and_said(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_BLOCK_BYTES", block_bytes)
    rows, told = read(LIST.encode("cp1251"))
    assert [contact["payload"]["имя"] for contact in contacts_of(rows)] == NAMES
    assert told == ["list.csv: is no UTF-8, and is read as cp1251, which fits it best; --encoding says otherwise"]


def test_a_list_of_which_the_beginning_is_ascii() -> None:
    data = ("phone,name\n" + "79160000000,Anna\n" * 100_000).encode() + "79160000001,Пётр и Мария\n".encode(
        "cp1251"
    ) * 9
    rows, told = read(data)
    assert not any(isinstance(row, UnsentRow) for row in rows)
    assert len(told) == 1


def test_a_few_bad_bytes_reject_their_lines() -> None:
    rows, told = read(LIST.encode() + b"79160000009,\xcf\xff,x\n")
    assert [row.row for row in rows if isinstance(row, UnsentRow)] == [5]
    assert told == []


def test_an_encoding_that_is_given_is_taken() -> None:
    rows, told = read(LIST.encode("cp1251"), encoding="cp1251")
    assert len(contacts_of(rows)) == 4
    assert told == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_is_unicode_stays(encoding: str) -> None:
    assert find_encoding("list", io.BytesIO(LIST.encode(encoding))) is None


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def read_from_pipe(data: bytes) -> list[Any]:
    batches = read_batches("a pipe", Pipe(data), Reading(format="csv"))
    return [row for batch in batches for row in each_row(batch.runs)]


@pytest.mark.parametrize("block_bytes", [7, 2**19])
def test_a_pipe_of_another_encoding_stops_with_the_cure(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calls_async.upload.sources.text.BLOCK_BYTES", block_bytes)
    with pytest.raises(SourceError, match="a pipe: is not UTF-8; name its encoding, such as --encoding cp1251"):
        read_from_pipe(LIST.encode("cp1251"))
    with pytest.raises(SourceError, match="is not UTF-8"):
        read_from_pipe(b"phone,name\n16500000001,a\n16500000002,\xcf\xff")
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert len(contacts_of(read_from_pipe(LIST.encode(encoding)))) == 4
    rows = read_from_pipe(LIST.encode() + b"79160000009,\xcf\xff,x\n")
    assert [row.row for row in rows if isinstance(row, UnsentRow)] == [5]


def test_what_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(128, 256)) * 3
    monkeypatch.setattr("charset_normalizer.api.IANA_SUPPORTED", ["ascii"])
    monkeypatch.setattr("charset_normalizer.api.IANA_SUPPORTED_MB_FIRST", ["ascii"], raising=False)
    with pytest.raises(SourceError, match="its encoding cannot be told"):
        find_encoding("list", io.BytesIO(data))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("ИВАН;ПЕТРОВ;МАРИЯ", "cp1251"),
        ("Ч 0;Анна", "cp1251"),
        ("Олександр Шевченко", "cp1251"),
        ("Анна Иванова", "koi8-r"),
        ("Анна Иванова", "cp866"),
        ("ИВАН ПЕТРОВ", "cp866"),
    ],
)
def test_a_few_russian_names_are_enough(text: str, encoding: str) -> None:
    data = f"phone;имя\n79160000000;{text}\n".encode(encoding)
    assert find_encoding("list", io.BytesIO(data)) == encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Γιώργος Παπαδόπουλος", "cp1253"),
        ("דוד כהן שרה לוי", "cp1255"),
        ("Jürgen Müller, Köln", "cp1252"),
        ("Şükrü Çağlar", "cp1254"),
        ("Łukasz Żółć", "cp1250"),
        ("田中太郎 鈴木花子", "cp932"),
        ("王小明 李华", "gbk"),
        ("김철수 이영희", "cp949"),
    ],
)
def test_other_languages_are_not_taken_for_russian(text: str, encoding: str) -> None:
    assert encodings._find_russian(text.encode(encoding)) is None
