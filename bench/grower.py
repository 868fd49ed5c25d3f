"""A ledger that grows, in a process of its own, so that its memory is nobody else's.

python -m bench.grower WHERE, where WHERE is the path of a file, postgresql://... or tigerbeetle://...?cluster=N

Reads commands from its standard input, one a line, and answers each with one line of JSON:

    grow N            creates accounts until there are N, and gives each its money; seconds
    rate COUNT        COUNT transfers in batches of 8,000 between any two accounts; transfers per second
    skewed COUNT      the same, where the account of rank r is drawn with a weight of about 1/r: most accounts rest most of the time
    latency COUNT R   COUNT single transfers through the writer, arriving at random, R a second; p50 and p99 in milliseconds
    memory            megabytes of this process
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import machine
from bench.town import BATCH, CREATED, FUNDS, HOLDER_FLAGS, LEDGER
from counterfoil.clock import SystemClock
from counterfoil.commands import logs
from counterfoil.config import cluster_of
from counterfoil.ledger.chart import AccountCode, Chart, TransferCode
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import Account, CreateAccountStatus, Transfer

FIRST_MS = 1_700_000_000_000
"""The accounts' ids follow from their numbers, so that nobody has to keep ten million of them."""
BANK = 0


def account_id(number: int) -> int:
    """Ids in time order, as those of accounts that were opened one after the other."""
    return (FIRST_MS << 80) + (number + 1 << 32)


class Grower:
    """Accounts 1 to `count`, all with money, and account 0, whose it was."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.count = 0
        self.random = random.Random(1)
        (created,) = engine.create_accounts([Account(id=account_id(BANK), ledger=LEDGER, code=AccountCode.ISSUANCE)], time.time_ns())
        assert created.status is CreateAccountStatus.CREATED, created

    def grow(self, count: int) -> dict[str, float]:
        began = time.perf_counter()
        gc.disable()
        while self.count < count:
            part = [account_id(number) for number in range(self.count + 1, min(self.count + BATCH, count) + 1)]
            accounts = [Account(id=each, ledger=LEDGER, code=AccountCode.CUSTOMER, flags=HOLDER_FLAGS) for each in part]
            created = self.engine.create_accounts(accounts, time.time_ns())
            assert all(each.status is CreateAccountStatus.CREATED for each in created)
            self._write([self._transfer(account_id(BANK), each, FUNDS, TransferCode.ISSUE) for each in part])
            self.count += len(part)
        gc.enable()
        gc.collect()
        gc.freeze()  # as `app.collect_garbage_rarely` has it in a server: what is there stays
        gc.set_threshold(50_000, 20, 100)
        return {"seconds": time.perf_counter() - began}

    def rate(self, count: int) -> dict[str, float]:
        return self._rate(count, self._payment)

    def skewed(self, count: int) -> dict[str, float]:
        return self._rate(count, self._skewed_payment)

    def latency(self, count: int, rate: float) -> dict[str, float]:
        transfers = [self._payment() for _ in range(count)]
        latencies = sorted(asyncio.run(self._open_loop(transfers, rate)))
        return {"p50_ms": latencies[count // 2] * 1_000, "p99_ms": latencies[count * 99 // 100] * 1_000}

    def memory(self) -> dict[str, float]:
        return {"mb": machine.resident_mb(os.getpid())}

    async def _open_loop(self, transfers: list[Transfer], rate: float) -> list[float]:
        """Seconds from each transfer's arrival to its answer."""
        ledger = Ledger(self.engine, Chart(), SystemClock())
        latencies: list[float] = []

        async def ask(transfer: Transfer, at: float) -> None:
            (result,) = await ledger.create_transfers([transfer])
            assert result.status is CREATED, result
            latencies.append(time.perf_counter() - at)

        async with asyncio.TaskGroup() as group:
            group.create_task(ledger.run())
            await asyncio.sleep(0)
            at = time.perf_counter()
            asked = []
            for transfer in transfers:
                at += self.random.expovariate(rate)
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                asked.append(asyncio.ensure_future(ask(transfer, at)))
            await asyncio.gather(*asked)
            await ledger.stop()
        return latencies

    def _rate(self, count: int, make: Callable[[], Transfer]) -> dict[str, float]:
        elapsed = 0.0
        for first in range(0, count, BATCH):
            transfers = [make() for _ in range(min(BATCH, count - first))]
            elapsed += self._write(transfers)
        return {"rate": count / elapsed}

    def _skewed_payment(self) -> Transfer:
        payer = payee = 0
        while payer == payee:
            payer, payee = (int(self.count ** self.random.random()) for _ in range(2))
        return self._transfer(account_id(payer), account_id(payee), 5, TransferCode.PAYMENT)

    def _payment(self) -> Transfer:
        payer = self.random.randrange(self.count)
        payee = self.random.randrange(self.count - 1)
        return self._transfer(account_id(payer + 1), account_id((payee if payee < payer else payee + 1) + 1), 5, TransferCode.PAYMENT)

    def _transfer(self, debit: int, credit: int, amount: int, code: TransferCode) -> Transfer:
        new = time.time_ns() // 1_000_000 << 80 | self.random.getrandbits(80)
        return Transfer(new, debit, credit, amount, user_data_128=new, ledger=LEDGER, code=code.value)

    def _write(self, transfers: list[Transfer]) -> float:
        """Seconds that the engine needed."""
        began = time.perf_counter()
        results = self.engine.create_transfers(transfers, time.time_ns())
        elapsed = time.perf_counter() - began
        assert all(result.status is CREATED for result in results), "the workload is not what it says"
        return elapsed


def open_engine(where: str) -> Engine:
    """Each engine is imported only where it is used, as the server does: what others take is not this one's memory."""
    if where.startswith("postgresql://"):
        from counterfoil.ledger.postgres import PostgresEngine

        return PostgresEngine.open(where)
    if where.startswith("tigerbeetle://"):
        from counterfoil.ledger.tigerbeetle import TigerBeetleEngine

        return TigerBeetleEngine.open(*cluster_of(where), deadline_s=60)
    from counterfoil.ledger.sqlite import SqliteEngine

    return SqliteEngine.open(Path(where))


def main(where: str) -> None:
    logs.configure(level=logging.WARNING)  # to stderr: stdout has the answers
    engine = open_engine(where)
    grower = Grower(engine)
    commands = {"grow": grower.grow, "rate": grower.rate, "skewed": grower.skewed, "latency": grower.latency, "memory": grower.memory}
    for line in sys.stdin:
        name, *numbers = line.split()
        answer = commands[name](*map(int, numbers))  # type: ignore[operator]
        print(json.dumps(answer), flush=True)
    engine.close()


if __name__ == "__main__":
    main(sys.argv[1])
