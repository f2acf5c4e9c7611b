"""Which faults the arguments ask the sandbox for. A room of its own: commands that need no sandbox start sooner."""

from __future__ import annotations

from argparse import Namespace

from calls_async.errors import ConfigurationError
from calls_async.sandbox import FaultKind, Faults


def faults_of(arguments: Namespace) -> Faults:
    """Raises `ConfigurationError`."""
    kinds = ", ".join(FaultKind)
    try:
        shares = {FaultKind(kind): float(share) for kind, share in arguments.fault}
        return Faults(shares=shares, seed=arguments.fault_seed or 0)
    except ValueError as error:
        raise ConfigurationError(f"--fault KIND=SHARE: {error}; the kinds are {kinds}") from None
