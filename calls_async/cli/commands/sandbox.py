"""The command `sandbox`: a server until a signal comes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from argparse import Namespace
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs

from calls_async.cli.embedded_sandbox import parse_faults
from calls_async.cli.exit_codes import Exit
from calls_async.cli.output import warn
from calls_async.errors import CallsError, ConfigurationError
from calls_async.sandbox.config import CampaignConfig, ConfigError, SandboxConfig, read_config_file
from calls_async.sandbox.core import is_loopback
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.model.behaviour import Ending
from calls_async.sandbox.server.server import Sandbox
from calls_async.sandbox.state_file import StateFileError

_AS_GIVEN = (
    "state", "calls", "speed", "seed", "lines", "max_attempts", "retry_minutes", "quoted", "numeric_ids",
    "fault_seed",
)  # fmt: skip


async def sandbox(arguments: Namespace) -> Exit:
    try:
        server = read_config(arguments).make(host=arguments.bind, port=arguments.port)
    except (ConfigError, StateFileError, ValueError) as error:
        raise ConfigurationError(f"sandbox: {error}") from None
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopped.set)
    ready = Path(arguments.ready_file) if arguments.ready_file else None
    try:
        if ready is not None and not _is_alive(_pid_in(ready)):
            _remove(ready)  # what a dead one has left behind would be taken for ours
        async with AsyncExitStack() as running:
            try:
                await running.enter_async_context(server)
            except (OSError, UnicodeError) as error:
                reason = getattr(error, "strerror", None) or error
                raise CallsError(
                    f"the sandbox cannot listen on {arguments.bind}:{arguments.port}: {reason}"
                ) from None
            if ready is not None:
                _write_ready(ready, server)
            print(f"export CALLS_HOST={server.url}\nexport CALLS_TOKEN={server.token}", flush=True)
            warn(f"the sandbox is running; watch it at {server.url}/; Ctrl-C stops it")
            if not is_loopback(arguments.bind):
                warn("whoever reaches this machine can see and change everything in it")
            await stopped.wait()
    finally:
        if ready is not None and _pid_in(ready) == os.getpid():
            _remove(ready)
    return Exit.DONE


def read_config(arguments: Namespace) -> SandboxConfig:
    """Return what the file says, where no flag says otherwise. Raises `ConfigError` and `ConfigurationError`."""
    plan = read_config_file(Path(arguments.config)) if arguments.config else SandboxConfig()
    given: dict[str, Any] = {name: value for name in _AS_GIVEN if (value := getattr(arguments, name)) is not None}
    if arguments.token:
        known = {one.token: one for one in plan.campaign}
        named = (known.pop(token, CampaignConfig(token=token)) for token in dict.fromkeys(arguments.token))
        given["campaign"] = (*named, *known.values())
    if arguments.duplicates:
        given["duplicates"] = DuplicateRule(arguments.duplicates)
    if arguments.call_result:
        given["call_result"] = _call_results(arguments.call_result)
    if arguments.fault:
        given["fault"] = parse_faults(arguments).shares
    if arguments.allow_host:
        given["allow_host"] = tuple(arguments.allow_host)
    plan = attrs.evolve(plan, **given)
    # A flag wins also over what the file says of one campaign.
    theirs: dict[str, Any] = {name: None for name in ("lines", "max_attempts", "retry_minutes") if name in given}
    return attrs.evolve(plan, campaign=tuple(attrs.evolve(one, **theirs) for one in plan.campaign))


def _call_results(pairs: list[tuple[str, str]]) -> dict[Ending, float]:
    try:
        return {Ending(ending): float(share) for ending, share in pairs}
    except ValueError as error:
        raise ConfigurationError(
            f"--call-result RESULT=SHARE: {error}; the results are {', '.join(Ending)}"
        ) from None


def _pid_in(ready: Path) -> int | None:
    """Return the process ID that a ready file names; None where it names none."""
    try:
        pid = json.loads(ready.read_text(encoding="utf-8"))["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if type(pid) is int and pid > 0 else None


def _is_alive(pid: int | None) -> bool:
    if pid is None or os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _remove(ready: Path) -> None:
    try:
        ready.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--ready-file {ready} cannot be written: {error.strerror}") from None


def _write_ready(path: Path, server: Sandbox) -> None:
    """Write the ready file in one step, so that nobody sees half of it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(json.dumps({"url": server.url, "token": server.token, "pid": os.getpid()}) + "\n")
        unfinished.replace(path)
    except OSError as error:
        raise ConfigurationError(f"--ready-file {path} cannot be written: {error.strerror}") from None
