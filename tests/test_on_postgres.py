"""A whole scheme with store and ledger on PostgreSQL: it does what it does on files, and outlives its server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.errors import Refused, Unavailable
from counterfoil.payments import forms
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.receipts import ProofState
from counterfoil.payments.types import PaymentState, Receipt, SignedOrder
from counterfoil.payments.views import HolderView
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.entry import Opening
from counterfoil.tlog.merkle import verify_inclusion
from counterfoil.tlog.note import Note
from tests.commands.desk import run
from tests.payments.test_batches import finished, form_for
from tests.postgres import Cluster, cluster
from tests.scheme import Person, Scheme, opened

PATIENCE_S = 120
WAGES = 100
"""Lines of a batch that is under way when the server dies."""


@asynccontextmanager
async def on(url: str, folder: Path, **settings: Any) -> AsyncIterator[Scheme]:
    async with opened(folder, store=url, ledger=url, **settings) as scheme:
        yield scheme


async def proven(scheme: Scheme, receipt: Receipt, person: Person) -> HolderView:
    """What the person's own receipt says, once a witnessed head covers it and the way up to it is right."""
    receipts = scheme.services.receipts
    assert receipts is not None
    async with asyncio.timeout(PATIENCE_S):
        while receipts.status(receipt.payment.id, person.account).state is not ProofState.WITNESSED:
            await asyncio.sleep(0.05)
    proof = receipts.proof(receipt.payment.id, person.account)
    assert proof is not None
    assert proof.extra is not None
    opening, head = Opening.decode(proof.extra), Checkpoint.parse(Note.parse(proof.checkpoint).text)
    verify_inclusion(index=proof.index, size=head.size, leaf_hash=opening.leaf_hash(), proof=proof.hashes, root=head.root)
    return HolderView.decode(opening.payload)


