"""Follows the ledger and tells people, at once or after a while, what happened to their accounts.

    ledger's feed ── pages, read once for all who follow ──┬── live subscribers: `subscribe`, bounded, a slow one is cut off
                                                           └── durable consumers: `consume`, exactly once into the store
    ledger's account history ───────────────────────────────── `replay`: whatever was missed, from any moment on

The ledger is asked, not a copy: there is nothing to keep in step, and nothing that a crash could lose. While nobody listens,
nothing is read. An event has the movement's ledger time as its id, so a reader that names the last one it saw goes on
without loss and without doubling.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import Connection, select, update

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Malformed, TooMany, Unavailable
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import Account, ChangeEvent
from counterfoil.payments import records
from counterfoil.payments.events import AccountEvent, account_event
from counterfoil.payments.feed_tables import feed_positions
from counterfoil.payments.replay import movements_of
from counterfoil.payments.subscription import Subscription
from counterfoil.payments.types import Payment
from counterfoil.store.database import Store

T = TypeVar("T")
_Chosen = tuple[Account, ChangeEvent]

PAGE_SIZE_MAX = 512
"""Movements read at a time: some 5 ms of the event loop."""
REPLAY_SIZE_MAX = 500
"""Events in one answer of `replay`."""
PACE_S = 0.025
"""Seconds between two looks at a busy ledger: movements are told in batches, and nobody notices."""
POSITION_INTERVAL_S = 10
"""Seconds after which a position is kept although nothing was written. What lies between is read again after a crash."""
RETRY_S = 1.0
"""Seconds before a follower tries again after trouble with the store or the ledger."""
SUBSCRIPTIONS_MAX = 20_000
SUBSCRIPTIONS_PER_ACCOUNT_MAX = 32

log = structlog.get_logger(__name__)


class Consumer(Protocol):
    """Somebody who writes into the store what happened, exactly once."""

    @property
    def name(self) -> str:
        """The name of its position; 1 to 64 characters, one consumer each."""
        ...

    @property
    def accounts(self) -> Collection[int]:
        """Whose events it wants now. Looked at for every page: a set or a dict that the consumer keeps up to date."""
        ...

    def write(self, connection: Connection, events: list[AccountEvent]) -> None:
        """Writes what follows from `events`, in the transaction that also moves the position. Nothing but SQL."""
        ...

    def written(self) -> None:
        """What `write` wrote is durable."""
        ...


class Follower:
    """How far somebody has read. `position` is in memory, `kept` is what the store has: never ahead of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.position = 0
        self.kept = 0
        self.kept_at = 0


class _Page:
    """Movements after `after`, complete up to and including `until`, ledger time."""

    def __init__(self, after: int, until: int, changes: list[ChangeEvent]) -> None:
        self.after = after
        self.until = until
        self.changes = changes


