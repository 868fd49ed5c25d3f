"""For the tests of the sqlite engine: random batches, small bounds, and an auditor of the file itself."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from counterfoil.ledger import batch, cache, rows, sqlite, sqlite_batch, sqlite_reads, sqlite_schema
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.types import (
    U128_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    ChangeEvent,
    CreateTransferResult,
    QueryFilter,
    Transfer,
)

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
MARKS_EVERY = 4

ACCOUNTS = [
    Account(id=1, ledger=1, code=1, flags=8),
    Account(id=2, ledger=1, code=10, flags=2 | 8),
    Account(id=3, ledger=1, code=10, flags=2 | 8),
    Account(id=4, ledger=1, code=1, flags=4 | 8, user_data_128=2**100, user_data_64=2**64 - 1, user_data_32=7),
    Account(id=2**127, ledger=1, code=10, flags=8),
    Account(id=6, ledger=2, code=10, flags=8),
]


@contextmanager
def small_bounds() -> Iterator[None]:
    """Every bound that a real ledger meets once in a while is met all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "FLUSH_INTERVAL_EVENTS", 5)
        patch.setattr(cache, "FLUSH_RANGE_SIZE_MIN", 2)
        patch.setattr(cache, "NEWEST_IDS_MAX", 6)
        patch.setattr(batch, "_MARK_MASK", MARKS_EVERY - 1)
        patch.setattr(sqlite_batch, "ACCEPTED_ROWS", 2)
        single = sqlite_schema.INSERT_ACCEPTED
        patch.setattr(sqlite_batch, "INSERT_MANY_ACCEPTED", f"{single}, {single.partition('VALUES ')[2]}")
        patch.setattr(sqlite_reads, "_PAGE_SIZE", 3)
        yield


class History:
    """Batches that mean something, and some that do not, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.asked = [Transfer(id=1, debit_account_id=1, credit_account_id=2, amount=100, ledger=1, code=1)]
        self._id_last = 2**90

    def batch(self) -> list[Transfer]:
        self.now += self.random.choice([1, 1, 7, SECOND, 2 * SECOND, -SECOND, -5 * SECOND])
        made = [self.transfer() for _ in range(self.random.choice([1, 1, 2, 5, 9]))]
        self.asked += made
        return made

    def transfer(self) -> Transfer:
        choice = self.random.choice
        if self.random.random() < 0.08:
            return choice(self.asked[-20:])
        self._id_last += choice([1, 1, 1, 1, 5])
        id_new = choice([self._id_last] * 9 + [self.random.getrandbits(100) + 1])  # now and then not in order
        linked = choice([0, 0, 0, 1])
        pending = [t.id for t in self.asked if t.flags & 2][-6:]
        if pending and self.random.random() < 0.25:
            return Transfer(
                id=id_new, pending_id=choice([*pending, choice(self.asked).id]), flags=choice([4, 8]) | linked,
                amount=choice([0, U128_MAX, U128_MAX, 1, 3]), user_data_64=choice([0, 2**63]),
            )  # fmt: skip
        accounts = [account.id for account in ACCOUNTS[:5]]
        flags = choice([0] * 8 + [2, 2, 2, 16, 32, 64 | 2, 128 | 2, 512]) | linked
        return Transfer(
            id=id_new,
            debit_account_id=choice([*accounts * 4, 6, 77]),
            credit_account_id=choice([*accounts * 4, 6, 77]),
            amount=choice([0, 1, 2, 3, 5, 10, 40, 100, *choice([[1], [2**62, 2**63 - 1, 2**63, 2**127, U128_MAX]])]),
            user_data_128=choice([0, 5, 2**63, U128_MAX]),
            user_data_64=choice([0, 5, 2**63, 2**64 - 1]),
            user_data_32=choice([0, 5, 2**32 - 1]),
            timeout=choice([0, 0, 1, 2, 3]) if flags & 2 else choice([0] * 20 + [1]),
            ledger=choice([1] * 15 + [2, 0]),
            code=choice([1] * 10 + [2, 0]),
            flags=flags,
        )


Books = tuple[list[Account], list[Transfer], list[ChangeEvent], list[list[Transfer]], list[list[AccountBalance]], list[AccountBalance]]


def books(engine: Engine) -> Books:
    """All that can be read from an engine."""
    events = engine.get_change_events(timestamp_min=0, limit=8189)
    ids = [account.id for account in ACCOUNTS]
    moments = [0, *(event.timestamp + offset for event in events for offset in (-1, 0))]
    filters = [AccountFilter(account_id=account, limit=8189, flags=flags) for account in ids for flags in (3, 7, 1, 6)]
    filters += [
        AccountFilter(account_id=account, limit=limit, flags=flags, timestamp_min=min(a, b), timestamp_max=max(a, b))
        for account in ids[:3]
        for flags in (3, 7)
        for limit in (1, 5)
        for a, b in zip(moments[::5], moments[3::7], strict=False)
    ]
    return (
        engine.query_accounts(QueryFilter(limit=8189)),
        engine.query_transfers(QueryFilter(limit=8189)),
        events,
        [engine.get_account_transfers(chosen) for chosen in filters],
        [engine.get_account_balances(chosen) for chosen in filters],
        [engine.balance_at(account, moment) for account in ids for moment in moments],
    )


def timeless(results: list[CreateTransferResult]) -> list[str]:
    return [result.status.name for result in results]


def audit(path: Path, *, marks_every: int = rows.MARK_INTERVAL) -> int:
    """Checks what the file says about itself against its events. Returns how many there are."""
    db = sqlite3.connect(path)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        last: dict[int, int] = {}
        count: dict[int, int] = {}
        marks: set[tuple[int, int]] = set()
        states: dict[tuple[int, int], tuple[object, ...]] = {}
        events = db.execute("SELECT * FROM events ORDER BY timestamp").fetchall()
        for row in events:
            if row[1] == rows.BURNT:
                continue
            for account, previous, balances, closed in (
                (row[3], row[13], row[15:19], row[23] & 1),
                (row[4], row[14], row[19:23], row[23] & 2),
            ):
                assert previous == last.get(account, 0), row
                last[account] = row[0]
                count[account] = count.get(account, 0) + 1
                if count[account] % marks_every == 0:
                    marks.add((account, row[0]))
                states[account, row[0]] = (*balances, bool(closed), count[account])
        assert set(db.execute("SELECT * FROM marks")) == marks
        replay_from = db.execute("SELECT replay_from FROM state").fetchone()[0]
        for account, *balances, flags, flushed, flush_count in db.execute("SELECT * FROM balances"):
            # A flushed row is what the events said at that moment, and nothing before the replay is missing from it.
            if flushed:
                assert states[account, flushed] == (*balances, bool(flags & 32), flush_count), account
            else:
                assert balances == [0, 0, 0, 0], account
            newest_before = max((timestamp for number, timestamp in states if number == account and timestamp <= replay_from), default=0)
            assert flushed >= newest_before, (account, flushed, newest_before)
        pending = {row[0] for row in events if row[1] == rows.TRANSFER and row[12] & 2}
        assert {row[0] for row in db.execute("SELECT timestamp FROM pending")} == pending
        return len(events)
    finally:
        db.close()
