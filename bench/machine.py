"""What a number was measured on, and what else happened there meanwhile: all read from /proc, all at the border of a measurement."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sqlite3
import sys
from pathlib import Path
from typing import NamedTuple

import counterfoil

MEGABYTE = 2**20
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def description() -> dict[str, str]:
    """The machine and the versions of what every workload uses."""
    return {
        "system": platform.platform(),
        "processor": _processor_name(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "Python": sys.version.split()[0],
        "SQLite": sqlite3.sqlite_version,
        "Counterfoil": counterfoil.__version__,
    }


class Beside(NamedTuple):
    """What the processors did for others, as shares of all their time."""

    stolen: float
    """Taken by the host on which this machine is a guest."""
    others: float
    """Used by processes that do not belong to the measurement, the system's own threads included."""


class Watch:
    """From its making on, what else the machine is busy with. Processes of the measurement count as ours once they have ended."""

    def __init__(self) -> None:
        self._before = _processors()
        self._own = _own_s()

    def seen(self) -> Beside:
        busy, stolen, passed = (after - before for after, before in zip(_processors(), self._before, strict=True))
        if not passed:
            return Beside(0.0, 0.0)
        return Beside(stolen / passed, max(0.0, busy - (_own_s() - self._own)) / passed)


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            try:
                found += tree(int(child))
            except FileNotFoundError:
                continue  # it has ended meanwhile
    return found


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def share_mb(pid: int) -> float:
    """The same, but of a page that n processes share one n-th: so that the memory of several processes can be added up."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def disk_mb(folder: Path) -> float:
    """What the files below a folder take up on the disk: a file with holes takes less than its length."""
    blocks = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                blocks += os.lstat(Path(parent) / name).st_blocks
            except FileNotFoundError:
                continue  # gone meanwhile
    return blocks * 512 / MEGABYTE


def _processors() -> tuple[float, float, float]:
    """Seconds that all processors together were busy, were taken by the host, and have passed. Source: proc(5), /proc/stat"""
    line = Path("/proc/stat").read_text("ascii").split("\n", 1)[0]
    user, nice, system, idle, waiting, interrupt, soft, stolen = (int(each) * TICK_S for each in line.split()[1:9])
    busy = user + nice + system + interrupt + soft
    return busy, stolen, busy + idle + waiting + stolen


def _own_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
