"""Tells listeners that something happened to their account, soon after it did: a look at the journal now and then.

Whatever changes a party writes the journal in the same transaction, so there is one place to look at, and nobody who changes
something has to think of this. While nobody listens, nothing is read but the journal's last number.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from counterfoil.errors import Unavailable
from counterfoil.ids import id_text
from counterfoil.parties.happenings import PAGE_SIZE_MAX, Happenings
from counterfoil.payments.hub import NOTICE, Hub, Told

PACE_S = 0.5
"""Seconds between two looks."""
RETRY_S = 5.0
"""Seconds before the next look after trouble with the store."""

log = structlog.get_logger(__name__)


class NoticeFollower:
    """`run()` beside the server; `hub` tells whoever listens."""

    def __init__(self, happenings: Happenings, hub: Hub) -> None:
        self.happenings = happenings
        self.hub = hub
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Returns after `stop()`."""
        number: int | None = None
        while not self._stopping.is_set():
            try:
                number = await self.happenings.newest() if number is None or not self.hub.accounts else await self.tell(number)
            except Unavailable as error:
                log.warning("notices_wait", error=str(error))
                await self._pause(RETRY_S)
            await self._pause(PACE_S)

    async def tell(self, number: int) -> int:
        """Tells what happened after the journal's row `number`; returns the number to go on from."""
        while page := await self.happenings.after(number):
            for each in page:
                self.hub.publish(each.account, Told(NOTICE, each.at, {"notice": id_text(each.id), "kind": each.kind}))
            number = page[-1].number
            if len(page) < PAGE_SIZE_MAX:
                break
        return number

    def stop(self) -> None:
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
