"""The ledger as everybody else uses it: asynchronous, durable when answered, and only for what the chart declares."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from counterfoil import errors
from counterfoil.clock import Clock
from counterfoil.ledger.chart import Chart
from counterfoil.ledger.engine import READS_MAX, Engine
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    U16_MAX,
    U32_MAX,
    U64_MAX,
    U128_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFlags,
    ChangeEvent,
    CreateAccountResult,
    CreateTransferResult,
    QueryFilter,
    Transfer,
    TransferFlags,
)
from counterfoil.ledger.writer import Writer
from counterfoil.money import AMOUNT_MAX

R = TypeVar("R")

_LINKED: Final = int(TransferFlags.LINKED)
assert _LINKED == AccountFlags.LINKED, _LINKED


class Ledger:
    """A ledger. Its writer must be running (`run`) for anything to be created.

    Every method that reads or writes raises Unavailable when the outcome is not known: ask again with the same id.
    """

    def __init__(self, engine: Engine, chart: Chart, clock: Clock, *, queue_size_max: int = 20_000) -> None:
        """`queue_size_max`: accounts and transfers that may wait to be written; beyond it callers hear Unavailable at once."""
        self._engine = engine
        self._chart = chart
        self._list_size_max = min(BATCH_SIZE_MAX, queue_size_max)
        self._writer = Writer(engine, clock, self._undeclared, queue_size_max=queue_size_max)
        self._threads = ThreadPoolExecutor(READS_MAX, thread_name_prefix="ledger-read") if engine.waits else None

    async def create_transfers(self, transfers: Sequence[Transfer]) -> list[CreateTransferResult]:
        """Moves the money of each transfer once, however often the same list arrives. One result per transfer, in order.

        The list stays together and in order, and is durable when this returns; a refusal is a status in its place. Nothing of
        the list happens when this raises Malformed (a number out of range, or a list that ends linked), TooLarge (more than
        fits into a batch), TransferNotDeclared (one of them is not in the chart), or Unavailable because the queue is full;
        after any other Unavailable the outcome is not known. A caller that is cancelled while it waits may find it done.
        """
        if not transfers:
            return []
        self._check_list("transfers", transfers)
        for transfer in transfers:
            _check_transfer(transfer)
        return await self._writer.create_transfers(transfers)

    async def create_accounts(self, accounts: Sequence[Account]) -> list[CreateAccountResult]:
        """Creates each account once. One result per account, in order; otherwise as `create_transfers`.

        Raises Malformed for an account that the chart does not have.
        """
        if not accounts:
            return []
        self._check_list("accounts", accounts)
        for account in accounts:
            _check_account(account)
            refusal = self._chart.account_refusal(account)
            if refusal is not None:
                raise errors.Malformed("accounts", refusal)
        return await self._writer.create_accounts(accounts)

    async def run(self) -> None:
        """The writer: start it in a TaskGroup. Returns after `stop` has drained the queue; raises if a bug stops it.

        Of an engine that waits for a server, nothing can be read any more afterwards (Unavailable): it may be closed then.
        """
        try:
            await self._writer.run()
        finally:
            if self._threads is not None:
                await asyncio.to_thread(self._threads.shutdown)

    async def stop(self) -> None:
        """Takes no new work; returns when everything that waited has been answered. Safe to repeat."""
        await self._writer.stop()

    @property
    def last_timestamp(self) -> int:
        """The ledger's time: the last timestamp given out, ns. Never goes back."""
        return self._engine.last_timestamp

    @property
    def waiting(self) -> int:
        """Accounts and transfers in the queue, for metrics."""
        return self._writer.waiting

    @property
    def batches(self) -> tuple[int, int]:
        """Batches written so far, and accounts and transfers in them, for metrics."""
        return self._writer.batches, self._writer.batched

    def account_now(self, id: int) -> Account | None:
        """The account with its balances as of the last committed batch, or None. No I/O where the engine keeps it in memory."""
        return self._engine.account_now(id)

    def balances_now(self, id: int) -> tuple[int, int, int, int] | None:
        """The account's debits pending and posted, credits pending and posted as of the last committed batch, or None.

        What a payment needs of `account_now`, at a fraction of its cost.
        """
        return self._engine.balances_now(id)

    async def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        """The account's balances at a past moment (ns, inclusive), expiries included; zeros before its first transfer.

        The answer's `timestamp` is that of the last event up to then that touched the account, 0 for none.
        """
        if self._threads is None:
            return self._engine.balance_at(account_id, timestamp)
        return await self._read(self._threads, self._engine.balance_at, account_id, timestamp)

    async def wait_for_changes(self, after: int) -> int:
        """The ledger's time (ns) once it is past `after`: for followers of the feed, who go on from the time returned.

        Refused events move the ledger's time, too, so there need not be anything new. Raises Unavailable when the ledger stops.
        """
        return await self._writer.wait_for_changes(after)

    async def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts found, in the order asked; the missing are left out. At most BATCH_SIZE_MAX ids (TooLarge)."""
        _check_ids(ids)
        if self._threads is None:
            return self._engine.lookup_accounts(ids)
        return await self._read(self._threads, self._engine.lookup_accounts, ids)

    async def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """The transfers found, in the order asked; the missing are left out. At most BATCH_SIZE_MAX ids (TooLarge)."""
        _check_ids(ids)
        if self._threads is None:
            return self._engine.lookup_transfers(ids)
        return await self._read(self._threads, self._engine.lookup_transfers, ids)

    async def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:
        """Transfers of one account, oldest first unless `REVERSED`. An invalid filter selects nothing."""
        if self._threads is None:
            return self._engine.get_account_transfers(filter)
        return await self._read(self._threads, self._engine.get_account_transfers, filter)

    async def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        """Balances after each transfer that the filter selects; only for accounts with the HISTORY flag."""
        if self._threads is None:
            return self._engine.get_account_balances(filter)
        return await self._read(self._threads, self._engine.get_account_balances, filter)

    async def query_accounts(self, filter: QueryFilter) -> list[Account]:
        """Accounts by their fields. May look at every account there is."""
        if self._threads is None:
            return self._engine.query_accounts(filter)
        return await self._read(self._threads, self._engine.query_accounts, filter)

    async def query_transfers(self, filter: QueryFilter) -> list[Transfer]:
        """Transfers by their fields. May look at every transfer in the range of time."""
        if self._threads is None:
            return self._engine.query_transfers(filter)
        return await self._read(self._threads, self._engine.query_transfers, filter)

    async def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        """The feed: committed movements and expiries in timestamp order. Both bounds inclusive; 0 is no bound."""
        if self._threads is None:
            return self._engine.get_change_events(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit)
        return await self._read(
            self._threads, self._engine.get_change_events, timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit
        )

    async def _read(self, threads: ThreadPoolExecutor, read: Callable[..., R], *arguments: Any, **bounds: int) -> R:
        """The answer of an engine that waits for a server, while the event loop goes on."""
        try:
            future = asyncio.get_running_loop().run_in_executor(threads, functools.partial(read, *arguments, **bounds))
        except RuntimeError as error:  # the threads have been shut down
            raise errors.Unavailable("The ledger has stopped.") from error
        return await future

    def _undeclared(self, transfers: Sequence[Transfer]) -> errors.TransferNotDeclared | None:
        """Why the chart does not have one of `transfers`, or None.

        Asked by the writer when all that came before is in the books, so no account can appear between check and engine.
        An account that does not exist has no code: the engine will say which one is missing.
        """
        code_of = self._engine.account_code
        for transfer in transfers:
            debit_code = code_of(transfer.debit_account_id)
            credit_code = code_of(transfer.credit_account_id)
            if (debit_code and credit_code) or transfer.amount > AMOUNT_MAX:
                refusal = self._chart.transfer_refusal(transfer, debit_code, credit_code)
                if refusal is not None:
                    return errors.TransferNotDeclared(refusal, transfer_id=transfer.id)
        return None

    def _check_list(self, field: str, events: Sequence[Transfer] | Sequence[Account]) -> None:
        if len(events) > self._list_size_max:
            raise errors.TooLarge(f"{field}: at most {self._list_size_max} in one list")
        if events[-1].flags & _LINKED:
            # It would bind to the next caller's list.
            raise errors.Malformed(field, "the last one must not be linked")


def _check_transfer(t: Transfer) -> None:
    """Refuses numbers that no engine can hold: they would be a bug there, and stop the writer for everybody."""
    # Joined bit by bit, numbers are in range just when each of them is; half the cost of asking one by one. Unary plus: see `sqlite_batch`.
    if not (
        0 <= t.id | t.debit_account_id | t.credit_account_id | t.amount | t.pending_id | t.user_data_128 <= U128_MAX
        and 0 <= t.user_data_64 <= U64_MAX
        and 0 <= t.user_data_32 | t.timeout | t.ledger <= U32_MAX
        and 0 <= +t.code | +t.flags <= U16_MAX
    ):
        raise errors.Malformed("transfers", f"a number of transfer {t.id} is out of range")


def _check_account(a: Account) -> None:
    """As `_check_transfer`."""
    wide = (a.id, a.user_data_128, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted)
    if not (
        all(0 <= number <= U128_MAX for number in wide)
        and 0 <= a.user_data_64 <= U64_MAX
        and all(0 <= number <= U32_MAX for number in (a.user_data_32, a.reserved, a.ledger))
        and 0 <= a.code <= U16_MAX
        and 0 <= a.flags <= U16_MAX
    ):
        raise errors.Malformed("accounts", f"a number of account {a.id} is out of range")


def _check_ids(ids: Sequence[int]) -> None:
    if len(ids) > BATCH_SIZE_MAX:
        raise errors.TooLarge(f"ids: at most {BATCH_SIZE_MAX} in one list")
    if not all(0 <= id_asked <= U128_MAX for id_asked in ids):
        raise errors.Malformed("ids", "must be 0 to 2^128-1")
