"""Delivers what is in the outbox: at least once, again and again with growing delays, and never one at another's expense.

    an endpoint that answers      up to 16 messages at a time, growing from 2 with each success; of 128 places in all
    one that failed last          one message at a time; of 32 places of their own, so that however many hang, the
                                  others do not wait for them

What was not accounted for when the process died is due still, and is delivered again: receivers drop doubles by
`webhook-id`. The order of messages is not promised.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable
from functools import partial

import structlog
from sqlalchemy import Connection

from counterfoil.channels import outbox
from counterfoil.channels.outbox import SCHEDULE_S, Message, Outcome, Target
from counterfoil.channels.outgoing import NoAnswer, Outgoing
from counterfoil.channels.signatures import sign
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Unavailable
from counterfoil.ids import id_text
from counterfoil.store.database import Store

HEALTHY_PLACES = 128
FAILING_PLACES = 32
WINDOW_FIRST = 2
"""Messages at a time to an endpoint that we know nothing of."""
WINDOW_MAX = 16
JITTER = 0.2
"""Part of a delay that is left to chance, so that those that failed together do not come back together."""
PRUNE_INTERVAL_S = 3_600.0
RETRY_S = 1.0
"""Seconds before trying again after trouble with the store."""
POLL_S_MAX = 60.0
"""Seconds after which the time is looked at anew, whatever the machine's clock did meanwhile."""
STOP_S_MAX = 5.0
"""Seconds that `stop` leaves to requests under way; beyond, they are broken off and made again after the next start."""

log = structlog.get_logger(__name__)


class _Lane:
    """One endpoint's share: what is on its way, and how much may be."""

    def __init__(self) -> None:
        self.under_way: set[int] = set()
        self.window = WINDOW_FIRST


