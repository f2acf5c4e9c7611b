"""Pipeline."""

from __future__ import annotations

HALT_SECONDS = 5.0
"""How long answers are waited for when the upload has failed."""
SCRIBE_OF = 4
"""For so many requests in flight there is one chunk more that has its answer, or is about to be sent."""
REPLAY_SECONDS = 2.0
"""How long receipts of earlier processes wait until what is new is under way."""
QUEUED_CHUNKS = 4
"""Chunks that are sealed and wait for their turn."""
