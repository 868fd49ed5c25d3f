"""What a server that died has begun to give back: carried out when it starts again, and every minute."""

from __future__ import annotations

import asyncio

from counterfoil.acceptance.baskets.service import Baskets

INTERVAL_S = 60.0


class BasketRounds:
    """Goes on with what was begun, in the background."""

    def __init__(self, baskets: Baskets) -> None:
        self.baskets = baskets
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """At the start and every minute, until `stop()`."""
        while not self._stopping.is_set():
            await self.baskets.resume()
            try:
                async with asyncio.timeout(INTERVAL_S):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stopping.set()
