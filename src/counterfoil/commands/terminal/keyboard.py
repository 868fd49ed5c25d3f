"""Clerk and payer at this program's own input and output.

What is typed while nobody is asked is not shown, and is no answer to what is asked next: a PIN that comes before its prompt
stands neither on the screen nor in the amount of the next sale.
"""

from __future__ import annotations

import contextlib
import getpass
import sys
import termios
from collections.abc import Iterator

from counterfoil.commands.output import Output

_ECHO_AT = 3
"""Where the local modes stand in what termios tells of a terminal."""


class Keyboard:
    """A `desk.Console`. Where the input is no terminal, whoever writes it sees to what is shown."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._terminal = sys.stdin.fileno() if sys.stdin.isatty() else None

    def say(self, text: str) -> None:
        self._output.line(text)

    def ask(self, prompt: str) -> str:
        with self._echo(on=True):
            return input(prompt)

    def ask_hidden(self, prompt: str) -> str:
        # what comes from a pipe is shown nowhere; getpass would complain about it
        return input(prompt) if self._terminal is None else getpass.getpass(prompt)

    def silent(self) -> contextlib.AbstractContextManager[None]:
        """Shows nothing that is typed but what `ask` asks for. Afterwards the terminal is as it was."""
        return self._echo(on=False)

    @contextlib.contextmanager
    def _echo(self, *, on: bool) -> Iterator[None]:
        """What was typed before, and after, is forgotten."""
        if self._terminal is None:
            yield
            return
        before = termios.tcgetattr(self._terminal)
        changed = [*before]
        changed[_ECHO_AT] = before[_ECHO_AT] | termios.ECHO if on else before[_ECHO_AT] & ~termios.ECHO
        try:
            termios.tcsetattr(self._terminal, termios.TCSAFLUSH, changed)
            yield
        finally:
            termios.tcsetattr(self._terminal, termios.TCSAFLUSH, before)
