"""Every engine, raw and through us, in turns: sqlite, PostgreSQL and TigerBeetle in one run on one machine.

*Raw* is the shortest code that has the same done with the same durability, and knows no rules: for sqlite and PostgreSQL it
writes the rows of transfers that the engine has written before, for TigerBeetle it hands ready records to the official client.
*Through us* is the engine as the ledger uses it: from transfers as objects to statuses as objects. Transfers a second, all with
two of 10,000 accounts; making the transfers is not counted, except with callers, where it is part of the caller. Beside them
stands TigerBeetle's own load generator, with a server of its own: what that server can do without us.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from bench import ledger, servers
from bench.measure import Found, Measure, Note, Options, Workload, interleave, measures
from bench.town import ACCOUNTS, BATCH, CALLERS, Town, concurrently
from counterfoil.clock import SystemClock
from counterfoil.ledger import postgres_connection
from counterfoil.ledger import tigerbeetle_records as records
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine
from counterfoil.ledger.tigerbeetle_client import Session, connector
from counterfoil.ledger.types import CreateTransferStatus
from tests import postgres as tests_postgres
from tests import tigerbeetle as tests_tigerbeetle

BATCHES = 4
"""In one run: long enough that a checkpoint or a flush falls into most runs."""
LEDGER_SCHEMA = "ledger"
RAW_SCHEMA = "raw"
DEADLINE_S = 60.0
"""For raw requests: a busy disk is no reason to stop a measurement."""

_CREATED = int(CreateTransferStatus.CREATED)
_NUMBERS = (
    "timestamp", "amount", "debit_previous", "credit_previous",
    "debit_debits_pending", "debit_debits_posted", "debit_credits_pending", "debit_credits_posted",
    "credit_debits_pending", "credit_debits_posted", "credit_credits_pending", "credit_credits_posted",
    "debit_account", "credit_account", "code", "flags", "kind", "closed",
)  # fmt: skip
_COLUMNS = ", ".join((*_NUMBERS, "id", "user_data_128"))


class RawPostgres:
    """Rows of events that are there, written once more into a schema of their own: one INSERT of arrays a batch, which is the quickest way."""

    def __init__(self, url: str, count: int) -> None:
        """`count`: rows that will be written in all. They have to be in the ledger at `url` already."""
        PostgresEngine.open(url, schema=RAW_SCHEMA).close()
        with postgres_connection.Connector(url, LEDGER_SCHEMA, SystemClock()).connect() as db:
            rows = db.select(f"SELECT {_COLUMNS} FROM events WHERE user_data_128 IS NOT NULL ORDER BY timestamp LIMIT {count}")
        self._rows: Iterator[tuple[Any, ...]] = iter(rows)
        self._db = postgres_connection.Connector(url, RAW_SCHEMA, SystemClock()).connect()
        arrays = ", ".join(["%s"] * (len(_NUMBERS) + 2))
        self._insert = f"INSERT INTO events ({_COLUMNS}) SELECT * FROM unnest({arrays})"

    def write(self, count: int) -> float:
        """Writes the next `count` rows in batches. Returns rows per second."""
        batches = [list(islice(self._rows, min(BATCH, count - first))) for first in range(0, count, BATCH)]
        assert sum(map(len, batches)) == count, "not enough rows to write again"
        start = time.perf_counter()
        for rows in batches:
            columns = list(zip(*rows, strict=True))
            arrays = [postgres_connection.int8s(column) for column in columns[: len(_NUMBERS)]]
            keys = [postgres_connection.ids([key.to_bytes(16) for key in column]) for column in columns[len(_NUMBERS) :]]
            self._db.execute(self._insert.encode(), [*arrays, *keys], prepare=True)
        return count / (time.perf_counter() - start)

    def close(self) -> None:
        self._db.close()


class RawTigerBeetle:
    """Ready records, handed to the official client; the answers are looked at, and nothing is made of them."""

    def __init__(self, cluster: tests_tigerbeetle.Cluster, town: Town) -> None:
        self._session = Session(connector(cluster.addresses, cluster.number), deadline_s=DEADLINE_S)
        self._town = town
        self.write(1)  # the connection is not part of what is measured

    def write(self, count: int) -> float:
        """Has `count` new transfers made, in batches. Returns transfers per second."""
        sizes = [min(BATCH, count - first) for first in range(0, count, BATCH)]
        batches = [(size, records.encode_transfers(self._town.transfers(size, self._town.uniform))) for size in sizes]
        start = time.perf_counter()
        for size, encoded in batches:
            reply = self._session.ask(records.Operation.CREATE_TRANSFERS, encoded, lambda reply: reply)
            _, statuses = records.decode_results(reply.data)
            assert len(statuses) == statuses.count(_CREATED) == size, "the workload is not what it says"
        return count / (time.perf_counter() - start)

    def close(self) -> None:
        self._session.close()


class Stage:
    """The engines that can be measured here, each with a town of its own.

    Attributes:
        notes: versions of the servers, and which are missing.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.towns: dict[str, Town] = {}
        self.notes: list[Note] = []
        self._stack = stack
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="counterfoil-bench-")))
        self._postgres_url = ""
        self._tigerbeetle: tests_tigerbeetle.Cluster | None = None
        self._add("sqlite", lambda: SqliteEngine.open(self._folder / "ledger.sqlite"))
        if servers.postgres_binaries() is None:
            self.notes.append(servers.NO_POSTGRES)
        else:
            self.notes.append(servers.postgres_version())
            cluster: tests_postgres.Cluster = stack.enter_context(servers.postgres())
            self._postgres_url = cluster.new_database()
            self._add("postgres", lambda: PostgresEngine.open(self._postgres_url))
        if servers.tigerbeetle_program() is None:
            self.notes.append(servers.NO_TIGERBEETLE)
        else:
            self.notes.append(servers.tigerbeetle_version())
            self._tigerbeetle = stack.enter_context(servers.tigerbeetle())
            self._add("tigerbeetle", self._open_tigerbeetle)

    def raw(self, count: int) -> dict[str, Callable[[int], float]]:
        """For each engine what writes so many transfers, raw, and returns the rate. `count`: how many it will be asked for in all."""
        found: dict[str, Callable[[int], float]] = {}
        for name, town in self.towns.items():
            if name != "tigerbeetle":
                for first in range(0, count, BATCH):  # what will be written again
                    town.write(town.transfers(min(BATCH, count - first), town.uniform))
        raw_file = ledger.Raw(self._folder / "raw.sqlite", self._folder / "ledger.sqlite")
        self._stack.callback(raw_file.db.close)
        found["sqlite"] = raw_file.write
        if self._postgres_url:
            raw_server = RawPostgres(self._postgres_url, count)
            self._stack.callback(raw_server.close)
            found["postgres"] = raw_server.write
        if self._tigerbeetle is not None:
            raw_client = RawTigerBeetle(self._tigerbeetle, self.towns["tigerbeetle"])
            self._stack.callback(raw_client.close)
            found["tigerbeetle"] = raw_client.write
        return found

    def _add(self, name: str, open_engine: Callable[[], Engine]) -> None:
        engine = open_engine()
        self._stack.callback(engine.close)
        self.towns[name] = Town(engine, accounts=ACCOUNTS)

    def _open_tigerbeetle(self) -> Engine:
        assert self._tigerbeetle is not None
        return TigerBeetleEngine.open(self._tigerbeetle.addresses, self._tigerbeetle.number, deadline_s=DEADLINE_S)


