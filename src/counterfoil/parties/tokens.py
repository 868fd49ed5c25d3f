"""Access tokens for merchants' servers: a secret with scopes and an end, kept as a hash only.

    cft_ || base64url( token id (16) || secret (32) )

A token does what its scopes name, for its party's account, and nothing else: it never pays money out of the account
except by refunding what came in. It is created and revoked by a request that a device of the party has signed. The `cft_`
in front lets secret scanners find a token that was published by mistake.
"""

from __future__ import annotations

import binascii
import enum
import hashlib
import hmac

import msgspec
from sqlalchemy import Column, Connection, ForeignKey, Index, LargeBinary, Row, String, Table, Text, func, insert, select, update

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Forbidden, Malformed, NotFound, TooLarge, WrongToken
from counterfoil.ids import new_id
from counterfoil.parties.directory import Directory
from counterfoil.parties.journal import record
from counterfoil.parties.numbers import parse_name
from counterfoil.parties.types import PartyKind, PartyState
from counterfoil.store.database import Store
from counterfoil.store.schema import Id, Nanoseconds, metadata

PREFIX = "cft_"
SECRET_SIZE = 32
TEXT_SIZE = len(PREFIX) + 64
TOKENS_MAX = 50
"""Tokens of one party that are neither revoked nor expired."""
LIFETIME_MAX_S = 366 * 86_400
_KINDS = (PartyKind.MERCHANT, PartyKind.AGENT, PartyKind.INSTITUTION)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("label", Text, nullable=False),
    Column("scopes", String(200), nullable=False),
    Column("created_by", Id, ForeignKey("devices.id"), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    Column("revoked_at", Nanoseconds, nullable=True),
    Index("ix_tokens_party", "party", "created_at"),
)


class Scope(enum.StrEnum):
    """What a token may do."""

    PAYMENTS_READ = "payments:read"
    """See payments, balance, history and events."""
    REQUESTS_WRITE = "requests:write"
    """Ask for money, take the asking back."""
    HOLDS_WRITE = "holds:write"
    """Capture and release holds."""
    REFUNDS_WRITE = "refunds:write"
    """Give back what was paid."""
    BATCHES_WRITE = "batches:write"
    """Hand in batches, each signed by a device, and see how far they are."""
    TILL = "till"
    """Sell at a till. A token with it comes from pairing, and alone."""
    WEBHOOKS_WRITE = "webhooks:write"
    """Say where notices go, look at deliveries and replay them."""
    SIM_CHANGES_WRITE = "sim_changes:write"
    """Tell that the SIM of a number was changed: institutions only, such as the network's operator."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret. Moments in ns; `revoked_at` None while it stands."""

    id: int
    party: int
    account: int
    label: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int
    revoked_at: int | None


class Tokens:
    """Creates, checks and revokes tokens."""

    def __init__(self, store: Store, directory: Directory, clock: Clock) -> None:
        self.store = store
        self.directory = directory
        self.clock = clock

    async def check(self, text: str) -> Token:
        """The token behind `text`. WrongToken when it is unknown, expired, revoked, or its party has closed: all alike.

        Found by its id, then compared in constant time; the secret itself is nowhere.
        """
        data = _decoded(text)
        if data is None:
            raise WrongToken
        token_id, now = int.from_bytes(data[:16]), self.clock.now_ns()
        row = await self.store.read(lambda connection: connection.execute(select(tokens).where(tokens.c.id == token_id)).first())
        right = hmac.compare_digest(_hash(data), bytes(row.hash) if row is not None else bytes(32))
        if row is None or not right or row.revoked_at is not None or row.expires_at <= now:
            raise WrongToken
        holder = await self.directory.holder(row.account)
        if holder is None or holder.state is not PartyState.OPEN:
            raise WrongToken
        return _token(row)

    async def create(self, *, account: int, device: int, label: str, scopes: frozenset[Scope], expires_at: int) -> tuple[Token, str]:
        """A new token for `account` and its text, which is told this once. The caller has checked the device's signature.

        Refuses customers (Forbidden), an expiry in the past or more than a year ahead, no scopes (Malformed), the 51st token
        (TooLarge). A repeat creates another token: one whose text was lost is revoked.
        """
        label, now = parse_name(label, "label"), self.clock.now_ns()
        if not scopes:
            raise Malformed("scopes", "must name at least one")
        if not now < expires_at <= now + LIFETIME_MAX_S * NANOSECONDS:
            raise Malformed("expires_at", f"must be in the future, and at most {LIFETIME_MAX_S // 86_400} days ahead")
        holder = await self.directory.holder(account)
        assert holder is not None, account
        if holder.kind not in _KINDS:
            raise Forbidden("tokens are for merchants, agents and institutions")
        data = new_id(self.clock).to_bytes(16) + self.clock.random_bytes(SECRET_SIZE)

        named = " ".join(sorted(scopes))

        def write(connection: Connection) -> Row[tuple[object, ...]]:
            standing = select(func.count()).where(tokens.c.party == holder.party, tokens.c.revoked_at.is_(None), tokens.c.expires_at > now)
            if connection.execute(standing).scalar_one() >= TOKENS_MAX:
                raise TooLarge(f"there are {TOKENS_MAX} tokens already; revoke one first", tokens_max=TOKENS_MAX)
            values = {
                "id": int.from_bytes(data[:16]),
                "party": holder.party,
                "account": account,
                "hash": _hash(data),
                "label": label,
                "scopes": named,
                "created_by": device,
                "created_at": now,
                "expires_at": expires_at,
                "revoked_at": None,
            }
            connection.execute(insert(tokens), values)
            record(connection, self.clock, holder.party, "token_created", by=device, label=label, scopes=named)
            return connection.execute(select(tokens).where(tokens.c.id == values["id"])).one()

        row = await self.store.write(write)
        return _token(row), PREFIX + binascii.b2a_base64(data, newline=False).translate(_TO_URL).decode()

    async def list(self, party: int) -> list[Token]:
        """All tokens of a party that were not forgotten, newest first; revoked and expired ones too."""
        statement = select(tokens).where(tokens.c.party == party).order_by(tokens.c.created_at.desc(), tokens.c.id.desc()).limit(200)
        return await self.store.read(lambda connection: [_token(row) for row in connection.execute(statement)])

    async def revoke(self, token_id: int, party: int, *, by: int) -> None:
        """Ends a token at once. A repeat changes nothing; another party's token is NotFound."""
        now = self.clock.now_ns()

        def write(connection: Connection) -> None:
            row = connection.execute(select(tokens).where(tokens.c.id == token_id, tokens.c.party == party)).first()
            if row is None:
                raise NotFound("there is no token with this id")
            if row.revoked_at is None:
                connection.execute(update(tokens).where(tokens.c.id == token_id).values(revoked_at=now))
                record(connection, self.clock, party, "token_revoked", by=by, label=row.label)

        await self.store.write(write)


_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def _decoded(text: str) -> bytes | None:
    if len(text) != TEXT_SIZE or not text.startswith(PREFIX) or not text.isascii() or "+" in text or "/" in text:
        return None
    try:
        data = binascii.a2b_base64(text.removeprefix(PREFIX).encode().translate(_FROM_URL), strict_mode=True)
    except binascii.Error:
        return None
    return data if len(data) == 16 + SECRET_SIZE else None


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(b"counterfoil/token/v1" + data).digest()


def _token(row: Row[tuple[object, ...]]) -> Token:
    return Token(
        id=row.id,
        party=row.party,
        account=row.account,
        label=row.label,
        scopes=frozenset(Scope(scope) for scope in row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
