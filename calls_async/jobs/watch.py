"""A campaign as it goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import attrs

from calls_async.errors import ConfigurationError
from calls_async.protocol import endpoints
from calls_async.protocol.reports import CampaignInfo, CampaignStatus
from calls_async.protocol.token import Token
from calls_async.transport.attempts import CallPlan
from calls_async.transport.connection import Connection

WATCH_SECONDS = 5.0
"""How often a campaign is asked for while it is watched."""


def watch_campaign(
    connection: Connection, token: Token, interval_seconds: float
) -> AsyncGenerator[CampaignInfo, None]:
    """Yield the campaign whenever it has changed; see `Campaign.watch`. Raises `ConfigurationError` at once."""
    given: object = interval_seconds
    if not isinstance(given, int | float) or not given > 0:
        raise ConfigurationError(f"interval_seconds must be greater than 0, not {interval_seconds!r}")
    return _watch(connection, token, interval_seconds)


async def _watch(connection: Connection, token: Token, interval_seconds: float) -> AsyncGenerator[CampaignInfo, None]:
    caller, last = connection.make_patient_caller(), None
    while True:
        info = await caller.call(CallPlan(request=endpoints.info(token)), endpoints.read_campaign_info)
        if info.status is None:  # C-REP-4: a missing field is no error
            plan = CallPlan(request=endpoints.status(token))
            info = attrs.evolve(info, status=await caller.call(plan, endpoints.read_campaign_status))
        if info != last:
            yield info
            last = info
        if info.status in (CampaignStatus.FINISHED, CampaignStatus.DELETED):
            return
        await connection.clock.sleep(interval_seconds)
