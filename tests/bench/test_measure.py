"""What is found is kept by workload, and what the machine did beside is read from the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import machine
from bench.measure import (
    Found,
    Measure,
    Note,
    Options,
    Series,
    Workload,
    interleave,
    measures,
    number,
    observe,
    print_table,
    read_results,
    write_results,
)

FOUND: list[Found] = [
    Measure("a.rate", "pay/s", 3, 1.0, 2.0, 3.0),
    Series("a.rate", "pay/s", [(1.0, 2.0), (2.0, 3.0)]),
    Note("one was left out"),
]


def found(options: Options) -> Sequence[Found]:
    return FOUND


def test_all_candidates_run_once_before_any_runs_again() -> None:
    order: list[str] = []

    def candidate(name: str) -> float:
        order.append(name)
        return len(order)

    values = interleave({"a": lambda: candidate("a"), "b": lambda: candidate("b")}, runs=3)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert values == {"a": [1, 3, 5], "b": [2, 4, 6]}


def test_a_ratio_is_of_medians_and_the_baseline_has_none() -> None:
    base, other = measures({"base": [1, 2, 30], "other": [4, 6, 5]}, unit="pay/s", baseline="base")
    assert (base.min, base.median, base.max, base.ratio, base.baseline) == (1, 2, 30, None, None)
    assert (other.median, other.ratio, other.baseline, other.runs) == (5, 2.5, "base", 3)


def test_a_workload_that_is_measured_anew_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    first = observe(Workload("a", found), Options())
    write_results({"a": first, "b": first}, file)
    second = observe(Workload("a", lambda options: [Note("nothing")]), Options(quick=True))
    write_results({"a": second}, file)
    kept = read_results(file)
    assert kept.sections == {"a": second, "b": first}
    assert kept.sections["b"].found == FOUND
    assert list(kept.measures()) == ["a.rate"]


@pytest.mark.parametrize("content", [None, '{"measures": []}', "{}"])
def test_results_of_another_form_are_begun_anew(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "results.json"
    if content is not None:
        file.write_text(content)
    assert read_results(file).sections == {}


def test_a_section_tells_where_and_beside_what_it_was_measured() -> None:
    section = observe(Workload("a", found), Options())
    assert section.machine["cores"] == str(os.cpu_count())
    assert section.machine["Python"] == sys.version.split()[0]
    assert 0 <= section.stolen <= 1
    assert 0 <= section.others <= 1
    assert section.took_s >= 0


def test_the_table_has_measures_as_columns_and_notes_below(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(FOUND, sys.stdout)
    head, line, note = capsys.readouterr().out.splitlines()
    assert line.split() == ["a.rate", "pay/s", "3", "1", "2", "3"]
    assert "median" in head
    assert note == "* one was left out"


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.1234, "0.123"), (7.06, "7.06"), (99.4, "99.4"), (123.4, "123"), (1234567.8, "1,234,568")]
)
def test_numbers_are_shown_with_the_digits_that_mean_something(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_file_with_holes_weighs_what_it_takes_up(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with (tmp_path / "folder" / "holes").open("wb") as file:
        file.truncate(100 * machine.MEGABYTE)
    assert machine.disk_mb(tmp_path) < 1
    (tmp_path / "full").write_bytes(os.urandom(2 * machine.MEGABYTE))
    assert 2 <= machine.disk_mb(tmp_path) < 3


def test_a_tree_has_the_children_of_children_and_each_has_memory() -> None:
    inner = "import sys; print('here', flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = machine.tree(process.pid)
        assert len(family) == 2
        assert family[0] == process.pid
        for each in family:
            assert 1 < machine.share_mb(each) <= machine.resident_mb(each) + 1
        assert machine.processor_s(process.pid) >= 0
        assert process.stdin is not None
        process.stdin.close()


def test_processor_time_of_children_is_not_taken_for_somebody_elses() -> None:
    watch = machine.Watch()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    own = machine._own_s() - watch._own
    assert own >= 0.5
