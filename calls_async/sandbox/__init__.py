"""A Calls API server of our own, to try things on without calling anybody.

    async with Sandbox() as sandbox:
        ...  # sandbox.url and sandbox.token are what a client needs

It shares no code with the client: one misreading of a clause must not pass on both sides.
"""

from calls_async.sandbox.api import Api, Call, Reply
from calls_async.sandbox.core import SandboxCore, SandboxSettings
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import DEFAULT_TOKEN, Account, DuplicateRule, KeyConflict
from calls_async.sandbox.model.behaviour import PATTERNS, Behaviour, Ending
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.model.job import Attempt, Job
from calls_async.sandbox.server.server import Sandbox
from calls_async.sandbox.state_file import StateFileError

__all__ = [
    "DEFAULT_TOKEN",
    "PATTERNS",
    "Account",
    "Api",
    "Attempt",
    "Behaviour",
    "Call",
    "Clock",
    "DialerSettings",
    "DuplicateRule",
    "Ending",
    "FaultKind",
    "Faults",
    "Job",
    "KeyConflict",
    "Reply",
    "Sandbox",
    "SandboxCore",
    "SandboxSettings",
    "StateFileError",
]
