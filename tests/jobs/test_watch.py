"""A campaign as it goes on."""

from __future__ import annotations

import pytest

from calls_async import Campaign, CampaignInfo, ConfigurationError
from calls_async.sandbox.api import Reply
from calls_async.testing import InProcessSandbox
from tests.helpers.clock import HeldClock
from tests.helpers.contacts import FIRST

# --- watching ---


async def test_watching_yields_changes_until_the_end(held_clock: HeldClock) -> None:  # C-M-8, C-CAM-3
    sandbox = InProcessSandbox()
    async with sandbox.client(clock=held_clock.clock()) as client:
        campaign = client.campaign(sandbox.token)
        seen: list[CampaignInfo] = []
        async for info in campaign.watch(interval_seconds=7):
            seen.append(info)
            if len(seen) == 1:
                sandbox.fail_next("503", times=3)
                await campaign.add_phone(FIRST)
            elif len(seen) == 2:
                held_clock.slept.clear()
                await campaign.pause()
            elif len(seen) == 3:
                await campaign.stop()
    assert [info.status for info in seen] == ["planned", "inProcess", "paused", "finished"]
    assert held_clock.slept == [7, 7]


async def test_watching_asks_for_the_status_where_the_campaign_does_not_tell(
    held_clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:  # C-REP-4, C-M-9
    sandbox = InProcessSandbox()
    handle = sandbox.api.handle
    monkeypatch.setattr(
        sandbox.api, "handle", lambda call: handle(call) if call.path.endswith("status") else Reply.json({})
    )
    sandbox.account.campaigns[sandbox.token].status = "deleted"
    async with sandbox.client(clock=held_clock.clock()) as client:
        seen = [info async for info in client.campaign(sandbox.token).watch()]
    assert seen == [CampaignInfo(status=seen[0].status)]
    assert seen[0].status == "deleted"


async def test_watching_needs_an_interval(campaign: Campaign) -> None:
    for bad in (0, -1, "5", None):
        with pytest.raises(ConfigurationError):
            campaign.watch(interval_seconds=bad)  # type: ignore[arg-type]
