"""What was found, in words: proved, refuted, or not checked. The only output of every command."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


class Refuted(Exception):
    """What was shown is false, or has not the form that it must have."""


class Unchecked(Exception):
    """It could not be checked: something is missing or cannot be read."""


@dataclass
class Report:
    """`fields` are authenticated: read them from here, never from the input. `noticed` changes no verdict, but is worth reading."""

    proved: list[str] = field(default_factory=list)
    refuted: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    noticed: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 proven, 1 refuted, 2 could not be checked."""
        return 1 if self.refuted else 2 if self.unchecked or not self.proved else 0

    def text(self) -> str:
        verdict = ("PROVEN", "REFUTED", "COULD NOT BE CHECKED")[self.exit_code]
        parts = [("proved", self.proved), ("FALSE", self.refuted), ("not checked", self.unchecked), ("note", self.noticed)]
        lines = [f"  {name:22} {value}" for name, value in self.fields.items()] if not self.refuted else []
        return "\n".join([verdict, *lines, *(f"{what}: {sentence}" for what, sentences in parts for sentence in sentences)])

    def json(self) -> str:
        verdict = ("proven", "refuted", "could not be checked")[self.exit_code]
        content = {"verdict": verdict, "exit_code": self.exit_code, "format": "counterfoil/report/v1"} | self.__dict__
        return json.dumps(content | {"fields": {} if self.refuted else self.fields}, indent=1, ensure_ascii=False)


def when(seconds: float) -> str:
    """A time as people read it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if 0 <= seconds < 2**37 else f"{seconds:.0f} s"
