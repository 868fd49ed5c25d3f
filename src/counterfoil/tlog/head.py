"""The private file of a log's last head: what it remembers of its own word. Pure.

"counterfoil/head/v1\\n" || checkpoint text || hexadecimal SHA-256 of both || "\\n"
"""

from __future__ import annotations

from hashlib import sha256

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint

FORMAT = b"counterfoil/head/v1\n"
_DIGEST_SIZE = 65


def encode_head(head: Checkpoint) -> bytes:
    """The file's bytes."""
    body = FORMAT + head.text()
    return body + sha256(body).hexdigest().encode() + b"\n"


def decode_head(data: bytes) -> Checkpoint:
    """What `encode_head` wrote; Malformed otherwise: a head that is damaged is never guessed."""
    body, digest = data[:-_DIGEST_SIZE], data[-_DIGEST_SIZE:]
    if not body.startswith(FORMAT) or digest != sha256(body).hexdigest().encode() + b"\n":
        raise Malformed("state/head", "is damaged: restore it")
    return Checkpoint.parse(body[len(FORMAT) :])
