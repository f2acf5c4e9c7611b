"""Reports, with what no page names."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import AttemptReport, CampaignInfo, CampaignStatus, JobReport, JobStatus, ShortReport
from calls_async.protocol.reports import to_dict, to_report

SEEN = {
    "attemptsCount": 0,
    "callDuration": 0,
    "callJobId": "5665336642",
    "createdAt": 1691006924166,
    "finishedAt": None,
    "jobStatus": "planned",
    "phone": "79885851900",
    "redialNumber": None,
    "reportData": None,
    "tagName": None,
    "tagPayload": None,
}


def test_a_job_report_as_seen() -> None:  # C-REP-3
    report = to_report(JobReport, SEEN)
    assert report == JobReport(
        attempts_count=0,
        call_duration=0,
        call_job_id="5665336642",
        created_at=1691006924166,
        job_status=JobStatus.PLANNED,
        phone="79885851900",
    )
    assert "79885851900" not in repr(report)


def test_the_fields_of_the_pages() -> None:  # C-REP-2
    fields = {"startedAt": 1, "finishedAt": 2, "callDuration": 3, "callResult": "x", "reportData": {"a": 1}}
    report = to_report(AttemptReport, fields)
    assert (report.started_at, report.finished_at, report.call_duration) == (1, 2, 3)
    assert (report.call_result, report.report_data, report.job_status) == ("x", {"a": 1}, None)


@given(st.dictionaries(st.text().map("x{}".format), st.none() | st.integers() | st.text() | st.lists(st.integers())))
def test_unknown_fields_are_kept_and_missing_ones_are_absent(fields: dict[str, object]) -> None:  # C-REP-4
    reports: list[JobReport | AttemptReport | CampaignInfo] = [
        to_report(JobReport, fields),
        to_report(AttemptReport, fields),
        to_report(CampaignInfo, fields),
    ]
    for report in reports:
        known = {name: value for name, value in to_dict(report).items() if name not in report.extra}
        assert dict(report.extra) | known == {n: v for n, v in fields.items() if v is not None or n in report.extra}


@pytest.mark.parametrize("status", [*JobStatus, "brandNew"])
def test_every_status_survives(status: str) -> None:  # C-REP-5
    report = to_report(JobReport, {"jobStatus": str(status)})
    assert report.job_status == status
    assert isinstance(report.job_status, JobStatus)
    assert str(report.job_status) == str(status)
    assert pickle.loads(pickle.dumps(report)) == report
    assert to_dict(report) == {"jobStatus": str(status)}


def test_a_campaign() -> None:  # C-CAM-1, C-CAM-2, C-CAM-3
    fields = {
        "id": 7, "name": "n", "projectName": "p", "creationDate": 1, "botId": "b", "status": "inProcess",
        "shortReport": {
            "totalNumbers": 9, "processedNumbers": 8, "usedTalkingTime": 7, "usedAsrSeconds": 6.5,
            "inProcessCalls": 5, "retryCalls": 4, "novel": 3,
        },
        "startTime": 2, "endTime": 3, "maxSimultaneousCalls": 10,
    }  # fmt: skip
    info = to_report(CampaignInfo, fields)
    assert info.id == "7"
    assert info.status is CampaignStatus.IN_PROCESS
    assert info.short_report == ShortReport(
        total_numbers=9, processed_numbers=8, used_talking_time=7, used_asr_seconds=6.5, in_process_calls=5,
        retry_calls=4, extra={"novel": 3},
    )  # fmt: skip
    assert to_dict(info) == fields | {"id": "7"}
    odd = to_report(CampaignInfo, {"status": "resting", "shortReport": "soon"})
    assert to_dict(odd) == {"status": "resting", "shortReport": "soon"}


def test_ids_keep_every_digit() -> None:  # C-M-17
    big = 2**63 + 1
    report = to_report(JobReport, {"callJobId": big, "phone": 79885851900})
    assert (report.call_job_id, report.phone) == (str(big), "79885851900")
