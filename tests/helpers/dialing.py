"""People with hours, zones and lines, as properties draw them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from calls_async.sandbox.api import Call
from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.checks import DAYS, check_contact
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.model.hours import read_zone
from calls_async.sandbox.model.job import Job
from calls_async.sandbox.server.server import Sandbox

HOUR = 3600.0
DAY = 86_400.0
MARCH = datetime(2026, 3, 26, tzinfo=UTC).timestamp()
"""A Thursday; on Sunday, Europe's clocks go forward."""
OCTOBER = datetime(2026, 10, 22, tzinfo=UTC).timestamp()
"""A Thursday; on Sunday, they go back."""


class Stepped:
    """A sandbox whose time is moved by hand."""

    def __init__(self, *, now: float = MARCH, behaviour: Behaviour | None = None, **dialing: int) -> None:
        self.now = now
        self.sandbox = Sandbox(
            clock=Clock(lambda: self.now),
            behaviour=behaviour or Behaviour(),
            dialing=DialerSettings(**dialing),
        )

    def ask(self, path: str, body: Any = None, method: str = "POST") -> Any:
        call = Call(
            method=method,
            path=f"/api/calls/campaign/{self.sandbox.token}{path}",
            body=b"" if body is None else json.dumps(body).encode(),
        )
        reply = self.sandbox.api.handle(call)
        assert reply.status == 200, reply
        return json.loads(reply.body) if reply.body[:1] in (b"[", b"{") else reply.body.decode()

    def add(self, *contacts: dict[str, Any]) -> list[Job]:
        ids = self.ask("/addPhones", contacts)
        return [job for job in self.sandbox.jobs if job.id in ids]

    def step(self, seconds: float) -> None:
        self.now += seconds
        assert self.sandbox.jobs is not None


def number(n: int, ending: str = "0000", **settings: Any) -> dict[str, Any]:
    return {"phone": f"1650{n:03}{ending}", **settings}


# --- hours ---

zones = st.sampled_from(
    ["Z", "+3", "-05:00", "GMT+05:45", "UTC-0930", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
)
clock_times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
intervals = st.builds(lambda start, end: {"localTimeFrom": start, "localTimeTo": end}, clock_times, clock_times)
tables = st.dictionaries(st.sampled_from([*DAYS, "default"]), st.lists(intervals, max_size=2), max_size=4)


def moments(start: float) -> st.SearchStrategy[str]:
    return st.floats(-3 * DAY, 12 * DAY).map(
        lambda after: datetime.fromtimestamp(start + after, UTC).isoformat(timespec="seconds")
    )


@st.composite
def policies(draw: st.DrawFn, start: float) -> dict[str, Any]:
    """The settings of a contact that a server takes."""
    policy = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "gmtZone": zones,
                "allowedDays": st.lists(st.sampled_from(DAYS), max_size=4, unique=True),
                "allowedTime": tables,
                "startDateTime": moments(start),
                "finishDateTime": moments(start),
                "maxAttempts": st.integers(0, 4),
                "retryIntervalInMinutes": st.sampled_from([0, 1, 30, 600, 2000]),
                "dialerPriority": st.sampled_from([1, 3, 5, 7]),
            },
        )
    )
    if check_contact({"phone": "16500000000", **policy}) is not None:
        policy.pop("allowedTime", None)
    return policy


def allowed(policy: dict[str, Any], moment: float) -> bool:
    """Whether a call may begin, read once more from the clauses: C-DAY-2, C-TIME-3, C-TIME-6, C-F-3, C-F-4."""
    local = datetime.fromtimestamp(moment, UTC).astimezone(read_zone(policy.get("gmtZone", "Z")))
    if "startDateTime" in policy and datetime.fromisoformat(policy["startDateTime"]) > local:
        return False
    if "finishDateTime" in policy and datetime.fromisoformat(policy["finishDateTime"]) <= local:
        return False
    now, found = f"{local:%H:%M}", False
    for before in (0, 1):
        day = DAYS[(local.weekday() - before) % 7]
        if policy.get("allowedDays") and day not in policy["allowedDays"]:
            continue
        if policy.get("allowedTime") is None:
            found |= before == 0
            continue
        times = policy["allowedTime"]
        for one in times[day] if day in times else times.get("default", []):
            start, end = one["localTimeFrom"], one["localTimeTo"]
            if before == 0:
                found |= start <= now and (now < end or end < start)
            else:
                found |= end < start and now < end
    return found
