"""The three signatures of cards and issuers: which keys are admitted, how they sign, and whether a signature is right. Pure.

    1  ECDSA with P-256 and SHA-256, signature in DER        what cards have; the default
    2  Ed25519, 64 bytes
    3  ECDSA with P-256 and SHA-256, signature r || s        what browsers make; 64 bytes

A P-256 key is 33 bytes, compressed. ECDSA signatures are malleable and may be random: whoever asks whether two statements are the
same compares what was signed, never how.

Source: FIPS 186-5 §6.4; RFC 6979; RFC 8032 §5.1; SEC 1 v2 §2.3.3; X.690 §10.1; docs/reference/purse.md "Algorithms".
"""

from __future__ import annotations

import enum
import hashlib

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey as Ed25519SigningKey

from counterfoil.errors import Malformed
from counterfoil.parties import keys
from counterfoil.parties.types import ED25519_KEY_SIZE, SIGNATURE_SIZE, KeyAlgorithm

P256_KEY_SIZE = 33
DER_SIZE_MIN = 8
DER_SIZE_MAX = 72
KEY_ID_SIZE = 8

_CURVE = ec.SECP256R1()
_DETERMINISTIC = ec.ECDSA(SHA256(), deterministic_signing=True)


class Algorithm(enum.IntEnum):
    """How something is signed; the number is the byte in messages."""

    P256_DER = 1
    ED25519 = 2
    P256_RAW = 3


class IssuerKey(msgspec.Struct, frozen=True):
    """A key that certificates are checked with. `key` has passed `check_public_key`."""

    algorithm: Algorithm
    key: bytes

    @property
    def key_id(self) -> bytes:
        """8 bytes that name the key in certificates: the first of SHA-256(algorithm || key). A name and no proof."""
        return hashlib.sha256(bytes([self.algorithm]) + self.key).digest()[:KEY_ID_SIZE]


class PrivateKey:
    """Signs for a card or an issuer. 32 secret bytes; ECDSA is deterministic (RFC 6979), so that no bad randomness gives the key away."""

    def __init__(self, algorithm: Algorithm, secret: bytes) -> None:
        """`secret`: 32 bytes; for P-256 a number from 1 to the group's order - 1, else Malformed."""
        if len(secret) != 32:
            raise Malformed("secret", "must be 32 bytes")
        self.algorithm = algorithm
        if algorithm is Algorithm.ED25519:
            self._ed25519 = Ed25519SigningKey(secret)
            self.public_key = bytes(self._ed25519.verify_key)
            return
        try:
            self._p256 = ec.derive_private_key(int.from_bytes(secret), _CURVE)
        except ValueError:
            raise Malformed("secret", "must be a private key of P-256") from None
        self.public_key = self._p256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, message: bytes) -> bytes:
        if self.algorithm is Algorithm.ED25519:
            return self._ed25519.sign(message).signature
        der = self._p256.sign(message, _DETERMINISTIC)
        if self.algorithm is Algorithm.P256_DER:
            return der
        r, s = decode_dss_signature(der)
        return r.to_bytes(32) + s.to_bytes(32)


def check_public_key(algorithm: Algorithm, key: bytes, field: str) -> bytes:
    """`key` itself when it may be certified: a point of its curve in the one form that it has. Malformed otherwise, naming `field`."""
    if algorithm is Algorithm.ED25519:
        return keys.check_public_key(KeyAlgorithm.ED25519, key, field)
    if len(key) != P256_KEY_SIZE or key[0] not in (2, 3):
        raise Malformed(field, f"must be {P256_KEY_SIZE} bytes: 02 or 03, x")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key)
    except ValueError:
        raise Malformed(field, "must be a point of the curve P-256") from None
    return key


def check_signature_form(algorithm: Algorithm, signature: bytes, field: str) -> bytes:
    """`signature` itself when it has the one form that signatures of `algorithm` have, right or not. Malformed otherwise."""
    if algorithm is not Algorithm.P256_DER:
        if len(signature) != SIGNATURE_SIZE:
            raise Malformed(field, f"must be {SIGNATURE_SIZE} bytes")
    elif _raw_of_der(signature) is None:
        raise Malformed(field, f"must be a signature in DER, {DER_SIZE_MIN} to {DER_SIZE_MAX} bytes")
    return signature


def verify(algorithm: Algorithm, key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over exactly `message` was made with the key behind `key`, which has passed `check_public_key`."""
    if algorithm is Algorithm.ED25519:
        assert len(key) == ED25519_KEY_SIZE, len(key)
        return keys.verify(KeyAlgorithm.ED25519, key, message, signature)
    raw = _raw_of_der(signature) if algorithm is Algorithm.P256_DER else signature
    if raw is None:
        return False
    point = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key).public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return keys.verify(KeyAlgorithm.ES256, point, message, raw)


def _raw_of_der(signature: bytes) -> bytes | None:
    """r || s of a signature in DER, None when it is anything else: another encoding of the same numbers is none."""
    if not DER_SIZE_MIN <= len(signature) <= DER_SIZE_MAX:
        return None
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return None
    if not (0 < r < 2**256 and 0 < s < 2**256):
        return None
    return r.to_bytes(32) + s.to_bytes(32)
