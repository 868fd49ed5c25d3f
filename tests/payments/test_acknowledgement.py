"""The operator's signed word."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from counterfoil.errors import Malformed
from counterfoil.ids import ID_MAX
from counterfoil.money import AMOUNT_MAX
from counterfoil.payments.acknowledgement import DELAY_MAX_S, Acknowledger, verify
from counterfoil.payments.types import Acknowledgement

KEY = SigningKey(hashlib.sha256(b"acknowledgement test").digest())
ACKNOWLEDGER = Acknowledger(origin="money.example.org/log", key=KEY)
PUBLIC_KEY = bytes(KEY.verify_key)

amounts = st.integers(0, AMOUNT_MAX)


@given(st.binary(min_size=32, max_size=32), st.integers(1, ID_MAX), amounts, amounts, amounts, st.integers(1, 2**63 - 1))
def test_what_was_said_can_be_read_by_whoever_knows_the_key(
    order_hash: bytes, account: int, amount: int, fee: int, balance: int, completed_at: int
) -> None:
    said = dict(order_hash=order_hash, account=account, amount=amount, fee=fee, balance=balance, completed_at=completed_at)
    acknowledgement = ACKNOWLEDGER.sign(**said)  # type: ignore[arg-type]
    statement = verify(acknowledgement, key=PUBLIC_KEY)
    assert {name: getattr(statement, name) for name in said} == said
    assert (statement.origin, statement.delay_max_s) == ("money.example.org/log", DELAY_MAX_S)
    assert ACKNOWLEDGER.sign(**said) == acknowledgement  # type: ignore[arg-type]


def test_every_flipped_bit_is_noticed() -> None:
    good = ACKNOWLEDGER.sign(order_hash=bytes(32), account=1, amount=2, fee=3, balance=4, completed_at=5)
    for at in range(len(good.statement) * 8):
        flipped = bytearray(good.statement)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(Malformed, match="not the operator's"):
            verify(Acknowledgement(bytes(flipped), good.signature, good.key), key=PUBLIC_KEY)


def test_the_key_inside_is_not_trusted() -> None:
    stranger = Acknowledger(origin="money.example.org/log", key=SigningKey(bytes(32)))
    theirs = stranger.sign(order_hash=bytes(32), account=1, amount=2, fee=3, balance=4, completed_at=5)
    with pytest.raises(Malformed):
        verify(theirs, key=PUBLIC_KEY)


def test_a_signature_over_something_else_is_not_an_acknowledgement() -> None:
    other = b"counterfoil/other/v1" + bytes(200)
    with pytest.raises(Malformed, match="counterfoil/ack/v1"):
        verify(Acknowledgement(other, KEY.sign(other).signature, PUBLIC_KEY), key=PUBLIC_KEY)
