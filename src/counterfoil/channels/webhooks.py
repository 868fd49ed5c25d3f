"""Webhooks: a merchant's server hears of each event of its account, signed, at least once, and can ask for it again.

    ledger's feed ── exactly once ──> outbox ── at least once, `delivery` ──> the merchant's server
    delivery log, replay of one message or of everything since a moment, test ping, rotation of the secret

The signed body names its receiver (endpoint and party), so a message cannot be pointed at somebody else. The account's
events are in the ledger for good: whatever the outbox no longer has is made again from there, under the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Row, func, select, update

from counterfoil.channels import outbox
from counterfoil.channels.delivery import Delivery
from counterfoil.channels.outbox import CONSUMER, EndpointState, Message
from counterfoil.channels.outgoing import Outgoing
from counterfoil.channels.signatures import SECRET_SIZE, secret_text
from counterfoil.channels.tables import attempts, endpoints
from counterfoil.channels.tables import outbox as messages
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import IdReused, Malformed, NotFound, NotInThisState, TooLarge
from counterfoil.ids import id_text
from counterfoil.money import AMOUNT_MAX
from counterfoil.payments.events import AccountEvent, EventType
from counterfoil.payments.feed import REPLAY_SIZE_MAX, Feed, keep_position
from counterfoil.store.database import Store

T = TypeVar("T")

ENDPOINTS_PER_PARTY_MAX = 10
SECRET_OVERLAP_S = 86_400
"""Seconds for which a replaced secret still signs."""
PAGE_SIZE_MAX = 200
REPLAY_EVENTS_MAX = 5_000
"""Events sent again by one call of `replay_since`."""

_TYPES = {str(event_type) for event_type in EventType}


class Endpoint(msgspec.Struct, frozen=True):
    """Where a party's server hears of an account's events.

    Attributes:
        event_types: names of `EventType`; empty for all.
        reason: why it is disabled; else empty.
        failing_since: ns since 1970 of the first failure after the last success; None while all is well.
    """

    id: int
    party: int
    account: int
    url: str
    event_types: tuple[str, ...]
    state: EndpointState
    reason: str
    failing_since: int | None
    created_at: int


class Attempt(msgspec.Struct, frozen=True):
    """One line of the delivery log. `status` is None when nobody answered; `error` is empty when it was delivered."""

    message: int
    number: int
    at: int
    duration_ms: int
    status: int | None
    error: str


class Replayed(msgspec.Struct, frozen=True):
    """How many events were put into the outbox; `next_since` goes on from there, None when that was all."""

    count: int
    next_since: int | None


class Webhooks:
    """Endpoints and what is sent to them. Implements `feed.Consumer`. The caller has verified that account and party belong together."""

    name = CONSUMER

    def __init__(self, *, store: Store, feed: Feed, clock: Clock, outgoing: Outgoing) -> None:
        """`outgoing` is closed when `run` ends."""
        self.store = store
        self.feed = feed
        self.clock = clock
        self.outgoing = outgoing
        self.delivery = Delivery(store=store, clock=clock, outgoing=self.outgoing)
        self._accounts: dict[int, set[int]] = {}  # the endpoints of an account; perhaps one too many, never one too few
        self._written: set[int] = set()

    async def run(self) -> None:
        """Writes the outbox and delivers it, until `feed.stop()` and `stop()`. A bug here ends it with the bug."""
        for account, endpoint in await self.store.read(_active):
            self._accounts.setdefault(account, set()).add(endpoint)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.feed.consume(self))
                group.create_task(self.delivery.run())
        finally:
            await self.outgoing.close()

    def stop(self) -> None:
        """Ends delivery, after some seconds for what is under way. What remains is delivered after the next start."""
        self.delivery.stop()

    # From the feed into the outbox

    @property
    def accounts(self) -> Collection[int]:
        return self._accounts

    def write(self, connection: Connection, events: list[AccountEvent]) -> None:
        wanted = endpoints.c.account.in_({event.account for event in events}) & (endpoints.c.state == EndpointState.ACTIVE)
        rows = connection.execute(select(endpoints).where(wanted)).all()
        now = self.clock.now_ns()
        fresh = [
            _message(event, row, now)
            for event in events
            for row in rows
            if row.account == event.account and event.timestamp > row.after and _wants(row, event)
        ]
        outbox.add(connection, fresh)
        self._written.update(message.endpoint for message in fresh)

    def written(self) -> None:
        self.delivery.wake(self._written)
        self._written = set()

    # Endpoints

    async def create(self, *, id: int, party: int, account: int, url: str, event_types: Sequence[str] = ()) -> Endpoint:
        """A new endpoint that hears of what happens from now on. A repeat answers the same one.

        Raises Malformed (`url`: no https address on the public internet; `event_types`), IdReused, TooLarge (more than
        ENDPOINTS_PER_PARTY_MAX).
        """
        _check_types(event_types)
        await self.outgoing.check(url)
        self._accounts.setdefault(account, set()).add(id)  # before the ledger's time is read: no event falls between
        now, after = self.clock.now_ns(), self.feed.ledger.last_timestamp
        values = {
            "id": id, "party": party, "account": account, "url": url, "event_types": " ".join(event_types), "secret": self._secret(),
            "previous_secret": None, "previous_until": 0, "state": EndpointState.ACTIVE, "reason": "", "after": after,
            "disabled_after": None, "failing_since": None, "created_at": now,
        }  # fmt: skip
        return await self.store.write(partial(_create, values=values))

    async def find(self, party: int, id: int) -> Endpoint:
        """Raises NotFound when there is none, or it is another party's."""
        return _endpoint(await self.store.read(lambda connection: _own(connection, party, id)))

    async def endpoints_of(self, party: int) -> list[Endpoint]:
        """A party's endpoints, oldest first."""
        this = (endpoints.c.party == party) & (endpoints.c.state != EndpointState.DELETED)
        statement = select(endpoints).where(this).order_by(endpoints.c.created_at, endpoints.c.id)
        return await self.store.read(lambda connection: [_endpoint(row) for row in connection.execute(statement)])

    async def change(self, party: int, id: int, *, url: str | None = None, event_types: Sequence[str] | None = None) -> Endpoint:
        """Other address, other types, or both; what waits is sent to the new address. Refusals as for `create`."""
        values: dict[str, Any] = {}
        if event_types is not None:
            _check_types(event_types)
            values["event_types"] = " ".join(event_types)
        if url is not None:
            await self.outgoing.check(url)
            values["url"] = url
        return await self._update(party, id, lambda _: values)

    async def secret(self, party: int, id: int) -> str:
        """The secret that signs now, as the receiver's library wants it ("whsec_...")."""
        row = await self.store.read(lambda connection: _own(connection, party, id))
        return str(row.secret)

    async def rotate_secret(self, party: int, id: int) -> str:
        """A new secret. The one before it signs as well for a day, so that the receiver can change over at leisure."""
        fresh, until = self._secret(), self.clock.now_ns() + SECRET_OVERLAP_S * NANOSECONDS
        await self._update(party, id, lambda row: {"secret": fresh, "previous_secret": row.secret, "previous_until": until})
        return fresh

    async def delete(self, party: int, id: int) -> None:
        """Nothing is sent any more, not even what waits. A repeat hears NotFound."""
        gone = {"state": EndpointState.DELETED, "disabled_after": None, "reason": ""}
        endpoint = await self._update(party, id, lambda _: gone)
        listening = self._accounts.get(endpoint.account, set())
        listening.discard(id)
        if not listening:
            self._accounts.pop(endpoint.account, None)

    async def enable(self, party: int, id: int) -> Endpoint:
        """Sends again to a disabled endpoint: what waits, what was given up, and what happened meanwhile. A repeat changes nothing."""
        endpoint = await self.find(party, id)
        self._accounts.setdefault(endpoint.account, set()).add(id)  # from now on the consumer moves on at each of its events
        while endpoint.state is EndpointState.DISABLED:
            until = self.feed.ledger.last_timestamp
            position = await self.store.read(lambda connection: _own(connection, party, id).disabled_after)
            while position is not None:
                position, _ = await self._write_again(endpoint, position, again=False)
            endpoint = await self.store.write(partial(_activate, party=party, id=id, until=until, now=self.clock.now_ns()))
        self.delivery.wake([id])
        return endpoint

    async def _update(self, party: int, id: int, values: Callable[[Row[Any]], dict[str, Any]]) -> Endpoint:
        def change(connection: Connection) -> Endpoint:
            row = _own(connection, party, id)
            if changes := values(row):
                connection.execute(update(endpoints).where(endpoints.c.id == id).values(changes))
            return _endpoint(connection.execute(select(endpoints).where(endpoints.c.id == id)).one())

        return await self.store.write(change)

    def _secret(self) -> str:
        return secret_text(self.clock.random_bytes(SECRET_SIZE))

    # Sending again, and looking

    async def ping(self, party: int, id: int) -> int:
        """Sends a message of type `ping`; its id, to be looked up in the log. Raises NotInThisState unless the endpoint is active."""
        now = self.clock.now_ns()

        def write(connection: Connection) -> int:
            row = _active_own(connection, party, id)
            message = outbox.notice(id, row.party, "ping", {}, now)
            outbox.add(connection, [message])
            return message.id

        message = await self.store.write(write)
        self.delivery.wake([id])
        return message

    async def replay_message(self, party: int, id: int, message: int) -> None:
        """Sends one message again, delivered or not, under its own id. Raises NotFound, NotInThisState (endpoint not active)."""
        now = self.clock.now_ns()

        def write(connection: Connection) -> None:
            _active_own(connection, party, id)
            if not outbox.send_again(connection, id, [message], now):
                raise NotFound("there is no message with this id; replay since its time to make it again")

        await self.store.write(write)
        self.delivery.wake([id])

    async def replay_since(self, party: int, id: int, since: int) -> Replayed:
        """Sends all events from ledger time `since` (ns, inclusive) again under their own ids, at most REPLAY_EVENTS_MAX in one call.

        Also those from before the endpoint was made, and those that the outbox no longer has.
        """
        if not 0 <= since <= AMOUNT_MAX:
            raise Malformed("since", "must be a moment from 1970 to 2262")
        endpoint = await self.find(party, id)
        if endpoint.state is not EndpointState.ACTIVE:
            raise NotInThisState("the endpoint is disabled: enable it first")
        position: int | None = max(since - 1, 0)
        seen = count = 0
        while position is not None and seen < REPLAY_EVENTS_MAX:
            position, written = await self._write_again(endpoint, position, again=True)
            seen += REPLAY_SIZE_MAX
            count += written
        self.delivery.wake([id])
        return Replayed(count, None if position is None else position + 1)

    async def _write_again(self, endpoint: Endpoint, after: int, *, again: bool) -> tuple[int | None, int]:
        """One page of events into the outbox; those that are there already are sent again only with `again`.

        Returns where to go on (None: that was all), and how many events the endpoint wants.
        """
        events = await self.feed.replay(endpoint.account, after=after, limit=REPLAY_SIZE_MAX)
        now = self.clock.now_ns()

        def write(connection: Connection) -> int:
            row = connection.execute(select(endpoints).where(endpoints.c.id == endpoint.id)).one()
            fresh = [_message(event, row, now) for event in events if _wants(row, event)]
            if again:
                outbox.send_again(connection, endpoint.id, [message.id for message in fresh], now)
            outbox.add(connection, fresh)
            return len(fresh)

        count = await self.store.write(write) if events else 0
        return (events[-1].timestamp if len(events) == REPLAY_SIZE_MAX else None), count

    async def messages(self, party: int, id: int, *, before: int = 0, limit: int = 50) -> list[Message]:
        """What was or is to be sent, newest event first; `before` is the `timestamp` of the last one of the page before."""
        _check_limit(limit)
        statement = select(messages).where(messages.c.endpoint == id)
        if before:
            statement = statement.where(messages.c.timestamp < before)
        statement = statement.order_by(messages.c.timestamp.desc()).limit(limit)

        def read(connection: Connection) -> list[Message]:
            _own(connection, party, id)
            return [outbox.message(row) for row in connection.execute(statement)]

        return await self.store.read(read)

    async def attempts(self, party: int, id: int, *, message: int = 0, before: int = 0, limit: int = 50) -> list[Attempt]:
        """The delivery log, newest first; of one `message`, or of all. `before` is the `at` of the last one of the page before."""
        _check_limit(limit)
        statement = select(attempts).where(attempts.c.endpoint == id)
        if message:
            statement = statement.where(attempts.c.message == message)
        if before:
            statement = statement.where(attempts.c.at < before)
        statement = statement.order_by(attempts.c.at.desc()).limit(limit)

        def read(connection: Connection) -> list[Attempt]:
            _own(connection, party, id)
            return [Attempt(r.message, r.number, r.at, r.duration_ms, r.status, r.error) for r in connection.execute(statement)]

        return await self.store.read(read)


