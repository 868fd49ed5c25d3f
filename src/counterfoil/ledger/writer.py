"""The one writer of a ledger: a bounded queue in front of an engine, and group commit.

It takes whatever waits when the engine is free, commits it as one batch, and answers everyone: speed comes from the
batch, not from weaker durability. It never lingers for a fuller batch, and never cuts one caller's list. Lists are
applied in the order in which they arrived; neighbours of the same kind go together.

What is refused (by the engine as a status, by the chart as an error) concerns its caller alone. What is Unavailable (a full
disk, a lock) concerns that batch: its callers ask again, the writer goes on. Anything else is a bug: the writer stops,
and everybody who waits hears Unavailable.

An engine that waits for a server writes on a thread of the writer's own, and the event loop goes on meanwhile. All else
stays the same: one batch at a time, taken from the queue and answered on the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import structlog

from counterfoil import errors
from counterfoil.clock import Clock
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.types import BATCH_SIZE_MAX, Account, CreateAccountResult, CreateTransferResult, Transfer

log = structlog.get_logger()

PULSE_INTERVAL_S: Final = 0.25
"""Seconds between two looks for pending transfers that are due."""

R = TypeVar("R")

_Waiting = tuple[Sequence[Any], asyncio.Future[Any], bool]
"""One caller's list, who waits for its results, and whether it is of accounts. A tuple: made for every single payment."""


