"""What can become of a contact, in one word."""

from __future__ import annotations

from enum import StrEnum


class OutcomeStatus(StrEnum):
    """What became of a contact."""

    ACCEPTED = "accepted"
    """It has a call job."""
    DUPLICATE = "duplicate"
    """The server, or the list itself, has the same contact already (C-DUP-1, C-DUP-2)."""
    REJECTED = "rejected"
    """It was not sent, or the server refused it: nobody is called."""
    UNKNOWN = "unknown"
    """No certain answer came: it may or may not have a call job. It is never sent again blindly."""

    def __str__(self) -> str:
        return self.value
