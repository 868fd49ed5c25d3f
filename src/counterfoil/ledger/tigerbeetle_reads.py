"""What can be asked of a TigerBeetle ledger, by the process that writes it and by others beside it.

Every question is one request or a few, and sees what was committed before it. All raise Unavailable when no answer comes in time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from counterfoil.ledger import filters, rules
from counterfoil.ledger import tigerbeetle_imports as imports
from counterfoil.ledger import tigerbeetle_records as records
from counterfoil.ledger.tigerbeetle_client import Session, connector
from counterfoil.ledger.tigerbeetle_records import CHANGE_EVENTS_MAX, Operation
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFilterFlags,
    ChangeEvent,
    ChangeEventType,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
    TransferFlags,
)

T = TypeVar("T")
F = TypeVar("F", AccountFilter, QueryFilter)
R = TypeVar("R", Account, Transfer, AccountBalance)

EXPIRIES_MAX: Final = 100_000
"""Moments of expiries remembered: some 100 bytes each."""
_WALK_SIZE_FIRST: Final = 32
"""Transfers of an account read first, on the way back to what was reserved."""

_PENDING: Final = int(TransferFlags.PENDING)
_REVERSED_ACCOUNT: Final = int(AccountFilterFlags.REVERSED)
_REVERSED_QUERY: Final = int(QueryFilterFlags.REVERSED)
_BOTH_SIDES_REVERSED: Final = int(AccountFilterFlags.DEBITS | AccountFilterFlags.CREDITS | AccountFilterFlags.REVERSED)


class Reads:
    """The queries. Thread-safe."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._expiries: dict[int, int] = {}  # when a pending transfer was released: that never changes
        self._imports: bool | None = None  # whether books were moved here: not known yet

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        if not ids:
            return []
        return _shown_accounts(self.ask(Operation.LOOKUP_ACCOUNTS, records.encode_ids(ids), records.decode_accounts))

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        return self._shown(self.lookup_raw(ids))

    def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:
        if not filters.account_filter_valid(filter):
            return []
        return _paged(filter, self._account_transfers, self._shown)

    def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        if not filters.account_filter_valid(filter):
            return []
        hidden: set[int] = set()

        def ask(filter: AccountFilter, limit: int) -> list[AccountBalance]:
            if self._holds_imports():
                hidden.update(t.timestamp for t in self._account_transfers(filter, limit) if imports.is_hidden(t))
            return self.ask(Operation.GET_ACCOUNT_BALANCES, records.encode_account_filter(filter, limit), records.decode_balances)

        return _paged(filter, ask, lambda page: [balance for balance in page if balance.timestamp not in hidden])

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        if not filters.query_filter_valid(filter):
            return []

        def ask(filter: QueryFilter, limit: int) -> list[Account]:
            return self.ask(Operation.QUERY_ACCOUNTS, records.encode_query_filter(filter, limit), records.decode_accounts)

        return _paged(filter, ask, _shown_accounts)

    def query_transfers(self, filter: QueryFilter) -> list[Transfer]:
        if not filters.query_filter_valid(filter):
            return []
        return _paged(filter, self._transfers, self._shown)

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        """The feed: committed movements and expiries in timestamp order. Both bounds inclusive; 0 is no bound."""
        if not filters.selection_valid(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit):
            return []
        limit = _limit(limit)
        found: list[ChangeEvent] = []
        hidden = False
        while len(found) < limit and (timestamp_max == 0 or timestamp_min <= timestamp_max):
            size = CHANGE_EVENTS_MAX if hidden else min(limit - len(found), CHANGE_EVENTS_MAX)
            asked = records.encode_change_events_filter(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=size)
            page = self.ask(Operation.GET_CHANGE_EVENTS, asked, records.decode_change_events)
            shown = self._shown_events(page)
            found += shown
            if len(page) < size:
                break
            timestamp_min = page[-1].timestamp + 1
            hidden = hidden or len(shown) < len(page)
        return found[:limit]

    def newest_recorded(self) -> int:
        """Timestamp of the newest account or transfer, ns; 0 for an empty ledger."""
        newest = QueryFilter(limit=1, flags=QueryFilterFlags.REVERSED)
        accounts = self.ask(Operation.QUERY_ACCOUNTS, records.encode_query_filter(newest, 1), records.decode_accounts)
        return max([account.timestamp for account in accounts] + [transfer.timestamp for transfer in self._transfers(newest, 1)], default=0)

    # What a move has brought here, shown as it was: see `tigerbeetle_imports`

    def lookup_raw(self, ids: Sequence[int]) -> list[Transfer]:
        """Transfers as they lie there."""
        return self.ask(Operation.LOOKUP_TRANSFERS, records.encode_ids(ids), records.decode_transfers) if ids else []

    def _account_transfers(self, filter: AccountFilter, limit: int) -> list[Transfer]:
        return self.ask(Operation.GET_ACCOUNT_TRANSFERS, records.encode_account_filter(filter, limit), records.decode_transfers)

    def _transfers(self, filter: QueryFilter, limit: int) -> list[Transfer]:
        return self.ask(Operation.QUERY_TRANSFERS, records.encode_query_filter(filter, limit), records.decode_transfers)

    def _holds_imports(self) -> bool:
        if self._imports is None:
            asked = records.encode_ids([imports.NOTES[0].id])
            self._imports = bool(self.ask(Operation.LOOKUP_ACCOUNTS, asked, records.decode_accounts))
        return self._imports

    def _shown(self, found: list[Transfer]) -> list[Transfer]:
        if not any(t.flags & imports.IMPORTED or t.ledger == imports.NOTES_LEDGER for t in found):
            return found
        timeouts = self._timeouts([t.id for t in found if imports.may_have_timeout(t)])
        return [imports.as_recorded(t, timeouts) if t.flags & imports.IMPORTED else t for t in found if not imports.is_hidden(t)]

    def _shown_events(self, found: list[ChangeEvent]) -> list[ChangeEvent]:
        if not any(event.transfer.flags & imports.IMPORTED or event.transfer.ledger == imports.NOTES_LEDGER for event in found):
            return found
        expired = [event.transfer.pending_id for event in found if imports.is_release(event.transfer)]
        pending = {t.id: t for part in _parts(expired) for t in self.lookup_transfers(part)}
        timeouts = self._timeouts([event.transfer.id for event in found if imports.may_have_timeout(event.transfer)])
        shown = []
        for event in found:
            t = event.transfer
            if imports.is_release(t):
                event = msgspec.structs.replace(event, type=ChangeEventType.TWO_PHASE_EXPIRED, transfer=pending[t.pending_id])  # noqa: PLW2901
            elif t.flags & imports.IMPORTED:
                event = msgspec.structs.replace(event, transfer=imports.as_recorded(t, timeouts))  # noqa: PLW2901
            if t.ledger != imports.NOTES_LEDGER:
                shown.append(event)
        return shown

    def _timeouts(self, pending_ids: list[int]) -> dict[int, int]:
        notes = [imports.timeout_id(pending_id) for pending_id in pending_ids]
        return imports.timeouts_in([note for part in _parts(notes) for note in self.lookup_raw(part)])

    def ask(self, operation: Operation, data: bytes, decode: Callable[[bytes], T]) -> T:
        return self._session.ask(operation, data, lambda reply: decode(reply.data))

    # A balance of the past

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        """The balances right after the account's last event (expiries, too) up to `timestamp`, ns, inclusive; zeros before it.

        An expiry is an event of its own, of which the account's history shows nothing: where something was reserved, its
        transfers are walked back to find what was, and the feed is asked when that was released. The release of a
        reservation of nothing is not noticed.
        """
        nothing = AccountBalance(0, 0, 0, 0, 0)
        if timestamp <= 0 or not 0 < account_id < 2**128 - 1:
            return nothing
        until = min(timestamp, TIMESTAMP_MAX - 1)
        last = self.get_account_transfers(AccountFilter(account_id=account_id, limit=1, flags=_BOTH_SIDES_REVERSED, timestamp_max=until))
        if not last:
            return nothing
        at = last[0].timestamp
        [event] = self.get_change_events(timestamp_min=at, timestamp_max=at, limit=1)
        account = event.debit_account if event.debit_account.id == account_id else event.credit_account
        assert account.id == account_id, (account_id, event)
        balance = AccountBalance(at, account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted)
        if not account.debits_pending and not account.credits_pending:
            return balance
        for pending in self._open_at(account, at):
            released = self._released(pending, until)
            if released == 0:
                continue
            assert released > at, (released, at)
            debited, credited = (pending.amount, 0) if pending.debit_account_id == account_id else (0, pending.amount)
            balance = msgspec.structs.replace(
                balance,
                timestamp=max(balance.timestamp, released),
                debits_pending=balance.debits_pending - debited,
                credits_pending=balance.credits_pending - credited,
            )
        return balance

    def _open_at(self, account: Account, at: int) -> list[Transfer]:
        """The reservations that make up the pending balances that `account` had at its transfer of that moment."""
        debited, credited = account.debits_pending, account.credits_pending
        resolved: set[int] = set()
        found: list[Transfer] = []
        until, size = at, _WALK_SIZE_FIRST
        while debited or credited:
            chosen = AccountFilter(account_id=account.id, limit=size, flags=_BOTH_SIDES_REVERSED, timestamp_max=until)
            page = self.get_account_transfers(chosen)
            for transfer in page:
                if transfer.pending_id:
                    resolved.add(transfer.pending_id)
                elif transfer.flags & _PENDING and transfer.amount and transfer.id not in resolved and not self._released(transfer, at):
                    found.append(transfer)
                    if transfer.debit_account_id == account.id:
                        debited -= transfer.amount
                    else:
                        credited -= transfer.amount
            assert debited >= 0 <= credited, (account, found)
            if len(page) < size:
                break
            until, size = page[-1].timestamp - 1, BATCH_SIZE_MAX
        assert debited == credited == 0, (account, debited, credited)
        return found

    def _released(self, pending: Transfer, until: int) -> int:
        """When it expired, ns, if that was up to `until`; else 0."""
        if not pending.timeout or rules.expires_at(pending) > until:
            return 0
        known = self._expiries.get(pending.id)
        if known is not None:
            return known if known <= until else 0
        timestamp_min = rules.expires_at(pending)
        while page := self.get_change_events(timestamp_min=timestamp_min, timestamp_max=until, limit=CHANGE_EVENTS_MAX):
            for event in page:
                if event.type is ChangeEventType.TWO_PHASE_EXPIRED:
                    self._expiries[event.transfer.id] = event.timestamp
                    if len(self._expiries) > EXPIRIES_MAX:
                        del self._expiries[next(iter(self._expiries))]
                    if event.transfer.id == pending.id:
                        return event.timestamp
                elif event.transfer.pending_id == pending.id:
                    return 0  # it was posted or voided at that very moment
            if len(page) < CHANGE_EVENTS_MAX:
                break
            timestamp_min = page[-1].timestamp + 1
        return 0


