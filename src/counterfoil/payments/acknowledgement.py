"""The operator's signed word, given at once: "this order was carried out, and this is your balance after it".

    statement = "counterfoil/ack/v1"
             || u16 length || origin
             || order_hash (32) || account (16)     whose balance follows
             || amount (8) || fee (8) || balance (8)    minor units; the balance right after this payment
             || completed_at (8)                    ledger time, ns since 1970: names the entry, unique and rising
             || delay_max_s (4)                     within this time the log must have the entry

Big-endian, unsigned; signed with the operator's Ed25519 key. With no log entry after the delay, statement and signature
are evidence against the operator that anybody can check. Ed25519 is deterministic, so a repeat yields the same bytes.
"""

from __future__ import annotations

import struct

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_BYTES
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from counterfoil.aside import Aside
from counterfoil.errors import Malformed
from counterfoil.payments.types import Acknowledgement

DOMAIN = b"counterfoil/ack/v1"
DELAY_MAX_S = 60
"""Seconds within which an acknowledged payment must be in the log."""

_FIXED = struct.Struct(">32s16sQQQQI")


class Statement(msgspec.Struct, frozen=True):
    """What an acknowledgement says; fields as in the module's drawing."""

    origin: str
    order_hash: bytes
    account: int
    amount: int
    fee: int
    balance: int
    completed_at: int
    delay_max_s: int


class Acknowledger:
    """Signs for the operator of one scheme; what `acknowledge` signs, on the thread of `aside`, where there is one."""

    def __init__(self, *, origin: str, key: SigningKey, aside: Aside | None = None) -> None:
        encoded = origin.encode()
        self._prefix = DOMAIN + len(encoded).to_bytes(2) + encoded
        self._secret = bytes(key) + bytes(key.verify_key)  # libsodium's form of a secret key
        self.public_key = bytes(key.verify_key)
        self._aside = aside

    async def acknowledge(
        self, *, order_hash: bytes, account: int, amount: int, fee: int, balance: int, completed_at: int
    ) -> Acknowledgement:
        """The same arguments yield the same bytes."""
        statement = self._statement(order_hash, account, amount, fee, balance, completed_at)
        signature = self._signature(statement) if self._aside is None else await self._aside.run(self._signature, statement)
        return Acknowledgement(statement, signature, self.public_key)

    def sign(self, *, order_hash: bytes, account: int, amount: int, fee: int, balance: int, completed_at: int) -> Acknowledgement:
        """As `acknowledge`, at once."""
        statement = self._statement(order_hash, account, amount, fee, balance, completed_at)
        return Acknowledgement(statement, self._signature(statement), self.public_key)

    def _statement(self, order_hash: bytes, account: int, amount: int, fee: int, balance: int, completed_at: int) -> bytes:
        assert balance >= 0, balance
        return self._prefix + _FIXED.pack(order_hash, account.to_bytes(16), amount, fee, balance, completed_at, DELAY_MAX_S)

    def _signature(self, statement: bytes) -> bytes:
        return crypto_sign(statement, self._secret)[:crypto_sign_BYTES]


def verify(acknowledgement: Acknowledgement, *, key: bytes) -> Statement:
    """What `acknowledgement` says, if `key` (the operator's, known beforehand) signed it; else Malformed."""
    try:
        VerifyKey(key).verify(acknowledgement.statement, acknowledgement.signature)
    except (BadSignatureError, ValueError):
        raise Malformed("acknowledgement.signature", "is not the operator's") from None
    data, at = acknowledgement.statement, len(DOMAIN)
    size = int.from_bytes(data[at : at + 2])
    if not data.startswith(DOMAIN) or len(data) != at + 2 + size + _FIXED.size:
        raise Malformed("acknowledgement.statement", "is not in the form counterfoil/ack/v1")
    fields = _FIXED.unpack_from(data, at + 2 + size)
    order_hash, account, amount, fee, balance, completed_at, delay_max_s = fields
    return Statement(
        origin=data[at + 2 : at + 2 + size].decode(),
        order_hash=order_hash,
        account=int.from_bytes(account),
        amount=amount,
        fee=fee,
        balance=balance,
        completed_at=completed_at,
        delay_max_s=delay_max_s,
    )
