"""The profile of signed requests, against signed bytes that are written out here and against every single change."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from counterfoil.errors import CounterfoilError, Malformed, NotAuthenticated, RequestTooOld, WrongSignature
from counterfoil.ids import parse_id
from counterfoil.parties.keys import verify
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.web import signatures

DEVICE = "018f3a5c-7d1e-7c3a-9b1f-0123456789ab"
NOW_S = 1_795_000_000
BODY = b'{"label":"till"}'
KEY = SigningKey(bytes(range(32)))

# Written by hand from RFC 9421 §2.5 and RFC 9530 §2; nothing of the code under test made it.
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
PARAMETERS = f'("@method" "@path" "@query" "content-digest");created={NOW_S};keyid="{DEVICE}";alg="ed25519"'
SIGNED = (
    '"@method": POST\n'
    '"@path": /v1/tokens\n'
    '"@query": ?a=1&b=%20\n'
    f'"content-digest": {DIGEST}\n'
    f'"@signature-params": {PARAMETERS}'
)  # fmt: skip


def request(**changes: Any) -> dict[str, Any]:
    signature = base64.b64encode(KEY.sign(SIGNED.encode()).signature).decode()
    return {
        "method": "POST",
        "path": "/v1/tokens",
        "query": "a=1&b=%20",
        "body": BODY,
        "digest": DIGEST,
        "signature_input": f"sig1={PARAMETERS}",
        "signature": f"sig1=:{signature}:",
        "now_ns": NOW_S * 1_000_000_000,
    } | changes


def is_good(**changes: Any) -> bool:
    claim = signatures.read(**request(**changes))
    assert claim.device == parse_id(DEVICE)
    return verify(claim.algorithm, bytes(KEY.verify_key), claim.message, claim.signature)


def test_the_signed_bytes_are_those_of_the_standard() -> None:
    assert signatures.read(**request()).message == SIGNED.encode()
    assert is_good()


def test_a_client_makes_the_headers_that_the_server_reads() -> None:
    made = signatures.headers(
        method="POST",
        path="/v1/tokens",
        query="a=1&b=%20",
        body=BODY,
        device=parse_id(DEVICE),
        algorithm=KeyAlgorithm.ED25519,
        sign=lambda message: KEY.sign(message).signature,
        now_ns=NOW_S * 1_000_000_000,
    )
    expected = request()
    assert made == {
        "Signature-Input": expected["signature_input"],
        "Signature": expected["signature"],
        "Content-Digest": DIGEST,
    }


def test_p256_signs_too_as_r_and_s() -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    made = signatures.headers(
        method="GET", path="/v1/history", device=5, algorithm=KeyAlgorithm.ES256, sign=sign, now_ns=NOW_S * 10**9, nonce="n-1"
    )
    assert 'alg="ecdsa-p256-sha256";nonce="n-1"' in made["Signature-Input"]
    claim = signatures.read(
        method="GET",
        path="/v1/history",
        query="",
        body=b"",
        digest=None,
        signature_input=made["Signature-Input"],
        signature=made["Signature"],
        now_ns=NOW_S * 10**9,
    )
    public_key = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert verify(claim.algorithm, public_key, claim.message, claim.signature)
    assert not verify(claim.algorithm, public_key, claim.message + b" ", claim.signature)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"path": "/v1/tokens/"},
        {"path": "/v1/Tokens"},
        {"query": "a=1&b= "},
        {"query": ""},
        {"signature_input": f"sig1={PARAMETERS}".replace(str(NOW_S), str(NOW_S + 1))},
        {"signature_input": f'sig1={PARAMETERS};nonce="x"'},
    ],
)
def test_whatever_is_changed_the_signature_no_longer_fits(changes: dict[str, Any]) -> None:
    assert not is_good(**changes)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"body": BODY + b" "}, WrongSignature),
        ({"digest": DIGEST.replace("sha-256", "sha-512")}, WrongSignature),
        ({"digest": None}, WrongSignature),
        ({"body": b"", "digest": None}, NotAuthenticated),
        ({"signature_input": ""}, NotAuthenticated),
        ({"signature_input": "sig1=()"}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}".replace(' "@query"', "")}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}".replace(' "content-digest"', "")}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}".replace('"@method" "@path"', '"@path" "@method"')}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}".replace("ed25519", "rsa-v1_5-sha256")}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}".replace("ed25519", "hmac-sha256")}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}".replace(f"created={NOW_S};", "")}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}, sig2={PARAMETERS}"}, NotAuthenticated),
        ({"signature_input": f"sig2={PARAMETERS}"}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}\n"}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}".replace(DEVICE, DEVICE.upper())}, NotAuthenticated),
        ({"signature_input": f"sig1={PARAMETERS}".replace(DEVICE, "-" * 36)}, Malformed),
        ({"signature": ""}, NotAuthenticated),
        ({"signature": "sig1=:AAAA:"}, NotAuthenticated),
        ({"signature": f"sig1=:{'A' * 85}B==:"}, NotAuthenticated),
        ({"now_ns": (NOW_S + 301) * 10**9}, RequestTooOld),
        ({"now_ns": (NOW_S - 301) * 10**9}, RequestTooOld),
    ],
)
def test_another_form_is_refused_before_anything_is_verified(changes: dict[str, Any], error: type[CounterfoilError]) -> None:
    with pytest.raises(error):
        signatures.read(**request(**changes))


@pytest.mark.parametrize("age_s", [-300, 0, 300])
def test_a_signature_is_good_for_300_seconds_either_way(age_s: int) -> None:
    assert is_good(now_ns=(NOW_S + age_s) * 10**9)
