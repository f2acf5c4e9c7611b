"""How large a body the server takes, learnt from what it refuses as too large (C-M-16). Pure."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class BodyLimit:
    """`largest` is what to send at most, in bytes; None as long as nothing was refused."""

    largest: int | None = None
    _accepted: int = 0

    def accepted(self, body_bytes: int) -> None:
        self._accepted = max(self._accepted, body_bytes)

    def refused(self, body_bytes: int) -> None:
        """A body of several rows was too large. Half of it is tried next, or what was taken before, if more."""
        if self._accepted >= body_bytes:
            self._accepted = 0  # a larger one was taken: the next refusal counts, if that is not so any more
            return
        limit = max(body_bytes // 2, self._accepted)
        self.largest = limit if self.largest is None else min(limit, self.largest)

    def remember(self, body_bytes: int | None) -> None:
        """What an earlier process has learnt."""
        if body_bytes is not None:
            self.largest = body_bytes if self.largest is None else min(body_bytes, self.largest)
