"""Readers of cards, through the PC/SC service that the machine has (pcscd): eight functions of its library, and no more.

The library for Python is not built for Linux by those who make it, so that every desk would need a compiler. Source of the
interface: PC/SC Workgroup, part 5; pcsc-lite 1.9, winscard.h and pcsclite.h.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from ctypes import byref, c_char_p, c_long, c_ubyte, c_ulong, c_void_p, create_string_buffer
from typing import Final

LIBRARY: Final = "libpcsclite.so.1"
ANSWER_SIZE_MAX: Final = 258
"""Bytes of an answer to a short command: 256 and the status word."""
STATUS_SIZE: Final = 2

_SYSTEM, _EXCLUSIVE, _T0_OR_T1, _RESET = 2, 1, 3, 1
_UNAWARE, _PRESENT, _EMPTY, _MUTE = 0x0000, 0x0020, 0x0010, 0x0200
_OK, _NO_SERVICE, _TIMEOUT, _NO_READERS = 0, 0x8010001D, 0x8010000A, 0x8010002E


class ReaderError(Exception):
    """The reader, its service or the card in it does not answer. Whether the card did what it was last asked is not known."""


class NoReader(ReaderError):
    """There is no reader that could be used: none is plugged in, none has this name, or there are several."""


class NoCard(ReaderError):
    """No card was put on the reader, or none was taken away, within the time."""


class _State(ctypes.Structure):
    _fields_ = [
        ("reader", c_char_p),
        ("user", c_void_p),
        ("known", c_ulong),
        ("found", c_ulong),
        ("atr_size", c_ulong),
        ("atr", c_ubyte * 33),
    ]


class _Protocol(ctypes.Structure):
    _fields_ = [("protocol", c_ulong), ("size", c_ulong)]


class MuteCard(NoCard):
    """Something lies on the reader and gives no answer: two cards at once, or no card that speaks to readers."""


class Readers:
    """The service, once it was reached. Use it in a `with` block."""

    def __init__(self) -> None:
        """NoReader where the machine has no such service, or it does not run."""
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise NoReader(f"{LIBRARY} is not installed: on Debian, install pcscd") from None
        self._library.pcsc_stringify_error.restype = c_char_p
        self._library.pcsc_stringify_error.argtypes = [c_long]
        self._context = c_long()
        self._check(self._library.SCardEstablishContext(c_ulong(_SYSTEM), None, None, byref(self._context)), "reach the service")

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.SCardReleaseContext(self._context)

    def names(self) -> list[str]:
        """The readers that are plugged in, as the service calls them."""
        size = c_ulong()
        status = self._library.SCardListReaders(self._context, None, None, byref(size))
        if status & 0xFFFFFFFF == _NO_READERS:
            return []
        self._check(status, "list the readers")
        names = create_string_buffer(size.value)
        self._check(self._library.SCardListReaders(self._context, None, names, byref(size)), "list the readers")
        return [name.decode(errors="replace") for name in names.raw[: size.value].split(b"\0") if name]

    def chosen(self, name: str | None) -> str:
        """The reader whose name begins so; without, the only one. NoReader otherwise, naming those that there are."""
        names = self.names()
        fitting = [each for each in names if name is None or each.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        there = "there is none" if not names else "there are: " + ", ".join(names)
        raise NoReader(f"{'which reader?' if name is None else f'which reader is {name}?'} {there}")

    def wait(self, reader: str, *, present: bool, timeout_s: float) -> None:
        """Returns when a card lies on the reader (`present`), or none does. NoCard after `timeout_s`; MuteCard if it gives no answer."""
        state = _State(reader=reader.encode(), known=_UNAWARE)
        while True:
            status = self._library.SCardGetStatusChange(self._context, c_ulong(int(timeout_s * 1_000)), byref(state), c_ulong(1))
            if status & 0xFFFFFFFF == _TIMEOUT:
                if present and state.known & _MUTE:
                    raise MuteCard("what lies on the reader gives no answer")
                raise NoCard("no card was put on the reader" if present else "the card still lies on the reader")
            self._check(status, "wait for a card")
            found = state.found
            if found & (_PRESENT if present else _EMPTY) and not (present and found & _MUTE):
                return
            state.known = found

    @contextlib.contextmanager
    def card(self, reader: str) -> Iterator[Card]:
        """The card on the reader, for us alone; reset when the block ends. ReaderError when there is none."""
        handle, protocol = c_long(), c_ulong()
        asked = c_ulong(_EXCLUSIVE), c_ulong(_T0_OR_T1)
        status = self._library.SCardConnect(self._context, reader.encode(), *asked, byref(handle), byref(protocol))
        self._check(status, "speak to the card")
        try:
            yield Card(self, self._library, handle, protocol.value)
        finally:
            self._library.SCardDisconnect(handle, c_ulong(_RESET))

    def _check(self, status: int, deed: str) -> None:
        if status == _OK:
            return
        words = self._library.pcsc_stringify_error(c_long(status)).decode(errors="replace").rstrip(".")
        if status & 0xFFFFFFFF in (_NO_SERVICE, _NO_READERS):
            raise NoReader(f"the card service pcscd does not answer ({words}): is it running, and is a reader plugged in?")
        raise ReaderError(f"cannot {deed}: {words}")


class Card:
    """A card that we speak to."""

    def __init__(self, readers: Readers, library: ctypes.CDLL, handle: c_long, protocol: int) -> None:
        self._readers = readers
        self._library = library
        self._handle = handle
        self._protocol = protocol

    def transmit(self, command: bytes) -> bytes:
        """The card's answer with its status word. ReaderError, and not known whether it did it, when it was taken away."""
        kind = _Protocol(self._protocol, ctypes.sizeof(_Protocol))
        answer, size = create_string_buffer(ANSWER_SIZE_MAX), c_ulong(ANSWER_SIZE_MAX)
        status = self._library.SCardTransmit(self._handle, byref(kind), command, c_ulong(len(command)), None, answer, byref(size))
        self._readers._check(status, "hear the card")  # noqa: SLF001 - one library, one way to say what went wrong
        if size.value < STATUS_SIZE:  # what a reader says when the card went away in the middle
            raise ReaderError("the card gave no answer")
        return answer.raw[: size.value]
