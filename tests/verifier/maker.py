"""A naive maker of logs, written from the page that specifies them and from nothing else: slow, complete, and able to lie.

It imports neither the server nor the verifier. Every method appends one entry; `publish` writes the files.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

ORIGIN = "log.example.org/town"
NS = 10**9
START = 1_790_000_000 * NS
TARIFF = [
    {"service": "transfer", "paid_by": "payer", "flat": 50, "bands": [{"up_to": 10_000, "flat": 0}, {"up_to": 100_000, "flat": 20}]},
    {"service": "purchase", "paid_by": "payee", "rate_basis_points": 50},
    {"service": "cash_out", "paid_by": "payer", "rate_basis_points": 100, "minimum": 10},
    {"service": "disbursement", "paid_by": "payer", "flat": 5},
]
LIMITS = {
    "basic": {"per_payment": 50_000, "per_day": 60_000, "per_month": 90_000, "balance_max": 300_000},
    "shop": {"per_payment": 5_000_000, "balance_max": 2**63 - 1},
}
RULES = {
    "origin": ORIGIN,
    "currency": {"code": "USD", "digits": 2, "ledger": 840},
    "tariff": {"lines": TARIFF},
    "limits": LIMITS,
    "time_zone": "UTC",
}
ISSUANCE, CUSTOMER, MERCHANT, AGENT, INSTITUTION, FEES, BOOK, CASH = 1, 10, 11, 12, 13, 20, 30, 31
PAY, HOLD, CAPTURE, RELEASE, REFUND, REVERSAL, ISSUE, WITHDRAWAL = range(1, 9)


def h(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return h(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return h(b"\1", root_of(leaves[:k]), root_of(leaves[k:]))


def path_of(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return [*path_of(index, leaves[:k]), root_of(leaves[k:])]
    return [*path_of(index - k, leaves[k:]), root_of(leaves[:k])]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


class Signer:
    """A key with a name: a log's (type 1) or a cosigner's (type 4)."""

    def __init__(self, name: str, type: int, seed: str = "") -> None:
        self.name, self.type = name, type
        self.secret = SigningKey(h((seed or name).encode()))
        self.data = bytes([type]) + bytes(self.secret.verify_key)
        self.id = h(name.encode(), b"\n", self.data)[:4]
        self.vkey = f"{name}+{self.id.hex()}+{b64(self.data)}"
        self.private = f"PRIVATE+KEY+{name}+{self.id.hex()}+{b64(bytes([type]) + bytes(self.secret))}"

    def line(self, text: bytes, time: int = 0) -> str:
        stamp = struct.pack(">Q", time) if self.type == 4 else b""
        message = b"cosignature/v1\ntime %d\n" % time + text if self.type == 4 else text
        return f"— {self.name} {b64(self.id + stamp + self.secret.sign(message).signature)}\n"


LOG = Signer(ORIGIN, 1)
WITNESSES = [Signer(f"witness{n}.example", 4) for n in range(1, 6)]
POLICY = "".join([
    "# four of five\n",
    f"log {LOG.vkey} https://log.example.org/\n",
    *(f"witness w{n} {witness.vkey}\n" for n, witness in enumerate(WITNESSES, 1)),
    "group all-of-them 4 w1 w2 w3 w4 w5\nquorum all-of-them\n",
])  # fmt: skip


@dataclass
class Account:
    id: bytes
    code: int
    seq: int = 0
    prev: bytes = bytes(32)
    balance: int = 0
    held: int = 0
    devices: list[tuple[bytes, SigningKey]] = field(default_factory=list)
    revoked: set[bytes] = field(default_factory=set)


@dataclass
class Entry:
    type: int
    payloads: list[bytes]
    salts: list[bytes]
    time: int

    @property
    def leaves(self) -> list[bytes]:
        views = zip(self.salts, self.payloads, strict=True)
        return [h(b"\0", h(b"counterfoil/view/v1", bytes([role]), salt, payload)) for role, (salt, payload) in enumerate(views, 1)]

    @property
    def data(self) -> bytes:
        return bytes([1, self.type]) + root_of(self.leaves)

    def opening(self, role: int) -> bytes:
        sibling, uncle = path_of(role - 1, self.leaves)
        return bytes([self.type, role]) + self.salts[role - 1] + sibling + uncle + self.payloads[role - 1]


@dataclass
class Leg:
    debit: Account
    credit: Account
    amount: int
    id: bytes = b""
    flags: int = 0
    pending: bytes = bytes(16)
    timeout: int = 0
    ledger: int = 840
    of_pending: int = 0
    """What the pending transfer that this leg ends had set aside."""


class Maker:
    """`now` is the ledger's time, ns. Ids count up."""

    def __init__(self, *, rules: dict[str, Any] | None = None, log: Signer = LOG) -> None:
        self.log, self.now, self.count = log, START, 0
        self.entries: list[Entry] = []
        self.rules_hash = b""
        self.fees_held: dict[bytes, tuple[bytes, int]] = {}
        self.rules(rules or RULES)

    def new_id(self) -> bytes:
        self.count += 1
        return struct.pack(">QQ", self.now // 1_000_000 << 16, self.count)

    def add(self, type: int, payer: bytes = b"", payee: bytes = b"", audit: bytes = b"", public: bytes = b"") -> int:
        index = len(self.entries)
        salts = [h(b"salt", struct.pack(">QB", index, role)) for role in (1, 2, 3, 4)]
        self.entries.append(Entry(type, [payer, payee, audit, public], salts, self.now))
        return index

    def salt_again(self, first: int) -> None:
        """Entries from `first` on were moved: each gets the salts of its place."""
        for index, entry in enumerate(self.entries[first:], first):
            entry.salts = [h(b"salt", struct.pack(">QB", index, role)) for role in (1, 2, 3, 4)]

    def tick(self, seconds: float = 1) -> int:
        self.now += int(seconds * NS)
        return self.now

    def rules(self, content: dict[str, Any]) -> int:
        document = canonical(content)
        self.rules_hash = h(document)
        return self.add(5, public=document)

    def _event(self, type: int, account: Account, what: int, rest: bytes, public: bytes = b"") -> int:
        self.tick()
        account.seq += 1
        payload = bytes([what]) + account.id + struct.pack(">Q", account.seq) + account.prev + struct.pack(">Q", self.now) + rest
        index = self.add(type, payload, b"", payload, public)
        account.prev = h(b"\0", self.entries[index].data)
        return index

    def open(self, code: int, tier: str = "", *, flags: int | None = None) -> Account:
        account = Account(self.new_id(), code)
        limit = {ISSUANCE: 4, CASH: 0, BOOK: 2}.get(code, 2)
        self._event(10, account, 1, struct.pack(">HIH", code, 840, (limit if flags is None else flags) | 8) + tier.encode())
        return account

    def account_event(self, account: Account, what: int, tier: str = "") -> int:
        return self._event(10, account, what, struct.pack(">HIH", account.code, 840, 10) + tier.encode())

    def bind(
        self,
        account: Account,
        *,
        reason: int = 1,
        by: int | None = None,
        key: SigningKey | None = None,
        possession: bytes | None = None,
        alone: bool = False,
    ) -> int:
        """A new device. `by`: number of the older device that agrees. A recovery (reason 3) first revokes the others, unless `alone`."""
        for number, (older, _) in enumerate(account.devices):
            if reason == 3 and not alone and older not in account.revoked:
                self.revoke(account, number)
                self.tick(-1)  # all in one moment
        device = self.new_id()
        key = key or SigningKey(h(b"device", device))
        public = bytes(key.verify_key)
        domain = {1: b"counterfoil/enrol/v1", 2: b"counterfoil/add-device/v1", 3: b"counterfoil/recover/v1"}[reason]
        about = {1: sized(b"+2547"), 2: bytes(16), 3: sized(b"+2547")}[reason]
        statement = domain + sized(ORIGIN.encode()) + about + device + sized(b"ed25519") + sized(public)
        older, consent = bytes(16), b""
        if by is not None:
            older, signer = account.devices[by]
            consent = signer.sign(statement).signature
        rest = device + b"\1" + sized(public) + older + bytes([reason]) + sized(statement)
        rest += sized(key.sign(statement).signature if possession is None else possession) + sized(consent)
        account.devices.append((device, key))
        return self._event(4, account, 1, rest)

    def revoke(self, account: Account, number: int = 0) -> int:
        device, key = account.devices[number]
        rest = device + b"\1" + sized(bytes(key.verify_key)) + bytes(16) + b"\4" + sized(b"") * 3
        account.revoked.add(device)
        return self._event(4, account, 2, rest)

    def allow_pin(
        self, account: Account, per_day: int, *, device: int = 0, made_at: int | None = None, about: Account | None = None, **lies: bytes
    ) -> int:
        """A device of the account says how much a day PINs may take."""
        name, key = account.devices[device]
        statement = b"counterfoil/allow-pin/v1" + sized(ORIGIN.encode()) + (about or account).id
        statement += struct.pack(">QQ", per_day, self.now // 10**6 + 1_000 if made_at is None else made_at)
        statement = lies.get("statement", statement)
        rest = (
            name + b"\1" + sized(lies.get("public_key", bytes(key.verify_key))) + bytes(16) + lies.get("reason", b"\5") + sized(statement)
        )
        return self._event(4, account, 3, rest + sized(lies.get("signature", key.sign(statement).signature)) + sized(b""))

    def countersign(self, account: Account, payment: bytes, *, device: int = 0, signer: Account | None = None, **lies: Any) -> int:
        """A device of the account says that a payment reached it, as its entry has it. Takes no place in the account's chain."""
        view = next(entry.payloads[1] for entry in self.entries if entry.type == 1 and entry.payloads[1][36:52] == payment)
        said: dict[str, Any] = {
            "name": payment,
            "order_hash": view[52:84],
            "amount": int.from_bytes(view[84:92]),
            "time": int.from_bytes(view[116:124]),
        }
        said |= {name: value for name, value in lies.items() if name in said}
        name, key = (signer or account).devices[device]
        statement = b"counterfoil/countersign/v1" + sized(lies.get("origin", ORIGIN).encode()) + lies.get("about", account).id
        statement += said["name"] + said["order_hash"] + struct.pack(">QQ", said["amount"], said["time"])
        statement = lies.get("statement", statement)
        self.tick()
        payload = b"\4" + account.id + struct.pack(">Q", lies.get("seq", 0)) + lies.get("prev", bytes(32)) + struct.pack(">Q", self.now)
        payload += name + b"\1" + sized(lies.get("public_key", bytes(key.verify_key))) + bytes(16) + lies.get("reason", b"\6")
        payload += sized(statement) + sized(lies.get("signature", key.sign(statement).signature)) + sized(b"")
        return self.add(4, payload, b"", payload)

    def freeze(
        self, account: Account, what: int = 1, *, freeze: bytes = b"f" * 16, incoming: bool = False, lasts_s: int = 0, **lies: Any
    ) -> int:
        self.tick(0)
        expires_at = self.now + NS + lasts_s * NS if lasts_s else 0
        told = {
            "accounts": 2 - what,
            "at": self.now + NS,
            "expires_at": expires_at,
            "freeze": freeze.hex(),
            "reason_hash": h(freeze, b"court").hex(),
        }
        told |= {"sum": account.balance if what == 1 else 0, "what": "freeze" if what == 1 else "unfreeze"}
        rest = freeze + bytes([incoming]) + struct.pack(">Q", expires_at) + h(freeze, b"court")
        return self._event(6, account, what, rest, canonical(told | lies))

    def order(self, kind: int, payer: Account, payee: Account, amount: int, payment: bytes, **values: Any) -> bytes:
        v: dict[str, Any] = {
            "max_fee": 10_000,
            "expiry": self.now // 10**6 + 600_000,
            "rules": self.rules_hash,
            "reference": bytes(16),
            "timeout": 0,
        } | values
        fixed = payer.id + payee.id + struct.pack(">QQ", amount, v["max_fee"]) + payment + struct.pack(">QQQ", v["expiry"], 0, 0) + h(b"")
        fixed += v["rules"] + bytes([kind]) + v["reference"] + struct.pack(">I", v["timeout"])
        return b"counterfoil/order/v1" + sized(str(v.get("origin", ORIGIN)).encode()) + sized(b"USD") + bytes(fixed) + b"thanks"

    def payment(
        self,
        kind: int,
        legs: list[Leg],
        *,
        service: int,
        event: int | None = None,
        way: int = 1,
        payment: bytes | None = None,
        order: bytes | None = None,
        order_amount: int | None = None,
        document: bytes = b"",
        device: int = 0,
        signature: bytes | None = None,
        principal: int = 0,
        public: dict[str, Any] | None = None,
        change: Callable[[bytes], bytes] = lambda audit: audit,
        **values: Any,
    ) -> bytes:
        """One payment; answers its id. What is not given is made as an honest operator would; `change` rewrites the audit payload."""
        self.tick()
        first, payment = legs[principal], payment or self.new_id()
        event = {PAY: 0, HOLD: 1, CAPTURE: 2, RELEASE: 3}.get(kind, 0) if event is None else event
        taking = kind in (CAPTURE, RELEASE)
        if order is None:
            wanted = first.amount if order_amount is None else order_amount
            values = {"reference": first.pending if taking else values.pop("reference", bytes(16)), "timeout": first.timeout} | values
            order = self.order(kind, first.debit, first.credit, wanted, payment, **values) if way in (1, 5, 6) else b""
        signer = first.credit if taking else first.debit
        named = bytes(16)
        if way in (1, 5) and signer.devices:
            named, key = signer.devices[device]
            signature = key.sign(document or order).signature if signature is None else signature
        touched: dict[bytes, Account] = {}
        body = b""
        for number, leg in enumerate(legs):
            leg.id = leg.id or (payment if number == principal else h(payment, bytes([number]))[:16])
            body += leg.id + leg.debit.id + leg.credit.id + struct.pack(">Q", leg.amount) + leg.pending
            body += struct.pack(">IIHH", leg.timeout, leg.ledger, 1, leg.flags)
            touched |= {leg.debit.id: leg.debit, leg.credit.id: leg.credit}
            if event == 4 or leg.flags & 12:
                leg.debit.held -= leg.of_pending
            if event == 1:
                leg.debit.held += leg.amount
            elif event in (0, 2):
                leg.debit.balance -= leg.amount
                leg.credit.balance += leg.amount
        fees = dict.fromkeys(touched, 0)
        for leg in legs:
            if leg is not first and event in (0, 1, 2):
                fees[leg.debit.id] -= leg.amount
                fees[leg.credit.id] += leg.amount
        rows = b""
        for account in touched.values():
            account.seq += 1
            rows += account.id + struct.pack(">Q", account.seq) + account.prev + struct.pack(">qQ", account.balance, account.held)
        order_hash = h(order) if order else bytes(32)
        head = bytes([event, kind, way, service]) + payment + order_hash + struct.pack(">Q", self.now)
        audit = head + bytes([len(legs)]) + body + bytes([len(touched)]) + rows
        audit = change(audit + bytes([principal]) + named + sized(signature or b"") + sized(order) + sized(document))
        views = []
        for direction, own, other in ((0, first.debit, first.credit), (1, first.credit, first.debit)):
            view = bytes([event, kind, way]) + own.id + bytes([direction]) + other.id + payment + order_hash
            view += struct.pack(">QqqQQQ", first.amount, fees[own.id], own.balance, own.held, self.now, own.seq) + own.prev
            views.append(view)
        entry_type = {ISSUE: 2, WITHDRAWAL: 3}.get(kind, 1)
        told = {"amount": first.amount, "asset": "USD", "at": self.now, "payment": payment.hex()} | (public or {})
        index = self.add(entry_type, views[0], views[1], audit, canonical(told) if entry_type > 1 else b"")
        for account in touched.values():
            account.prev = h(b"\0", self.entries[index].data)
        return payment

    def hold(
        self, payer: Account, payee: Account, amount: int, fee: int = 0, fees: Account | None = None, *, service: int, **values: Any
    ) -> bytes:
        legs = [Leg(payer, payee, amount, flags=2, timeout=3_600)]
        if fee and fees:
            legs.append(Leg(payer, fees, fee, flags=2, timeout=3_600))
        payment = self.payment(HOLD, legs, service=service, **values)
        if len(legs) > 1:
            self.fees_held[payment] = (legs[1].id, fee)
        return payment

    # The files

    def head(
        self, size: int, time: int | None = None, *, witnesses: Sequence[Signer] = WITNESSES, clocks: dict[int, int] | None = None
    ) -> bytes:
        """The note over the first `size` entries, cosigned at `time` (s); `clocks`: by how much the clock of a witness is wrong."""
        text = f"{ORIGIN}\n{size}\n{b64(self.root(size))}\n".encode()
        time = (self.entries[size - 1].time // NS if size else START // NS) + 5 if time is None else time
        lines = [witness.line(text, time + n + (clocks or {}).get(n, 0)) for n, witness in enumerate(witnesses)]
        return text + b"\n" + (self.log.line(text) + "".join(lines)).encode()

    def leaves(self, size: int | None = None) -> list[bytes]:
        return [h(b"\0", entry.data) for entry in self.entries[:size]]

    def root(self, size: int) -> bytes:
        return root_of(self.leaves(size))

    def publish(self, folder: Path, sizes: Sequence[int] | None = None, notes: Sequence[bytes] | None = None) -> Path:
        """The whole public tree. `sizes`: of the heads that were witnessed; the files of those smaller logs stay, too."""
        sizes = list(sizes or [len(self.entries) // 3, len(self.entries) // 2, len(self.entries)])
        notes = list(notes or [self.head(size) for size in sizes])
        for size in sizes:
            self._tiles(folder, size)
        for note in notes:
            stamps = [struct.unpack(">Q", base64.b64decode(line.split()[-1])[4:12])[0] for line in note.decode().splitlines()[5:]]
            write(folder / "heads" / datetime.fromtimestamp(max(stamps), UTC).strftime("%Y-%m-%d"), b"%d\n" % len(note) + note, "ab")
        write(folder / "witnessed", notes[-1])
        write(folder / "checkpoint", self.head(sizes[-1], witnesses=[]))
        write(folder / "policy", POLICY.encode())
        for index, entry in enumerate(self.entries[: sizes[-1]]):
            if entry.payloads[3]:
                write(folder / "public" / str(index), entry.opening(4))
        return folder

    def _tiles(self, folder: Path, size: int) -> None:
        hashes, level = self.leaves(size), 0
        while hashes:
            for number in range(-(-len(hashes) // 256)):
                part = hashes[256 * number : 256 * (number + 1)]
                write(folder / "tile" / str(level) / tile_name(number, len(part)), b"".join(part))
                if level == 0:
                    entries = self.entries[256 * number : 256 * number + len(part)]
                    write(folder / "tile/entries" / tile_name(number, len(part)), b"".join(sized(entry.data) for entry in entries))
            hashes = [root_of(hashes[at : at + 256]) for at in range(0, len(hashes) // 256 * 256, 256)]
            level += 1

    def openings(self, size: int | None = None) -> bytes:
        out = b"counterfoil/openings/v1\n"
        for index, entry in enumerate(self.entries[:size]):
            record = struct.pack(">QB", index, entry.type) + b"".join(entry.salts)
            record += struct.pack(">I", len(entry.payloads[2])) + entry.payloads[2] + entry.payloads[3]
            out += struct.pack(">I", len(record)) + record
        return out

    def receipt(self, index: int, role: int = 1, *, size: int | None = None, note: bytes | None = None) -> bytes:
        size = len(self.entries) if size is None else size
        path = "".join(f"{b64(each)}\n" for each in path_of(index, self.leaves(size)))
        head = f"c2sp.org/tlog-proof@v1\nextra {b64(self.entries[index].opening(role))}\nindex {index}\n{path}\n"
        return head.encode() + (note or self.head(size))

    def packed(self, index: int, role: int = 1) -> bytes:
        """As a QR code carries it."""
        size = len(self.entries)
        path, lines = path_of(index, self.leaves()), self.head(size).decode().splitlines()
        data = b"\1" + sized(self.entries[index].opening(role)) + struct.pack(">QQ", index, size) + self.root(size)
        data += bytes([len(path)]) + b"".join(path) + sized(ORIGIN.encode()) + base64.b64decode(lines[4].split()[-1])
        data += bytes([len(lines) - 5]) + b"".join(base64.b64decode(line.split()[-1]) for line in lines[5:])
        return b"CF1:" + base45(data)


def base45(data: bytes) -> bytes:
    alphabet, out = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:", ""
    for at in range(0, len(data), 2):
        value, digits = int.from_bytes(data[at : at + 2]), 3 if at + 1 < len(data) else 2
        out += "".join(alphabet[value // 45**n % 45] for n in range(digits))
    return out.encode()


def tile_name(number: int, width: int) -> str:
    assert number < 1_000_000
    name = f"{number:03}" if number < 1_000 else f"x{number // 1_000:03}/{number % 1_000:03}"
    return name + ("" if width == 256 else f".p/{width}")


def write(path: Path, data: bytes, mode: str = "wb") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode) as file:
        file.write(data)
