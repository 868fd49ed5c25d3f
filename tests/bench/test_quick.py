"""`python -m bench --quick` works: every workload runs from its beginning to its end, small."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import report
from bench.measure import Measure, Options, read_results

QUICK = ("engines.batch", "growth", "soak", "taps", "ussd")
"""Between them they start every kind of process, load and proof; the others, which take longer, are run by whoever measures."""


@pytest.mark.slow(minutes=0.4)
@pytest.mark.parametrize("name", QUICK)
def test_a_workload_runs_quickly(name: str) -> None:
    (workload,) = (each for each in bench.WORKLOADS if each.name == name)
    found = list(workload.run(Options(quick=True, offline=True)))
    measured = [each for each in found if isinstance(each, Measure)]
    assert measured
    assert all(each.name.startswith(f"{name}.") for each in measured)
    assert all(0 <= each.min <= each.median <= each.max for each in measured)
    assert len({each.name for each in measured}) == len(measured)


def test_a_quick_run_is_kept_apart_and_never_written_into_the_docs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK_RESULTS", tmp_path / "quick.json")
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "latest.json")
    assert bench.main(["--quick", "--only", "ledger.history"]) == 0
    assert "ledger.history.balance-at" in capsys.readouterr().out
    assert list(read_results(tmp_path / "quick.json").sections) == ["ledger.history"]
    assert not (tmp_path / "latest.json").exists()
    with pytest.raises(SystemExit):
        bench.main(["--quick", "--write-docs"])
    assert "no measurement" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--only", "nonsense"], ["--report"]])
def test_what_would_do_nothing_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(arguments)


def test_every_workload_has_a_name_of_its_own_and_a_title_on_the_page() -> None:
    names = [workload.name for workload in bench.WORKLOADS]
    assert len(set(names)) == len(names)
    assert set(names) == set(report.TITLES)
