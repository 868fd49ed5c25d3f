"""Receipt codes: twelve characters in a text message by which anybody with a browser finds the receipt of a payment in the log.

    proof of a code = HMAC-SHA256(key, "counterfoil/receipt-code/v1" || payment(16) || account(16))          32 bytes, told with the receipt
    value           = the first 55 bits of PBKDF2-HMAC-SHA256(password: the proof, salt: payment || account, 1,024 rounds)
    code            = the value as 11 characters of Crockford's base32, most significant first, and a check character

Each of the two sides of a payment has a code of its own, known to the operator and to whom it was told: from all that the
other side knows it cannot be computed. Whoever is shown a receipt with its proof can compute the code from both, and so sees
that it belongs to this very entry of the log; to find a proof under which a given code fits another entry takes some 2^66
hashes. The check character is over GF(32) (x^5 + x^2 + 1), the character in place n weighted with 2^n: every single wrong
character is found, and every two that were exchanged.

A code is told once it is in the table; what it is does not depend on when.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from typing import Final

import msgspec
from sqlalchemy import Connection, insert, select

from counterfoil.clock import Clock
from counterfoil.errors import Malformed
from counterfoil.payments.receipt_code_tables import receipt_codes
from counterfoil.store.database import Store

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no I, L, O and U."""
CODE_SIZE: Final = 12
ROUNDS: Final = 1_024
"""Of PBKDF2: half a millisecond for us, and a thousand times the work for whoever looks for a proof that fits another entry."""
TYPED_SIZE_MAX: Final = 40
"""Characters of what somebody typed that are looked at."""
_VALUE_BITS: Final = 55
_DOMAIN: Final = b"counterfoil/receipt-code/v1"
_READ_AS: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})
_DASHES: Final = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u30fc.·"


class Coded(msgspec.Struct, frozen=True):
    """What a code stands for: one side's receipt of a payment, and what shows that the code is of it."""

    payment: int
    account: int
    proof: bytes


def code_key(operator_key: bytes) -> bytes:
    """The key of all codes of a scheme, from the operator's 32 secret bytes."""
    return hmac.digest(operator_key, b"counterfoil/receipt-code-key/v1", "sha256")


def proof_of(key: bytes, payment: int, account: int) -> bytes:
    """What is told with the receipt to whoever has its code."""
    return hmac.digest(key, _DOMAIN + payment.to_bytes(16) + account.to_bytes(16), "sha256")


def receipt_code(key: bytes, payment: int, account: int) -> str:
    """The code of a payment for one of its two accounts: 12 characters, always the same. Needs no entry in the log."""
    return _text(_value(proof_of(key, payment, account), payment, account))


def belongs(code: str, coded: Coded) -> bool:
    """Whether `code` (12 characters, as `parse_code` gives it) is the one that follows from the proof: what a browser computes, too."""
    return code == _text(_value(coded.proof, coded.payment, coded.account))


def parse_code(typed: str) -> str:
    """The 12 characters of a code as somebody typed it: any case, spaces and dashes anywhere, O for 0, I and L for 1, full width.

    Malformed for anything else, and when the check character says that one is wrong or two were exchanged.
    """
    text = unicodedata.normalize("NFKC", typed[:TYPED_SIZE_MAX]).upper()
    text = "".join(each for each in text if not each.isspace() and each not in _DASHES).translate(_READ_AS)
    if len(typed) > TYPED_SIZE_MAX or len(text) != CODE_SIZE or any(each not in ALPHABET for each in text):
        raise Malformed("code", "must be the 12 letters and digits of a text message")
    if _check(text[:-1]) != text[-1]:
        raise Malformed("code", "has a letter or digit that is not right")
    return text


def shown(code: str) -> str:
    """The code as it stands in a text message: K7QM-2XRD-9FAB."""
    return f"{code[:4]}-{code[4:8]}-{code[8:]}"


class ReceiptCodes:
    """The codes of one scheme. `key` is `code_key`'s."""

    def __init__(self, key: bytes, *, store: Store, clock: Clock) -> None:
        self._key = key
        self._store = store
        self._clock = clock

    def tell(self, connection: Connection, payment: int, account: int) -> str:
        """The code as it is shown in a text, kept from now on so that it can be looked up. In the transaction of the text.

        Half a millisecond. A repeat gives the same and changes nothing. Whether the account is one of the payment's is not asked.
        """
        code = receipt_code(self._key, payment, account)
        this = select(receipt_codes.c.value).where(receipt_codes.c.payment == payment, receipt_codes.c.account == account)
        if connection.execute(this).first() is None:
            row = {"payment": payment, "account": account, "value": _number(code), "told_at": self._clock.now_ns()}
            connection.execute(insert(receipt_codes), row)
        return shown(code)

    async def find(self, code: str) -> list[Coded]:
        """What a code (as `parse_code` gives it) stands for, oldest first: mostly one, and none when it was told to nobody."""
        query = (
            select(receipt_codes.c.payment, receipt_codes.c.account)
            .where(receipt_codes.c.value == _number(code))
            .order_by(receipt_codes.c.told_at, receipt_codes.c.payment)
            .limit(8)
        )
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return [Coded(row.payment, row.account, proof_of(self._key, row.payment, row.account)) for row in rows]


def _value(proof: bytes, payment: int, account: int) -> int:
    hashed = hashlib.pbkdf2_hmac("sha256", proof, payment.to_bytes(16) + account.to_bytes(16), ROUNDS)
    return int.from_bytes(hashed[:7]) >> (56 - _VALUE_BITS)


def _text(value: int) -> str:
    body = "".join(ALPHABET[value >> shift & 31] for shift in range(_VALUE_BITS - 5, -1, -5))
    return body + _check(body)


def _number(code: str) -> int:
    value = 0
    for each in code[:-1]:
        value = value << 5 | ALPHABET.index(each)
    return value


def _check(body: str) -> str:
    """By Horner's rule: multiplied by x, which is 2, for each further character."""
    total = 0
    for each in body:
        total = _doubled(total ^ ALPHABET.index(each))
    return ALPHABET[total]


def _doubled(element: int) -> int:
    return element << 1 ^ (0b100101 if element & 16 else 0)
