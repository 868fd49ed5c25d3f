"""The ledger's service on each engine: what it refuses before the engine, and what it lets everybody read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from counterfoil import errors
from counterfoil.clock import SystemClock
from counterfoil.ledger.chart import AccountCode, Chart, TransferCode
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import (
    AMOUNT_ALL,
    BATCH_SIZE_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFlags,
    QueryFilter,
    Transfer,
    TransferFlags,
)
from tests.ledger.sqlite_file import timeless

HOLDER = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.HISTORY)
ISSUANCE, BANK, ANN, BEN, FEES = 1, 2, 3, 4, 5
ACCOUNTS = [
    Account(
        id=ISSUANCE, ledger=1, code=AccountCode.ISSUANCE, flags=int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS | AccountFlags.HISTORY)
    ),
    Account(id=BANK, ledger=1, code=AccountCode.INSTITUTION, flags=HOLDER),
    Account(id=ANN, ledger=1, code=AccountCode.CUSTOMER, flags=HOLDER),
    Account(id=BEN, ledger=1, code=AccountCode.CUSTOMER, flags=HOLDER),
    Account(id=FEES, ledger=1, code=AccountCode.FEES, flags=HOLDER),
]


def payment(id: int, amount: int = 10, **more: Any) -> Transfer:
    fields = {"debit_account_id": ANN, "credit_account_id": BEN, "ledger": 1, "code": TransferCode.PAYMENT} | more
    return Transfer(id=id, amount=amount, **fields)


@asynccontextmanager
async def ledger_of(engine: Engine, **options: int) -> AsyncIterator[Ledger]:
    ledger = Ledger(engine, Chart(), SystemClock(), **options)
    async with asyncio.TaskGroup() as group:
        group.create_task(ledger.run())
        yield ledger
        await ledger.stop()


@asynccontextmanager
async def town(new_engine: Callable[[], Engine]) -> AsyncIterator[Ledger]:
    """Ann has 1,000."""
    engine = new_engine()
    async with ledger_of(engine) as ledger:
        await ledger.create_accounts(ACCOUNTS)
        issue = payment(900, 1_000, debit_account_id=ISSUANCE, credit_account_id=BANK, code=TransferCode.ISSUE)
        assert (
            timeless(await ledger.create_transfers([issue, payment(901, 1_000, debit_account_id=BANK, credit_account_id=ANN)]))
            == ["CREATED"] * 2
        )
        yield ledger
    engine.close()


async def test_payment_moves_money_once_and_balances_of_any_moment_can_be_read(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        before = ledger.last_timestamp
        (first,) = await ledger.create_transfers([payment(1)])
        (repeat,) = await ledger.create_transfers([payment(1)])
        assert (repeat.status.name, repeat.timestamp) == ("EXISTS", first.timestamp)
        ann, ben = ledger.account_now(ANN), ledger.account_now(BEN)
        assert ann is not None
        assert ben is not None
        assert (ann.debits_posted, ben.credits_posted) == (10, 10)
        assert ledger.account_now(99) is None
        assert [ann, ben] == await ledger.lookup_accounts([ANN, 99, BEN])
        assert await ledger.balance_at(BEN, before) == AccountBalance(0, 0, 0, 0, 0)
        assert await ledger.balance_at(BEN, first.timestamp) == AccountBalance(first.timestamp, 0, 0, 0, 10)
        assert await ledger.balance_at(BEN, ledger.last_timestamp) == AccountBalance(first.timestamp, 0, 0, 0, 10)
        assert [t.id for t in await ledger.lookup_transfers([1, 98])] == [1]
        assert [t.id for t in await ledger.get_account_transfers(AccountFilter(account_id=BEN, limit=10))] == [1]
        assert [b.credits_posted for b in await ledger.get_account_balances(AccountFilter(account_id=BEN, limit=10))] == [10]
        assert [t.id for t in await ledger.query_transfers(QueryFilter(limit=10))] == [900, 901, 1]
        assert [a.id for a in await ledger.query_accounts(QueryFilter(limit=10, code=AccountCode.CUSTOMER))] == [ANN, BEN]
        assert [e.transfer.id for e in await ledger.get_change_events(timestamp_min=before + 1, limit=10)] == [1]
        assert await ledger.wait_for_changes(before) == ledger.last_timestamp


async def test_balance_at_a_past_time_knows_of_expiries(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        (held,) = await ledger.create_transfers([payment(1, flags=int(TransferFlags.PENDING), timeout=1, code=TransferCode.HOLD)])
        released = await asyncio.wait_for(ledger.wait_for_changes(held.timestamp), 60)
        assert await ledger.balance_at(BEN, released - 1) == AccountBalance(held.timestamp, 0, 0, 10, 0)
        assert await ledger.balance_at(BEN, released) == AccountBalance(released, 0, 0, 0, 0)


async def test_transfer_that_is_not_declared_moves_nothing_of_its_list(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        for wrong in (
            payment(2, code=TransferCode.ISSUE),
            payment(2, debit_account_id=FEES),
            payment(2, code=99),
            payment(2, 2**63),
            payment(2, AMOUNT_ALL, debit_account_id=99),
        ):
            with pytest.raises(errors.TransferNotDeclared):
                await ledger.create_transfers([payment(1), wrong])
        assert await ledger.lookup_transfers([1, 2]) == []
        assert timeless(await ledger.create_transfers([payment(1), payment(2)])) == ["CREATED", "CREATED"]


async def test_transfer_of_an_account_that_does_not_exist_is_the_engines_to_refuse(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        assert timeless(await ledger.create_transfers([payment(1, credit_account_id=99)])) == ["CREDIT_ACCOUNT_NOT_FOUND"]


async def test_account_created_just_before_is_known_to_the_chart(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        accounts = asyncio.create_task(ledger.create_accounts([Account(id=50, ledger=1, code=AccountCode.IMPORT_CASH)]))
        undeclared = asyncio.create_task(ledger.create_transfers([payment(1, credit_account_id=50)]))
        await accounts
        with pytest.raises(errors.TransferNotDeclared):
            await undeclared


async def test_captures_and_voids_need_name_no_account(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        pending = int(TransferFlags.PENDING)
        await ledger.create_transfers([payment(id_new, flags=pending, code=TransferCode.HOLD) for id_new in (1, 2)])
        post = Transfer(id=3, pending_id=1, amount=AMOUNT_ALL, flags=int(TransferFlags.POST_PENDING_TRANSFER))
        void = Transfer(id=4, pending_id=2, flags=int(TransferFlags.VOID_PENDING_TRANSFER))
        assert timeless(await ledger.create_transfers([post, void])) == ["CREATED", "CREATED"]


async def test_account_that_the_chart_does_not_have_is_not_created(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        for wrong in (Account(id=60, ledger=1, code=99), Account(id=60, ledger=1, code=AccountCode.CUSTOMER)):
            with pytest.raises(errors.Malformed):
                await ledger.create_accounts([Account(id=61, ledger=1, code=AccountCode.IMPORT_CASH), wrong])
        assert await ledger.lookup_accounts([60, 61]) == []


async def test_list_that_ends_linked_is_refused_before_it_binds_to_the_next_callers(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        linked = int(TransferFlags.LINKED)
        with pytest.raises(errors.Malformed):
            await ledger.create_transfers([payment(1), payment(2, flags=linked)])
        with pytest.raises(errors.Malformed):
            await ledger.create_accounts([Account(id=70, ledger=1, code=AccountCode.IMPORT_CASH, flags=int(AccountFlags.LINKED))])
        assert timeless(await ledger.create_transfers([payment(2, flags=linked), payment(1)])) == ["CREATED", "CREATED"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": -1}, {"amount": 2**128}, {"id": 2**128}, {"id": -1}, {"debit_account_id": 2**128}, {"credit_account_id": -1},
        {"pending_id": 2**128}, {"user_data_128": 2**128}, {"user_data_64": 2**64}, {"user_data_32": 2**32}, {"timeout": 2**32},
        {"ledger": 2**32}, {"code": 2**16}, {"flags": 2**16},
    ],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
async def test_number_out_of_range_is_its_callers_problem_alone(new_engine: Callable[[], Engine], wrong: dict[str, int]) -> None:
    async with town(new_engine) as ledger:
        with pytest.raises(errors.Malformed):
            await ledger.create_transfers([msgspec.structs.replace(payment(1), **wrong)])
        assert timeless(await ledger.create_transfers([payment(1)])) == ["CREATED"]


async def test_lists_have_a_maximum_and_empty_ones_cost_nothing(new_engine: Callable[[], Engine]) -> None:
    async with town(new_engine) as ledger:
        assert await ledger.create_transfers([]) == []
        assert await ledger.create_accounts([]) == []
        with pytest.raises(errors.TooLarge):
            await ledger.create_transfers([payment(id_new) for id_new in range(1, BATCH_SIZE_MAX + 2)])
        with pytest.raises(errors.TooLarge):
            await ledger.lookup_transfers(range(BATCH_SIZE_MAX + 1))
        with pytest.raises(errors.Malformed):
            await ledger.lookup_accounts([2**128])


async def test_a_thousand_callers_are_all_answered_and_the_queue_stays_bounded(new_engine: Callable[[], Engine]) -> None:
    engine = new_engine()
    async with ledger_of(engine, queue_size_max=400) as ledger:
        await ledger.create_accounts(ACCOUNTS)
        issue = payment(10_000, 10**6, debit_account_id=ISSUANCE, credit_account_id=BANK, code=TransferCode.ISSUE)
        await ledger.create_transfers([issue, payment(10_001, 10**6, debit_account_id=BANK, credit_account_id=ANN)])
        unavailable = 0

        async def caller(id_new: int) -> None:
            nonlocal unavailable
            while True:
                try:
                    assert timeless(await ledger.create_transfers([payment(id_new, 1)])) == ["CREATED"]
                    return
                except errors.Unavailable:
                    unavailable += 1
                    assert ledger.waiting <= 400
                    await asyncio.sleep(0.001)

        await asyncio.gather(*(caller(id_new) for id_new in range(1, 1_001)))
        assert unavailable > 0
        ben = ledger.account_now(BEN)
        assert ben is not None
        assert ben.credits_posted == 1_000
    engine.close()


class ServedEngine(MemoryEngine):
    """As an engine with a server: keeps on which threads it was read."""

    waits = True

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith(("lookup_", "query_", "get_", "balance_at")):
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            self.threads.add(threading.current_thread().name.partition("_")[0])
            return found(*arguments, **more)

        return call


async def test_engine_that_waits_is_read_on_threads_and_not_after_the_end() -> None:
    engine = ServedEngine()
    chosen, query = AccountFilter(account_id=BEN, limit=10), QueryFilter(limit=10)
    async with town(lambda: engine) as ledger:
        engine.threads.clear()
        answers = await asyncio.gather(
            ledger.lookup_accounts([ANN]), ledger.lookup_transfers([901]), ledger.balance_at(BEN, 1), ledger.query_accounts(query),
            ledger.query_transfers(query), ledger.get_account_transfers(chosen), ledger.get_account_balances(chosen),
            ledger.get_change_events(timestamp_min=0, limit=3),
        )  # fmt: skip
        assert [len(answer) for answer in answers if isinstance(answer, list)] == [1, 1, 5, 2, 0, 0, 2]
        assert engine.threads == {"ledger-read"}
        assert ledger.balances_now(ANN) == (0, 0, 0, 1_000)
    with pytest.raises(errors.Unavailable):
        await ledger.lookup_accounts([ANN])
