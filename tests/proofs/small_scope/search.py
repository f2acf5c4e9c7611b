"""Goes through every state of a scope once, breadth first, so that a breach comes with its shortest story."""

from __future__ import annotations

from collections import deque

import attrs

from tests.proofs.small_scope.model import Scope, State, find_breach, steps


@attrs.frozen
class Found:
    """What a search has seen."""

    states: int
    finished: int
    """States in which every row has its outcome, and nothing is under way."""
    breach: str | None = None
    story: tuple[str, ...] = ()


def search(scope: Scope) -> Found:
    """Search a whole scope; end at the first breach."""
    start = scope.start()
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    waiting, finished = deque([start]), 0
    while waiting:
        state = waiting.popleft()
        breach = find_breach(scope, state)
        if breach is not None:
            return Found(len(came_from), finished, breach, _tell(came_from, state))
        idle = not state.alive and not state.late
        finished += idle and all(record.state == "answered" for _, record in state.journal.chunks)
        if state.alive and not state.flights and _all_answered(state):
            state = state._replace(alive=False)  # the upload is finished
            if state in came_from:
                continue
            came_from[state] = came_from[state._replace(alive=True)]
            waiting.append(state)
            continue
        for name, after in steps(scope, state):
            if after not in came_from:
                came_from[after] = (state, name)
                waiting.append(after)
    return Found(len(came_from), finished)


def _all_answered(state: State) -> bool:
    return all(record.state == "answered" for _, record in state.journal.chunks)


def _tell(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    story: list[str] = []
    while (step := came_from[state]) is not None:
        state = step[0]
        story.append(step[1])
    return tuple(reversed(story))
