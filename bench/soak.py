"""A soak: a whole server with two workers, half an hour of payments that arrive at random, and every minute how it feels.

Open loop; half of the payments go to one shop, 2 % are refused (above the balance, or expired), 1 % are repeats. Meanwhile the
server checks its own books again and again. At the end three proofs: the client's own book agrees with the ledger, account by
account; `counterfoil check` finds that no money was made or lost, and makes every entry of the log anew; the log has an
entry for each payment and no other.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import machine
from bench.measure import Found, Note, Options, Series, Workload, measures
from bench.payments import OPEN_CONNECTIONS, PEOPLE, Server, serving
from bench.payments_server import FUNDS
from counterfoil.app import SystemAccounts
from counterfoil.ledger.sqlite import SqliteEngine

ROOT = Path(__file__).parent.parent
MINUTES = 30.0
RATE = 2_000
STEP_S = 60.0
WORKERS = 2
CHECK_INTERVAL_S = 60
LEDGER = 840
SHARE_TO_SHOP = 125
"""Minor units that go to the shop for each payment, on average: half of the payments, 250 each."""
SHOP_MAX = 450_000_000
"""Minor units, below what a merchant's account may hold."""
ROLES = {
    "counterfoil": "parent",
    "counterfoil.commands.serve": "house",
    "counterfoil.serving": "worker",
    "counterfoil.publishing": "publisher",
}
"""By the module that a process runs."""


class Step:
    """A minute of load: made while the one before is running, begun by `go`."""

    def __init__(self, served: Server, seed: int, count: int, rate: int) -> None:
        command = [sys.executable, "-m", "bench.soak_load", *map(str, (served.port, served.people, seed, count, OPEN_CONNECTIONS, rate))]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def go(self) -> None:
        assert self._read() == "ready"
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)

    def times(self) -> dict[str, Any]:
        """Rate and latencies, once all is answered."""
        found: dict[str, Any] = json.loads(self._read())
        return found

    def book(self) -> dict[str, Any]:
        """What the client has noted. Called last."""
        found: dict[str, Any] = json.loads(self._read())
        assert self._process.wait(60) == 0
        return found

    def kill(self) -> None:
        """Ends it, wherever it is. Safe to repeat."""
        self._process.kill()
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the load ended"
        return line.strip()


class Book:
    """The client's book of the whole soak, beside what the ledger says at the end."""

    def __init__(self) -> None:
        self.began_ns = time.time_ns()
        self.moved: Counter[int] = Counter()
        self.fees = self.paid = self.repeats = 0

    def add(self, book: dict[str, Any]) -> None:
        assert not book["faults_count"], book["faults"]
        self.moved.update({int(account, 16): amount for account, amount in book["moved"].items()})
        self.fees += book["fees"]
        self.paid += book["paid"]
        self.repeats += book["repeats"]

    def prove(self, file: Path, everybody: list[int]) -> None:
        """Every account has moved by what the book says, and those that it does not name have not."""
        engine = SqliteEngine.open(file)
        try:
            for account in everybody:
                before, now = engine.balance_at(account, self.began_ns), engine.balances_now(account)
                assert now is not None, account
                moved = now[3] - now[1] - (before.credits_posted - before.debits_posted)
                assert moved == self.moved[account], f"account {account:x}: the book says {self.moved[account]}, the ledger {moved}"
            fees = SystemAccounts.of(LEDGER).fees
            before, now = engine.balance_at(fees, self.began_ns), engine.balances_now(fees)
            assert now is not None
            assert now[3] - before.credits_posted == self.fees, (now[3] - before.credits_posted, self.fees)
        finally:
            engine.close()


class Samples:
    """What is looked at every minute.

    Attributes:
        series: by name and unit, the points.
        behind: how many entries the log lacked.
    """

    def __init__(self, served: Server, folder: Path) -> None:
        self.series: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self.behind: list[tuple[float, float]] = []
        self._served = served
        self._data = folder / "data"
        self._watch = machine.Watch()

    def note(self, minute: float, times: dict[str, Any]) -> None:
        stolen, self._watch = self._watch.seen().stolen, machine.Watch()
        values = {
            ("rate", "pay/s"): times["rate"],
            ("p50", "ms"): times["p50_ms"],
            ("p99", "ms"): times["p99_ms"],
            ("max", "ms"): times["max_ms"],
        }
        values |= {(f"memory.{role}", "MB"): size for role, size in memory(self._served.pid).items()}
        values |= {(f"wal.{name}", "MB"): self._size_mb(f"{name}.sqlite-wal") for name in ("ledger", "store")}
        values |= {("disk", "MB"): machine.disk_mb(self._data), ("stolen", "%"): stolen * 100}
        for key, value in values.items():
            self.series.setdefault(key, []).append((minute, value))

    def _size_mb(self, name: str) -> float:
        path = self._data / name
        return path.stat().st_size / machine.MEGABYTE if path.exists() else 0.0


