"""Whole signed payments over HTTP: one server process with its SQLite files, and the load in a process of its own.

Order, signature, limits, fee, store, ledger, acknowledgement; everything durable (`synchronous = FULL`) before the answer.
Beside it one commit per payment, in the same run: the same server with its batches limited to one. And beside it the same with
the log: the publisher's process follows on the same two cores, and has to keep up. And `counterfoil serve` with and without workers.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from bench import machine
from bench.measure import Measure, Options, Workload, measures
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.published import PublishedLog

PEOPLE = 1_000
ACCOUNTS = 100_000
"""In the ledger of the servers whose memory is measured."""
CONNECTIONS = 256
OPEN_RATE = 2_000
OPEN_CONNECTIONS = 512
ROOT = Path(__file__).parent.parent
STOP_S_MAX = 300
"""A server with a log drains what waits for it."""
LOG_S_MAX = 600
"""How long a log may be behind, or begin."""
QUIET_S = 3.0
"""Seconds without a new head after which the log is taken to have caught up."""


class Server:
    """A server process under load."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, *, bare: bool) -> None:
        self.bare = bare
        self.published = PublishedLog(folder / "data" / "log")
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the server did not start"
        known = json.loads(line)
        self.port: int = known["port"]
        self.pid: int = known["pid"]
        self.people: str = known["people"]
        self._seed = 0

    def resident_mb(self) -> float:
        return machine.resident_mb(self.pid)

    def memory_mb_of_all(self) -> float:
        """Of all processes of the server together, the publisher included; a page that they share counts once."""
        return sum(map(machine.share_mb, machine.tree(self.pid)))

    def processor_s_of_all(self) -> float:
        """Seconds of processor time that the server's processes have used so far, the publisher's included."""
        return sum(map(machine.processor_s, machine.tree(self.pid)))

    def log_behind_s(self, quiet_s: float = QUIET_S) -> float:
        """Seconds after the end of a load until the log had all of it: the last time its head moved before it was still for `quiet_s`."""
        began = moved = time.perf_counter()
        size = -1
        while size < 0 or time.perf_counter() - moved < quiet_s:
            assert time.perf_counter() - began < LOG_S_MAX, "the log does not end"
            if (newest := self.log_size()) != size:
                size, moved = newest, time.perf_counter()
            time.sleep(0.02)
        return moved - began

    def log_size(self) -> int:
        """Entries under the newest head; -1 before there is one."""
        note = self.published.checkpoint()
        return Checkpoint.parse(note.text).size if note is not None else -1

    def load(self, count: int, connections: int, rate: int = 0) -> dict[str, Any]:
        self._seed += 1
        command = [sys.executable, "-m", "bench.payments_load", *map(str, (self.port, self.people, self._seed, count, connections, rate))]
        result: dict[str, Any] = json.loads(subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout)
        assert set(result["statuses"]) <= {"200", "422"}, result["statuses"]
        assert self.bare or 0.005 < result["statuses"].get("422", 0) / count < 0.05, "the workload is not what it says"
        return result


@contextmanager
def server(*arguments: str, people: int = PEOPLE) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder, serving(Path(folder), *arguments, people=people) as served:
        yield served


@contextmanager
def serving(folder: Path, *arguments: str, people: int) -> Iterator[Server]:
    """The server with its data in `folder`, which stays; it has ended, and drained what waited, when this does."""
    command = [sys.executable, "-m", "bench.payments_server", str(folder), str(people), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process, folder, bare="--bare" in arguments)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(STOP_S_MAX)