@contextmanager
def stage() -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack)


def batches(options: Options) -> Sequence[Found]:
    """Batches of 8,000."""
    size = 500 if options.quick else BATCH * BATCHES
    with stage() as it:
        candidates: dict[str, Callable[[], float]] = {}
        raw = it.raw(size * options.runs)
        for name, town in it.towns.items():
            candidates[f"engines.batch.{name}.raw"] = lambda write=raw[name]: write(size)  # type: ignore[misc]
            candidates[f"engines.batch.{name}"] = lambda town=town: _in_batches(town, size)  # type: ignore[misc]
        if program := servers.tigerbeetle_program():
            count = 20_000 if options.quick else 500_000
            candidates["engines.batch.tigerbeetle.own-benchmark"] = lambda: own_benchmark(program, count)
        values = interleave(candidates, runs=options.runs)
        return [*_beside_raw(values, it.towns), *it.notes]


def callers(options: Options) -> Sequence[Found]:
    """Callers of one transfer each through the ledger's writer, which groups what waits into a batch."""
    counts = {CALLERS: 2_000 if options.quick else 40_000, 8: 100 if options.quick else 2_000}
    with stage() as it:
        candidates: dict[str, Callable[[], float]] = {}
        for name, town in it.towns.items():
            for callers_count, count in counts.items():
                candidates[f"engines.callers.{callers_count}.{name}"] = lambda t=town, n=count, c=callers_count: asyncio.run(  # type: ignore[misc]
                    concurrently(t, t.transfers(n, t.uniform), c)
                )
        values = interleave(candidates, runs=options.runs)
    return [
        measure
        for callers_count in counts
        for measure in measures(
            {name: runs for name, runs in values.items() if f".{callers_count}." in name},
            unit="tr/s",
            baseline=f"engines.callers.{callers_count}.sqlite",
        )
    ]


def own_benchmark(program: str, count: int) -> float:
    """Transfers a second as `tigerbeetle benchmark` tells it, with a replica that it starts and removes itself."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        command = [program, "benchmark", f"--cache-grid={servers.CACHE_GRID}", f"--transfer-count={count}", f"--account-count={ACCOUNTS}"]
        done = subprocess.run([*command, "--query-count=0"], check=False, capture_output=True, text=True, cwd=folder)
    said = done.stdout + done.stderr
    match = re.search(r"load accepted = ([0-9]+) tx/s", said)
    assert done.returncode == 0, said[-2_000:]
    assert match is not None, said[-2_000:]
    return float(match[1])


def _in_batches(town: Town, count: int) -> float:
    made = [town.transfers(min(BATCH, count - first), town.uniform) for first in range(0, count, BATCH)]
    elapsed = 0.0
    for transfers in made:
        start = time.perf_counter()
        results = town.engine.create_transfers(transfers, time.time_ns())
        elapsed += time.perf_counter() - start
        assert all(result.status is CreateTransferStatus.CREATED for result in results), "the workload is not what it says"
    return count / elapsed


def _beside_raw(values: dict[str, list[float]], names: Iterable[str]) -> list[Measure]:
    """Each engine beside its own raw self."""
    found = []
    for name in names:
        family = {key: runs for key, runs in values.items() if key.startswith(f"engines.batch.{name}")}
        found += measures(family, unit="tr/s", baseline=f"engines.batch.{name}.raw")
    return found


WORKLOADS = [Workload("engines.batch", batches), Workload("engines.callers", callers)]
