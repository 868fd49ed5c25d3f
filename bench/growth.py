"""What ten times as many accounts cost: rate, latency, memory and disk from 10,000 to 10,000,000 accounts, on every engine.

Two ledgers of each engine stand beside each other: one stays at 10,000 accounts, the other grows. At every size both are
measured in turns, so that the loss is a ratio of the same minutes, not of an hour ago and now.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import machine, servers
from bench.measure import Found, Measure, Note, Options, Workload, measures
from bench.town import BATCH
from tests import postgres as tests_postgres
from tests import tigerbeetle as tests_tigerbeetle

ROOT = Path(__file__).parent.parent
SMALL = 10_000
OPEN_RATE = 2_000
"""Single transfers a second, for the latencies."""


class Scale(NamedTuple):
    """How far to grow, and how much to measure there."""

    small: int
    sizes: tuple[int, ...]
    runs: int
    transfers: int
    arrivals: int

    @classmethod
    def of(cls, options: Options) -> Scale:
        if options.quick:
            return cls(small=500, sizes=(500, 1_000), runs=2, transfers=500, arrivals=100)
        sizes = (SMALL, 100_000, 1_000_000, 10_000_000)
        return cls(small=SMALL, sizes=sizes if options.full else sizes[:-1], runs=5, transfers=5 * BATCH, arrivals=2 * OPEN_RATE)


class Ledger:
    """A `bench.grower` process, and where what it writes can be weighed."""

    def __init__(self, process: subprocess.Popen[str], weigh_disk: Callable[[], float], weigh_server: Callable[[], float] | None) -> None:
        self._process = process
        self.disk_mb = weigh_disk
        self.server_mb = weigh_server

    def ask(self, command: str, *numbers: int) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(command, *numbers, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, f"the ledger ended at: {command} {numbers}"
        answer: dict[str, float] = json.loads(line)
        return answer


@contextmanager
def ledger(where: str, weigh_disk: Callable[[], float], weigh_server: Callable[[], float] | None = None) -> Iterator[Ledger]:
    command = [sys.executable, "-m", "bench.grower", where]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Ledger(process, weigh_disk, weigh_server)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(600)  # it makes ten million balances durable
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def on_sqlite() -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as name, ExitStack() as stack:
        yield stack.enter_context(ledger(f"{name}/ledger.sqlite", lambda: machine.disk_mb(Path(name))))


@contextmanager
def on_postgres() -> Iterator[Ledger]:
    with servers.postgres() as cluster, ExitStack() as stack:
        yield stack.enter_context(ledger(cluster.new_database(), lambda: _postgres_disk_mb(cluster), lambda: _family_mb(cluster.pid)))


@contextmanager
def on_tigerbeetle() -> Iterator[Ledger]:
    with servers.tigerbeetle() as cluster, ExitStack() as stack:
        where = f"tigerbeetle://{cluster.addresses}?cluster={cluster.number}"
        file = cluster.file(0)
        yield stack.enter_context(ledger(where, lambda: machine.disk_mb(file.parent), lambda: _tigerbeetle_mb(cluster)))


def growth(options: Options) -> Sequence[Found]:
    """Engine by engine; those that need a server which is not here are named."""
    found: list[Found] = []
    engines: dict[str, Callable[[], AbstractContextManager[Ledger]]] = {"sqlite": on_sqlite}
    if servers.postgres_binaries() is None:
        found.append(servers.NO_POSTGRES)
    else:
        engines["postgres"] = on_postgres
        found.append(servers.postgres_version())
    if servers.tigerbeetle_program() is None:
        found.append(servers.NO_TIGERBEETLE)
    else:
        engines["tigerbeetle"] = on_tigerbeetle
        found.append(servers.tigerbeetle_version())
    for name, engine in engines.items():
        found += _grow(name, engine, Scale.of(options))
    if not options.full:
        found.append(Note("Growth ends at 1,000,000 accounts: 10,000,000 take `--full`."))
    return found


def _grow(name: str, engine: Callable[[], AbstractContextManager[Ledger]], scale: Scale) -> list[Measure]:
    found: list[Measure] = []
    with engine() as small, engine() as large:
        small.ask("grow", scale.small)
        for size in scale.sizes:
            sys.stderr.write(f"  {name}, {size:,} accounts\n")
            seconds = large.ask("grow", size)["seconds"]
            found += _measure(f"growth.{name}.{size}", small, large, scale)
            weights = {"memory": large.ask("memory")["mb"], "disk": large.disk_mb()}
            if large.server_mb is not None:
                weights["server-memory"] = large.server_mb()
            found += measures({f"growth.{name}.{size}.{what}": [each] for what, each in weights.items()}, unit="MB", baseline=None)
            found += measures({f"growth.{name}.{size}.growing": [seconds]}, unit="s", baseline=None)
    return found


def _measure(name: str, small: Ledger, large: Ledger, scale: Scale) -> list[Measure]:
    rates: dict[str, list[float]] = {f"{name}.beside": [], f"{name}.rate": []}
    skewed: dict[str, list[float]] = {f"{name}.beside-skewed": [], f"{name}.rate-skewed": []}
    latencies: dict[str, list[float]] = {f"{name}.{key}": [] for key in ("beside-p50", "beside-p99", "p50", "p99")}
    for _ in range(scale.runs):
        rates[f"{name}.beside"].append(small.ask("rate", scale.transfers)["rate"])
        rates[f"{name}.rate"].append(large.ask("rate", scale.transfers)["rate"])
        skewed[f"{name}.beside-skewed"].append(small.ask("skewed", scale.transfers)["rate"])
        skewed[f"{name}.rate-skewed"].append(large.ask("skewed", scale.transfers)["rate"])
        for prefix, each in (("beside-", small), ("", large)):
            answer = each.ask("latency", scale.arrivals, OPEN_RATE)
            for percentile in ("p50", "p99"):
                latencies[f"{name}.{prefix}{percentile}"].append(answer[f"{percentile}_ms"])
    return [
        *measures(rates, unit="tr/s", baseline=f"{name}.beside"),
        *measures(skewed, unit="tr/s", baseline=f"{name}.beside-skewed"),
        *measures(latencies, unit="ms", baseline=None),
    ]


def _family_mb(pid: int) -> float:
    """Of a server with many processes: memory that they share counts once."""
    return sum(map(machine.share_mb, machine.tree(pid)))


def _postgres_disk_mb(cluster: tests_postgres.Cluster) -> float:
    """The databases without the write-ahead log, whose size is a setting."""
    cluster.sql("CHECKPOINT")
    return machine.disk_mb(cluster._folder / "data" / "base")


def _tigerbeetle_mb(cluster: tests_tigerbeetle.Cluster) -> float:
    return sum(machine.resident_mb(process.pid) for process in cluster._processes.values())


WORKLOADS = [Workload("growth", growth)]