def _create(connection: Connection, values: dict[str, Any]) -> Endpoint:
    same = ("party", "account", "url", "event_types")
    row = connection.execute(select(endpoints).where(endpoints.c.id == values["id"])).first()
    if row is not None:
        if any(getattr(row, name) != values[name] for name in same):
            raise IdReused
        return _endpoint(row)
    this = (endpoints.c.party == values["party"]) & (endpoints.c.state != EndpointState.DELETED)
    if connection.execute(select(func.count()).select_from(endpoints).where(this)).scalar_one() >= ENDPOINTS_PER_PARTY_MAX:
        raise TooLarge(f"at most {ENDPOINTS_PER_PARTY_MAX} endpoints", maximum=ENDPOINTS_PER_PARTY_MAX)
    keep_position(connection, CONSUMER, values["after"])  # the first endpoint of all: begin here, not where the consumer starts
    connection.execute(endpoints.insert().values(values))
    return _endpoint(connection.execute(select(endpoints).where(endpoints.c.id == values["id"])).one())


def _activate(connection: Connection, party: int, id: int, until: int, now: int) -> Endpoint:
    """Active again, unless the consumer has passed by events later than `until`, up to which all are written."""
    row = _own(connection, party, id)
    if row.state == EndpointState.DISABLED and keep_position(connection, CONSUMER, until) > until:
        connection.execute(update(endpoints).where(endpoints.c.id == id).values(disabled_after=until))
    elif row.state == EndpointState.DISABLED:
        values = {"state": EndpointState.ACTIVE, "reason": "", "disabled_after": None, "failing_since": None}
        connection.execute(update(endpoints).where(endpoints.c.id == id).values(values))
        outbox.send_waiting_again(connection, id, now)
    return _endpoint(_own(connection, party, id))


