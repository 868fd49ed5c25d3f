"""Parties, their accounts and devices, and what may stop them. Values only; `service.Parties` is what acts."""

from __future__ import annotations

import enum

import msgspec

from counterfoil.money import AMOUNT_MAX, check_amount

SIGNATURE_SIZE = 64
"""Bytes of a signature, by whichever algorithm."""
ED25519_KEY_SIZE = 32
ES256_KEY_SIZE = 65


class PartyKind(enum.StrEnum):
    CUSTOMER = "customer"
    MERCHANT = "merchant"
    AGENT = "agent"
    INSTITUTION = "institution"
    STAFF = "staff"


class PartyState(enum.StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class DeviceState(enum.StrEnum):
    ACTIVE = "active"
    WAITING = "waiting"
    """Enrolled by a recovery whose delay is not over."""
    REVOKED = "revoked"


class RecoveryState(enum.StrEnum):
    WAITING = "waiting"
    DONE = "done"
    CANCELLED = "cancelled"


class KeyAlgorithm(enum.StrEnum):
    ED25519 = "ed25519"
    """Public key of 32 bytes, signature of 64 bytes. Source: RFC 8032."""
    ES256 = "es256"
    """P-256 with SHA-256: public key of 65 bytes (SEC 1, uncompressed), signature of 64 bytes (r || s), as WebCrypto makes it."""


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who takes part.

    Attributes:
        number: E.164, such as "+254712345678"; None for those without one, and after closing.
        handle: without the @; None when none was taken.
        merchant_code: 7 digits; merchants and agents only.
        tier: name of the tier that sets the limits; "" for staff.
        language: BCP 47 code of the language we speak to them.
        created_at: ns.
    """

    id: int
    kind: PartyKind
    name: str
    number: str | None = None
    handle: str | None = None
    merchant_code: str | None = None
    tier: str
    language: str
    state: PartyState = PartyState.OPEN
    created_at: int


class PartyAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account of the ledger and whose it is. `id` is the ledger's account id, `code` its kind in the chart."""

    id: int
    party: int
    code: int
    ledger: int


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A key that may sign for a party."""

    id: int
    party: int
    algorithm: KeyAlgorithm
    public_key: bytes
    label: str
    state: DeviceState
    created_at: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What may leave an account, and how much may be in it, in minor units. AMOUNT_MAX is no limit.

    Attributes:
        per_payment: one payment, without its fee when the fee is told apart.
        per_day, per_month: all that leaves in a calendar day or month of the scheme's time zone, fees included.
        balance_max: the most that the account may hold.
    """

    per_payment: int = AMOUNT_MAX
    per_day: int = AMOUNT_MAX
    per_month: int = AMOUNT_MAX
    balance_max: int = AMOUNT_MAX

    def __post_init__(self) -> None:
        for name in ("per_payment", "per_day", "per_month", "balance_max"):
            check_amount(getattr(self, name), name, minimum=0)


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """A named set of limits for one kind of party."""

    name: str
    kind: PartyKind
    limits: Limits


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing leaves a party's accounts (or only one of them) until it is lifted or expires.

    Attributes:
        account: the one account concerned; None for all of the party's.
        incoming: true when nothing may come in, either.
        expires_at: ns; None until somebody lifts it.
        by: who froze it: a member of staff, or the party itself (a lost phone).
    """

    id: int
    party: int
    account: int | None
    reason: str
    incoming: bool
    by: int
    created_at: int
    expires_at: int | None


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """A new key that takes effect at `effective_at` (ns) unless a device that the party still has says no."""

    id: int
    party: int
    device: int
    state: RecoveryState
    created_at: int
    effective_at: int


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """An account together with all that decides whether it may pay or be paid: what a payment needs to know of a person.

    Attributes:
        account: the ledger's account id.
        limits: the tier's and the holder's own, whichever is lower.
        own: the names of those limits that the holder chose.
        freezes: those not lifted; each may have expired meanwhile.
        recovery: the recovery that waits, if any.
        pin_per_day: minor units a day that a PIN may take, as the holder's own device said, 0 for nothing; None for those
            without a device, whom only the scheme's limit for PINs concerns.
    """

    account: int
    party: int
    kind: PartyKind
    state: PartyState
    name: str
    number: str | None
    handle: str | None
    merchant_code: str | None
    language: str
    tier: str
    limits: Limits
    own: frozenset[str] = frozenset()
    freezes: tuple[Freeze, ...] = ()
    recovery: Recovery | None = None
    pin_per_day: int | None = 0


class StaffRole(enum.StrEnum):
    CLERK = "clerk"
    """Opens accounts, sees who people are, starts a recovery at the counter, closes reports of messages."""
    SUPERVISOR = "supervisor"
    """What a clerk does, and tiers, freezes, closing, reversals, messages to many; approves what treasurers propose."""
    TREASURER = "treasurer"
    """Proposes and approves issue and withdrawal of money."""
    ADMINISTRATOR = "administrator"
    """Gives and takes roles; approves messages to many; touches no money."""
    AUDITOR = "auditor"
    """Sees everything and changes nothing."""


class Permission(enum.StrEnum):
    READ = "read"
    OPEN_PARTY = "open_party"
    CHANGE_TIER = "change_tier"
    FREEZE = "freeze"
    CLOSE_PARTY = "close_party"
    RECOVER = "recover"
    MANAGE_STAFF = "manage_staff"
    PROPOSE_REVERSAL = "propose_reversal"
    APPROVE_REVERSAL = "approve_reversal"
    PROPOSE_CIRCULATION = "propose_circulation"
    APPROVE_CIRCULATION = "approve_circulation"
    PROPOSE_ANNOUNCEMENT = "propose_announcement"
    APPROVE_ANNOUNCEMENT = "approve_announcement"
    CLOSE_REPORT = "close_report"


_CLERK = frozenset({Permission.READ, Permission.OPEN_PARTY, Permission.RECOVER, Permission.PROPOSE_REVERSAL, Permission.CLOSE_REPORT})
ROLE_PERMISSIONS: dict[StaffRole, frozenset[Permission]] = {
    StaffRole.CLERK: _CLERK,
    StaffRole.SUPERVISOR: _CLERK
    | {
        Permission.CHANGE_TIER,
        Permission.FREEZE,
        Permission.CLOSE_PARTY,
        Permission.APPROVE_REVERSAL,
        Permission.APPROVE_CIRCULATION,
        Permission.PROPOSE_ANNOUNCEMENT,
        Permission.APPROVE_ANNOUNCEMENT,
    },
    StaffRole.TREASURER: frozenset({Permission.READ, Permission.PROPOSE_CIRCULATION, Permission.APPROVE_CIRCULATION}),
    StaffRole.ADMINISTRATOR: frozenset({Permission.READ, Permission.MANAGE_STAFF, Permission.APPROVE_ANNOUNCEMENT}),
    StaffRole.AUDITOR: frozenset({Permission.READ}),
}


class ProposalState(enum.StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    """Decided, and being carried out; after a crash it is taken up again."""
    EXECUTED = "executed"
    FAILED = "failed"
    """Approved, but refused when it was carried out: `outcome` says why."""
    REJECTED = "rejected"
    EXPIRED = "expired"


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that two members of staff must want.

    Attributes:
        id: made by the proposer; what is executed carries the same id, and therefore happens once.
        kind: what is to be done, such as "issue".
        payload: its particulars, JSON.
        decided_by: who approved or rejected it; never the proposer.
        outcome: what came of it, as the executor told it; "" before.
    """

    id: int
    kind: str
    payload: bytes
    reason: str
    proposer: int
    state: ProposalState
    created_at: int
    expires_at: int
    decided_by: int | None = None
    decided_at: int | None = None
    outcome: str = ""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell a person; a row of the outbox.

    Attributes:
        party: whom it concerns; None before they have an account.
        number: E.164, when it goes by SMS.
        device: when it goes to one device.
        kind: which text: "enrolment_code", "recovery_started", ...
        values: what the text is filled with.
    """

    id: int
    party: int | None
    channel: str
    number: str | None
    device: int | None
    kind: str
    values: dict[str, str | int]
    created_at: int
