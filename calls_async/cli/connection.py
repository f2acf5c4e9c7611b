"""Which host and which campaign the arguments and the environment mean."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from calls_async.cli.output import warn
from calls_async.client import CallsClient
from calls_async.errors import ConfigurationError

HOST_VARIABLE = "CALLS_HOST"
_QUOTES = ('"', "'")
TOKEN_VARIABLE = "CALLS_TOKEN"  # noqa: S105  # the name of a variable


def make_client(arguments: Namespace) -> CallsClient:
    """Make the client of the host that arguments or environment name. Raises `ConfigurationError`."""
    host = arguments.host or os.environ.get(HOST_VARIABLE)
    if not host:
        raise ConfigurationError(f"name the host: --host or ${HOST_VARIABLE}")
    return CallsClient(host, allow_plain_http=arguments.plain_http)


def read_token(arguments: Namespace) -> str:
    """Read the token that arguments or environment name. Raises `ConfigurationError`."""
    if arguments.token and arguments.token_file:
        raise ConfigurationError("give one of --token and --token-file")
    if arguments.token:
        warn("other users of this machine can see --token; use --token-file or $CALLS_TOKEN")
        return str(arguments.token)
    if arguments.token_file:
        return _read_token(Path(arguments.token_file))
    if token := os.environ.get(TOKEN_VARIABLE):
        return token
    raise ConfigurationError(f"name the campaign: --token-file FILE or ${TOKEN_VARIABLE}")


def _read_token(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigurationError(f"--token-file {path} cannot be read: {reason}") from None
    if token[:1] in _QUOTES and token[-1:] == token[:1]:
        token = token[1:-1].strip()
    if not token or len(token.split()) > 1:
        raise ConfigurationError(f"--token-file {path} must hold one token and nothing else")
    return token
