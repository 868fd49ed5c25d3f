"""Runs the workloads, prints a table, and keeps what it found in bench/results/latest.json.

python -m bench                  all but the long ones
python -m bench --quick          whether it works; kept in bench/results/quick.json
python -m bench --only payments  those whose name begins so; what was found of the others before stays
python -m bench --full           up to ten million accounts, too: an hour and some forty gigabytes
python -m bench --soak 30        a soak of so many minutes, too
python -m bench --write-docs     writes docs/reference/measurements.md and its plots, too; with --report, without measuring
"""

from __future__ import annotations

import argparse
import logging
import sys

from bench import engines, growth, ledger, payments, peers, report, soak, taps, ussd, verifier
from bench.measure import QUICK_RESULTS, RESULTS, Options, Workload, observe, print_table, read_results, write_results
from counterfoil.commands import logs

WORKLOADS: list[Workload] = [
    *engines.WORKLOADS,
    *payments.WORKLOADS,
    *ussd.WORKLOADS,
    *taps.WORKLOADS,
    *peers.WORKLOADS,
    *growth.WORKLOADS,
    *soak.WORKLOADS,
    *verifier.WORKLOADS,
    *ledger.WORKLOADS,
]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures speed beside a baseline from the same run.")
    parser.add_argument("--quick", action="store_true", help="few and small runs: whether it works")
    parser.add_argument("--full", action="store_true", help="the long workloads, too: an hour, tens of gigabytes")
    parser.add_argument(
        "--soak", metavar="MINUTES", type=float, nargs="?", const=soak.MINUTES, default=0, help=f"a soak, too; {soak.MINUTES:g} minutes"
    )
    parser.add_argument("--offline", action="store_true", help="install nothing: peers that are not there are left out")
    parser.add_argument("--only", metavar="NAME", default="", help=f"those whose name begins so: {', '.join(w.name for w in WORKLOADS)}")
    parser.add_argument("--write-docs", action="store_true", help=f"write {report.PAGE.name} and its plots, too")
    parser.add_argument("--report", action="store_true", help="measure nothing; only with --write-docs")
    parsed = parser.parse_args(arguments)
    options = Options(quick=parsed.quick, full=parsed.full, offline=parsed.offline, soak_minutes=parsed.soak)
    chosen = [workload for workload in WORKLOADS if workload.name.startswith(parsed.only)]
    if not chosen:
        parser.error(f"no workload begins with {parsed.only!r}")
    if parsed.quick and parsed.write_docs:
        parser.error("a quick run is no measurement: nothing to write into the docs")
    if parsed.report and not parsed.write_docs:
        parser.error("--report measures nothing: it takes --write-docs")
    logs.configure(level=logging.WARNING)  # to stderr: stdout has the table
    results_path = QUICK_RESULTS if options.quick else RESULTS
    for workload in [] if parsed.report else chosen:
        sys.stderr.write(f"{workload.name} ...\n")
        section = observe(workload, options)
        if section.measures():
            write_results({workload.name: section}, results_path)  # each at once: an hour is not lost to what comes last
        print_table(section.found)
    if parsed.write_docs:
        report.write(read_results(RESULTS))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
