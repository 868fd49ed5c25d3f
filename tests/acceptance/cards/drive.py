"""Carries an exchange's bytes to whatever answers them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from counterfoil.acceptance.cards.ntag424 import Exchange

Found = TypeVar("Found")


def carry(exchange: Exchange[Found], transmit: Callable[[bytes], bytes]) -> Found:
    """Drives it to its end with a card."""
    answer = None
    try:
        while True:
            command = next(exchange) if answer is None else exchange.send(answer)
            answer = transmit(command)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]


def drive(exchange: Exchange[Found], answers: Callable[[], bytes]) -> Found:
    """Drives it with answers that heed no command."""
    return carry(exchange, lambda _command: answers())


def script(exchange: Exchange[Found], lines: Sequence[tuple[bytes, bytes]]) -> Found:
    """Drives it along a written conversation: each command is as it is written."""
    rest = list(lines)

    def answer(command: bytes) -> bytes:
        expected, answered = rest.pop(0)
        assert command == expected, (command.hex(), expected.hex())
        return answered

    found = carry(exchange, answer)
    assert not rest
    return found
