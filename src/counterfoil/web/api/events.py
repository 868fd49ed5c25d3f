"""Server-sent events: "you have been paid", within a second. Source: WHATWG HTML, "Server-sent events".

    id: 1795285800123456789          ledger time, ns: unique, rising; resume after it with Last-Event-ID
    event: payment.received
    data: {"type": "payment.received", "amount": 500, "balance": 12500, ...}

Besides movements of money it carries, as they happen and without an id, what the lists of messages, requests and notices say
in full: `message.received`, `request.received`, `request.changed` and `notice` (see `payments.hub`), with the ids of what it is
about. Nobody is told these twice or afterwards: a client asks for the lists when it connects.

A heartbeat (a comment line) every 15 seconds keeps proxies from closing the line. Who reads too slowly is cut off, and goes
on from the last event it saw. A stream ends after an hour at the latest: a revoked device or token does not listen on.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Malformed, TooMany, Unavailable
from counterfoil.moments import moment_text
from counterfoil.parties.tokens import Scope
from counterfoil.payments.events import AccountEvent
from counterfoil.payments.feed import Feed
from counterfoil.payments.hub import REQUEST_CHANGED, REQUEST_RECEIVED, TYPES, Hub, Listener, Told
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.subscription import Subscription
from counterfoil.web.access import Principal, holder_or
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.incoming import Answer, Incoming, Receive, Send
from counterfoil.web.values import uuid_text
from counterfoil.web.views import KINDS

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
STREAM_S_MAX = 3_600
RETRY_MS = 1_000
"""Milliseconds after which a client connects again."""


_OF_TOKENS = (REQUEST_RECEIVED, REQUEST_CHANGED)
_ANSWERS = (OrderKind.PAY, OrderKind.HOLD)
"""Orders whose reference is a request."""


class EventView(msgspec.Struct, frozen=True):
    """One movement as the caller's account saw it. Amounts in minor units; `event` is the id to resume after."""

    event: str
    type: str
    at: str
    account: str
    payment: str | None
    transfer: str
    counterparty: str
    direction: str
    amount: int
    balance: int
    available: int
    kind: str | None
    reference: str | None
    memo: str | None


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: the id of the last event seen, for clients that cannot send Last-Event-ID."""

    after: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$", max_length=19)] | None = None


class EventEndpoints:
    """The stream of the caller's events."""

    def __init__(self, *, feed: Feed, hub: Hub, clock: Clock, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.feed = feed
        self.hub = hub
        self.clock = clock
        self.heartbeat_s = heartbeat_s

    def endpoints(self) -> list[Endpoint]:
        access = holder_or(Scope.PAYMENTS_READ)
        return [Endpoint("GET", "/v1/events", self.events, access=access, errors=(TooMany,), media_type=MEDIA_TYPE, tag="events")]

    async def events(self, caller: Principal, request: Incoming, query: EventsQuery) -> Answer:
        """What happens to the account, as it happens: server-sent events.

        With `Last-Event-ID` (or `after`) first all movements that were missed since. A token hears of movements and requests, a
        device also of messages and notices.
        """
        last = request.header("last-event-id") or query.after
        if last is not None and not re.fullmatch(r"[0-9]{1,19}", last, re.ASCII):
            raise Malformed("Last-Event-ID", "must be the id of an event")
        subscription = self.feed.subscribe(caller.account, after=None if last is None else int(last))

        listener = self.hub.subscribe(caller.account, TYPES if caller.device else _OF_TOKENS)

        async def stream(receive: Receive, send: Send) -> None:
            await self._stream(subscription, listener, receive, send)

        return Answer(media_type=MEDIA_TYPE, headers=((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")), stream=stream)

    async def _stream(self, subscription: Subscription, listener: Listener, receive: Receive, send: Send) -> None:
        """Until the client goes, reads too slowly, an hour has passed, or the server stops."""
        gone = asyncio.create_task(_disconnected(receive))
        ends_at = self.clock.monotonic_ns() + STREAM_S_MAX * NANOSECONDS
        following: asyncio.Task[AccountEvent | None] = asyncio.create_task(_next(subscription))
        listening: asyncio.Task[Told | None] = asyncio.create_task(listener.next())
        try:
            await send({"type": "http.response.body", "body": f"retry: {RETRY_MS}\n\n".encode(), "more_body": True})
            while self.clock.monotonic_ns() < ends_at:
                await asyncio.wait((gone, following, listening), timeout=self.heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    return
                text = b""
                if following.done():
                    if (event := following.result()) is None:
                        break
                    following = asyncio.create_task(_next(subscription))
                    text = _text(event)
                if listening.done():
                    if (told := listening.result()) is None:
                        break
                    listening = asyncio.create_task(listener.next())
                    text += _told_text(told)
                await send({"type": "http.response.body", "body": text or b":\n\n", "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            subscription.close()
            listener.close()
            tasks = (gone, following, listening)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _next(subscription: Subscription) -> AccountEvent | None:
    try:
        return await anext(subscription)
    except (StopAsyncIteration, Unavailable):  # stopped, or cut off: the client comes back with its last id
        return None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _text(event: AccountEvent) -> bytes:
    payment = event.payment
    view = EventView(
        event=str(event.timestamp),
        type=event.type,
        at=moment_text(event.timestamp),
        account=uuid_text(event.account),
        payment=uuid_text(event.payment_id) if event.payment_id else None,
        transfer=uuid_text(event.transfer_id),
        counterparty=uuid_text(event.counterparty),
        direction="out" if event.outgoing else "in",
        amount=event.amount,
        balance=event.balance,
        available=event.available,
        kind=KINDS[payment.kind] if payment else None,
        reference=uuid_text(payment.reference) if payment and payment.reference else None,
        memo=payment.memo if payment else None,
    )
    text = b"id: %d\nevent: %s\ndata: %s\n\n" % (event.timestamp, event.type.encode(), msgspec.json.encode(view))
    if payment and payment.reference and payment.kind in _ANSWERS:
        text += _told_text(Told(REQUEST_CHANGED, event.timestamp, {"request": uuid_text(payment.reference)}))
    return text


def _told_text(told: Told) -> bytes:
    data = {"type": told.type, "at": moment_text(told.at), **told.ids}
    return b"event: %s\ndata: %s\n\n" % (told.type.encode(), msgspec.json.encode(data))
