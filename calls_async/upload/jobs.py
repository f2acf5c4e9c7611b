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
    """Answers about call jobs, as they come; iterate it. Ending the iteration early (`aclosing` makes sure of it)
    cancels what is in flight.

    What the server refuses is split until it stands alone; when all others have been answered, `JobsRefusedError`
    tells of those. Other failures are those of single calls, with the patience of uploads.
    """

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
        self._caller = caller
        self._settings = settings
        self._request = request
        self._read = read
        self._tell = tell
        self._names = [_lists_of(ids, "ids"), _lists_of(phones, "phones")]
        self.asked = 0
        """How many names of call jobs there were."""
        self._refused = 0
        self._refusals: list[str] = []
        self._batches = self._run()
        self._some: deque[Answer] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Answer:
        while not self._some:
            self._some.extend(await anext(self._batches))
        return self._some.popleft()

    async def batches(self) -> AsyncGenerator[list[Answer], None]:
        """The answers in lists, one a request: for a reader that writes them somewhere."""
        async with aclosing(self._batches) as batches:
            async for batch in batches:
                yield batch

    async def aclose(self) -> None:
        """Cancels what is in flight."""
        await self._batches.aclose()

    # --- the work ---

    async def _run(self) -> AsyncGenerator[list[Answer], None]:
        with self._caller.own_pace().shared_by(self._settings.concurrency, self._tell):
            for lists, by_phone in zip(self._names, (False, True), strict=True):
                async with aclosing(lists) as names, aclosing(self._answers(names, by_phone=by_phone)) as answers:
                    async for batch in answers:
                        yield batch
        if self._refused:
            raise JobsRefusedError(self._refused, self._refusals)

    async def _answers(
        self, lists: AsyncGenerator[list[Any], None], *, by_phone: bool
    ) -> AsyncGenerator[list[Answer], None]:
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
                if drawing in done and drawing is not None:
                    names, drawing = drawing.result(), None
                    more = names is not None
                    waiting.extend(self._jobs(names or [], drawn, by_phone=by_phone))
                    drawn += len(names or [])
                for call in calls & done:
                    calls.discard(call)
                    if answers := call.result():
                        yield answers
        finally:
            left = {*calls, drawing} - {None}
            for task in left:
                task.cancel()  # type: ignore[union-attr]
            if left:
                await asyncio.wait(left)  # type: ignore[type-var]

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
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
        raise ContactError("ids", f"{name!r:.40} is no ID; give a string or a whole number")
    return _Job(str(name).strip(), False, place)


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
    if not isinstance(names, bytes) and isinstance(names, Iterable):
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
