"""Signed notes and the keys behind them: who said which words. Ed25519 as libsodium has it (strict).

Source: C2SP signed-note, tlog-checkpoint, tlog-cosignature v1 (C2SP/C2SP@5ba5ee8).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError

from counterfoil_verify.report import Refuted

LOG, COSIGNER = 0x01, 0x04
SIGNATURES_MAX = 100
NOTE_SIZE_MAX = 1_000_000
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")
_NAME = re.compile(r"[^\s+]+")


def ed25519_key(public: bytes) -> bytes:
    """`public` itself when it is a canonical point of the main subgroup; else Refuted. CVE-2025-69277: needs PyNaCl 1.6.2."""
    if len(public) != 32 or not crypto_core_ed25519_is_valid_point(public):
        raise Refuted("an Ed25519 key is not 32 canonical bytes of a point of the main subgroup")
    return public


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `message` was made with `public`."""
    if len(signature) != 64:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def from_base64(text: str, what: str) -> bytes:
    """Refuses what is not the one standard encoding of its bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or base64.b64encode(data).decode() != text:
        raise Refuted(f"{what} is not standard base64")
    return data


@dataclass(frozen=True)
class Key:
    """A verifier key `name+id+base64(type || public)`."""

    name: str
    id: bytes
    type: int
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Key:
        name, _, rest = text.partition("+")
        id_text, _, data_text = rest.partition("+")
        data = from_base64(data_text, f"the key of {name!r}")
        key = cls(name, sha256(name.encode("utf-8", "surrogateescape") + b"\n" + data).digest()[:4], data[0], data[1:])
        if not _NAME.fullmatch(name) or id_text != key.id.hex() or key.type not in (LOG, COSIGNER):
            raise Refuted(f"the key of {name!r} has a name, an id or a type (1 log, 4 cosigner) that cannot be")
        ed25519_key(key.public)
        return key


@dataclass(frozen=True)
class Note:
    """`text` ends in a newline; `signatures` are (name, key id, signature) as they stand."""

    text: bytes
    signatures: list[tuple[str, bytes, bytes]]

    @classmethod
    def parse(cls, data: bytes) -> Note:
        head, gap, tail = data.rpartition(b"\n\n")
        try:
            data.decode()
            lines = tail.decode().split("\n")
        except UnicodeDecodeError:
            raise Refuted("a signed note is not UTF-8") from None
        if not gap or _CONTROL.search(data) or lines.pop() != "" or not 0 < len(lines) <= SIGNATURES_MAX or len(data) > NOTE_SIZE_MAX:
            raise Refuted("a signed note must be text, an empty line and 1 to 100 signature lines, and nothing after them")
        signatures = []
        for line in lines:
            dash, name, encoded = (*line.split(" "), "", "")[:3]
            value = from_base64(encoded, "a signature line")
            if line != f"{dash} {name} {encoded}" or dash != "—" or not _NAME.fullmatch(name) or len(value) < 5:
                raise Refuted("a signature line is not of the form '— name base64'")
            signatures.append((name, value[:4], value[4:]))
        return cls(head + b"\n", signatures)

    def verified(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Those of `keys` that signed, with the time (s) of a cosignature, 0 for a log. Signatures of others are ignored.

        Refuted when a signature by one of `keys` fails: somebody changed the note.
        """
        known: dict[tuple[str, bytes], list[Key]] = {}
        for key in keys:
            known.setdefault((key.name, key.id), []).append(key)
        found: dict[Key, int] = {}
        for name, ident, value in self.signatures:
            candidates = known.get((name, ident), [])
            if len(candidates) > 1:
                raise Refuted(f"two keys have the name {name} and the same id")
            for key in candidates:
                time = int.from_bytes(value[:8]) if key.type == COSIGNER else 0
                message, signature = (cosigned(self.text, time), value[8:]) if key.type == COSIGNER else (self.text, value)
                if time >= 2**63 or not ed25519(key.public, message, signature):
                    raise Refuted(f"the signature by {name} does not fit: words or signature were changed, or the key is another")
                found.setdefault(key, time)
        return found


def cosigned(text: bytes, time: int) -> bytes:
    """What a cosigner signs at `time` (s)."""
    return b"cosignature/v1\ntime %d\n" % time + text
