"""Who is told what of a batcher's contacts: those that wait for an outcome, and its owner."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence

from calls_async.errors import CallsError, ConfigurationError
from calls_async.upload.outcomes.outcome import Outcome, Receipt

OnReceipt = Callable[[Receipt], Awaitable[object] | object]


class Deliveries:
    """Hands outcomes to the tasks that wait for them, and receipts to the owner. Raises `ConfigurationError` for an
    `on_receipt` that cannot be called."""

    def __init__(self, on_receipt: OnReceipt | None = None) -> None:
        if on_receipt is not None and not callable(on_receipt):
            raise ConfigurationError("on_receipt must be a function that takes one receipt; it may be `async def`")
        self.under_way = 0
        """Contacts that were taken in and have no outcome."""
        self._on_receipt = on_receipt
        self._waiters: dict[int, asyncio.Future[Outcome]] = {}

    def take_in(self, count: int = 1) -> None:
        """Count contacts that were taken in."""
        self.under_way += count

    def let_go(self) -> None:
        """Count a contact that was taken out again."""
        self.under_way -= 1

    def expect(self, row: int) -> asyncio.Future[Outcome]:
        """Return the future outcome of a row, until `forget` of it."""
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiters[row] = waiter
        return waiter

    def forget(self, row: int) -> None:
        """Expect a row no longer."""
        del self._waiters[row]

    def note(self, receipt: Receipt) -> None:
        """Tell those that wait for a row of this receipt."""
        for outcome in receipt.outcomes():
            waiter = self._waiters.get(outcome.row)
            if waiter is not None and not waiter.done():
                waiter.set_result(outcome)
            self.under_way -= 1

    async def tell_owner(self, receipts: Sequence[Receipt]) -> None:
        """Tell the owner of receipts, one after the other. Raises what `on_receipt` raises."""
        if self._on_receipt is None:
            return
        for receipt in receipts:
            try:
                told = self._on_receipt(receipt)
                if inspect.isawaitable(told):
                    await told
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise CallsError("on_receipt was cancelled; the batcher has ended") from None

    def end(self, reason: Callable[[bool], Exception], not_kept: Collection[int]) -> None:
        """Tell all that still wait that nothing more comes; `reason` makes the error for a row that is kept, or not:
        the rows of `not_kept` stand in no journal."""
        for row, waiter in self._waiters.items():
            if not waiter.done():
                waiter.set_exception(reason(row not in not_kept))
