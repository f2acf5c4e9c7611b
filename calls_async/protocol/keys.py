"""Idempotence keys: how they are made, and how long they are good (C-IDEM-*)."""

from __future__ import annotations

import hashlib
import uuid

KEY_LIFETIME_SECONDS = 24 * 3600
"""A key is forgotten by the server 1 day after its first use (C-IDEM-7)."""
KEY_MARGIN_SECONDS = 3600
"""How long before that no attempt starts any more: room for a slow attempt and for clocks that differ."""


def new_key() -> str:
    """Make a key for one call; its repeated attempts use the same one (C-IDEM-5)."""
    return str(uuid.uuid4())


def new_upload_id() -> str:
    """Make the identity of an upload, of which the keys of its chunks are made."""
    return str(uuid.uuid4())


def digest(body: bytes) -> bytes:
    """Return what a chunk's bytes are recognised by: 32 bytes."""
    return hashlib.sha256(body).digest()


def chunk_key(upload_id: str, place: str, body_digest: bytes) -> str:
    """Return the key of a chunk: the same for the same upload, place and content, another one otherwise.

    Place and content both count: two equal chunks are two chunks, and one key never has two contents (C-IDEM-8).
    The upload's identity is random, so that a key meets no other campaign of the account (C-IDEM-6).
    """
    mixed = hashlib.sha256(b"\0".join((upload_id.encode(), place.encode(), body_digest))).digest()
    return str(uuid.UUID(bytes=mixed[:16], version=4))


def last_attempt_at(first_sent_at: float) -> float:
    """Return the moment (Unix time, seconds) after which a key first sent at `first_sent_at` must not be sent
    (C-IDEM-7)."""
    return first_sent_at + KEY_LIFETIME_SECONDS - KEY_MARGIN_SECONDS
