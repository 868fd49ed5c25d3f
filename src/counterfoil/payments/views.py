"""What an entry of the log says, byte for byte: the payloads for holders, auditors and the public. Pure.

    type 1, 2, 3   HolderView (payer, payee), AuditView, and for 2 and 3 a public part
    type 4         KeyView       type 6   FreezeView and a public part       type 10   AccountView

What holders are shown follows from the audit view: `holder_view` derives it, here as in every auditor's program.
Integers are big-endian. Source: docs/reference/log.md.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from counterfoil.errors import Malformed
from counterfoil.payments.fees import Service
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import AuthorisationClass

NO_PREVIOUS: Final = bytes(32)
"""`prev` of an account's first entry."""
MOVEMENTS: Final = (1, 2, 3)
"""Entry types that move money: transfer, issue, redeem."""
LEGS_MAX: Final = 32
"""Ledger transfers in one entry."""

_HOLDER: Final = struct.Struct(">BBB16sB16s16s32sQqqQQQ32s")
_AUDIT: Final = struct.Struct(">BBBB16s32sQ")
_LEG: Final = struct.Struct(">16s16s16sQ16sIIHH")
_TOUCHED: Final = struct.Struct(">16sQ32sqQ")
_ABOUT: Final = struct.Struct(">B16sQ32sQ")
_DEVICE: Final = struct.Struct(">16sB")
_FREEZE: Final = struct.Struct(">16sBQ32s")
_ACCOUNT: Final = struct.Struct(">HIH")
assert (_HOLDER.size, _LEG.size, _TOUCHED.size) == (164, 84, 72)


class Event(enum.IntEnum):
    """What happened to the money."""

    DONE = 0
    HELD = 1
    CAPTURED = 2
    RELEASED = 3
    EXPIRED = 4


SERVICE_CODES: Final = {service: code for code, service in enumerate(Service, 1)}
"""1 transfer, 2 purchase, 3 cash-in, 4 cash-out, 5 disbursement, 6 refund, 7 internal; 0 is none."""
_KIND_MAX, _AUTHORISATION_MAX, _SERVICE_MAX = max(OrderKind), max(AuthorisationClass), max(SERVICE_CODES.values())


