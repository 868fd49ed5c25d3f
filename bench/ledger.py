"""The ledger's speed, beside the raw engine: the shortest code that writes the same rows with the same durability.

Transfers per second; making the transfers is not counted, except with callers, where it is part of the caller.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bench.measure import Measure, Options, Workload, interleave, measures
from bench.town import ACCOUNTS, BATCH, CALLERS, CREATED, FUNDS, LEDGER, Draw, Town, concurrently
from counterfoil.ledger import sqlite_schema
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.types import Transfer, TransferFlags


class FileTown(Town):
    """On the sqlite engine, in a file of its own."""

    def __init__(self, folder: Path, *, accounts: int) -> None:
        self.path = folder / "ledger.sqlite"
        super().__init__(SqliteEngine.open(self.path), accounts=accounts)


@contextmanager
def town(*, accounts: int) -> Iterator[FileTown]:
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        it = FileTown(Path(folder), accounts=accounts)
        try:
            yield it
        finally:
            it.engine.close()


class Raw:
    """The shortest code that writes the same rows with the same durability. No rules, no balances: the rows are given."""

    def __init__(self, path: Path, like: Path) -> None:
        SqliteEngine.open(path).close()
        self.db = sqlite_schema.connect(path)
        sqlite_schema.prepare_writer(self.db, path)
        with_rows = sqlite_schema.connect(like)
        self.rows: Iterator[tuple[object, ...]] = iter(with_rows.execute("SELECT * FROM events ORDER BY timestamp").fetchall())
        with_rows.close()

    def write(self, count: int, *, commit_size: int = BATCH) -> float:
        """Writes the next `count` rows. Returns rows per second."""
        rows = list(islice(self.rows, count))
        assert len(rows) == count, "not enough rows to write again"
        start = time.perf_counter()
        for first in range(0, count, commit_size):
            self.db.execute("BEGIN IMMEDIATE")
            self.db.executemany(sqlite_schema.INSERT_EVENT, rows[first : first + commit_size])
            self.db.execute("COMMIT")
        return count / (time.perf_counter() - start)


def batches(options: Options) -> list[Measure]:
    """Batches of about 8,000 against the engine itself."""
    runs = options.runs
    size = 500 if options.quick else BATCH
    with town(accounts=ACCOUNTS) as it, tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        for _ in range(2 * runs):  # what the raw engine will write again
            it.write(it.transfers(size, it.uniform))
        it.engine.close()
        it.engine = SqliteEngine.open(it.path)
        raw = Raw(Path(folder) / "raw.sqlite", it.path)

        def timed(make: Callable[[], list[Transfer]], *, refused: int = 0) -> Callable[[], float]:
            def run() -> float:
                transfers = make()
                start = time.perf_counter()
                results = it.engine.create_transfers(transfers, time.time_ns())
                elapsed = time.perf_counter() - start
                assert sum(result.status is not CREATED for result in results) == refused, "the workload is not what it says"
                return len(transfers) / elapsed

            return run

        def with_refusals(percent: int) -> list[Transfer]:
            too_much = it.transfers(size * percent // 100, it.uniform, amount=FUNDS * 1_000)
            made = [*it.transfers(size - len(too_much), it.uniform), *too_much]
            it.random.shuffle(made)
            return made

        def with_repeats(percent: int) -> list[Transfer]:
            made = it.transfers(size, it.uniform)
            it.write(made[: size * percent // 100])
            it.random.shuffle(made)
            return made

        def pairs() -> list[Transfer]:
            """A payment and its fee, linked."""
            made = it.transfers(size, it.uniform)
            return [
                Transfer(t.id, t.debit_account_id, t.credit_account_id, t.amount, ledger=LEDGER, code=1, flags=int(TransferFlags.LINKED))
                if index % 2 == 0
                else t
                for index, t in enumerate(made)
            ]

        def posts() -> list[Transfer]:
            held = it.transfers(size, it.uniform, flags=int(TransferFlags.PENDING))
            it.write(held)
            return [Transfer(it.new_id(), pending_id=t.id, amount=t.amount, flags=int(TransferFlags.POST_PENDING_TRANSFER)) for t in held]

        def unordered() -> list[Transfer]:
            made = it.transfers(size, it.uniform)
            return [
                Transfer(it.random.getrandbits(127) + 1, t.debit_account_id, t.credit_account_id, t.amount, ledger=LEDGER, code=1)
                for t in made
            ]

        hot = it.ids[0]
        fast, slow = it.engine, SqliteEngine.open(Path(folder) / "slow.sqlite", fast_path=False)
        it.engine = slow
        it.fill()
        it.engine = fast

        def through_the_rules() -> float:
            it.engine = slow
            try:
                return timed(lambda: it.transfers(size, it.uniform))()
            finally:
                it.engine = fast

        values = interleave(
            {
                "ledger.batch.raw": lambda: raw.write(size),
                "ledger.batch.plain": timed(lambda: it.transfers(size, it.uniform)),
                "ledger.batch.skewed": timed(lambda: it.transfers(size, it.skewed)),
                "ledger.batch.one-hot-account": timed(lambda: it.transfers(size, lambda: (it.ids[it.random.randrange(1, ACCOUNTS)], hot))),
                "ledger.batch.refusals-1%": timed(lambda: with_refusals(1), refused=size // 100),
                "ledger.batch.refusals-5%": timed(lambda: with_refusals(5), refused=size * 5 // 100),
                "ledger.batch.repeats-1%": timed(lambda: with_repeats(1), refused=size // 100),
                "ledger.batch.payment-and-fee-linked": timed(pairs),
                "ledger.batch.holds": timed(lambda: it.transfers(size, it.uniform, flags=int(TransferFlags.PENDING))),
                "ledger.batch.captures": timed(posts),
                "ledger.batch.random-ids": timed(unordered),
                "ledger.batch.rules-only": through_the_rules,
            },
            runs=runs,
        )
        slow.close()
        raw.db.close()
    return measures(values, unit="tr/s", baseline="ledger.batch.raw")


def callers(options: Options) -> list[Measure]:
    """Concurrent callers of one transfer each through `Ledger`, and one commit per transfer."""
    count = 2_000 if options.quick else 40_000
    single = 100 if options.quick else 1_000
    runs = options.runs
    with town(accounts=ACCOUNTS) as it, tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        for _ in range(-(-runs * (count + single) // BATCH)):
            it.write(it.transfers(BATCH, it.uniform))
        it.engine.close()
        it.engine = SqliteEngine.open(it.path)
        raw = Raw(Path(folder) / "raw.sqlite", it.path)

        def by(callers_count: int, count: int) -> Callable[[], float]:
            def run() -> float:
                return asyncio.run(concurrently(it, it.transfers(count, it.uniform), callers_count))

            return run

        def one_by_one() -> float:
            transfers = it.transfers(single, it.uniform)
            start = time.perf_counter()
            for transfer in transfers:
                it.engine.create_transfers([transfer], time.time_ns())
            return single / (time.perf_counter() - start)

        values = interleave(
            {
                "ledger.callers.raw-commits-of-1000": lambda: raw.write(count, commit_size=CALLERS),
                "ledger.callers.1000": by(CALLERS, count),
                "ledger.callers.100": by(100, count // 4),
                "ledger.callers.10": by(10, count // 20),
                "ledger.callers.1": by(1, single),
                "ledger.callers.one-commit-per-transfer": one_by_one,
                "ledger.callers.raw-commits-of-1": lambda: raw.write(single, commit_size=1),
            },
            runs=runs,
        )
        raw.db.close()
    return measures(values, unit="tr/s", baseline="ledger.callers.raw-commits-of-1000")


def million(options: Options) -> list[Measure]:
    """A million accounts and five million transfers beside ten thousand accounts."""
    if not options.full:
        return []
    accounts, before = (20_000, 40_000) if options.quick else (1_000_000, 4_000_000)
    with town(accounts=ACCOUNTS) as small, town(accounts=accounts) as large:
        for _ in range(before // BATCH):
            large.write(large.transfers(BATCH, large.uniform))

        def timed(it: Town, draw: Draw) -> Callable[[], float]:
            def run() -> float:
                elapsed = 0.0
                for _ in range(4):  # a flush comes with every second batch
                    transfers = it.transfers(BATCH, draw)
                    start = time.perf_counter()
                    it.engine.create_transfers(transfers, time.time_ns())
                    elapsed += time.perf_counter() - start
                return 4 * BATCH / elapsed

            return run

        values = interleave(
            {
                "ledger.million.10k-accounts-uniform": timed(small, small.uniform),
                "ledger.million.1M-accounts-uniform": timed(large, large.uniform),
                "ledger.million.10k-accounts-skewed": timed(small, small.skewed),
                "ledger.million.1M-accounts-skewed": timed(large, large.skewed),
            },
            runs=2 * options.runs,
        )
        start = time.perf_counter()
        large.engine.close()
        closing = time.perf_counter() - start
        start = time.perf_counter()
        large.engine = SqliteEngine.open(large.path)
        opening = time.perf_counter() - start
    return [
        *measures(values, unit="tr/s", baseline="ledger.million.10k-accounts-uniform"),
        *measures({"ledger.million.close": [closing * 1_000], "ledger.million.open": [opening * 1_000]}, unit="ms", baseline=None),
    ]


def history(options: Options) -> list[Measure]:
    """Balances of the past, of an account with 100,000 transfers."""
    count = 2_000 if options.quick else 100_000
    with town(accounts=2_000) as it:
        hot = it.ids[0]
        timestamps = []
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            timestamps += [r.timestamp for r in it.write(it.transfers(size, lambda: (it.ids[it.random.randrange(1, 2_000)], hot)))]

        def ask() -> float:
            moments = [it.random.choice(timestamps) for _ in range(200)]
            start = time.perf_counter()
            for moment in moments:
                it.engine.balance_at(hot, moment)
            return (time.perf_counter() - start) / 200 * 1e6

        values = interleave({"ledger.history.balance-at": ask}, runs=options.runs)
    return measures(values, unit="us", baseline=None)


WORKLOADS = [
    Workload("ledger.batch", batches),
    Workload("ledger.callers", callers),
    Workload("ledger.history", history),
    Workload("ledger.million", million),
]
