"""Payments beside what somebody would use instead, on the same disk and the same PostgreSQL, in turns.

    counterfoil      whole payments over HTTP: order, signature, limits, fee, store, ledger, log, receipt; 2 workers
    one-commit-each  the same in one process, with one transaction for each payment: what batching is worth
    ledger           our ledger alone, called in the process, as the peers below are
    procedure        a hand-written procedure in PL/pgSQL, called by pgbench
    hordak           django-hordak: plain `transfer_to`, and with a lock and a check of the balance

Not equal work: the peers have neither HTTP nor signatures, no fee, no log and no order that is kept; plain hordak asks for no
balance; hordak has no repeats. The same amounts between as many people; 1 % are above the balance, 1 % are repeats (of ours
another 1 % have expired); *hot* is half of the payments to one account, which our own payments always are.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import peers_environment, servers
from bench.measure import Found, Note, Options, Workload, measures
from bench.payments import CONNECTIONS, PEOPLE, Server, server
from bench.peers_procedure import Procedure, Run
from bench.town import Town, concurrently
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.sqlite import SqliteEngine
from tests import postgres as tests_postgres

FEW = 8
"""Clients, as in a small shop's back office; the other number is ours, CONNECTIONS."""
QUIET_S = 1.5
"""A log under load signs a head every second: one that has not moved for longer has all."""
PROCESSES = 8
RUNS = 5
OURS = "peers.counterfoil-sqlite"
HORDAK = Path(__file__).parent / "peers_hordak.py"

Candidate = Callable[[], Run]


class Counts:
    """How many payments in each run."""

    def __init__(self, options: Options) -> None:
        self.ours, self.alone, self.ledger, self.procedure, self.hordak = (
            (1_000, 500, 1_000, 1_000, 64) if options.quick else (30_000, 5_000, 20_000, 20_000, 1_500)
        )
        self.people = 30 if options.quick else PEOPLE
        self.clients = 16 if options.quick else CONNECTIONS
        self.processes = 2 if options.quick else PROCESSES
        self.runs = 2 if options.quick else RUNS


class Hordak:
    """django-hordak in a database of its own."""

    def __init__(self, program: Path, cluster: tests_postgres.Cluster, counts: Counts) -> None:
        database = cluster.new_database().partition("?")[0].rpartition("/")[2]
        self._command = [str(program), str(HORDAK), str(cluster.socket_folder), database]
        self._counts = counts
        self._seed = 0
        self._ask("prepare", counts.people)

    def run(self, clients: int, *, checked: bool, hot: bool) -> Run:
        """By so many clients: a process for each as far as they go, then as many threads in each."""
        counts = self._counts
        self._seed += 1
        processes = min(clients, counts.processes)
        count = max(counts.hordak, 4 * clients)
        answer = self._ask("run", counts.people, count, processes, clients // processes, int(checked), int(hot), self._seed)
        share = answer["refused"] / answer["count"]
        assert share < 0.05 if checked else share == 0, answer
        assert not checked or count < 1_000 or share > 0, answer
        return Run(answer["rate"], answer["p50_ms"], answer["p99_ms"])

    def _ask(self, *arguments: str | int) -> dict[str, Any]:
        done = subprocess.run([*self._command, *map(str, arguments)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2_000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def peers(options: Options) -> Sequence[Found]:
    """Every candidate once, then all of them again; and how many times ours the median of each is."""
    counts, notes = Counts(options), list[Note]()
    with ExitStack() as stack:
        candidates = _ours(stack, counts)
        if servers.postgres_binaries() is None:
            notes.append(servers.NO_POSTGRES)
        else:
            cluster = stack.enter_context(servers.postgres())
            notes.append(servers.postgres_version())
            candidates |= _ours_on_postgres(stack, cluster, counts)
            procedure = Procedure(cluster, people=counts.people)
            candidates |= _procedure(procedure, counts)
            stack.callback(procedure.prove)
            try:
                program = peers_environment.python(offline=options.offline)
            except peers_environment.NotInstalledError as reason:
                notes.append(Note(f"django-hordak was not measured: {reason}."))
            else:
                told = ", ".join(f"{name} {version}" for name, version in peers_environment.versions(program).items())
                notes.append(Note(f"Peers: {told}."))
                candidates |= _hordak(Hordak(program, cluster, counts), counts)
        rates: dict[str, list[float]] = {name: [] for name in candidates}
        latencies: dict[str, list[float]] = {f"{name}.{key}": [] for name in candidates for key in ("p50", "p99")}
        for _ in range(counts.runs):
            for name, run in candidates.items():
                found = run()
                rates[name].append(found.rate)
                if found.p99_ms:
                    latencies[f"{name}.p50"].append(found.p50_ms)
                    latencies[f"{name}.p99"].append(found.p99_ms)
    return [
        *measures(rates, unit="pay/s", baseline=OURS),
        *measures({name: values for name, values in latencies.items() if values}, unit="ms", baseline=None),
        *notes,
    ]


def _ours(stack: ExitStack, counts: Counts) -> dict[str, Candidate]:
    served = stack.enter_context(server("--workers", "2", people=counts.people))
    alone = stack.enter_context(server("--one-by-one", people=counts.people))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="counterfoil-bench-")))
    town = Town(SqliteEngine.open(folder / "ledger.sqlite"), accounts=counts.people)
    stack.callback(town.engine.close)
    return {
        OURS: lambda: _load(served, counts.ours, CONNECTIONS),
        "peers.one-commit-each": lambda: _load(alone, counts.alone, CONNECTIONS, log=False),
        **_ledger("peers.ledger-sqlite", town, counts),
    }