class HolderView(msgspec.Struct, frozen=True, gc=False):
    """A movement as one of its two holders sees it. Amounts in minor units, `time` in ns of ledger time.

    Attributes:
        incoming: whose money it became; False for the side that pays.
        payment: the order's id; for a movement without an order the transfer's.
        amount: what moved, was held or was released.
        fee: what the fee legs did to this account: negative paid, positive given back; of a hold what they set aside, negative; else 0.
        balance, held: of the account right after the entry; `held` is set aside of it.
        seq, prev: place in the account's chain and leaf hash of its entry before.
    """

    event: int
    kind: int
    authorisation: int
    account: int
    incoming: bool
    counterparty: int
    payment: int
    order_hash: bytes
    amount: int
    fee: int
    balance: int
    held: int
    time: int
    seq: int
    prev: bytes

    def encode(self) -> bytes:
        """The 164 bytes. A number that does not fit is a bug: struct.error."""
        return _HOLDER.pack(
            self.event, self.kind, self.authorisation, self.account.to_bytes(16), self.incoming, self.counterparty.to_bytes(16),
            self.payment.to_bytes(16), self.order_hash, self.amount, self.fee, self.balance, self.held, self.time, self.seq, self.prev,
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> HolderView:
        """The view in `data`. Malformed, naming the field, for whatever `encode` would not have produced."""
        if len(data) != _HOLDER.size:
            raise Malformed("view", f"must be {_HOLDER.size} bytes")
        event, kind, authorisation, account, direction, counterparty, payment, *rest = _HOLDER.unpack(data)
        _check_codes("view", event, kind, authorisation)
        if direction > 1:
            raise Malformed("view.direction", "must be 0 (out) or 1 (in)")
        ids = int.from_bytes(account), bool(direction), int.from_bytes(counterparty), int.from_bytes(payment)
        return cls(event, kind, authorisation, *ids, *rest)


class Leg(msgspec.Struct, frozen=True, gc=False):
    """One ledger transfer of an entry. Accounts, ledger, amount of a post or void are those of what it resolves."""

    transfer: int
    debit: int
    credit: int
    amount: int
    pending: int
    timeout_s: int
    ledger: int
    code: int
    flags: int


class Touched(msgspec.Struct, frozen=True, gc=False):
    """An account right after an entry, and the entry's place in its chain. Minor units."""

    account: int
    seq: int
    prev: bytes
    balance: int
    held: int


class AuditView(msgspec.Struct, frozen=True, gc=False):
    """A movement as an auditor sees it: everything.

    Attributes:
        service: code of `SERVICE_CODES`.
        order_hash: that of the acknowledgement; of an order without bytes (approved by staff) the hash of the proposal.
        accounts: each account of the legs once, in order of first appearance, debit before credit.
        principal: which leg is the payment itself; holder views are those of its two accounts.
        device, signature: who signed `document` where there is one, else `order`.
    """

    event: int
    kind: int
    authorisation: int
    service: int
    payment: int
    order_hash: bytes
    time: int
    legs: tuple[Leg, ...]
    accounts: tuple[Touched, ...]
    principal: int
    device: int
    signature: bytes
    order: bytes
    document: bytes

    def encode(self) -> bytes:
        """The exact bytes of role 3."""
        parts = [
            _AUDIT.pack(
                self.event, self.kind, self.authorisation, self.service, self.payment.to_bytes(16), self.order_hash, self.time
            ),
            len(self.legs).to_bytes(1),
        ]  # fmt: skip
        parts += [
            _LEG.pack(
                leg.transfer.to_bytes(16), leg.debit.to_bytes(16), leg.credit.to_bytes(16), leg.amount, leg.pending.to_bytes(16),
                leg.timeout_s, leg.ledger, leg.code, leg.flags,
            )
            for leg in self.legs
        ]  # fmt: skip
        parts.append(len(self.accounts).to_bytes(1))
        parts += [_TOUCHED.pack(a.account.to_bytes(16), a.seq, a.prev, a.balance, a.held) for a in self.accounts]
        parts += (
            self.principal.to_bytes(1), self.device.to_bytes(16), len(self.signature).to_bytes(2), self.signature,
            len(self.order).to_bytes(2), self.order, len(self.document).to_bytes(2), self.document,
        )  # fmt: skip
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> AuditView:
        """The view in `data`. Malformed, naming the field, for whatever `encode` would not have produced."""
        source = _Source(data, "audit")
        event, kind, authorisation, service, payment, order_hash, time = source.unpack(_AUDIT)
        _check_codes("audit", event, kind, authorisation)
        if service > _SERVICE_MAX:
            raise Malformed("audit.service", f"must be 0 to {_SERVICE_MAX}")
        legs = tuple([_leg(source.unpack(_LEG)) for _ in range(source.number(1))])
        accounts = tuple([_touched(source.unpack(_TOUCHED)) for _ in range(source.number(1))])
        view = cls(
            event, kind, authorisation, service, int.from_bytes(payment), order_hash, time, legs, accounts,
            source.number(1), source.number(16), source.sized(), source.sized(), source.sized(),
        )  # fmt: skip
        source.end()
        if not legs:
            raise Malformed("audit.legs", "must have at least one")
        if view.principal >= len(legs):
            raise Malformed("audit.principal", "must be one of the legs")
        if [each.account for each in accounts] != touched_accounts(legs):
            raise Malformed("audit.accounts", "must be the accounts of the legs, each once, in order of first appearance")
        return view


def touched_accounts(legs: Sequence[Leg]) -> list[int]:
    """The accounts of `legs`, each once, in order of first appearance, debit before credit."""
    return list(dict.fromkeys([account for leg in legs for account in (leg.debit, leg.credit)]))


def holder_view(audit: AuditView, *, incoming: bool) -> HolderView:
    """What the payer's side (role 1), or with `incoming` the payee's (role 2), is shown of the same movement."""
    leg = audit.legs[audit.principal]
    account, counterparty = (leg.credit, leg.debit) if incoming else (leg.debit, leg.credit)
    fee = 0
    if len(audit.legs) > 1 and audit.event not in (Event.RELEASED, Event.EXPIRED):
        for place, other in enumerate(audit.legs):
            if place != audit.principal:
                fee += other.amount * ((other.credit == account) - (other.debit == account))
    after = next(each for each in audit.accounts if each.account == account)
    return HolderView(
        audit.event, audit.kind, audit.authorisation, account, incoming, counterparty, audit.payment, audit.order_hash,
        leg.amount, fee, after.balance, after.held, audit.time, after.seq, after.prev,
    )  # fmt: skip


def payloads_of(type: int, audit: bytes, public: bytes, *, view: AuditView | None = None) -> tuple[bytes, bytes, bytes, bytes]:
    """All four payloads of an entry, by role, from those of roles 3 and 4. `view` is `audit` decoded, where the caller has it."""
    if type in MOVEMENTS:
        view = view or AuditView.decode(audit)
        return holder_view(view, incoming=False).encode(), holder_view(view, incoming=True).encode(), audit, public
    return audit, b"", audit, public


class KeyChange(enum.IntEnum):
    """`what` of type 4."""

    BOUND = 1
    REVOKED = 2
    PIN_ALLOWED = 3
    """A key in force said how much a day may be paid by PIN."""
    COUNTERSIGNED = 4
    """A key in force said that a payment by PIN reached the account. It has no place in the account's chain: `seq` 0, no `prev`."""


class FreezeChange(enum.IntEnum):
    """`what` of type 6."""

    FROZEN = 1
    UNFROZEN = 2


class AccountChange(enum.IntEnum):
    """`what` of type 10."""

    OPENED = 1
    CLOSED = 2
    TIER_CHANGED = 3


class KeyReason(enum.IntEnum):
    ENROLMENT = 1
    FURTHER_DEVICE = 2
    RECOVERY = 3
    REVOKED = 4
    PIN_CONSENT = 5
    COUNTERSIGNATURE = 6


class KeyView(msgspec.Struct, frozen=True, gc=False):
    """A device's key that may, or may no longer, sign for an account.

    Attributes:
        what: of `KeyChange`.
        algorithm: 1 Ed25519, 2 P-256.
        by: the older device that agreed, or whoever revoked; 0 none.
        statement, possession, consent: what was signed when it was bound, by the key itself and by the older one; or what the key
            said of payments by PIN or of one that came in, and its signature. Empty for a revocation.
    """

    what: int
    account: int
    seq: int
    prev: bytes
    time: int
    device: int
    algorithm: int
    public_key: bytes
    by: int
    reason: int
    statement: bytes = b""
    possession: bytes = b""
    consent: bytes = b""

    def encode(self) -> bytes:
        return b"".join((
            _ABOUT.pack(self.what, self.account.to_bytes(16), self.seq, self.prev, self.time),
            _DEVICE.pack(self.device.to_bytes(16), self.algorithm), _sized(self.public_key), self.by.to_bytes(16),
            self.reason.to_bytes(1), _sized(self.statement), _sized(self.possession), _sized(self.consent),
        ))  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> KeyView:
        source = _Source(data, "key")
        about = _about(source, "key", what_max=max(KeyChange))
        device, algorithm = source.unpack(_DEVICE)
        view = cls(
            *about, int.from_bytes(device), algorithm, source.sized(), source.number(16), source.number(1),
            source.sized(), source.sized(), source.sized(),
        )  # fmt: skip
        source.end()
        if view.algorithm not in (1, 2):
            raise Malformed("key.algorithm", "must be 1 (Ed25519) or 2 (P-256)")
        if not 1 <= view.reason <= max(KeyReason):
            raise Malformed("key.reason", f"must be 1 to {max(KeyReason)}")
        return view


class FreezeView(msgspec.Struct, frozen=True, gc=False):
    """A freeze of an account begins or is lifted. `expires_at` ns, 0 none; `reason_hash` = H(freeze id || reason)."""

    what: int
    account: int
    seq: int
    prev: bytes
    time: int
    freeze: int
    incoming: bool
    expires_at: int
    reason_hash: bytes

    def encode(self) -> bytes:
        about = _ABOUT.pack(self.what, self.account.to_bytes(16), self.seq, self.prev, self.time)
        return about + _FREEZE.pack(self.freeze.to_bytes(16), self.incoming, self.expires_at, self.reason_hash)

    @classmethod
    def decode(cls, data: bytes) -> FreezeView:
        source = _Source(data, "freeze")
        about = _about(source, "freeze", what_max=2)
        freeze, incoming, expires_at, reason_hash = source.unpack(_FREEZE)
        source.end()
        if incoming > 1:
            raise Malformed("freeze.incoming", "must be 0 or 1")
        return cls(*about, int.from_bytes(freeze), bool(incoming), expires_at, reason_hash)


class AccountView(msgspec.Struct, frozen=True, gc=False):
    """An account is opened or closed, or moves to another tier. `flags`: the ledger's, that never change."""

    what: int
    account: int
    seq: int
    prev: bytes
    time: int
    code: int
    ledger: int
    flags: int
    tier: str

    def encode(self) -> bytes:
        about = _ABOUT.pack(self.what, self.account.to_bytes(16), self.seq, self.prev, self.time)
        return about + _ACCOUNT.pack(self.code, self.ledger, self.flags) + self.tier.encode()

    @classmethod
    def decode(cls, data: bytes) -> AccountView:
        source = _Source(data, "account")
        about = _about(source, "account", what_max=3)
        code, ledger, flags = source.unpack(_ACCOUNT)
        try:
            tier = source.rest().decode()
        except UnicodeDecodeError:
            raise Malformed("account.tier", "must be UTF-8") from None
        return cls(*about, code, ledger, flags, tier)


def public_circulation(audit: AuditView, asset: str) -> bytes:
    """The public part of an issue or withdrawal, canonical JSON."""
    amount = audit.legs[audit.principal].amount
    return msgspec.json.encode({"amount": amount, "asset": asset, "at": audit.time, "payment": f"{audit.payment:032x}"}, order="sorted")


def public_freeze(view: FreezeView, *, accounts: int, total: int) -> bytes:
    """The public part of a freeze, canonical JSON: how many accounts are frozen now, and the sum of their balances."""
    content = {
        "accounts": accounts, "at": view.time, "expires_at": view.expires_at, "freeze": f"{view.freeze:032x}",
        "reason_hash": view.reason_hash.hex(), "sum": total, "what": "freeze" if view.what == FreezeChange.FROZEN else "unfreeze",
    }  # fmt: skip
    return msgspec.json.encode(content, order="sorted")


def _check_codes(name: str, event: int, kind: int, authorisation: int) -> None:
    for field, value, highest in (("event", event, 4), ("kind", kind, _KIND_MAX), ("authorisation", authorisation, _AUTHORISATION_MAX)):
        if value > highest:
            raise Malformed(f"{name}.{field}", f"must be 0 to {highest}")


def _leg(fields: tuple[bytes, bytes, bytes, int, bytes, int, int, int, int]) -> Leg:
    transfer, debit, credit, amount, pending, *rest = fields
    return Leg(int.from_bytes(transfer), int.from_bytes(debit), int.from_bytes(credit), amount, int.from_bytes(pending), *rest)


def _touched(fields: tuple[bytes, int, bytes, int, int]) -> Touched:
    account, *rest = fields
    return Touched(int.from_bytes(account), *rest)  # type: ignore[arg-type]


def _about(source: _Source, name: str, *, what_max: int) -> tuple[int, int, int, bytes, int]:
    what, account, seq, prev, time = source.unpack(_ABOUT)
    if not 1 <= what <= what_max:
        raise Malformed(f"{name}.what", f"must be 1 to {what_max}")
    return what, int.from_bytes(account), seq, prev, time


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


class _Source:
    """Bytes that are taken from the front. Malformed, naming `name`, when they end too early or not at all."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._at = 0
        self._name = name

    def take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise Malformed(self._name, "is cut short")
        return self._data[start : self._at]

    def unpack(self, layout: struct.Struct) -> tuple:  # type: ignore[type-arg]
        return layout.unpack(self.take(layout.size))

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def sized(self) -> bytes:
        return self.take(self.number(2))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise Malformed(self._name, "has bytes after its end")
