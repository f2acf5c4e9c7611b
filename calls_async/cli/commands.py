"""The commands but for `upload` and `check`: one call of the API each, or a few."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path

from calls_async.cli.exits import Exit
from calls_async.cli.output import warn
from calls_async.cli.sample import MAX_ROWS, sample_csv, sample_jsonl
from calls_async.cli.server import client_of, faults_of, token_of
from calls_async.client import Campaign
from calls_async.errors import CallsError, ConfigurationError
from calls_async.protocol.reports import to_dict
from calls_async.sandbox import DEFAULT_TOKEN, Behaviour, Clock, DialerSettings, DuplicateRule, Sandbox


async def sample(arguments: Namespace) -> Exit:
    if arguments.count > MAX_ROWS:
        raise ConfigurationError(f"N must be {MAX_ROWS} at most, for all numbers are different")
    make = sample_csv if arguments.format == "csv" else sample_jsonl
    for block in make(arguments.count, arguments.seed):
        sys.stdout.buffer.write(block.encode())
    sys.stdout.flush()
    return Exit.DONE


async def add(arguments: Namespace) -> Exit:
    return await _with_campaign(
        arguments,
        lambda campaign: campaign.add_phone(
            arguments.phone, gmt_zone=arguments.gmt_zone, payload=dict(arguments.payload) or None
        ),
    )


async def test(arguments: Namespace) -> Exit:
    return await _with_campaign(
        arguments,
        lambda campaign: campaign.add_test_phone(
            arguments.phone, gmt_zone=arguments.gmt_zone, payload=dict(arguments.payload) or None
        ),
    )


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


async def sandbox(arguments: Namespace) -> Exit:
    faults = faults_of(arguments)
    try:
        server = Sandbox(
            host=arguments.bind,
            port=arguments.port,
            tokens=arguments.token or [DEFAULT_TOKEN],
            duplicates=DuplicateRule(arguments.duplicates),
            quoted=arguments.quoted,
            numeric_ids=arguments.numeric_ids,
            faults=faults,
            behaviour=None if arguments.no_calls else Behaviour(seed=arguments.seed),
            dialing=DialerSettings(lines=arguments.lines),
            clock=Clock(speed=arguments.speed),
            keep_calls=0,
        )
    except ValueError as error:
        raise ConfigurationError(f"sandbox: {error}") from None
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopped.set)
    try:
        async with server:
            if arguments.ready_file:
                _write_ready(Path(arguments.ready_file), server)
            print(f"export CALLS_HOST={server.url}\nexport CALLS_TOKEN={server.token}", flush=True)
            warn("the sandbox is running; Ctrl-C stops it")
            await stopped.wait()
    except OSError as error:
        raise CallsError(
            f"the sandbox cannot listen on {arguments.bind}:{arguments.port}: {error.strerror}"
        ) from None
    return Exit.DONE


def _write_ready(path: Path, server: Sandbox) -> None:
    """Whoever waits for the file never sees half of it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps({"url": server.url, "token": server.token, "pid": os.getpid()}) + "\n")
    unfinished.replace(path)


async def _with_campaign(arguments: Namespace, call: Callable[[Campaign], Awaitable[object]]) -> Exit:
    """Makes one call and prints its answer, if it has one."""
    token = token_of(arguments)
    async with client_of(arguments) as client:
        answer = await call(client.campaign(token))
    if answer is not None:
        print(answer)
    return Exit.DONE
