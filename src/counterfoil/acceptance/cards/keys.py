"""The keys of a batch of cards. All are made from one secret of 16 bytes; each card has its own, but for the one that tells which card it is. Pure.

    0 change     changes settings and keys; only whoever makes cards has it
    1 presence   proves that the card is here now
    2 meta       encrypts UID and counter; the batch's, for the UID is not known before it was used
    3 file       the MAC of the dynamic message

A card's own keys are AES-128 diversified: AES-CMAC(secret, 0x01 || UID || application || "counterfoil" || key number). Source: NXP AN10922 §2.2.
"""

from __future__ import annotations

import enum

import msgspec
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC

from counterfoil.acceptance.cards.ntag424 import APPLICATION, KEY_SIZE, UID_SIZE, Tap, read_message

_SYSTEM = b"counterfoil"


class KeyNumber(enum.IntEnum):
    """What a card keeps each key for."""

    CHANGE = 0
    PRESENCE = 1
    META = 2
    FILE = 3


class BatchKeys(msgspec.Struct, frozen=True):
    """The secret of a batch, and what is made from it. It shows in no text of this object."""

    secret: bytes

    def __post_init__(self) -> None:
        assert len(self.secret) == KEY_SIZE, len(self.secret)

    def __repr__(self) -> str:
        return "BatchKeys()"

    def of(self, number: KeyNumber, uid: bytes) -> bytes:
        """A card's key by its number. The meta key is the same for every card."""
        assert len(uid) == UID_SIZE, len(uid)
        who = bytes(UID_SIZE) if number is KeyNumber.META else uid
        return diversified(self.secret, who + APPLICATION + _SYSTEM + bytes((number,)))

    def read(self, e: str, c: str) -> Tap | None:
        """As `ntag424.read_message`, for a card of this batch."""
        meta_key = self.of(KeyNumber.META, bytes(UID_SIZE))
        return read_message(e, c, meta_key=meta_key, file_key_of=lambda uid: self.of(KeyNumber.FILE, uid))


def diversified(secret: bytes, who: bytes) -> bytes:
    """AN10922's AES-128 key for `who`, 16 to 31 bytes: shorter ones need its own padding, and are not ours."""
    assert 16 <= len(who) <= 31, len(who)
    mac = CMAC(algorithms.AES(secret))
    mac.update(b"\x01" + who)
    return mac.finalize()
