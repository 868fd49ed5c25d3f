"""Who sends a push message, signed: the server's voluntary identification by a token (JWT, ES256). Pure. Source: RFC 8292."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from counterfoil.channels.push.encryption import public_point

LIFETIME_S: Final = 12 * 3_600
"""Seconds for which a token speaks for us; a push service refuses more than a day."""


def authorization(endpoint: str, *, contact: str, now_s: int, key: EllipticCurvePrivateKey) -> str:
    """The Authorization header of a message to `endpoint` (an https address). `contact`: whom a push service asks, a URL."""
    claims = {"aud": audience(endpoint), "exp": now_s + LIFETIME_S, "sub": contact}
    head = _text(msgspec.json.encode({"typ": "JWT", "alg": "ES256"}))
    signed = f"{head}.{_text(msgspec.json.encode(claims))}"
    # A JWT has r and s one behind the other, 32 bytes each (RFC 7518 §3.4); by RFC 6979 the same token is always the same.
    r, s = decode_dss_signature(key.sign(signed.encode(), ECDSA(SHA256(), deterministic_signing=True)))
    return f"vapid t={signed}.{_text(r.to_bytes(32) + s.to_bytes(32))}, k={_text(public_point(key))}"


def audience(endpoint: str) -> str:
    """The origin of a push service: RFC 6454 §6.2, without a port that is the scheme's own."""
    parts = urlsplit(endpoint)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