class TigerBeetleFollower:
    """Follows a ledger from beside whoever writes it, in another process: it has no memory of accounts."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reads = Reads(session)
        self._last_event = 0

    @classmethod
    def open(cls, addresses: str, cluster: int, *, deadline_s: float = 5.0, raw: bool = True) -> TigerBeetleFollower:
        """Raises UnknownFormat for a client that does not fit. Whether somebody answers is seen at the first question."""
        return cls(Session(connector(addresses, cluster, raw=raw), deadline_s=deadline_s))

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def last_event(self) -> int:
        """Timestamp of the newest event, ns; 0 before the first."""
        newest = self._reads.query_transfers(QueryFilter(limit=1, flags=QueryFilterFlags.REVERSED))
        self._last_event = max(self._last_event, newest[0].timestamp if newest else 0)
        expiries = self.get_change_events(timestamp_min=self._last_event + 1, limit=CHANGE_EVENTS_MAX)
        if expiries:
            self._last_event = expiries[-1].timestamp
        return self._last_event

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts found, in the order asked, as they were opened: without balances."""
        found: list[Account] = []
        for start in range(0, len(ids), BATCH_SIZE_MAX):
            found += self._reads.lookup_accounts(ids[start : start + BATCH_SIZE_MAX])
        return [
            msgspec.structs.replace(account, debits_pending=0, debits_posted=0, credits_pending=0, credits_posted=0) for account in found
        ]

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        """The feed: committed movements and expiries in timestamp order. Both bounds inclusive; 0 is no bound."""
        return self._reads.get_change_events(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit)


def _paged(asked: F, ask: Callable[[F, int], list[R]], show: Callable[[list[R]], list[R]]) -> list[R]:
    """As many shown records as the filter asks for: where some are hidden, it is asked again behind them."""
    limit = size = _limit(asked.limit)
    reverse = bool(int(asked.flags) & (_REVERSED_ACCOUNT if isinstance(asked, AccountFilter) else _REVERSED_QUERY))  # type: ignore[redundant-expr]
    found: list[R] = []
    while True:
        page = ask(asked, size)
        found += show(page)
        if len(page) < size or len(found) >= limit:
            return found[:limit]
        last, size = page[-1].timestamp, BATCH_SIZE_MAX
        if last == ((asked.timestamp_min or 1) if reverse else asked.timestamp_max):
            return found
        asked = msgspec.structs.replace(asked, **({"timestamp_max": last - 1} if reverse else {"timestamp_min": last + 1}))


def _shown_accounts(found: list[Account]) -> list[Account]:
    return [account for account in found if account.ledger != imports.NOTES_LEDGER]


def _parts(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + BATCH_SIZE_MAX] for start in range(0, len(ids), BATCH_SIZE_MAX)]


def _limit(limit: int) -> int:
    return min(limit, BATCH_SIZE_MAX)
