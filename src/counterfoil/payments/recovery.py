"""What a crash between store and ledger leaves behind, put right: claims of payments that were never carried out.

A payment that answers a request, or refunds another, claims that when it is kept. If the process dies before the ledger
is asked and the order never comes again, the claim would stand for ever. Once nothing can carry the payment out any more,
the ledger is asked what happened, and the claim is confirmed or given back. Nothing is guessed.
"""

from __future__ import annotations

import asyncio
from functools import partial

from sqlalchemy import Connection, select, update

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import OrderExpired
from counterfoil.payments import records
from counterfoil.payments.records import LinkOutcome
from counterfoil.payments.service import Payments
from counterfoil.payments.tables import links

INTERVAL_S = 60.0
MARGIN_S = 3600
"""Seconds after the end of a payment's lifetime before its claim is looked at: far longer than anything waits in a queue."""
PAGE_SIZE_MAX = 1_000


class Recovery:
    def __init__(self, payments: Payments, clock: Clock) -> None:
        self.payments = payments
        self.store = payments.store
        self.clock = clock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Puts claims right at the start and every minute, until `stop()`."""
        while not self._stopping.is_set():
            await self.run_once()
            try:
                async with asyncio.timeout(INTERVAL_S):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stopping.set()

    async def run_once(self) -> int:
        """Decides what can be decided; returns how many claims."""
        cutoff = self.clock.now_ns() - MARGIN_S * NANOSECONDS
        due = select(links.c.payment).where(links.c.outcome == LinkOutcome.OPEN, links.c.decided_by < cutoff)
        due = due.order_by(links.c.decided_by).limit(PAGE_SIZE_MAX)
        ids = await self.store.read(lambda connection: connection.execute(due).scalars().all())
        for id in ids:  # noqa: A001
            payment = await self.payments.find(id)
            assert payment is not None, id
            if await self.payments.was_carried_out(payment):
                await self.store.write(partial(_confirm, payment=id))
            else:
                await self.store.write(
                    partial(records.keep_refusal, payment=payment, refusal=OrderExpired(), refused_at=self.clock.now_ns())
                )
        return len(ids)


def _confirm(connection: Connection, payment: int) -> None:
    connection.execute(update(links).where(links.c.payment == payment).values(outcome=LinkOutcome.CARRIED_OUT))
