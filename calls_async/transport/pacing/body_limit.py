"""How large a body the server takes, learnt from what it refuses as too large (C-M-16). Pure."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class BodyLimit:
    """`too_large` is the smallest size in bytes that was refused; None as long as none was. A smaller one may be
    taken or not: only what is as large is not tried again, so that what is learnt saves requests, and changes nothing
    of what is taken.

    A 413 is `certain`. Words that seem to speak of size are not: when a single contact is refused with them, they
    speak of contacts, and what they taught is forgotten.
    """

    _certain: int | None = None
    _by_words: int | None = None
    _words_mean_contacts: bool = False

    @property
    def too_large(self) -> int | None:
        known = [size for size in (self._certain, self._by_words) if size is not None]
        return min(known, default=None)

    def accepted(self, body_bytes: int) -> None:
        """Note that a body was taken: the server takes more than it did."""
        if self._certain is not None and body_bytes >= self._certain:
            self._certain = None
        if self._by_words is not None and body_bytes >= self._by_words:
            self._by_words = None

    def refused(self, body_bytes: int, *, certain: bool) -> None:
        """Note that a body of several contacts was too large."""
        if certain:
            self._certain = min(body_bytes, self._certain or body_bytes)
        elif not self._words_mean_contacts:
            self._by_words = min(body_bytes, self._by_words or body_bytes)

    def refused_alone(self, *, certain: bool) -> None:
        """Note that a single contact was refused in this way."""
        if not certain:
            self._by_words = None
            self._words_mean_contacts = True

    def remember(self, body_bytes: int | None) -> None:
        """Take in what an earlier process has learnt."""
        if body_bytes is not None:
            self._certain = min(body_bytes, self._certain or body_bytes)

    @property
    def certain(self) -> int | None:
        """What is worth remembering."""
        return self._certain
