"""The outbox of notices: written with what they are about, handed to a channel at least once, replayable."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, Row, exists, func, select, update

from counterfoil.clock import Clock
from counterfoil.parties.tables import accounts, devices, notices, parties
from counterfoil.parties.types import DeviceState, Notice, PartyState
from counterfoil.store.database import Store

PAGE_SIZE_MAX = 500
_SECRET_KINDS = ("code", "answer_secret")


class Notices:
    """What waits to be told, for the channels to take away."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    async def waiting(self, limit: int = PAGE_SIZE_MAX) -> list[Notice]:
        """The oldest notices that nobody has delivered yet."""
        assert 0 < limit <= PAGE_SIZE_MAX, limit
        query = select(notices).where(notices.c.delivered_at.is_(None)).order_by(notices.c.created_at, notices.c.id).limit(limit)
        return await self.store.read(lambda connection: [_notice_of(row) for row in connection.execute(query)])

    async def newest_waiting(self, limit: int = PAGE_SIZE_MAX) -> list[Notice]:
        """The newest notices that nobody has delivered yet, newest first: for people who look, not for channels."""
        assert 0 < limit <= PAGE_SIZE_MAX, limit
        query = select(notices).where(notices.c.delivered_at.is_(None)).order_by(notices.c.created_at.desc(), notices.c.id.desc())
        return await self.store.read(lambda connection: [_notice_of(row) for row in connection.execute(query.limit(limit))])

    async def of(self, party: int, limit: int = 50) -> list[Notice]:
        """The newest notices to one party, newest first."""
        query = select(notices).where(notices.c.party == party).order_by(notices.c.created_at.desc(), notices.c.id.desc()).limit(limit)
        return await self.store.read(lambda connection: [_notice_of(row) for row in connection.execute(query)])

    async def delivered(self, *ids: int) -> None:
        """Takes notices out of the outbox. What was secret in them is removed. A repeat changes nothing."""
        now = self.clock.now_ns()
        await self.store.write(lambda connection: hand_over(connection, ids, now))


def waiting_for(connection: Connection, channel: str, kinds: Collection[str], limit: int = PAGE_SIZE_MAX) -> list[tuple[Notice, str]]:
    """The oldest notices of these kinds that nobody has delivered yet on a channel, each with the language of whom it tells.

    The language is the party's, or of whoever has the number now, or "" where nobody has it.
    """
    assert 0 < limit <= PAGE_SIZE_MAX, limit
    named, reached = parties.alias("named"), parties.alias("reached")
    query = (
        select(notices, func.coalesce(named.c.language, reached.c.language, "").label("language"))
        .outerjoin(named, named.c.id == notices.c.party)
        .outerjoin(reached, reached.c.number == notices.c.number)
        .where(notices.c.channel == channel, notices.c.delivered_at.is_(None), notices.c.kind.in_(kinds))
        .order_by(notices.c.created_at, notices.c.id)
        .limit(limit)
    )
    return [(_notice_of(row), row.language) for row in connection.execute(query)]


class Reached(msgspec.Struct, frozen=True):
    """Whom to tell by text what happens to an account: a holder with a number, and without a device that would tell it."""

    party: int
    number: str


def reached_by_text_only(connection: Connection, account_ids: Collection[int]) -> dict[int, Reached]:
    """Those of these accounts whose holders hear of their money by text, since no active device tells them."""
    has_device = exists().where(devices.c.party == parties.c.id, devices.c.state == DeviceState.ACTIVE)
    query = (
        select(accounts.c.id, parties.c.id.label("party"), parties.c.number)
        .join(parties, parties.c.id == accounts.c.party)
        .where(accounts.c.id.in_(account_ids), parties.c.number.is_not(None), parties.c.state == PartyState.OPEN, ~has_device)
    )
    return {row.id: Reached(row.party, row.number) for row in connection.execute(query)}


def names_of(connection: Connection, account_ids: Collection[int]) -> dict[int, str]:
    """The names of these accounts' holders; accounts of the scheme itself have none."""
    query = select(accounts.c.id, parties.c.name).join(parties, parties.c.id == accounts.c.party).where(accounts.c.id.in_(account_ids))
    return {row.id: row.name for row in connection.execute(query)}


def hand_over(connection: Connection, ids: Collection[int], now: int) -> None:
    """Takes notices out of the outbox, in the transaction in which a channel takes them over. What was secret in them is removed."""
    these = notices.c.id.in_(ids)
    connection.execute(update(notices).where(these, notices.c.delivered_at.is_(None)).values(delivered_at=now))
    connection.execute(update(notices).where(these, notices.c.kind.in_(_SECRET_KINDS)).values(body="{}"))


def _notice_of(row: Row[tuple[object, ...]]) -> Notice:
    return Notice(
        id=row.id,
        party=row.party,
        channel=row.channel,
        number=row.number,
        device=row.device,
        kind=row.kind,
        values=msgspec.json.decode(row.body, type=dict[str, str | int]),
        created_at=row.created_at,
    )
