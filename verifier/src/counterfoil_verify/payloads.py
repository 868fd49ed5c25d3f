"""The formats of entries, byte for byte as docs/reference/log.md has them. Integers are big-endian."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from counterfoil_verify.merkle import node_hash
from counterfoil_verify.report import Refuted

TRANSFER, ISSUE, REDEEM, KEY, RULES, FREEZE, ACCOUNT = 1, 2, 3, 4, 5, 6, 10
TYPES = dict(enumerate(("transfer", "issue", "withdrawal", "key", "rules", "freeze", "epoch", "reserve", "complaint", "account"), 1))
EVENTS = ("done", "held", "captured", "released", "expired")
KINDS = ("no order", "pay", "hold", "capture", "release", "refund", "reversal", "issue", "withdrawal")
CLASSES = ("none", "device", "PIN", "card", "staff", "mandate", "token")
VIEW = b"counterfoil/view/v1"
HOLDER = struct.Struct(">BBB16sB16s16s32sQqqQQQ32s")
OPENING_SIZE_MIN = 98


@dataclass(frozen=True)
class Opening:
    """What one role may see of an entry, with the two hashes that lead from it to the entry's commitment."""

    type: int
    role: int
    salt: bytes
    sibling: bytes
    uncle: bytes
    payload: bytes

    @classmethod
    def decode(cls, data: bytes) -> Opening:
        if len(data) < OPENING_SIZE_MIN or data[0] not in TYPES or not 1 <= data[1] <= 4:
            raise Refuted("an opening is cut short, or of an unknown type or role")
        return cls(data[0], data[1], data[2:34], data[34:66], data[66:98], data[98:])

    def entry(self) -> bytes:
        """The 34 bytes of the log that this opens; there are no others."""
        own = sha256(b"\0" + sha256(VIEW + bytes([self.role]) + self.salt + self.payload).digest()).digest()
        own = node_hash(self.sibling, own) if self.role in (2, 4) else node_hash(own, self.sibling)
        return bytes([1, self.type]) + (node_hash(self.uncle, own) if self.role > 2 else node_hash(own, self.uncle))


class HolderView(NamedTuple):
    """What payer and payee see of a payment. Amounts in minor units, time in ns."""

    event: int
    kind: int
    authorisation: int
    account: bytes
    direction: int
    counterparty: bytes
    payment: bytes
    order_hash: bytes
    amount: int
    fee: int
    balance: int
    held: int
    time: int
    seq: int
    prev: bytes

    @classmethod
    def decode(cls, data: bytes) -> HolderView:
        if len(data) != HOLDER.size:
            raise Refuted(f"a holder's payload must be {HOLDER.size} bytes")
        view = cls(*HOLDER.unpack(data))
        if view.event > 4 or view.kind > 8 or view.authorisation > 6 or view.direction > 1 or view.seq == 0:
            raise Refuted("a holder's payload has an unknown event, kind, authorisation or direction, or the number 0")
        return view


class Reader:
    """Takes fields from the front of a payload; Refuted where it is cut short or too long."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.at, self.what = data, 0, what

    def take(self, size: int) -> bytes:
        part = self.data[self.at : self.at + size]
        if len(part) < size:
            raise Refuted(f"{self.what} is cut short")
        self.at += size
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def sized(self) -> bytes:
        return self.take(self.number(2))

    def end(self) -> None:
        if self.at != len(self.data):
            raise Refuted(f"{self.what} has bytes after its end")


_CHAIN = "what:1 account seq:8 prev time:8 "
_LAYOUT = {
    KEY: _CHAIN + "device algorithm:1 public_key:* by reason:1 statement:* possession:* consent:*",
    FREEZE: _CHAIN + "freeze incoming:1 expires_at:8 reason_hash",
    ACCOUNT: _CHAIN + "code:2 ledger:4 flags:2 tier:$",
}
_SIZES = {"account": 16, "device": 16, "by": 16, "freeze": 16, "prev": 32, "reason_hash": 32}


def decode_event(type: int, data: bytes) -> dict[str, Any]:
    """The payload of a key, freeze or account entry, by field; integers where the layout gives a size."""
    reader, fields = Reader(data, f"the payload of a {TYPES[type]} entry"), dict[str, Any]()
    for item in _LAYOUT[type].split():
        name, _, size = item.partition(":")
        if size == "$":
            fields[name] = reader.take(len(data) - reader.at).decode(errors="replace")
        else:
            fields[name] = reader.number(int(size)) if size.isdigit() else reader.sized() if size else reader.take(_SIZES[name])
    reader.end()
    return fields


def told(type: int, role: int, payload: bytes) -> dict[str, Any]:
    """A payload in words, for a report."""
    if role == 4:
        return {"entry": TYPES[type], "public": payload.decode(errors="replace")}
    if type in _LAYOUT:
        fields = decode_event(type, payload)
    elif role in (1, 2) and type in (TRANSFER, ISSUE, REDEEM):
        view = HolderView.decode(payload)
        names = {"event": EVENTS[view.event], "kind": KINDS[view.kind], "authorisation": CLASSES[view.authorisation]}
        fields = view._asdict() | names | {"direction": "in" if view.direction else "out"}
    else:
        fields = {"payload": payload}
    return {"entry": TYPES[type]} | {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def canonical(content: dict[str, Any]) -> bytes:
    """Canonical JSON: keys sorted, no white space, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
