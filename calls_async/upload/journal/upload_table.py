"""Upload table."""

from __future__ import annotations

import hashlib

import attrs

_FINGERPRINT_ROUNDS = 100_000


@attrs.frozen(slots=True, kw_only=True)
class UploadRecord:
    """What the journal says of the upload as a whole."""

    upload_id: str
    created_at: float
    library: str
    host: str
    salt: bytes = attrs.field(repr=False)
    fingerprint: bytes = attrs.field(repr=False)
    source: str
    kind: str
    rehearsal: bool = attrs.field(converter=bool)
    source_done: bool = attrs.field(converter=bool)
    body_limit: int | None
    last_row: int
    purged_at: float | None


def fingerprint(token: str, salt: bytes) -> bytes:
    """What recognises the campaign's token and does not give it away (C-M-18)."""
    return hashlib.pbkdf2_hmac("sha256", token.encode(), salt, _FINGERPRINT_ROUNDS)
