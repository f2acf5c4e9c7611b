"""Which contacts a refusal's words name. A hint only: where they mean something else, it costs requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from calls_async.upload.chunks.chunk import Chunk

_NUMBER = re.compile(r"\d{7,}")
_INDEX = re.compile(r"\[(\d{1,6})\]|/(\d{1,6})(?![\d.])|\bind(?:ex|ices)\W{0,3}(\d{1,6})", re.IGNORECASE)
"""Counts from 0: an array's, a JSON pointer's."""
_ORDINAL = re.compile(
    r"\b(?:row|item|line|element|contact|entry|record|position|number|phone|object)s?\W{0,3}(\d{1,6})(?!\d)",
    re.IGNORECASE,
)
"""Counts from 0 or from 1; nobody knows."""


def named_by(words: str, chunk: Chunk) -> list[int]:
    """Return the indexes of the chunk's contacts that `words` may name, by their number or their place; none where
    they name all of them."""
    numbers = set(_NUMBER.findall(words))
    found = {index for index, phone in enumerate(chunk.phones) if phone in numbers} if numbers else set()
    if not found:
        found = {int(one) for groups in _INDEX.findall(words) for one in groups if one}
    if not found:
        found = {int(one) - less for one in _ORDINAL.findall(words) for less in (0, 1)}
    named = sorted(index for index in found if 0 <= index < len(chunk.rows))
    return named if len(named) < len(chunk.rows) else []


def apart(named: Sequence[int], count: int) -> list[Sequence[int]]:
    """Return groups of `count` indexes: each that is `named` by itself, and all others together."""
    alone = set(named)
    others = [index for index in range(count) if index not in alone]
    return [*([index] for index in named), *([others] if others else [])]