def _own(connection: Connection, party: int, id: int) -> Row[Any]:
    row = connection.execute(select(endpoints).where(endpoints.c.id == id, endpoints.c.party == party)).first()
    if row is None or row.state == EndpointState.DELETED:
        raise NotFound("there is no endpoint with this id")
    return row


def _active_own(connection: Connection, party: int, id: int) -> Row[Any]:
    row = _own(connection, party, id)
    if row.state != EndpointState.ACTIVE:
        raise NotInThisState("the endpoint is disabled: enable it first")
    return row


def _active(connection: Connection) -> list[tuple[int, int]]:
    statement = select(endpoints.c.account, endpoints.c.id).where(endpoints.c.state == EndpointState.ACTIVE)
    return [(row.account, row.id) for row in connection.execute(statement)]


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        id=row.id,
        party=row.party,
        account=row.account,
        url=row.url,
        event_types=tuple(row.event_types.split()),
        state=EndpointState(row.state),
        reason=row.reason,
        failing_since=row.failing_since,
        created_at=row.created_at,
    )


def _wants(endpoint: Row[Any], event: AccountEvent) -> bool:
    return not endpoint.event_types or event.type in endpoint.event_types.split()


def _message(event: AccountEvent, endpoint: Row[Any], now: int) -> Message:
    payment = event.payment
    data = {
        "event": str(event.timestamp),  # text: above 2^53 it would be rounded by half of the receivers
        "account": id_text(event.account),
        "payment": id_text(event.payment_id) if event.payment_id else None,
        "transfer": id_text(event.transfer_id),
        "counterparty": id_text(event.counterparty),
        "direction": "out" if event.outgoing else "in",
        "amount": event.amount,
        "balance": event.balance,
        "available": event.available,
        "kind": payment.kind.name.lower() if payment else None,
        "service": payment.service if payment else None,
        "reference": id_text(payment.reference) if payment and payment.reference else None,
        "memo": payment.memo if payment else None,
    }
    text = outbox.body(type=event.type, timestamp=event.timestamp, endpoint=endpoint.id, party=endpoint.party, data=data)
    return outbox.fresh_message(outbox.message_id(endpoint.id, event.timestamp), endpoint.id, event.timestamp, event.type, text, now)


def _check_types(event_types: Sequence[str]) -> None:
    if unknown := sorted(set(event_types) - _TYPES):
        raise Malformed("event_types", f"must be among {', '.join(sorted(_TYPES))}; not {unknown[0][:64]!r}")


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_SIZE_MAX:
        raise Malformed("limit", f"must be 1 to {PAGE_SIZE_MAX}")
