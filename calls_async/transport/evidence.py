"""What the attempts of a call so far prove: a ladder that is only climbed. Immutable and pure."""

from __future__ import annotations

from enum import IntEnum

import attrs


class Trace(IntEnum):
    """What an attempt may have left behind at the server; each step includes the worries of those below it."""

    NEVER_ARRIVED = 0
    """Nothing: the server never saw it."""
    ANSWERED = 1
    """An answer, by which nothing was created."""
    MAYBE_ACTED_UPON = 2
    """Perhaps jobs: it arrived, and no readable answer says what came of it."""
    MAYBE_STILL_COMING = 3
    """Perhaps jobs that do not exist yet: it may still be on its way to where it is acted upon."""


@attrs.frozen(slots=True)
class Evidence:
    """The worst that any attempt may have left behind: `here` in this process, `before` in earlier ones."""

    here: Trace = Trace.NEVER_ARRIVED
    before: Trace = Trace.NEVER_ARRIVED

    @classmethod
    def sent_before(cls) -> Evidence:
        """Make the evidence of a request that an earlier process may have sent: nobody knows what came of it."""
        return cls(before=Trace.MAYBE_STILL_COMING)

    def seen(self, trace: Trace) -> Evidence:
        """Return the evidence after one more attempt, which has left `trace`."""
        return self if trace <= self.here else attrs.evolve(self, here=trace)

    @property
    def reached(self) -> bool:
        """Whether an attempt of this process got to the server."""
        return self.here >= Trace.ANSWERED

    @property
    def maybe_created(self) -> bool:
        """Whether an attempt may have been acted upon, though no answer told what came of it."""
        return max(self.here, self.before) >= Trace.MAYBE_ACTED_UPON

    @property
    def maybe_late(self) -> bool:
        """Whether an attempt might still arrive."""
        return max(self.here, self.before) >= Trace.MAYBE_STILL_COMING

    @property
    def from_before(self) -> bool:
        """Whether an earlier process may have sent it."""
        return self.before > Trace.NEVER_ARRIVED
