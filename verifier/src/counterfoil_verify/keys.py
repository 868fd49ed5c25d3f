"""Signatures of devices: Ed25519 strictly, P-256 where the optional library is there."""

from __future__ import annotations

from counterfoil_verify.note import ed25519, ed25519_key
from counterfoil_verify.report import Refuted

ED25519, P256 = 1, 2


def check_key(algorithm: int, key: bytes) -> None:
    """Refuted for a key that must never be bound."""
    if algorithm == ED25519:
        ed25519_key(key)
    elif algorithm != P256 or len(key) != 65 or key[0] != 4:
        raise Refuted("a key is neither Ed25519 nor an uncompressed point of P-256")


def verify(algorithm: int, key: bytes, message: bytes, signature: bytes) -> bool | None:
    """Whether `signature` fits; None when it could not be checked, because the library for P-256 is not installed."""
    if algorithm == ED25519:
        return ed25519(key, message, signature)
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        from cryptography.hazmat.primitives.hashes import SHA256
    except ImportError:
        return None
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
        encoded = utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        point.verify(encoded, message, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return len(signature) == 64
