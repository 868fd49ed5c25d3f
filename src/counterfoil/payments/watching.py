"""Tells watchers of each movement of the accounts that they watch, exactly once.

    ledger's feed ── one transaction: notices, the watchers' journal, our position ──> SMS, or the watcher's devices

While nobody watches, the ledger is not followed. A watcher hears how much, with its fee, when, and under which receipt, whose code
opens the holder's side of it: the holder has chosen whom they show that. See `parties.watchers` for who watches, and for how long.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, select

from counterfoil.clock import Clock
from counterfoil.parties import watchers
from counterfoil.parties.journal import tell_nearest
from counterfoil.parties.watchers import Watchers
from counterfoil.payments.events import AccountEvent, EventType
from counterfoil.payments.feed import Feed, keep_position
from counterfoil.payments.feed_tables import feed_positions
from counterfoil.payments.fees import PaidBy
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.receipt_codes import ReceiptCodes

CONSUMER = "watchers"
"""The name of our position in the feed."""
PAID, RECEIVED, HELD, RELEASED = "watched_paid", "watched_received", "watched_held", "watched_released"
_HOLD = {EventType.HOLD_CREATED: HELD, EventType.HOLD_RELEASED: RELEASED, EventType.HOLD_EXPIRED: RELEASED}
_TOLD_WITH_ANOTHER = frozenset({EventType.FEE_HELD, EventType.FEE_RELEASED, EventType.FEE_CHARGED})
_WITH_FEE = (OrderKind.PAY, OrderKind.HOLD, OrderKind.CAPTURE)


class Watching:
    """Implements `feed.Consumer`. `run()` beside the server, until `feed.stop()`."""

    name = CONSUMER

    def __init__(self, watchers: Watchers, *, feed: Feed, clock: Clock, receipt_codes: ReceiptCodes) -> None:
        self.watchers = watchers
        self.feed = feed
        self.clock = clock
        self.receipt_codes = receipt_codes
        self._idle = True
        watchers.on_accept = self._accepted

    async def run(self) -> None:
        """Returns after `feed.stop()` and `stop()`. A bug here ends it with the bug."""
        this = select(feed_positions.c.timestamp).where(feed_positions.c.name == CONSUMER)
        kept = await self.feed.store.read(lambda connection: connection.execute(this).scalar())
        await self.watchers.load(kept or 0)
        await self.watchers.begun.wait()
        self._idle = False
        await self.feed.consume(self)

    def stop(self) -> None:
        self.watchers.begun.set()

    def _accepted(self, connection: Connection, after: int, alone: bool) -> None:
        """Where nobody watched before, what happened meanwhile is not read."""
        if alone and self._idle:
            connection.execute(delete(feed_positions).where(feed_positions.c.name == CONSUMER))
        keep_position(connection, CONSUMER, after)

    @property
    def accounts(self) -> Collection[int]:
        return self.watchers.accounts

    def write(self, connection: Connection, events: list[AccountEvent]) -> None:
        rows = watchers.told_of(connection, {event.account for event in events})
        for event in events:
            kind = movement(event)
            told = [
                row
                for row in rows
                if row.account == event.account and row.after < event.timestamp and (row.until is None or event.timestamp < row.until)
            ]
            if kind is None or not told:
                continue
            code = self.receipt_codes.tell(connection, event.payment.id, event.account) if event.payment else ""
            for row in told:
                tell_nearest(
                    connection, self.clock, row.watcher, kind, name=row.name, amount=event.amount, fee=_fee(event, kind),
                    at=str(event.timestamp), receipt_code=code,
                )  # fmt: skip

    def written(self) -> None:
        """Nobody waits for it: channels look for notices by themselves."""


def movement(event: AccountEvent) -> str | None:
    """What a watcher is told of an event; None for what is told with another one, or moves nothing of this account."""
    if event.type in _HOLD:
        return _HOLD[event.type] if event.outgoing else None
    if event.type in _TOLD_WITH_ANOTHER and event.payment is not None:
        return None
    return PAID if event.outgoing else RECEIVED


def _fee(event: AccountEvent, kind: str) -> int:
    """What this side pays on top of what moved or was set aside, minor units."""
    payment = event.payment
    if payment is None or payment.kind not in _WITH_FEE or kind == RELEASED:
        return 0
    return payment.fee if (payment.fee_paid_by is PaidBy.PAYER) == event.outgoing else 0
