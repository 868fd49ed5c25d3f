"""What a controller and a pump say to each other (docs/reference/pump.md): one question, one answer, a line of JSON each.

The controller asks, the pump answers with all that it knows; it says nothing by itself. Every question may come again: it
changes nothing more. So a line that is lost is asked again, and who begins anew asks how it stands.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final, Literal, TypeAlias

import msgspec

from counterfoil.commands.output import WrongUse
from counterfoil.commands.pairing import is_here
from counterfoil.errors import Unavailable

LINE_SIZE_MAX: Final = 4_096
"""Bytes of a line, its end included."""
TIMEOUT_S: Final = 3.0

State: TypeAlias = Literal["idle", "authorised", "dispensing", "done"]
Do: TypeAlias = Literal["status", "show", "dismiss", "authorise", "stop"]
Trouble: TypeAlias = Literal["busy", "unknown_product", "malformed"]


class Wanted(msgspec.Struct, frozen=True):
    """What the driver has chosen. `amount` in minor units; None for a full tank."""

    product: str
    amount: int | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All that a pump knows. Volumes in millilitres.

    Attributes:
        seq: of the question that this answers.
        totaliser: all that it ever gave.
        fill: what it was last allowed, as UUID text; None when it remembers none.
        millilitres: what it gave for that fill so far.
        wanted: what a driver has chosen who waits at it; None when nobody does.
        trouble: why it does not do what was asked; None when it has, or had before.
    """

    seq: int
    state: State
    totaliser: int
    fill: str | None = None
    millilitres: int = 0
    wanted: Wanted | None = None
    trouble: Trouble | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a pump.

    Attributes:
        do: `status`: nothing but the answer. `show`: `text` on its display, for whoever has chosen. `dismiss`: the same, and the
            choice is forgotten. `authorise`: `product` may run for `fill`, at `price` (minor units per litre), up to
            `millilitres_max`, for `seconds`. `stop`: `fill` is over.
    """

    seq: int
    do: Do
    text: str = ""
    fill: str = ""
    product: str = ""
    price: int = 0
    millilitres_max: int = 0
    seconds: int = 0


class Line:
    """The controller's line to the pump at `address`, such as "127.0.0.1:9100"."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not is_here(host.strip("[]")) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise WrongUse(f"{address} is not a pump on this machine, such as 127.0.0.1:9100: the line has no lock of its own")
        self._address = (host.strip("[]"), int(port))
        self._seq = 0
        self._socket: socket.socket | None = None
        self._rest = b""

    def ask(self, do: Do, **values: Any) -> Status:
        """What the pump answers. Unavailable when it does not: whether it has heard is not known, so ask again."""
        self._seq += 1
        question = Question(seq=self._seq, do=do, **values)
        try:
            return self._exchange(msgspec.json.encode(question) + b"\n")
        except (OSError, msgspec.MsgspecError) as error:
            self.close()
            raise Unavailable(f"the pump does not answer: {str(error) or type(error).__name__}") from None

    def close(self) -> None:
        """Hangs up. The next question calls again."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket, self._rest = None, b""

    def _exchange(self, line: bytes) -> Status:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=TIMEOUT_S)
        self._socket.sendall(line)
        while True:
            status = msgspec.json.decode(self._next_line(self._socket), type=Status)
            if status.seq == self._seq:  # else it answers a question of which the answer was given up
                return status

    def _next_line(self, line: socket.socket) -> bytes:
        while b"\n" not in self._rest:
            if len(self._rest) > LINE_SIZE_MAX:
                raise OSError("it does not end its line")
            part = line.recv(LINE_SIZE_MAX)
            if not part:
                raise OSError("it has hung up")
            self._rest += part
        found, _, self._rest = self._rest.partition(b"\n")
        return found
