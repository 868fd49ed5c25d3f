"""A push message as only the subscribed browser can read it: aes128gcm in one record. Pure.

    ECDH of a key made for this message with the browser's key, mixed with the browser's secret     RFC 8291 §3
    one record of AES-128-GCM behind a header of salt, record size and our public key               RFC 8188 §2

The library that is usually taken for this (pywebpush, on http-ece) is not to be had as a wheel: see docs/explanation/design.md.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

POINT_SIZE: Final = 65
"""Bytes of a public key on P-256, uncompressed."""
SECRET_SIZE: Final = 16
"""Bytes of a browser's authentication secret, and of a salt."""
PLAINTEXT_SIZE_MAX: Final = 3_993
"""Bytes that every push service takes. Source: RFC 8291 §4."""
_RECORD_SIZE: Final = 4_096
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def private_key(secret: bytes) -> EllipticCurvePrivateKey:
    """The key on P-256 that follows from 32 secret bytes; every value gives one."""
    assert len(secret) == 32, len(secret)
    return derive_private_key(int.from_bytes(secret) % (_ORDER - 1) + 1, SECP256R1())


def public_point(key: EllipticCurvePrivateKey) -> bytes:
    """The public half: 65 bytes, uncompressed."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def is_point(data: bytes) -> bool:
    """Whether these are 65 bytes of an uncompressed point that lies on P-256."""
    if len(data) != POINT_SIZE:
        return False
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), data)
    except ValueError:
        return False
    return True


def encrypt(plaintext: bytes, *, receiver: bytes, auth: bytes, sender: EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """The body of a push message, for `Content-Encoding: aes128gcm`.

    `receiver` and `auth` are the browser's (`p256dh` and `auth`). `sender` and `salt` (16 bytes) must be used for this message only.
    """
    assert len(plaintext) <= PLAINTEXT_SIZE_MAX, len(plaintext)
    assert len(auth) == len(salt) == SECRET_SIZE, (len(auth), len(salt))
    own = public_point(sender)
    shared = sender.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), receiver))
    secret = _derived(auth, shared, b"WebPush: info\0" + receiver + own, 32)
    key = _derived(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(salt, secret, b"Content-Encoding: nonce\0", 12)
    header = salt + _RECORD_SIZE.to_bytes(4) + len(own).to_bytes(1) + own
    return header + AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)  # 2: the last record


def _derived(salt: bytes, secret: bytes, info: bytes, size: int) -> bytes:
    """HKDF with SHA-256, for at most 32 bytes. Source: RFC 5869."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")[:size]