def _ours_on_postgres(stack: ExitStack, cluster: tests_postgres.Cluster, counts: Counts) -> dict[str, Candidate]:
    served = stack.enter_context(server("--workers", "2", "--database", cluster.new_database(), people=counts.people))
    town = Town(PostgresEngine.open(cluster.new_database()), accounts=counts.people)
    stack.callback(town.engine.close)
    return {
        "peers.counterfoil-postgres": lambda: _load(served, counts.ours, CONNECTIONS),
        **_ledger("peers.ledger-postgres", town, counts),
    }


def _load(served: Server, count: int, connections: int, *, log: bool = True) -> Run:
    found = served.load(count, connections)
    if log:
        served.log_behind_s(QUIET_S)  # what the log still does would slow the next candidate down
    return Run(found["rate"], found["p50_ms"], found["p99_ms"])


def _ledger(name: str, town: Town, counts: Counts) -> dict[str, Candidate]:
    def by(clients: int, count: int) -> Candidate:
        return lambda: Run(asyncio.run(concurrently(town, town.transfers(count, town.uniform), clients)), 0, 0)

    return {f"{name}.{FEW}": by(FEW, counts.ledger // 10), f"{name}.{counts.clients}": by(counts.clients, counts.ledger)}


def _procedure(procedure: Procedure, counts: Counts) -> dict[str, Candidate]:
    def by(clients: int, *, hot: bool) -> Candidate:
        return lambda: procedure.run(counts.procedure if not hot else counts.procedure // 2, clients, hot=hot)

    return {
        f"peers.procedure.{clients}{'.hot' if hot else ''}": by(clients, hot=hot)
        for clients in (FEW, counts.clients)
        for hot in (False, True)
    }


def _hordak(hordak: Hordak, counts: Counts) -> dict[str, Candidate]:
    def by(clients: int, *, checked: bool, hot: bool) -> Candidate:
        return lambda: hordak.run(clients, checked=checked, hot=hot)

    return {
        f"peers.hordak-{'checked' if checked else 'plain'}.{clients}{'.hot' if hot else ''}": by(clients, checked=checked, hot=hot)
        for checked in (False, True)
        for clients in (FEW, counts.clients)
        for hot in (False, True)
    }


WORKLOADS = [Workload("peers", peers)]
