"""Runs the ```console blocks of a page as a reader would type them, and compares what the page says with what they print.

    ```console
    $ counterfoil check --data demo
    accounts   ... checked
    ...
    ```

* `$ ` begins a command, `> ` continues it. What follows, up to the next `$ `, is what it prints (both streams).
* `...` within a line stands for any text on that line; a line of only `...` stands for any number of lines.
* A command has to succeed. ```console exit=1 says that the block's last command ends with 1.
* `<!-- console` ... `-->` is run, too, but not shown to the reader: what the page takes for granted.
* All blocks of a page run in one shell, in an empty folder that is also HOME, with our commands first in PATH; CHECKOUT
  is the repository. A program left in the background has to write to a file; it is ended with the page.
"""

from __future__ import annotations

import os
import re
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT_S = 240.0
BLOCK = re.compile(r"^( *)(?:```console(?: exit=(\d+))?\n(.*?)^\1```$|<!-- console\n(.*?)^\1-->$)", re.DOTALL | re.MULTILINE)


class Command(msgspec.Struct, frozen=True):
    """A command of a page.

    Attributes:
        line: number of its line in the page, from 1.
        text: what is typed; several lines when continued.
        output: what the page says that it prints; None when the block is not shown.
        exit: the exit code that the page says.
    """

    line: int
    text: str
    output: str | None
    exit: int


def commands(markdown: str) -> list[Command]:
    """The commands of a page in their order. Raises ValueError for a block that does not begin with a command."""
    return [command for block in BLOCK.finditer(markdown) for command in _commands_of(block, markdown)]


def _commands_of(block: re.Match[str], markdown: str) -> Iterator[Command]:
    indentation, code, shown, hidden = block.groups()
    first = markdown.count("\n", 0, block.start()) + 2
    typed: list[tuple[int, str, list[str]]] = []
    for number, indented in enumerate((shown if hidden is None else hidden).splitlines(), first):
        line = indented.removeprefix(indentation)
        if line.startswith("$ "):
            typed.append((number, line[2:], []))
        elif not typed:
            raise ValueError(f"line {number}: a console block begins with a command, written after `$ `")
        elif line.startswith("> ") and not typed[-1][2]:
            typed[-1] = (typed[-1][0], f"{typed[-1][1]}\n{line[2:]}", [])
        else:
            typed[-1][2].append(line)
    for index, (number, text, output) in enumerate(typed):
        last = index == len(typed) - 1
        yield Command(number, text, "\n".join(output) if hidden is None else None, int(code or 0) if last else 0)


def matches(expected: str, printed: str) -> bool:
    """Whether `printed` is what the page says, with its `...`. Blank lines at the end and spaces at line ends do not count."""
    lines = [line.rstrip() for line in expected.rstrip().splitlines()]
    pattern = "".join(r"(?:.*\n)*" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n" for line in lines)
    text = "".join(line.rstrip() + "\n" for line in printed.rstrip().splitlines())
    return re.fullmatch(pattern, text) is not None


class Shell:
    """A bash in an empty folder, in which one command after the other is typed."""

    def __init__(self, folder: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COUNTERFOIL_", "PYTEST_"))}
        environment = inherited | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "CHECKOUT": str(ROOT),
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "100",
            "TZ": "UTC",
        }
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that what was left in the background can be ended with it
        )

    def run(self, text: str) -> tuple[int, str]:
        """(exit code, what it printed). Raises TimeoutError after COMMAND_TIMEOUT_S, EOFError when the shell itself ended."""
        assert self._process.stdin is not None
        mark = f"end-{secrets.token_hex(8)}"
        # Its own input is empty, or a command that reads would swallow the commands after it.
        self._process.stdin.write(f'{{ {text}\n}} < /dev/null\necho "{mark} $?"\n'.encode())
        self._process.stdin.flush()
        printed = self._read_until(f"{mark} ".encode())
        output, _, code = printed.partition(f"{mark} ".encode())
        return int(code), output.decode("utf-8", "replace")

    def _read_until(self, mark: bytes) -> bytes:
        assert self._process.stdout is not None
        read = b""
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not re.search(re.escape(mark) + rb"\d+\n", read):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"no end after {COMMAND_TIMEOUT_S:.0f} s, so far: {read.decode('utf-8', 'replace')}")
                chunk = os.read(self._process.stdout.fileno(), 65_536)
                if not chunk:
                    raise EOFError(read.decode("utf-8", "replace"))
                read += chunk
        return read

    def close(self) -> None:
        """End the shell, and everything that it left in the background."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                continue
            time.sleep(0.2)  # what was in the background gets a moment to end by itself
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()


def run_page(markdown: str, folder: Path) -> list[str]:
    """Run a page in `folder`. What went otherwise than the page says; it stops at the first, since the rest follows from it."""
    shell = Shell(folder)
    try:
        for command in commands(markdown):
            code, printed = shell.run(command.text)
            if code != command.exit:
                return [f"line {command.line}: $ {command.text}\nexit code {code}, the page says {command.exit}. It printed:\n{printed}"]
            if command.output is not None and not matches(command.output, printed):
                return [f"line {command.line}: $ {command.text}\nThe page says:\n{command.output}\nIt printed:\n{printed}"]
    finally:
        shell.close()
    return []
