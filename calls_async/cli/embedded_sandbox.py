"""The campaign that a command works on: of a host, or of a sandbox that runs inside the command."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from calls_async.campaign import Campaign
from calls_async.cli.connection import make_client, read_token
from calls_async.client import CallsClient
from calls_async.errors import ConfigurationError
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.server.server import Sandbox


def parse_faults(arguments: Namespace) -> Faults:
    """Return the faults that `--fault` asks for. Raises `ConfigurationError`."""
    kinds = ", ".join(FaultKind)
    try:
        shares = {FaultKind(kind): float(share) for kind, share in arguments.fault}
        return Faults(shares=shares, seed=arguments.fault_seed or 0)
    except ValueError as error:
        raise ConfigurationError(f"--fault KIND=SHARE: {error}; the kinds are {kinds}") from None


# --- from the arguments ---


@asynccontextmanager
async def open_campaign(arguments: Namespace) -> AsyncIterator[Campaign]:
    if arguments.fault and not arguments.sandbox:
        raise ConfigurationError("--fault goes with --sandbox")
    if not arguments.sandbox:
        token = read_token(arguments)
        async with make_client(arguments) as client:
            yield client.campaign(token)
        return
    async with Sandbox(faults=parse_faults(arguments)) as sandbox, CallsClient(sandbox.url) as client:
        yield client.campaign(sandbox.token)
