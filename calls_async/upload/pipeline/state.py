"""State."""

from __future__ import annotations

import asyncio

import attrs


@attrs.define
class Course:
    """How an upload goes."""

    stopping: bool = False
    """Nothing more is read."""
    failed: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Nothing more is sent."""
    error: BaseException | None = None
    """What its reader will be told."""
