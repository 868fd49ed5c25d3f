"""Tills: the owner adds one and shows a code, a device pairs with it and gets a token that only sells.

The code is eight letters and digits, good once and for ten minutes, kept as a hash. Pairing again, or ending the till,
revokes the token that it had.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from sqlalchemy import Connection, Row, func, insert, select, update

from counterfoil.acceptance.tables import tills
from counterfoil.acceptance.types import Till
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Forbidden, IdReused, NotFound, NotInThisState, TooLarge, WrongCode
from counterfoil.parties.journal import record
from counterfoil.parties.numbers import parse_name
from counterfoil.parties.tokens import LIFETIME_MAX_S, Scope, Tokens
from counterfoil.parties.types import Holder, PartyKind
from counterfoil.store.database import Store

CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, 1, I and O, which look alike on a bad screen."""
CODE_SIZE = 8
CODE_LIFETIME_S = 600
SANDBOX_CODE_LIFETIME_S = 24 * 3600
"""In a sandbox, where a demo shows its code to whoever looks."""
TILLS_MAX = 30
"""Tills of one account that have not ended."""
LABEL_SIZE_MAX = 40


class Tills:
    """Adds, pairs and ends tills. `tell` hears of each account whose tills paired or ended."""

    def __init__(self, *, store: Store, tokens: Tokens, clock: Clock, sandbox: bool, tell: Callable[[int], None]) -> None:
        self.store = store
        self._tell = tell
        self.tokens = tokens
        self.clock = clock
        self.code_lifetime_s = SANDBOX_CODE_LIFETIME_S if sandbox else CODE_LIFETIME_S

    async def add(self, holder: Holder, *, id: int, name: str, device: int) -> tuple[Till, str]:
        """A new till of a merchant or agent, and the code that pairs it. A repeat gives the same till another code.

        Refuses other parties (Forbidden), an id of another till (IdReused), one that ended (NotInThisState), the 31st (TooLarge).
        """
        if holder.kind not in (PartyKind.MERCHANT, PartyKind.AGENT):
            raise Forbidden("tills are for merchants and agents")
        name, now = parse_name(name), self.clock.now_ns()

        def write(connection: Connection) -> None:
            kept = _find(connection, id)
            if kept is not None:
                if kept.account != holder.account or kept.name != name:
                    raise IdReused
                return
            standing = select(func.count()).where(tills.c.account == holder.account, tills.c.ended_at.is_(None))
            if connection.execute(standing).scalar_one() >= TILLS_MAX:
                raise TooLarge(f"there are {TILLS_MAX} tills already; end one first", tills_max=TILLS_MAX)
            values = {"id": id, "account": holder.account, "party": holder.party, "name": name, "label": "", "code_by": device}
            connection.execute(insert(tills), values | {"created_at": now})
            record(connection, self.clock, holder.party, "till_added", by=device, name=name)

        await self.store.write(write)
        return await self.new_code(id, account=holder.account, device=device)

    async def new_code(self, id: int, *, account: int, device: int) -> tuple[Till, str]:
        """Another code for a till; the one before is good no longer. The device that was paired stays paired until it is used."""
        code, now = self._new_code(), self.clock.now_ns()

        def write(connection: Connection) -> Row[tuple[object, ...]]:
            row = _of_account(connection, id, account)
            if row.ended_at is not None:
                raise NotInThisState
            values = {"code_hash": _hash(code), "code_expires_at": now + self.code_lifetime_s * NANOSECONDS, "code_by": device}
            connection.execute(update(tills).where(tills.c.id == id).values(values))
            return _of_account(connection, id, account)

        return _till(await self.store.write(write)), code

    async def pair(self, code: str, label: str) -> tuple[Till, str]:
        """The till behind `code`, and a token for the device that showed it, told this once. The code is used up.

        WrongCode whether it is unknown, used or too old; how often somebody may guess is the caller's to bound.
        """
        code, label = re.sub(r"[\s-]", "", code).upper(), parse_name(label or "-", "label")[:LABEL_SIZE_MAX]
        now = self.clock.now_ns()

        def use(connection: Connection) -> Row[tuple[object, ...]]:
            row = connection.execute(select(tills).where(tills.c.code_hash == _hash(code))).first()
            if row is None or row.ended_at is not None or row.code_expires_at <= now:
                raise WrongCode
            connection.execute(update(tills).where(tills.c.id == row.id).values(code_hash=None, code_expires_at=None))
            return row

        row = await self.store.write(use)
        token, text = await self.tokens.create(
            account=row.account,
            device=row.code_by,
            label=f"till {row.name}"[:100],
            scopes=frozenset({Scope.TILL}),
            expires_at=now + LIFETIME_MAX_S * NANOSECONDS,
        )

        def write(connection: Connection) -> Row[tuple[object, ...]]:
            values = {"token": token.id, "label": label, "paired_at": now}
            changed = connection.execute(update(tills).where(tills.c.id == row.id, tills.c.ended_at.is_(None)).values(values)).rowcount
            if not changed:
                raise WrongCode
            return _of_account(connection, row.id, row.account)

        try:
            till = _till(await self.store.write(write))
        except WrongCode:  # ended between the two
            await self.tokens.revoke(token.id, row.party, by=row.code_by)
            raise
        if row.token is not None:
            await self.tokens.revoke(row.token, row.party, by=row.code_by)
            self._tell(row.account)
        return till, text

    async def end(self, id: int, *, account: int, device: int) -> None:
        """Ends a till and its token, for good. A repeat changes nothing."""
        now = self.clock.now_ns()

        def write(connection: Connection) -> Row[tuple[object, ...]]:
            row = _of_account(connection, id, account)
            if row.ended_at is None:
                connection.execute(update(tills).where(tills.c.id == id).values(ended_at=now, code_hash=None, code_expires_at=None))
                record(connection, self.clock, row.party, "till_ended", by=device, name=row.name)
            return row

        row = await self.store.write(write)
        if row.token is not None:
            await self.tokens.revoke(row.token, row.party, by=device)
        self._tell(account)

    async def list(self, account: int) -> list[Till]:
        """Tills of an account that have not ended, oldest first."""
        query = select(tills).where(tills.c.account == account, tills.c.ended_at.is_(None)).order_by(tills.c.created_at, tills.c.id)
        return await self.store.read(lambda connection: [_till(row) for row in connection.execute(query)])

    async def find(self, id: int) -> Till:
        """A till, ended or not. NotFound."""
        row = await self.store.read(lambda connection: _find(connection, id))
        if row is None:
            raise NotFound("there is no till with this id")
        return _till(row)

    async def of_token(self, token: int) -> Till:
        """The till that has this token. Forbidden for a token that no till has."""
        query = select(tills).where(tills.c.token == token, tills.c.ended_at.is_(None))
        row = await self.store.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise Forbidden("this token belongs to no till")
        return _till(row)

    def _new_code(self) -> str:
        return "".join(CODE_ALPHABET[byte % len(CODE_ALPHABET)] for byte in self.clock.random_bytes(CODE_SIZE))


def _find(connection: Connection, id: int) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(tills).where(tills.c.id == id)).first()


def _of_account(connection: Connection, id: int, account: int) -> Row[tuple[object, ...]]:
    row = _find(connection, id)
    if row is None or row.account != account:
        raise NotFound("there is no till with this id")
    return row


def _hash(code: str) -> bytes:
    return hashlib.sha256(b"counterfoil/till-code/v1" + code.encode()).digest()


def _till(row: Row[tuple[object, ...]]) -> Till:
    return Till(
        id=row.id,
        account=row.account,
        party=row.party,
        name=row.name,
        label=row.label,
        token=row.token,
        code_expires_at=row.code_expires_at,
        created_at=row.created_at,
        paired_at=row.paired_at,
        ended_at=row.ended_at,
    )
