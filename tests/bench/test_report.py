"""The page says plainly what was reached, what was not, and what was not measured; its plots are pictures."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import report
from bench.measure import Found, Measure, Note, Options, Results, Section, Series
from bench.plot import Axis, _apart, bars, lines, short

SVG = "{http://www.w3.org/2000/svg}"


def measure(name: str, median: float, unit: str = "pay/s", ratio: float | None = None, baseline: str | None = None) -> Measure:
    return Measure(name, unit, 5, median * 0.9, median, median * 1.1, baseline, ratio)


def section(*found: Found, quick: bool = False) -> Section:
    machine = {"cores": "2", "Python": "3.11.2"}
    return Section("2026-11-22T11:00:00Z", 120.0, machine, Options(quick=quick), 0.3, 0.01, 0.02, list(found))


def goal(words: str) -> report.Goal:
    return next(each for each in report.GOALS if each.words == words)


@pytest.mark.parametrize(
    ("words", "found", "verdict"),
    [
        ("payments, 2 workers, 256 connections", measure("workers.2.closed-256", 10_000), "met"),
        ("payments, 2 workers, 256 connections", measure("workers.2.closed-256", 9_999), "**below the goal**"),
        ("payments, 2 workers, 256 connections", measure("workers.2.closed-256", 4_999), "**not done**"),
        ("open loop of 2,000/s, 2 workers, p99", measure("workers.2.open-2000.p99", 10, "ms"), "met"),
        ("open loop of 2,000/s, 2 workers, p99", measure("workers.2.open-2000.p99", 40, "ms"), "**below the goal**"),
        ("open loop of 2,000/s, 2 workers, p99", measure("workers.2.open-2000.p99", 41, "ms"), "**not done**"),
        ("postgres engine, batches", measure("engines.batch.postgres", 19_999, "tr/s"), "**not met**"),
        ("postgres engine, batches", measure("engines.batch.sqlite", 90_000, "tr/s"), "not measured"),
        ("tigerbeetle engine beside the raw client", measure("engines.batch.tigerbeetle", 1, "tr/s", 0.6, "raw"), "met"),
        ("loss of rate at 10,000,000 accounts, sqlite", measure("growth.sqlite.10000000.rate", 1, "tr/s", 0.8, "beside"), "met"),
        ("loss of rate at 10,000,000 accounts, sqlite", measure("growth.sqlite.10000000.rate", 1, "tr/s", 0.7, "beside"), "**not met**"),
        ("loss of rate at 10,000,000 accounts, sqlite", measure("growth.sqlite.1000000.rate", 1, "tr/s", 0.9, "beside"), "not measured"),
    ],
)
def test_a_goal_is_met_or_it_is_said_that_it_is_not(words: str, found: Measure, verdict: str) -> None:
    assert goal(words).verdict({found.name: found}) == verdict


def test_the_quickest_variant_of_a_peer_counts_and_its_latency_is_no_rate() -> None:
    found = {
        each.name: each
        for each in (
            measure(report.OURS, 5_000),
            measure("peers.procedure.8", 900),
            measure("peers.procedure.256.hot", 1_250),
            measure("peers.procedure.256.p99", 9_000, "ms"),
        )
    }
    assert goal("payments beside a procedure in PL/pgSQL").value(found) == 4
    assert goal("payments beside a procedure in PL/pgSQL").verdict(found) == "**not met**"
    assert goal("payments beside plain django-hordak").value(found) is None


def results() -> Results:
    growth = [
        measure(f"growth.{engine}.{size}.{key}", value, unit)
        for engine in ("sqlite", "postgres")
        for size in (10_000, 100_000)
        for key, value, unit in (("rate", 5e4, "tr/s"), ("p99", 8.5, "ms"), ("memory", 60, "MB"), ("disk", 12, "MB"))
    ]
    soak = [Series("soak.p50", "ms", [(1, 2.0), (2, 2.5)]), Series("soak.p99", "ms", [(1, 9), (2, 30)])]
    return Results(
        {
            "growth": section(*growth),
            "peers": section(
                measure(report.OURS, 5_000), measure("peers.procedure.8", 900), Note("<hordak> was not measured: no network.")
            ),
            "soak": section(*soak, Series("soak.memory.house", "MB", [(1, 80), (2, 81)]), measure("soak.rate", 2_000)),
            "ledger.batch": section(measure("ledger.batch.raw", 1), quick=True),
        }
    )


def test_the_page_has_every_number_every_note_and_what_is_missing() -> None:
    text = report.page(results())
    for name in results().measures():
        assert f"`{name}`" in text
    assert "was not measured: no network." in text
    assert "host took 1.0%, other processes 2.0%" in text
    assert text.count("A quick run") == 1
    missing = text.partition("## Not measured yet")[2]
    assert "Engines, batches of 8,000" in missing
    assert "Growth" not in missing


def test_every_plot_is_a_picture_that_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "IMAGES", tmp_path / "images")
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "measured-gone.svg").write_text("an old one")
    report.write(results())
    shown = set(re.findall(r"\.\./images/([a-z0-9-]+\.svg)", (tmp_path / "page.md").read_text()))
    written = {file.name for file in (tmp_path / "images").iterdir()}
    assert shown == written
    assert len(written) == 7, written
    for name in written:
        root = ET.parse(tmp_path / "images" / name).getroot()
        assert root.tag == f"{SVG}svg"
        assert "nan" not in ET.tostring(root, "unicode")


def test_nothing_measured_is_a_page_that_says_so() -> None:
    text = report.page(Results({}))
    assert text.count("not measured |") == len(report.GOALS)
    assert "Nothing was measured yet." in text


def points(picture: str) -> list[list[tuple[float, float]]]:
    found = ET.fromstring(picture).iter(f"{SVG}polyline")
    return [[(float(a), float(b)) for a, b in (pair.split(",") for pair in each.attrib["points"].split())] for each in found]


def test_on_a_logarithmic_axis_ten_times_as_much_is_one_step() -> None:
    ((first, second, third),) = points(lines("t", {"a": [(10, 1), (100, 2), (1_000, 4)]}, x=Axis("x", logarithmic=True), y=Axis("y")))
    assert second[0] - first[0] == pytest.approx(third[0] - second[0])
    assert first[1] > second[1] > third[1], "more is higher up"
    assert (first[1] - second[1]) * 2 == pytest.approx(second[1] - third[1], abs=0.2)


@pytest.mark.parametrize("values", [[1.0], [0.5, 0.5], [1, 10**9], [0.0, 3.0]])
def test_any_values_stay_inside_the_picture(values: list[float]) -> None:
    (places,) = points(lines("t", {"a": list(enumerate(values, 1))}, x=Axis("x"), y=Axis("y", logarithmic=min(values) > 0)))
    assert all(0 < x < 640 and 0 < y < 360 for x, y in places)


def test_labels_do_not_stand_on_each_other() -> None:
    places = sorted(_apart({"a": 100.0, "b": 101.0, "c": 90.0, "d": 311.0, "e": 312.0}).values())
    assert all(after - before >= 16 for before, after in pairwise(places))
    assert places[-1] <= 312


def test_a_bar_is_as_long_as_its_median_and_its_range_lies_on_it() -> None:
    root = ET.fromstring(bars("t", {"a & b": (90, 100, 120), "c": (180, 200, 200)}, words="w"))
    widths = [float(each.attrib["width"]) for each in root.iter(f"{SVG}rect") if "x" in each.attrib]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    ranges = [each for each in root.iter(f"{SVG}line") if "stroke-width" in each.attrib]
    assert float(ranges[0].attrib["x1"]) < 230 + widths[0] < float(ranges[0].attrib["x2"])


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (0.5, "0.5"), (2_000, "2k"), (10**7, "10M"), (2.5e9, "2.5G")])
def test_ticks_are_short(value: float, shown: str) -> None:
    assert short(value) == shown