class Feed:
    """`run()` must be running for subscribers to hear anything."""

    def __init__(self, *, ledger: Ledger, store: Store, clock: Clock) -> None:
        self.ledger = ledger
        self.store = store
        self.clock = clock
        self._stopping = asyncio.Event()
        self._subscriptions: dict[int, list[Subscription]] = {}
        self._subscribed = 0
        self._page = _Page(0, 0, [])
        self._page_lock = asyncio.Lock()

    async def run(self) -> None:
        """Tells live subscribers. Returns after `stop()`. A bug here ends it with the bug."""
        position = self.ledger.last_timestamp
        while head := await self._wait_for_changes(position):
            if not self._subscriptions:
                position = head  # nobody listens: nothing to read
                await self._pause(PACE_S)
                continue
            try:
                changes, until = await self._read(position, head)
                events = await self._join(_choose(changes, self._subscriptions))
            except Unavailable as error:
                log.warning("feed_live_waits", error=str(error))
                await self._pause(RETRY_S)
                continue
            # Whoever subscribed while we read starts at a later time than `until`, or replays up to there: nobody misses anything.
            for event in events:
                for subscription in list(self._subscriptions.get(event.account, ())):
                    subscription.push(event)
            position = until
            await self._pause(PACE_S)

    def stop(self) -> None:
        """Ends `run`, every `consume` and every subscription. What was not told yet is told after the next start."""
        self._stopping.set()
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                subscription.close()

    # Live

    def subscribe(self, account: int, *, after: int | None = None) -> Subscription:
        """The events of `account` as they happen; with `after` (the last one seen), first all that was missed since.

        Use it as `async with feed.subscribe(...) as events: async for event in events`. Raises Malformed when `after` is not a
        time of this ledger, TooMany when too many listen.
        """
        now = self.ledger.last_timestamp
        if after is not None and not 0 <= after <= now:
            raise Malformed("after", "must be the id of an event of this ledger")
        listening = self._subscriptions.get(account, [])
        if len(listening) >= SUBSCRIPTIONS_PER_ACCOUNT_MAX or self._subscribed >= SUBSCRIPTIONS_MAX:
            raise TooMany("too many are listening to this account" if listening else None)
        subscription = Subscription(
            account, position=now if after is None else after, behind=after is not None, replay=self.replay, leave=self._leave
        )
        if self._stopping.is_set():
            subscription.close()
            return subscription
        self._subscriptions.setdefault(account, []).append(subscription)
        self._subscribed += 1
        return subscription

    def _leave(self, subscription: Subscription) -> None:
        listening = self._subscriptions.get(subscription.account, [])
        if subscription in listening:
            listening.remove(subscription)
            self._subscribed -= 1
            if not listening:
                del self._subscriptions[subscription.account]

    @property
    def subscribed(self) -> int:
        """How many listen now."""
        return self._subscribed

    # After a while

    async def replay(self, account: int, *, after: int, limit: int = REPLAY_SIZE_MAX) -> list[AccountEvent]:
        """The events of `account` after the ledger time `after`, oldest first, at most `limit`. Fewer means: that is all.

        Raises Malformed for a limit or a time out of range.
        """
        if not 1 <= limit <= REPLAY_SIZE_MAX:
            raise Malformed("limit", f"must be 1 to {REPLAY_SIZE_MAX}")
        now = self.ledger.last_timestamp
        if after < 0:
            raise Malformed("after", "must not be negative")
        if after >= now:
            return []
        movements = await movements_of(self.ledger, account, after=after, until=now, limit=limit)
        payments = await self._payments({movement.transfer.user_data_128 for movement in movements})
        return [
            account_event(account, move.timestamp, move.type, move.transfer, move.after, payments.get(move.transfer.user_data_128))
            for move in movements
        ]

    # Exactly once into the store

    async def consume(self, consumer: Consumer, *, among: Callable[[set[int]], Awaitable[Collection[int]]] | None = None) -> None:
        """Hands `consumer` all events of its accounts, in order, exactly once, until `stop()`. A bug in it ends this with the bug.

        A consumer that was never here before begins now, or where `keep_position` put it. `among` is for one whose accounts are
        told by the store: asked for each page, once that was read, which of its accounts are wanted, in place of `accounts`. What
        was in the store before a movement is therefore known when the movement is looked at.
        """
        follower = Follower(consumer.name)
        await self._start(follower, first=self.ledger.last_timestamp)
        while head := await self._wait_for_changes(follower.position):
            if among is not None:
                advanced = await self._advance(follower, head, partial(_choose_among, among=among), consumer.write)
            else:
                choose = partial(_choose, accounts=consumer.accounts)
                advanced = await self._advance(follower, head, choose, consumer.write, skip=not consumer.accounts)
            if advanced:
                consumer.written()
            await self._pause(PACE_S)

    async def _start(self, follower: Follower, *, first: int) -> None:
        while not self._stopping.is_set():
            try:
                follower.kept = await self.store.write(lambda connection: keep_position(connection, follower.name, first))
            except Unavailable as error:
                log.warning("feed_start_waits", follower=follower.name, error=str(error))
                await self._pause(RETRY_S)
                continue
            follower.position = follower.kept
            follower.kept_at = self.clock.monotonic_ns()
            return

    async def _advance(
        self,
        follower: Follower,
        head: int,
        choose: Callable[[Sequence[ChangeEvent]], list[_Chosen] | Awaitable[list[_Chosen]]],
        write: Callable[[Connection, list[AccountEvent]], None],
        *,
        skip: bool = False,
    ) -> bool:
        """Reads one page (or none, with `skip`), writes what follows from it together with the new position. True when it wrote."""
        try:
            changes, until = ([], head) if skip else await self._read(follower.position, head)
            chosen = choose(changes)
            events = await self._join(chosen if isinstance(chosen, list) else await chosen)
            now = self.clock.monotonic_ns()
            if not events and now - follower.kept_at < POSITION_INTERVAL_S * NANOSECONDS:
                follower.position = until
                return False

            def write_and_move(connection: Connection) -> None:
                if events:
                    write(connection, events)
                _move(connection, follower.name, before=follower.kept, to=until)

            await self.store.write(write_and_move)
        except Unavailable as error:
            # Whether it was written is not known: the store knows, and we go on from what it says.
            log.warning("feed_follower_waits", follower=follower.name, error=str(error))
            await self._pause(RETRY_S)
            await self._start(follower, first=follower.kept)
            return False
        follower.position = follower.kept = until
        follower.kept_at = now
        return bool(events)

    # Parts

    async def _read(self, after: int, head: int) -> tuple[list[ChangeEvent], int]:
        """Movements after `after`, and the time up to which they are complete. Followers side by side share one reading."""
        async with self._page_lock:
            page = self._page
            if not page.after <= after < page.until:
                changes = await self.ledger.get_change_events(timestamp_min=after + 1, timestamp_max=head, limit=PAGE_SIZE_MAX)
                page = self._page = _Page(after, head if len(changes) < PAGE_SIZE_MAX else changes[-1].timestamp, changes)
        if page.after == after:
            return page.changes, page.until
        return page.changes[bisect_right(page.changes, after, key=_change_timestamp) :], page.until

    async def _join(self, chosen: list[tuple[Account, ChangeEvent]]) -> list[AccountEvent]:
        if not chosen:
            return []
        payments = await self._payments({change.transfer.user_data_128 for _, change in chosen})
        return [
            account_event(account.id, change.timestamp, change.type, change.transfer, account, payments.get(change.transfer.user_data_128))
            for account, change in chosen
        ]

    async def _payments(self, ids: set[int]) -> dict[int, Payment]:
        """Kept before the ledger was asked, so whatever has moved is there."""
        ids.discard(0)
        return await self.store.read(lambda connection: records.find_many(connection, sorted(ids))) if ids else {}

    async def _wait_for_changes(self, position: int) -> int:
        """The ledger's last time once it is later than `position`; 0 when we are to stop."""
        while not self._stopping.is_set():
            try:
                return await self._unless_stopping(self.ledger.wait_for_changes(position)) or 0
            except Unavailable as error:
                log.warning("feed_ledger_waits", error=str(error))
                await self._pause(RETRY_S)
        return 0

    async def _unless_stopping(self, work: Coroutine[Any, Any, T]) -> T | None:
        task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for each in (task, stopping):
                if not each.done():
                    each.cancel()
            await asyncio.wait((task, stopping))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def keep_position(connection: Connection, name: str, timestamp: int) -> int:
    """The position of a consumer; `timestamp` becomes it when there is none yet. For consumers that know where they begin."""
    kept = connection.execute(select(feed_positions.c.timestamp).where(feed_positions.c.name == name)).scalar()
    if kept is None:
        connection.execute(feed_positions.insert().values(name=name, timestamp=timestamp))
        return timestamp
    return int(kept)


def _move(connection: Connection, name: str, *, before: int, to: int) -> None:
    assert before <= to, (before, to)
    this = (feed_positions.c.name == name) & (feed_positions.c.timestamp == before)
    moved = connection.execute(update(feed_positions).where(this).values(timestamp=to)).rowcount
    assert moved == 1, f"two consumers share the name {name}"


async def _choose_among(changes: Sequence[ChangeEvent], among: Callable[[set[int]], Awaitable[Collection[int]]]) -> list[_Chosen]:
    sides = {change.transfer.debit_account_id for change in changes} | {change.transfer.credit_account_id for change in changes}
    return _choose(changes, await among(sides)) if sides else []


def _choose(changes: Sequence[ChangeEvent], accounts: Collection[int]) -> list[tuple[Account, ChangeEvent]]:
    """The sides that `accounts` has, in order. Costs two look-ups for each movement that concerns nobody."""
    chosen = []
    for change in changes:
        transfer = change.transfer
        if transfer.debit_account_id in accounts:
            chosen.append((change.debit_account, change))
        if transfer.credit_account_id in accounts:
            chosen.append((change.credit_account, change))
    return chosen


def _change_timestamp(change: ChangeEvent) -> int:
    return change.timestamp
