"""The commands but for `upload` and `check`: one call of the API each, or a few."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Awaitable, Callable

from calls_async.campaign import Campaign
from calls_async.cli.connection import make_client, read_token
from calls_async.cli.exit_codes import Exit, choose_error_exit
from calls_async.cli.options import read_number_rules
from calls_async.cli.output import warn
from calls_async.errors import NoAnswerError
from calls_async.protocol.endpoints import to_key
from calls_async.protocol.reports import to_dict
from calls_async.upload.rows.numbers import NumberRules


async def add(arguments: Namespace) -> Exit:
    return await _add(arguments, lambda campaign: campaign.add_phone)


async def test(arguments: Namespace) -> Exit:
    return await _add(arguments, lambda campaign: campaign.add_test_phone)


async def _add(arguments: Namespace, choose: Callable[[Campaign], Callable[..., Awaitable[str]]]) -> Exit:
    """Add one number under a key that the person knows, so that whatever happens they can repeat it (C-IDEM-1)."""
    key = to_key(arguments.idempotence_key)
    phone = NumberRules(**read_number_rules(arguments)).read(arguments.phone)
    warn(f"the idempotence key is {key}")
    try:
        return await _with_campaign(
            arguments,
            lambda campaign: choose(campaign)(
                phone,
                gmt_zone=arguments.gmt_zone,
                payload=dict(arguments.payload) or None,
                idempotence_key=key,
            ),
        )
    except NoAnswerError as error:
        warn(str(error))
        warn(
            f"run the same command again with --idempotence-key {key}, within 24 hours: "
            "nobody is called twice, and it prints the ID"
        )
        return choose_error_exit(error)


async def info(arguments: Namespace) -> Exit:
    async def show(campaign: Campaign) -> str:
        return json.dumps(to_dict(await campaign.info()), indent=2)

    return await _with_campaign(arguments, show)


async def status(arguments: Namespace) -> Exit:
    return await _with_campaign(arguments, lambda campaign: campaign.status())


async def pause(arguments: Namespace) -> Exit:
    return await _with_campaign(arguments, lambda campaign: campaign.pause())


async def resume(arguments: Namespace) -> Exit:
    return await _with_campaign(arguments, lambda campaign: campaign.resume())


async def stop(arguments: Namespace) -> Exit:
    return await _with_campaign(arguments, lambda campaign: campaign.stop())


async def _with_campaign(arguments: Namespace, call: Callable[[Campaign], Awaitable[object]]) -> Exit:
    """Make one call and print its answer, if it has one."""
    token = read_token(arguments)
    async with make_client(arguments) as client:
        answer = await call(client.campaign(token))
    if answer is not None:
        print(answer)
    return Exit.DONE
