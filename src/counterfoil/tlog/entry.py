"""What one entry of the log commits to: four views, each salted, of which everybody concerned can open their own. Pure.

    entry       = 0x01 || type(1) || C(32)                                   34 bytes
    leaf_hash   = SHA256(0x00 || entry)
    C           = node(node(L1, L2), node(L3, L4)),  L_r = SHA256(0x00 || view_commit_r)
    view_commit = SHA256("counterfoil/view/v1" || role(1) || salt(32) || payload)
    salt        = HMAC-SHA256(day key, u64(index) || role(1))
    opening     = type(1) || role(1) || salt(32) || sibling(32) || uncle(32) || payload (to the end)

Source: docs/reference/log.md.
"""

from __future__ import annotations

import enum
import hmac
from hashlib import sha256

import msgspec

from counterfoil.errors import Malformed
from counterfoil.tlog.merkle import leaf_hash, node_hash

ENTRY_SIZE = 34
VERSION = 1
VIEW_DOMAIN = b"counterfoil/view/v1"
SALT_SIZE = 32
OPENING_SIZE_MIN = 2 + 3 * 32
OPENING_SIZE_MAX = 64 * 1024
"""Bytes of an opening that is read from elsewhere."""
PAYLOAD_SIZE_MAX = OPENING_SIZE_MAX - OPENING_SIZE_MIN


class EntryType(enum.IntEnum):
    """What happened. 7, 8 and 9 are reserved."""

    TRANSFER = 1
    ISSUE = 2
    REDEEM = 3
    KEY = 4
    RULES = 5
    FREEZE = 6
    LIABILITIES = 7
    RESERVES = 8
    COMPLAINT = 9
    ACCOUNT = 10


class Role(enum.IntEnum):
    """Whose view. PAYER is also the holder whom an entry without payee is about."""

    PAYER = 1
    PAYEE = 2
    AUDIT = 3
    PUBLIC = 4


ROLES = tuple(Role)
_TYPES = {int(each): each for each in EntryType}
_ROLES = {int(each): each for each in Role}


def encode_entry(type: EntryType, commitment: bytes) -> bytes:
    """The 34 bytes of an entry."""
    assert len(commitment) == 32, len(commitment)
    return bytes((VERSION, type)) + commitment


def decode_entry(data: bytes) -> tuple[EntryType, bytes]:
    """Type and commitment of an entry; Malformed for anything that `encode_entry` would not have produced."""
    if len(data) != ENTRY_SIZE:
        raise Malformed("entry", f"must be {ENTRY_SIZE} bytes")
    if data[0] != VERSION:
        raise Malformed("entry.version", f"must be {VERSION}")
    return _type(data[1], "entry.type"), data[2:]


def salt(day_key: bytes, index: int, role: Role) -> bytes:
    """The salt of one view of entry `index`, from the 32 random bytes kept for the UTC day of the entry."""
    assert len(day_key) == 32, len(day_key)
    return hmac.digest(day_key, index.to_bytes(8) + bytes((role,)), "sha256")


def view_commit(role: Role, salt: bytes, payload: bytes) -> bytes:
    """The commitment to one view."""
    assert len(salt) == SALT_SIZE, len(salt)
    return sha256(VIEW_DOMAIN + bytes((role,)) + salt + payload).digest()


class Views(msgspec.Struct, frozen=True):
    """The four views of an entry, in the order of `Role`; a view that does not exist has an empty payload and its own salt."""

    salts: tuple[bytes, bytes, bytes, bytes]
    payloads: tuple[bytes, bytes, bytes, bytes]

    @classmethod
    def of(cls, day_key: bytes, index: int, *, payer: bytes = b"", payee: bytes = b"", audit: bytes = b"", public: bytes = b"") -> Views:
        """The views of entry `index` under the salts of its day."""
        first, second, third, fourth = (salt(day_key, index, role) for role in ROLES)
        return cls((first, second, third, fourth), (payer, payee, audit, public))

    def commitment(self) -> bytes:
        """C, which the entry carries."""
        one, two, three, four = self._leaves()
        return node_hash(node_hash(one, two), node_hash(three, four))

    def opening(self, type: EntryType, role: Role) -> Opening:
        """What `role` gets to see, and to check against the entry."""
        leaves = self._leaves()
        at = role - 1
        sibling, uncle = leaves[at ^ 1], node_hash(*(leaves[2:] if at < 2 else leaves[:2]))
        return Opening(type, role, self.salts[at], sibling, uncle, self.payloads[at])

    def _leaves(self) -> list[bytes]:
        return [leaf_hash(view_commit(*view)) for view in zip(ROLES, self.salts, self.payloads, strict=True)]


class Opening(msgspec.Struct, frozen=True):
    """One view of an entry with what it takes to come to the entry's leaf hash. Not authenticated until that hash is in the log."""

    type: EntryType
    role: Role
    salt: bytes
    sibling: bytes
    uncle: bytes
    payload: bytes

    def encode(self) -> bytes:
        """The bytes that travel in receipts and lie in `public/`."""
        return bytes((self.type, self.role)) + self.salt + self.sibling + self.uncle + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Opening:
        """What `encode` wrote; Malformed otherwise."""
        if not OPENING_SIZE_MIN <= len(data) <= OPENING_SIZE_MAX:
            raise Malformed("opening", f"must be {OPENING_SIZE_MIN} to {OPENING_SIZE_MAX} bytes")
        role = _ROLES.get(data[1])
        if role is None:
            raise Malformed("opening.role", "must be 1 (payer), 2 (payee), 3 (audit) or 4 (public)")
        return cls(_type(data[0], "opening.type"), role, data[2:34], data[34:66], data[66:98], data[98:])

    def commitment(self) -> bytes:
        """C, recomputed from this view alone."""
        leaf = leaf_hash(view_commit(self.role, self.salt, self.payload))
        pair = node_hash(leaf, self.sibling) if self.role in (Role.PAYER, Role.AUDIT) else node_hash(self.sibling, leaf)
        return node_hash(pair, self.uncle) if self.role in (Role.PAYER, Role.PAYEE) else node_hash(self.uncle, pair)

    def entry(self) -> bytes:
        """The entry that this opens."""
        return encode_entry(self.type, self.commitment())

    def leaf_hash(self) -> bytes:
        """The hash whose inclusion in the log shows this view to be the true one."""
        return leaf_hash(self.entry())


def _type(value: int, field: str) -> EntryType:
    found = _TYPES.get(value)
    if found is None:
        raise Malformed(field, "must be 1 to 10")
    return found
