"""JSON Lines: both lanes make the same rows."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calls_async.upload.rows.contacts import encode_object
from calls_async.upload.rows.numbers import CHECKED
from calls_async.upload.rows.row import EncodedRow, EncodedRows, Row
from calls_async.upload.sources import text as lines
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from tests.helpers.lanes import PHONES, SETTINGS, TEXTS, assert_same, rows_of

JSON_VALUES = st.one_of(
    TEXTS,
    st.text(alphabet='ab, "{}:é', max_size=8),
    st.sampled_from(
        [0, 5, -3, 10**17, 10**18, 10**19, 2**70, True, None, 1.5, 1e3, [], [1], {"a": 1}, '","b":"', "a,", '"']
    ),
)


@st.composite
def json_files(draw: st.DrawFn) -> bytes:
    names = draw(
        st.lists(st.sampled_from(["gmtZone", "dialerPriority", "name", "city é", "a_b c", 'a"b']), unique=True)
    )
    names.insert(draw(st.integers(0, len(names))), "phone")
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", ":")]))
    kinds = {name: draw(st.sampled_from([TEXTS, st.integers(-5, 10**18), JSON_VALUES])) for name in names}
    kinds["gmtZone"] = SETTINGS["gmtZone"]
    kinds["dialerPriority"] = draw(st.sampled_from([st.integers(0, 9), st.sampled_from(["1", "x", ""])]))
    kinds["phone"] = draw(st.sampled_from([PHONES, st.integers(10**7, 10**16)]))
    inside = set(draw(st.lists(st.sampled_from(names)))) if draw(st.booleans()) else set()
    parent, is_first = draw(st.sampled_from(["payload", "payload", "payload", "data", "a:b"])), draw(st.booleans())
    lines = []
    for _ in range(draw(st.integers(0, 10))):
        row = {name: draw(JSON_VALUES if draw(st.integers(0, 30)) == 0 else kinds[name]) for name in names}
        match draw(st.integers(0, 25)):
            case 0:
                row = dict(reversed(row.items()))
            case 1:
                row.pop(draw(st.sampled_from(names)))
            case 2:
                row["more"] = "x"
        if inside:
            inner = {parent: {name: value for name, value in row.items() if name in inside}}
            outer = {name: value for name, value in row.items() if name not in inside}
            row = {**inner, **outer} if is_first else {**outer, **inner}
        line = json.dumps(row, ensure_ascii=draw(st.integers(0, 9)) == 0, separators=separators)
        match draw(st.integers(0, 25)):
            case 0:
                line = ""
            case 1:
                line = f" {line}"
            case 2:
                line += draw(st.sampled_from([" ", "\t", "x", "}", ',"b":"c"}']))
            case 3:
                line = draw(st.sampled_from(["   ", "null", "[]", "{}", '"', line[: len(line) // 2]]))
        lines.append(line)
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    data = (end.join(lines) + draw(st.sampled_from(["", end]))).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0 and data:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw(st.sampled_from([b"\xff", b"\x01", b'"', b",", b"\\", b"\n"])) + data[place:]
    return data


@given(data=json_files(), block_bytes=st.sampled_from([1, 64, 2**19]), skip=st.integers(0, 10))
@example(data=b'{"phone":"16500000000"}\n   \n{"phone":"16500000001"}', block_bytes=64, skip=0)
@example(data='{"phone":"16500000001","n":"a"}\n{"abcd":"é","n":"b"}\n'.encode(), block_bytes=2**19, skip=0)
@example(
    data=b'{"phone":"16500000000","a":"b"}\n{"phone":"16500000000","a":"}\n{"phone":"16500000000","a":"""}',
    block_bytes=2**19,
    skip=0,
)
@example(data=b'{"phone":"16500000000","phone":"16500000001"}\n', block_bytes=64, skip=0)
@example(
    data=b'{"phone":"16500000000"}\n\xef\xbb\xbf\n{"phone":"16500000001"}\n{"phone":"16500000002"}\n',
    block_bytes=2**19,
    skip=2,
)
def test_json_lines(data: bytes, block_bytes: int, skip: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block_bytes)
        assert_same(data, format="jsonl", columns={"city é": "maxAttempts"})
        whole, ending = rows_of(data, format="jsonl")
        assert rows_of(data, format="jsonl", skip=skip) == (whole[skip:], ending)


@pytest.mark.parametrize("with_payload", [False, True])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_columnar_lane_is_used_for_json_lines(
    monkeypatch: pytest.MonkeyPatch, separators: tuple[str, str], with_payload: bool
) -> None:
    def by_rows(*_: object) -> Row:
        raise AssertionError

    monkeypatch.setattr("calls_async.upload.sources.json_rows.encode_object", by_rows)
    rows = [
        {"phone": "16500000000", "name": "é, b", "age": 5, "gmtZone": "Z"},
        {"phone": "16500000001", "name": "", "age": 0, "gmtZone": "-05:00"},
    ]
    sent = [
        {"phone": row["phone"], "payload": {"name": row["name"], "age": row["age"]}, "gmtZone": row["gmtZone"]}
        for row in rows
    ]
    written = sent if with_payload else rows
    lines_of = (json.dumps(row, ensure_ascii=False, separators=separators) + "\n" for row in written)
    data = "".join(lines_of).encode()
    (run,) = [run for batch in read_batches("list", io.BytesIO(data), Reading(format="jsonl")) for run in batch.runs]
    assert isinstance(run, EncodedRows)
    assert [json.loads(row.body) for row in run if isinstance(row, EncodedRow)] == sent


@given(data=json_files())
@example(data=b'{"phone":"16500000000","dialerPriority":1}\n{"phone":"16500000000","dialerPriority":true}\n')
@example(data=b'{"phone":"16500000000","dialerPriority":99999999999999999999,"a":1e16}\n')
def test_objects_are_encoded_as_any_objects(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        quick = rows_of(data, format="jsonl", columnar=False)
        patch.setattr(
            "calls_async.upload.rows.fast_rows.QuickObjects.encode",
            lambda self, row, fields: encode_object(row, fields, self._mapped, CHECKED),
        )
        assert rows_of(data, format="jsonl", columnar=False) == quick
