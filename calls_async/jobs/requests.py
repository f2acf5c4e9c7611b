"""Requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from calls_async.errors import AccessError, ContactError, JobsRefusedError, RefusedError, SourceError
from calls_async.events import Event
from calls_async.jobs.names import JobIds, Phones, _Job, _job_of, _lists_of
from calls_async.jobs.settings import JobsSettings
from calls_async.protocol.endpoints import Request, Response
from calls_async.protocol.keys import new_key
from calls_async.transport.answers import said_by
from calls_async.transport.caller import Caller
from calls_async.upload.chunks.chunk import halves

Answer = TypeVar("Answer")


EXAMPLES = 5
"""Refusals that an error tells in words."""


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


async def _next_of(lists: AsyncGenerator[list[Any], None]) -> list[Any] | None:
    return await anext(lists, None)
