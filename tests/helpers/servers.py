"""A token, and a policy for real waits that are short."""

from __future__ import annotations

from calls_async import RetryPolicy

TOKEN = "8231.7056.1b131df1"
QUICK = RetryPolicy(max_attempts=None, give_up_seconds=20, unreachable_seconds=1, backoff_seconds=0.001)
"""For uploads to a sandbox: real waits, but short ones."""
