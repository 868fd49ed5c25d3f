"""A push message is what RFC 8291 says, byte by byte, and what another implementation reads."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.channels.push.encryption import PLAINTEXT_SIZE_MAX, encrypt, is_point, private_key, public_point
from tests.channels.push.browser import Phone, data_of

# RFC 8291, section 5 and appendix A
PLAINTEXT = b"When I grow up, I want to be a watermelon"
SENDER_PRIVATE = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SENDER_PUBLIC = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
RECEIVER_PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
RECEIVER_PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
    "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def test_the_example_of_the_standard_comes_out_byte_by_byte() -> None:
    sender = ec.derive_private_key(int.from_bytes(data_of(SENDER_PRIVATE)), ec.SECP256R1())
    assert public_point(sender) == data_of(SENDER_PUBLIC)
    receiver = Phone(private=data_of(RECEIVER_PRIVATE), auth=data_of(AUTH))
    assert receiver.p256dh == data_of(RECEIVER_PUBLIC)
    body = encrypt(PLAINTEXT, receiver=receiver.p256dh, auth=receiver.auth, sender=sender, salt=data_of(SALT))
    assert body == data_of(BODY)
    assert receiver.read(body) == PLAINTEXT


@given(
    plaintext=st.binary(max_size=PLAINTEXT_SIZE_MAX).filter(lambda data: not data.endswith(b"\0")),
    secret=st.binary(min_size=32, max_size=32),
    salt=st.binary(min_size=16, max_size=16),
)
def test_whatever_is_said_is_read_by_this_phone_and_by_no_other(plaintext: bytes, secret: bytes, salt: bytes) -> None:
    phone = Phone("mine")
    body = encrypt(plaintext, receiver=phone.p256dh, auth=phone.auth, sender=private_key(secret), salt=salt)
    assert phone.read(body) == plaintext
    assert len(body) == 16 + 4 + 1 + 65 + len(plaintext) + 1 + 16 <= 4_096 + 86
    with pytest.raises(InvalidTag):
        Phone("another").read(body)


def test_every_secret_gives_a_key() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    keys = [private_key(number.to_bytes(32)) for number in (0, 1, order - 2, order - 1, order, 2**256 - 1)]
    numbers = [key.private_numbers().private_value for key in keys]
    assert all(0 < number < order for number in numbers)
    assert numbers[:3] == [1, 2, order - 1]


def test_a_point_is_65_bytes_on_the_curve_and_nothing_else() -> None:
    good = Phone().p256dh
    assert is_point(good)
    bent = good[:-1] + bytes([good[-1] ^ 1])
    for bad in (b"", good[:-1], good + b"\0", bent, bytes(65), b"\x02" + good[1:33], os.urandom(64) + b"\0"):
        assert not is_point(bad), bad.hex()
