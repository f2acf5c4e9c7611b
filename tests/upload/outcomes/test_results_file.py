"""Results files: what is written is read again, in both formats."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import CallsError, ConfigurationError, Outcome, OutcomeStatus, Receipt, SourceError
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.outcomes.results_file import RESULTS_FORMATS, ResultsFile, read_results
from calls_async.upload.rows.row import UnsentRow

STATUSES = st.sampled_from(OutcomeStatus)
WORDS = st.sampled_from(['a "word", and another', "phone: no", '},{"row":7', 'x"},{"row":', "\\", "}]\n", "ошибка"])


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    """Any receipt: all accepted or not, with and without IDs, with rows that were not sent between the others."""
    count = draw(st.integers(0, 6))
    sent = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    rows = [row for row, one in enumerate(sent, start=1) if one]
    same = draw(st.booleans())
    statuses = [OutcomeStatus.ACCEPTED if same else draw(STATUSES) for _ in rows]
    with_ids = draw(st.booleans())
    return Receipt(
        chunk=1,
        first_row=1,
        last_row=count,
        rows=rows,
        phones=[str(16500000000 + row) for row in rows],
        verdict=Verdict(
            statuses=statuses,
            job_ids=[str(100 + row) if with_ids and draw(st.booleans()) | same else None for row in rows],
            errors=[None if same else draw(st.one_of(st.none(), WORDS)) for _ in rows],
        ),
        unsent=[
            UnsentRow(row, draw(st.sampled_from([None, "12", '"},{"row":'])), OutcomeStatus.REJECTED, draw(WORDS))
            for row, one in enumerate(sent, start=1)
            if not one
        ],
    )


@pytest.mark.parametrize("suffix", RESULTS_FORMATS)
@given(some=st.lists(receipts(), max_size=3))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, some: list[Receipt]
) -> None:
    path = tmp_path_factory.mktemp("results") / f"results{suffix}"

    async def write() -> None:
        file = ResultsFile(str(path))
        await file.add(some)
        await file.finish()

    asyncio.run(write())
    outcomes = [outcome for receipt in some for outcome in receipt.outcomes()]
    read = [outcome for found in read_results(path) for outcome in found]
    assert read == [Outcome(one.row, one.phone, one.status, one.job_id) for one in outcomes]
    if suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["error"] for line in lines] == [one.error for one in outcomes]
        assert all(list(line) == ["row", "phone", "status", "job_id", "error"] for line in lines)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"row": 1}\n'),
        ("a.jsonl", "[]\n"),
        ("a.jsonl", "no\n"),
        ("a.csv", "row,phone\n1,2\n"),
        ("a.csv", "row,phone,status,job_id,error\n1,2,odd,,\n"),
    ],
)
def test_what_is_none(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SourceError, match="record 1"):
        list(read_results(path))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_as_a_spreadsheet_saves_it(tmp_path: Path, delimiter: str, end: str) -> None:
    lines = ["row,phone,status,job_id,error", "1.0,16500000001.0,accepted,5665330001.0,", "2,,rejected,,x", ",,,,"]
    text = end.join(lines).replace(",", delimiter)
    path = tmp_path / "a.csv"
    path.write_bytes(f"\ufeff{text}{end}".encode())
    assert [one for some in read_results(path) for one in some] == [
        Outcome(1, "16500000001", OutcomeStatus.ACCEPTED, "5665330001"),
        Outcome(2, None, OutcomeStatus.REJECTED, None),
    ]


@pytest.mark.parametrize("spoilt", ["5.66533E+09", "5,66533E+09"])
def test_digits_that_a_spreadsheet_has_lost(tmp_path: Path, spoilt: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"row;phone;status;job_id;error\n1;16500000001;accepted;{spoilt};\n")
    with pytest.raises(SourceError, match="all their digits"):
        list(read_results(path))


def test_what_was_read_before_a_wrong_line_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"row": 1, "phone": "1", "status": "accepted", "job_id": "7", "error": null}\nno\n')
    lists = read_results(path)
    assert next(lists) == [Outcome(1, "1", OutcomeStatus.ACCEPTED, "7")]
    with pytest.raises(SourceError, match="record 2"):
        next(lists)


def test_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.jsonl, \.csv, \.xlsx"):
        ResultsFile("results.xml")
    with pytest.raises(ConfigurationError, match="itself"):
        ResultsFile(str(tmp_path / "a.csv"), str(tmp_path / "a.csv"))
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_results(tmp_path / "none.jsonl"))


async def test_a_disk_that_fails(tmp_path: Path) -> None:
    file = ResultsFile(str(tmp_path / "no folder" / "a.csv"))
    with pytest.raises(CallsError, match="cannot be written"):
        await file.finish()


async def test_a_new_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    file = ResultsFile(str(path))
    await file.finish()
    assert path.stat().st_mode & 0o777 == 0o600


def receipt_of(rows: list[int]) -> Receipt:
    verdict, phones = Verdict.accepted([str(100 + row) for row in rows]), [str(16500000000 + row) for row in rows]
    return Receipt(chunk=1, first_row=rows[0], last_row=rows[-1], rows=rows, phones=phones, verdict=verdict)


async def test_a_workbook_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "out.xlsx"
    receipts = [receipt_of([1, 2, 3]), receipt_of([4, 5])]
    results = ResultsFile(str(path))
    await results.add(receipts[:1])
    await results.close()
    assert [one.row for some in read_results(path) for one in some] == [1, 2, 3]
    await results.add(receipts[1:])  # what came after the progress had ended
    await results.finish()
    read_back = [one for some in read_results(path) for one in some]
    assert read_back == [one for receipt in receipts for one in receipt.outcomes()]
    (tmp_path / "broken.xlsx").write_bytes(b"PK")
    with pytest.raises(SourceError, match="is not a line of a results file"):
        list(read_results(tmp_path / "broken.xlsx"))
