"""From the command line to an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from calls_async.cli import commands, journal
from calls_async.cli import upload as upload_commands
from calls_async.cli.arguments import make_parser
from calls_async.cli.exits import Exit, exit_of_error
from calls_async.cli.server import warn
from calls_async.errors import CallsError

COMMANDS: dict[str, Callable[[Namespace], Coroutine[Any, Any, Exit]]] = {
    "add": commands.add,
    "attempts": commands.attempts,
    "cancel": commands.cancel,
    "check": upload_commands.check,
    "info": commands.info,
    "journal": journal.journal,
    "pause": commands.pause,
    "reconcile": journal.reconcile,
    "report": commands.report,
    "resume": commands.resume,
    "sample": commands.sample,
    "sandbox": commands.sandbox,
    "status": commands.status,
    "stop": commands.stop,
    "test": commands.test,
    "upload": upload_commands.upload,
}


def main() -> NoReturn:
    """The command `calls-async`."""
    code = run(sys.argv[1:])
    if threading.active_count() > 1:
        # A thread that waits for standard input would keep the process alive until its next line.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(argv: Sequence[str]) -> Exit:
    """The exit code of the command line `argv`. Whatever fails is told on standard error."""
    arguments = make_parser().parse_args(argv)
    try:
        code = asyncio.run(COMMANDS[arguments.command](arguments))
        sys.stdout.flush()
        return code
    except CallsError as error:
        warn(str(error))
        return exit_of_error(error)
    except BrokenPipeError:
        commands.silence_output()
        return Exit.DONE
    except OSError as error:
        warn(f"failed: {error.strerror or error}")
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
