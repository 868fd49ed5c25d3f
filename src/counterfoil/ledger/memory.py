"""The ledger in memory: the reference for tests and simulation. What it has answered is gone when the process is.

Every record is kept in timestamp order, and read back by scanning: plain enough to be checked by eye.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from counterfoil.ledger import filters, rules
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFilterFlags,
    AccountFlags,
    ChangeEvent,
    ChangeEventType,
    CreateAccountResult,
    CreateTransferResult,
    PendingStatus,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
    TransferFlags,
)

R = TypeVar("R")


class MemoryEngine:
    """A ledger that lives as long as its object. Implements `engine.Engine`.

    Attributes:
        last_timestamp: the last one given out, ns; refused events use one up, too. 0 before the first event.
    """

    waits: ClassVar[bool] = False

    def __init__(self) -> None:
        self.last_timestamp = 0
        # Everything ever recorded is in the books, so a batch never misses what it names.
        self._books = rules.Books()
        self._movements: list[rules.Movement] = []  # the feed, in timestamp order
        self._movements_by_account: dict[int, list[rules.Movement]] = {}  # those that made a transfer
        self._expiries: list[tuple[int, int, int]] = []  # a heap: (expires_at, timestamp, id); resolved ones leave when due

    def create_accounts(self, accounts: Sequence[Account], now: int) -> list[CreateAccountResult]:
        assert len(accounts) <= BATCH_SIZE_MAX, len(accounts)
        if not accounts:
            return []
        timestamp = rules.batch_timestamp(now=now, last=self.last_timestamp, count=len(accounts))
        results = rules.apply_accounts(accounts, timestamp=timestamp, books=self._books)
        self.last_timestamp = timestamp
        return results

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[CreateTransferResult]:
        assert len(transfers) <= BATCH_SIZE_MAX, len(transfers)
        self.expire_pending_transfers(now)
        if not transfers:
            return []
        timestamp = rules.batch_timestamp(now=now, last=self.last_timestamp, count=len(transfers))
        outcome = rules.apply_transfers(transfers, timestamp=timestamp, books=self._books)
        self.last_timestamp = timestamp
        for movement in outcome.movements:
            self._record(movement)
        return outcome.results

    def expire_pending_transfers(self, now: int) -> int:
        # The ledger's own time counts: where the machine's clock went back, it is the later one.
        time = max(now, self.last_timestamp)
        due: list[Transfer] = []
        while self._expiries and self._expiries[0][0] <= time and len(due) < BATCH_SIZE_MAX:
            _, _, pending_id = heapq.heappop(self._expiries)
            if self._books.pending[pending_id] == PendingStatus.PENDING:
                due.append(self._books.transfers[pending_id])
        if not due:
            return 0
        timestamp = rules.expiry_timestamp(now=now, last=self.last_timestamp, count=len(due))
        self._movements += rules.expire(due, timestamp=timestamp, books=self._books)
        self.last_timestamp = timestamp
        return len(due)

    def account_now(self, id: int) -> Account | None:
        account = self._books.accounts.get(id)
        return None if account is None else account.freeze()

    def balances_now(self, id: int) -> tuple[int, int, int, int] | None:
        account = self._books.accounts.get(id)
        return None if account is None else account.balances()

    def account_code(self, id: int) -> int:
        account = self._books.accounts.get(id)
        return 0 if account is None else account.code

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        for movement in reversed(_between(self._movements, 0, timestamp) if timestamp > 0 else []):
            if movement.transfer.debit_account_id == account_id:
                return AccountBalance(movement.timestamp, *movement.debit_balances)
            if movement.transfer.credit_account_id == account_id:
                return AccountBalance(movement.timestamp, *movement.credit_balances)
        return AccountBalance(0, 0, 0, 0, 0)

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        assert len(ids) <= BATCH_SIZE_MAX, len(ids)
        accounts = self._books.accounts
        return [accounts[account_id].freeze() for account_id in ids if account_id in accounts]

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        assert len(ids) <= BATCH_SIZE_MAX, len(ids)
        transfers = self._books.transfers
        return [transfers[transfer_id] for transfer_id in ids if transfer_id in transfers]

    def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:
        return [movement.transfer for movement in self._select_movements(filter)]

    def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        account = self._books.accounts.get(filter.account_id)
        if account is None or not account.flags & AccountFlags.HISTORY:
            return []
        return [
            AccountBalance(
                movement.timestamp,
                *(movement.debit_balances if movement.transfer.debit_account_id == account.id else movement.credit_balances),
            )
            for movement in self._select_movements(filter)
        ]

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        if not filters.query_filter_valid(filter):
            return []
        # Accounts stand in the books in the order of their creation, which is that of their timestamps.
        in_range = (
            account
            for account in self._books.accounts.values()
            if filter.timestamp_min <= account.timestamp <= (filter.timestamp_max or TIMESTAMP_MAX)
        )
        found = [account.freeze() for account in in_range if _matches(account, filter) and filter.ledger in (0, account.ledger)]
        return _cut(found, reverse=bool(filter.flags & QueryFilterFlags.REVERSED), limit=filter.limit)

    def query_transfers(self, filter: QueryFilter) -> list[Transfer]:
        if not filters.query_filter_valid(filter):
            return []
        found = [
            movement.transfer
            for movement in _between(self._movements, filter.timestamp_min, filter.timestamp_max)
            if movement.resolved != PendingStatus.EXPIRED
            and _matches(movement.transfer, filter)
            and filter.ledger in (0, movement.transfer.ledger)
        ]
        return _cut(found, reverse=bool(filter.flags & QueryFilterFlags.REVERSED), limit=filter.limit)

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        if not filters.selection_valid(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit):
            return []
        found = _between(self._movements, timestamp_min, timestamp_max, limit=min(limit, BATCH_SIZE_MAX))
        return [self._change_event(movement) for movement in found]

    def close(self) -> None:
        """Nothing to make durable, nothing to let go of."""

    def _record(self, movement: rules.Movement) -> None:
        assert not self._movements or self._movements[-1].timestamp < movement.timestamp, movement.timestamp
        transfer = movement.transfer
        self._movements.append(movement)
        self._movements_by_account.setdefault(transfer.debit_account_id, []).append(movement)
        self._movements_by_account.setdefault(transfer.credit_account_id, []).append(movement)
        if transfer.timeout:
            heapq.heappush(self._expiries, (rules.expires_at(transfer), transfer.timestamp, transfer.id))

    def _select_movements(self, filter: AccountFilter) -> list[rules.Movement]:
        """The transfers of one account that the filter selects, in the order it asks for."""
        if not filters.account_filter_valid(filter):
            return []
        flags = int(filter.flags)

        def selected(movement: rules.Movement) -> bool:
            side = AccountFilterFlags.DEBITS if movement.transfer.debit_account_id == filter.account_id else AccountFilterFlags.CREDITS
            return bool(flags & side) and _matches(movement.transfer, filter)

        movements = self._movements_by_account.get(filter.account_id, [])
        found = [movement for movement in _between(movements, filter.timestamp_min, filter.timestamp_max) if selected(movement)]
        return _cut(found, reverse=bool(filter.flags & AccountFilterFlags.REVERSED), limit=filter.limit)

    def _change_event(self, movement: rules.Movement) -> ChangeEvent:
        transfer = movement.transfer
        return ChangeEvent(
            timestamp=movement.timestamp,
            type=_change_event_type(movement),
            transfer=transfer,
            debit_account=self._books.accounts[transfer.debit_account_id].freeze_at(movement.debit_balances, movement.debit_flags),
            credit_account=self._books.accounts[transfer.credit_account_id].freeze_at(movement.credit_balances, movement.credit_flags),
        )


def _change_event_type(movement: rules.Movement) -> ChangeEventType:
    if movement.resolved == PendingStatus.POSTED:
        return ChangeEventType.TWO_PHASE_POSTED
    if movement.resolved == PendingStatus.VOIDED:
        return ChangeEventType.TWO_PHASE_VOIDED
    if movement.resolved == PendingStatus.EXPIRED:
        return ChangeEventType.TWO_PHASE_EXPIRED
    if movement.transfer.flags & TransferFlags.PENDING:
        return ChangeEventType.TWO_PHASE_PENDING
    return ChangeEventType.SINGLE_PHASE


def _between(movements: list[rules.Movement], timestamp_min: int, timestamp_max: int, *, limit: int | None = None) -> list[rules.Movement]:
    """Those in the range, at most `limit` of them; both bounds inclusive, 0 is none."""
    start = bisect_left(movements, timestamp_min, key=_timestamp)
    stop = bisect_right(movements, timestamp_max or TIMESTAMP_MAX, key=_timestamp)
    return movements[start : stop if limit is None else min(stop, start + limit)]


def _timestamp(movement: rules.Movement) -> int:
    return movement.timestamp


def _matches(record: Transfer | rules.AccountState, filter: AccountFilter | QueryFilter) -> bool:
    return (
        filter.user_data_128 in (0, record.user_data_128)
        and filter.user_data_64 in (0, record.user_data_64)
        and filter.user_data_32 in (0, record.user_data_32)
        and filter.code in (0, record.code)
    )


def _cut(found: list[R], *, reverse: bool, limit: int) -> list[R]:
    if reverse:
        found.reverse()
    return found[: min(limit, BATCH_SIZE_MAX)]
