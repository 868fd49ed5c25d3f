"""Keys of logs and witnesses, and signatures by them: who signs, under which name, and whether it is right. Pure apart from crypto.

    key_id         = SHA256(name || "\\n" || algorithm || public_key)[:4]
    vkey           = name "+" hex(key_id) "+" base64(algorithm || public_key)
    signature line = "— " name " " base64(key_id || signature) "\\n"

Algorithm 0x01 is Ed25519 over the note's text; 0x04 the Ed25519 cosignature: u64 time (s) || Ed25519 over
"cosignature/v1\\ntime <time>\\n" || text. Signatures are verified by libsodium (strict), so that whatever is accepted
here, any other verifier accepts.

Source: C2SP signed-note v1, tlog-cosignature v1; docs/explanation/trust.md "Admission rules".
"""

from __future__ import annotations

import hashlib

import msgspec
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign, crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from counterfoil.errors import Malformed
from counterfoil.tlog.text import SIZE_MAX, base64_text, parse_base64

ED25519 = 0x01
COSIGNATURE = 0x04
ALGORITHMS = (ED25519, COSIGNATURE)
KEY_ID_SIZE = 4
KEY_SIZE = 32
SIGNATURE_SIZE = 64
COSIGNATURE_SIZE = 8 + SIGNATURE_SIZE
NAME_SIZE_MAX = 255
"""Bytes of a key name that we admit or make. Source: C2SP tlog-cosignature v1, ML-DSA-44 message."""


def is_key_name(name: str) -> bool:
    """Whether `name` may be a key's: not empty, no Unicode spaces, no plus."""
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def key_id(name: str, algorithm: int, public_key: bytes) -> bytes:
    """The four bytes that stand for the key in a signature line: an identifier, not a commitment."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public_key).digest()[:KEY_ID_SIZE]


class Signature(msgspec.Struct, frozen=True):
    """One signature line of a note, not verified. `signature` is what follows the key id: 1 byte or more."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> bytes:
        """The line as it stands in a note, newline included."""
        return f"— {self.name} {base64_text(self.key_id + self.signature)}\n".encode()

    @classmethod
    def parse(cls, line: str) -> Signature:
        """The signature in `line` (without newline). Malformed for what is not a signature line."""
        if not line.startswith("— ") or len(parts := line[2:].split(" ")) != 2:
            raise Malformed("note.signature", "must be an em dash, a space, the key's name, a space and base64")
        name, encoded = parts
        if not is_key_name(name):
            raise Malformed("note.signature", "must carry a key name without spaces or plus")
        data = parse_base64(encoded, "note.signature")
        if len(data) <= KEY_ID_SIZE:
            raise Malformed("note.signature", "must be a key id of 4 bytes and a signature")
        return cls(name, data[:KEY_ID_SIZE], data[KEY_ID_SIZE:])


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key that somebody decided to trust, under a name. `algorithm` is ED25519 or COSIGNATURE."""

    name: str
    key_id: bytes
    algorithm: int
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.name.encode()) > NAME_SIZE_MAX:
            raise Malformed("vkey.name", f"must be 1 to {NAME_SIZE_MAX} bytes without spaces or plus")
        if any(ord(character) < 0x20 for character in self.name):
            raise Malformed("vkey.name", "must not contain control characters")
        if self.algorithm not in ALGORITHMS:
            raise Malformed("vkey.algorithm", "must be 1 (Ed25519) or 4 (Ed25519 cosignature)")
        if len(self.public_key) != KEY_SIZE:
            raise Malformed("vkey.public_key", f"must be {KEY_SIZE} bytes")
        if not crypto_core_ed25519_is_valid_point(self.public_key):
            raise Malformed("vkey.public_key", "must be a point of the main subgroup of Ed25519")
        if self.key_id != key_id(self.name, self.algorithm, self.public_key):
            raise Malformed("vkey.key_id", "does not belong to this name and key")

    @classmethod
    def of(cls, name: str, public_key: bytes, algorithm: int = ED25519) -> VerifierKey:
        """The key under that name, with the id that follows."""
        return cls(name, key_id(name, algorithm, public_key), algorithm, public_key)

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """The key that `text` (a vkey) spells. Malformed for another spelling, an unknown algorithm, a wrong id or an odd point."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise Malformed("vkey", "must be name+id+key")
        name, identifier, encoded = parts
        if len(identifier) != 2 * KEY_ID_SIZE or set(identifier) - set("0123456789abcdef"):
            raise Malformed("vkey.key_id", "must be 8 lowercase hexadecimal digits")
        data = parse_base64(encoded, "vkey.public_key")
        if not data:
            raise Malformed("vkey.public_key", "must not be empty")
        return cls(name, bytes.fromhex(identifier), data[0], data[1:])

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64_text(bytes([self.algorithm]) + self.public_key)}"

    def matches(self, signature: Signature) -> bool:
        """Whether `signature` says it is by this key. That it is remains to be verified."""
        return self.key_id == signature.key_id and self.name == signature.name

    def verify(self, text: bytes, signature: bytes) -> int | None:
        """Returns when `signature` over the note `text` is this key's: the time (s) of a cosignature, None for a plain one.

        Malformed otherwise.
        """
        if self.algorithm == ED25519:
            self._check(text, signature)
            return None
        if len(signature) != COSIGNATURE_SIZE:
            raise Malformed("note.signature", f"of {self.name} must be {COSIGNATURE_SIZE} bytes")
        time_s = int.from_bytes(signature[:8])
        if time_s > SIZE_MAX:
            raise Malformed("note.signature", f"of {self.name} names a time above 2^63-1")
        self._check(cosigned_message(text, time_s), signature[8:])
        return time_s

    def _check(self, message: bytes, signature: bytes) -> None:
        try:
            if len(signature) == SIGNATURE_SIZE:
                crypto_sign_open(signature + message, self.public_key)
                return
        except BadSignatureError:
            pass
        raise Malformed("note.signature", f"of {self.name} is wrong")


def cosigned_message(text: bytes, time_s: int) -> bytes:
    """What a witness signs: "at this time, this was the largest consistent tree I had seen of this log"."""
    return f"cosignature/v1\ntime {time_s}\n".encode() + text


class Signer:
    """A private key under a name. `algorithm` ED25519 signs notes, COSIGNATURE cosigns checkpoints (`cosignature.cosign`)."""

    def __init__(self, name: str, key: SigningKey, algorithm: int = ED25519) -> None:
        self.vkey = VerifierKey.of(name, bytes(key.verify_key), algorithm)
        self._secret = bytes(key) + bytes(key.verify_key)  # libsodium's form of a secret key

    @property
    def name(self) -> str:
        return self.vkey.name

    def sign(self, text: bytes) -> Signature:
        """The signature over the note `text`, which ends in a newline. The same text yields the same bytes."""
        assert self.vkey.algorithm == ED25519, "a cosigner signs with a time"
        return Signature(self.name, self.vkey.key_id, self.raw(text))

    def raw(self, message: bytes) -> bytes:
        """64 bytes of Ed25519 over exactly `message`."""
        return crypto_sign(message, self._secret)[:crypto_sign_BYTES]
