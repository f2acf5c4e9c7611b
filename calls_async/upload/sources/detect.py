"""Where contacts come from: files, streams, iterables and async iterables, as numbered rows in batches.

Files are read by a thread of their own, so that the event loop never waits for a disk or a parser. Iterables are
drawn on the loop, in slices of a few milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import cast

from calls_async.errors import ConfigurationError
from calls_async.upload.sources.files import FileSource, StreamSource
from calls_async.upload.sources.iterables import AsyncIterableSource, IterableSource
from calls_async.upload.sources.options import Reading
from calls_async.upload.sources.source import ContactLike, NoSource, Source, SourceLike


def open_source(source: SourceLike | None, reading: Reading) -> Source:
    """Return the source that `source` means. Raises `ConfigurationError`; a file is opened only when it is read."""
    if source is None:
        return NoSource()
    if isinstance(source, str | Path):
        return FileSource(Path(source), reading)
    if isinstance(source, AsyncIterable):
        return AsyncIterableSource(source, reading.rules)
    if callable(getattr(source, "read", None)):
        return StreamSource(source, reading)  # type: ignore[arg-type]  # by its method, it is a binary file
    if not isinstance(source, bytes | Mapping) and isinstance(source, Iterable):
        return IterableSource(cast("Iterable[ContactLike]", source), reading.rules)
    raise ConfigurationError(
        f"a {type(source).__name__} is no source; give a path, a binary file, or an iterable of contacts"
    )
