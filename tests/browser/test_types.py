"""The types that our scripts name in JSDoc, checked as strictly as the checker can, against the browsers of old phones (ES2022)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.browser.tools import HERE, STATIC, tool


def complaints(project: Path) -> list[str]:
    """What the checker says of a project, a line each, without the lines that explain one."""
    run = subprocess.run(
        [str(tool("typescript/bin/tsc")), "--project", str(project), "--pretty", "false"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    found = run.stdout.splitlines()
    assert bool(run.returncode) == bool(found), run.stdout + run.stderr
    return found


@pytest.mark.parametrize("project", ["tsconfig.json", "tsconfig.worker.json"])
def test_every_script_keeps_to_its_types(project: str) -> None:
    found = complaints(HERE / project)
    assert not found, "\n".join(found)


def test_every_script_says_that_it_is_checked() -> None:
    """So that an editor shows the same as this test."""
    silent = [path for path in scripts() if path.parent.name != "proof" and "// @ts-check" not in path.read_text("utf-8")[:200]]
    assert silent == []


def test_every_script_is_in_one_of_the_two_projects() -> None:
    listed: set[Path] = set()
    for project in ("tsconfig.json", "tsconfig.worker.json"):
        command = [str(tool("typescript/bin/tsc")), "--project", project, "--listFilesOnly"]
        run = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
        listed |= {Path(line) for line in run.stdout.splitlines()}
    assert set(scripts()) - listed == set()
    assert not {path for path in listed if path.is_relative_to(STATIC / "vendor")}


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("/** @param {number} amount */ export const doubled = (amount) => amount * 2; doubled('2');", "TS2345"),
        ("export const size = (text) => text.length;", "TS7006"),
        ("/** @type {string|null} */ let name = null; export const size = () => name.length;", "TS18047"),
        ("import { nothing } from '/static/vendor/preact.mjs'; nothing();", "TS2305"),
        ("export const sorted = [2, 1].toSorted();", "TS2550"),
        ("import { h, render } from '/static/vendor/preact.mjs'; render(h('p', null), document.body, 1, 2);", "TS2554"),
    ],
)
def test_the_check_finds(script: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.js").write_text(script)
    options = json.dumps({"extends": str(HERE / "tsconfig.json"), "include": [str(tmp_path / "*.js")], "exclude": []})
    (tmp_path / "tsconfig.json").write_text(options)
    assert any(complaint in line for line in complaints(tmp_path / "tsconfig.json")), complaints(tmp_path / "tsconfig.json")


def scripts() -> list[Path]:
    return [path for path in sorted(STATIC.rglob("*.js")) if "vendor" not in path.parts]
