"""A browser's side of Web Push and the push service between, written from the RFCs: none of the code under test is used."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.channels.receiver import Receiver, Request, receiving


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def data_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Phone:
    """A browser that has subscribed: its keys, and what it reads of what it is sent."""

    def __init__(self, seed: str = "phone", *, private: bytes = b"", auth: bytes = b"") -> None:
        scalar = int.from_bytes(private or hashlib.sha256(seed.encode()).digest())
        self.key = ec.derive_private_key(scalar, ec.SECP256R1())
        self.auth = auth or hashlib.sha256(b"auth" + seed.encode()).digest()[:16]
        self.p256dh = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def read(self, body: bytes) -> bytes:
        """RFC 8188 §2 and RFC 8291 §3.3-3.4: the plaintext of one record. Anything wrong raises."""
        salt, record_size, id_size = body[:16], int.from_bytes(body[16:20]), body[20]
        sender, record = body[21 : 21 + id_size], body[21 + id_size :]
        assert record_size >= 18, record_size
        assert 17 <= len(record) <= record_size, (len(record), record_size)
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        info = b"WebPush: info\x00" + self.p256dh + sender
        secret = HKDF(SHA256(), 32, salt=self.auth, info=info).derive(shared)
        key = HKDF(SHA256(), 16, salt=salt, info=b"Content-Encoding: aes128gcm\x00").derive(secret)
        nonce = HKDF(SHA256(), 12, salt=salt, info=b"Content-Encoding: nonce\x00").derive(secret)
        padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\x00")
        assert padded[-1:] == b"\x02", "the last record ends with 2"
        return padded[:-1]


class Token(msgspec.Struct, frozen=True):
    """What a VAPID header claims, and by which key."""

    claims: dict[str, Any]
    key: bytes


def vapid(header: str) -> Token:
    """RFC 8292 §2 and §3; RFC 7515. Raises unless the signature is right."""
    scheme, _, rest = header.partition(" ")
    assert scheme == "vapid", header
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    head, claims, signature = fields["t"].split(".")
    assert json.loads(data_of(head)) == {"typ": "JWT", "alg": "ES256"}
    raw, key = data_of(signature), data_of(fields["k"])
    assert len(raw) == 64
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    encoded = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    point.verify(encoded, f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
    return Token(json.loads(data_of(claims)), key)


class PushService:
    """A push service on the loopback that knows its phones; `answer` as a `Receiver`'s: a status, or what decides on one."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.phones: dict[str, Phone] = {}
        self.ids: list[bytes] = []
        """What was read of each request, in order."""
        self.requests: list[Request] = []
        self.answer: int | Callable[[Request], int] = 201
        self._lock = threading.Lock()
        receiver.answer = self._take

    def phone(self, seed: str) -> Phone:
        """A new phone; its endpoint is `url(seed)`."""
        self.phones[f"/push/{seed}"] = Phone(seed)
        return self.phones[f"/push/{seed}"]

    def url(self, seed: str) -> str:
        return self.receiver.url(f"/push/{seed}")

    def _take(self, request: Request) -> int:
        token = vapid(request.headers["authorization"])
        assert token.claims["aud"] == f"http://127.0.0.1:{self.receiver.port}"
        assert request.headers["content-encoding"] == "aes128gcm"
        said = self.phones[request.path].read(request.body)
        assert request.headers["topic"] == said.decode()
        with self._lock:
            self.ids.append(data_of(said.decode()))
            self.requests.append(request)
        return self.answer if isinstance(self.answer, int) else self.answer(request)

    @property
    def told(self) -> list[str]:
        """Which phones were woken, in order."""
        return [request.path.removeprefix("/push/") for request in self.requests]


@contextlib.contextmanager
def push_service() -> Iterator[PushService]:
    with receiving() as receiver:
        yield PushService(receiver)
