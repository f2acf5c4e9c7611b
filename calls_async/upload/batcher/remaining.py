"""What a batcher leaves behind when it is closed."""

from __future__ import annotations

import attrs


@attrs.frozen(slots=True, kw_only=True)
class Remaining:
    """What a batcher had not finished when it was closed, in contacts."""

    kept: int = 0
    """In the journal: the next batcher with it goes on with them."""
    not_sent: int = 0
    """Not sent; whoever added them was told so by a `BatcherClosedError`, or the error that ended the batcher."""
    in_doubt: int = 0
    """Sent, without an answer, and no journal keeps them: their outcome is `unknown`."""

    def __bool__(self) -> bool:
        return bool(self.kept or self.not_sent or self.in_doubt)

    def __str__(self) -> str:
        counts = [
            (self.kept, "are in the journal, and the next batcher with it goes on with them"),
            (self.not_sent, "were not sent"),
            (self.in_doubt, "were sent without an answer and are unknown"),
        ]
        said = [f"{count:,} {what}" for count, what in counts if count]
        return f"of the contacts, {'; '.join(said)}" if said else "nothing remains"
