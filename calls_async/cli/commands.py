"""The commands but for `upload` and `check`: one call of the API each, or a few."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from calls_async.cli.exits import Exit
from calls_async.cli.output import silence_output, warn
from calls_async.cli.results import read_results
from calls_async.cli.sample import MAX_ROWS, sample_csv, sample_jsonl
from calls_async.cli.server import client_of, faults_of, token_of
from calls_async.client import Campaign
from calls_async.errors import CallsError, ConfigurationError
from calls_async.protocol.reports import to_dict
from calls_async.sandbox import DEFAULT_TOKEN, DuplicateRule, Sandbox
from calls_async.upload.status import OutcomeStatus

JOBS_PER_REQUEST = 500
"""How many call jobs one request asks about."""


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


async def cancel(arguments: Namespace) -> Exit:
    canceled = 0

    async def ids(campaign: Campaign, selection: dict[str, Any]) -> list[str]:
        nonlocal canceled
        found = await campaign.cancel(**selection)
        canceled += len(found)
        return found

    code = await _each_selection(arguments, ids, whole=True)
    warn(f"canceled {canceled:,} call jobs")
    return code


async def report(arguments: Namespace) -> Exit:
    async def lines(campaign: Campaign, selection: dict[str, Any]) -> list[str]:
        return [_line(to_dict(one)) for one in await campaign.job_report(**selection)]

    return await _each_selection(arguments, lines)


async def attempts(arguments: Namespace) -> Exit:
    async def lines(campaign: Campaign, selection: dict[str, Any]) -> list[str]:
        return [_line(to_dict(one)) for one in await campaign.attempt_report(**selection)]

    return await _each_selection(arguments, lines)


async def sandbox(arguments: Namespace) -> Exit:
    server = Sandbox(
        host=arguments.bind,
        port=arguments.port,
        tokens=arguments.token or [DEFAULT_TOKEN],
        duplicates=DuplicateRule(arguments.duplicates),
        quoted=arguments.quoted,
        numeric_ids=arguments.numeric_ids,
        faults=faults_of(arguments),
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopped.set)
    try:
        async with server:
            print(f"export CALLS_HOST={server.url}\nexport CALLS_TOKEN={server.token}", flush=True)
            warn("the sandbox is running; Ctrl-C stops it")
            await stopped.wait()
    except OSError as error:
        raise CallsError(
            f"the sandbox cannot listen on {arguments.bind}:{arguments.port}: {error.strerror}"
        ) from None
    return Exit.DONE


async def _with_campaign(arguments: Namespace, call: Callable[[Campaign], Awaitable[object]]) -> Exit:
    """Makes one call and prints its answer, if it has one."""
    token = token_of(arguments)
    async with client_of(arguments) as client:
        answer = await call(client.campaign(token))
    if answer is not None:
        print(answer)
    return Exit.DONE


async def _each_selection(
    arguments: Namespace,
    call: Callable[[Campaign, dict[str, Any]], Awaitable[Iterable[str]]],
    *,
    whole: bool = False,
) -> Exit:
    """Makes one call for every few of the jobs that were named, and prints a line for each answer. With `whole`, all
    calls are made even where nobody reads the lines any more."""
    if not (arguments.id or arguments.phone or arguments.from_results):
        raise ConfigurationError("name the call jobs: --id, --phone or --from-results FILE")
    token = token_of(arguments)
    printing, asked = True, 0
    async with client_of(arguments) as client:
        campaign = client.campaign(token)
        for selection in _selections(arguments):
            lines = await call(campaign, selection)
            asked += 1
            try:
                if printing:
                    sys.stdout.write("".join(line + "\n" for line in lines))
                    sys.stdout.flush()
            except BrokenPipeError:
                if not whole:
                    raise
                printing = False
                silence_output()
    if not asked:
        raise ConfigurationError(f"{arguments.from_results} names no call job: no row of it was accepted")
    return Exit.DONE


def _selections(arguments: Namespace) -> Iterator[dict[str, list[str]]]:
    ids, phones = list(arguments.id), list(arguments.phone)
    for line in read_results(arguments.from_results) if arguments.from_results else ():
        if line.job_id is not None:
            ids.append(line.job_id)
        elif line.status == OutcomeStatus.UNKNOWN and line.phone is not None:
            phones.append(line.phone)  # it may have a job, whose ID nobody knows
        for name, some in (("ids", ids), ("phones", phones)):
            if len(some) >= JOBS_PER_REQUEST:
                yield {name: some.copy()}
                some.clear()
    for name, some in (("ids", ids), ("phones", phones)):
        for first in range(0, len(some), JOBS_PER_REQUEST):
            yield {name: some[first : first + JOBS_PER_REQUEST]}


def _line(fields: dict[str, Any]) -> str:
    # The standard library's writer: it has integers of any length, and escapes what is no character.
    return json.dumps(fields, separators=(",", ":"))
