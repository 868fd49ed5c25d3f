"""The receipt: an entry's opening, its way to the root, and the witnessed checkpoint; as text, and packed for one QR code. Pure.

    c2sp.org/tlog-proof@v1
    extra <base64>                     optional; not authenticated by itself
    index <decimal>
    <base64 hash>                      zero or more, the leaf's sibling first
    (empty line)
    <checkpoint, verbatim>

    packed = 0x01 || bytes16 extra || u64 index || u64 size || root(32) || u8 count || hashes(32 each)
             || bytes16 origin || key_id(4) || signature(64) || u8 count || (key_id(4) || u64 time || signature(64)) each

Decoding says nothing about truth. The packed form leaves out the signers' names, which the reader's own policy has.

Source: C2SP tlog-proof v1; docs/reference/log.md "Receipt"; RFC 9285 (base45).
"""

from __future__ import annotations

import msgspec

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.keys import COSIGNATURE_SIZE, KEY_ID_SIZE, SIGNATURE_SIZE, Signature, VerifierKey
from counterfoil.tlog.merkle import HASH_SIZE
from counterfoil.tlog.note import NOTE_SIZE_MAX, Note
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.text import SIZE_MAX, base64_text, parse_base64, parse_decimal, parse_hash
from counterfoil.tlog.types import NotProven

HEADER = "c2sp.org/tlog-proof@v1"
PROOF_SIZE_MAX = NOTE_SIZE_MAX
"""Bytes of a receipt as text."""
HASHES_MAX = 63
"""Hashes of a proof: the height of the largest tree."""
PACKED_VERSION = 1
QR_PREFIX = "CF1:"
QR_SIZE_MAX = 4_296
"""Alphanumeric characters in the largest QR code. Source: ISO/IEC 18004, version 40-L."""
_BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"