async def test_people_pay_hold_capture_refund_and_ask_and_the_log_proves_it(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on(postgres_url, tmp_path, publishing=True, witness_interval_s=1) as scheme:
        payer, payee, shop = await scheme.customer(funds=100_000), await scheme.customer("Min-jun"), await scheme.merchant()
        paid = await payer.pay(payee, 20_000, memo="한국어")
        repeated = await asyncio.gather(*(scheme.services.payments.pay(payer.sign(paid.payment.order)) for _ in range(5)))
        assert all(receipt == paid for receipt in repeated)
        held = await payer.hold(shop, 5_000)
        assert (await shop.answer(OrderKind.CAPTURE, held, 3_000)).state is PaymentState.COMPLETED
        await shop.answer(OrderKind.REFUND, await payer.pay(shop, 1_000), 400)
        request = await payee.ask(payer, 700)
        await payer.pay(payee, 700, reference=request)
        with pytest.raises(errors.NotInThisState):
            await payer.pay(payee, 700, reference=request)
        with pytest.raises(errors.InsufficientFunds):
            await payee.pay(payer, 50_000)
        assert payee.balance() == 20_700
        left = 100_000 - 20_020 - 3_000 - 600 - 700
        assert (payer.balance(), payer.available()) == (left, left)
        entries = await scheme.services.history.page(payer.account)
        assert entries[0].balance == left
        assert {entry.payment.memo for entry in entries if entry.payment} >= {"한국어", ""}
        view = await proven(scheme, paid, payer)
        assert (view.account, view.amount, view.balance) == (payer.account, 20_000, 79_980)
    assert not (tmp_path / "store.sqlite").exists()
    assert not (tmp_path / "ledger.sqlite").exists()
    async with on(postgres_url, tmp_path) as scheme:
        assert (await scheme.services.payments.receipt(paid.payment.id, payer.account)) == paid
        payer.scheme = scheme
        assert payer.balance() == left
    monkeypatch.setenv("COUNTERFOIL_STORE", postgres_url)
    monkeypatch.setenv("COUNTERFOIL_LEDGER", postgres_url)
    checked = await asyncio.to_thread(run, "check", "--data", tmp_path, "--json")
    assert checked.code == 0, checked
    assert checked.json["log"]["entries"] == checked.json["log"]["size"] > 10
    assert checked.json["transfers"] > 10


class Payer:
    """Pays again and again, and repeats each order until it is known what became of it."""

    def __init__(self, scheme: Scheme, person: Person, others: list[Person], chance: random.Random) -> None:
        self.scheme = scheme
        self.person = person
        self.others = others
        self.random = chance
        self.acknowledged: list[Receipt] = []
        self.refused = 0
        self.unavailable = 0
        self.stopped = False

    async def work(self) -> None:
        while not self.stopped:
            payee = self.random.choice([other for other in self.others if other is not self.person])
            amount = self.random.choice((1, 50, 999, 12_000, 90_000_000))
            await self.carry_out(self.person.sign(self.person.order(payee, amount)))

    async def carry_out(self, signed: SignedOrder) -> None:
        while True:
            try:
                receipt = await self.scheme.services.payments.pay(signed)
            except Unavailable:
                self.unavailable += 1
                await asyncio.sleep(0.01)
            except Refused:
                self.refused += 1
                return
            else:
                self.acknowledged.append(receipt)
                return


async def killed_and_started(own: Cluster, payers: list[Payer]) -> None:
    """In the middle of payments, and only once somebody has noticed it comes back."""
    before = sum(payer.unavailable for payer in payers)
    await asyncio.to_thread(own.kill)
    async with asyncio.timeout(PATIENCE_S):
        while sum(payer.unavailable for payer in payers) == before:
            await asyncio.sleep(0.01)
    await asyncio.to_thread(own.start)


async def more(payers: list[Payer], count: int) -> None:
    """Until so many more payments are acknowledged."""
    enough = sum(len(payer.acknowledged) for payer in payers) + count
    async with asyncio.timeout(PATIENCE_S):
        while sum(len(payer.acknowledged) for payer in payers) < enough:
            await asyncio.sleep(0.01)


async def test_every_acknowledged_payment_is_there_once_when_the_server_dies_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    with cluster(durable=True) as own:
        url = own.new_database()
        async with on(url, tmp_path, publishing=True) as scheme:
            bank = await scheme.institution(funds=5_000_000)
            people = [await scheme.customer(f"Person {number}") for number in range(6)]
            for person in people:
                await bank.pay(person, 500_000)
            baker, worker = await scheme.merchant("Bakery", funds=10_000), await scheme.customer("Worker")
            payers = [Payer(scheme, person, people, random.Random(seed + number)) for number, person in enumerate(people)]
            tasks = [asyncio.create_task(payer.work()) for payer in payers]
            await more(payers, 30)
            file = "to,amount,memo\n" + f"{worker.address},0.01,wages\n" * WAGES
            wages = form_for(baker, file)
            await scheme.services.batches.create(baker.sign(forms.encode(wages)), file)
            for _ in range(3):
                await killed_and_started(own, payers)
                await more(payers, 30)
            for payer in payers:
                payer.stopped = True
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*tasks)
            done = await finished(scheme, wages.id, baker)
            assert (done.completed, done.refused, worker.balance()) == (WAGES, 0, WAGES), "what works in the background goes on, too"
            balances = dict.fromkeys((person.account for person in people), 500_000)
            seen: set[int] = set()
            assert sum(payer.unavailable for payer in payers) >= 3
            for payer in payers:
                for receipt in payer.acknowledged:
                    payment = receipt.payment
                    assert payment.id not in seen
                    seen.add(payment.id)
                    assert await scheme.services.payments.receipt(payment.id, payment.payer) == receipt
                    balances[payment.payer] -= payment.amount + payment.fee
                    balances[payment.payee] += payment.amount
            assert {person.account: person.balance() for person in people} == balances, "each once, and nothing else"
            assert all(person.available() == person.balance() for person in people)
        monkeypatch.setenv("COUNTERFOIL_STORE", url)
        monkeypatch.setenv("COUNTERFOIL_LEDGER", url)
        checked = await asyncio.to_thread(run, "check", "--data", tmp_path, "--json")
        assert checked.code == 0, checked
        assert checked.json["log"]["entries"] == checked.json["log"]["size"] > len(seen)


def test_a_check_makes_no_ledger_where_there_is_none(
    postgres: Cluster, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERFOIL_LEDGER", postgres_url)
    checked = run("check", "--data", tmp_path, "--json")
    assert (checked.code, checked.json["code"]) == (1, "unknown_format")
    assert "There is no ledger" in checked.json["detail"]
    database = postgres_url.partition("@/")[2].partition("?")[0]
    assert postgres.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'ledger'", database) == "0"


async def test_the_books_are_checked_while_the_server_runs(postgres_url: str, tmp_path: Path) -> None:
    async with on(postgres_url, tmp_path, check_interval_s=3_600) as scheme:
        async with asyncio.timeout(PATIENCE_S):
            while (result := scheme.services.last_check()) is None:
                await asyncio.sleep(0.02)
        assert result.passed