def payments(options: Options) -> list[Measure]:
    """Closed loop at 256 connections for capacity, an open loop at 2,000/s for latency, memory at rest and after.

    Beside them, in turn: one commit per payment; a bare answer over the same HTTP, and the bare check of a signature, which tell
    how fast the machine is at that moment.
    """
    count, single, runs = (2_000, 500, 2) if options.quick else (40_000, 6_000, 5)
    people = 100 if options.quick else PEOPLE
    rates: dict[str, list[float]] = {"payments.one-commit-each": [], "payments.closed-256": []}
    latencies: dict[str, list[float]] = {
        f"payments.{name}": [] for name in ("closed-256.p50", "closed-256.p99", "open-2000.p50", "open-2000.p99")
    }
    bare_rates: list[float] = []
    check_rates: list[float] = []
    with (
        server(people=people) as grouped,
        server("--one-by-one", people=people) as alone,
        server("--bare", people=people) as bare,
    ):
        at_rest = grouped.resident_mb()
        for _ in range(runs):
            rates["payments.one-commit-each"].append(alone.load(single, CONNECTIONS)["rate"])
            bare_rates.append(bare.load(count, CONNECTIONS)["rate"])
            check_rates.append(signature_checks(count // 10))
            closed = grouped.load(count, CONNECTIONS)
            opened = grouped.load(count // 2, OPEN_CONNECTIONS, OPEN_RATE)
            rates["payments.closed-256"].append(closed["rate"])
            for name, result in (("closed-256", closed), ("open-2000", opened)):
                for percentile in ("p50", "p99"):
                    latencies[f"payments.{name}.{percentile}"].append(result[f"{percentile}_ms"])
        after = grouped.resident_mb()
    return [
        *measures(rates, unit="pay/s", baseline="payments.one-commit-each"),
        *measures(
            {"payments.bare-http": bare_rates, "payments.beside-bare-http": rates["payments.closed-256"]},
            unit="answers/s",
            baseline="payments.bare-http",
        ),
        *measures(
            {"payments.signature-checks": check_rates, "payments.beside-signature-checks": rates["payments.closed-256"]},
            unit="1/s",
            baseline="payments.signature-checks",
        ),
        *measures(latencies, unit="ms", baseline=None),
        *measures({"payments.memory-at-rest": [at_rest], "payments.memory-after": [after]}, unit="MB", baseline=None),
    ]


def signature_checks(count: int) -> float:
    """Ed25519 checks a second in this process, nothing else: what the machine can do at this moment, for whoever compares two."""
    secret, message = SigningKey.generate(), bytes(300)
    key, signature = secret.verify_key, secret.sign(message).signature
    began = time.perf_counter()
    for _ in range(count):
        key.verify(message, signature)
    return count / (time.perf_counter() - began)


def with_log(options: Options) -> list[Measure]:
    """The same payments with the log and without, in turns, and how long the log is behind when they end."""
    count, runs = (2_000, 2) if options.quick else (30_000, 5)
    people = 100 if options.quick else PEOPLE
    rates: dict[str, list[float]] = {"log.payments-without": [], "log.payments-with": []}
    behind: list[float] = []
    with server(people=people) as without, server("--log", people=people) as with_:
        with_.log_behind_s()
        for _ in range(runs):
            rates["log.payments-without"].append(without.load(count, CONNECTIONS)["rate"])
            rates["log.payments-with"].append(with_.load(count, CONNECTIONS)["rate"])
            behind.append(with_.log_behind_s())
    return [
        *measures(rates, unit="pay/s", baseline="log.payments-without"),
        *measures({"log.behind": behind}, unit="s", baseline=None),
    ]


def with_workers(options: Options) -> list[Measure]:
    """`counterfoil serve` with 0, 1, 2 and 4 workers, the log with each, in turns: capacity, latency, memory, processor time a payment.

    Besides the people who pay, the ledger has accounts up to 100,000: memory is told with them.
    """
    count, runs = (2_000, 2) if options.quick else (30_000, 5)
    people = 100 if options.quick else PEOPLE
    counts = (0, 1, 2, 4)
    accounts = 1_000 if options.quick else ACCOUNTS
    rates: dict[str, list[float]] = {f"workers.{workers}.closed-256": [] for workers in counts}
    beside: dict[str, list[float]] = {"workers.signature-checks": [], "workers.beside-signature-checks": rates["workers.2.closed-256"]}
    latencies: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {f"workers.{workers}.processor": [] for workers in counts}
    memory: dict[str, list[float]] = {}
    with ExitStack() as stack:
        servers = {
            workers: stack.enter_context(server("--workers", str(workers), "--accounts", str(accounts), people=people))
            for workers in counts
        }
        for served in servers.values():
            served.log_behind_s()
        for _ in range(runs):
            beside["workers.signature-checks"].append(signature_checks(count // 10))
            for workers, served in servers.items():
                before = served.processor_s_of_all()
                closed = served.load(count, CONNECTIONS)
                served.log_behind_s()
                processor[f"workers.{workers}.processor"].append((served.processor_s_of_all() - before) / count * 1e6)
                opened = served.load(count // 3, OPEN_CONNECTIONS, OPEN_RATE)
                served.log_behind_s()
                rates[f"workers.{workers}.closed-256"].append(closed["rate"])
                for name, result in (("closed-256", closed), ("open-2000", opened)):
                    for percentile in ("p50", "p99"):
                        latencies.setdefault(f"workers.{workers}.{name}.{percentile}", []).append(result[f"{percentile}_ms"])
        for workers, served in servers.items():
            memory[f"workers.{workers}.memory"] = [served.memory_mb_of_all()]
    return [
        *measures(rates, unit="pay/s", baseline="workers.0.closed-256"),
        *measures(beside, unit="1/s", baseline="workers.signature-checks"),
        *measures(latencies, unit="ms", baseline=None),
        *measures(processor, unit="us", baseline=None),
        *measures(memory, unit="MB", baseline=None),
    ]


WORKLOADS = [Workload("payments", payments), Workload("log", with_log), Workload("workers", with_workers)]

if __name__ == "__main__":
    with server() as only:
        found = [only.load(20_000, CONNECTIONS) for _ in range(3)]
        sys.stdout.write(f"{found}\n{statistics.median(result['rate'] for result in found):.0f} payments/s, {only.resident_mb():.0f} MB\n")
