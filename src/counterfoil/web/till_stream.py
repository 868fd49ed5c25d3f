"""A till's events: "this sale is paid", within a second.

    event: sale.paid | sale.held | sale.captured | sale.released | sale.expired | sale.refunded | sale.changed
    data: {"type": "sale.paid", "at": "...", "sale": "018f..."}

    event: shop.changed
    data: {"type": "shop.changed", "at": "..."}

Nothing is resumed: a till asks for its open sales when it connects. `sale.changed` is all that another till or clerk did,
`shop.changed` that clerks, goods or tills did. A till that was ended hears nothing more: its stream ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from counterfoil.acceptance.sales import SALE_CHANGED, Sales
from counterfoil.acceptance.service import SHOP_CHANGED
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Unavailable
from counterfoil.moments import moment_text
from counterfoil.payments.events import AccountEvent, EventType
from counterfoil.payments.feed import Feed
from counterfoil.payments.hub import Listener, Told
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.subscription import Subscription
from counterfoil.web.api.events import HEARTBEAT_S, MEDIA_TYPE, RETRY_MS, STREAM_S_MAX
from counterfoil.web.incoming import Answer, Receive, Send
from counterfoil.web.values import uuid_text

_NAMES = {
    EventType.PAYMENT_RECEIVED: "sale.paid",
    EventType.HOLD_CREATED: "sale.held",
    EventType.HOLD_CAPTURED: "sale.captured",
    EventType.HOLD_RELEASED: "sale.released",
    EventType.HOLD_EXPIRED: "sale.expired",
    EventType.REFUND_SENT: "sale.refunded",
    EventType.REVERSAL_SENT: "sale.refunded",
}


class SaleEvents:
    """Turns an account's events into those of its sales."""

    def __init__(self, *, sales: Sales, feed: Feed, clock: Clock, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.sales = sales
        self.feed = feed
        self.clock = clock
        self.heartbeat_s = heartbeat_s

    def answer(self, account: int, *, stands: Callable[[], Awaitable[bool]]) -> Answer:
        """A stream that ends after an hour, or when the till reads too slowly: it comes back by itself. TooMany at once.

        `stands` says whether the till may still listen; it is asked whenever something of the shop has changed.
        """
        subscription = self.feed.subscribe(account)
        listener = self.sales.hub.subscribe(account, (SALE_CHANGED, SHOP_CHANGED))

        async def stream(receive: Receive, send: Send) -> None:
            await self._stream(subscription, listener, stands, receive, send)

        return Answer(media_type=MEDIA_TYPE, headers=((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")), stream=stream)

    async def _stream(
        self, subscription: Subscription, listener: Listener, stands: Callable[[], Awaitable[bool]], receive: Receive, send: Send
    ) -> None:
        ends_at = self.clock.monotonic_ns() + STREAM_S_MAX * NANOSECONDS
        gone = asyncio.create_task(_disconnected(receive))
        moved: asyncio.Task[AccountEvent | None] = asyncio.create_task(_next(subscription))
        told: asyncio.Task[Told | None] = asyncio.create_task(listener.next())
        try:
            await send({"type": "http.response.body", "body": f"retry: {RETRY_MS}\n\n".encode(), "more_body": True})
            while self.clock.monotonic_ns() < ends_at:
                await asyncio.wait((gone, moved, told), timeout=self.heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    return
                text = b""
                if moved.done():
                    if (event := moved.result()) is None:
                        break
                    moved = asyncio.create_task(_next(subscription))
                    text = await self._text(event)
                if told.done():
                    if (change := told.result()) is None:
                        break
                    told = asyncio.create_task(listener.next())
                    if change.type == SHOP_CHANGED and not await stands():
                        break
                    text += _event(change.type, change.at, change.ids)
                await send({"type": "http.response.body", "body": text or b":\n\n", "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            subscription.close()
            listener.close()
            tasks = (gone, moved, told)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _text(self, event: AccountEvent) -> bytes:
        name = _NAMES.get(event.type)
        sale = await self._sale_of(event) if name else 0
        return _event(name, event.timestamp, {"sale": uuid_text(sale)}) if name and sale else b""

    async def _sale_of(self, event: AccountEvent) -> int:
        """The sale that a movement belongs to: by the order itself, or by the hold or payment that it is about. 0 for none."""
        payment = event.payment
        for _ in range(3):  # a refund is about a capture, that about a hold, and that names the sale
            if payment is None or not payment.reference:
                return 0
            if payment.kind in (OrderKind.PAY, OrderKind.HOLD):
                known = await self.sales.known([payment.reference], event.account)
                return payment.reference if known else 0
            payment = await self.sales.payments.find(payment.reference)
        return 0


def _event(name: str, at: int, ids: dict[str, str]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode({"type": name, "at": moment_text(at)} | ids))


async def _next(subscription: Subscription) -> AccountEvent | None:
    try:
        return await anext(subscription)
    except (StopAsyncIteration, Unavailable):  # stopped, or cut off: the till comes back
        return None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
