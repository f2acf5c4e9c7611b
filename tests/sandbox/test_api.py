"""The sandbox by itself, as a client of any language sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import Contact, ContactError
from calls_async.sandbox.api import Call
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import Account, DuplicateRule
from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.checks import check_contact
from calls_async.sandbox.model.clock import LAST_MOMENT, Clock
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.schedules import tables


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(
    http: aiohttp.ClientSession, method: str, url: str, body: Any = None, key: str | None = None
) -> tuple[int, str]:
    headers = {} if key is None else {"Idempotence-Key": key}
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
    async with http.request(method, url, data=data, headers=headers) as response:
        return response.status, await response.text()


async def test_it_remembers_as_many_requests_as_it_is_told_to(http: aiohttp.ClientSession) -> None:
    async with Sandbox(keep_calls=2) as sandbox:
        for verb in ("status", "status", ""):
            await ask(http, "GET", f"{sandbox.url}/api/calls/campaign/{sandbox.token}/{verb}".rstrip("/"))
        assert [call.path.endswith("status") for call in sandbox.calls] == [True, False]


async def test_the_twelve_methods(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    calls, crm = (f"{sandbox.url}/api/{kind}/campaign/{sandbox.token}" for kind in ("calls", "crmCalls"))
    one = "phone=16500000000&name=Al"
    assert await ask(http, "POST", f"{calls}/addPhones", [{"phone": 16500000001}]) == (200, '["5665330001"]')  # C-M-1
    assert await ask(http, "GET", f"{crm}/addPhone?{one}&n=1") == (200, "5665330002")  # C-M-2
    assert await ask(http, "POST", f"{crm}/addPhone?{one}&n=2") == (200, "5665330003")  # C-M-3
    assert await ask(http, "GET", f"{crm}/test/addPhone?{one}&n=1") == (200, "5665330004")  # C-M-4, C-DUP-3
    assert await ask(http, "GET", f"{calls}/addPhone?{one}&n=3&Idempotence-Key=d5f41bd4") == (
        200,
        "5665330005",
    )  # C-M-13
    assert sandbox.contacts[1] == {"phone": "16500000000", "payload": {"name": "Al", "n": "1"}}  # C-CRM-1
    both = {"phones": ["16500000001"], "ids": ["5665330002", "nobody's"]}
    _, text = await ask(http, "POST", f"{calls}/callJob/getReport", both)  # C-M-6, C-REP-1
    assert [job["callJobId"] for job in json.loads(text)] == ["5665330001", "5665330002"]
    assert set(json.loads(text)[0]) == {  # C-REP-3
        "attemptsCount", "callDuration", "callJobId", "createdAt", "finishedAt", "jobStatus", "phone", "redialNumber",
        "reportData", "tagName", "tagPayload",
    }  # fmt: skip
    assert await ask(http, "POST", f"{calls}/callAttempt/getReport", both) == (200, "[]")  # C-M-7
    assert await ask(http, "POST", f"{calls}/callJob/cancel", both) == (200, '["5665330001", "5665330002"]')  # C-M-5
    assert await ask(http, "POST", f"{calls}/callJob/cancel", both) == (200, "[]")  # C-CAN-1
    _status, text = await ask(http, "GET", calls)  # C-M-8
    info = json.loads(text)
    assert set(info) == {  # C-CAM-1
        "id", "name", "projectName", "creationDate", "botId", "status", "shortReport", "startTime", "endTime",
        "maxSimultaneousCalls",
    }  # fmt: skip
    assert set(info["shortReport"]) == {  # C-CAM-2
        "totalNumbers", "processedNumbers", "usedTalkingTime", "usedAsrSeconds", "inProcessCalls", "retryCalls",
    }  # fmt: skip
    for verb, then in [("pause", "paused"), ("resume", "inProcess"), ("stop", "finished")]:  # C-M-10, C-M-11, C-M-12
        assert (await ask(http, "POST", f"{calls}/control/{verb}"))[0] == 200
        assert await ask(http, "GET", f"{calls}/status") == (200, then)  # C-M-9, C-CAM-3


async def test_the_curl_examples_of_the_seeds(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    calls = f"{sandbox.url}/api/calls/campaign/{sandbox.token}"
    for phone, job in [("16123456789", "5665330001"), ("16500000000", "5665330002"), ("79123456789", "5665330003")]:
        # The key is the same in all of them, and the contact in each pair: so it is the same request (C-IDEM-1).
        get = f"{calls}/addPhone?phone={phone}&Idempotence-Key=d5f41bd4"  # C-IDEM-4, C-M-13
        post = (f"{calls}/addPhones", b'[\n{\n"phone": %b\n}\n]' % phone.encode(), "d5f41bd4")  # C-IDEM-3
        for _ in range(2):
            assert await ask(http, "GET", get) == (200, job)
            assert await ask(http, "POST", *post) == (200, f'["{job}"]')
    assert {conflict.key for conflict in sandbox.key_conflicts} == {"d5f41bd4"}  # C-IDEM-8: but it is flagged
    example = {
        "phone": 16500000000,
        "payload": {"name": "Alex", "age": 34},
        "allowedTime": {
            "mon": [
                {"localTimeFrom": "10:00", "localTimeTo": "11:30"},
                {"localTimeFrom": "13:00", "localTimeTo": "14:30"},
            ],
            "default": [{"localTimeFrom": "10:00", "localTimeTo": "18:00"}],
        },
        "retryIntervalInMinutes": 120,
        "maxAttempts": 0,
        "gmtZone": "-05:00",
    }
    assert await ask(http, "POST", f"{calls}/addPhones", [example]) == (200, '["5665330004"]')


async def test_keys(http: aiohttp.ClientSession) -> None:
    async with Sandbox(tokens=["a", "b"], duplicates=DuplicateRule.OFF) as sandbox:
        a, b = (f"{sandbox.url}/api/calls/campaign/{token}/addPhones" for token in "ab")
        contact, other = [{"phone": 16500000001}], [{"phone": 16500000002}]
        first = await ask(http, "POST", a, contact, "k")
        assert await ask(http, "POST", a, contact, "k") == first  # C-IDEM-1
        assert await ask(http, "POST", a, contact, "l") != first  # C-IDEM-2
        assert await ask(http, "POST", a, contact) != first  # C-IDEM-2
        assert len(sandbox.jobs) == 3
        for url, body in [(a, other), (b, contact)]:  # C-IDEM-8, C-IDEM-6
            assert (await ask(http, "POST", url, body, "k"))[0] == 200
        assert [conflict.key for conflict in sandbox.key_conflicts] == ["k", "k"]
        sandbox.advance(hours=23.9)
        assert await ask(http, "POST", a, contact, "k") == first
        sandbox.advance(hours=0.2)  # a day after the first use, not after the last
        assert await ask(http, "POST", a, contact, "k") != first  # C-IDEM-7


async def test_duplicates_are_ignored(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:  # C-DUP-1
    url = f"{sandbox.url}/api/calls/campaign/{sandbox.token}/addPhones"
    same = {"phone": "16500000000", "payload": {"a": 1, "b": 2}, "maxAttempts": 1}
    body = [
        same,
        same | {"payload": {"b": 2, "a": 1}, "phone": 16500000000},
        same | {"maxAttempts": 2},
        same | {"payload": 1},
    ]
    assert await ask(http, "POST", url, body) == (200, '["5665330001", "5665330002", "5665330003"]')
    sandbox.advance(hours=23.9)
    assert await ask(http, "POST", url, [same]) == (200, "[]")
    sandbox.advance(hours=0.2)
    assert await ask(http, "POST", url, [same]) == (200, '["5665330004"]')


async def test_duplicates_are_errors(http: aiohttp.ClientSession) -> None:  # C-DUP-2
    async with Sandbox(duplicates=DuplicateRule.ERROR) as sandbox:
        url = f"{sandbox.url}/api/calls/campaign/{sandbox.token}/addPhones"
        assert (await ask(http, "POST", url, [{"phone": "16500000000"}], "k"))[0] == 200
        assert (await ask(http, "POST", url, [{"phone": "16500000000"}], "k"))[0] == 200
        status, text = await ask(
            http, "POST", url, [{"phone": "16500000001"}, {"phone": 16500000000, "maxAttempts": 2}]
        )
        assert (status, "duplicate" in text) == (400, True)
        assert len(sandbox.jobs) == 1
        assert (await ask(http, "POST", url, [{"phone": "16500000000", "payload": 1}]))[0] == 200
        test = f"{sandbox.url}/api/crmCalls/campaign/{sandbox.token}/test/addPhone?phone=16500000000"
        assert (await ask(http, "GET", test))[0] == 200  # C-DUP-3
        sandbox.advance(hours=24.1)
        assert (await ask(http, "POST", url, [{"phone": "16500000000"}]))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "addPhones", b"{", 400),
        ("POST", "addPhones", {}, 400),
        ("POST", "addPhones", [{}], 400),
        ("POST", "addPhones", [{"phone": "x"}], 400),
        ("POST", "addPhones", [{"phone": "16500000000", "allowedTime": {"mon": [{"localTimeFrom": "10:00"}]}}], 400),
        ("GET", "addPhones", None, 405),
        ("POST", "callJob/getReport", [], 400),
        ("POST", "callJob/cancel", {"ids": 1}, 400),
        ("POST", "nothing", None, 404),
    ],
)
async def test_errors(
    sandbox: Sandbox, http: aiohttp.ClientSession, method: str, path: str, body: Any, status: int
) -> None:
    url = f"{sandbox.url}/api/calls/campaign/{sandbox.token}/{path}"
    assert (await ask(http, method, url, body))[0] == status
    assert sandbox.jobs == []


async def test_a_wrong_token(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:  # C-M-18
    assert (await ask(http, "GET", f"{sandbox.url}/api/calls/campaign/other/status"))[0] == 404


async def test_the_forms_of_answers(http: aiohttp.ClientSession) -> None:  # C-M-15, C-M-17
    async with Sandbox(quoted=True, numeric_ids=True) as sandbox:
        calls = f"{sandbox.url}/api/calls/campaign/{sandbox.token}"
        assert await ask(http, "POST", f"{calls}/addPhones", [{"phone": 16500000001}]) == (200, "[5665330001]")
        assert await ask(http, "GET", f"{calls}/status") == (200, '"inProcess"')


@pytest.mark.parametrize("kind", ["429-seconds", "429-date"])
async def test_retry_after(sandbox: Sandbox, http: aiohttp.ClientSession, kind: str) -> None:
    sandbox.fail_next(kind)
    async with http.get(f"{sandbox.url}/api/calls/campaign/{sandbox.token}/status") as response:
        assert response.status == 429
        assert response.headers["Retry-After"].endswith("GMT") is (kind == "429-date")


def test_the_same_seed_gives_the_same_faults() -> None:
    def draws(seed: int) -> list[FaultKind | None]:
        faults = Faults(shares={FaultKind.RESET_AFTER: 0.2, FaultKind.UNAVAILABLE: 0.1}, seed=seed)
        return [faults.draw() for _ in range(1000)]

    assert draws(1) == draws(1) != draws(2)
    assert 150 < draws(1).count(FaultKind.RESET_AFTER) < 250
    assert 60 < draws(1).count(FaultKind.UNAVAILABLE) < 140
    for wrong in ({"reset-after": 1.1}, {"no-such": 0.1}, {"503": -0.1}):
        with pytest.raises(ValueError):
            Faults(shares=wrong)  # type: ignore[arg-type]


@given(tables, st.sampled_from([None, ["mon"], ["mon", "tue"], ["sun", "mon"]]))
def test_two_readings_of_the_schedule_agree(times: Mapping[str, Any], days: list[str] | None) -> None:
    # C-TIME-4, C-TIME-5, C-TIME-6: the sandbox shares no code with the client
    fields = {"phone": "16500000000", "allowedTime": times} | ({} if days is None else {"allowedDays": days})
    try:
        Contact.from_mapping(fields)
    except ContactError:
        assert check_contact(fields) is not None
    else:
        assert check_contact(fields) is None


@given(st.from_regex(r"(UTC|GMT|UT)?[+-][0-9:]{1,8}|Z|[A-Z][a-z]+/[A-Z][a-z]+", fullmatch=True))
def test_two_readings_of_zones_agree(zone: str) -> None:  # C-ZONE-1
    fields = {"phone": "16500000000", "gmtZone": zone}
    try:
        Contact.from_mapping(fields)
    except ContactError:
        assert check_contact(fields) is not None
    else:
        assert check_contact(fields) is None


async def test_a_clock_that_is_moved() -> None:
    clock = Clock(lambda: 100.0)
    clock.advance(hours=1, seconds=1)
    assert clock() == 3701


async def test_the_same_key_names_the_same_job_for_its_whole_day() -> None:  # C-IDEM-1, C-IDEM-7, C-DUP-1
    sandbox = Sandbox(clock=Clock(lambda: 1_800_000_000.0))

    def add(key: str | None) -> str:
        query = {"phone": "16500000001", **({} if key is None else {"Idempotence-Key": key})}
        path = f"/api/crmCalls/campaign/{sandbox.token}/addPhone"
        reply, _ = sandbox.take(Call(method="GET", path=path, query=query))
        assert reply is not None
        assert reply.status == 200
        return reply.body.decode()

    first = add(None)
    sandbox.advance(hours=23)
    assert add("k") == first
    sandbox.advance(hours=2)
    assert add("k") == first  # although the job is no duplicate's any more
    assert add("other") != first
    assert add("k") == first


def test_what_is_no_json_is_refused() -> None:
    sandbox = Sandbox()
    path = f"/api/calls/campaign/{sandbox.token}/addPhones"
    for text in ("NaN", "Infinity", "-Infinity"):
        body = b'[{"phone": "16500000001", "payload": {"n": %b}}]' % text.encode()
        reply, _ = sandbox.take(Call(method="POST", path=path, body=body))
        assert reply is not None
        assert reply.status == 400


async def test_a_body_that_is_too_large_is_told_and_noted(http: aiohttp.ClientSession) -> None:  # C-M-16
    async with Sandbox(max_request_bytes=1000) as sandbox:
        url = f"{sandbox.url}/api/calls/campaign/{sandbox.token}/addPhones"
        assert await ask(http, "POST", url, b"x" * 1001) == (413, '{"error": "too large"}')
        assert [entry.status for entry in sandbox.requests.entries] == [413]


IMPOSSIBLE = [
    {"startDateTime": "2026-02-30T09:00:00Z"},
    {"finishDateTime": "2026-03-01T25:00:00Z"},
    {"startDateTime": "2026-03-01T09:00:00+99:99"},
    {"retryIntervalInMinutes": 10**12},
    {"retryIntervalInMinutes": 10**400},
    {"maxAttempts": 10**9},
]


@pytest.mark.parametrize("settings", IMPOSSIBLE, ids=str)
async def test_one_impossible_contact_refuses_the_whole_request(settings: Mapping[str, Any]) -> None:  # C-F-3, C-F-8
    sandbox = Sandbox(behaviour=Behaviour())
    contacts = [{"phone": "16500000001"}, {"phone": "16500000002", **settings}, {"phone": "16500000003"}]
    path = f"/api/calls/campaign/{sandbox.token}/addPhones"
    reply, _ = sandbox.take(Call(method="POST", path=path, body=json.dumps(contacts).encode()))
    assert reply is not None
    assert (reply.status, b"[1]: " in reply.body, sandbox.jobs) == (400, True, [])


def test_the_last_day_of_calendars() -> None:
    now = 1_800_000_000.0
    sandbox = Sandbox(behaviour=Behaviour(), clock=Clock(lambda: now))
    days = {"allowedDays": ["mon", "sun"], "gmtZone": "Europe/Berlin"}
    contacts = [
        {"phone": "16500009900", "finishDateTime": "9999-12-31T23:59:59-12:00", **days},
        {"phone": "16500009901", "startDateTime": "9999-12-31T00:00:00Z", **days},
        {"phone": "16500009901", "startDateTime": "0001-01-01T00:00:00+12:00", **days},
    ]
    path = f"/api/calls/campaign/{sandbox.token}/addPhones"
    reply, _ = sandbox.take(Call(method="POST", path=path, body=json.dumps(contacts).encode()))
    assert reply is not None
    assert reply.status == 200
    sandbox.advance(hours=24 * 365)
    assert [job.status for job in sandbox.jobs] == ["longCallWithResult", "planned", "noAnswer"]
    with pytest.raises(ValueError, match="year 3000"):
        sandbox.advance(hours=1e9)
    sandbox.clock.run_at(1e6)
    now += 1e9
    assert sandbox.clock() == LAST_MOMENT
    assert sandbox.jobs[1].status == "planned"


async def test_a_body_that_is_nested_too_deep() -> None:
    sandbox = Sandbox()
    path = f"/api/calls/campaign/{sandbox.token}/addPhones"
    for depth in (500, 900, 990, 100_000):
        body = b'[{"phone": "16500000001", "payload": ' + b"[" * depth + b"]" * depth + b"}]"
        reply, _ = sandbox.take(Call(method="POST", path=path, body=body))
        assert reply is not None
        assert reply.status in (200, 400)


def test_keys_are_forgotten_after_their_day() -> None:  # C-IDEM-7
    account = Account(Clock(lambda: 1_800_000_000.0))
    for number in range(100):
        account.remember(f"{number}", b"", number)
        account.clock.advance(hours=1)
        account.remember("again and again", b"%d" % number, number)
    assert len(account._keys) == 24
    assert (account.knows("75"), account.knows("76"), account.knows("77")) == (False, False, True)
    assert account.answer_to("99", b"") == 99
    assert account.key_conflicts == []
    assert account.answer_to("again and again", b"0") is None
    assert len(account.key_conflicts) == 1


def test_unknown_paths_meet_no_fault() -> None:
    sandbox = Sandbox()
    sandbox.fail_next("503")
    for path, status in [("/typo", 404), (f"/api/calls/campaign/{sandbox.token}", 503)]:
        reply, _ = sandbox.take(Call(method="GET", path=path))
        assert reply is not None
        assert reply.status == status


# --- room and speed ---

HOLD = """
import json, resource, sys
from calls_async.sandbox.model.account import Account
from calls_async.sandbox.api import Api, Call
from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.clock import Clock

