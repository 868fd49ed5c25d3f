"""Clerks: who may do what at a shop's tills, proved by a PIN and then by a session.

A PIN is checked and locked as a holder's is (`parties.pins`); the clerk's id is its subject. A session is a secret kept as
a hash; it ends after twelve hours, after half an hour in which nothing was done, with the clerk, with the PIN, or with the
till. It has the rights that the clerk has now, not those of the moment when it began. The shop's tills hear of every change.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from counterfoil.acceptance.tables import clerk_sessions, clerks
from counterfoil.acceptance.types import Clerk, Right, Session
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Forbidden, IdReused, Malformed, NotAuthenticated, NotFound, NotInThisState, TooLarge
from counterfoil.parties.journal import record
from counterfoil.parties.numbers import parse_name
from counterfoil.parties.pins import Pins, forgive, keep_pin, locked_until
from counterfoil.store.database import Store

CLERKS_MAX = 100
"""Clerks of one account that have not ended."""
SESSION_S_MAX = 12 * 3600
IDLE_S_MAX = 30 * 60
TOUCH_S = 60
"""A session that is in use is written down as used at most this often."""
SESSIONS_PER_CLERK_MAX = 20
SESSION_SIZE = 24


class Clerks:
    """Adds and changes clerks, signs them in and says who stands at a till. `tell` hears of each account whose clerks changed."""

    def __init__(self, *, store: Store, pins: Pins, clock: Clock, tell: Callable[[int], None]) -> None:
        self.store = store
        self.pins = pins
        self.clock = clock
        self._tell = tell

    async def add(self, *, id: int, account: int, party: int, name: str, pin: str, rights: Collection[Right], device: int) -> Clerk:
        """A new clerk. A repeat changes nothing, the PIN neither; another clerk under the same id is IdReused, the 101st TooLarge."""
        name, now = parse_name(name), self.clock.now_ns()
        hash_ = await self.pins.hashed(pin)
        granted = _rights_text(rights)
        values = {"id": id, "account": account, "name": name, "rights": granted}

        def write(connection: Connection) -> Row[tuple[object, ...]]:
            kept = connection.execute(select(clerks).where(clerks.c.id == id)).first()
            if kept is None:
                standing = select(func.count()).where(clerks.c.account == account, clerks.c.ended_at.is_(None))
                if connection.execute(standing).scalar_one() >= CLERKS_MAX:
                    raise TooLarge(f"there are {CLERKS_MAX} clerks already; end one first", clerks_max=CLERKS_MAX)
                connection.execute(insert(clerks), values | {"created_at": now})
                keep_pin(connection, id, hash_, now)
                record(connection, self.clock, party, "clerk_added", by=device, name=name, rights=granted)
            elif (kept.account, kept.name, kept.rights) != (account, name, granted) or kept.ended_at is not None:
                raise IdReused
            return _of_account(connection, id, account)

        clerk = _clerk(await self.store.write(write))
        self._tell(account)
        return clerk

    async def change(
        self,
        id: int,
        *,
        account: int,
        party: int,
        device: int,
        name: str | None = None,
        pin: str | None = None,
        rights: Collection[Right] | None = None,
        unlock: bool = False,
    ) -> Clerk:
        """Changes what is given. NotInThisState for one who has ended, NotFound for nobody's id.

        Rights hold at once, also where the clerk is signed in. A new PIN ends the sessions of the old one. Both a new PIN and
        `unlock` forgive wrong PINs; with `unlock` the PIN stays as it is.
        """
        hash_, now = None if pin is None else await self.pins.hashed(pin), self.clock.now_ns()
        values: dict[str, str] = {}
        if name is not None:
            values["name"] = parse_name(name)
        if rights is not None:
            values["rights"] = _rights_text(rights)

        def write(connection: Connection) -> Row[tuple[object, ...]]:
            if _of_account(connection, id, account).ended_at is not None:
                raise NotInThisState
            if values:
                connection.execute(update(clerks).where(clerks.c.id == id).values(values))
            if hash_ is not None:
                keep_pin(connection, id, hash_, now)
                connection.execute(delete(clerk_sessions).where(clerk_sessions.c.clerk == id))
            if unlock:
                forgive(connection, id)
            row = _of_account(connection, id, account)
            what = {"name": row.name, "rights": row.rights, "pin": hash_ is not None, "unlocked": unlock or hash_ is not None}
            record(connection, self.clock, party, "clerk_changed", by=device, **what)
            return row

        clerk = _clerk(await self.store.write(write))
        self._tell(account)
        return clerk

    async def end(self, id: int, *, account: int, party: int, device: int) -> None:
        """Lets a clerk do nothing any more. What they did stays with their name. A repeat changes nothing."""
        now = self.clock.now_ns()

        def write(connection: Connection) -> None:
            row = _of_account(connection, id, account)
            if row.ended_at is None:
                connection.execute(update(clerks).where(clerks.c.id == id).values(ended_at=now))
                connection.execute(delete(clerk_sessions).where(clerk_sessions.c.clerk == id))
                record(connection, self.clock, party, "clerk_ended", by=device, name=row.name)

        await self.store.write(write)
        self._tell(account)

    async def list(self, account: int) -> list[Clerk]:
        """Clerks of an account who have not ended, by name."""
        query = select(clerks).where(clerks.c.account == account, clerks.c.ended_at.is_(None)).order_by(clerks.c.name, clerks.c.id)
        return await self.store.read(lambda connection: [_clerk(row) for row in connection.execute(query)])

    async def locked(self, ids: Collection[int]) -> dict[int, int]:
        """Until when (ns) the PINs of those of `ids` are locked that are locked now, after too many wrong ones."""
        now = self.clock.now_ns()
        return await self.store.read(lambda connection: locked_until(connection, ids, now)) if ids else {}

    async def names(self, ids: Collection[int]) -> dict[int, str]:
        """Names by id, also of those who have ended."""
        query = select(clerks.c.id, clerks.c.name).where(clerks.c.id.in_(sorted(ids)))
        return await self.store.read(lambda connection: {row.id: row.name for row in connection.execute(query)}) if ids else {}

    async def find(self, id: int, account: int) -> Clerk:
        """A clerk of the account, also one who has ended. NotFound."""
        return _clerk(await self.store.read(lambda connection: _of_account(connection, id, account)))

    # Sessions

    async def sign_in(self, id: int, pin: str, *, till: int, account: int) -> tuple[Session, str]:
        """A session for a clerk at a till, and its secret. WrongPin (also for nobody's id), PinLocked, TooMany.

        Sessions of others at the same till go on.
        """
        query = select(clerks).where(clerks.c.id == id, clerks.c.account == account, clerks.c.ended_at.is_(None))
        row = await self.store.read(lambda connection: connection.execute(query).first())
        await self.pins.check(None if row is None else id, pin, address=f"clerk {account:032x} {id:032x}")
        assert row is not None, "nobody's PIN is never right"
        secret, now = base64.urlsafe_b64encode(self.clock.random_bytes(SESSION_SIZE)).decode(), self.clock.now_ns()
        values = {"hash": _hash(secret), "clerk": id, "till": till, "created_at": now, "used_at": now}

        def write(connection: Connection) -> None:
            old = clerk_sessions.c.created_at < now - SESSION_S_MAX * NANOSECONDS
            connection.execute(delete(clerk_sessions).where(old))
            mine = select(clerk_sessions.c.hash).where(clerk_sessions.c.clerk == id).order_by(clerk_sessions.c.created_at.desc())
            for hash_ in connection.execute(mine.offset(SESSIONS_PER_CLERK_MAX - 1)).scalars().all():
                connection.execute(delete(clerk_sessions).where(clerk_sessions.c.hash == hash_))
            connection.execute(insert(clerk_sessions), values)

        await self.store.write(write)
        return Session(clerk=_clerk(row), expires_at=now + SESSION_S_MAX * NANOSECONDS), secret

    async def at_till(self, secret: str, *, till: int, right: Right | None = None) -> Clerk:
        """The clerk whose session this is, if it stands and they have `right`. NotAuthenticated, Forbidden (`right`)."""
        hash_, now = _hash(secret[:64]), self.clock.now_ns()
        query = (
            select(clerks, clerk_sessions.c.created_at.label("began_at"), clerk_sessions.c.used_at)
            .join(clerks, clerks.c.id == clerk_sessions.c.clerk)
            .where(clerk_sessions.c.hash == hash_, clerk_sessions.c.till == till, clerks.c.ended_at.is_(None))
        )
        row = await self.store.read(lambda connection: connection.execute(query).first())
        if row is None or row.began_at + SESSION_S_MAX * NANOSECONDS <= now or row.used_at + IDLE_S_MAX * NANOSECONDS <= now:
            raise NotAuthenticated("no clerk is signed in at this till, or not any more", session=False)
        clerk = _clerk(row)
        if right is not None and right not in clerk.rights:
            raise Forbidden(f"this clerk does not have the right {right}", right=right)
        if row.used_at + TOUCH_S * NANOSECONDS <= now:
            touch = update(clerk_sessions).where(clerk_sessions.c.hash == hash_).values(used_at=now)
            await self.store.write(lambda connection: connection.execute(touch).rowcount)
        return clerk

    async def sign_out(self, secret: str, *, till: int) -> None:
        """Ends a session. A repeat changes nothing."""
        these = (clerk_sessions.c.hash == _hash(secret[:64])) & (clerk_sessions.c.till == till)
        await self.store.write(lambda connection: connection.execute(delete(clerk_sessions).where(these)).rowcount)


def _of_account(connection: Connection, id: int, account: int) -> Row[tuple[object, ...]]:
    row = connection.execute(select(clerks).where(clerks.c.id == id, clerks.c.account == account)).first()
    if row is None:
        raise NotFound("there is no clerk with this id")
    return row


def _rights_text(rights: Collection[Right]) -> str:
    if len(set(rights)) != len(rights):
        raise Malformed("rights", "must name each right once")
    return " ".join(sorted(rights))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(b"counterfoil/clerk-session/v1" + secret.encode()).digest()


def _clerk(row: Row[tuple[object, ...]]) -> Clerk:
    return Clerk(
        id=row.id,
        account=row.account,
        name=row.name,
        rights=frozenset(Right(right) for right in row.rights.split()),
        ended_at=row.ended_at,
    )
