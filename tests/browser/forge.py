"""A small log with witnesses and receipts, written from docs/reference/log.md alone: it shares no code with the server."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Sequence
from typing import Any

from nacl.signing import SigningKey

BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
ORIGIN = "money.example/log"
TIME_S = 1_795_290_000


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha(b"\x01", left, right)


def root_of(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node(root_of(leaves[:half]), root_of(leaves[half:]))


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The inclusion proof, leaf's sibling first. Source: RFC 6962 §2.1.1."""
    if len(leaves) <= 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path(index, leaves[:half]), root_of(leaves[half:])]
    return [*path(index - half, leaves[half:]), root_of(leaves[:half])]


class Signer:
    """A key with a name, as notes know it."""

    def __init__(self, name: str, algorithm: int, seed: str = "") -> None:
        self.name = name
        self.algorithm = algorithm
        self.key = SigningKey(sha((seed or name).encode()))
        self.data = bytes([algorithm]) + bytes(self.key.verify_key)
        self.key_id = sha(name.encode(), b"\n", self.data)[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self.data).decode()}"

    def signature(self, text: str, time_s: int = TIME_S) -> bytes:
        if self.algorithm == 1:
            return self.key.sign(text.encode()).signature
        return struct.pack(">Q", time_s) + self.key.sign(f"cosignature/v1\ntime {time_s}\n{text}".encode()).signature

    def line(self, text: str, time_s: int = TIME_S) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature(text, time_s)).decode()}\n"


LOG = Signer(ORIGIN, 1)
WITNESSES = [Signer(f"{name}.example/witness", 4) for name in ("bank", "consumers", "university", "union", "newspaper")]


def policy(log: Signer = LOG, witnesses: Sequence[Signer] = WITNESSES, quorum: int = 4) -> str:
    lines = [f"log {log.vkey}", *(f"witness W{n} {witness.vkey} https://w{n}.example/" for n, witness in enumerate(witnesses, 1))]
    members = " ".join(f"W{n}" for n in range(1, len(witnesses) + 1))
    return "\n".join([*lines, f"group all-witnesses {quorum} {members}", "quorum all-witnesses", ""])


def transfer_payload(**changes: Any) -> bytes:
    """A holder's view of a payment, 164 bytes."""
    values: dict[str, Any] = dict(
        event=0, kind=1, authorisation=1, account=0xA1, direction=0, counterparty=0xB2, payment=0xC3, order_hash=b"\x77" * 32,
        amount=1_250, fee=-10, balance=98_740, held=0, time=1_795_289_990_123_456_789, seq=7, prev=b"\x05" * 32,
    )  # fmt: skip
    v = values | changes
    head: bytes = struct.pack(">BBB16sB16s16s", v["event"], v["kind"], v["authorisation"], v["account"].to_bytes(16), v["direction"],
                       v["counterparty"].to_bytes(16), v["payment"].to_bytes(16))  # fmt: skip
    tail = struct.pack(">QqqQQQ", v["amount"], v["fee"], v["balance"], v["held"], v["time"], v["seq"])
    return b"".join((head, v["order_hash"], tail, v["prev"]))


class Entry:
    """One entry and its four views."""

    def __init__(self, kind: int, payloads: Sequence[bytes], seed: str = "entry") -> None:
        self.kind = kind
        self.payloads = payloads
        self.salts = [sha(seed.encode(), bytes([role])) for role in range(1, 5)]
        self.leaves = [
            sha(b"\0", sha(b"counterfoil/view/v1", bytes([role]), salt, payload))
            for role, salt, payload in zip(range(1, 5), self.salts, payloads, strict=True)
        ]
        self.leaf = sha(b"\0", b"\x01", bytes([kind]), root_of(self.leaves))

    def opening(self, role: int) -> bytes:
        sibling, uncle = path(role - 1, self.leaves)
        return bytes([self.kind, role]) + self.salts[role - 1] + sibling + uncle + self.payloads[role - 1]


class Forge:
    """A log of `size` entries with `entry` at `index`, its checkpoint and cosignatures."""

    def __init__(
        self, entry: Entry, *, index: int = 300, size: int = 700, log: Signer = LOG, cosigners: Sequence[Signer] = WITNESSES
    ) -> None:
        self.entry = entry
        self.index = index
        self.leaves = [sha(b"\0", n.to_bytes(8)) for n in range(size)]
        self.leaves[index] = entry.leaf
        self.root = root_of(self.leaves)
        self.text = f"{log.name}\n{size}\n{base64.b64encode(self.root).decode()}\n"
        self.log = log
        self.cosigners = cosigners
        self.hashes = path(index, self.leaves)

    def checkpoint(self) -> str:
        return f"{self.text}\n{self.log.line(self.text)}{''.join(cosigner.line(self.text) for cosigner in self.cosigners)}"

    def receipt(self, role: int = 1, *, opening: bytes | None = None, index: int | None = None) -> str:
        lines = [f"{base64.b64encode(each).decode()}\n" for each in self.hashes]
        extra = base64.b64encode(opening or self.entry.opening(role)).decode()
        number = self.index if index is None else index
        return f"c2sp.org/tlog-proof@v1\nextra {extra}\nindex {number}\n{''.join(lines)}\n{self.checkpoint()}"

    def packed(self, role: int = 1) -> bytes:
        opening, origin = self.entry.opening(role), self.log.name.encode()
        head = b"\x01" + len(opening).to_bytes(2) + opening + struct.pack(">QQ", self.index, len(self.leaves)) + self.root
        hashes = bytes([len(self.hashes)]) + b"".join(self.hashes)
        log = len(origin).to_bytes(2) + origin + self.log.key_id + self.log.signature(self.text)
        cosignatures = b"".join(cosigner.key_id + cosigner.signature(self.text) for cosigner in self.cosigners)
        return head + hashes + log + bytes([len(self.cosigners)]) + cosignatures

    def qr_text(self, role: int = 1) -> str:
        return "CF1:" + base45(self.packed(role))


def base45(data: bytes) -> str:
    """Source: RFC 9285."""
    text = ""
    for at in range(0, len(data), 2):
        pair = data[at : at + 2]
        value, digits = int.from_bytes(pair), ""
        for _ in range(len(pair) + 1):
            value, digit = divmod(value, 45)
            digits += BASE45[digit]
        text += digits
    return text


def payment(**changes: Any) -> Entry:
    """A payment, seen by both."""
    payer = transfer_payload(**changes)
    payee = transfer_payload(**(dict(direction=1, account=0xB2, counterparty=0xA1, fee=0, balance=1_250, seq=3) | changes))
    return Entry(1, [payer, payee, b"audit", b""])
