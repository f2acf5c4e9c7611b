"""How large a body the server takes, learnt from what it refuses as too large (C-M-16). Pure."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class BodyLimit:
    """`largest` is what to send at most, in bytes; None as long as nothing was refused.

    A 413 is `certain`. Words that seem to speak of size are not: when a single contact is refused with them, they
    speak of contacts, and what they taught is forgotten.
    """

    _certain: int | None = None
    _by_words: int | None = None
    _words_mean_contacts: bool = False
    _accepted: int = 0

    @property
    def largest(self) -> int | None:
        known = [limit for limit in (self._certain, self._by_words) if limit is not None]
        return min(known, default=None)

    def accepted(self, body_bytes: int) -> None:
        self._accepted = max(self._accepted, body_bytes)

    def refused(self, body_bytes: int, *, certain: bool) -> None:
        """Note that a body of several contacts was too large. Half of it is tried next, or what was taken before, if
        more."""
        if self._words_mean_contacts and not certain:
            return
        if self._accepted >= body_bytes:
            self._accepted = 0  # a larger one was taken: the next refusal counts, if that is not so any more
            return
        limit = max(body_bytes // 2, self._accepted)
        if certain:
            self._certain = min(limit, self._certain or limit)
        else:
            self._by_words = min(limit, self._by_words or limit)

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
