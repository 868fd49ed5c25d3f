"""The head of a log at one size: origin, number of entries, root; as the text of a signed note. Pure apart from crypto.

    <origin> "\\n" <size, decimal> "\\n" <root, base64> "\\n"

Extension lines, which C2SP allows and discourages, are refused: nobody audits them.

Source: C2SP tlog-checkpoint v1.
"""

from __future__ import annotations

import msgspec

from counterfoil.errors import Malformed
from counterfoil.tlog.merkle import EMPTY_ROOT, HASH_SIZE
from counterfoil.tlog.note import Note, Signer, VerifierKey
from counterfoil.tlog.text import SIZE_MAX, base64_text, decode_utf8, parse_decimal, parse_hash
from counterfoil.tlog.types import NotProven

ORIGIN_SIZE_MAX = 255
"""Bytes of an origin."""


class Checkpoint(msgspec.Struct, frozen=True):
    """What a log says of itself: `size` entries (0 to 2^63-1) under `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not 1 <= len(self.origin.encode()) <= ORIGIN_SIZE_MAX or any(ord(character) < 0x20 for character in self.origin):
            raise Malformed("checkpoint.origin", f"must be 1 to {ORIGIN_SIZE_MAX} bytes without control characters")
        if not 0 <= self.size <= SIZE_MAX:
            raise Malformed("checkpoint.size", "must be 0 to 2^63-1")
        if len(self.root) != HASH_SIZE:
            raise Malformed("checkpoint.root", f"must be {HASH_SIZE} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise Malformed("checkpoint.root", "of a log without entries must be the hash of nothing")

    def text(self) -> bytes:
        """The text that log and witnesses sign."""
        return f"{self.origin}\n{self.size}\n{base64_text(self.root)}\n".encode()

    @classmethod
    def parse(cls, text: bytes) -> Checkpoint:
        """The checkpoint that a note's `text` spells; Malformed for anything else. `parse(text).text() == text`."""
        lines = decode_utf8(text, "checkpoint").split("\n")
        if lines.pop() or len(lines) < 3:
            raise Malformed("checkpoint", "must be three lines: origin, size, root")
        if len(lines) > 3:
            raise Malformed("checkpoint", "must not have extension lines")
        return cls(lines[0], parse_decimal(lines[1], "checkpoint.size"), parse_hash(lines[2], "checkpoint.root"))


def sign(checkpoint: Checkpoint, signer: Signer) -> Note:
    """The signed head. The same checkpoint and key yield the same bytes."""
    text = checkpoint.text()
    return Note(text, (signer.sign(text),))


def open_checkpoint(data: bytes, log_key: VerifierKey, origin: str | None = None) -> tuple[Checkpoint, Note]:
    """The checkpoint in the note `data` once it is shown to be `log_key`'s, for the log `origin` (by default the key's name).

    Malformed: not a checkpoint, or a wrong signature by that key. NotProven: not signed by that key, or of another log.
    """
    note = Note.parse(data)
    checkpoint = Checkpoint.parse(note.text)
    expected = log_key.name if origin is None else origin
    if checkpoint.origin != expected:
        raise NotProven(f"the checkpoint is of {checkpoint.origin}, not of {expected}")
    note.verified_by([log_key])
    return checkpoint, note
