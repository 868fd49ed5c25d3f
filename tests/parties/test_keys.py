"""Signatures and keys against other people's test vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from counterfoil.errors import Malformed
from counterfoil.parties.keys import check_public_key, verify
from counterfoil.parties.types import KeyAlgorithm

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_G = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def wycheproof(vectors: Path, name: str) -> list[dict[str, Any]]:
    groups = json.loads((vectors / "vectors/trust/wycheproof" / name).read_text())["testGroups"]
    return [test | {"key": group["publicKey"]} for group in groups for test in group["tests"]]


def test_ed25519_agrees_with_wycheproof(vectors: Path) -> None:
    tests = wycheproof(vectors, "ed25519_test.json")
    assert len(tests) > 100
    for test in tests:
        key = bytes.fromhex(test["key"]["pk"])
        assert check_public_key(KeyAlgorithm.ED25519, key) == key
        result = verify(KeyAlgorithm.ED25519, key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
        assert result == (test["result"] == "valid"), test


def test_es256_agrees_with_wycheproof(vectors: Path) -> None:
    tests = wycheproof(vectors, "ecdsa_secp256r1_sha256_p1363_test.json")
    assert len(tests) > 200
    for test in tests:
        key = bytes.fromhex(test["key"]["uncompressed"])
        assert check_public_key(KeyAlgorithm.ES256, key) == key
        result = verify(KeyAlgorithm.ES256, key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
        assert result == (test["result"] == "valid"), test


def test_no_odd_ed25519_key_is_admitted_and_what_we_accept_others_accept(vectors: Path) -> None:
    tests = json.loads((vectors / "vectors/trust/cctv-ed25519/ed25519vectors.json").read_text())
    accepted = admitted = 0
    for test in tests:
        key, signature = bytes.fromhex(test["key"]), bytes.fromhex(test["sig"])
        try:
            check_public_key(KeyAlgorithm.ED25519, key)
            admitted += 1
            assert not {"low_order_A", "low_order_component_A", "non_canonical_A"} & set(test["flags"] or ()), test
        except Malformed:
            pass
        if verify(KeyAlgorithm.ED25519, key, test["msg"].encode(), signature):
            accepted += 1
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(signature, test["msg"].encode())
            except InvalidSignature:
                pytest.fail(f"we accept what OpenSSL refuses: {test}")
    assert (len(tests), accepted) == (914, 43)
    assert admitted > 0


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        (KeyAlgorithm.ED25519, b""),
        (KeyAlgorithm.ED25519, bytes(32)),
        (KeyAlgorithm.ED25519, bytes([1]) + bytes(31)),  # the neutral point
        (KeyAlgorithm.ED25519, bytes(SigningKey(bytes(32)).verify_key)[:31]),
        (KeyAlgorithm.ED25519, bytes(SigningKey(bytes(32)).verify_key) + b"\0"),
        (KeyAlgorithm.ED25519, P256_G),
        (KeyAlgorithm.ES256, b""),
        (KeyAlgorithm.ES256, b"\0"),  # the point at infinity
        (KeyAlgorithm.ES256, P256_G[:-1] + b"\0"),  # not on the curve
        (KeyAlgorithm.ES256, b"\x04" + bytes(64)),
        (KeyAlgorithm.ES256, b"\x03" + P256_G[1:33]),  # compressed: one form only
        (KeyAlgorithm.ES256, b"\x07" + P256_G[1:]),  # hybrid
    ],
)
def test_a_key_that_is_no_good_point_is_refused(algorithm: KeyAlgorithm, key: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        check_public_key(algorithm, key, "device.public_key")
    assert caught.value.facts["field"] == "device.public_key"


@given(message=st.binary(max_size=300), position=st.integers(0), bit=st.integers(0, 7))
def test_one_changed_bit_of_message_or_signature_is_noticed(message: bytes, position: int, bit: int) -> None:
    key = SigningKey(bytes(range(32)))
    signature = key.sign(message).signature
    public = bytes(key.verify_key)
    assert verify(KeyAlgorithm.ED25519, public, message, signature)
    whole = bytearray(signature + message)
    whole[position % len(whole)] ^= 1 << bit
    assert not verify(KeyAlgorithm.ED25519, public, bytes(whole[64:]), bytes(whole[:64]))


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
@pytest.mark.parametrize("size", [0, 1, 63, 65, 1000])
def test_a_signature_of_another_size_is_wrong_and_nothing_worse(algorithm: KeyAlgorithm, size: int) -> None:
    key = bytes(SigningKey(bytes(32)).verify_key) if algorithm is KeyAlgorithm.ED25519 else P256_G
    assert not verify(algorithm, key, b"message", bytes(size))
    assert not verify(algorithm, key, b"message", b"\xff" * size)


@pytest.mark.parametrize("r", [0, 1, P256_ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, P256_ORDER, 2**256 - 1])
def test_es256_with_r_or_s_out_of_range_is_wrong(r: int, s: int) -> None:
    assert not verify(KeyAlgorithm.ES256, P256_G, b"message", r.to_bytes(32) + s.to_bytes(32))
