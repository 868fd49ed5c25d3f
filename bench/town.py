"""A ledger with accounts that have money, whatever its engine, and transfers between them.

Accounts are drawn uniformly (any two of them), or skewed (rank r with a weight of about 1/r), and all have a limit and history.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from counterfoil.clock import SystemClock
from counterfoil.ledger.chart import AccountCode, Chart, TransferCode
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import (
    Account,
    AccountFlags,
    CreateAccountStatus,
    CreateTransferResult,
    CreateTransferStatus,
    Transfer,
)

BATCH = 8_000
ACCOUNTS = 10_000
CALLERS = 1_000
LEDGER = 840
FUNDS = 10**12
HOLDER_FLAGS = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.HISTORY)
CREATED = CreateTransferStatus.CREATED

Draw = Callable[[], tuple[int, int]]


class Town:
    """Accounts that have money, on `engine`."""

    def __init__(self, engine: Engine, *, accounts: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.engine = engine
        self._bank = self.new_id()
        self.ids = [self.new_id() for _ in range(accounts)]
        self.fill()

    def fill(self) -> None:
        """Creates the accounts in the engine, and gives each its money."""
        self._create([Account(id=self._bank, ledger=LEDGER, code=AccountCode.ISSUANCE)])
        for start in range(0, len(self.ids), BATCH):
            part = self.ids[start : start + BATCH]
            self._create([Account(id=account, ledger=LEDGER, code=AccountCode.CUSTOMER, flags=HOLDER_FLAGS) for account in part])
            self.write(
                [Transfer(self.new_id(), self._bank, account, FUNDS, ledger=LEDGER, code=TransferCode.ISSUE.value) for account in part]
            )

    def new_id(self) -> int:
        """As a device would make it: milliseconds, then randomness."""
        return time.time_ns() // 1_000_000 << 80 | self.random.getrandbits(80)

    def uniform(self) -> tuple[int, int]:
        a = self.random.randrange(len(self.ids))
        b = self.random.randrange(len(self.ids) - 1)
        return self.ids[a], self.ids[b if b < a else b + 1]

    def skewed(self) -> tuple[int, int]:
        a = b = 0
        while a == b:
            a, b = (int(len(self.ids) ** self.random.random()) - 1 for _ in range(2))
        return self.ids[a], self.ids[b]

    def transfers(self, count: int, draw: Draw, *, flags: int = 0, amount: int = 5) -> list[Transfer]:
        made = []
        for _ in range(count):
            debit, credit = draw()
            id_new = self.new_id()
            made.append(
                Transfer(id_new, debit, credit, amount, user_data_128=id_new, ledger=LEDGER, code=TransferCode.PAYMENT.value, flags=flags)
            )
        return made

    def write(self, transfers: list[Transfer], *, expect: CreateTransferStatus = CREATED) -> list[CreateTransferResult]:
        results = self.engine.create_transfers(transfers, time.time_ns())
        assert all(result.status is expect for result in results), "the workload is not what it says"
        return results

    def _create(self, accounts: list[Account]) -> None:
        results = self.engine.create_accounts(accounts, time.time_ns())
        assert all(result.status is CreateAccountStatus.CREATED for result in results)


async def concurrently(it: Town, transfers: list[Transfer], callers_count: int) -> float:
    """Transfers a second, each asked for by itself by one of so many callers at a time."""
    ledger = Ledger(it.engine, Chart(), SystemClock())
    waiting = iter(transfers)

    async def caller() -> None:
        for transfer in waiting:  # all callers share the iterator: each takes the next one
            (result,) = await ledger.create_transfers([transfer])
            assert result.status is CREATED, result

    async with asyncio.TaskGroup() as group:
        group.create_task(ledger.run())
        await asyncio.sleep(0)
        start = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers_count)))
        elapsed = time.perf_counter() - start
        await ledger.stop()
    return len(transfers) / elapsed
