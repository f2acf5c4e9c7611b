"""JSON as people have it: arrays, other names, other encodings, keys that are there twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import SourceError
from calls_async.upload.rows.row import EncodedRow
from calls_async.upload.sources import text as blocks
from tests.helpers.sources import contacts_of, reasons, rows_of

CONTACTS = [{"phone": f"1650000000{n}", "payload": {"n": n, "name": 'Zoë, "x" [1]'}} for n in range(4)]


@pytest.mark.parametrize("block_bytes", [1, 7, 2**19])
@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_array_is_a_list(
    indent: int | None, ascii_only: bool, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    text = json.dumps(CONTACTS, indent=indent, ensure_ascii=ascii_only)
    for before, behind in (("", ""), ("\ufeff\n ", "\n\n")):
        rows = rows_of((before + text + behind).encode(), format="jsonl")
        assert contacts_of(rows) == CONTACTS
        assert [row.row for row in rows] == [1, 2, 3, 4]


def test_an_array_of_nothing() -> None:
    assert rows_of(b"[]\n", format="jsonl") == rows_of(b"[ \n ]", format="jsonl") == []


def test_a_bad_element_costs_no_other() -> None:
    rows = rows_of(b'[{"phone":"16500000001"}, 5, {"phone":"x"}, {"phone":"16500000002","phone":"16500000003"}]',
                   format="jsonl")  # fmt: skip
    assert {row: reason.split(": ")[0] for row, reason in reasons(rows).items()} == {2: "row", 3: "phone", 4: "row"}
    assert "the key 'phone' more than once" in reasons(rows)[4]


@pytest.mark.parametrize(
    "broken", ['[{"phone":"16500000001"}', '[{"phone":"16500000001"},', '[{"phone":"16500000001"} x]']
)
def test_an_array_that_is_cut_off(broken: str) -> None:
    with pytest.raises(SourceError, match="behind element 1: is no JSON array"):
        rows_of(broken.encode(), format="jsonl")


def test_text_behind_an_array() -> None:
    with pytest.raises(SourceError, match="goes on behind its JSON array"):
        rows_of(b'[{"phone":"16500000001"}] {"phone":"16500000002"}', format="jsonl")


@pytest.mark.parametrize(
    "line",
    [
        '{"phone":"16500000001","phone":"16500000002"}',
        '{"phone":"16500000001","payload":{"a":1,"b":2,"a":3}}',
        '{"phone" : "16500000001", "x" : 1, "x" : 1}',
    ],
)
@pytest.mark.parametrize("columnar", [True, False])
def test_a_key_that_is_there_twice(line: str, columnar: bool) -> None:
    good = '{"phone":"16500000003","note":"\\"a\\": 1"}'
    rows = rows_of(f"{good}\n{line}\n{good}\n".encode(), format="jsonl", columnar=columnar)
    assert list(reasons(rows)) == [2]
    assert "more than once" in reasons(rows)[2]


def test_a_field_of_numbers_of_another_name() -> None:
    told: list[str] = []
    lines = '{"Phone":"16500000001","id":1}\n{"Phone":"16500000002","id":2}\n'
    for text in (lines, "[" + ",".join(lines.split()) + "]"):
        rows = rows_of(text.encode(), format="jsonl", on_hint=told.append)
        assert [row.phone for row in rows] == ["16500000001", "16500000002"]
    assert told == ["field 'Phone' is read as phone"] * 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_encodings(encoding: str) -> None:
    text = '{"phone":"16500000001","имя":"Анна"}\n' * 3
    assert len(contacts_of(rows_of(text.encode(encoding), format="jsonl"))) == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_cyrillic_header_in_utf_16(encoding: str) -> None:
    text = "Имя клиента,Телефон\r\nАнна,16500000001\r\n"
    assert [row.phone for row in rows_of(text.encode(encoding))] == ["16500000001"]


@given(st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers() | st.none(), max_size=3)))
def test_any_array(payloads: list[dict[str, Any]]) -> None:
    contacts = [{"phone": "16500000001", "payload": payload} for payload in payloads if payload]
    rows = rows_of(json.dumps(contacts).encode(), format="jsonl")
    assert all(isinstance(row, EncodedRow) for row in rows)
    assert contacts_of(rows) == contacts
