"""The signed note: a text, an empty line, and one line for each signature. Pure apart from crypto.

Signatures by unknown keys are ignored; a signature by a known key that does not verify spoils the whole note. Parsing
says nothing about truth: what a note claims counts only after `verified_by`.

Source: C2SP signed-note v1; Go golang.org/x/mod/sumdb/note v0.40.0 (limit of 100 signatures).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from counterfoil.errors import Malformed
from counterfoil.tlog.keys import ALGORITHMS, COSIGNATURE, ED25519, Signature, Signer, VerifierKey
from counterfoil.tlog.text import decode_utf8
from counterfoil.tlog.types import NotProven

__all__ = ["ALGORITHMS", "COSIGNATURE", "ED25519", "NOTE_SIZE_MAX", "Note", "SIGNATURES_MAX", "Signature", "Signer", "VerifierKey"]

SIGNATURES_MAX = 100
"""Signature lines in a note."""
NOTE_SIZE_MAX = 1_000_000
"""Bytes of a note."""


class Note(msgspec.Struct, frozen=True):
    """`text` ends in a newline; `signatures` (1 to SIGNATURES_MAX) are as they came, not verified."""

    text: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """The note that `data` is, to the last byte. Malformed for anything else; `Note.parse(data).encode() == data`."""
        if len(data) > NOTE_SIZE_MAX:
            raise Malformed("note", f"must be at most {NOTE_SIZE_MAX} bytes")
        decode_utf8(data, "note")
        at = data.rfind(b"\n\n")
        if at < 0:
            raise Malformed("note", "must have an empty line before the signatures")
        lines = data[at + 2 :].decode()
        if not lines.endswith("\n"):
            raise Malformed("note", "must end with a signature line and its newline")
        signatures = lines[:-1].split("\n")
        if len(signatures) > SIGNATURES_MAX:
            raise Malformed("note", f"must carry at most {SIGNATURES_MAX} signatures")
        return cls(data[: at + 1], tuple(Signature.parse(line) for line in signatures))

    def encode(self) -> bytes:
        """The note's bytes, as they are published."""
        assert self.text.endswith(b"\n"), self.text
        return self.text + b"\n" + b"".join(signature.line() for signature in self.signatures)

    def with_signatures(self, signatures: Iterable[Signature]) -> Note:
        """The same note with more signatures at its end."""
        return Note(self.text, (*self.signatures, *signatures))

    def verified_by(self, keys: Iterable[VerifierKey]) -> list[tuple[VerifierKey, Signature]]:
        """The signatures by `keys`, each verified, in the note's order; of several by one key the first.

        Malformed when a signature that names one of `keys` is wrong, or names two of them (same name and id). NotProven when
        none is by any of `keys`.
        """
        known = list(keys)
        found: dict[VerifierKey, Signature] = {}
        for signature in self.signatures:
            matching = [key for key in known if key.matches(signature)]
            if len(matching) > 1:
                raise Malformed("note.signature", f"of {signature.name} fits two known keys")
            for key in matching:
                key.verify(self.text, signature.signature)
                found.setdefault(key, signature)
        if not found:
            raise NotProven("nobody known has signed this note")
        return list(found.items())