def memory(pid: int) -> dict[str, float]:
    """Of each process of a server, by what it does; of pages that they share, each has its part."""
    found: Counter[str] = Counter()
    numbered: Counter[str] = Counter()
    for each in machine.tree(pid):
        words = Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0")
        role = next((ROLES.get(after.decode()) for word, after in pairwise(words) if word == b"-m"), None)
        if role is not None:
            numbered[role] += 1
            found[f"{role}-{numbered[role]}" if role == "worker" else role] += machine.share_mb(each)  # type: ignore[assignment]
    return dict(found)


def soak(options: Options) -> Sequence[Found]:
    """Half an hour, or as long as it is told."""
    if not options.soak_minutes and not options.quick:
        return [Note("The soak was left out: it takes `--soak`.")]
    rate, step_s = (200, 2.0) if options.quick else (RATE, STEP_S)
    steps = 2 if options.quick else max(2, round(options.soak_minutes))
    total = round(rate * step_s) * steps
    assert total * SHARE_TO_SHOP <= SHOP_MAX, f"the shop's account cannot hold more than {SHOP_MAX // SHARE_TO_SHOP} payments bring"
    people = 30 if options.quick else max(PEOPLE, total * SHARE_TO_SHOP * 3 // 2 // FUNDS)
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as name:
        folder = Path(name)
        with serving(
            folder, "--workers", str(WORKERS), "--check-interval", str(1 if options.quick else CHECK_INTERVAL_S), people=people
        ) as served:
            book, samples, checks, behind_s = _run(served, folder, steps=steps, count=round(rate * step_s), rate=rate)
        known = json.loads((folder / "people.json").read_text("utf-8"))
        book.prove(folder / "data" / "ledger.sqlite", [each["account"] for each in (known["shop"], *known["people"])])
        entries = _checked(folder / "data")
    samples.series["log-behind", "entries"] = samples.behind
    found: list[Found] = [Series(f"soak.{name}", unit, points) for (name, unit), points in samples.series.items()]
    for (name, unit), points in samples.series.items():
        found += measures({f"soak.{name}": [value for _, value in points]}, unit=unit, baseline=None)
    found += measures({"soak.log-behind-at-the-end": [behind_s]}, unit="s", baseline=None)
    found.append(
        Note(
            f"Soak of {steps} x {step_s:g} s at {rate:,} payments a second, {people:,} people: {book.paid:,} payments made, "
            f"{book.repeats:,} repeats heard the same again; the client's book agrees with the ledger, account by account; "
            f"`counterfoil check` passed, and made all {entries:,} entries of the log anew; the server's own check passed {checks} times meanwhile."
        )
    )
    return found


def _run(served: Server, folder: Path, *, steps: int, count: int, rate: int) -> tuple[Book, Samples, int, float]:
    """All steps without a pause: while one runs, the next is made, and the book of the one before is written."""
    served.log_behind_s()
    size_before = served.log_size()
    book, samples, checks = Book(), Samples(served, folder), set[str]()
    begun: list[Step] = [Step(served, 1, count, rate)]
    sizes: list[tuple[float, int]] = []

    def settle(step: Step) -> None:
        book.add(step.book())
        minute, size = sizes[len(samples.behind)]
        samples.behind.append((minute, max(0, book.paid + size_before - size)))

    try:
        for number in range(1, steps + 1):
            current = begun[-1]
            current.go()
            if number < steps:
                begun.append(Step(served, number + 1, count, rate))
            if number > 1:
                settle(begun[number - 2])
            times = current.times()
            minute = number * count / rate / 60
            sizes.append((minute, served.log_size()))
            samples.note(minute, times)
            checks.add(_own_check(served))
            sys.stderr.write(f"  {minute:.1f} min: {times['rate']:,.0f}/s, p99 {times['p99_ms']:.1f} ms\n")
        settle(begun[-1])
        behind_s = served.log_behind_s()
        assert served.log_size() == size_before + book.paid, (served.log_size(), size_before, book.paid)
    finally:
        for step in begun:
            step.kill()
    return book, samples, len(checks - {""}), behind_s


def _own_check(served: Server) -> str:
    """When the server's own check last ended; empty before the first. It has to have passed."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, text
    found = json.loads(text)
    assert found["check_passed"] in (None, True), found
    return found["check_at"] or ""


def _checked(data: Path) -> int:
    """Runs `counterfoil check`; returns how many entries of the log it made anew."""
    command = [sys.executable, "-m", "counterfoil", "check", "--data", str(data), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    entries = found["log"]["entries"]
    assert isinstance(entries, int)
    return entries


WORKLOADS = [Workload("soak", soak)]
