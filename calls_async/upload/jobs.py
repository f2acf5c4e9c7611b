"""Calls about many call jobs, of any number: reports and cancels, a few hundred jobs a request, some at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar

from calls_async.errors import (
    AccessError,
    ConfigurationError,
    ContactError,
    JobsRefusedError,
    RefusedError,
    SourceError,
)
from calls_async.protocol.endpoints import Request, Response
from calls_async.protocol.keys import new_key
from calls_async.protocol.phones import normalise_phone
from calls_async.transport.events import Event
from calls_async.transport.retry import Caller
from calls_async.upload.chunks import halves
from calls_async.upload.drawing import Drawing, in_slices
from calls_async.upload.outcomes import Outcome
from calls_async.upload.results import read_results
from calls_async.upload.sending import said_by
from calls_async.upload.settings import JobsSettings
from calls_async.upload.status import OutcomeStatus
from calls_async.upload.waiting import see_through

Answer = TypeVar("Answer")

JobId = str | int | Outcome
JobIds = str | Path | Iterable[JobId] | AsyncIterable[JobId]
Phones = Iterable[str | int] | AsyncIterable[str | int]

EXAMPLES = 5
"""Refusals that an error tells in words."""
_RESULTS = (".jsonl", ".csv")


class _Job(NamedTuple):
    """What names a call job, or the jobs of a number."""

    name: str
    by_phone: bool
    place: str
    """Where it stood, for errors."""


class JobStream(Generic[Answer]):
    """Answers about call jobs, as they come; iterate it. `async with`, or `aclose`, ends it early and cancels what is
    in flight; what has been asked by then may have been done, also where its answer was not read.

    What the server refuses is split until it stands alone; when all others have been answered, `JobsRefusedError`
    tells of those. Other failures are those of single calls, with the patience of uploads; they surface when what was
    in flight has been answered.
    """

    def __init__(self, work: Asking[Answer]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._some: deque[Answer] = deque()
        self._over = False

    @property
    def asked(self) -> int:
        """How many names of call jobs there were."""
        return self._work.asked

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Answer:
        while not self._some:
            self._some.extend(await self._next_batch())
        return self._some.popleft()

    async def batches(self) -> AsyncGenerator[list[Answer], None]:
        """The answers in lists, one a request: for a reader that writes them somewhere."""
        while True:
            try:
                batch = list(self._some) or await self._next_batch()
            except StopAsyncIteration:
                return
            self._some.clear()
            yield batch

    async def aclose(self) -> None:
        """Cancels what is in flight."""
        self._over = True
        if self._task is not None:
            self._task.cancel()
            await see_through(self._task)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Nobody will read any more. The loop may be gone, and this may be another thread.
        task = self._task
        if task is not None and not task.done() and not task.get_loop().is_closed():
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def _next_batch(self) -> list[Answer]:
        if self._over:
            raise StopAsyncIteration
        if self._task is None:
            self._task = asyncio.create_task(self._work.run(), name="calls_async jobs")
            self._task.add_done_callback(self._work.tell_of_cancellation)
        batch = await self._work.batches.get()
        if batch is None:
            self._over = True
            await see_through(self._task)
            if self._work.error is not None:
                raise self._work.error
            raise StopAsyncIteration
        return batch


class Asking(Generic[Answer]):
    """The work behind a stream, which does not keep the stream alive. Raises `ConfigurationError`."""

    def __init__(
        self,
        ids: JobIds,
        phones: Phones,
        settings: JobsSettings,
        caller: Caller,
        *,
        request: Callable[[Sequence[str], Sequence[str], str], Request],
        read: Callable[[Response], list[Answer]],
        tell: Callable[[Event], None],
    ) -> None:
        self.batches: asyncio.Queue[list[Answer] | None] = asyncio.Queue(1)
        """Answers, and None at the end."""
        self.error: BaseException | None = None
        """What the reader is to be told then."""
        self.asked = 0
        self._caller = caller
        self._settings = settings
        self._request = request
        self._read = read
        self._tell = tell
        self._names = [_lists_of(ids, "ids"), _lists_of(phones, "phones")]
        self._refused = 0
        self._refusals: list[str] = []

    async def run(self) -> None:
        with self._caller.own_pace().shared_by(self._settings.concurrency, self._tell):
            for lists, by_phone in zip(self._names, (False, True), strict=True):
                async with aclosing(lists) as names:
                    if self.error is None:
                        await self._ask(names, by_phone=by_phone)
        if self.error is None and self._refused:
            self.error = JobsRefusedError(self._refused, self._refusals)
        await self.batches.put(None)

    def tell_of_cancellation(self, task: asyncio.Task[None]) -> None:
        """Whoever cancels the work must not leave its reader waiting."""
        if task.cancelled():
            self.error = asyncio.CancelledError()
            if self.batches.full():
                self.batches.get_nowait()
            self.batches.put_nowait(None)

    async def _ask(self, lists: AsyncGenerator[list[Any], None], *, by_phone: bool) -> None:
        """Some calls at once, and one look ahead at what is to be asked next."""
        waiting: deque[_Job] = deque()
        calls: set[asyncio.Task[list[Answer]]] = set()
        drawing: asyncio.Task[list[Any] | None] | None = None
        drawn, more = 0, True
        try:
            while more or waiting or calls:
                # Few go together only where nobody else does: a slow source must not wait for its next name.
                while waiting and len(calls) < self._settings.concurrency:
                    if len(waiting) < self._settings.chunk_rows and more and calls:
                        break
                    some = [waiting.popleft() for _ in range(min(len(waiting), self._settings.chunk_rows))]
                    calls.add(asyncio.create_task(self._call(some), name="calls_async call about jobs"))
                if more and drawing is None and len(waiting) < self._settings.chunk_rows:
                    drawing = asyncio.create_task(_next_of(lists), name="calls_async names of jobs")
                tasks: set[asyncio.Task[Any]] = {*calls, drawing} if drawing is not None else {*calls}
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if drawing is not None and drawing in done:
                    names, drawing = self._result_of(drawing), None
                    more = more and names is not None
                    waiting.extend(self._jobs(names or [], drawn, by_phone=by_phone))
                    drawn += len(names or [])
                for call in calls & done:
                    calls.discard(call)
                    answers = self._result_of(call)
                    if answers is None:  # so would every other call: nothing more is asked
                        more = False
                        waiting.clear()
                    elif answers:
                        await self.batches.put(answers)
                if not more and drawing is not None:
                    drawing.cancel()
        finally:
            left = {*calls, drawing} - {None}
            for task in left:
                task.cancel()  # type: ignore[union-attr]
            if left:
                await asyncio.wait(left)  # type: ignore[type-var]

    def _result_of(self, task: asyncio.Task[Any]) -> Any:
        """None where it has failed, which is told when what is in flight has been answered."""
        if task.cancelled():
            self.error = self.error or SourceError("ids or phones", "was cancelled while it was being read")
        elif (error := task.exception()) is not None:
            self.error = self.error or error
        else:
            return task.result()
        return None

    async def _call(self, jobs: Sequence[_Job]) -> list[Answer]:
        """One request about some jobs, or several, where the server refuses them together."""
        ids = [job.name for job in jobs if not job.by_phone]
        phones = [job.name for job in jobs if job.by_phone]
        try:
            return await self._caller.call(self._request(ids, phones, new_key()), self._read)
        except AccessError:
            raise
        except RefusedError as error:
            if len(jobs) == 1:
                self._note_refusal(jobs[0].place, said_by(error))
                return []
        answers = []
        for half in halves(range(len(jobs))):
            answers += await self._call([jobs[index] for index in half])
        return answers

    def _jobs(self, names: Sequence[Any], before: int, *, by_phone: bool) -> Iterable[_Job]:
        for number, name in enumerate(names, start=before + 1):
            place = f"{'phones' if by_phone else 'ids'}, item {number}"
            try:
                job = _job_of(name, place, by_phone=by_phone)
            except ContactError as error:
                self._note_refusal(place, error.reason)
            else:
                if job is not None:
                    self.asked += 1
                    yield job

    def _note_refusal(self, place: str, words: str) -> None:
        self._refused += 1
        if len(self._refusals) < EXAMPLES:
            self._refusals.append(f"{place}: {words}")


def _job_of(name: Any, place: str, *, by_phone: bool) -> _Job | None:
    """None: an outcome without a job. Raises `ContactError`."""
    if isinstance(name, Outcome):
        if name.job_id is not None:
            return _Job(name.job_id, False, f"row {name.row}")
        if name.status is not OutcomeStatus.UNKNOWN or name.phone is None:
            return None
        name, by_phone, place = name.phone, True, f"row {name.row}"  # it may have a job, whose ID nobody knows
    if by_phone:
        return _Job(normalise_phone(name), True, place)
    text = str(name).strip() if isinstance(name, str | int) and not isinstance(name, bool) else ""
    if not text or not text.isprintable():
        raise ContactError("ids", f"{name!r:.40} is no ID; give a string or a whole number")
    return _Job(text, False, place)


def _lists_of(names: Any, what: str) -> AsyncGenerator[list[Any], None]:
    """Raises `ConfigurationError` for what gives no names."""
    if isinstance(names, str | Path):
        if what == "phones" or Path(names).suffix.lower() not in _RESULTS:
            raise ConfigurationError(
                f"{what} must be a list, or something else to iterate over"
                + ("" if what == "phones" else ", or a results file (.jsonl or .csv)")
            )
        return _read_in_thread(Path(names))
    if isinstance(names, AsyncIterable):
        return Drawing(names).lists()
    if not isinstance(names, bytes | bytearray | memoryview) and isinstance(names, Iterable):
        return in_slices(names)
    raise ConfigurationError(f"{what} must be a list, or something else to iterate over")


async def _read_in_thread(path: Path) -> AsyncGenerator[list[Outcome], None]:
    lists = read_results(path)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="calls_async-results") as thread:
        while (some := await loop.run_in_executor(thread, next, lists, None)) is not None:
            yield some


async def _next_of(lists: AsyncGenerator[list[Any], None]) -> list[Any] | None:
    return await anext(lists, None)
