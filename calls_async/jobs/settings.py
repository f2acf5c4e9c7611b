"""The settings of calls about many call jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import attrs

from calls_async.events import Event
from calls_async.upload.settings import check_at_least_one


@attrs.frozen(slots=True, kw_only=True)
class JobsSettings:
    """The settings of calls about many call jobs."""

    chunk_rows: int = attrs.field(default=500, validator=check_at_least_one)
    """Call jobs in one request at most."""
    concurrency: int = attrs.field(default=8, validator=check_at_least_one)
    """Requests in flight at most; how many there are adapts to what the server takes."""
    on_event: Callable[[Event], object] | None = None
    """Is told what happens, on the event loop."""


class JobsOptions(TypedDict, total=False):
    """The fields of `JobsSettings`, as keyword arguments."""

    chunk_rows: int
    concurrency: int
    on_event: Callable[[Event], object] | None
