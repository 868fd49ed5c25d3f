"""The cosignature: a witness's word that at a time this was the largest consistent tree it had seen. Pure apart from crypto.

Each cosigner has an Ed25519 key of its own: the signed message does not commit to the cosigner's name.

Source: C2SP tlog-cosignature v1, Ed25519.
"""

from __future__ import annotations

from counterfoil.errors import Malformed
from counterfoil.tlog.keys import COSIGNATURE, COSIGNATURE_SIZE, Signature, Signer, VerifierKey, cosigned_message
from counterfoil.tlog.text import SIZE_MAX


def cosign(note_text: bytes, signer: Signer, time_s: int) -> Signature:
    """The cosignature of `signer` over a checkpoint's text at `time_s` (seconds since 1970, 0 to 2^63-1)."""
    assert signer.vkey.algorithm == COSIGNATURE, signer.vkey.algorithm
    assert 0 <= time_s <= SIZE_MAX, time_s
    signature = signer.raw(cosigned_message(note_text, time_s))
    return Signature(signer.name, signer.vkey.key_id, time_s.to_bytes(8) + signature)


def verify(key: VerifierKey, note_text: bytes, signature: Signature) -> int:
    """The time (s) at which `key` cosigned the text; Malformed when it did not: another name or key id, or a wrong signature."""
    if key.algorithm != COSIGNATURE or not key.matches(signature):
        raise Malformed("note.signature", f"is not a cosignature of {key.name}")
    time_s = key.verify(note_text, signature.signature)
    assert time_s is not None
    return time_s


def time_of(signature: Signature) -> int | None:
    """The time (s) that `signature` claims if it has the form of an Ed25519 cosignature, not verified; else None."""
    time_s = int.from_bytes(signature.signature[:8])
    return time_s if len(signature.signature) == COSIGNATURE_SIZE and time_s <= SIZE_MAX else None
