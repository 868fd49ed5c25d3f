"""What a device signs about keys, as exact bytes. Pure.

    counterfoil/enrol/v1            origin, number, device (16), algorithm, public key: "this key is mine, and this number"
    counterfoil/add-device/v1       origin, party (16), device (16), algorithm, public key: signed by a device that the party
                                    has, and by the new one
    counterfoil/revoke-device/v1    origin, party (16), device (16): signed by any device of the party
    counterfoil/recover/v1          origin, number, device (16), algorithm, public key: "this is the key I want to have"
    counterfoil/cancel-recovery/v1  origin, party (16), recovery (16): signed by any device of the party
    counterfoil/allow-pin/v1        origin, account (16), amount a day (8), made_at_ms (8): "a PIN may take so much"; 0: nothing.
                                    Signed by any device of the account's party; later than the one before
    counterfoil/countersign/v1      origin, account (16), payment (16), order hash (32), amount (8), completed_at (8, ns): "this
                                    payment by PIN reached this account". Signed by any device of the account's party

Texts and keys have a u16 length before them, ids are 16 bytes, all big-endian; amounts are minor units. The domain in front keeps one kind of
signature from being taken for another.
"""

from __future__ import annotations

import struct

import msgspec

from counterfoil.errors import Malformed
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.types import KeyAlgorithm

ENROL = b"counterfoil/enrol/v1"
ADD_DEVICE = b"counterfoil/add-device/v1"
REVOKE_DEVICE = b"counterfoil/revoke-device/v1"
RECOVER = b"counterfoil/recover/v1"
CANCEL_RECOVERY = b"counterfoil/cancel-recovery/v1"
ALLOW_PIN = b"counterfoil/allow-pin/v1"
COUNTERSIGN = b"counterfoil/countersign/v1"

_ALLOWED = struct.Struct(">16sQQ")
_REACHED = struct.Struct(">16s16s32sQQ")


def enrol(*, origin: str, number: str, device: int, algorithm: KeyAlgorithm, public_key: bytes) -> bytes:
    """For the first device of a new customer. `number` is E.164."""
    return ENROL + _sized(origin.encode()) + _sized(number.encode()) + _key(device, algorithm, public_key)


def add_device(*, origin: str, party: int, device: int, algorithm: KeyAlgorithm, public_key: bytes) -> bytes:
    """For a further device, and for the new key of a rotation."""
    return ADD_DEVICE + _sized(origin.encode()) + party.to_bytes(16) + _key(device, algorithm, public_key)


def revoke_device(*, origin: str, party: int, device: int) -> bytes:
    """To take a device away for good."""
    return REVOKE_DEVICE + _sized(origin.encode()) + party.to_bytes(16) + device.to_bytes(16)


def recover(*, origin: str, number: str, device: int, algorithm: KeyAlgorithm, public_key: bytes) -> bytes:
    """For the new device of somebody who has lost theirs."""
    return RECOVER + _sized(origin.encode()) + _sized(number.encode()) + _key(device, algorithm, public_key)


def cancel_recovery(*, origin: str, party: int, recovery: int) -> bytes:
    """To say: that was not me."""
    return CANCEL_RECOVERY + _sized(origin.encode()) + party.to_bytes(16) + recovery.to_bytes(16)


def allow_pin(*, origin: str, account: int, per_day: int, made_at_ms: int) -> bytes:
    """To let a PIN take up to `per_day` minor units a day from the account, fees included; 0 takes that back."""
    return ALLOW_PIN + _sized(origin.encode()) + _ALLOWED.pack(account.to_bytes(16), per_day, made_at_ms)


def read_allow_pin(statement: bytes, *, origin: str) -> tuple[int, int, int]:
    """(account, per_day, made_at_ms) of a statement of `allow_pin` to the scheme `origin`. Malformed, naming the field, for any other."""
    begins = ALLOW_PIN + _sized(origin.encode())
    if not statement.startswith(begins) or len(statement) != len(begins) + _ALLOWED.size:
        raise Malformed("statement", f"must be {ALLOW_PIN.decode()} for {origin}")
    account, per_day, made_at_ms = _ALLOWED.unpack_from(statement, len(begins))
    if per_day > AMOUNT_MAX:
        raise Malformed("statement.per_day", f"must be at most {AMOUNT_MAX}")
    return int.from_bytes(account), per_day, made_at_ms


class Reached(msgspec.Struct, frozen=True):
    """What a device says of a payment that came in. `amount` in minor units; `completed_at`: ledger time, ns."""

    account: int
    payment: int
    order_hash: bytes
    amount: int
    completed_at: int


def countersign(said: Reached, *, origin: str) -> bytes:
    """To say that a payment by PIN reached one's account."""
    account, payment = said.account.to_bytes(16), said.payment.to_bytes(16)
    return COUNTERSIGN + _sized(origin.encode()) + _REACHED.pack(account, payment, said.order_hash, said.amount, said.completed_at)


def read_countersign(statement: bytes, *, origin: str) -> Reached:
    """What a statement of `countersign` to the scheme `origin` says. Malformed for any other."""
    begins = COUNTERSIGN + _sized(origin.encode())
    if not statement.startswith(begins) or len(statement) != len(begins) + _REACHED.size:
        raise Malformed("statement", f"must be {COUNTERSIGN.decode()} for {origin}")
    account, payment, *rest = _REACHED.unpack_from(statement, len(begins))
    return Reached(int.from_bytes(account), int.from_bytes(payment), *rest)


def _key(device: int, algorithm: KeyAlgorithm, public_key: bytes) -> bytes:
    return device.to_bytes(16) + _sized(algorithm.value.encode()) + _sized(public_key)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data
