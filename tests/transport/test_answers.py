"""What answers mean to single calls."""

from __future__ import annotations

import pytest

from calls_async import AccessError, CallsClient, NoAnswerError, RefusedError
from tests.helpers.servers import TOKEN
from tests.helpers.wire import CONTACTS, JAICP, Wire


@pytest.mark.parametrize("status", [400, 402, 405, 413, 422])
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


@pytest.mark.parametrize("status", [400, 403, 418])
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
