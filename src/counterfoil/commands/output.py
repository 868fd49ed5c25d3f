"""What commands print: answers for people or, with --json, one JSON object; progress and warnings on stderr.

Text that comes from others (names, memos) is made safe first: control characters and characters that turn the writing
direction are taken out, and a right-to-left name is isolated, so that it cannot rearrange the line it stands in.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TextIO

DONE, REFUSED, WRONG_USE, UNAVAILABLE = 0, 1, 2, 3
"""Exit codes."""

_ISOLATE, _POP = "\u2068", "\u2069"
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Answer(NamedTuple):
    """What a command found out.

    Attributes:
        data: the object that --json prints. Amounts are minor units.
        lines: the same for a person.
        exit_code: 0 unless the answer is a no.
    """

    data: dict[str, Any]
    lines: Sequence[str]
    exit_code: int = DONE


class Failure(Exception):
    """Why a command did not do what was asked. Fields as in the API's problem documents.

    Attributes:
        detail: one sentence for a person.
        retry: what to do next, a `errors.Retry`.
        exit_code: REFUSED, WRONG_USE or UNAVAILABLE.
    """

    def __init__(self, detail: str, *, code: str, retry: str, facts: dict[str, Any] | None = None, exit_code: int = REFUSED) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.retry = retry
        self.facts = facts or {}
        self.exit_code = exit_code


class WrongUse(Failure):
    """The command line is wrong: exit code 2. Says what would be right."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, code="wrong_use", retry="change", exit_code=WRONG_USE)


class Output:
    """Where commands print. `progress` None: only when stderr is a terminal."""

    def __init__(self, *, as_json: bool, progress: bool | None = None, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self._stdout, self._stderr = stdout or sys.stdout, stderr or sys.stderr
        self.as_json = as_json
        self._progress = self._stderr.isatty() if progress is None else progress
        self._progress_open = False

    def answer(self, answer: Answer) -> None:
        """The answer on stdout, in one piece."""
        self._end_progress()
        print(json.dumps(answer.data, ensure_ascii=False) if self.as_json else "\n".join(answer.lines), file=self._stdout, flush=True)

    def line(self, text: str = "") -> None:
        """One line for a person while the command goes on: on stderr with --json, so that stdout stays one object."""
        self._end_progress()
        print(text, file=self._stderr if self.as_json else self._stdout, flush=True)

    def note(self, text: str) -> None:
        """Something to know that is not the answer."""
        self._end_progress()
        print(f"counterfoil: {text}", file=self._stderr, flush=True)

    def failure(self, failure: Failure) -> None:
        """Why not, for a person on stderr; with --json as an object on stdout, too."""
        self.note(plain(failure.detail))
        if self.as_json:
            problem = {"code": failure.code, "detail": failure.detail, "retry": failure.retry, "facts": failure.facts}
            print(json.dumps(problem, ensure_ascii=False, default=str), file=self._stdout, flush=True)

    def progress(self, stage: str, done: int, total: int) -> None:
        """How far long work is; writes over itself on a terminal."""
        if not self._progress:
            return
        share = f"{100 * done // total} %" if total else f"{done}"
        if self._stderr.isatty():
            print(f"\r\033[K{stage}: {share}", end="", file=self._stderr, flush=True)
            self._progress_open = True
        else:
            print(f"{stage}: {share}", file=self._stderr, flush=True)

    def _end_progress(self) -> None:
        if self._progress_open:
            print(file=self._stderr)
            self._progress_open = False


def plain(text: str) -> str:
    """`text` of others, safe to print: no control or direction characters, right-to-left text isolated."""
    kept = "".join(" " if c in "\n\t" else c for c in text if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in _DIRECTION))
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in kept):
        return f"{_ISOLATE}{kept}{_POP}"
    return kept


def width(text: str) -> int:
    """Columns that `text` takes on a terminal: Korean letters take two, marks and isolates none."""
    total = 0
    for character in text:
        if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
            continue
        total += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return total


def pairs(rows: Iterable[tuple[str, object]]) -> list[str]:
    """One "label  value" a line, values below each other."""
    found = [(label, str(value)) for label, value in rows]
    wide = max((width(label) for label, _ in found), default=0)
    return [f"{label}{' ' * (wide - width(label))}  {value}" for label, value in found]


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> list[str]:
    """Columns with their headers; those named in `right` are aligned to the right, as numbers are."""
    cells = [list(headers), *([str(cell) for cell in row] for row in rows)]
    assert all(len(row) == len(headers) for row in cells), headers
    widths = [max(width(row[column]) for row in cells) for column in range(len(headers))]
    lines = []
    for row in cells:
        parts = []
        for column, cell in enumerate(row):
            space = " " * (widths[column] - width(cell))
            parts.append(space + cell if headers[column] in right else cell + space)
        lines.append("  ".join(parts).rstrip())
    return lines
