"""What the parts of this package share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, Row, select
from sqlalchemy.sql.elements import ColumnElement

from counterfoil.clock import Clock
from counterfoil.errors import Malformed, PartyNotFound, WrongSignature
from counterfoil.ids import ID_MAX
from counterfoil.ledger.service import Ledger
from counterfoil.parties.codes import Codes
from counterfoil.parties.directory import Directory
from counterfoil.parties.keys import check_public_key, verify
from counterfoil.parties.numbers import parse_name
from counterfoil.parties.pins import Pins
from counterfoil.parties.tables import parties
from counterfoil.parties.types import KeyAlgorithm, Party, PartyKind, PartyState
from counterfoil.store.database import Store

T = TypeVar("T")

REASON_LENGTH_MAX = 500
"""Characters of a reason."""
LABEL_DEFAULT = "phone"


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that somebody wants to enrol.

    Attributes:
        device: id that the device made for itself.
        possession: the key's own signature over the statement in question (see `statements`).
        label: what its owner calls the device.
    """

    device: int
    algorithm: KeyAlgorithm
    public_key: bytes
    possession: bytes
    label: str = LABEL_DEFAULT

    def check(self, statement: bytes) -> None:
        """Refuses (Malformed, WrongSignature) a key that is not admissible, or did not sign `statement` itself."""
        if not 0 < self.device <= ID_MAX:
            raise Malformed("device", "must be an id")
        parse_name(self.label, "label")
        check_public_key(self.algorithm, self.public_key)
        if not verify(self.algorithm, self.public_key, statement, self.possession):
            raise WrongSignature("The new key has not signed this itself.")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that opening, changing and closing needs. Fields as in `service.Parties`."""

    store: Store
    ledger: Ledger
    clock: Clock
    directory: Directory
    pins: Pins
    codes: Codes
    origin: str
    region: str
    languages: tuple[str, ...]
    currency_ledger: int
    recovery_delay_s: int

    def language(self, text: str) -> str:
        """`text` when we speak that language."""
        if text not in self.languages:
            raise Malformed("language", f"must be one of {', '.join(self.languages)}")
        return text

    async def party(self, party: int) -> Party:
        """The party, or PartyNotFound."""
        return await self.store.read(lambda connection: get_party(connection, party))

    async def change(self, fn: Callable[[Connection], T], *changed: int) -> T:
        """Writes, and forgets what was remembered of `changed`."""
        return await self.directory.change(fn, *changed)


def get_party(connection: Connection, party: int) -> Party:
    """The party, or PartyNotFound."""
    found = find_party(connection, parties.c.id == party)
    if found is None:
        raise PartyNotFound
    return found


def find_party(connection: Connection, condition: ColumnElement[bool]) -> Party | None:
    """The one party for which `condition` holds, or None."""
    row = connection.execute(select(parties).where(condition)).one_or_none()
    return None if row is None else _party_of(row)


def check_reason(text: str, field: str = "reason") -> str:
    """A reason that somebody will read later: 3 to 500 characters, one line."""
    text = text.strip()
    if not 3 <= len(text) <= REASON_LENGTH_MAX or re.search(r"[\x00-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", text):
        raise Malformed(field, f"must be 3 to {REASON_LENGTH_MAX} characters on one line")
    return text


def _party_of(row: Row[tuple[object, ...]]) -> Party:
    return Party(
        id=row.id,
        kind=PartyKind(row.kind),
        name=row.name,
        number=row.number,
        handle=row.handle,
        merchant_code=row.merchant_code,
        tier=row.tier or "",
        language=row.language,
        state=PartyState(row.state),
        created_at=row.created_at,
    )
