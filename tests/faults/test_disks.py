"""Disks that are full, or stand still: payments are unavailable, what was acknowledged is there, and afterwards it goes on."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from counterfoil import errors
from counterfoil.ledger.check import check
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.postgres_connection import Connection
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine
from counterfoil.ledger.types import CreateTransferResult
from counterfoil.payments.types import Receipt, SignedOrder
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.note import Note
from tests import postgres, tigerbeetle
from tests.commands.desk import run
from tests.faults.disks import Disk, small_disk
from tests.faults.paying import WAIT_S_MAX, Payer, insisted, now, open_accounts, transfers, until_unavailable
from tests.scheme import Person, Scheme, opened

pytestmark = pytest.mark.slow(minutes=1)

STALL_S: Final = 1.5
"""How long a disk stands still. Nothing is concluded from it."""


class Till:
    """People who pay each other in a scheme, order by order."""

    def __init__(self, scheme: Scheme, people: list[Person]) -> None:
        self.scheme = scheme
        self.people = people
        self.random = random.Random(1)
        self.acknowledged: dict[int, Receipt] = {}

    def order(self) -> SignedOrder:
        payer, payee = self.random.sample(self.people, 2)
        return payer.sign(payer.order(payee, 1))

    async def pay(self, order: SignedOrder) -> Receipt:
        receipt = await self.scheme.services.payments.pay(order)
        known = self.acknowledged.setdefault(receipt.payment.id, receipt)
        assert known == receipt, "a repeat has the same answer"
        return receipt

    async def offer(self, order: SignedOrder) -> bool:
        """Pays once. Whether that was answered."""
        try:
            await self.pay(order)
        except errors.Unavailable:
            return False
        return True

    async def insist(self, order: SignedOrder) -> Receipt:
        async with asyncio.timeout(WAIT_S_MAX):
            while True:
                try:
                    return await self.pay(order)
                except errors.Unavailable:
                    await asyncio.sleep(0.02)

    async def until_unavailable(self) -> SignedOrder:
        """Pays until an order is not answered. Returns that order."""
        async with asyncio.timeout(WAIT_S_MAX):
            while await self.offer(order := self.order()):
                pass
            return order

    async def read(self) -> None:
        """All that was acknowledged is there as it was."""
        for receipt in self.acknowledged.values():
            assert await self.scheme.services.payments.receipt(receipt.payment.id, receipt.payment.payer) == receipt

    async def check(self) -> None:
        """All that was acknowledged is there as it was, each once, and nothing else."""
        await self.read()
        change = dict.fromkeys((person.account for person in self.people), 0)
        for receipt in self.acknowledged.values():
            payment = receipt.payment
            change[payment.payer] -= payment.amount + payment.fee
            change[payment.payee] += payment.amount
        assert {person.account: person.balance() - FUNDS for person in self.people} == change


FUNDS: Final = 50_000


async def test_a_scheme_on_a_full_disk_refuses_and_loses_nothing() -> None:
    with small_disk(48) as disk:
        folder = disk.path / "scheme"
        async with opened(folder, publishing=True) as scheme:
            till = Till(scheme, [await scheme.customer(f"Person {number}", funds=FUNDS) for number in range(4)])
            for _ in range(5):
                await till.pay(till.order())
            await published(folder, len(till.acknowledged))
            for leave in (0, 600_000):
                disk.fill(leave=leave)
                refused = await till.until_unavailable()
                others = [till.order() for _ in range(3)]
                for order in (refused, *others, refused):  # any may find room again: the publisher gives back what it could not finish
                    await till.offer(order)
                await till.read()
                disk.free()
                for order in (refused, *others, *(till.order() for _ in range(5))):
                    await till.insist(order)
                await till.check()
            await published(folder, len(till.acknowledged))  # by a publisher that the server has started anew, where it gave up
        checked = await asyncio.to_thread(run, "check", "--data", folder, "--json")
        assert checked.code == 0, checked
        assert checked.json["log"]["entries"] == checked.json["log"]["size"] >= len(till.acknowledged)


async def published(folder: Path, count: int) -> None:
    """Returns when the scheme's log has at least `count` entries."""
    checkpoint = folder / "log" / "public" / "checkpoint"
    async with asyncio.timeout(WAIT_S_MAX):
        while not checkpoint.exists() or Checkpoint.parse(Note.parse(checkpoint.read_bytes()).text).size < count:
            await asyncio.sleep(0.05)


