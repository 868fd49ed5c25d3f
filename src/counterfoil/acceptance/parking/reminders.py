"""Reminds whoever set money aside for a stay, or paid, some minutes before that is no longer enough. Once for each such moment.

Each stay says when it is looked at next, so a look costs what there is to do, and not how many are inside. That somebody was
reminded is written in the transaction that tells them: a server that dies reminds once, too. Whoever would have to be told while no
server ran, and is covered no more, is not told.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog
from sqlalchemy import Connection, select, update

from counterfoil.acceptance.parking.stays import Stays
from counterfoil.acceptance.parking.tables import inside, stays
from counterfoil.acceptance.parking.values import Parked, Stay
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Refused, Unavailable
from counterfoil.ids import id_text
from counterfoil.parties.journal import tell_nearest

PARKING_ENDS: Final = "parking_ends"
BEFORE_S: Final = 600
"""So many seconds before the end of the cover."""
GRACE_PART: Final = 3
"""Whoever paid at the station is reminded when this part of the grace is left, if that is shorter."""
AGAIN_S: Final = 300
"""Seconds after which it is looked again, also where nothing has to be said soon: somebody may have taken something back."""
PACE_S: Final = 15.0
"""Seconds between two looks."""
RETRY_S: Final = 30
"""Seconds after which a stay is looked at again that could not be looked at."""
PAGE_SIZE: Final = 100

log = structlog.get_logger(__name__)


class Reminders:
    """`run()` beside the server."""

    def __init__(self, of: Stays) -> None:
        self.stays = of
        self.store = of.store
        self.clock = of.clock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Returns after `stop()`."""
        while not self._stopping.is_set():
            try:
                seen = await self.look()
            except Unavailable as error:
                log.warning("reminders_wait", error=str(error))
                seen = 0
            if seen < PAGE_SIZE:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PACE_S):
                        await self._stopping.wait()

    def stop(self) -> None:
        self._stopping.set()

    async def look(self) -> int:
        """Looks at the stays whose time has come, a page of them; returns how many."""
        now = self.clock.now_ns()
        query = select(stays.c.id).where(inside, stays.c.look_at <= now).order_by(stays.c.look_at).limit(PAGE_SIZE)
        ids = await self.store.read(lambda connection: connection.execute(query).scalars().all())
        for id in ids:  # noqa: A001
            stay = await self.stays.find(id)
            try:
                await self._remind(await self.stays.look(stay, now), now)
            except (Refused, Unavailable) as error:  # the others are told all the same
                log.warning("stay_not_looked_at", stay=id_text(id), error=str(error))
                await self._later(stay, now + RETRY_S * NANOSECONDS)
        return len(ids)

    # Parts

    async def _remind(self, parked: Parked, now: int) -> None:
        stay, until = parked.stay, parked.covered_until
        if until is None or parked.payer is None:
            return await self._later(stay, now + AGAIN_S * NANOSECONDS)
        before = BEFORE_S if parked.held else min(BEFORE_S, stay.grace_minutes * 60 // GRACE_PART)
        remind_at = until - before * NANOSECONDS
        if now < remind_at:
            return await self._later(stay, min(remind_at, now + AGAIN_S * NANOSECONDS))
        holder = await self.stays.sales.parties.holder(parked.payer)
        name, ticket = await self.stays.name(stay), id_text(stay.id)
        told = update(stays).where(stays.c.id == stay.id, inside, stays.c.reminded_for != until)
        told = told.values(reminded_for=until)

        def write(connection: Connection) -> None:
            if connection.execute(told).rowcount:
                tell_nearest(connection, self.clock, holder.party, PARKING_ENDS, name=name, until=until, stay=ticket)

        await self.store.write(write)
        return await self._later(stay, now + AGAIN_S * NANOSECONDS)

    async def _later(self, stay: Stay, at: int) -> None:
        later = update(stays).where(stays.c.id == stay.id).values(look_at=at)
        await self.store.write(lambda connection: connection.execute(later))
