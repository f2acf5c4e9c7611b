"""Batcher tables."""

from __future__ import annotations

FORGOTTEN_AT_A_TIME = 1000
"""Chunks that are looked at in one transaction."""
