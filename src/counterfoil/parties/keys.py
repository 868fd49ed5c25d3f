"""Public keys of devices and their signatures: which keys are admitted, and whether a signature is right. Pure.

Ed25519 is checked by libsodium (strict: no small-order keys, no non-canonical encodings), so that whatever we accept, any
other verifier accepts, and no dispute can rest on an odd key. ES256 signatures are malleable (s and n - s are both right);
nothing here or elsewhere may take a signature for an identity.

Source: RFC 8032 §5.1.7; FIPS 186-5 §6.4.2; SEC 1 v2 §2.3.4; docs/explanation/trust.md "Admission rules".
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError

from counterfoil.errors import Malformed
from counterfoil.parties.types import ED25519_KEY_SIZE, ES256_KEY_SIZE, SIGNATURE_SIZE, KeyAlgorithm

_ECDSA_SHA256 = ec.ECDSA(SHA256())


def verify(algorithm: KeyAlgorithm, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) over exactly `message` was made with the key behind `public_key`.

    `public_key` has passed `check_public_key`. About 60 us for Ed25519, 100 us for ES256.
    """
    if len(signature) != SIGNATURE_SIZE:
        return False
    if algorithm is KeyAlgorithm.ED25519:
        try:
            crypto_sign_open(signature + message, public_key)
        except BadSignatureError:
            return False
        return True
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
        key.verify(encode_dss_signature(r, s), message, _ECDSA_SHA256)
    except InvalidSignature:
        return False
    return True


def check_public_key(algorithm: KeyAlgorithm, public_key: bytes, field: str = "public_key") -> bytes:
    """`public_key` itself when it is a point that may be enrolled; else Malformed, naming `field`.

    Ed25519: 32 bytes, canonical, on the curve, in the main subgroup. ES256: 65 bytes, 04 || x || y, on P-256.
    """
    if algorithm is KeyAlgorithm.ED25519:
        if len(public_key) != ED25519_KEY_SIZE:
            raise Malformed(field, f"must be {ED25519_KEY_SIZE} bytes for ed25519")
        if not crypto_core_ed25519_is_valid_point(public_key):
            raise Malformed(field, "must be a point of the main subgroup of Ed25519")
        return public_key
    if len(public_key) != ES256_KEY_SIZE or public_key[0] != 4:
        raise Malformed(field, f"must be {ES256_KEY_SIZE} bytes for es256: 04, x, y")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    except ValueError:
        raise Malformed(field, "must be a point of the curve P-256") from None
    return public_key
