"""What the two public proof pages show: the log's state in words and as a small picture, and what the receipt check needs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Unavailable
from counterfoil.i18n import Language
from counterfoil.payments.pin_days import PinDays
from counterfoil.tlog.keys import VerifierKey
from counterfoil.web.proof_words import words
from counterfoil.web.public_log import SLOT_S, LogState, PublicLog, Slot
from counterfoil.web.services import Services

BAR_WIDTH, BAR_GAP, CHART_HEIGHT = 8, 2, 72
"""Of the picture, in units of its own."""


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


class Bar(msgspec.Struct, frozen=True):
    """One slot as it is drawn: `y` and `height` of what is witnessed, `waiting_y` and `waiting_height` of what waits on top."""

    x: int
    y: float
    height: float
    waiting_y: float
    waiting_height: float
    witnessed: bool | None
    start_ns: int
    entries: int


class WitnessRow(msgspec.Struct, frozen=True):
    """A witness in the table. `cosigned_s`: when it cosigned the head that is shown; None when it did not."""

    name: str
    cosigned_s: int | None
    problem: str


class ProofViews:
    """Each method is one page's content, in `language`."""

    def __init__(self, services: Services, log: PublicLog, pin_days: PinDays, language: Language) -> None:
        self.services = services
        self.pin_days = pin_days
        self.public_log = log
        self.language = language

    async def proof(self) -> dict[str, Any]:
        """The state of the log. A tree that is not in order is told, and the page stays."""
        origin = self.services.config.origin
        key = VerifierKey.of(origin, self.services.payments.acknowledger.public_key)
        common = {"vkey": str(key), "audit": self.services.audited(), "state": None, "problem": ""}
        try:
            state = await self.public_log.state()
        except Unavailable as error:
            return common | {"problem": error.detail}
        if state.newest is None:
            return common
        try:
            by_pin = await self.pin_days.last(state.newest.checkpoint.size)
        except Unavailable:
            by_pin = None
        return common | {
            "state": state,
            "time_zone": self.services.config.time_zone,
            "by_pin": [(self._day(day.start), day) for day in reversed(by_pin or ())],
            "head": state.witnessed or state.newest,
            "rows": self._rows(state),
            "bars": bars(state.slots, state.waiting),
            "most": max((slot.entries for slot in state.slots), default=0),
            "chart_width": len(state.slots) * (BAR_WIDTH + BAR_GAP),
            "chart_height": CHART_HEIGHT,
            "gaps": sum(slot.witnessed is False for slot in state.slots),
            "chart_start": state.slots[0].start_s * NANOSECONDS,
            "chart_end": (state.slots[-1].start_s + SLOT_S) * NANOSECONDS,
            "newest_cosigned": max((each.time_s for each in state.cosigned), default=0) * NANOSECONDS,
        }

    def _day(self, start: int) -> str:
        return datetime.fromtimestamp(start // NANOSECONDS, ZoneInfo(self.services.config.time_zone)).date().isoformat()

    def _rows(self, state: LogState) -> list[WitnessRow]:
        cosigned = {each.name: each.time_s for each in state.cosigned}
        problems = {status.name: status.problem or "" for status in self.services.witnesses()}
        return [WitnessRow(name, cosigned.get(name), problems.get(name, "")) for name in state.witnesses]

    async def check(self) -> dict[str, Any]:
        """What the page needs to check a receipt by itself: the policy, the words, the currency's digits."""
        try:
            policy = (await self.public_log.state()).policy
        except Unavailable:
            policy = ""
        currency = self.services.config.currency
        return {
            "policy": policy,
            "words": words(self.language),
            "currency": {"code": currency.code, "digits": currency.digits},
        }


def bars(slots: tuple[Slot, ...], waiting: int) -> list[Bar]:
    """The slots as they are drawn: the highest fills the picture, and what is not nothing can be seen."""
    most = max([slot.entries for slot in slots[:-1]] + [slots[-1].entries + waiting], default=0) or 1
    drawn = []
    for place, slot in enumerate(slots):
        height = _height(slot.entries, most)
        above = _height(waiting, most) if place == len(slots) - 1 else 0.0
        drawn.append(
            Bar(
                x=place * (BAR_WIDTH + BAR_GAP),
                y=round(CHART_HEIGHT - height, 1),
                height=height,
                waiting_y=round(CHART_HEIGHT - height - above, 1),
                waiting_height=above,
                witnessed=slot.witnessed,
                start_ns=slot.start_s * NANOSECONDS,
                entries=slot.entries,
            )
        )
    return drawn


def _height(entries: int, most: int) -> float:
    return round(max(1.5, entries / most * (CHART_HEIGHT - 2)), 1) if entries else 0.0
