"""For the tests of the postgres engine: small bounds, and an auditor of the tables themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from counterfoil.ledger import batch, cache, postgres_batch, postgres_books, postgres_reads, rows
from tests.ledger.sqlite_file import MARKS_EVERY


@contextmanager
def small_bounds() -> Iterator[None]:
    """Every bound that a real ledger meets once in a while is met all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_batch, "FLUSH_INTERVAL_EVENTS", 5)
        patch.setattr(cache, "FLUSH_RANGE_SIZE_MIN", 2)
        patch.setattr(cache, "NEWEST_IDS_MAX", 6)
        patch.setattr(batch, "_MARK_MASK", MARKS_EVERY - 1)
        patch.setattr(postgres_books, "PAGE_SIZE", 3)
        patch.setattr(postgres_reads, "_PAGE_SIZE", 3)
        yield


def audit(db: psycopg.Connection, *, marks_every: int = rows.MARK_INTERVAL) -> int:
    """Checks what the tables say about themselves against the events. Returns how many there are."""
    last: dict[int, int] = {}
    count: dict[int, int] = {}
    marks: set[tuple[int, int]] = set()
    states: dict[tuple[int, int], tuple[object, ...]] = {}
    side = "{0}_debits_pending, {0}_debits_posted, {0}_credits_pending, {0}_credits_posted"
    events = db.execute(
        "SELECT timestamp, kind, flags, closed, debit_account, debit_previous, credit_account, credit_previous, wide,"
        f" {side.format('debit')}, {side.format('credit')} FROM events ORDER BY timestamp"
    ).fetchall()
    for row in events:
        timestamp, kind, _, closed, debit, debit_previous, credit, credit_previous, exact = row[:9]
        if kind == rows.BURNT:
            continue
        balances = [int(number) for number in exact[1:]] if exact else row[9:]
        assert [min(number, rows.NARROW_MAX) for number in balances] == list(row[9:])
        for account, previous, four, is_closed in (
            (debit, debit_previous, balances[:4], closed & 1),
            (credit, credit_previous, balances[4:], closed & 2),
        ):
            assert previous == last.get(account, 0), row
            last[account] = timestamp
            count[account] = count.get(account, 0) + 1
            if count[account] % marks_every == 0:
                marks.add((account, timestamp))
            states[account, timestamp] = (*four, bool(is_closed), count[account])
    assert set(db.execute("SELECT account, timestamp FROM marks")) == marks
    ((replay_from, last_timestamp),) = db.execute("SELECT replay_from, last_timestamp FROM counterfoil_ledger").fetchall()
    assert last_timestamp >= max((row[0] for row in events), default=0)
    flushes = db.execute(
        "SELECT account, debits_pending, debits_posted, credits_pending, credits_posted, wide, flags, last, count FROM balances"
    ).fetchall()
    for account, *narrow, exact, flags, flushed, flush_count in flushes:
        four = [int(number) for number in exact] if exact else narrow
        assert [min(number, rows.NARROW_MAX) for number in four] == narrow
        # A flushed row is what the events said at that moment, and nothing before the replay is missing from it.
        if flushed:
            assert states[account, flushed] == (*four, bool(flags & 32), flush_count), account
        else:
            assert four == [0, 0, 0, 0], account
        newest_before = max((timestamp for number, timestamp in states if number == account and timestamp <= replay_from), default=0)
        assert flushed >= newest_before, (account, flushed, newest_before)
    assert {timestamp for (timestamp,) in db.execute("SELECT timestamp FROM pending")} == {
        row[0] for row in events if row[1] == rows.TRANSFER and row[2] & 2
    }
    return len(events)
