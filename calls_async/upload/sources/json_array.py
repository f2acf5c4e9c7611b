"""A JSON array of contacts, element by element: the array may be longer than memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from calls_async.errors import SourceError

_MOST_CHARS = 16 * 2**20
"""The longest element."""
_BLANK = re.compile(r"[ \t\r\n\ufeff]*")
_END = re.compile(r"[ \t\r\n]*\Z")


def read_elements(name: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield the elements of an array as they are written. Raises `SourceError` behind those that can be read."""
    waiting, decoder = iter(texts), json.JSONDecoder()
    text, place, count, ended = "", 0, 0, False
    begun = False
    while True:
        place = _BLANK.match(text, place).end()  # type: ignore[union-attr]  # it always matches
        if place < len(text):
            if not begun:
                begun, place = True, place + 1  # the bracket that the caller has seen
                continue
            if text[place] == "]":
                _check_end(name, text[place + 1 :], waiting)
                return
            if text[place] == "," and count:
                place = _BLANK.match(text, place + 1).end()  # type: ignore[union-attr]
            try:
                _, stop = decoder.raw_decode(text, place)
            except (ValueError, RecursionError):
                stop = -1
            if stop >= 0 and (stop < len(text) or ended):
                count += 1
                yield text[place:stop]
                place = stop
                continue
        if ended or len(text) - place > _MOST_CHARS:
            raise SourceError(name, "is no JSON array, or ends in the middle of one", f"behind element {count}")
        more = next(waiting, None)
        text, place, ended = text[place:] + (more or ""), 0, more is None


def _check_end(name: str, text: str, waiting: Iterator[str]) -> None:
    for one in (text, *waiting):
        if _END.match(one) is None:
            raise SourceError(name, "goes on behind its JSON array", "end")
