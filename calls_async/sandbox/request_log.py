"""What clients sent: the last requests, and those by which people might be called twice. Pure."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque

import attrs

from calls_async.sandbox.api import Call, match_route
from calls_async.sandbox.faults import FaultKind

KEPT_REQUESTS = 500
KEPT_TROUBLES = 50
KEPT_KEYS = 20_000
"""Of so many keys it is known which request brought them first."""
MAX_TEXT = 200
"""Characters of a path or a key that are kept."""
_ADDS = frozenset({"addPhones", "addPhone", "test/addPhone"})


@attrs.frozen(slots=True, kw_only=True)
class Entry:
    """One request. `at_seconds` is Unix time, by the sandbox's clock."""

    number: int
    at_seconds: float
    method: str
    token: str | None
    """The campaign's; None where the path is not of the API."""
    verb: str
    """What is called, such as addPhones; the path where it is not of the API."""
    key: str | None
    status: int | None
    """None: the connection was reset."""
    fault: FaultKind | None
    created_jobs: int
    repeats: int | None = None
    """The number of the first request with this key; 0: it came before the process began."""
    conflict: bool = False
    """The key came with another content before (C-IDEM-8)."""
    without_key: bool = False
    """It adds contacts and has no key: sent again, it calls people twice (C-IDEM-2)."""


class RequestLog:
    """The last requests, in their order."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=KEPT_REQUESTS)
        self.troubles: deque[Entry] = deque(maxlen=KEPT_TROUBLES)
        """The last ones with a conflict or without a key."""
        self.total = 0
        self.repeated = 0
        self.without_key = 0
        self._first: OrderedDict[bytes, tuple[int, bool]] = OrderedDict()
        """By a digest, for a key may be long: the first request, and whether the server has used the key."""

    def note(
        self,
        call: Call,
        *,
        at: float,
        status: int | None,
        fault: FaultKind | None,
        created_jobs: int,
        conflict: bool,
        again: bool,
    ) -> None:
        """Note a request that was dealt with. `again`: its key was known before."""
        self.total += 1
        route = match_route(call.path)
        verb = call.path if route is None else route.verb
        key = call.key or None
        entry = Entry(
            number=self.total,
            at_seconds=at,
            method=call.method[:MAX_TEXT],
            token=None if route is None else route.token[:MAX_TEXT],
            verb=verb[:MAX_TEXT],
            key=None if key is None else key[:MAX_TEXT],
            status=status,
            fault=fault,
            created_jobs=created_jobs,
            repeats=None if key is None else self._first_with(key, status, again=again),
            conflict=conflict,
            without_key=key is None and verb in _ADDS and (created_jobs > 0 or status is None or status >= 500),
        )
        self.repeated += entry.repeats is not None
        self.without_key += entry.without_key
        self.entries.append(entry)
        if conflict or entry.without_key:
            self.troubles.append(entry)

    def _first_with(self, key: str, status: int | None, *, again: bool) -> int | None:
        """Return the first request with this key, but for the one that is being noted, and for those that no longer
        count: the key has expired (C-IDEM-7), or its requests were refused."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        first, used = self._first.get(digest, (0 if again else None, again))
        if used and not again:
            first = None
        used = again or (status is not None and status < 300)
        self._first[digest] = (self.total if first is None else first, used)
        if not used and status is not None and 400 <= status < 409:
            del self._first[digest]
        if len(self._first) > KEPT_KEYS:
            self._first.popitem(last=False)
        return first
