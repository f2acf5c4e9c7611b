"""What the attempts of a call so far prove: a ladder that is only climbed. Immutable and pure."""

from __future__ import annotations

from enum import IntEnum

import attrs


class Trace(IntEnum):
    """What an attempt may have left behind at the server; each step includes the worries of those below it."""

    NEVER_ARRIVED = 0
    """Nothing: the server never saw it."""
    ANSWERED = 1
    """An answer that is taken at its word."""
    TURNED_AWAY = 2
    """By the answer, nothing for now; nobody promises that it is never acted upon all the same."""
    UNCERTAIN = 3
    """Perhaps jobs, perhaps such as do not exist yet: it may still be on its way to where it is acted upon. No page
    says how late that can be."""


@attrs.frozen(slots=True)
class Evidence:
    """The worst that any attempt may have left behind: `here` in this process, `before` in earlier ones."""

    here: Trace = Trace.NEVER_ARRIVED
    before: Trace = Trace.NEVER_ARRIVED
    conflicts: int = 0
    """How often this process was told that the key is known (409), and not what came of it."""

    @classmethod
    def sent_before(cls) -> Evidence:
        """Make the evidence of a request that an earlier process may have sent: nobody knows what came of it."""
        return cls(before=Trace.UNCERTAIN)

    def seen(self, trace: Trace, *, conflict: bool = False) -> Evidence:
        """Return the evidence after one more attempt, which has left `trace`; `conflict`: it was answered by 409."""
        if trace <= self.here and not conflict:
            return self
        return attrs.evolve(self, here=max(self.here, trace), conflicts=self.conflicts + conflict)

    @property
    def reached(self) -> bool:
        """Whether an attempt of this process got to the server."""
        return self.here >= Trace.ANSWERED

    @property
    def maybe_created(self) -> bool:
        """Whether an attempt may have been acted upon, or may yet be, though no answer told what came of it."""
        return max(self.here, self.before) >= Trace.TURNED_AWAY

    @property
    def only_turned_away(self) -> bool:
        """Whether every answer was to come again later: the server has its hands full."""
        return max(self.here, self.before) <= Trace.TURNED_AWAY

    @property
    def from_before(self) -> bool:
        """Whether an earlier process may have sent it."""
        return self.before > Trace.NEVER_ARRIVED