class Writer:
    """Runs on one event loop. All methods are called on its thread.

    Attributes:
        waiting: events in the queue.
        batches, batched: batches committed so far, and events in them.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        refusal: Callable[[Sequence[Transfer]], errors.Refused | None],
        *,
        queue_size_max: int,
        pulse_interval_s: float = PULSE_INTERVAL_S,
    ) -> None:
        """`refusal` says of a list of transfers, right before the engine would see it, why it may not go there, or None."""
        assert queue_size_max > 0, queue_size_max
        self.waiting = 0
        self.batches = 0
        self.batched = 0
        self._engine = engine
        self._clock = clock
        self._refusal = refusal
        self._queue_size_max = queue_size_max
        self._pulse_interval_s = pulse_interval_s
        self._queue: deque[_Waiting] = deque()
        self._wakeup: asyncio.Future[None] | None = None  # while the writer sleeps
        self._pulse_due = True
        self._running = False
        self._stopping = False
        self._ended: asyncio.Event | None = None
        self._followers: list[tuple[int, asyncio.Future[int]]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer") if engine.waits else None

    def create_transfers(self, transfers: Sequence[Transfer]) -> asyncio.Future[list[CreateTransferResult]]:
        """The results, one per event, once they are durable. Raises Unavailable at once when the queue is full."""
        return self._enqueue(transfers, accounts=False)

    def create_accounts(self, accounts: Sequence[Account]) -> asyncio.Future[list[CreateAccountResult]]:
        """The results, one per event, once they are durable. Raises Unavailable at once when the queue is full."""
        return self._enqueue(accounts, accounts=True)

    def wait_for_changes(self, after: int) -> asyncio.Future[int]:
        """The ledger's time once it is past `after`. Raises Unavailable if the writer stops first."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._engine.last_timestamp > after:
            future.set_result(self._engine.last_timestamp)
        elif self._stopping:
            future.set_exception(_stopped())
        else:
            if len(self._followers) > 64:  # those who gave up waiting while nothing happened
                self._followers = [follower for follower in self._followers if not follower[1].done()]
            self._followers.append((after, future))
        return future

    async def run(self) -> None:
        """Writes until `stop`, then drains the queue and returns. Raises what the bug raised that stopped it."""
        assert not self._running
        assert not self._stopping, "a writer that has stopped is not started again"
        self._running = True
        self._ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        pulse = loop.call_later(self._pulse_interval_s, self._pulse)
        try:
            while True:
                if self._pulse_due:
                    if self._thread is None:
                        self._release_due()
                    else:
                        await self._release_due_beside(self._thread)
                    pulse.cancel()
                    pulse = loop.call_later(self._pulse_interval_s, self._pulse)
                if self._queue:
                    if self._thread is None:
                        self._write_batch()
                    else:
                        await self._write_batch_beside(self._thread)
                    await asyncio.sleep(0)  # those who were answered may ask for more
                elif self._stopping:
                    return
                elif not self._pulse_due:
                    self._wakeup = loop.create_future()
                    await self._wakeup
                    self._wakeup = None
        finally:
            # Reached with an empty queue, or by a bug or a cancellation: nobody is left waiting.
            self._stopping = True
            pulse.cancel()
            self._fail_all()
            if self._thread is not None:
                self._thread.shutdown()  # what it did has ended
            self._ended.set()

    async def stop(self) -> None:
        """Takes no new work from now on. Returns when all that waited has been answered. Safe to repeat."""
        self._stopping = True
        self._wake()
        if self._ended is not None:
            await self._ended.wait()
        else:
            self._fail_all()  # it never ran

    def _enqueue(self, events: Sequence[Any], *, accounts: bool) -> asyncio.Future[Any]:
        if self._stopping:
            raise _stopped()
        count = len(events)
        if self.waiting + count > self._queue_size_max:
            raise errors.Unavailable("The ledger has more waiting than it can take. Ask again with the same id.")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((events, future, accounts))
        self.waiting += count
        if self._wakeup is not None:
            self._wake()
        return future

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _pulse(self) -> None:
        self._pulse_due = True
        self._wake()

    def _release_due(self) -> None:
        """Lets pending transfers expire by themselves, also while nobody asks for anything."""
        try:
            self._note_released(self._engine.expire_pending_transfers(self._clock.now_ns()))
        except errors.Unavailable as error:
            self._note_not_released(error)

    async def _release_due_beside(self, thread: ThreadPoolExecutor) -> None:
        try:
            self._note_released(await _run_in(thread, self._engine.expire_pending_transfers, self._clock.now_ns()))
        except errors.Unavailable as error:
            self._note_not_released(error)

    def _note_released(self, released: int) -> None:
        self._pulse_due = released == BATCH_SIZE_MAX  # then there may be more
        if released:
            self._tell_followers()

    def _note_not_released(self, error: errors.Unavailable) -> None:
        self._pulse_due = False
        log.warning("ledger_expiry_waits", error=error.detail)

    def _write_batch(self) -> None:
        """Commits what waits, as far as it is of one kind and fits, and answers. Nobody waits longer than that."""
        batch, events, accounts = list[_Waiting](), list[Any](), self._queue[0][2]
        try:
            self._take(batch, events)
            if not batch:
                return
            create: Callable[[Any, int], Sequence[Any]] = self._engine.create_accounts if accounts else self._engine.create_transfers
            results = create(events, self._clock.now_ns())
            assert len(results) == len(events), (len(results), len(events))
        except BaseException as error:
            if self._fail_batch(batch, events, error):
                return
            raise
        self._answer(batch, events, results)

    async def _write_batch_beside(self, thread: ThreadPoolExecutor) -> None:
        """As `_write_batch`, while the loop goes on."""
        batch, events, accounts = list[_Waiting](), list[Any](), self._queue[0][2]
        try:
            self._take(batch, events)
            if not batch:
                return
            create: Callable[[Any, int], Sequence[Any]] = self._engine.create_accounts if accounts else self._engine.create_transfers
            results = await _run_in(thread, create, events, self._clock.now_ns())
            assert len(results) == len(events), (len(results), len(events))
        except BaseException as error:
            if self._fail_batch(batch, events, error):
                return
            raise
        self._answer(batch, events, results)

    def _take(self, batch: list[_Waiting], events: list[Any]) -> None:
        """Moves what waits and is of one kind from the queue into `batch`, as far as it fits; refuses what may not go on."""
        queue = self._queue
        accounts = queue[0][2]
        refuse = None if accounts else self._refusal
        while queue and queue[0][2] is accounts and len(events) + len(queue[0][0]) <= BATCH_SIZE_MAX:
            waiting = queue.popleft()
            batch.append(waiting)
            listed, future, _ = waiting
            self.waiting -= len(listed)
            refusal = refuse(listed) if refuse is not None else None
            if refusal is None:
                events += listed
            else:
                batch.pop()
                if not future.done():
                    future.set_exception(refusal)

    def _fail_batch(self, batch: list[_Waiting], events: list[Any], error: BaseException) -> bool:
        """Answers a batch that was not written. Whether the writer goes on: `error` is no bug."""
        if isinstance(error, errors.Unavailable):
            log.warning("ledger_batch_unavailable", events=len(events), error=error.detail)
            _fail(batch, error.detail)
            return True
        _fail(batch, "The ledger has stopped because of a fault.")
        return False

    def _answer(self, batch: list[_Waiting], events: list[Any], results: Sequence[Any]) -> None:
        self.batches += 1
        self.batched += len(events)
        index = 0
        for listed, future, _ in batch:
            stop = index + len(listed)
            if not future.done():  # else its caller gave up waiting; the work is done nevertheless
                future.set_result(results[index:stop])
            index = stop
        self._tell_followers()

    def _tell_followers(self) -> None:
        if not self._followers:
            return
        last = self._engine.last_timestamp
        waiting = []
        for after, future in self._followers:
            if future.done():
                continue
            if last > after:
                future.set_result(last)
            else:
                waiting.append((after, future))
        self._followers = waiting

    def _fail_all(self) -> None:
        batch = list(self._queue)
        self._queue.clear()
        self.waiting = 0
        _fail(batch, _stopped().detail)
        for _, future in self._followers:
            if not future.done():
                future.set_exception(_stopped())
        self._followers = []


def _stopped() -> errors.Unavailable:
    return errors.Unavailable("The ledger is not taking anything at the moment. Ask again with the same id.")


def _fail(batch: Sequence[_Waiting], detail: str) -> None:
    for _, future, _ in batch:
        if not future.done():
            future.set_exception(errors.Unavailable(detail))


async def _run_in(thread: ThreadPoolExecutor, call: Callable[..., R], *arguments: Any) -> R:
    """The call's answer, from the thread. A cancellation waits for its end: what is under way cannot be called back."""
    future = asyncio.get_running_loop().run_in_executor(thread, call, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
