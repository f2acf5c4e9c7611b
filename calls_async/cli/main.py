"""From the command line to an exit code. What a command needs is imported when it is known which one it is, so that
help and mistakes are answered at once."""

from __future__ import annotations

import os
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any, NoReturn

from calls_async.cli.arguments import join_zone, make_parser
from calls_async.cli.exit_codes import Exit, choose_error_exit
from calls_async.cli.output import silence_output, warn
from calls_async.errors import CallsError

COMMANDS = {
    "add": "campaign",
    "attempts": "jobs",
    "cancel": "jobs",
    "check": "check",
    "guide": "guide",
    "info": "campaign",
    "journal": "journal",
    "pause": "campaign",
    "reconcile": "journal",
    "report": "jobs",
    "resume": "campaign",
    "sample": "sample",
    "sandbox": "sandbox",
    "status": "campaign",
    "stop": "campaign",
    "test": "campaign",
    "upload": "upload",
    "watch": "watch",
}
"""In which module of this package the function of each command is."""


Command = Callable[[Namespace], Coroutine[Any, Any, Exit]]


def main() -> NoReturn:
    """Run the command `calls-async`."""
    code = run(sys.argv[1:])
    if threading.active_count() > 1:
        # A thread that waits for standard input would keep the process alive until its next line.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(argv: Sequence[str]) -> Exit:
    """Return the exit code of the command line `argv`; tell on standard error whatever fails."""
    arguments = make_parser().parse_args(join_zone(argv))
    try:
        return _carry_out(arguments)
    except CallsError as error:
        warn(str(error))
        return choose_error_exit(error)
    except BrokenPipeError:
        silence_output()
        return Exit.DONE
    except OSError as error:
        warn(f"failed: {error.strerror or error}")
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _carry_out(arguments: Namespace) -> Exit:
    import asyncio

    command: Command = getattr(
        import_module(f"calls_async.cli.commands.{COMMANDS[arguments.command]}"), arguments.command
    )
    code = asyncio.run(command(arguments))
    sys.stdout.flush()
    return code
