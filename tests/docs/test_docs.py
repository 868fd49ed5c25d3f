"""What the docs say happens, happens: every command of a tutorial or how-to is typed, and its output compared."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path

import pytest

from tests.docs import console
from tests.docs.console import Shell, commands, matches, run_page

DOCS = console.ROOT / "docs"
PAGES = [page for shelf in ("tutorial", "how-to") for page in sorted((DOCS / shelf).glob("*.md")) if commands(page.read_text("utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_is_true(page: Path, tmp_path: Path) -> None:
    problems = run_page(page.read_text("utf-8"), tmp_path)
    assert not problems, f"{page.relative_to(console.ROOT)} {problems[0]}"


def test_there_are_pages_to_run() -> None:
    assert len(PAGES) > 0


def page(text: str) -> str:
    return textwrap.dedent(text)


def test_a_page_runs_in_one_shell_from_top_to_bottom(tmp_path: Path) -> None:
    text = page("""
        <!-- console
        $ name=Amina
        -->
        ```console
        $ mkdir here && cd here
        $ echo "$name" > who
        $ cat who && basename "$PWD"
        Amina
        here
        $ printf 'a\\nb' |
        > sort -r
        b
        a
        ```
        1. A block in a list is run, too:

           ```console exit=3
           $ echo fine
           fine
           $ echo wrong >&2; (exit 3)
           wrong
           ```
        """)
    assert len(commands(text)) == 7
    assert run_page(text, tmp_path) == []


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("$ echo one\ntwo", "It printed:\none"),
        ("$ echo one", "It printed:\none"),
        ("$ true\none", "The page says:\none"),
        ("$ false", "exit code 1, the page says 0"),
        ("$ cat", ""),
    ],
)
def test_a_page_that_is_not_true_is_found(tmp_path: Path, block: str, problem: str) -> None:
    found = run_page(f"Text\n\n```console\n{block}\n```\n", tmp_path)
    assert [problem in text and text.startswith("line 4: ") for text in found] == ([True] if problem else [])


def test_a_block_has_to_begin_with_a_command() -> None:
    with pytest.raises(ValueError, match="line 2"):
        commands("```console\nmake test\n```\n")


def test_other_blocks_are_not_run() -> None:
    assert commands("```sh\nrm -rf everything\n```\n\n```text\n$ no\n```\n") == []


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("one", "one\n", True),
        ("one", "one  \n\n", True),
        ("one", "one\ntwo\n", False),
        ("a ... c", "a b c\n", True),
        ("a ... c", "a b\nc\n", False),
        ("a\n...\nd", "a\nb\nc\nd\n", True),
        ("a\n...\nd", "a\nd\n", True),
        ("a\n...", "a\nb\n", True),
        ("...", "", True),
        ("", "", True),
        ("", "a\n", False),
        ("1.5 (x) [y]", "1.5 (x) [y]\n", True),
        ("1.5", "115\n", False),
    ],
)
def test_three_dots_stand_for_what_differs_each_time(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same


def test_a_command_that_hangs_is_ended_and_so_is_what_runs_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "COMMAND_TIMEOUT_S", 0.5)
    shell = Shell(tmp_path)
    try:
        shell.run("(trap '' TERM; sleep 300) > log 2>&1 & echo $! > background")
        with pytest.raises(TimeoutError):
            shell.run("sleep 300")
    finally:
        shell.close()
    background = int((tmp_path / "background").read_text())
    for _ in range(50):
        if not running(background):
            break
        time.sleep(0.1)
    assert not running(background)


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not (status.is_file() and status.read_text().rpartition(") ")[2].startswith("Z"))  # ended, and not yet collected


def test_the_shell_has_no_settings_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFOIL_PORT", "1")
    shell = Shell(tmp_path)
    try:
        code, printed = shell.run('echo "${COUNTERFOIL_PORT-none} $HOME"')
    finally:
        shell.close()
    assert (code, printed) == (0, f"none {tmp_path}\n")
