"""A desk's keyboard on a real terminal: what is typed too early is shown to nobody, and answers nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

SCRIPT = """
import os
from counterfoil.commands.output import Output
from counterfoil.commands.terminal.keyboard import Keyboard

keyboard = Keyboard(Output(as_json=False))
with keyboard.silent():
    keyboard.say("nobody is asked")
    os.read({go}, 1)
    keyboard.say("amount=" + keyboard.ask("Amount: "))
    keyboard.say("nobody is asked again")
    os.read({go}, 1)
    keyboard.say("length=%d" % len(keyboard.ask_hidden("PIN: ")))
    keyboard.say("nobody is asked any more")
    os.read({go}, 1)
keyboard.say("end")
os.read({go}, 1)
"""


class Screen:
    """A person before a terminal."""

    def __init__(self, terminal: int, name: str, go: int, process: subprocess.Popen[bytes]) -> None:
        self.terminal = terminal
        self._name = name
        self.process = process
        self.seen = ""
        self._go = go

    def wait_for(self, text: str) -> None:
        while text not in self.seen:
            self.seen += os.read(self.terminal, 4096).decode()

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def type_too_early(self, text: str) -> None:
        """On return the terminal has it, and has shown it or not: keys take a moment on their way there."""
        self.type(text)
        terminal = os.open(self._name, os.O_RDWR | os.O_NOCTTY)
        try:
            while struct.unpack("i", fcntl.ioctl(terminal, termios.FIONREAD, bytes(4)))[0] < len(text):
                time.sleep(0.001)
        finally:
            os.close(terminal)

    def go_on(self) -> None:
        os.write(self._go, b"g")

    def shows_what_is_typed(self) -> bool:
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)


@pytest.fixture
def screen() -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    go_theirs, go_ours = os.pipe()
    with contextlib.ExitStack() as stack:
        for each in (ours, go_ours):
            stack.callback(os.close, each)
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT.format(go=go_theirs)], stdin=theirs, stdout=theirs, stderr=theirs, pass_fds=(go_theirs,),
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.close(go_theirs)
        stack.callback(process.wait)
        stack.callback(process.kill)
        yield Screen(ours, name, go_ours, process)


def test_what_is_typed_too_early_is_neither_shown_nor_an_answer(screen: Screen) -> None:
    screen.wait_for("nobody is asked")
    screen.type_too_early("7391\n")
    screen.go_on()
    screen.wait_for("Amount: ")
    screen.type("12.50\n")
    screen.wait_for("amount=12.50")
    screen.wait_for("nobody is asked again")
    screen.type_too_early("4682\n")
    screen.go_on()
    screen.wait_for("PIN: ")
    screen.type("90817263\n")
    screen.wait_for("length=8")
    screen.wait_for("nobody is asked any more")
    screen.type_too_early("5555\n")
    assert not screen.shows_what_is_typed()
    screen.go_on()
    screen.wait_for("end")
    assert "12.50\r\n" in screen.seen, "what is asked for is shown"
    assert not [digits for digits in ("7391", "4682", "90817263", "5555") if digits in screen.seen], screen.seen
    assert screen.shows_what_is_typed(), "afterwards the terminal is as it was"


def test_the_terminal_is_as_it_was_after_ctrl_c(screen: Screen) -> None:
    screen.wait_for("nobody is asked")
    assert not screen.shows_what_is_typed()
    os.kill(screen.process.pid, signal.SIGINT)
    screen.go_on()  # a signal that came just before it began to read interrupts nothing: it is heard when the read is over
    screen.wait_for("KeyboardInterrupt")
    assert screen.shows_what_is_typed()
