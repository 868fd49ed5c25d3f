"""The outbox of notices: written with what they are about, handed to a channel at least once, replayable."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Row, select, update

from counterfoil.clock import Clock
from counterfoil.parties.tables import notices
from counterfoil.parties.types import Notice
from counterfoil.store.database import Store

PAGE_SIZE_MAX = 500
_SECRET_KINDS = ("code",)


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

        def write(connection: Connection) -> None:
            these = notices.c.id.in_(ids)
            connection.execute(update(notices).where(these, notices.c.delivered_at.is_(None)).values(delivered_at=now))
            connection.execute(update(notices).where(these, notices.c.kind.in_(_SECRET_KINDS)).values(body="{}"))

        await self.store.write(write)


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
