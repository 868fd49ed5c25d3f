"""128-bit, time-ordered identifiers.

An id is an `int` inside, 16 big-endian bytes in a table or an order, and UUID text outside. The party that wants
something makes the id (UUIDv7, or a ULID's 16 bytes), keeps it, then sends it: a repeat with the same id can never
happen twice. Time order matters for speed: random ids cost twice the CPU and fifteen times the bytes written.
"""

from __future__ import annotations

import hashlib
import uuid

from counterfoil.clock import Clock
from counterfoil.errors import Malformed

ID_MAX = 2**128 - 2
"""The largest id; 0 and 2^128-1 are reserved by the ledger."""


def new_id(clock: Clock) -> int:
    """A new UUIDv7 as an integer: 48 bits of milliseconds, then 74 random bits. Source: RFC 9562 §5.7."""
    milliseconds = clock.now_ns() // 1_000_000
    random = int.from_bytes(clock.random_bytes(10))
    return (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (random >> 66 & 0xFFF) << 64 | 0b10 << 62 | (random & (1 << 62) - 1)


def leg_id(payment_id: int, leg: int) -> int:
    """The id of the `leg`-th (1, 2, ...) further transfer of a payment, as a function of the payment's id.

    Keeps the payment's 48 time bits, so that ids stay in time order; the other 80 bits are a hash, so that nobody can
    choose a payment id that collides with another payment's leg.
    """
    assert leg > 0, leg
    digest = hashlib.sha256(b"counterfoil/leg/v1" + payment_id.to_bytes(16) + leg.to_bytes(4)).digest()
    return payment_id >> 80 << 80 | int.from_bytes(digest[:10])


def id_text(value: int) -> str:
    """The UUID text of an id: 36 characters, lower case."""
    return str(uuid.UUID(int=value))


def parse_id(text: str, field: str = "id") -> int:
    """The id behind UUID text. Refuses (Malformed, naming `field`) anything but 36 lower-case characters with hyphens."""
    try:
        value = uuid.UUID(text).int
    except (ValueError, AttributeError, TypeError):
        value = 0
    if not 0 < value <= ID_MAX or id_text(value) != text:
        raise Malformed(field, "must be a UUID in lower case, like 018f3a5c-7d1e-7c3a-9b1f-0123456789ab")
    return value
