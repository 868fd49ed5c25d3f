"""Which card lies on a reader, and that it does: its message tells who it is, then its own key proves that it is here now. Pure."""

from __future__ import annotations

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
