"""The auditor's own key, and its word: "audited to size N", as a cosignature of the checkpoint."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from pathlib import Path

from nacl.signing import SigningKey

from counterfoil_verify.note import COSIGNER, Key, cosigned, from_base64
from counterfoil_verify.report import Refuted, Unchecked


class Auditor:
    """One secret key. Its file is one line, `PRIVATE+KEY+name+id+base64(4 || seed)`."""

    def __init__(self, key: Key, secret: SigningKey) -> None:
        self.key = key
        self.secret = secret

    @classmethod
    def read(cls, path: str) -> Auditor:
        try:
            private, word, name, ident, data = Path(path).read_text("utf-8").strip().split("+", 4)
            seed = from_base64(data, "the auditor's key")
            secret = SigningKey(seed[1:])
            key = Key.parse(f"{name}+{ident}+{_public(secret)}")
            if (private, word, seed[0]) == ("PRIVATE", "KEY", COSIGNER):
                return cls(key, secret)
        except (Refuted, ValueError, IndexError):
            pass
        raise Unchecked(f"{path} is not a cosigner's secret key (PRIVATE+KEY+name+id+base64, type 4)")

    @staticmethod
    def make(name: str, path: str) -> str:
        """A new key in a new file for its owner alone; the public half, as it stands in a policy."""
        secret = SigningKey.generate()
        public = bytes((COSIGNER,)) + bytes(secret.verify_key)
        ident = hashlib.sha256(name.encode() + b"\n" + public).hexdigest()[:8]
        vkey = f"{name}+{ident}+{_public(secret)}"
        try:
            Key.parse(vkey)
        except Refuted as problem:
            raise Unchecked(f"{name} cannot be the name of a key: {problem}") from None
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"PRIVATE+KEY+{name}+{ident}+{base64.b64encode(bytes((COSIGNER,)) + bytes(secret)).decode()}\n")
        return vkey

    def cosigned(self, text: bytes) -> bytes:
        """The checkpoint with one line: audited to its size, now."""
        now = int(time.time())
        signature = self.secret.sign(cosigned(text, now)).signature
        return text + f"\n— {self.key.name} {base64.b64encode(self.key.id + now.to_bytes(8) + signature).decode()}\n".encode()


def _public(secret: SigningKey) -> str:
    return base64.b64encode(bytes((COSIGNER,)) + bytes(secret.verify_key)).decode()
