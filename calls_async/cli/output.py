"""What a command says to the person, and what it does when nobody listens."""

from __future__ import annotations

import os
import sys


def warn(text: str) -> None:
    """Tell the person something; standard output is for results."""
    print(f"calls-async: {text}", file=sys.stderr, flush=True)


def silence_output() -> None:
    """Write nothing more: whoever read the output has enough of it, and the flush at exit must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