class Delivery:
    """`run()` must be running for anything to be sent."""

    def __init__(self, *, store: Store, clock: Clock, outgoing: Outgoing) -> None:
        self.store = store
        self.clock = clock
        self.outgoing = outgoing
        self._lanes: dict[int, _Lane] = {}
        self._ready: dict[int, None] = {}  # endpoints to be looked at, in order
        self._failing: set[int] = set()  # endpoints that did not take the last message
        self._timers: list[tuple[int, int]] = []  # a heap: (when, endpoint), with at most one valid entry for each endpoint
        self._timer: dict[int, int] = {}  # endpoint: when, of the valid entry
        self._under_way = {False: 0, True: 0}  # by `failing`
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Delivers until `stop()`. A bug here ends it with the bug."""
        async with asyncio.TaskGroup() as group:
            pruning = group.create_task(self._prune())
            await self._start()
            while not self._stopping.is_set():
                self._wake.clear()
                now = self.clock.now_ns()
                while self._timers and self._timers[0][0] <= now:
                    when, endpoint = heapq.heappop(self._timers)
                    if self._timer.get(endpoint) == when:
                        del self._timer[endpoint]
                        self._ready[endpoint] = None
                try:
                    await self._begin_attempts(group, now)
                except Unavailable as error:
                    log.warning("webhooks_wait", error=str(error))
                    await self._sleep(RETRY_S)
                    continue
                await self._sleep(self._timers[0][0] / NANOSECONDS - self.clock.now_ns() / NANOSECONDS if self._timers else POLL_S_MAX)
            pruning.cancel()
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=STOP_S_MAX)
                for task in late:
                    task.cancel()

    def stop(self) -> None:
        """Ends `run`, which first lets requests under way come to their end for some seconds."""
        self._stopping.set()
        self._wake.set()

    def wake(self, endpoints: Iterable[int]) -> None:
        """Something new is due for these."""
        self._ready.update(dict.fromkeys(endpoints))
        self._wake.set()

    @property
    def under_way(self) -> int:
        """Requests that are being made now."""
        return len(self._tasks)

    async def _start(self) -> None:
        """Finds what a former life left."""
        while not self._stopping.is_set():
            try:
                for endpoint, due_at in await self.store.read(outbox.waiting):
                    self._remind(endpoint, due_at)
                return
            except Unavailable as error:
                log.warning("webhooks_wait", error=str(error))
                await self._sleep(RETRY_S)

    def _remind(self, endpoint: int, when: int) -> None:
        if when < self._timer.get(endpoint, when + 1):
            self._timer[endpoint] = when
            heapq.heappush(self._timers, (when, endpoint))

    def _places(self, endpoint: int) -> int:
        failing = endpoint in self._failing
        return (FAILING_PLACES if failing else HEALTHY_PLACES) - self._under_way[failing]

    async def _begin_attempts(self, group: asyncio.TaskGroup, now: int) -> None:
        """As many as there are places, endpoint by endpoint. One without a place stays ready, in line."""
        for endpoint in list(self._ready):
            if self._places(endpoint) <= 0:
                continue
            del self._ready[endpoint]  # before the look: whoever wakes it meanwhile has something that this look may not see
            try:
                target = await self.store.read(partial(_target, endpoint=endpoint, now=now))
            except Unavailable:
                self._ready[endpoint] = None
                raise
            if target is None:
                continue
            if target.failing:
                self._failing.add(endpoint)
            lane = self._lanes.setdefault(endpoint, _Lane())
            places = min((1 if endpoint in self._failing else lane.window) - len(lane.under_way), self._places(endpoint))
            if places > 0:  # else it is looked at again when one of its own comes back
                await self._begin_some(group, lane, target, places, now)
            if not lane.under_way:
                del self._lanes[endpoint]

    async def _begin_some(self, group: asyncio.TaskGroup, lane: _Lane, target: Target, places: int, now: int) -> None:
        read = partial(_next, endpoint=target.id, without=frozenset(lane.under_way), limit=places + 1)
        for message in await self.store.read(read):
            assert message.next_attempt_at is not None, message.id
            if message.next_attempt_at > now:
                self._remind(target.id, message.next_attempt_at)
                return
            if places == 0:
                self._ready[target.id] = None  # more is due: to the end of the line
                return
            places -= 1
            self._begin(group, lane, target, message)

    def _begin(self, group: asyncio.TaskGroup, lane: _Lane, target: Target, message: Message) -> None:
        place = target.id in self._failing
        lane.under_way.add(message.id)
        self._under_way[place] += 1
        task = group.create_task(self._attempt(lane, target, message))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            lane.under_way.discard(message.id)
            self._under_way[place] -= 1
            self.wake([message.endpoint])

        task.add_done_callback(ended)

    async def _attempt(self, lane: _Lane, target: Target, message: Message) -> None:
        outcome = await self._send(target, message)
        (self._failing.discard if outcome.delivered else self._failing.add)(target.id)
        lane.window = min(lane.window + 1, WINDOW_MAX) if outcome.delivered else WINDOW_FIRST
        try:
            recorded = await self.store.write_together(outbox.record, outcome)
        except Unavailable as error:
            # It may have been delivered, and nobody wrote it down: it is sent again.
            log.warning("webhook_not_recorded", message=id_text(message.id), error=str(error))
            await asyncio.sleep(RETRY_S)
            return
        self.wake(recorded.told)
        if not recorded.active:
            log.warning("webhook_endpoint_inactive", endpoint=id_text(target.id), status=outcome.status, error=outcome.error)

    async def _send(self, target: Target, message: Message) -> Outcome:
        at, started = self.clock.now_ns(), self.clock.monotonic_ns()
        headers = sign(target.secrets, message_id=id_text(message.id), timestamp_s=at // NANOSECONDS, body=message.body)
        status, error, retry_after_s = None, "", 0
        try:
            answer = await self.outgoing.send("POST", target.url, headers=headers | {"content-type": "application/json"}, body=message.body)
            status, retry_after_s = answer.status, answer.retry_after_s
            error = "" if 200 <= status < 300 else f"answered {status}"
        except NoAnswer as failure:
            error = str(failure)
        assert message.next_attempt_at is not None, message.id
        return Outcome(
            message=message.id,
            endpoint=target.id,
            due_at=message.next_attempt_at,
            at=at,
            duration_ms=(self.clock.monotonic_ns() - started) // 1_000_000,
            status=status,
            error=error,
            delivered=not error,
            next_attempt_at=self._next_attempt_at(message.retries, retry_after_s) if error else None,
        )

    def _next_attempt_at(self, retries: int, retry_after_s: int) -> int | None:
        """When to try again after the attempt number `retries` (from 0) of the round; None to give up."""
        if retries >= len(SCHEDULE_S):
            return None
        chance = int.from_bytes(self.clock.random_bytes(4)) / 2**32
        delay_s = max(SCHEDULE_S[retries], retry_after_s) * (1 + JITTER * chance)
        return self.clock.now_ns() + int(delay_s * NANOSECONDS)

    async def _prune(self) -> None:
        """Every hour, a little at a time."""
        while True:
            await asyncio.sleep(PRUNE_INTERVAL_S)
            try:
                for endpoint in await self.store.read(outbox.all_endpoints):
                    deleted = 1
                    while deleted:
                        deleted = await self.store.write(partial(outbox.prune, endpoint=endpoint, now=self.clock.now_ns()))
                        await asyncio.sleep(0.01)
            except Unavailable as error:
                log.warning("webhooks_prune_waits", error=str(error))

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until somebody wakes us."""
        try:
            async with asyncio.timeout(min(max(seconds, 0), POLL_S_MAX)):
                await self._wake.wait()
        except TimeoutError:
            return


def _target(connection: Connection, endpoint: int, now: int) -> Target | None:
    return outbox.target(connection, endpoint, now)


def _next(connection: Connection, endpoint: int, without: frozenset[int], limit: int) -> list[Message]:
    return outbox.next_messages(connection, endpoint, without=without, limit=limit)