async def test_a_scheme_on_a_disk_that_stands_still_waits_and_goes_on() -> None:
    with small_disk(48) as disk:
        async with opened(disk.path / "scheme") as scheme:
            till = Till(scheme, [await scheme.customer(f"Person {number}", funds=FUNDS) for number in range(4)])
            for _ in range(5):
                await till.pay(till.order())
            thawing = stalled(disk)
            await asyncio.gather(*(till.insist(till.order()) for _ in range(20)))
            await asyncio.to_thread(thawing.join)
            await till.insist(till.order())
            await till.check()


def stalled(disk: Disk) -> threading.Thread:
    """The disk stands still from now on, for a while: it takes a thread to end it, where the loop itself waits for the disk."""

    def thaw() -> None:
        time.sleep(STALL_S)
        disk.thaw()

    thread = threading.Thread(target=thaw)
    disk.freeze()
    thread.start()
    return thread


def test_postgres_on_a_full_disk_refuses_and_loses_nothing() -> None:
    with small_disk(112) as disk, postgres.cluster(durable=True, place=disk.path, wal_segment_mb=1) as server:
        engine = PostgresEngine.open(server.new_database(), lease_timeout_s=60)
        open_accounts(engine)
        first = 1
        while first < 2_000:
            engine.create_transfers(transfers(first, 500), now())
            first += 500
        disk.fill(leave=1_000_000)
        lost = first
        try:
            while True:
                engine.create_transfers(transfers(lost, 500), now())
                lost += 500
        except errors.Unavailable:
            pass
        for again in (lost, lost + 500):
            with pytest.raises(errors.Unavailable):
                engine.create_transfers(transfers(again, 500), now())
        assert engine.balances_now(2) == (0, 0, 0, lost - 1)
        disk.free()

        def pay() -> list[CreateTransferResult]:
            if not server.is_running():  # where its write-ahead log had no room, it has ended
                server.stop()
                server.start()
            return engine.create_transfers(transfers(lost, 500), now())

        results = insisted(pay)
        assert {result.status.name for result in results} in ({"CREATED"}, {"EXISTS"})
        for known in range(1, lost, 500):
            assert {result.status.name for result in engine.create_transfers(transfers(known, 500), now())} == {"EXISTS"}
        assert engine.balances_now(2) == (0, 0, 0, lost + 499)
        assert check(engine).passed
        engine.close()


def test_postgres_on_a_disk_that_stands_still_is_given_up_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(112) as disk, postgres.cluster(durable=True, place=disk.path, wal_segment_mb=1) as server:
        engine = PostgresEngine.open(server.new_database(), lease_timeout_s=1)
        open_accounts(engine)
        payer = Payer(engine)
        payer.start()
        payer.wait_for_more()
        monkeypatch.setattr(Connection, "deadline_s", 0.3)
        disk.freeze()
        try:
            payer.wait_until_unavailable()
            assert engine.account_now(2) is not None  # quick reads go on
        finally:
            disk.thaw()
        monkeypatch.setattr(Connection, "deadline_s", 60)
        payer.wait_for_more()
        payer.end()
        payer.check()
        assert check(engine).passed
        engine.close()


def test_tigerbeetle_on_a_full_disk_ends_and_goes_on_where_it_was() -> None:
    tigerbeetle.server_program()
    with small_disk(2_048) as disk, tigerbeetle.cluster(place=disk.path) as servers:
        servers.start()
        engine = TigerBeetleEngine.open(servers.addresses, servers.number, deadline_s=2.0, start_deadline_s=120)
        open_accounts(engine)
        payer = Payer(engine, batch_size=2_000)
        payer.start()
        payer.wait_for_more()
        disk.fill()
        payer.wait_until_unavailable()
        until_unavailable(lambda: engine.lookup_transfers([1]))
        disk.free()
        assert not servers.is_running(0), "the server ends where it cannot write"
        servers.kill()
        servers.start()
        payer.wait_for_more()
        payer.end()
        payer.check()
        engine.close()
