"""What happened in a schedule, for the person who must understand why it failed."""

from __future__ import annotations

import json

import attrs

MOST_LINES = 400


@attrs.frozen
class Exchange:
    """A request, and what became of it."""

    at: float
    body: bytes
    key: str
    fate: str
    created: int
    """How many jobs it made at once."""

    def __str__(self) -> str:
        sent = json.loads(self.body or b"null")
        if isinstance(sent, list):
            rows = " ".join(str(contact["payload"]["row"]) for contact in sent)
            acted = f", {self.created} jobs made" if self.created else ""
            return f"{self.at:12.1f} s  key {self.key[:6]}, rows {rows}: {self.fate}{acted}"
        return f"{self.at:12.1f} s  asked for the jobs of {' '.join(sent.get('phones', []))}: {self.fate}"


@attrs.define
class Story:
    """Takes what happens, and tells it when it is asked; most schedules never are."""

    lines: list[str | Exchange] = attrs.field(factory=list)

    def tell(self, line: str | Exchange) -> None:
        self.lines.append(line)

    def __str__(self) -> str:
        left_out = len(self.lines) - MOST_LINES
        head = [f"({left_out} earlier lines left out)"] if left_out > 0 else []
        return "\n".join(map(str, [*head, *self.lines[-MOST_LINES:]]))
