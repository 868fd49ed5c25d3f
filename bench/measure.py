"""How speed is measured and reported: the same few numbers for every workload, beside a baseline from the same run.

Machines and moments differ, so a rate alone says little; the ratio to a baseline that ran in turns with it says much.
Candidates are interleaved, run by run, and every run counts: minimum, median and maximum are reported.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

import msgspec

RESULTS = Path(__file__).parent / "results" / "latest.json"


class Options(msgspec.Struct, frozen=True):
    """How much to run.

    Attributes:
        quick: few and small runs: whether it works, not how fast it is.
        full: the long workloads, too (minutes, gigabytes).
    """

    quick: bool = False
    full: bool = False

    @property
    def runs(self) -> int:
        return 2 if self.quick else 7


class Measure(msgspec.Struct, frozen=True):
    """One line of the table. `ratio` is this median over the baseline's, both from the same run of the bench."""

    name: str
    unit: str
    runs: int
    min: float
    median: float
    max: float
    baseline: str | None
    ratio: float | None


class Workload(msgspec.Struct, frozen=True):
    """A named group of measures that belong beside each other."""

    name: str
    run: Callable[[Options], list[Measure]]


def interleave(candidates: Mapping[str, Callable[[], float]], *, runs: int) -> dict[str, list[float]]:
    """The values of every candidate; all of them run once before any runs again."""
    values: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(runs):
        for name, run in candidates.items():
            values[name].append(run())
    return values


def measures(values: Mapping[str, list[float]], *, unit: str, baseline: str | None) -> list[Measure]:
    """A line for each candidate; those that are not the baseline themselves get their ratio to it."""
    base = statistics.median(values[baseline]) if baseline is not None else None
    return [
        Measure(
            name=name,
            unit=unit,
            runs=len(runs),
            min=min(runs),
            median=statistics.median(runs),
            max=max(runs),
            baseline=baseline if name != baseline else None,
            ratio=statistics.median(runs) / base if base and name != baseline else None,
        )
        for name, runs in values.items()
    ]


def write_results(found: list[Measure], options: Options, path: Path = RESULTS) -> None:
    """Writes what was measured, where and when, as JSON: anyone can hold two machines or two versions side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": sys.version.split()[0], "load": os.getloadavg()},
        "options": msgspec.to_builtins(options),
        "measures": msgspec.to_builtins(found),
    }
    path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def print_table(found: list[Measure], out: TextIO = sys.stdout) -> None:
    width = max((len(measure.name) for measure in found), default=4)
    out.write(f"{'name':{width}}  {'unit':>6}  {'runs':>4}  {'min':>10}  {'median':>10}  {'max':>10}  {'ratio':>6}  baseline\n")
    for m in found:
        ratio = f"{m.ratio:6.2f}  {m.baseline}" if m.ratio is not None else f"{'':6}"
        out.write(
            f"{m.name:{width}}  {m.unit:>6}  {m.runs:4}  {m.min:10,.0f}  {m.median:10,.0f}  {m.max:10,.0f}  {ratio}\n".rstrip() + "\n"
        )
