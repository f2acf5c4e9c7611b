"""Settings."""

from __future__ import annotations

import attrs

from calls_async.upload.settings import _at_least_one


@attrs.frozen(slots=True, kw_only=True)
class JobsSettings:
    """The settings of calls about many call jobs."""

    chunk_rows: int = attrs.field(default=500, validator=_at_least_one)
    """Call jobs in one request at most."""
    concurrency: int = attrs.field(default=8, validator=_at_least_one)
    """Requests in flight at most; how many there are adapts to what the server takes."""
