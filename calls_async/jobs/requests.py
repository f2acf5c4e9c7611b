"""The work behind a stream of answers: names become requests, which run on the same bounded runner as uploads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import attrs

from calls_async.concurrency import Channel
from calls_async.errors import AccessError, ContactError, JobsRefusedError, RefusedError, SourceError
from calls_async.events import EventDispatcher
from calls_async.jobs.names import JobIds, JobName, Phones, open_names, read_name
from calls_async.jobs.settings import JobsSettings
from calls_async.protocol.endpoints import Request, Response
from calls_async.protocol.keys import new_key
from calls_async.transport.answers import describe_refusal
from calls_async.transport.attempts import CallPlan
from calls_async.transport.connection import Connection
from calls_async.upload.chunks.chunk import halves
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.runner import Runner

Answer = TypeVar("Answer")

EXAMPLES = 5
"""Refusals that an error tells in words."""
_QUEUED = 1
"""Requests that wait for their turn: one look ahead."""


@attrs.frozen(slots=True)
class JobVerb(Generic[Answer]):
    """What is asked: how IDs, phones and an idempotence key become a request, and how its answer is read."""

    request: Callable[[Sequence[str], Sequence[str], str], Request]
    read: Callable[[Response], list[Answer]]


class JobRequests(Generic[Answer]):
    """The work behind a stream, which does not keep the stream alive. Raises `ConfigurationError`."""

    def __init__(
        self, ids: JobIds, phones: Phones, verb: JobVerb[Answer], settings: JobsSettings, connection: Connection
    ) -> None:
        self.answers: Channel[list[Answer]] = Channel(1)
        self.error: BaseException | None = None
        """What the reader is to be told in the end."""
        self.asked = 0
        self._verb = verb
        self._settings = settings
        self._caller = connection.make_upload_caller()
        self._pace = connection.pace
        self._tell = EventDispatcher(settings.on_event, connection.telemetry.event)
        self._names = [(open_names(ids, "ids"), False), (open_names(phones, "phones"), True)]
        self._queue: ChunkQueue[list[JobName]] = ChunkQueue(_QUEUED)
        self._runner = Runner(self._queue, self._ask, workers=settings.concurrency)
        self._feeding: asyncio.Task[None] | None = None
        self._refused = 0
        self._refusals: list[str] = []

    async def run(self) -> None:
        """Ask for everything; errors are kept for the reader."""
        with self._pace.shared_by(self._settings.concurrency, self._tell):
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._runner.start(tasks)
                    self._feeding = tasks.create_task(self._feed(), name="calls_async names of jobs")
                    await asyncio.wait([self._feeding])
                    self._queue.close()
                    await self._runner.finish()
            except BaseExceptionGroup as group:
                self._fail(group.exceptions[0])
        if self.error is None and self._refused:
            self.error = JobsRefusedError(self._refused, self._refusals)

    def note_end(self, task: asyncio.Task[None]) -> None:
        """Let the reader go on when the work has ended, also where it was cancelled."""
        if task.cancelled():
            self.error = self.error or asyncio.CancelledError()
        self.answers.close()

    def _fail(self, error: BaseException) -> None:
        """Ask for nothing more: so would every other call fail."""
        self.error = self.error or error
        self._queue.drop()
        if self._feeding is not None:
            self._feeding.cancel()

    # --- from names to requests ---

    async def _feed(self) -> None:
        try:
            for lists, by_phone in self._names:
                async with aclosing(lists) as names:
                    await self._gather(names, by_phone=by_phone)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.error is None and task is not None and task.cancelling():
                raise
            self.error = self.error or SourceError("ids or phones", "was cancelled while it was being read")
        except Exception as error:  # noqa: BLE001  # told to the reader, after what was read before
            self.error = self.error or error
        finally:
            for lists, _ in self._names:
                await lists.aclose()

    async def _gather(self, lists: AsyncGenerator[list[Any], None], *, by_phone: bool) -> None:
        """Gather names into requests. Few go together only where nobody else is asked for meanwhile: a slow source
        must not wait for its next name."""
        waiting: list[JobName] = []
        drawn = 0
        drawing = asyncio.ensure_future(_draw_next(lists))
        try:
            while True:
                if waiting:
                    idle = asyncio.ensure_future(self._queue.idle())
                    await asyncio.wait([drawing, idle], return_when=asyncio.FIRST_COMPLETED)
                    idle.cancel()
                else:
                    await asyncio.wait([drawing])
                if drawing.done():
                    names = drawing.result()
                    if names is None:
                        break
                    waiting += self._read_names(names, drawn, by_phone=by_phone)
                    drawn += len(names)
                    waiting = await self._put_full(waiting)
                    drawing = asyncio.ensure_future(_draw_next(lists))
                else:
                    self._queue.put([waiting])
                    waiting = []
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])
            if waiting and self.error is None:
                self._queue.put([waiting])

    async def _put_full(self, waiting: list[JobName]) -> list[JobName]:
        """Put full requests into the queue, as it has room; return what is left."""
        size = self._settings.chunk_rows
        while len(waiting) >= size:
            self._queue.put([waiting[:size]])
            waiting = waiting[size:]
            await self._queue.room()
        return waiting

    def _read_names(self, names: Sequence[Any], before: int, *, by_phone: bool) -> Iterable[JobName]:
        for number, name in enumerate(names, start=before + 1):
            place = f"{'phones' if by_phone else 'ids'}, item {number}"
            try:
                job = read_name(name, place, by_phone=by_phone)
            except ContactError as error:
                self._note_refusal(place, error.reason)
            else:
                if job is not None:
                    self.asked += 1
                    yield job

    # --- from requests to answers ---

    async def _ask(self, jobs: list[JobName]) -> None:
        """Ask for some jobs in one request; in halves, where the server refuses them together."""
        ids = [job.name for job in jobs if not job.by_phone]
        phones = [job.name for job in jobs if job.by_phone]
        try:
            plan = CallPlan(request=self._verb.request(ids, phones, new_key()))
            answers = await self._caller.call(plan, self._verb.read)
        except AccessError as error:
            self._fail(error)
        except RefusedError as error:
            if len(jobs) == 1:
                self._note_refusal(jobs[0].place, describe_refusal(error))
            else:
                parts = [[jobs[index] for index in half] for half in halves(range(len(jobs)))]
                self._queue.put(parts, first=True)
        except Exception as error:  # noqa: BLE001  # told to the reader
            self._fail(error)
        else:
            if answers:
                await self.answers.put(answers)

    def _note_refusal(self, place: str, words: str) -> None:
        self._refused += 1
        if len(self._refusals) < EXAMPLES:
            self._refusals.append(f"{place}: {words}")


async def _draw_next(lists: AsyncGenerator[list[Any], None]) -> list[Any] | None:
    return await anext(lists, None)
