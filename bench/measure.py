"""How speed is measured and kept: the same few numbers for every workload, beside a baseline from the same run.

Machines and moments differ, so a rate alone says little; the ratio to a baseline that ran in turns with it says much.
Candidates are interleaved, run by run, and every run counts: minimum, median and maximum are reported. What was found is kept
by workload, each with its own time, machine and what else ran there, so that one workload can be measured anew by itself.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from bench import machine

FOLDER = Path(__file__).parent / "results"
RESULTS = FOLDER / "latest.json"
QUICK_RESULTS = FOLDER / "quick.json"
"""Of runs that only tried whether it works: they never take the place of a measurement."""


class Options(msgspec.Struct, frozen=True):
    """How much to run.

    Attributes:
        quick: few and small runs: whether it works, not how fast it is.
        full: the long workloads, too (an hour, tens of gigabytes).
        offline: installs nothing; peers whose packages are not there already are left out, and named.
        soak_minutes: how long the soak is; 0 leaves it out.
    """

    quick: bool = False
    full: bool = False
    offline: bool = False
    soak_minutes: float = 0

    @property
    def runs(self) -> int:
        return 2 if self.quick else 7


class Measure(msgspec.Struct, frozen=True, tag="measure"):
    """One line of the table. `ratio` is this median over the baseline's, both from the same run of the bench."""

    name: str
    unit: str
    runs: int
    min: float
    median: float
    max: float
    baseline: str | None = None
    ratio: float | None = None


class Series(msgspec.Struct, frozen=True, tag="series"):
    """What changed over time: a line to draw. `points` are (minutes, value)."""

    name: str
    unit: str
    points: list[tuple[float, float]]


class Note(msgspec.Struct, frozen=True, tag="note"):
    """Something to be said beside the numbers: a version, what was left out, what was proven."""

    text: str


Found = Measure | Series | Note


class Workload(msgspec.Struct, frozen=True):
    """A named group of measures that belong beside each other."""

    name: str
    run: Callable[[Options], Sequence[Found]]


class Section(msgspec.Struct, frozen=True):
    """What one workload found, and when and where.

    Attributes:
        when: UTC, when it began.
        load: the system's load, averaged over the minute before.
        stolen, others: shares of the processors' time that the host took, and that processes of somebody else used.
    """

    when: str
    took_s: float
    machine: dict[str, str]
    options: Options
    load: float
    stolen: float
    others: float
    found: list[Found]

    def measures(self) -> dict[str, Measure]:
        return {each.name: each for each in self.found if isinstance(each, Measure)}


class Results(msgspec.Struct, frozen=True):
    """The newest section of each workload that was ever measured here."""

    sections: dict[str, Section]

    def measures(self) -> dict[str, Measure]:
        return {name: measure for section in self.sections.values() for name, measure in section.measures().items()}


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


def observe(workload: Workload, options: Options) -> Section:
    """Runs a workload, with an eye on what else the machine does."""
    when, load, watch, began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), os.getloadavg()[0], machine.Watch(), time.monotonic()
    found = list(workload.run(options))
    beside = watch.seen()
    return Section(
        when=when,
        took_s=time.monotonic() - began,
        machine=machine.description(),
        options=options,
        load=load,
        stolen=beside.stolen,
        others=beside.others,
        found=found,
    )


def read_results(path: Path) -> Results:
    """What was measured so far; nothing where there is no file, or one of another time."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except (FileNotFoundError, msgspec.ValidationError):
        return Results({})


def write_results(sections: Mapping[str, Section], path: Path) -> Results:
    """Puts each section in place of the older one of its name; the others stay. Returns all."""
    results = Results(read_results(path).sections | dict(sections))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    draft.replace(path)
    return results


def print_table(found: Sequence[Found], out: TextIO | None = None) -> None:
    """The measures as columns, and after them the notes; to the standard output unless told otherwise."""
    out = out or sys.stdout
    lines = [each for each in found if isinstance(each, Measure)]
    width = max((len(measure.name) for measure in lines), default=4)
    out.write(f"{'name':{width}}  {'unit':>9}  {'runs':>4}  {'min':>10}  {'median':>10}  {'max':>10}  {'ratio':>6}  baseline\n")
    for m in lines:
        ratio = f"{m.ratio:6.2f}  {m.baseline}" if m.ratio is not None else f"{'':6}"
        numbers = "  ".join(f"{number(value):>10}" for value in (m.min, m.median, m.max))
        out.write(f"{m.name:{width}}  {m.unit:>9}  {m.runs:4}  {numbers}  {ratio}\n".rstrip() + "\n")
    for note in found:
        if isinstance(note, Note):
            out.write(f"* {note.text}\n")


def number(value: float) -> str:
    """Three digits where they are few, thousands apart where they are many."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
