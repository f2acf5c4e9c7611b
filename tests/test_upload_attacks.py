"""What reviewers broke in refusals, pace and outages: the pipeline in virtual time, with a server of a few lines."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from calls_async import ConfigurationError, Event, NoAnswerError, OutageBegan, Outcome, OutcomeStatus, RetryPolicy
from calls_async.errors import JournalError
from calls_async.events import EventDispatcher
from calls_async.protocol.endpoints import Request, Response
from calls_async.sandbox.server.server import Sandbox
from calls_async.transport.caller import Caller
from calls_async.transport.clock import Clock
from calls_async.transport.exchange import ExchangeFailed
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.pacing.limiter import RateLimiter
from calls_async.transport.pacing.signals import Sign
from calls_async.upload.journal.journal import Journal
from calls_async.upload.journal.opening import open_journal
from calls_async.upload.journal.settings import JournalSettings
from calls_async.upload.journal.store import Store
from calls_async.upload.screening.exclusions import read_numbers
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from calls_async.upload.upload import Upload
from tests.simulation.loop import SimulatedLoop
from tests.test_pacing import Line, Setting, answer, call, many

FIRST = 16500000000
LOST = ExchangeFailed("the connection broke", reached=True)
Says = Callable[["Server", list[str], int], Response | Exception | None]


@attrs.define
class Server:
    """Creates a job for each contact, but where `says` answers in its place: it is given the contacts of the request,
    and how often that came before."""

    says: Says
    report: Callable[[Server], Response] | None = None
    jobs: list[str] = attrs.field(factory=list)
    came: Counter[str] = attrs.field(factory=Counter)
    requests: int = 0
    _known: dict[str, list[str]] = attrs.field(factory=dict)

    async def exchange(self, request: Request) -> Response:
        await asyncio.sleep(0.1)
        self.requests += 1
        if request.path.endswith("getReport"):
            return self._report(json.loads(request.body or b"{}")["phones"])
        phones = [contact["phone"] for contact in json.loads(request.body or b"[]")]
        key = str(request.idempotence_key)
        self.came[key] += 1
        said = self.says(self, phones, self.came[key] - 1)
        if isinstance(said, Exception):
            raise said
        return said or self.create(key, phones)

    def create(self, key: str, phones: list[str]) -> Response:
        if key not in self._known:
            self._known[key] = [str(len(self.jobs) + n) for n in range(len(phones))]
            self.jobs += phones
        return Response(status=200, body=json.dumps(self._known[key]).encode())

    def _report(self, asked: list[str]) -> Response:
        if self.report is not None:
            return self.report(self)
        reports = [{"callJobId": str(n), "phone": phone} for n, phone in enumerate(self.jobs) if phone in asked]
        return Response(status=200, body=json.dumps(reports).encode())


@attrs.define
class Play:
    """Uploads of contacts in virtual time."""

    server: Server
    journal: Path | None = None
    loop: SimulatedLoop = attrs.field(init=False)
    outcomes: list[Outcome] = attrs.field(factory=list)
    told: list[Event] = attrs.field(factory=list)
    upload: Upload = attrs.field(init=False)
    started: float = 1.8e9

    def run(
        self,
        count: int,
        *,
        act: Callable[[Upload], Awaitable[None]] | None = None,
        exclude: list[Path] | None = None,
        policy: RetryPolicy | None = None,
        consumer_seconds: float = 0.0,
        **settings: Any,
    ) -> Any:
        """One life; returns the error that it ends with, if any."""
        loop = self.loop = SimulatedLoop(random.Random(1))
        clock = Clock(wall=lambda: self.started + loop.time(), monotonic=loop.time, sleep=asyncio.sleep)
        caller = Caller(
            exchange=self.server.exchange,
            policy=policy or RetryPolicy.for_uploads(),
            clock=clock,
            rng=random.Random(2),
        )
        self.outcomes.clear()
        self.upload = Upload(
            open_source([{"phone": FIRST + n} for n in range(count)], Reading()),
            UploadSettings(**settings),
            caller,
            token="token",
            journal=JournalSettings(path=self.journal) if self.journal else None,
            screening=Screening(exclude=exclude or []),
            on_event=self.told.append,
        )

        async def main() -> None:
            acting = asyncio.ensure_future(act(self.upload)) if act else None
            try:
                async with self.upload:
                    async for receipt in self.upload:
                        self.outcomes.extend(receipt.outcomes())
                        await asyncio.sleep(consumer_seconds)
            finally:
                if acting is not None:
                    acting.cancel()

        try:
            loop.run_until_complete(main())
        except Exception as error:  # noqa: BLE001  # for the test to look at
            return error
        finally:
            loop.close()
            self.started += loop.time()
        return None

    def statuses(self) -> Counter[str]:
        return Counter(str(outcome.status) for outcome in self.outcomes)


def after(seconds: float, **how: Any) -> Callable[[Upload], Awaitable[None]]:
    async def act(upload: Upload) -> None:
        await asyncio.sleep(seconds)
        upload.stop(**how)

    return act


# --- nobody twice ---


@pytest.mark.parametrize("phone", [None, "+1 650-0000000", "someone"])
def test_a_report_that_does_not_say_whose_a_job_is(phone: str | None) -> None:  # C-REP-4
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if before == 0 and len(phones) == 8:
            server.create("lost", phones)
            return LOST
        return Response(status=400, body=b"no") if len(phones) == 8 else None

    report = {"callJobId": "1", "createdAt": None} | ({} if phone is None else {"phone": phone})
    play = Play(Server(says, report=lambda server: Response(status=200, body=json.dumps([report]).encode())))
    assert play.run(8) is None
    assert len(play.server.jobs) == (8 if phone != "+1 650-0000000" else 8 + 7)
    if phone != "+1 650-0000000":  # which says that row 1 has a job, and the others have none
        assert play.statuses() == {"unknown": 8}


def test_408_may_have_been_passed_on() -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | None:
        if before == 0:
            server.create("passed on", phones)
            return Response(status=408)
        return Response(status=400)

    play = Play(Server(says))
    play.run(8)
    assert len(play.server.jobs) == 8
    assert play.statuses() == {"unknown": 8}


def test_an_excluded_number_is_not_called_through_a_split(path: Path, tmp_path: Path) -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if not resumed:
            return LOST
        return Response(status=400) if str(FIRST + 3) in phones else None

    resumed = False
    play = Play(Server(says), journal=path)
    play.run(10, act=after(5, try_again=False))
    resumed = True
    listed = tmp_path / "dnc"
    listed.write_text(str(FIRST + 6))
    assert play.run(10, exclude=[listed]) is None
    assert str(FIRST + 6) not in play.server.jobs
    assert sorted(play.server.jobs) == [str(FIRST + n) for n in range(10) if n not in (3, 6)]


# --- nothing lost, nothing invented ---


def test_a_report_that_fails_while_stopping_leaves_the_chunk_to_the_next_run(path: Path) -> None:
    ready = False

    def report(server: Server) -> Response:
        return Response(status=200, body=b'[{"callJobId":"0","phone":"%d"}]' % FIRST) if ready else answer(503)

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        server.create("key", phones[:1])
        return Response(status=200, body=b'["0"]')

    play = Play(Server(says, report=report), journal=path)
    play.run(4, act=after(3, try_again=False))
    assert not play.upload.complete
    assert play.outcomes == []
    ready = True
    assert play.run(4) is None
    assert play.statuses() == {"accepted": 1, "unknown": 3}


def test_receipts_of_what_was_accepted_are_handed_out_after_a_failure() -> None:
    denied = False

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        nonlocal denied
        denied = denied or len(server.jobs) >= 40
        return Response(status=401) if denied else None

    play = Play(Server(says))
    error = play.run(400, chunk_rows=2, consumer_seconds=3.0)
    assert error is not None
    accepted = {outcome.phone for outcome in play.outcomes if outcome.status is OutcomeStatus.ACCEPTED}
    assert accepted == set(play.server.jobs)
    assert play.upload.summary.rows == len(play.outcomes)


def test_an_upload_that_failed_or_was_cut_short_is_not_complete(path: Path) -> None:
    play = Play(Server(lambda server, phones, before: Response(status=401)), journal=path)
    assert play.run(6, chunk_rows=2, concurrency=1) is not None
    assert not play.upload.complete
    hanging = Play(Server(lambda server, phones, before: LOST), journal=path)

    async def act(upload: Upload) -> None:
        await asyncio.sleep(5)
        upload.stop(try_again=False)

    assert hanging.run(6, chunk_rows=2, act=act) is None
    assert not hanging.upload.complete


def test_requests_that_were_never_made_are_not_counted() -> None:
    play = Play(Server(lambda server, phones, before: answer(429, retry_after="30")))
    play.run(1000, chunk_rows=10, act=after(5, try_again=False))
    assert play.upload.summary.requests == play.server.requests


def test_refused_in_a_row_are_kept_for_when_the_campaign_runs(path: Path) -> None:
    running = False
    play = Play(Server(lambda s, phones, before: None if running else Response(status=400, body=b"paused")), path)
    error = play.run(300, chunk_rows=10, max_refusals=20)
    assert "They and what was not sent yet are sent" in str(error)
    running = True
    assert play.run(300, chunk_rows=10) is None
    assert len(set(play.server.jobs)) == len(play.server.jobs)
    assert play.statuses() == {"accepted": 300}
    assert sorted(outcome.row for outcome in play.outcomes) == list(range(1, 301))


def test_what_is_excluded_was_not_refused_by_the_server(path: Path, tmp_path: Path) -> None:
    play = Play(Server(lambda server, phones, before: LOST), journal=path)
    play.run(60, chunk_rows=10, concurrency=1, act=after(1, try_again=False))
    listed = tmp_path / "dnc"
    listed.write_text("\n".join(str(FIRST + n) for n in range(60)))
    play.server.says = lambda server, phones, before: None
    assert play.run(60, exclude=[listed], max_refusals=20) is None
    assert len(play.outcomes) == 60


# --- progress ---


def test_one_request_that_always_fails_is_no_outage() -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | None:
        return answer(500) if str(FIRST + 5) in phones else None

    play = Play(Server(says))
    assert play.run(40, chunk_rows=2, concurrency=1) is None
    assert play.statuses() == {"accepted": 38, "unknown": 2}
    assert not [event for event in play.told if isinstance(event, OutageBegan)]


def test_429_for_hours_leaves_nothing_unknown(path: Path) -> None:
    play = Play(Server(lambda server, phones, before: answer(429, retry_after="3600")), journal=path)
    error = play.run(200, chunk_rows=10)
    assert isinstance(error, NoAnswerError)
    assert error.not_created
    assert play.outcomes == []
    play.server.says = lambda server, phones, before: None
    assert play.run(200, chunk_rows=10) is None
    assert play.statuses() == {"accepted": 200}


def test_words_of_size_may_mean_a_contact() -> None:
    bad = {str(FIRST + n) for n in range(50, 2000, 100)}

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        return Response(status=422, body=b"maxAttempts exceeds the limit") if bad & set(phones) else None

    play = Play(Server(says))
    assert play.run(2000, chunk_rows=100, concurrency=1) is None
    assert play.statuses() == {"accepted": 1980, "rejected": 20}
    assert play.server.requests < 500
    assert play.upload.pace.body_limit.largest is None


def test_stopping_in_the_wait_for_what_is_late_is_no_failure(path: Path) -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        return None if len(phones) < 8 else LOST if before == 0 else Response(status=400)

    play = Play(Server(says), journal=path)
    assert play.run(8, act=after(30, try_again=False)) is None
    assert play.loop.time() < 31
    assert not play.upload.complete
    assert play.run(8) is None
    assert play.statuses() == {"accepted": 8}


def test_others_go_on_while_some_wait_for_what_may_be_late() -> None:
    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if len(phones) == 1 or int(phones[0]) >= FIRST + 16 * 2:
            return None
        return LOST if before == 0 else Response(status=400)

    done_early = 0

    async def act(upload: Upload) -> None:
        nonlocal done_early
        await asyncio.sleep(60)
        done_early = len(play.server.jobs)

    play = Play(Server(says))
    assert play.run(2000, chunk_rows=2, act=act) is None
    assert play.statuses() == {"accepted": 2000}
    assert done_early == 2000 - 16 * 2


def test_stopping_sends_nothing_that_waits_for_the_rate(path: Path) -> None:
    play = Play(Server(lambda server, phones, before: None), journal=path)
    assert play.run(4000, rate=50, act=after(4, try_again=False)) is None
    assert play.loop.time() < 4.5
    assert len(play.server.jobs) <= 50 * 4.2
    assert not play.upload.complete


def test_a_key_in_progress_holds_back_its_own_chunk_only() -> None:
    one = Setting()
    said = iter([answer(409, retry_after="120")])

    async def act() -> None:
        waiting = asyncio.create_task(call(one.caller(), 0))
        await asyncio.sleep(1)
        began = one.loop.time()
        await many(one.caller(), 5)
        assert one.loop.time() - began < 5
        await waiting

    one.play(lambda now, request: next(said, Response(status=200, body=b'["1"]')), act)


def test_a_straggler_does_not_end_the_pause_that_the_server_wants() -> None:
    now = [0.0]
    clock = Clock(wall=lambda: now[0], monotonic=lambda: now[0], sleep=asyncio.sleep)
    pace = Pace(policy=RetryPolicy(), clock=clock, rng=random.Random(1))
    for _ in range(8):
        now[0] += 1
        pace.leave(Sign.ABSENT, started=now[0] - 0.5, retry=False, key="a")
    assert pace.outage is not None
    pace.leave(Sign.OVERLOADED, started=now[0], retry=False, key="a", hold_seconds=300)
    pace.leave(Sign.ANSWERED, started=now[0], retry=False, key="b")
    assert pace.outage is None
    assert pace.hold_seconds == 300


def test_the_rate_limiter_does_not_wait_for_what_is_too_late() -> None:
    one = Setting()
    one.line = Line(one.loop, lambda now, request: Response(status=200, body=b"[]"))
    limiter = RateLimiter(1, one.clock)

    async def enter() -> bool:
        return True

    async def main() -> None:
        assert await limiter.take(100, enter)
        assert not await limiter.take(1, enter, too_late=lambda seconds: seconds > 50)

    one.loop.run_until_complete(main())
    assert one.loop.time() == 0
    one.loop.close()


# --- lists of numbers ---


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("name\tphone\tagent\n\t16500000000\t16500000001\n", {16500000000}),
        ("name,phone\n#1 Bob,16500000000\n", {16500000000}),
    ],
)
def test_no_column_is_mistaken(tmp_path: Path, text: str, numbers: set[int]) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    found = read_numbers(path, None)
    assert len(found) == len(numbers)
    assert all(number in found for number in numbers)


@pytest.mark.parametrize("text", ["", "# nothing\n", "phone\n", "phone,phone\n1,2\n", "x" * 200_000])
def test_a_list_that_would_exclude_nobody_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    with pytest.raises(Exception, match="list") as caught:
        read_numbers(path, None)
    assert type(caught.value).__name__ == "SourceError"


def test_a_region_does_not_hide_an_international_number(tmp_path: Path) -> None:
    pytest.importorskip("phonenumbers")
    path = tmp_path / "list"
    path.write_text("16502530000\n")
    assert 16502530000 in read_numbers(path, "DE")


# --- callbacks and the journal's writer ---


def test_what_is_no_function_is_no_callback() -> None:
    class Asynchronous:
        async def __call__(self, event: Event) -> None:
            pass

    for wrong in (Asynchronous(), 5):
        with pytest.raises(ConfigurationError, match="plain function"):
            EventDispatcher(wrong)  # type: ignore[arg-type]


def test_a_failing_callback_logs_no_words_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    def failing(event: Event) -> None:
        raise ValueError("a bug")

    with pytest.raises(KeyError):
        try:
            raise KeyError("phone 16500000000 is on the stop list")
        finally:
            EventDispatcher(failing)(OutageBegan(at=0.0, reason="x"))
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "16500000000" not in logging.Formatter().format(record)


async def test_a_write_that_fails_in_an_unforeseen_way_is_told(
    sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = JournalSettings(path=path)
    journal: Journal = await open_journal(settings, token="t", host="h", source="s", clock=Clock())

    def broken(store: Store) -> None:
        raise TypeError("what is this?")

    monkeypatch.setattr(Store, "note_source_done", broken)
    with pytest.raises(JournalError, match="what is this"):
        await journal.note_source_done()
    await journal.close()


def test_pace_is_given_back_whatever_a_callback_does() -> None:
    clock = Clock(wall=lambda: 0.0, monotonic=lambda: 0.0, sleep=asyncio.sleep)
    pace = Pace(policy=RetryPolicy(), clock=clock, rng=random.Random(1))

    def leaving(event: Event) -> None:
        raise SystemExit

    async def main() -> None:
        with pace.shared_by(4, leaving):
            assert await pace.enter(retry=False, too_late=lambda seconds: False, sleep=asyncio.sleep)
            with pytest.raises(SystemExit):
                pace.leave(Sign.BUSY, started=1.0, retry=False, reason="429")
            assert pace.in_flight == 0

    asyncio.run(main())
