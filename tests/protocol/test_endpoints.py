"""An answer's IDs, looked at as a whole, are what looking at each of them gives."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calls_async import AccessError, CallsClient, Campaign, CampaignStatus, ConfigurationError, ContactError
from calls_async.protocol import endpoints
from calls_async.protocol.endpoints import Response, UnreadableAnswer, read_ids
from tests.helpers.servers import TOKEN
from tests.helpers.wire import CONTACTS, JAICP, Wire

WORDS = st.one_of(
    st.text(alphabet="abcXYZ0189_.:+/=-", max_size=8),
    st.text(alphabet='a1", []\\', max_size=6),
    st.sampled_from(["x" * 200, "x" * 201, "5665334669"]),
    st.integers(),
    st.none(),
    st.lists(st.just("1"), max_size=1),
)


def read(body: bytes) -> list[str] | None:
    try:
        return read_ids(Response(status=200, body=body))
    except UnreadableAnswer:
        return None


@given(
    words=st.lists(WORDS, max_size=6),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,", ":")]),
    around=st.sampled_from(["", "\n", " ", "x"]),
)
@example(words=["a, b", "c"], separators=(",", ":"), around="")
@example(words=["a b"], separators=(",", ":"), around="")
@example(words=[""], separators=(",", ":"), around="")
def test_ids_are_read_alike(words: list[object], separators: tuple[str, str], around: str) -> None:
    # C-M-17
    body = (json.dumps(words, ensure_ascii=False, separators=separators) + around).encode()
    quick = endpoints._read_words(body)
    if quick is not None:
        assert quick == words == read(body)
        assert all(endpoints._WORD.fullmatch(word) for word in quick)
    try:
        slow: list[str] | None = [endpoints._word(str(one) if type(one) is int else one) for one in json.loads(body)]
    except (ValueError, UnreadableAnswer):
        slow = None
    assert read(body) == slow


def test_the_usual_answers_are_looked_at_as_a_whole() -> None:
    for body in (b'["1","2"]', b'["5665334669", "5665334670"]\n', b'["1"]'):
        assert endpoints._read_words(body) == json.loads(body)


CRM = f"https://app.jaicp.com/api/crmCalls/campaign/{TOKEN}"
BODY = b'[{"phone":"16500000000","payload":{"name":"Alex"}},{"phone":"16500000001"}]'


Call = Callable[[Campaign], Awaitable[Any]]


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
    for one in (key, "d5f41bd4"):
        await jaicp.campaign(TOKEN).add_phones(CONTACTS, idempotence_key=one)
    assert [sent["headers"]["Idempotence-Key"] for _, _, sent in wire.sent] == [str(key), "d5f41bd4"]
    for wrong in ("", "a\nb", "é", " k", "k "):
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


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_system_without_test_calls(wire: Wire, jaicp: CallsClient, status: int) -> None:  # C-M-14
    wire.get(f"{CRM}/test/addPhone?phone=16500000000&Idempotence-Key=k", status=status)
    with pytest.raises(AccessError, match="may have no test calls"):
        await jaicp.campaign(TOKEN).add_test_phone("16500000000", idempotence_key="k")


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


async def test_contacts_are_checked_before_anything_is_sent(wire: Wire, jaicp: CallsClient) -> None:
    with pytest.raises(ContactError) as caught:
        await jaicp.campaign(TOKEN).add_phones([{"phone": "16500000000"}, {"phone": "16500000001", "gmtZone": "x"}])
    assert (caught.value.row, caught.value.field) == (2, "gmtZone")
    assert str(caught.value).startswith("row 2, gmtZone: ")
    assert not wire.sent


@pytest.mark.parametrize("answer", ["in work", '"В работе"', "brandNew"])
async def test_a_status_that_no_page_names(wire: Wire, jaicp: CallsClient, answer: str) -> None:  # C-CAM-3, C-M-15
    wire.get(f"{JAICP}/status", body=answer)
    assert await jaicp.campaign(TOKEN).status() == answer.strip('"')


@pytest.mark.parametrize("answer", ["null", "true", "ERROR", "{}", ""])
async def test_a_word_that_is_no_id(wire: Wire, jaicp: CallsClient, answer: str) -> None:  # C-M-15
    wire.post(f"{CRM}/addPhone?phone=16500000000", body=answer)
    wire.post(f"{CRM}/addPhone?phone=16500000000", body="17")
    assert await jaicp.campaign(TOKEN).add_phone("16500000000") == "17"


@pytest.mark.parametrize("answer", ["Welcome", "", "null", "[1.5]", '["a b"]', '[""]', "5", "[", '[["1"]]'])
async def test_an_answer_that_is_no_list_of_ids(wire: Wire, jaicp: CallsClient, answer: str) -> None:  # C-M-17
    wire.post(f"{JAICP}/addPhones", body=answer)
    wire.post(f"{JAICP}/addPhones", body="[9007199254740993, 123456789012345678901234567890]")
    ids = await jaicp.campaign(TOKEN).add_phones(CONTACTS)
    assert ids == ["9007199254740993", "123456789012345678901234567890"]
