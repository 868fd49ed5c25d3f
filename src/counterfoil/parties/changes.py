"""What happened to parties, in the order in which it was committed: for whoever publishes it.

The journal's moments come from a clock that may go back; the order of its rows does not. So a reader goes on from the
row's number, and misses nothing. What is told of a change never changes afterwards, so reading it again tells the same.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Select, bindparam, select

from counterfoil.parties.tables import accounts, devices, events, freezes, parties
from counterfoil.parties.types import KeyAlgorithm

ACCOUNT_KINDS: Final = frozenset({"opened", "closed", "tier_changed"})
KEY_KINDS: Final = frozenset({"opened", "device_added", "device_revoked", "recovery_done", "closed", "pin_allowed", "countersigned"})
FREEZE_KINDS: Final = frozenset({"frozen", "unfrozen"})
KINDS: Final = ACCOUNT_KINDS | KEY_KINDS | FREEZE_KINDS
"""Kinds of the journal that change what a party's accounts may do."""


class BoundKey(msgspec.Struct, frozen=True):
    """A key as it was enrolled. `by` is the older device that agreed with `consent`; 0 and empty for none."""

    device: int
    algorithm: KeyAlgorithm
    public_key: bytes
    statement: bytes
    possession: bytes
    by: int
    consent: bytes


class FreezeTerms(msgspec.Struct, frozen=True):
    """What a freeze stops. `reason` is why it began, or for its end why it was lifted; `expires_at` ns, 0 for no end."""

    id: int
    accounts: tuple[int, ...]
    incoming: bool
    expires_at: int
    reason: str


class Word(msgspec.Struct, frozen=True):
    """What a device said of `account`: its exact statement, and its signature over it. `payment`: which it is about; 0 none."""

    account: int
    statement: bytes
    signature: bytes
    payment: int = 0


class PartyChange(msgspec.Struct, frozen=True):
    """One row of the journal with what it means for the party's accounts.

    Attributes:
        number: place in the order of commits; rises, without meaning beyond it.
        id: of the row, for ever the same.
        kind: as in the journal; of no interest here unless in `KINDS`.
        by: a party or a device; 0 the scheme itself.
        at: ns, by the machine's clock.
        accounts: ids of the party's accounts; none for staff.
        tier: the tier after a change of it, and when the party was opened.
        device: the device that the row names, 0 none.
        enrolled: devices that came with the opening.
        keys: every device that the party ever had.
        pin_word: how much a day may be paid by PIN. countersigned: that a payment by PIN came in.
    """

    number: int
    id: int
    kind: str
    by: int
    at: int
    accounts: tuple[int, ...] = ()
    tier: str = ""
    device: int = 0
    enrolled: tuple[int, ...] = ()
    keys: Mapping[int, BoundKey] = {}
    freeze: FreezeTerms | None = None
    pin_word: Word | None = None
    countersigned: Word | None = None


_JOURNAL = select(events).where(events.c.number > bindparam("after")).order_by(events.c.number).limit(bindparam("limit"))
_PARTIES = select(parties.c.id, parties.c.tier, parties.c.created_at).where(parties.c.id.in_(bindparam("ids", expanding=True)))
_ACCOUNTS = select(accounts.c.party, accounts.c.id).where(accounts.c.party.in_(bindparam("ids", expanding=True))).order_by(accounts.c.id)
_DEVICES = select(devices).where(devices.c.party.in_(bindparam("ids", expanding=True))).order_by(devices.c.created_at, devices.c.id)
_FREEZES = select(freezes).where(freezes.c.party.in_(bindparam("ids", expanding=True)))
_TIER_CHANGES = (
    select(events.c.party, events.c.facts)
    .where(events.c.party.in_(bindparam("ids", expanding=True)), events.c.kind == "tier_changed")
    .order_by(events.c.number.desc())
)


def read_changes(connection: Connection, *, after: int, limit: int) -> list[PartyChange]:
    """Rows of the journal after `after`, a row's number or 0, in the order of commits, at most `limit`. Fewer means: that is all."""
    rows = connection.execute(_JOURNAL, {"after": after, "limit": limit}).all()
    if not rows:
        return []
    known = _Parties(connection, rows)
    return [_change(row, known) for row in rows]


class _Parties:
    """What the store knows of the parties of a page."""

    def __init__(self, connection: Connection, rows: Iterable[Row[Any]]) -> None:
        self._connection = connection
        self._ids = sorted({row.party for row in rows if row.kind in KINDS})
        self.rows = {row.id: row for row in self._select(_PARTIES)}
        self.accounts = _grouped((row.party, row.id) for row in self._select(_ACCOUNTS))
        self.devices = _grouped((row.party, row) for row in self._select(_DEVICES))
        self.freezes = {row.id: row for row in self._select(_FREEZES)}
        # Newest first, so that the oldest one stays: the tier before it is the one that the party was opened with.
        self.first_tiers = {row.party: _facts(row)["before"] for row in self._select(_TIER_CHANGES)}

    def _select(self, query: Select[Any]) -> Iterable[Row[Any]]:
        return self._connection.execute(query, {"ids": self._ids})


def _change(row: Row[Any], known: _Parties) -> PartyChange:
    number, by = row.number, row.by or 0
    if row.kind not in KINDS:
        return PartyChange(number, row.id, row.kind, by, row.at)
    facts, party = _facts(row), known.rows[row.party]
    keys = {device.id: _key(device) for device in known.devices[row.party]}
    tier, enrolled = "", ()
    if row.kind == "opened":
        tier = known.first_tiers.get(row.party, party.tier) or ""
        enrolled = tuple(
            device.id for device in known.devices[row.party] if device.created_at == party.created_at and device.bound_by is None
        )
    elif row.kind == "tier_changed":
        tier = facts["after"]
    freeze = None
    if row.kind in FREEZE_KINDS:
        freeze = _freeze(known.freezes[int(facts["freeze"])], tuple(known.accounts[row.party]), lifted=row.kind == "unfrozen")
    pin_word = _word(facts) if row.kind == "pin_allowed" else None
    countersigned = _word(facts) if row.kind == "countersigned" else None
    return PartyChange(
        number, row.id, row.kind, by, row.at, tuple(known.accounts[row.party]), tier, int(facts.get("device", 0)), enrolled, keys, freeze,
        pin_word, countersigned,
    )  # fmt: skip


def _word(facts: dict[str, Any]) -> Word:
    statement, signature = bytes.fromhex(facts["statement"]), bytes.fromhex(facts["signature"])
    return Word(int(facts["account"]), statement, signature, int(facts.get("payment", 0)))


def _key(row: Row[Any]) -> BoundKey:
    return BoundKey(
        row.id, KeyAlgorithm(row.algorithm), row.public_key, row.statement, row.possession, row.bound_by or 0, row.bound_signature or b""
    )


def _freeze(row: Row[Any], accounts: tuple[int, ...], *, lifted: bool) -> FreezeTerms:
    chosen = accounts if row.account is None else (row.account,)
    return FreezeTerms(row.id, chosen, row.incoming, row.expires_at or 0, row.lifted_reason if lifted else row.reason)


def reason_hash(freeze: FreezeTerms) -> bytes:
    """What is published of a reason: H(freeze id || reason in UTF-8), so that who knows both can check it."""
    return hashlib.sha256(freeze.id.to_bytes(16) + freeze.reason.encode()).digest()


def _facts(row: Row[Any]) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.json.decode(row.facts)
    return facts


def _grouped(pairs: Iterable[tuple[int, Any]]) -> defaultdict[int, list[Any]]:
    groups: defaultdict[int, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
