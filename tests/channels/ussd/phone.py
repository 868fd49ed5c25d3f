"""A simple phone for tests: dials, types, and shows what a gateway would show."""

from __future__ import annotations

import itertools

from counterfoil.channels.ussd.fitting import fits
from counterfoil.channels.ussd.service import Ussd
from counterfoil.channels.ussd.types import Hop, Screen

_sessions = itertools.count(1)


class Phone:
    """One number. `whole`: the gateway sends all that was typed so far, as Africa's Talking does."""

    def __init__(self, ussd: Ussd, number: str, *, gateway: str = "one", whole: bool = True) -> None:
        self.ussd = ussd
        self.number = number
        self.gateway = gateway
        self.whole = whole
        self.session = ""
        self.typed: list[str] = []
        self.screen = Screen("", True)
        self.seen: list[str] = []

    async def dial(self, session: str = "") -> str:
        """A new session; what it shows."""
        self.session, self.typed = session or f"s{next(_sessions)}", []
        return await self._ask("", begins=None if self.whole else True)

    async def type(self, *texts: str) -> str:
        """Answers one screen after the other; what is shown last."""
        for text in texts:
            assert not self.screen.ends, f"{text!r} typed after the end: {self.screen.text!r}"
            self.typed.append(text)
            await self._ask("*".join(self.typed) if self.whole else text, begins=None if self.whole else False)
        return self.screen.text

    async def go(self, *texts: str) -> str:
        """Dials, and types."""
        await self.dial()
        return await self.type(*texts)

    def hop(self) -> Hop:
        """The last hop, as the gateway would send it once more."""
        return self._last

    async def _ask(self, typed: str, *, begins: bool | None) -> str:
        mark = "" if self.whole else str(len(self.typed))
        self._last = Hop(
            gateway=self.gateway, session=self.session, number=self.number, typed=typed, whole=self.whole, begins=begins, mark=mark
        )
        self.screen = await self.ussd.answer(self._last)
        assert fits(self.screen.text), self.screen.text
        self.seen.append(self.screen.text)
        return self.screen.text
