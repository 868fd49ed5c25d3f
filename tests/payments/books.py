"""Real books for tests of what follows the ledger: a store in a file, a ledger with its writer, payments carried out in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from counterfoil.channels import tables as _channels  # noqa: F401 - its tables belong to the store
from counterfoil.clock import NANOSECONDS, SystemClock
from counterfoil.ids import new_id
from counterfoil.ledger.chart import ACCOUNT_FLAGS, AccountCode, Chart
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import Account, CreateAccountStatus, CreateTransferStatus
from counterfoil.payments import feed_tables as _feed  # noqa: F401 - its tables belong to the store
from counterfoil.payments import records
from counterfoil.payments.feed import Feed
from counterfoil.payments.fees import PaidBy, Service
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.plan import plan
from counterfoil.payments.types import AuthorisationClass, Payment
from counterfoil.store.database import Store
from counterfoil.store.schema import metadata

LEDGER = 840
ISSUANCE, FEES = 1, 2
ALICE, BOB, SHOP, BANK = 101, 102, 201, 301
_CODES = {
    ISSUANCE: AccountCode.ISSUANCE, FEES: AccountCode.FEES, ALICE: AccountCode.CUSTOMER, BOB: AccountCode.CUSTOMER,
    SHOP: AccountCode.MERCHANT, BANK: AccountCode.INSTITUTION,
}  # fmt: skip


class ShiftedClock(SystemClock):
    """The machine's clock, which a test may set forward."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return time.time_ns() + self.ahead_ns

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() + self.ahead_ns

    def forward(self, seconds: float) -> None:
        self.ahead_ns += int(seconds * NANOSECONDS)


class Books:
    """A scheme without people: accounts, payments, and the feed of what happened."""

    def __init__(self, folder: Path, engine: Engine, clock: ShiftedClock) -> None:
        self.clock = clock
        self.engine = engine
        self.store = Store.open(f"sqlite:///{folder}/store.sqlite")
        self.ledger = Ledger(engine, Chart(), clock)
        self.feed = Feed(ledger=self.ledger, store=self.store, clock=clock)

    async def pay(
        self,
        payer: int = ALICE,
        payee: int = SHOP,
        amount: int = 100,
        *,
        kind: OrderKind = OrderKind.PAY,
        fee: int = 0,
        memo: str = "",
        earlier: Payment | None = None,
        timeout_s: int = 0,
        paid_by: PaidBy = PaidBy.PAYER,
    ) -> Payment:
        """Keeps a payment in the store, then carries it out in the ledger, as the service does it."""
        now = self.clock.now_ns()
        payment = Payment(
            id=new_id(self.clock), order_hash=bytes(32), kind=kind, service=Service.PURCHASE, payer=payer, payee=payee, amount=amount,
            fee=fee, fee_paid_by=paid_by, reference=0, timeout_s=timeout_s, memo=memo,
            authorisation=AuthorisationClass.DEVICE, device=1, mandate=0, order=b"", signature=b"", created_at=now, expires_at=now,
        )  # fmt: skip
        if earlier is not None:
            payment = Payment(**{name: getattr(payment, name) for name in payment.__struct_fields__} | {"reference": earlier.id})
        await self.store.write_together(_keep, payment)
        results = await self.ledger.create_transfers(plan(payment, earlier, ledger=LEDGER, fees_account=FEES))
        assert all(result.status is CreateTransferStatus.CREATED for result in results), results
        return payment

    async def open_accounts(self, money: int = 1_000_000) -> None:
        accounts = [Account(id=number, ledger=LEDGER, code=code, flags=ACCOUNT_FLAGS[code][0]) for number, code in _CODES.items()]
        for result in await self.ledger.create_accounts(accounts):
            assert result.status is CreateAccountStatus.CREATED, result.status
        await self.pay(ISSUANCE, BANK, money, kind=OrderKind.ISSUE)
        await self.pay(BANK, ALICE, money // 2)


def _keep(connection: object, batch: list[Payment]) -> list[Payment]:
    # Without the service there are no requests to claim: what refers to something is kept like anything else.
    plain = [Payment(**{name: getattr(p, name) for name in p.__struct_fields__} | {"reference": 0}) for p in batch]
    kept = records.keep(connection, plain)  # type: ignore[arg-type]
    assert kept == plain, kept
    return batch


@contextlib.asynccontextmanager
async def books_in(
    folder: Path, engine: Engine | None = None, *, clock: ShiftedClock | None = None, follow: bool = True, fresh: bool = True
) -> AsyncIterator[Books]:
    """Running books in `folder`. With `fresh` the accounts are opened; without, they are as a former life left them."""
    books = Books(folder, engine or MemoryEngine(), clock or ShiftedClock())
    if fresh:
        with books.store.writing() as connection:
            metadata.create_all(connection)
    async with asyncio.TaskGroup() as group:
        group.create_task(books.store.run())
        group.create_task(books.ledger.run())
        await asyncio.sleep(0)
        if follow:
            group.create_task(books.feed.run())
        try:
            if fresh:
                await books.open_accounts()
            yield books
        finally:
            books.feed.stop()
            await books.ledger.stop()
            await books.store.stop()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits until `condition` holds; fails if it never does."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