class TlogProof(msgspec.Struct, frozen=True):
    """A receipt, not verified. `extra` is the encoded opening, None without; `checkpoint` the note's bytes as they came."""

    extra: bytes | None
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """The receipt as text."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64_text(self.extra)}")
        lines += [f"index {self.index}", *(base64_text(each) for each in self.hashes), "", ""]
        return "\n".join(lines).encode() + self.checkpoint

    @classmethod
    def decode(cls, data: bytes) -> TlogProof:
        """The receipt in `data`; Malformed otherwise. The checkpoint in it is not looked at: `Note.parse` does."""
        if len(data) > PROOF_SIZE_MAX:
            raise Malformed("proof", f"must be at most {PROOF_SIZE_MAX} bytes")
        head, gap, checkpoint = data.partition(b"\n\n")
        if not gap or not checkpoint:
            raise Malformed("proof", "must have an empty line and a checkpoint after its hashes")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise Malformed("proof", "must be ASCII before its checkpoint") from None
        if lines.pop(0) != HEADER:
            raise Malformed("proof", f"must begin with the line {HEADER}")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = parse_base64(lines.pop(0)[6:], "proof.extra")
        if not lines or not lines[0].startswith("index "):
            raise Malformed("proof.index", "must follow as a line of its own")
        index = parse_decimal(lines.pop(0)[6:], "proof.index")
        if len(lines) > HASHES_MAX:
            raise Malformed("proof.hashes", f"must be at most {HASHES_MAX}")
        return cls(extra, index, tuple(parse_hash(line, "proof.hashes") for line in lines), checkpoint)


def pack(proof: TlogProof) -> bytes:
    """The packed form. Of the checkpoint's signatures it keeps the log's (named as the origin) and all Ed25519 cosignatures.

    Malformed when the checkpoint is none, or is not signed under the origin's name.
    """
    note = Note.parse(proof.checkpoint)
    checkpoint = Checkpoint.parse(note.text)
    logs = [each for each in note.signatures if each.name == checkpoint.origin and len(each.signature) == SIGNATURE_SIZE]
    if not logs:
        raise Malformed("proof.checkpoint", "must be signed under the name of its origin")
    cosignatures = [each for each in note.signatures if len(each.signature) == COSIGNATURE_SIZE]
    assert len(proof.hashes) <= HASHES_MAX, len(proof.hashes)
    return b"".join((
        bytes((PACKED_VERSION,)), _bytes16(proof.extra or b""), proof.index.to_bytes(8), checkpoint.size.to_bytes(8), checkpoint.root,
        bytes((len(proof.hashes),)), *proof.hashes,
        _bytes16(checkpoint.origin.encode()), logs[0].key_id, logs[0].signature,
        bytes((len(cosignatures),)), *(each.key_id + each.signature for each in cosignatures),
    ))  # fmt: skip


def unpack(data: bytes, policy: Policy) -> TlogProof:
    """The receipt that was packed, signers named by `policy`. Cosignatures of witnesses that it does not list are left out.

    Malformed when the bytes are not in the packed form, to the last one. NotProven when the policy does not list the log.
    """
    parts = _Parts(data)
    if parts.take(1)[0] != PACKED_VERSION:
        raise Malformed("packed.version", f"must be {PACKED_VERSION}")
    extra = parts.take(parts.number(2))
    index, size, root = parts.number(8), parts.number(8), parts.take(HASH_SIZE)
    count = parts.number(1)
    if index > SIZE_MAX or count > HASHES_MAX:
        raise Malformed("packed", f"must have an index below 2^63 and at most {HASHES_MAX} hashes")
    hashes = tuple(parts.take(HASH_SIZE) for _ in range(count))
    try:
        origin = parts.take(parts.number(2)).decode()
    except UnicodeDecodeError:
        raise Malformed("packed.origin", "must be UTF-8") from None
    log_id, log_signature = parts.take(KEY_ID_SIZE), parts.take(SIGNATURE_SIZE)
    cosignatures = [(parts.take(KEY_ID_SIZE), parts.take(COSIGNATURE_SIZE)) for _ in range(parts.number(1))]
    parts.end()
    if not any(log.key.name == origin and log.key.key_id == log_id for log in policy.logs):
        raise NotProven(f"the policy does not list this log: {origin!r}")
    witnesses = [witness.key for witness in policy.witnesses.values()]
    signatures = [Signature(origin, log_id, log_signature)]
    for identifier, signature in cosignatures:
        if name := _name(identifier, witnesses):
            signatures.append(Signature(name, identifier, signature))
    note = Note(Checkpoint(origin, size, root).text(), tuple(signatures))
    return TlogProof(extra or None, index, hashes, note.encode())


def _name(identifier: bytes, keys: list[VerifierKey]) -> str | None:
    names = [key.name for key in keys if key.key_id == identifier]
    if len(names) > 1:
        raise Malformed("packed.cosignature", "carries a key id that two witnesses of the policy share")
    return names[0] if names else None


def qr_text(packed: bytes) -> str:
    """`packed` for a QR code in alphanumeric mode."""
    pairs = [packed[at : at + 2] for at in range(0, len(packed), 2)]
    digits = []
    for pair in pairs:
        value = int.from_bytes(pair)
        for _ in range(len(pair) + 1):
            value, digit = divmod(value, 45)
            digits.append(_BASE45[digit])
    return QR_PREFIX + "".join(digits)


def from_qr_text(text: str) -> bytes:
    """What `qr_text` wrote; Malformed otherwise."""
    if not text.startswith(QR_PREFIX) or len(text) > QR_SIZE_MAX:
        raise Malformed("qr", f"must begin with {QR_PREFIX} and be at most {QR_SIZE_MAX} characters")
    digits = [_BASE45.find(character) for character in text[len(QR_PREFIX) :]]
    if -1 in digits:
        raise Malformed("qr", "must be base45 (RFC 9285)")
    data = bytearray()
    for at in range(0, len(digits), 3):
        group = digits[at : at + 3]
        value = sum(digit * 45**place for place, digit in enumerate(group))
        size = len(group) - 1
        if size == 0 or value >= 1 << 8 * size:
            raise Malformed("qr", "must be base45 (RFC 9285)")
        data += value.to_bytes(size)
    return bytes(data)


def _bytes16(data: bytes) -> bytes:
    assert len(data) < 1 << 16, len(data)
    return len(data).to_bytes(2) + data


class _Parts:
    """Bytes taken one field after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise Malformed("packed", "is cut short")
        part, self._at = self._data[self._at : end], end
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def end(self) -> None:
        if self._at != len(self._data):
            raise Malformed("packed", "has bytes after its end")
