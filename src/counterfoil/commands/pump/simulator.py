"""A pump that speaks the protocol, with a driver at its nozzle: what they do is typed, or called.

Its totaliser is on the disk before a drop is told, and outlives everything. What it was allowed is forgotten with the power.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.commands import private_file
from counterfoil.commands.output import WrongUse
from counterfoil.commands.pump.protocol import LINE_SIZE_MAX, Question, State, Status, Trouble, Wanted

PRODUCTS: Final = ("Petrol", "Diesel")


class Pump:
    """A pump. `file` keeps its totaliser."""

    def __init__(self, file: Path, clock: Clock, products: Sequence[str] = PRODUCTS) -> None:
        self._file = file
        self._clock = clock
        self._products = products
        self._lock = threading.Lock()
        self.totaliser = _read(file)
        self.shown = ""
        self._forget()

    def _forget(self) -> None:
        self.state: State = "idle"
        self.fill: str | None = None
        self.millilitres = 0
        self.wanted: Wanted | None = None
        self._limit = 0
        self._until = 0

    # The driver

    def choose(self, product: str, amount: int | None = None) -> None:
        """The driver stands there and presses a button. WrongUse for what it does not give, and while it serves somebody."""
        with self._lock:
            if product not in self._products:
                raise WrongUse(f"there is no {product} here; there are: {', '.join(self._products)}")
            if self.state in ("authorised", "dispensing"):
                raise WrongUse("it serves somebody")
            self.wanted = Wanted(product, amount)

    def walk_away(self) -> None:
        """The driver wants nothing any more."""
        with self._lock:
            self.wanted, self.shown = None, ""
            if self.state == "authorised":
                self.state = "done"

    def lift(self) -> bool:
        """The nozzle is lifted; whether fuel may run."""
        with self._lock:
            self._look_at_clock()
            if self.state == "authorised":
                self.state = "dispensing"
            return self.state == "dispensing"

    def run(self, millilitres: int) -> int:
        """So much runs, or as much as is allowed; returns how much."""
        with self._lock:
            if self.state != "dispensing":
                return 0
            ran = min(millilitres, self._limit - self.millilitres)
            private_file.write(self._file, str(self.totaliser + ran).encode() + b"\n")
            self.totaliser, self.millilitres = self.totaliser + ran, self.millilitres + ran
            return ran

    def hang_up(self) -> None:
        """The nozzle is back."""
        with self._lock:
            if self.state == "dispensing":
                self.state = "done"

    def lose_power(self) -> None:
        """All that it was allowed is forgotten; the totaliser stands."""
        with self._lock:
            self._forget()
            self.totaliser = _read(self._file)

    # The controller

    def answer(self, question: Question) -> Status:
        with self._lock:
            self._look_at_clock()
            trouble: Trouble | None = None
            if question.do in ("show", "dismiss"):
                self.shown = question.text
                self.wanted = self.wanted if question.do == "show" else None
            elif question.do == "authorise":
                trouble = self._authorise(question)
            elif question.do == "stop" and question.fill == self.fill and self.state in ("authorised", "dispensing"):
                self.state = "done"
            return self.status(question.seq, trouble)

    def status(self, seq: int, trouble: Trouble | None = None) -> Status:
        return Status(
            seq=seq, state=self.state, totaliser=self.totaliser, fill=self.fill, millilitres=self.millilitres, wanted=self.wanted,
            trouble=trouble,
        )  # fmt: skip

    def _authorise(self, question: Question) -> Trouble | None:
        if question.fill == self.fill:
            return None  # a repeat
        if self.state in ("authorised", "dispensing"):
            return "busy"
        if question.product not in self._products:
            return "unknown_product"
        if not question.fill or question.millilitres_max <= 0 or question.seconds <= 0:
            return "malformed"
        self.state, self.fill, self.millilitres, self.wanted, self.shown = "authorised", question.fill, 0, None, ""
        self._limit, self._until = question.millilitres_max, self._clock.monotonic_ns() + question.seconds * NANOSECONDS
        return None

    def _look_at_clock(self) -> None:
        if self.state in ("authorised", "dispensing") and self._clock.monotonic_ns() >= self._until:
            self.state = "done"


class Serving(socketserver.ThreadingTCPServer):
    """A pump that is served on this machine, at `port` (0 for a free one)."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, pump: Pump, port: int) -> None:
        self.pump = pump
        super().__init__(("127.0.0.1", port), _Answers)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Answers(socketserver.StreamRequestHandler):
    server: Serving

    def handle(self) -> None:
        while line := self.rfile.readline(LINE_SIZE_MAX + 1):
            try:
                if not line.endswith(b"\n"):
                    return
                status = self.server.pump.answer(msgspec.json.decode(line, type=Question))
            except msgspec.MsgspecError:
                status = self.server.pump.status(0, "malformed")
            self.wfile.write(msgspec.json.encode(status) + b"\n")


def _read(file: Path) -> int:
    try:
        return int(file.read_text("ascii"))
    except FileNotFoundError:
        return 0
    except ValueError:
        raise WrongUse(f"{file} is no totaliser of a pump") from None
