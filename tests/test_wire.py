"""What goes over the wire: addresses, headers, bodies, and the key on each attempt."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from calls_async import (
    AccessError,
    CallsClient,
    Campaign,
    CampaignStatus,
    ConfigurationError,
    Contact,
    ContactError,
    NoAnswerError,
    RefusedError,
)
from calls_async.protocol.endpoints import Response
from calls_async.transport.redaction import shown_body
from tests.conftest import TOKEN, Wire

JAICP = f"https://app.jaicp.com/api/calls/campaign/{TOKEN}"
CRM = f"https://app.jaicp.com/api/crmCalls/campaign/{TOKEN}"
CONTACTS: list[Contact | dict[str, Any]] = [
    Contact(phone="16500000000", payload={"name": "Alex"}),
    {"phone": 16500000001},
]
BODY = b'[{"phone":"16500000000","payload":{"name":"Alex"}},{"phone":"16500000001"}]'

Call = Callable[[Campaign], Awaitable[Any]]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("tovie", "https://platform.tovie.ai"),  # C-HOST-1
        ("dialogstudio", "https://ds.tovie.ai"),  # C-HOST-2
        ("jaicp", "https://app.jaicp.com"),  # C-HOST-3
        ("aimylogic", "https://app.aimylogic.com"),  # C-HOST-4
        ("https://calls.example.com/some/prefix/", "https://calls.example.com/some/prefix"),  # C-HOST-5
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),  # C-HOST-5
        ("http://localhost:8080/x", "http://localhost:8080/x"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
async def test_addresses(wire: Wire, host: str, address: str) -> None:
    wire.get(f"{address}/api/calls/campaign/{TOKEN}/status", body="paused")
    async with CallsClient(host) as client:
        assert await client.campaign(TOKEN).status() is CampaignStatus.PAUSED


@pytest.mark.parametrize(
    "host",
    ["nowhere", "", "ftp://x.example", "https://", "https://u:p@x.example", "https://x.example?a=1", "http://x.example",
     "http://127.0.0.1.example.com", "https://x.example:port"],
)  # fmt: skip
def test_addresses_that_cannot_work(host: str) -> None:  # C-M-18: plain http would show the token
    with pytest.raises(ConfigurationError):
        CallsClient(host)


def test_plain_http_needs_a_word() -> None:
    assert CallsClient("http://x.example", allow_plain_http=True).base_url == "http://x.example"


async def test_add_phones(wire: Wire, jaicp: CallsClient) -> None:  # C-M-1, C-M-16, C-M-17, C-IDEM-3
    wire.post(f"{JAICP}/addPhones", payload=["5665334669", 12345])
    assert await jaicp.campaign(TOKEN).add_phones(CONTACTS) == ["5665334669", "12345"]
    ((method, _, sent),) = wire.sent
    assert (method, sent["data"]) == ("POST", BODY)
    assert sent["headers"]["Content-Type"] == "application/json"
    assert UUID(sent["headers"]["Idempotence-Key"]).version == 4  # C-IDEM-5
    assert sent["allow_redirects"] is False


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408, 425])
async def test_each_attempt_is_the_same(wire: Wire, jaicp: CallsClient, status: int) -> None:
    # C-IDEM-1, C-IDEM-2: another key would be another request
    wire.post(f"{JAICP}/addPhones", status=status, body="<html>no</html>", repeat=2)
    wire.post(f"{JAICP}/addPhones", body="not json")
    wire.post(f"{JAICP}/addPhones", payload={"ids": []})
    wire.post(f"{JAICP}/addPhones", payload=["1", "2"])
    await jaicp.campaign(TOKEN).add_phones(CONTACTS)
    assert len(wire.sent) == 5
    assert {sent["data"] for _, _, sent in wire.sent} == {BODY}
    assert len({sent["headers"]["Idempotence-Key"] for _, _, sent in wire.sent}) == 1


async def test_two_calls_have_two_keys(wire: Wire, jaicp: CallsClient) -> None:  # C-IDEM-2
    wire.post(f"{JAICP}/addPhones", payload=["1", "2"], repeat=True)
    campaign = jaicp.campaign(TOKEN)
    await campaign.add_phones(CONTACTS)
    await campaign.add_phones(CONTACTS)
    assert len({sent["headers"]["Idempotence-Key"] for _, _, sent in wire.sent}) == 2


async def test_a_given_key_is_used(wire: Wire, jaicp: CallsClient) -> None:  # C-IDEM-5
    key = uuid4()
    wire.post(f"{JAICP}/addPhones", payload=["1", "2"], repeat=True)
    for given in (key, "d5f41bd4"):
        await jaicp.campaign(TOKEN).add_phones(CONTACTS, idempotence_key=given)
    assert [sent["headers"]["Idempotence-Key"] for _, _, sent in wire.sent] == [str(key), "d5f41bd4"]
    for wrong in ("", "a\nb", "é"):
        with pytest.raises(ConfigurationError, match="idempotence_key"):
            await jaicp.campaign(TOKEN).add_phones(CONTACTS, idempotence_key=wrong)


@pytest.mark.parametrize("answer", ["5665334669", '"5665334669"', " 5665334669\n"])
async def test_add_phone_by_get(wire: Wire, jaicp: CallsClient, answer: str) -> None:
    # C-M-2, C-M-15, C-IDEM-4, C-CRM-1
    url = (
        f"{CRM}/addPhone?phone=16500000000&gmtZone=-05:00&name=Alex%20%26%20Co&tags=%5B1%5D&Idempotence-Key=d5f41bd4"
    )
    wire.get(url, body=answer)
    job = await jaicp.campaign(TOKEN).add_phone(
        "+1 650 000 0000",
        gmt_zone="-05:00",
        payload={"name": "Alex & Co", "tags": [1]},
        method="GET",
        idempotence_key="d5f41bd4",
    )
    assert job == "5665334669"
    ((_, _, sent),) = wire.sent
    assert "Idempotence-Key" not in sent["headers"]


async def test_add_phone_by_post(wire: Wire, jaicp: CallsClient) -> None:  # C-M-3, C-IDEM-3, C-CRM-1
    wire.post(f"{CRM}/addPhone?phone=16500000000&name=Alex", body="7")
    await jaicp.campaign(TOKEN).add_phone(16500000000, payload={"name": "Alex"}, idempotence_key="d5f41bd4")
    ((_, _, sent),) = wire.sent
    assert sent["headers"]["Idempotence-Key"] == "d5f41bd4"
    assert sent["data"] is None


async def test_add_test_phone(wire: Wire, jaicp: CallsClient) -> None:  # C-M-4, C-M-14
    wire.get(f"{CRM}/test/addPhone?phone=16500000000&Idempotence-Key=k", body='"7"')
    assert await jaicp.campaign(TOKEN).add_test_phone("16500000000", idempotence_key="k") == "7"


async def test_a_payload_that_would_be_a_parameter(jaicp: CallsClient) -> None:  # C-CRM-1
    for name in ("phone", "gmtZone", "Idempotence-Key"):
        with pytest.raises(ContactError, match="payload"):
            await jaicp.campaign(TOKEN).add_phone("16500000000", payload={name: "x"})


@pytest.mark.parametrize(
    ("path", "call", "answer", "expected"),
    [
        ("callJob/cancel", lambda c: c.cancel(ids=["1"], phones=["+16500000000"]), [1, "2"], ["1", "2"]),  # C-M-5
        ("callJob/getReport", lambda c: c.job_report(ids=[1], phones=[16500000000]), [], []),  # C-M-6, C-REP-1
        ("callAttempt/getReport", lambda c: c.attempt_report(ids=[1], phones=["16500000000"]), [], []),  # C-M-7
    ],
)
async def test_jobs(wire: Wire, jaicp: CallsClient, path: str, call: Call, answer: Any, expected: Any) -> None:
    wire.post(f"{JAICP}/{path}", payload=answer)
    assert await call(jaicp.campaign(TOKEN)) == expected
    ((_, _, sent),) = wire.sent
    assert json.loads(sent["data"]) == {"phones": ["16500000000"], "ids": ["1"]}
    assert UUID(sent["headers"]["Idempotence-Key"]).version == 4  # C-IDEM-3


async def test_no_jobs_and_a_string_instead_of_a_list(jaicp: CallsClient) -> None:
    for call in (jaicp.campaign(TOKEN).cancel(), jaicp.campaign(TOKEN).job_report(ids="5665334669")):
        with pytest.raises(ConfigurationError):
            await call


async def test_the_campaign(wire: Wire, jaicp: CallsClient) -> None:  # C-M-8, C-M-9, C-M-15
    wire.get(JAICP, payload={"id": 5, "shortReport": {"totalNumbers": 3}})
    wire.get(f"{JAICP}/status", body='"inProcess"')
    campaign = jaicp.campaign(TOKEN)
    info = await campaign.info()
    assert info.short_report is not None
    assert (info.id, info.short_report.total_numbers) == ("5", 3)
    assert await campaign.status() is CampaignStatus.IN_PROCESS


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("pause", lambda campaign: campaign.pause()),  # C-M-10
        ("resume", lambda campaign: campaign.resume()),  # C-M-11
        ("stop", lambda campaign: campaign.stop()),  # C-M-12
    ],
)
@pytest.mark.parametrize(("status", "body"), [(200, ""), (204, ""), (202, '{"ok": true}'), (200, "<html>")])
async def test_control(wire: Wire, jaicp: CallsClient, verb: str, call: Call, status: int, body: str) -> None:
    wire.post(f"{JAICP}/control/{verb}", status=status, body=body)
    assert await call(jaicp.campaign(TOKEN)) is None
    ((_, _, sent),) = wire.sent
    assert sent["headers"]["Idempotence-Key"]


@pytest.mark.parametrize("status", [400, 402, 405, 409, 413, 422])
async def test_a_refusal_is_not_repeated(wire: Wire, jaicp: CallsClient, status: int) -> None:  # C-ERR-1
    wire.post(f"{JAICP}/addPhones", status=status, body=f'{{"error": "bad", "path": "{TOKEN}"}}')
    with pytest.raises(RefusedError) as caught:
        await jaicp.campaign(TOKEN).add_phones(CONTACTS)
    error = caught.value
    assert (error.status, error.body) == (status, '{"error": "bad", "path": "{token}"}')
    assert error.path == "/api/calls/campaign/{token}/addPhones"
    assert len(wire.sent) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 301, 302, 307, 308])
async def test_wrong_token_or_wrong_host(wire: Wire, jaicp: CallsClient, status: int) -> None:  # C-M-18
    wire.post(f"{JAICP}/addPhones", status=status, headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(AccessError) as caught:
        await jaicp.campaign(TOKEN).add_phones(CONTACTS)
    assert caught.value.status == status
    assert len(wire.sent) == 1


async def test_the_body_of_an_error_is_bounded(wire: Wire, jaicp: CallsClient) -> None:  # C-ERR-1
    wire.post(f"{JAICP}/addPhones", status=400, body="x" * 100_000)
    with pytest.raises(RefusedError) as caught:
        await jaicp.campaign(TOKEN).add_phones(CONTACTS)
    assert len(str(caught.value)) < 1000


async def test_a_key_in_progress_is_waited_for(wire: Wire, jaicp: CallsClient) -> None:  # C-IDEM-1
    wire.post(f"{JAICP}/addPhones", status=409, body="request with this key is in progress")
    wire.post(f"{JAICP}/addPhones", status=500)
    wire.post(f"{JAICP}/addPhones", status=409, body="")
    wire.post(f"{JAICP}/addPhones", payload=["1", "2"])
    assert await jaicp.campaign(TOKEN).add_phones(CONTACTS) == ["1", "2"]
    assert len({sent["headers"]["Idempotence-Key"] for _, _, sent in wire.sent}) == 1


async def test_giving_up_names_the_key(wire: Wire, jaicp: CallsClient) -> None:
    wire.post(f"{JAICP}/addPhones", status=500, body="oops", repeat=True)
    with pytest.raises(NoAnswerError) as caught:
        await jaicp.campaign(TOKEN).add_phones(CONTACTS, idempotence_key="my-key")
    error = caught.value
    assert (error.idempotence_key, error.attempts, error.status, error.body) == ("my-key", 6, 500, "oops")
    assert len(wire.sent) == 6


async def test_contacts_are_checked_before_anything_is_sent(wire: Wire, jaicp: CallsClient) -> None:
    with pytest.raises(ContactError) as caught:
        await jaicp.campaign(TOKEN).add_phones([{"phone": "16500000000"}, {"phone": "16500000001", "gmtZone": "x"}])
    assert (caught.value.row, caught.value.field) == (2, "gmtZone")
    assert str(caught.value).startswith("row 2, gmtZone: ")
    assert not wire.sent


@pytest.mark.parametrize("status", [400, 403, 409, 413])
async def test_a_refusal_after_a_lost_answer_is_no_certain_answer(
    wire: Wire, jaicp: CallsClient, status: int
) -> None:  # C-IDEM-1
    wire.post(f"{JAICP}/addPhones", status=502)
    wire.post(f"{JAICP}/addPhones", status=status, body="duplicate")
    with pytest.raises(NoAnswerError) as caught:
        await jaicp.campaign(TOKEN).add_phones(CONTACTS)
    assert (caught.value.refused, caught.value.status) == (True, status)
    wire.post(f"{JAICP}/callJob/cancel", status=502)
    wire.post(f"{JAICP}/callJob/cancel", status=status, body="duplicate")
    with pytest.raises(RefusedError):
        await jaicp.campaign(TOKEN).cancel(ids=["1"])  # cancelling twice harms nobody


@pytest.mark.parametrize("answer", ["in work", '"В работе"', "brandNew"])
async def test_a_status_that_no_page_names(wire: Wire, jaicp: CallsClient, answer: str) -> None:  # C-CAM-3, C-M-15
    wire.get(f"{JAICP}/status", body=answer)
    assert await jaicp.campaign(TOKEN).status() == answer.strip('"')


@pytest.mark.parametrize("answer", ["null", "true", "ERROR", "<b>1</b>", ""])
async def test_a_word_that_is_no_id(wire: Wire, jaicp: CallsClient, answer: str) -> None:  # C-M-15
    wire.post(f"{CRM}/addPhone?phone=16500000000", body=answer)
    wire.post(f"{CRM}/addPhone?phone=16500000000", body="17")
    assert await jaicp.campaign(TOKEN).add_phone("16500000000") == "17"


@pytest.mark.parametrize(
    "answer", ["<html>Welcome</html>", "", "null", "[1.5]", '["a b"]', '[""]', "5", "[", '[["1"]]']
)
async def test_an_answer_that_is_no_list_of_ids(wire: Wire, jaicp: CallsClient, answer: str) -> None:  # C-M-17
    wire.post(f"{JAICP}/addPhones", body=answer)
    wire.post(f"{JAICP}/addPhones", body="[9007199254740993, 123456789012345678901234567890]")
    ids = await jaicp.campaign(TOKEN).add_phones(CONTACTS)
    assert ids == ["9007199254740993", "123456789012345678901234567890"]


@pytest.mark.parametrize("token", [" ", "", None, "a\nb", "secret\udce9"])
def test_a_token_that_is_none(token: Any) -> None:  # C-M-18
    with pytest.raises(ConfigurationError, match="token") as caught:
        CallsClient("jaicp").campaign(token)
    assert "secret" not in repr(caught.value)


def test_a_token_that_fills_the_servers_error() -> None:  # C-M-18
    token = "0123456789abcdefghijklmnopqrstuvwxyz.x"
    body = b"x" * 25 + (token.encode() + b" ") * 200
    shown = shown_body(Response(status=400, body=body), token)
    assert token[:20] not in shown
    assert shown


async def test_a_client_that_is_not_open() -> None:
    with pytest.raises(ConfigurationError, match="async with"):
        await CallsClient("jaicp").campaign(TOKEN).info()
