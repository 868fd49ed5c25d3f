"""Applies a batch to the books that a database's one writer holds in memory (`cache`), and gathers its rows. No I/O of its own.

The fast path. Python runs through the events in order with the balances in memory. An event that is
plain or pending (linked or not), valid by itself, new, within its accounts' limits as they stand at that very moment,
and that cannot overflow, is accepted on the spot: these are all the reasons that `rules` knows to refuse one. The fast
path never refuses. The first event that it cannot accept goes to `rules.apply_transfers`, in its place in the order, as a
segment of its own: the event alone, or with all of its chain, whose legs accepted so far are taken back first. Then the
fast path goes on behind it. Since both work on the same accounts, one after the other, a batch is what the rules alone
would have made of it; and a refused event costs its own detour, not the batch's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Final

from counterfoil.ledger import rules
from counterfoil.ledger.cache import Cache, CachedAccount
from counterfoil.ledger.movable import Burnt
from counterfoil.ledger.rows import (
    ACCEPTED_COLUMNS,
    BURNT,
    CREDIT_CLOSED,
    DEBIT_CLOSED,
    EVENT_COLUMNS,
    EXPIRY,
    MARK_INTERVAL,
    NARROW_MAX,
    TRANSFER,
    wide,
)
from counterfoil.ledger.rules import AccountState, Balances, Books, Movement
from counterfoil.ledger.types import (
    TIMESTAMP_MAX,
    TRANSIENT,
    U128_MAX,
    Account,
    AccountFlags,
    ChangeEvent,
    ChangeEventType,
    CreateAccountResult,
    CreateAccountStatus,
    CreateTransferResult,
    CreateTransferStatus,
    PendingStatus,
    Transfer,
    TransferFlags,
)

_CREATED: Final = CreateTransferStatus.CREATED
_LINKED: Final = int(TransferFlags.LINKED)
_PENDING: Final = int(TransferFlags.PENDING)
_NOT_SIMPLE: Final = ~(_LINKED | _PENDING)
_DEBITS_MUST_NOT_EXCEED_CREDITS: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
_CREDITS_MUST_NOT_EXCEED_DEBITS: Final = int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_CLOSED: Final = int(AccountFlags.CLOSED)
_MARK_MASK: Final = MARK_INTERVAL - 1
_TIMEOUT_NS: Final = rules.NANOSECONDS_PER_SECOND

_Row = tuple[Any, ...]


class Batch(ABC):
    """The rows of one batch, on their way into a database, whose own class says how things are found there and written.

    Attributes:
        fast_path: False sends every event through the rules; for tests, and to measure.
    """

    def __init__(self, *, fast_path: bool) -> None:
        self.fast_path = fast_path
        self._accepted: list[Any] = []  # of the fast path: ACCEPTED_COLUMNS values for each row, in one flat list
        self._rows: list[_Row] = []  # of everything else
        self._pending_rows: list[tuple[int, int, int]] = []
        self._resolved_rows: list[tuple[int, int]] = []
        self._mark_rows: list[tuple[int, int]] = []

    def forget(self) -> None:
        """After a failed batch: what was not yet written never will be."""
        for rows in (self._accepted, self._rows, self._pending_rows, self._resolved_rows, self._mark_rows):
            rows.clear()

    def apply(self, cache: Cache, transfers: Sequence[Transfer], timestamp: int) -> list[CreateTransferResult]:
        """Runs all events of a batch whose last one has `timestamp`, fast or slow, strictly in order."""
        results: list[CreateTransferResult] = []
        timestamp_first = timestamp - len(transfers) + 1
        index = 0
        while index < len(transfers):
            if self.fast_path:
                index = self._accept(cache, transfers, index, timestamp_first, results)
                assert len(results) == index, (len(results), index)
            if index < len(transfers):
                stop = _segment_stop(transfers, index) if self.fast_path else len(transfers)
                results += self._refer(cache, transfers[index:stop], timestamp_first + stop - 1)
                index = stop
        assert len(results) == len(transfers), (len(results), len(transfers))
        return results

    def _accept(  # noqa: C901 - one loop without calls: a call per transfer costs as much as the rules
        self, cache: Cache, transfers: Sequence[Transfer], start: int, timestamp_first: int, results: list[CreateTransferResult]
    ) -> int:
        """The fast path: accepts events from `start` on. Returns the index of the first that it leaves to the rules, or the end.

        An event left to the rules has changed nothing, nor has any leg of its chain.
        """
        accepted, marks = self._accepted, self._mark_rows
        add_row, add_result = accepted.extend, results.append
        find, newest, floor, wide_ids = cache.accounts.get, cache.newest, cache.floor, cache.wide
        timestamp = timestamp_first + start - 1
        chain_start = -1  # of the open chain: where its first row begins in `accepted`
        for t in transfers[start:] if start else transfers:
            timestamp += 1
            # Unary plus makes a plain int of an enum's member, whose own operators are slow; so below.
            flags = +t.flags
            transfer_id = t.id
            if flags & _NOT_SIMPLE or t.timestamp or t.pending_id or transfer_id in newest:
                break
            if transfer_id <= floor:
                if transfer_id <= 0 or self.is_recorded(cache, transfer_id):
                    break
            elif transfer_id >= U128_MAX:
                break
            debit, credit = find(t.debit_account_id), find(t.credit_account_id)
            if debit is None or credit is None or debit is credit:
                break
            debit_flags, credit_flags, amount, code = debit.flags, credit.flags, t.amount, +t.code
            if (debit_flags | credit_flags) & _CLOSED or not code or not (debit.ledger == credit.ledger == t.ledger):
                break
            if wide_ids and (debit.id in wide_ids or credit.id in wide_ids):
                break
            debits_pending, debits_posted = debit.debits_pending, debit.debits_posted
            credits_pending, credits_posted = credit.credits_pending, credit.credits_posted
            if flags & _PENDING:
                debits_pending += amount
                credits_pending += amount
            elif t.timeout:
                break
            else:
                debits_posted += amount
                credits_posted += amount
            debits_total, credits_total = debits_pending + debits_posted, credits_pending + credits_posted
            if not (0 <= amount <= debits_total <= NARROW_MAX) or credits_total > NARROW_MAX:
                break
            if debit_flags & _DEBITS_MUST_NOT_EXCEED_CREDITS and debits_total > debit.credits_posted:
                break
            if credit_flags & _CREDITS_MUST_NOT_EXCEED_DEBITS and credits_total > credit.debits_posted:
                break
            if flags:
                if flags & _PENDING:
                    expires_at = timestamp + t.timeout * _TIMEOUT_NS if t.timeout else 0
                    if expires_at > TIMESTAMP_MAX:
                        break
                    self._note_pending(cache, timestamp, expires_at)
                    debit.debits_pending, credit.credits_pending = debits_pending, credits_pending
                if flags & _LINKED and chain_start < 0:
                    chain_start = len(accepted)

            # After this point, the transfer must succeed. Of a bytearray, Python's sqlite3 looks for no adapter as it does of bytes.
            user_data_128, user_data_64 = t.user_data_128, t.user_data_64
            add_row((
                timestamp, bytearray(transfer_id.to_bytes(16)), debit.number, credit.number, amount,
                user_data_128 if user_data_128 <= NARROW_MAX else bytearray(user_data_128.to_bytes(16)),
                user_data_64 if user_data_64 <= NARROW_MAX else user_data_64.to_bytes(16),
                t.user_data_32, t.timeout, code, flags, debit.last, credit.last,
                debits_pending, debits_posted, debit.credits_pending, debit.credits_posted,
                credit.debits_pending, credit.debits_posted, credits_pending, credits_posted,
            ))  # fmt: skip
            debit.debits_posted = debits_posted
            credit.credits_posted = credits_posted
            debit.last = credit.last = timestamp
            debit.count = count = debit.count + 1
            if not count & _MARK_MASK:
                marks.append((debit.number, timestamp))
            credit.count = count = credit.count + 1
            if not count & _MARK_MASK:
                marks.append((credit.number, timestamp))
            newest[transfer_id] = None
            add_result(CreateTransferResult(timestamp, _CREATED))
            if chain_start >= 0 and not flags & _LINKED:
                chain_start = -1
        if chain_start >= 0:  # broken, or open at the end of the batch: the rules say so
            self._take_back(cache, chain_start, results)
        return len(results)

    def _take_back(self, cache: Cache, start: int, results: list[CreateTransferResult]) -> None:
        """Undoes the legs of an open chain, newest first: the books are as if it had never begun."""
        accepted = self._accepted
        timestamp_first = accepted[start]
        while len(accepted) > start:
            timestamp, id_bytes, debit_number, credit_number, amount, _, _, _, _, _, flags, debit_previous, credit_previous, *_ = accepted[
                -ACCEPTED_COLUMNS:
            ]
            del accepted[-ACCEPTED_COLUMNS:]
            debit, credit = cache.account(debit_number), cache.account(credit_number)
            assert debit.last == credit.last == timestamp, (debit.last, credit.last, timestamp)
            if flags & _PENDING:
                debit.debits_pending -= amount
                credit.credits_pending -= amount
            else:
                debit.debits_posted -= amount
                credit.credits_posted -= amount
            debit.last, credit.last = debit_previous, credit_previous
            debit.count -= 1
            credit.count -= 1
            del cache.newest[int.from_bytes(id_bytes)]
            del results[-1]
        while self._pending_rows and self._pending_rows[-1][0] >= timestamp_first:
            self._pending_rows.pop()  # `expires_next` may now be too early, which costs one look at the table
        while self._mark_rows and self._mark_rows[-1][1] >= timestamp_first:
            self._mark_rows.pop()

    def _refer(self, cache: Cache, segment: Sequence[Transfer], timestamp: int) -> list[CreateTransferResult]:
        """The slow path: lets the rules decide a segment whose last event has `timestamp`."""
        books = Books()
        wanted = {t.pending_id for t in segment if t.pending_id}
        wanted.update(t.id for t in segment if t.id in cache.newest or t.id <= cache.floor)
        if wanted:
            self._fill(cache, books, wanted)
        for t in segment:
            for account_id in (t.debit_account_id, t.credit_account_id):
                account = cache.accounts.get(account_id)
                if account is not None:
                    books.accounts[account_id] = account.state()
        outcome = rules.apply_transfers(segment, timestamp=timestamp, books=books)
        assert len(outcome.results) == len(segment), (len(outcome.results), len(segment))

        for movement in outcome.movements:
            t = movement.transfer
            pending = 0
            if t.pending_id:
                pending = books.transfers[t.pending_id].timestamp
                self._resolved_rows.append((movement.resolved.value, pending))
            elif t.flags & _PENDING:
                self._note_pending(cache, t.timestamp, rules.expires_at(t) if t.timeout else 0)
            self._add_movement(cache, movement, TRANSFER, pending)
            cache.newest[t.id] = None
        for t, result in zip(segment, outcome.results, strict=True):
            if result.status in TRANSIENT:
                self._rows.append((result.timestamp, BURNT, t.id.to_bytes(16), *(0,) * (EVENT_COLUMNS - 3)))
                cache.newest[t.id] = None
        return outcome.results

    def create_accounts(self, cache: Cache, accounts: Sequence[Account], now: int) -> tuple[list[CreateAccountResult], list[CachedAccount]]:
        """Runs a batch of accounts. Returns the results, and those that are new, which are yet to be written."""
        timestamp = rules.batch_timestamp(now=now, last=cache.last_timestamp, count=len(accounts))
        books = Books()
        for account in accounts:
            existing = cache.accounts.get(account.id)
            if existing is not None:
                books.accounts[account.id] = existing.state()
        known = len(books.accounts)
        results = rules.apply_accounts(accounts, timestamp=timestamp, books=books)
        created = cache.create(list(books.accounts.values())[known:])
        assert len(created) == sum(result.status is CreateAccountStatus.CREATED for result in results), len(created)
        cache.last_timestamp = timestamp
        return results, created

    def expire(self, cache: Cache, now: int) -> int:
        """Releases what is due, in order of expiry, then creation; at most BATCH_SIZE_MAX."""
        time = max(now, cache.last_timestamp)  # where the machine's clock went back, the ledger's own time is the later one
        if not cache.expires_next or cache.expires_next > time:
            return 0
        ids = self.find_due(time)
        if ids:
            books = Books()
            self._fill(cache, books, set(ids))
            timestamp = rules.expiry_timestamp(now=now, last=cache.last_timestamp, count=len(ids))
            for movement in rules.expire([books.transfers[pending_id] for pending_id in ids], timestamp=timestamp, books=books):
                pending = movement.transfer.timestamp
                self._resolved_rows.append((PendingStatus.EXPIRED.value, pending))
                self._add_movement(cache, movement, EXPIRY, pending)
            cache.last_timestamp = timestamp
        cache.expires_next = self.next_expiry(cache)
        return len(ids)

    def record_accounts(self, cache: Cache, accounts: Sequence[Account]) -> list[CachedAccount]:
        """Opens accounts that another engine has opened, with their timestamps. Returns them: they are yet to be written."""
        created = cache.create([AccountState(account) for account in accounts])
        cache.last_timestamp = max(cache.last_timestamp, accounts[-1].timestamp)
        return created

    def record_events(self, cache: Cache, events: Sequence[ChangeEvent]) -> None:
        """Gathers the rows of what another engine has recorded, later than all that is here. The rules are not asked again."""
        pending = {event.transfer.id: event.timestamp for event in events if event.type is ChangeEventType.TWO_PHASE_PENDING}
        resolved = {event.transfer.pending_id for event in events} - pending.keys() - {0}
        if resolved:
            found, _ = self.find_transfers(cache, resolved)
            pending |= {transfer.id: transfer.timestamp for transfer, _ in found}
        for event in events:
            assert event.timestamp > cache.last_event, (event.timestamp, cache.last_event)
            self._record_event(cache, event, pending)
        cache.last_timestamp = max(cache.last_timestamp, events[-1].timestamp)

    def _record_event(self, cache: Cache, event: ChangeEvent, pending: dict[int, int]) -> None:
        t, of, resolved, kind = event.transfer, 0, PendingStatus.NONE, TRANSFER
        if event.type is ChangeEventType.TWO_PHASE_EXPIRED:
            of, resolved, kind = t.timestamp, PendingStatus.EXPIRED, EXPIRY
        elif t.pending_id:
            of = pending[t.pending_id]
            resolved = PendingStatus.POSTED if event.type is ChangeEventType.TWO_PHASE_POSTED else PendingStatus.VOIDED
        elif t.flags & _PENDING:
            self._note_pending(cache, t.timestamp, rules.expires_at(t) if t.timeout else 0)
        if of:
            self._resolved_rows.append((resolved.value, of))
        if kind == TRANSFER:
            cache.newest[t.id] = None
        after: list[Balances] = []
        for recorded in (event.debit_account, event.credit_account):
            account = cache.accounts[recorded.id]
            account.debits_pending, account.debits_posted = recorded.debits_pending, recorded.debits_posted
            account.credits_pending, account.credits_posted = recorded.credits_pending, recorded.credits_posted
            account.flags = +recorded.flags
            after.append(account.balances())
        flags = +event.debit_account.flags, +event.credit_account.flags
        self._add_movement(cache, Movement(t, event.timestamp, after[0], after[1], *flags, resolved), kind, of)

    def record_burnt(self, cache: Cache, burnt: Sequence[Burnt]) -> None:
        """Gathers the rows of ids that another engine has refused for good."""
        for each in burnt:
            self._rows.append((each.timestamp, BURNT, each.id.to_bytes(16), *(0,) * (EVENT_COLUMNS - 3)))
            cache.newest[each.id] = None
        cache.last_timestamp = max(cache.last_timestamp, burnt[-1].timestamp)

    @abstractmethod
    def is_recorded(self, cache: Cache, id: int) -> bool:
        """Whether the id belongs to a transfer, also of this batch, or is burnt."""

    @abstractmethod
    def find_transfers(self, cache: Cache, ids: Collection[int]) -> tuple[list[tuple[Transfer, PendingStatus]], set[int]]:
        """The transfers among `ids`, also of this batch, each with the status of its reservation, and those ids that are burnt."""

    @abstractmethod
    def find_due(self, time: int) -> list[int]:
        """Ids of pending transfers that expire up to `time`, in order of expiry, then creation; at most BATCH_SIZE_MAX."""

    @abstractmethod
    def next_expiry(self, cache: Cache) -> int:
        """When the first pending transfer expires that is left after `find_due` and what followed; 0 for none."""

    def _fill(self, cache: Cache, books: Books, ids: set[int]) -> None:
        """Brings recorded transfers, burnt ids, and whatever resolving a pending one touches, into the books."""
        found, failed = self.find_transfers(cache, ids)
        books.failed |= failed
        further: set[int] = set()
        for t, status in found:
            books.transfers[t.id] = t
            for account_id in (t.debit_account_id, t.credit_account_id):
                books.accounts[account_id] = cache.accounts[account_id].state()
            if status is not PendingStatus.NONE:
                books.pending[t.id] = status
            if t.pending_id and t.pending_id not in ids:
                further.add(t.pending_id)  # a repeated post is compared with what it resolved
        if further:
            self._fill(cache, books, further)

    def _add_movement(self, cache: Cache, movement: Movement, kind: int, pending: int) -> None:
        t = movement.transfer
        timestamp = movement.timestamp
        debit, credit = cache.accounts[t.debit_account_id], cache.accounts[t.credit_account_id]
        closed = (DEBIT_CLOSED if movement.debit_flags & _CLOSED else 0) | (CREDIT_CLOSED if movement.credit_flags & _CLOSED else 0)
        if kind == TRANSFER:
            own = (wide(t.user_data_128), wide(t.user_data_64), t.user_data_32, t.timeout, +t.code, +t.flags)
        else:
            own = (0, 0, 0, 0, 0, 0)
        self._rows.append((
            timestamp, kind, t.id.to_bytes(16) if kind == TRANSFER else None, debit.number, credit.number, wide(t.amount), pending,
            *own, debit.last, credit.last, *map(wide, movement.debit_balances), *map(wide, movement.credit_balances), closed,
        ))  # fmt: skip
        for account, balances in ((debit, movement.debit_balances), (credit, movement.credit_balances)):
            account.last = timestamp
            account.count += 1
            if not account.count & _MARK_MASK:
                self._mark_rows.append((account.number, timestamp))
            if max(balances) > NARROW_MAX:
                cache.wide.add(account.id)
            elif cache.wide:
                cache.wide.discard(account.id)

    def _note_pending(self, cache: Cache, timestamp: int, expires_at: int) -> None:
        self._pending_rows.append((timestamp, expires_at, PendingStatus.PENDING.value))
        if expires_at and (not cache.expires_next or expires_at < cache.expires_next):
            cache.expires_next = expires_at


def _segment_stop(transfers: Sequence[Transfer], start: int) -> int:
    """Where the segment that begins at `start` ends: never inside of a chain; together with what the fast path never takes."""
    stop = start
    while stop < len(transfers) and (stop == start or +transfers[stop].flags & _NOT_SIMPLE):
        while stop < len(transfers) - 1 and transfers[stop].flags & _LINKED:
            stop += 1
        stop += 1
    return stop
