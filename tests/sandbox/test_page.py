"""The sandbox's page as programs see it: what it tells, what it hides, and whom it lets change anything."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from calls_async.sandbox.page import view
from calls_async.sandbox.request_log import KEPT_KEYS, KEPT_REQUESTS, KEPT_TROUBLES, RequestLog
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.dialing import HOUR, MARCH
from tests.helpers.guide import SHELL
from tests.helpers.page import PARTS, Held
from tests.helpers.sandboxes import call

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}"


# --- what it tells ---


async def test_numbers_are_masked_until_somebody_asks(held: Held) -> None:
    first, second = await held.add(16501234567, 16507654321, payload={"secret": "Zoë"})
    for part in PARTS:
        _, text = await held.get(part)
        assert not re.search("1650|Zoë", text), part
    _, text = await held.get("sandbox/jobs")
    assert re.findall(">(•+[0-9]+)<", text) == ["•••••••4321", "•••••••4567"]
    _, text = await held.get(f"sandbox/jobs?shown={first}")
    assert ("16501234567" in text, "16507654321" in text, "Zoë" in text) == (True, False, False)
    _, text = await held.get(f"sandbox/jobs?opened={second}")
    assert ("1650" in text, "Zoë" in text) == (False, True)


async def test_jobs_by_status_and_number(held: Held) -> None:
    ids = await held.add(*range(16500009900, 16500009904))
    shown = "&".join(f"shown={job_id}" for job_id in ids)

    async def listed(query: str) -> list[str]:
        _, text = await held.get(f"sandbox/jobs?{query}")
        return re.findall(r'id="job-(\d+)"', text)

    assert set(await listed("status=inProcess")) == set(ids)
    held.sandbox.advance(hours=0.1)
    assert await listed("status=longCallWithResult") == [ids[0]]
    assert await listed("status=onRetry") == [ids[1]]
    assert set(await listed("")) == set(ids)
    assert await listed("phone=9902") == [ids[2]]
    assert await listed("phone=%2B1+(650)+000-9903") == [ids[3]]
    assert await listed("phone=777") == []
    assert await listed("phone=zzz") == []
    several = await held.add(12345, 1234567, key="k2")
    assert await listed("phone=12345") == several
    assert await listed(f"held={ids[2]}&held={ids[0]}&status=onRetry") == [ids[2], ids[0]]
    assert await listed("status=onRetry&phone=99") == [ids[1]]
    assert set(await listed(f"status=canceled&{shown}")) == set(ids)  # those somebody looks at stay
    assert await listed("shown=5665339999&shown=x&campaign=nobody's&status=none") != []
    _, text = await held.get(f"sandbox/jobs?opened={ids[0]}")
    assert "longCallWithResult, talked for" in text


async def test_a_status_shows_its_jobs_although_others_have_left_it(held: Held) -> None:
    held.sandbox.take(call("/control/pause"))
    ids = await held.add(*range(16500000000, 16500000400))
    held.sandbox.take(call("/callJob/cancel", {"ids": ids[200:]}))
    _, text = await held.get("sandbox/jobs?status=planned")
    assert re.findall(r'id="job-(\d+)"', text) == ids[200 - view.SHOWN_JOBS : 200][::-1]
    _, text = await held.get("sandbox/jobs?status=canceled")
    assert re.findall(r'id="job-(\d+)"', text) == ids[-view.SHOWN_JOBS :][::-1]


async def test_a_large_payload_is_cut(held: Held) -> None:
    payload = {"n": [["<"] * 100] * 1000}
    for _ in range(900):
        payload = {"n": payload}  # type: ignore[dict-item]
    (job_id,) = await held.add(16500000000, payload=payload)
    _, text = await held.get(f"sandbox/jobs?opened={job_id}")
    assert (len(text) < 60_000, "…</pre>" in text) == (True, True)


async def test_requests_show_what_came_again(held: Held) -> None:  # C-IDEM-1, C-IDEM-2, C-IDEM-8
    held.sandbox.fail_next("503")
    for phone, key in [(1, "k1"), (1, "k1"), (2, "k2"), (1, "k1"), (3, "k2"), (4, None)]:
        path = "api/calls/campaign/a/addPhones"
        await held.post(path, [{"phone": 16500000000 + phone}], **({"Idempotence-Key": key} if key else {}))
    log = held.sandbox.requests
    assert [(one.repeats, one.conflict, one.without_key, one.status, one.created_jobs) for one in log.entries] == [
        (None, False, False, 503, 0),
        (1, False, False, 200, 1),
        (None, False, False, 200, 1),
        (1, False, False, 200, 0),
        (3, True, False, 200, 1),
        (None, False, True, 200, 1),
    ]
    _, text = await held.get("sandbox/requests")
    assert text.count("repeats #1") == 2
    assert (text.count("another content"), text.count("no key")) == (1, 1)
    _, text = await held.get("sandbox/requests?only_troubles=on")
    assert re.findall(r'id="request-(\d)" class="red"', text) == ["6", "5"]
    _, text = await held.get("sandbox/requests?key=k1")
    assert re.findall(r'id="request-(\d)"', text) == ["4", "2", "1"]
    _, text = await held.get("sandbox/overview")
    assert "1 request with a key that had come with another content" in text
    assert "1 request added contacts without a key" in text


async def test_only_keys_that_were_used_are_repeated(held: Held) -> None:  # C-IDEM-7
    sandbox = held.sandbox

    def add(phone: str, fault: str | None = None) -> int | None:
        if fault is not None:
            sandbox.fail_next(fault)
        sandbox.take(call("/addPhones", [{"phone": phone}], "k"))
        return sandbox.requests.entries[-1].repeats

    assert add("none") is None
    assert add("none") is None  # refused: nothing was used
    assert add("16500000001", "503") is None
    assert add("16500000001", "reset-after") == 3
    assert add("16500000001") == 3
    sandbox.advance(hours=25)
    assert add("16500000001") is None
    assert add("16500000001") == 6


async def test_requests_that_need_no_key_are_not_in_red(held: Held) -> None:
    for path in ("/status", ""):
        held.sandbox.take(call(path, method="GET"))
    held.sandbox.take(call("/callJob/getReport", {"ids": []}))
    held.sandbox.take(call("/control/pause"))
    held.sandbox.take(call("/addPhones", [{"phone": "not"}]))  # nothing was added
    held.sandbox.take(call("/addPhones", [{"phone": 16500000000}], token="nobody's"))
    held.sandbox.take(call("/addPhones", method="DELETE"))
    assert held.sandbox.requests.without_key == 0
    _, text = await held.get("sandbox/overview")
    assert 'id="warnings"' not in text


async def test_every_way_to_add_without_a_key_is_in_red(held: Held) -> None:  # C-IDEM-4
    for verb in ("addPhone", "test/addPhone"):
        assert (await held.get(f"api/crmCalls/campaign/a/{verb}?phone=16500000001"))[0] == 200
    held.sandbox.fail_next("reset-before")
    held.sandbox.take(call("/addPhones", [{"phone": 16500000002}]))
    held.sandbox.fail_next("503")
    held.sandbox.take(call("/addPhones", [{"phone": 16500000002}]))
    assert [one.without_key for one in held.sandbox.requests.entries] == [True] * 4


def test_the_log_is_bounded() -> None:
    log = RequestLog()
    for number in range(KEPT_REQUESTS + 10):
        one = call("/addPhones", [], f"{number}" * 1000)
        log.note(one, at=MARCH, status=200, fault=None, created_jobs=0, conflict=False, again=False)
    assert (len(log.entries), log.total, len(log.entries[-1].key or "")) == (KEPT_REQUESTS, KEPT_REQUESTS + 10, 200)
    for number in range(KEPT_KEYS):
        one = call("/addPhones", [], f"{number}")
        log.note(one, at=MARCH, status=200, fault=None, created_jobs=0, conflict=True, again=False)
    assert (len(log.troubles), len(log._first)) == (KEPT_TROUBLES, KEPT_KEYS)


async def test_what_clients_send_is_text(held: Held) -> None:
    held.sandbox.account.set_up("a", name=HOSTILE)
    (job_id,) = await held.add(16500000001, key="k", payload={HOSTILE: HOSTILE})
    await held.add(16500000002, key="k")
    for key, verb in [("x", HOSTILE), (HOSTILE, "addPhones")]:
        held.sandbox.take(call(f"/{verb}", [{"phone": "1"}], key))
        held.sandbox.take(call(f"/{verb}", method=HOSTILE))
    for part in [
        *PARTS,
        f"sandbox/jobs?opened={job_id}&shown={job_id}",
        f"?phone={HOSTILE}&key={HOSTILE}&campaign={HOSTILE}",
    ]:
        _, text = await held.get(part)
        assert "<img" not in text, part
        assert "49" not in re.findall("onerror=alert.1.(.{60})", html.unescape(text)), part
    _, text = await held.get(f"sandbox/jobs?opened={job_id}")
    assert html.escape(HOSTILE.split('"', maxsplit=1)[0]) in text


async def test_halves_of_characters(held: Held) -> None:
    (job_id,) = await held.add(16500000001, payload={"name": "half \ud800"})
    for contact in (2, 3):
        held.sandbox.take(call("/addPhones", [{"phone": 16500000000 + contact}], "half \udcff"))
    for part in [*PARTS, f"sandbox/jobs?opened={job_id}", "sandbox/summary"]:
        assert (await held.get(part))[0] == 200
    assert len(held.sandbox.key_conflicts) == 1


async def test_its_answers_let_nothing_else_in(held: Held) -> None:
    for part in [*PARTS, "sandbox/summary", "sandbox/static/htmx.min.js"]:
        async with held.http.get(f"{held.sandbox.url}/{part}") as response:
            assert response.status == 200
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Frame-Options"] == "DENY"
    assert (await held.get("sandbox/static/..%2froutes.py"))[0] == 404
    assert (await held.get("sandbox/static/page.py"))[0] == 404


async def test_everything_that_the_page_names_is_in_the_package(held: Held) -> None:
    _, text = await held.get("")
    named = re.findall(r'(?:src|href)="(/[^"]+)"', text)
    assert len(named) >= 4
    for path in named:
        assert (await held.get(path.removeprefix("/")))[0] == 200
    assert not re.search(r'(?:src|href)="(?!/|data:,")', text)  # nothing from elsewhere
    folder = files("calls_async.sandbox.page").joinpath("static")
    licences = folder.joinpath("LICENSES.txt").read_text()
    for path in Path(str(folder)).glob("*.min.js"):
        assert path.name in licences


# --- changes ---


async def test_switches(held: Held) -> None:
    async def change(path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        status, text = await held.post(f"sandbox/{path}", fields)
        assert status == 200, text
        return json.loads(text)  # type: ignore[no-any-return]

    await held.add(16500009900)
    told = await change("clock", {"step_seconds": HOUR, "speed": 0})
    assert (told["time_seconds"], told["speed"]) == (MARCH + HOUR, 0)
    assert told["campaigns"][0]["jobs_by_status"] == {"longCallWithResult": 1}
    told = await change("campaigns", {"name": "B", "lines": 3})
    assert [(one["name"], one["lines"]) for one in told["campaigns"]] == [("Sandbox campaign 1", 10), ("B", 3)]
    made_up = told["campaigns"][1]["token"]
    assert (await change("campaigns", {"token": "a", "lines": 2}))["campaigns"][0]["lines"] == 2
    for action, status in [("pause", "paused"), ("resume", "inProcess"), ("stop", "finished")]:
        assert (await change("control", {"token": made_up, "action": action}))["campaigns"][1]["status"] == status
    await change("faults", {"503": 0.25, "reset-after": "0.5"})
    assert dict(held.sandbox.faults.shares) == {"503": 0.25, "reset-after": 0.5}
    await change("faults", {"503": 1, "reset-after": 0})
    assert dict(held.sandbox.faults.shares) == {"503": 1.0}
    await change("faults", {"503": 0})
    await change("faults/next", {"kind": "500-after", "times": 2})
    assert [(await held.get("api/calls/campaign/a"))[0] for _ in range(3)] == [500, 500, 200]
    assert json.loads((await held.get("sandbox/summary"))[1])["requests"] == 4


@pytest.mark.parametrize(
    ("path", "fields", "says"),
    [
        ("clock", {"step_seconds": -1, "speed": 0}, "forward"),
        ("clock", {"step_seconds": 60, "speed": -1}, "the speed of a clock"),
        ("clock", {"step_seconds": 1e12}, "year 3000"),
        ("clock", {"speed": 1e300}, "the speed of a clock"),
        ("clock", {"\ud800": 1}, "is not known"),
        ("campaigns", {"lines": 10**400}, "lines must be a number"),
        ("campaigns", {"lines": 1e30}, "lines must be 1 to 1000000"),
        ("campaigns", {"token": "a", "new": "yes"}, "there is a campaign with the token a"),
        ("clock", {"speed": "fast"}, "speed must be a number, not 'fast'"),
        ("clock", {"speed": "nan"}, "speed"),
        ("clock", {"seconds": 1}, "seconds is not known; the fields are speed, step_seconds"),
        ("clock", [], "object"),
        ("campaigns", {"token": "a/b"}, "cannot be a token"),
        ("campaigns", {"token": 5}, "token must be text"),
        ("campaigns", {"name": "x" * 101}, "100 characters"),
        ("campaigns", {"name": "half \ud800"}, "cannot be seen"),
        ("campaigns", {"lines": 0}, "lines must be 1 to 1000000, not 0"),
        ("campaigns", {"lines": 1.5}, "lines must be a whole number, not 1.5"),
        ("control", {"token": "b", "action": "stop"}, "no campaign has the token b"),
        ("control", {"token": "a", "action": "explode"}, "action must be one of"),
        ("faults", {"teapot": 1}, "no kind of fault"),
        ("faults", {"503": 0.7, "reset-after": 0.7}, "together 1 at most"),
        ("faults", {"503": "nan"}, "0 or more"),
        ("faults/next", {"kind": "503", "times": 10**9}, "times must be"),
        ("faults/next", {}, "no kind of fault"),
    ],
)
async def test_a_change_that_cannot_be_changes_nothing(held: Held, path: str, fields: Any, says: str) -> None:
    before = await held.get("sandbox/summary")
    status, text = await held.post(f"sandbox/{path}", fields)
    assert (status, says in json.loads(text)["error"]) == (400, True), text
    assert (await held.get("sandbox/summary"), held.sandbox.faults.shares) == (before, {})


async def test_without_javascript_forms_lead_back_to_the_page(held: Held) -> None:
    assert (await held.post("sandbox/clock", "step_seconds=60"))[0] == 303
    assert (await held.post("sandbox/clock", "step_seconds=60", **{"HX-Request": "true"}))[0] == 204
    assert held.sandbox.clock() == MARCH + 120


async def test_the_readmes_requests(held: Held) -> None:
    (block,) = (block for block in SHELL if "/sandbox/clock" in block)
    for line in block.strip().splitlines():
        command = shlex.split(line)
        sent = {
            name: value for option, text in pairwise(command) if option == "-H" for name, value in [text.split(": ")]
        }
        url = command[-1].replace("http://127.0.0.1:8765", held.sandbox.url).replace("8231.7056.sandbox", "a")
        async with held.http.post(url, data=command[command.index("-d") + 1], headers=sent) as response:
            assert response.status == 200
            text = await response.text()
    assert json.loads(text)["campaigns"][0]["jobs_by_status"] == {"longCallWithResult": 1}


async def test_what_programs_can_ask(held: Held) -> None:
    ids = await held.add(16500009900, 16500009901, payload={"n": [1]}, maxAttempts=2)
    assert json.loads((await held.get("sandbox/contacts?token=a"))[1])[1] == {
        "callJobId": ids[1], "jobStatus": "inProcess", "phone": "16500009901", "payload": {"n": [1]},
        "maxAttempts": 2,
    }  # fmt: skip
    assert (await held.get("sandbox/contacts?token=b"))[0] == 404
    (entry,) = json.loads((await held.get("sandbox/log"))[1])
    assert entry == {
        "number": 1, "at_seconds": MARCH, "method": "POST", "token": "a", "verb": "addPhones", "key": "k",
        "status": 200, "fault": None, "created_jobs": 2, "repeats": None, "conflict": False, "without_key": False,
    }  # fmt: skip
    for path in ("sandbox/contacts?token=a", "sandbox/log"):
        assert (await held.get(path, Host="evil.example"))[0] == 403


async def test_forms_that_are_none(held: Held) -> None:
    for sent, says in [
        ('{"step_seconds": 60}', "send it with Content-Type: application/json"),
        ("a", "a is not known"),
    ]:
        assert says in (await held.post("sandbox/clock", sent))[1]
    for kind in ("application/x-www-form-urlencoded; charset=foo", "multipart/form-data; boundary=x"):
        assert (await held.post("sandbox/clock", "--x\r\nfoo", **{"Content-Type": kind}))[0] == 400


async def test_no_change_is_confirmed_that_is_not_on_disk(tmp_path: Path) -> None:
    async with Sandbox(state=tmp_path / "s.db") as sandbox, aiohttp.ClientSession() as http:
        assert sandbox._state is not None
        sandbox._state._db.execute("PRAGMA query_only = 1")
        status, text = await Held(sandbox, http).post("sandbox/clock", {"step_seconds": 60})
        assert (status, json.loads(text)) == (503, {"error": "the state cannot be written"})
        sandbox._state._db.execute("PRAGMA query_only = 0")
