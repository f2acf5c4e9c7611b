"""Deliveries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from calls_async.upload.outcomes.outcome import Receipt

FORGET_SECONDS = 60.0
"""How often at most old outcomes are taken out of the journal."""


OnReceipt = Callable[[Receipt], Awaitable[object] | object]
