"""A peer: `procedure.sql` on PostgreSQL, called by pgbench, PostgreSQL's own load generator in C: the least that anybody pays to ask."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench.payments_load import HOT_SHARE, REFUSED_SHARE, REPEATED_SHARE
from tests import postgres as tests_postgres

PROCEDURE = Path(__file__).parent / "procedure.sql"
FUNDS = 500_000
SHOP = 0
THREADS = 2

_SCRIPT = f"""
\\set n :n + 1
\\set id :start + :n * 1000 + :client_id
\\set payer random(1, :people)
\\set payee random(1, :people - 1)
\\if :payee >= :payer
\\set payee :payee + 1
\\endif
\\if :hot = 1 and random(1, 100) <= {HOT_SHARE * 100:.0f}
\\set payee {SHOP}
\\endif
\\set amount random(100, 399)
\\set kind random(1, 100)
\\if :kind <= {REFUSED_SHARE * 100:.0f}
\\set amount {2 * FUNDS}
\\endif
\\if :kind > {100 - REPEATED_SHARE * 100:.0f} and :n > 5
\\set id :id - 5000
\\endif
SELECT pay(:id, :payer, :payee, :amount);
"""


class Run(NamedTuple):
    """Calls a second, and how long one takes."""

    rate: float
    p50_ms: float
    p99_ms: float


class Procedure:
    """The procedure in a database of its own, with so many people who have money, and a shop."""

    def __init__(self, cluster: tests_postgres.Cluster, *, people: int) -> None:
        self._cluster = cluster
        self._people = people
        self._url = cluster.new_database()
        self._calls = 0
        self._binaries = tests_postgres.find_binaries()
        database = self._url.partition("?")[0].rpartition("/")[2]
        self._database = database
        cluster.sql(PROCEDURE.read_text("utf-8"), database)
        cluster.sql(
            f"INSERT INTO account SELECT n, CASE n WHEN {SHOP} THEN 0 ELSE {FUNDS} END FROM generate_series(0, {people}) n", database
        )
        cluster.sql("VACUUM ANALYZE", database)

    def run(self, count: int, clients: int, *, hot: bool) -> Run:
        """Has `count` payments made by so many clients at a time; with `hot`, half of them go to the shop."""
        assert self._binaries is not None
        each = -(-count // clients)
        with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
            script = Path(folder) / "script"
            script.write_text(_SCRIPT, "utf-8")
            variables = {"n": 0, "start": self._calls * 1_000, "people": self._people, "hot": int(hot)}
            command = [
                str(self._binaries / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={script}", "--log", f"--log-prefix={folder}/log",
                f"--client={clients}", f"--jobs={min(THREADS, clients)}", f"--transactions={each}",
                *(f"--define={name}={value}" for name, value in variables.items()),
                "-h", str(self._cluster.socket_folder), "-U", "postgres", self._database,
            ]  # fmt: skip
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2_000:]
            logs = [line.split() for log in Path(folder).glob("log*") for line in log.read_text("ascii").splitlines()]
        self._calls += each + 1
        latencies = sorted(int(fields[2]) for fields in logs)
        assert len(latencies) == each * clients, (len(latencies), each, clients)
        rate = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
        assert rate is not None, done.stdout
        return Run(float(rate[1]), latencies[len(latencies) // 2] / 1_000, latencies[len(latencies) * 99 // 100] / 1_000)

    def prove(self) -> None:
        """That it did what it was asked: no money was made or lost, every row follows from the one before, and some were refused."""
        said = self._cluster.sql("SELECT sum(balance), (SELECT count(*) FROM transfer) FROM account", self._database)
        total, paid = map(int, said.split("|"))
        assert total == self._people * FUNDS, (total, self._people)
        assert paid > 0, paid
