"""A batch on its way into the postgres engine's tables: one statement, which writes all of it or nothing.

What the batch names and memory does not know is read before the rules run, in one or two statements; a batch of new
transfers reads nothing. What it did itself it remembers until it is written.

The statement begins by moving the ledger's time on from where the writer believes it to be. If another process has
written since, it is elsewhere, and nothing of the statement happens: the books are then read anew, and the batch applied
again. That row is locked before any other, so two writers wait for each other there and nowhere else; accounts are
updated in order of their numbers.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import psycopg

from counterfoil.ledger.batch import Batch
from counterfoil.ledger.cache import FLUSH_INTERVAL_EVENTS, Cache, CachedAccount
from counterfoil.ledger.postgres_connection import Connection, Ids, Int8s, ids, int4s, int8s
from counterfoil.ledger.postgres_schema import COLUMNS, plain, signed
from counterfoil.ledger.rows import ACCEPTED_COLUMNS, BURNT, NARROW_MAX, TRANSFER, number_from
from counterfoil.ledger.rules import Books, Movement
from counterfoil.ledger.types import BATCH_SIZE_MAX, ChangeEvent, PendingStatus, Transfer, TransferFlags

_PENDING: Final = int(TransferFlags.PENDING)
_NO_ID: Final = bytes(16)
_FENCED: Final = "WHERE EXISTS (SELECT FROM fence)"
_NO_ID_SQL: Final = "'00000000-0000-0000-0000-000000000000'::uuid"

WRITE: Final = f"""
WITH fence AS (
    UPDATE counterfoil_ledger SET last_timestamp = %s, flush_cursor = %s, cycle_start = %s, replay_from = %s
    WHERE last_timestamp = %s RETURNING last_timestamp
), written AS (
    INSERT INTO events (
        timestamp, id, debit_account, credit_account, amount, user_data_128, user_data_64, user_data_32, timeout, code, flags,
        debit_previous, credit_previous, debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted,
        credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted, kind, pending, closed, wide)
    SELECT t, nullif(i, {_NO_ID_SQL}), da, ca, a, nullif(u1, {_NO_ID_SQL}), nullif(u2, 0), nullif(u3, 0), nullif(o, 0), c, f,
        dp, cp, d1, d2, d3, d4, c1, c2, c3, c4, coalesce(k, 0), nullif(p, 0), coalesce(cl, 0), w::numeric[]
    FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text[])
        AS e (t, i, da, ca, a, u1, u2, u3, o, c, f, dp, cp, d1, d2, d3, d4, c1, c2, c3, c4, k, p, cl, w)
    {_FENCED}
), held AS (
    INSERT INTO pending SELECT * FROM unnest(%s, %s, %s) {_FENCED}
), resolved AS (
    UPDATE pending p SET status = r.status FROM unnest(%s, %s) AS r (status, timestamp)
    WHERE p.timestamp = r.timestamp AND p.status = 1 AND EXISTS (SELECT FROM fence) RETURNING 1
), marked AS (
    INSERT INTO marks SELECT * FROM unnest(%s, %s) {_FENCED}
), flushed AS (
    UPDATE balances b SET debits_pending = n.d1, debits_posted = n.d2, credits_pending = n.d3, credits_posted = n.d4,
        last = n.last, count = n.count, flags = n.flags, wide = n.wide::numeric[]
    FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s, %s::text[]) AS n (account, d1, d2, d3, d4, last, count, flags, wide)
    WHERE b.account = n.account AND EXISTS (SELECT FROM fence)
)
SELECT max(last_timestamp), CASE WHEN count(*) = 1 AND (SELECT count(*) FROM resolved) <> %s THEN 1 / (count(*) - 1) END FROM fence
"""
"""Ends in an error, and does nothing, should a reservation be resolved twice."""

WRITE_ACCOUNTS: Final = f"""
WITH fence AS (
    UPDATE counterfoil_ledger SET last_timestamp = %s WHERE last_timestamp = %s RETURNING last_timestamp
), opened AS (
    INSERT INTO accounts (number, id, ledger, code, flags, user_data_128, user_data_64, user_data_32, timestamp)
    SELECT n, i, l, c, f, nullif(u1, {_NO_ID_SQL}), nullif(u2, 0), nullif(u3, 0), t
    FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s, %s) AS a (n, i, l, c, f, u1, u2, u3, t) {_FENCED}
), begun AS (
    INSERT INTO balances SELECT n, 0, 0, 0, 0, 0, 0, f FROM unnest(%s, %s) AS a (n, f) {_FENCED}
)
SELECT max(last_timestamp) FROM fence
"""

_FIND: Final = f"""
SELECT {COLUMNS}, coalesce((SELECT s.status FROM pending s WHERE s.timestamp = e.timestamp), 0),
    (SELECT last_timestamp FROM counterfoil_ledger)