account = Account(Clock(), behaviour=Behaviour())
account.set_up("t")
api = Api(account, keep_calls=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for first in range(0, 500_000, 500):
    contacts = [{"phone": str(16500000000 + first + n), "payload": {"name": f"Alex {n}"}} for n in range(500)]
    body = json.dumps(contacts).encode()
    headers = {"idempotence-key": str(first)}
    call = Call(method="POST", path="/api/calls/campaign/t/addPhones", headers=headers, body=body)
    assert api.handle(call).status == 200
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 500_000)
"""


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, memory is counted in other units")
def test_five_million_jobs_take_two_gigabytes_at_most() -> None:
    done = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2 * 2**30 / 5_000_000


async def test_many_jobs_of_one_number(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    # C-DUP-1: each content once, also where there are so many that they are not looked through.
    url = f"{sandbox.url}/api/calls/campaign/{sandbox.token}/addPhones"
    contacts = [{"phone": "16500000000", "payload": {"n": n % 40}, "maxAttempts": n % 2} for n in range(160)]
    _, text = await ask(http, "POST", url, contacts)
    assert len(json.loads(text)) == 40
    assert await ask(http, "POST", url, contacts) == (200, "[]")
    sandbox.advance(hours=25)
    _, text = await ask(http, "POST", url, contacts)
    assert len(json.loads(text)) == 40
    assert {job.settings["maxAttempts"] for job in sandbox.jobs if job.payload["n"] % 2} == {1}
    assert len({id(job.settings) for job in sandbox.jobs}) == 2
