"""Which card lies on a reader, and that it does: its message tells who it is, then its own key proves that it is here now. Pure.

Who has the keys may be far from the reader: `next_command` begins the same exchange anew with the answers that have come so far,
so that nothing has to be remembered between two of them but the challenge.
"""

from __future__ import annotations

from collections.abc import Sequence

from counterfoil.acceptance.cards.address import values
from counterfoil.acceptance.cards.keys import BatchKeys, KeyNumber
from counterfoil.acceptance.cards.ntag424 import ISO_OK, CardError, Exchange, Tap, authenticate, read_file, select


def identify(keys: BatchKeys, *, random: bytes) -> Exchange[Tap]:
    """The card that is here. `random`: 16 bytes that were never used before.

    CardError for everything that is no card of this batch, and for one that only repeats what such a card has said. That the
    counter is above every one before is the caller's to check.
    """
    yield from select()
    said = values((yield from read_file()))
    tap = keys.read(*said) if said else None
    if tap is None:
        raise CardError("read the message", ISO_OK)
    yield from authenticate(KeyNumber.PRESENCE, keys.of(KeyNumber.PRESENCE, tap.uid), random=random)
    return tap


def next_command(keys: BatchKeys, uid: bytes, *, random: bytes, answers: Sequence[bytes]) -> bytes | None:
    """What a reader gives the card next, to whose commands before it has answered this; None when the card has proved to be here.

    `random`: 16 bytes, made for this one proof. CardError for what the card of this UID does not answer.
    """
    exchange = authenticate(KeyNumber.PRESENCE, keys.of(KeyNumber.PRESENCE, uid), random=random)
    command = next(exchange)
    try:
        for answer in answers:
            command = exchange.send(answer)
    except StopIteration:
        return None
    return command