FROM events e WHERE e.id = ANY (%s)
"""
_DUE: Final = """
SELECT e.id, p.expires_at, p.expires_at <= %s, (SELECT last_timestamp FROM counterfoil_ledger) FROM pending p JOIN events e USING (timestamp)
WHERE p.status = 1 AND p.expires_at > 0 ORDER BY p.expires_at, p.timestamp LIMIT %s
"""


NEVER_FLUSHED: Final = -1
"""For `CachedAccount.flushed`, where nobody knows: the next flush of its range takes it."""


class OvertakenError(Exception):
    """Another process has written since the books were read."""


class PostgresBatch(Batch):
    """One batch at a time, on the writer's connection.

    Attributes:
        before: the accounts that the batch touches, as they were before it, by id.
    """

    def __init__(self, cache: Cache, *, fast_path: bool, touched: Callable[[], None]) -> None:
        """`touched` is called when `before` holds more than it did, before any of these accounts changes."""
        super().__init__(fast_path=fast_path)
        self.before: dict[int, CachedAccount] = {}
        self._db: Connection | None = None
        self._cache = cache
        self._touched = touched
        self._last_timestamp = cache.last_timestamp
        self._found: dict[int, tuple[Transfer, PendingStatus]] = {}  # recorded before this batch
        self._own: dict[int, Transfer] = {}  # recorded by it
        self._burnt: set[int] = set()
        self._asked: set[int] = set()
        self._resolved: dict[int, PendingStatus] = {}  # by timestamp of the pending transfer
        self._read_up_to = [0, 0, 0]  # in _accepted, _rows, _resolved_rows
        self._next_expiry = 0
        self._flushed: list[CachedAccount] = []
        self._began = (
            cache.last_timestamp, cache.last_event, cache.expires_next, cache.flush_cursor, cache.cycle_start, cache.replay_from,
            cache.events_unflushed, len(cache.numbered),
        )  # fmt: skip

    def begin(self, db: Connection, transfers: Sequence[Transfer]) -> None:
        """Reads what the batch names, and notes the accounts that it touches. Raises psycopg.Error, OvertakenError."""
        self._db = db
        newest, floor = self._cache.newest, self._cache.floor
        wanted = {t.pending_id for t in transfers if t.pending_id}
        wanted.update([t.id for t in transfers if t.id <= floor or t.id in newest])
        if wanted:
            self._find(wanted)
        self._touch({t.debit_account_id for t in transfers} | {t.credit_account_id for t in transfers})

    def is_recorded(self, cache: Cache, id: int) -> bool:
        return id in cache.newest or id in self._found or id in self._burnt

    def find_transfers(self, cache: Cache, ids: Collection[int]) -> tuple[list[tuple[Transfer, PendingStatus]], set[int]]:
        self._remember(cache)
        self._find({id_wanted for id_wanted in ids if id_wanted not in self._asked and id_wanted not in self._own})
        found = []
        for id_wanted in ids:
            transfer, status = self._found.get(id_wanted, (None, PendingStatus.NONE))
            if transfer is None:
                transfer = self._own.get(id_wanted)
            if transfer is not None:
                if transfer.flags & _PENDING:
                    status = self._resolved.get(transfer.timestamp, status or PendingStatus.PENDING)
                found.append((transfer, status))
        return found, self._burnt.intersection(ids)

    def find_due(self, time: int) -> list[int]:
        rows = self._select_now(_DUE, time, BATCH_SIZE_MAX + 1)
        due = [row[0] for row in rows[:BATCH_SIZE_MAX] if row[2]]
        self._next_expiry = rows[len(due)][1] if len(rows) > len(due) else 0
        return due

    def next_expiry(self, cache: Cache) -> int:
        return self._next_expiry

    def write(self, *, everything: bool = False) -> bool:
        """Hands all of it to the server: durable when this returns. Raises psycopg.Error.

        False, and nothing is written, if another process has written since the books were read. With `everything`, the
        balances of all accounts are flushed.
        """
        cache, rows = self._cache, self._rows
        columns: list[list[Any]] = [self._accepted[start::ACCEPTED_COLUMNS] for start in range(ACCEPTED_COLUMNS)]
        events = [*columns[:1], [0] * len(columns[0]), *columns[1:5], [0] * len(columns[0]), *columns[5:], [0] * len(columns[0])]
        exact: list[str | None] = []
        if rows:
            exact = [None] * len(columns[0])
            for row in rows:
                numbers = (row[5], *row[15:23])
                is_wide = any(type(number) is bytes for number in numbers)
                exact.append(f"{{{','.join(str(number_from(number)) for number in numbers)}}}" if is_wide else None)
                for column, value in zip(events, row, strict=True):
                    column.append(value)
        if events[0]:
            cache.note_events(max(events[0]), len(events[0]))
        changed: Sequence[CachedAccount] = ()
        if everything or cache.events_unflushed >= FLUSH_INTERVAL_EVENTS:
            changed = self._flushed = cache.last_flush() if everything else cache.next_flush()
        # What this batch made itself and resolved again is written once.
        made = {row[0] for row in self._pending_rows}
        resolved_rows = [row for row in self._resolved_rows if row[1] not in made]
        ends = {timestamp: status for status, timestamp in self._resolved_rows if timestamp in made}
        pending_rows = [(timestamp, expires_at, ends.get(timestamp, status)) for timestamp, expires_at, status in self._pending_rows]
        pending, resolved, marks = _columns(pending_rows, 3), _columns(resolved_rows, 2), _columns(self._mark_rows, 2)
        timestamp, kind, id_keys, debit, credit, amount, pending_of, data_128, data_64, data_32, timeout, code, flags = events[:13]
        ((answer, _),) = self._select(
            WRITE,
            cache.last_timestamp, cache.flush_cursor, cache.cycle_start, cache.replay_from, self._last_timestamp,
            int8s(timestamp), _keys(id_keys), int4s(debit), int4s(credit), _narrow(amount),
            _keys(data_128), _signed(data_64), _unless_zero(data_32), _unless_zero(timeout), int4s(code), int4s(flags),
            int8s(events[13]), int8s(events[14]), *map(_narrow, events[15:23]),
            _unless_zero(kind), _unless_zero(pending_of), _unless_zero(events[23]), exact if any(exact) else [],
            *map(int8s, pending), *map(int8s, resolved), *map(int8s, marks), *_flush_columns(changed), len(resolved_rows),
        )  # fmt: skip
        return self._is_ours(answer)

    def write_accounts(self, db: Connection, accounts: Sequence[CachedAccount]) -> bool:
        """As `write`, of a batch that created accounts, or none."""
        numbers, flags = int4s([a.number for a in accounts]), int4s([a.flags for a in accounts])
        ((answer,),) = db.select(WRITE_ACCOUNTS, (
            self._cache.last_timestamp, self._last_timestamp,
            numbers, ids([a.id.to_bytes(16) for a in accounts]), int8s([a.ledger for a in accounts]), int4s([a.code for a in accounts]), flags,
            ids([a.user_data_128.to_bytes(16) for a in accounts]), int8s([signed(a.user_data_64) for a in accounts]),
            int8s([a.user_data_32 for a in accounts]), int8s([a.timestamp for a in accounts]), numbers, flags,
        ))  # fmt: skip
        return self._is_ours(answer)

    def record_events(self, cache: Cache, events: Sequence[ChangeEvent]) -> None:
        self._touch({account.id for event in events for account in (event.debit_account, event.credit_account)})
        super().record_events(cache, events)

    def undo(self) -> None:
        """Puts the books back to where they were before the batch. For a batch that was not written, at whatever point it ended."""
        cache = self._cache
        (
            cache.last_timestamp, cache.last_event, cache.expires_next, cache.flush_cursor, cache.cycle_start, cache.replay_from,
            cache.events_unflushed, accounts,
        ) = self._began  # fmt: skip
        for id_bytes in (*self._accepted[1::ACCEPTED_COLUMNS], *(row[2] for row in self._rows)):
            if id_bytes is not None:
                cache.newest.pop(int.from_bytes(id_bytes), None)
        while len(cache.numbered) > accounts:
            del cache.accounts[cache.numbered.pop().id]
        for account in self._flushed:
            account.flushed = NEVER_FLUSHED
        for account_id, was in self.before.items():
            account = cache.accounts[account_id]
            account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted = was.balances()
            account.flags, account.last, account.count = was.flags, was.last, was.count
            cache.note_wide(account)

    def _is_ours(self, answer: int | None) -> bool:
        """Whether the statement wrote. `answer`: the ledger's time that it set, or None.

        No two batches set the same time: an answer that belongs to another question, whoever mixed them up, ends the connection.
        """
        if answer is not None and answer != self._cache.last_timestamp:
            raise psycopg.InterfaceError(f"the database's answer is of {answer}, and not of {self._cache.last_timestamp}")
        return answer is not None

    def _fill(self, cache: Cache, books: Books, ids: set[int]) -> None:
        super()._fill(cache, books, ids)
        self._touch(books.accounts)

    def _add_movement(self, cache: Cache, movement: Movement, kind: int, pending: int) -> None:
        super()._add_movement(cache, movement, kind, pending)
        if kind == TRANSFER:
            self._own[movement.transfer.id] = movement.transfer

    def _touch(self, account_ids: Iterable[int]) -> None:
        """Keeps these accounts as they are now, unless they have been touched already."""
        before, find = self.before, self._cache.accounts.get
        new = {}
        for account_id in account_ids:
            if account_id not in before and (account := find(account_id)) is not None:
                new[account_id] = account.copy()
        if new:
            before |= new
            self._touched()

    def _remember(self, cache: Cache) -> None:
        """Notes what the batch has done since it was last asked."""
        accepted, rows, resolved = self._read_up_to
        while accepted < len(self._accepted):
            row = self._accepted[accepted : accepted + ACCEPTED_COLUMNS]
            timestamp, id_bytes, debit_number, credit_number, amount, data_128, data_64, data_32, timeout, code, flags = row[:11]
            debit = cache.account(debit_number)
            transfer = Transfer(
                int.from_bytes(id_bytes), debit.id, cache.account(credit_number).id, amount, 0,
                number_from(data_128), number_from(data_64), data_32, timeout, debit.ledger, code, flags, timestamp,
            )  # fmt: skip
            self._own[transfer.id] = transfer
            accepted += ACCEPTED_COLUMNS
        self._burnt.update(int.from_bytes(row[2]) for row in self._rows[rows:] if row[1] == BURNT)
        self._resolved.update((timestamp, PendingStatus(status)) for status, timestamp in self._resolved_rows[resolved:])
        self._read_up_to = [accepted, len(self._rows), len(self._resolved_rows)]

    def _find(self, wanted: set[int]) -> None:
        """Reads recorded transfers and burnt ids, and the pending transfers that those resolved."""
        while wanted:
            self._asked |= wanted
            further: set[int] = set()
            for row in self._select_now(_FIND, ids([id_wanted.to_bytes(16) for id_wanted in wanted])):
                event = plain(row[:-2])
                if event[20] == BURNT:
                    self._burnt.add(event[1])
                else:
                    transfer = transfer_from(event, self._cache.account)
                    self._found[transfer.id] = (transfer, PendingStatus(row[-2]))
                    further.add(transfer.pending_id)
            wanted = further - self._asked - {0}

    def _select_now(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows that end with the ledger's time. Raises OvertakenError unless it is that of the books."""
        rows = self._select(query, *parameters)
        if rows and rows[0][-1] != self._last_timestamp:
            raise OvertakenError
        return rows

    def _select(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        assert self._db is not None
        return self._db.select(query, parameters)


def transfer_from(row: Sequence[Any], account: Callable[[int], CachedAccount]) -> Transfer:
    """The transfer whose row begins with COLUMNS, and is plain."""
    timestamp, transfer_id, debit_number, credit_number, amount, pending_id, data_128, data_64, data_32, timeout, code, flags = row[:12]
    debit = account(debit_number)
    return Transfer(
        transfer_id, debit.id, account(credit_number).id, amount, pending_id,
        data_128, data_64, data_32, timeout, debit.ledger, code, flags, timestamp,
    )  # fmt: skip


def _columns(rows: Sequence[Sequence[int]], count: int) -> list[Sequence[int]]:
    return list(zip(*rows, strict=True)) if rows else [()] * count


def _keys(column: list[Any]) -> Ids:
    """Ids from what a row holds: 16 bytes, or a number, or None; none at all where all are 0."""
    if not any(column):
        return ids([])
    return ids([value.to_bytes(16) if type(value) is int else value or _NO_ID for value in column])


def _narrow(column: list[Any]) -> Int8s:
    try:
        return int8s(column)
    except TypeError:  # the exact numbers are in `wide`
        return int8s([min(number_from(value), NARROW_MAX) for value in column])


def _signed(column: list[Any]) -> Int8s:
    return int8s([signed(number_from(value)) for value in column] if any(column) else [])


def _unless_zero(column: list[int]) -> Int8s:
    return int8s(column if any(column) else [])


def _flush_columns(changed: Sequence[CachedAccount]) -> list[Any]:
    balances = [account.balances() for account in changed]
    exact = [f"{{{','.join(map(str, four))}}}" if max(four) > NARROW_MAX else None for four in balances]
    return [
        int4s([account.number for account in changed]),
        *(_narrow_numbers([four[index] for four in balances]) for index in range(4)),
        int8s([account.last for account in changed]),
        int8s([account.count for account in changed]),
        int4s([account.flags for account in changed]),
        exact if any(exact) else [],
    ]


def _narrow_numbers(column: list[int]) -> Int8s:
    return int8s([min(number, NARROW_MAX) for number in column])
