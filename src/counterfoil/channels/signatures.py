"""Signatures of webhooks, as receivers' libraries in every language already verify them. Pure.

    webhook-id: <id>                the same however often a message is sent: receivers drop doubles by it
    webhook-timestamp: <seconds>    of this attempt: receivers refuse what is older than some minutes
    webhook-signature: v1,<base64>  HMAC-SHA256 over "<id>.<timestamp>.<body>"; one for each valid secret, space between

A secret is shown as "whsec_" and base64 of its 24 to 64 bytes. Source: Standard Webhooks 1.0.0 (commit 03f5f8c).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from counterfoil.errors import Malformed

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix is public
SECRET_SIZE = 32
"""Bytes of a new secret."""


def sign(secrets: Sequence[str], *, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers that go with `body`. `secrets`: the current one first, then those that are still valid."""
    assert secrets, message_id
    assert "." not in message_id, message_id  # else two different messages could have the same signed content
    content = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret_key(secret), content, hashlib.sha256)).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def secret_text(key: bytes) -> str:
    """A secret as it is shown to the receiver."""
    assert 24 <= len(key) <= 64, len(key)
    return SECRET_PREFIX + base64.b64encode(key).decode()


def secret_key(secret: str) -> bytes:
    """The bytes behind a secret. Refuses (Malformed) another form or length."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise Malformed("secret", f"must be {SECRET_PREFIX} and base64 of 24 to 64 bytes")
    return key
