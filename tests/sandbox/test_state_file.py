"""The sandbox's state in a file: whatever dies, it goes on as if nothing had been."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from calls_async.sandbox.api import Call, Reply
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.server.server import Sandbox
from calls_async.sandbox.state_file import StateFileError
from tests.helpers.dialing import DAY, MARCH, policies
from tests.helpers.sandboxes import call, close

TIMES = [1.0, 30.0, 1800.0, 3600.0, 20_000.0, 2 * DAY]
SUFFIXES = ["0000", "9900", "9901", "9902", "9903", "9904", "9905"]


class Pair:
    """Two sandboxes that get the same: one lives on in memory, the other dies again and again."""

    def __init__(self, folder: Path, duplicates: DuplicateRule, lines: int) -> None:
        self.now = MARCH
        self.lines = lines
        self.duplicates = duplicates
        self.folder = folder
        self.files = (folder / f"{number}.db" for number in count())
        self.immortal = self.make(None)
        self.path = next(self.files)
        self.mortal = self.make(self.path)

    def make(self, state: Path | None) -> Sandbox:
        return Sandbox(
            tokens=["a", "b"],
            clock=Clock(lambda: self.now),
            behaviour=Behaviour(),
            dialing=DialerSettings(lines=self.lines, retry_minutes=30),
            duplicates=self.duplicates,
            state=state,
        )

    def kill(self, downtime_seconds: float) -> None:
        """What lies on the disk now is all that is left, and nobody starts it again for some time."""
        after = next(self.files)
        for suffix in ("", "-wal"):
            if (one := Path(f"{self.path}{suffix}")).exists():
                shutil.copy(one, f"{after}{suffix}")
        assert self.mortal._state is not None
        self.mortal._state.close()
        self.path = after
        self.now += downtime_seconds
        self.mortal = self.make(self.path)

    def ask(self, one: Call) -> Reply:
        (reply, _), (same, _) = self.immortal.take(one), self.mortal.take(one)
        assert reply is not None
        assert reply == same
        return reply

    def look(self) -> None:
        """Both tell the same of everything."""
        for token in ("a", "b"):
            ids = [job.id for job in self.immortal.jobs]
            for path in ("/callJob/getReport", "/callAttempt/getReport"):
                self.ask(call(path, {"ids": ids}, token=token))
            self.ask(call("", method="GET", token=token))
        told = [(job.id, job.phone, job.payload, job.settings, job.test) for job in self.immortal.jobs]
        assert told == [(job.id, job.phone, job.payload, job.settings, job.test) for job in self.mortal.jobs]
        assert self.immortal.key_conflicts == self.mortal.key_conflicts
        for sandbox in (self.immortal, self.mortal):
            for campaign in sandbox.account.campaigns.values():
                assert +campaign.counts == Counter(job.status for job in campaign.jobs.values())


contacts = st.builds(
    lambda number, suffix, policy, payload: {"phone": f"1650{number:03}{suffix}", **policy, **payload},
    st.integers(0, 4),
    st.sampled_from(SUFFIXES),
    st.just({}) | policies(MARCH),
    st.sampled_from([{}, {"payload": {"name": "Zoë \ud800"}}, {"payload": None}, {"payload": [1.5, {"n": 2**70}]}]),
)
steps = st.one_of(
    st.tuples(
        st.just("add"), st.lists(contacts, min_size=1, max_size=5), st.sampled_from([None, "k1", "\udcff", "k3"])
    ),
    st.tuples(st.just("step"), st.sampled_from(TIMES), st.none()),
    st.tuples(st.just("control"), st.sampled_from(["pause", "resume", "stop"]), st.none()),
    st.tuples(st.just("cancel"), st.sets(st.integers(0, 20), max_size=3), st.sampled_from([None, "k3", "k4"])),
    st.tuples(st.just("set up"), st.integers(1, 5), st.none()),
    st.tuples(st.just("kill"), st.sampled_from([0.0, *TIMES]), st.none()),
)


@settings(max_examples=40, deadline=None)
@given(
    script=st.lists(steps, min_size=3, max_size=14),
    duplicates=st.sampled_from(DuplicateRule),
    lines=st.sampled_from([1, 2, 1000]),
)
def test_it_goes_on_as_if_it_had_not_died(
    script: list[tuple[str, Any, str | None]],
    duplicates: DuplicateRule,
    lines: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # C-IDEM-1, C-IDEM-7, C-DUP-1, C-DUP-2, C-REP-2
    note(repr(script))
    pair = Pair(tmp_path_factory.mktemp("state"), duplicates, lines)
    sent: list[Call] = []
    for verb, value, key in script:
        if verb in ("add", "cancel"):
            ids = {"ids": [str(5_665_330_001 + one) for one in value]} if verb == "cancel" else value
            sent.append(call("/addPhones" if verb == "add" else "/callJob/cancel", ids, key))
            pair.ask(sent[-1])
        elif verb == "step":
            pair.now += value
            pair.look()
        elif verb == "control":
            pair.ask(call(f"/control/{value}"))
        elif verb == "set up":
            for sandbox in (pair.immortal, pair.mortal):
                sandbox.account.set_up("b", name=f"B {value}", max_attempts=value)
            pair.ask(call("/status", method="GET"))
        else:
            pair.kill(value)
    pair.kill(0)
    for again in sent:
        pair.ask(again)
    pair.look()
    pair.now += 30 * DAY
    pair.look()
    assert pair.mortal._state is not None
    pair.mortal._state.close()


def test_its_time_does_not_go_back(tmp_path: Path) -> None:
    real = MARCH
    clock = Clock(lambda: real, speed=600)
    sandbox = Sandbox(clock=clock, state=tmp_path / "state.db")
    real += 3600
    sandbox.take(call("/addPhones", [{"phone": "16500000000"}], token=sandbox.token))
    then = sandbox.clock()
    assert sandbox._state is not None
    sandbox._state.close()
    real += 60
    again = Sandbox(clock=Clock(lambda: real), state=tmp_path / "state.db")
    assert (again.clock(), len(again.jobs), again.token) == (then, 1, sandbox.token)
    assert again._state is not None
    again._state.close()


def test_a_step_that_was_told_is_kept(tmp_path: Path) -> None:
    sandbox = Sandbox(clock=Clock(lambda: MARCH), state=tmp_path / "state.db")
    sandbox.advance(seconds=50)
    assert sandbox.save(clock_too=True)
    close(sandbox)
    again = Sandbox(clock=Clock(lambda: MARCH), state=tmp_path / "state.db")
    assert again.clock() == MARCH + 50
    close(again)


def test_a_stopped_campaign_stays_stopped_whatever_the_flags(tmp_path: Path) -> None:  # C-M-12
    def start(behaviour: Behaviour | None) -> Sandbox:
        return Sandbox(clock=Clock(lambda: MARCH), behaviour=behaviour, tokens=["a"], state=tmp_path / "state.db")

    sandbox = start(None)
    sandbox.take(call("/addPhones", [{"phone": "16500009900"}]))
    sandbox.take(call("/control/stop"))
    for behaviour in (Behaviour(), None, Behaviour()):
        close(sandbox)
        sandbox = start(behaviour)
        sandbox.advance(hours=1)
        sandbox.take(call("/addPhones", [{"phone": "16500009900", "payload": str(behaviour)}]))
        assert {job.status for job in sandbox.jobs} == {"planned"}
        assert sandbox.account.campaigns["a"].status == "finished"
    sandbox.take(call("/control/resume"))
    assert {job.status for job in sandbox.jobs} == {"inProcess"}
    close(sandbox)


def test_a_call_that_was_canceled_keeps_its_line(tmp_path: Path) -> None:  # C-M-5
    def start() -> Sandbox:
        dialing = DialerSettings(lines=1)
        clock = Clock(lambda: MARCH)
        return Sandbox(clock=clock, behaviour=Behaviour(), dialing=dialing, tokens=["a"], state=tmp_path / "state.db")

    sandbox = start()
    sandbox.take(call("/addPhones", [{"phone": "16500009905"}, {"phone": "16500009900"}]))
    sandbox.take(call("/callJob/cancel", {"phones": ["16500009905"]}))
    assert [job.status for job in sandbox.jobs] == ["canceled", "planned"]
    close(sandbox)
    sandbox = start()
    assert [job.status for job in sandbox.jobs] == ["canceled", "planned"]
    sandbox.advance(hours=1)
    assert [job.status for job in sandbox.jobs] == ["canceled", "longCallWithResult"]
    close(sandbox)


def test_keys_of_before_are_known_as_such(tmp_path: Path) -> None:  # C-IDEM-1
    for repeats in (None, 0, 0):
        sandbox = Sandbox(tokens=["a"], state=tmp_path / "state.db")
        sandbox.take(call("/addPhones", [{"phone": "16500009900"}], "k"))
        assert [entry.repeats for entry in sandbox.requests.entries] == [repeats]
        close(sandbox)


def test_another_seed_changes_nothing_that_was(tmp_path: Path) -> None:
    """Whatever people would have done: what was planned at the end is called after it, on the lines that are free."""
    behaviours = [Behaviour(shares={"noAnswer": 1}, no_answer_seconds=seconds) for seconds in (1000, 30)]
    clock = Clock(lambda: MARCH)
    for behaviour in behaviours:
        sandbox = Sandbox(
            clock=clock,
            behaviour=behaviour,
            dialing=DialerSettings(lines=1),
            tokens=["a"],
            state=tmp_path / "state.db",
        )
        if behaviour is behaviours[0]:
            sandbox.take(call("/addPhones", [{"phone": "16500000001"}]))
            clock.advance(seconds=100)
            sandbox.take(call("/addPhones", [{"phone": "16500000002"}]))
            close(sandbox)
    starts = [job.attempts[0].started_at_ms / 1000 for job in sandbox.jobs]
    assert starts == [MARCH, MARCH + 100]
    close(sandbox)


async def test_a_sandbox_that_cannot_start_lets_go_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with Sandbox(state=path) as one:
        port = int(one.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await Sandbox(state=tmp_path / "other.db", port=port).__aenter__()
    with pytest.raises(RuntimeError, match="is started once"):
        await one.__aenter__()
    with pytest.raises(ValueError, match="cannot be a token"):
        Sandbox(state=path, tokens=["bad token"])
    for name in ("state.db", "other.db"):
        close(Sandbox(state=tmp_path / name))


async def test_no_name_of_a_file_means_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        sandbox = Sandbox(tokens=["a"], state=":memory:")
        sandbox.take(call("/addPhones", [{"phone": "16500009900"}], "k"))
        assert len(sandbox.jobs) == 1
        close(sandbox)
    assert Path(":memory:").stat().st_size > 0


# --- files that are not as they should be ---


def not_a_database(path: Path) -> None:
    path.write_text("phone,name\n16500000000,Al\n" * 100)


def of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE precious (thing)")
    other.close()


def of_another_version(path: Path) -> None:
    close(Sandbox(state=path))
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()


def changed(statement: str) -> Any:
    """A state that somebody has changed."""

    def make(path: Path) -> None:
        sandbox = Sandbox(state=path, behaviour=Behaviour())
        sandbox.take(call("/addPhones", [{"phone": "16500000000"}], "k", token=sandbox.token))
        close(sandbox)
        with sqlite3.connect(path) as other:
            other.execute(statement)
        other.close()

    return make


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (not_a_database, "no state of a sandbox"),
        (of_another_program, "no state of a sandbox"),
        (of_another_version, "another version"),
        (changed("DELETE FROM job"), "damaged: job 5665330001 is missing"),
        (changed("DELETE FROM campaign"), "damaged"),
        (changed("UPDATE job SET settings = x'5b5d'"), "damaged"),
        (changed("UPDATE job SET attempts = '{}'"), "damaged"),
        (changed("UPDATE job SET attempts = '[1]'"), "damaged"),
        (changed("UPDATE key SET answer = '{\"body\": 5}'"), "damaged"),
        (Path.mkdir, "cannot be opened: unable to open"),
    ],
)
def test_a_file_that_is_none_of_its_own_stays_as_it_is(make: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StateFileError, match=says):
        Sandbox(state=path)
    assert before == (path.read_bytes() if path.is_file() else b"")


def test_one_sandbox_a_file_and_nobody_elses_eyes(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    one = Sandbox(state=path)
    another = [sys.executable, "-c", f"from calls_async.sandbox import Sandbox; Sandbox(state={str(path)!r})"]
    for _ in range(2):
        # A second one of this process, refused, must not open the door to those of others.
        with pytest.raises(StateFileError, match="in use by another sandbox"):
            Sandbox(state=path)
        done = subprocess.run(another, capture_output=True, text=True, check=False)
        assert (done.returncode, "in use by another sandbox" in done.stderr) == (1, True)
    one.take(call("/addPhones", [{"phone": "16500000000"}], token=one.token))
    assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {"0o600"}
    close(one)


def test_nothing_is_promised_that_is_not_on_disk(tmp_path: Path) -> None:  # C-IDEM-1
    sandbox = Sandbox(state=tmp_path / "state.db")
    assert sandbox._state is not None
    (pages,) = sandbox._state._db.execute("PRAGMA page_count").fetchone()
    sandbox._state._db.execute(f"PRAGMA max_page_count = {pages}")
    many = call("/addPhones", [{"phone": str(16500000000 + n)} for n in range(1000)], "k", token=sandbox.token)
    reply, _ = sandbox.take(many)
    assert reply is not None
    assert (reply.status, b"cannot write its state" in reply.body) == (503, True)
    sandbox._state._db.execute("PRAGMA max_page_count = 100000")
    reply, _ = sandbox.take(many)
    assert reply is not None
    assert (reply.status, len(json.loads(reply.body)), len(sandbox.jobs)) == (200, 1000, 1000)
    close(sandbox)
    again = Sandbox(state=tmp_path / "state.db")
    assert len(again.jobs) == 1000
    close(again)
