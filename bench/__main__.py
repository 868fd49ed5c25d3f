"""Runs the workloads, prints a table, and writes bench/results/latest.json.

python -m bench                 all but the long ones
python -m bench --quick         whether it works
python -m bench --only payments those whose name begins so
python -m bench --full          a million accounts and five million transfers, too
"""

from __future__ import annotations

import argparse
import sys

from bench import ledger, payments, verifier
from bench.measure import Measure, Options, Workload, print_table, write_results

WORKLOADS: list[Workload] = [
    *ledger.WORKLOADS,
    *payments.WORKLOADS,
    *verifier.WORKLOADS,
]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures speed beside a baseline from the same run.")
    parser.add_argument("--quick", action="store_true", help="few and small runs: whether it works")
    parser.add_argument("--full", action="store_true", help="the long workloads, too: minutes, gigabytes")
    parser.add_argument("--only", metavar="NAME", default="", help=f"those whose name begins so: {', '.join(w.name for w in WORKLOADS)}")
    parsed = parser.parse_args(arguments)
    options = Options(quick=parsed.quick, full=parsed.full)
    chosen = [workload for workload in WORKLOADS if workload.name.startswith(parsed.only)]
    if not chosen:
        parser.error(f"no workload begins with {parsed.only!r}")
    found: list[Measure] = []
    for workload in chosen:
        sys.stderr.write(f"{workload.name} ...\n")
        found += workload.run(options)
    print_table(found)
    write_results(found, options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
