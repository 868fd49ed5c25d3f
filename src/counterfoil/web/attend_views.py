"""What the attendant's pages show of stays and fills."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from counterfoil.acceptance.fuel.fills import Fill, Filled
from counterfoil.acceptance.fuel.pump import State, cost
from counterfoil.acceptance.parking.tariff import whole_minutes
from counterfoil.acceptance.parking.values import Parked, Stay
from counterfoil.i18n import Language
from counterfoil.ids import id_text
from counterfoil.web.page_words import litres, moment, span
from counterfoil.web.services import Services
from counterfoil.web.stay_facts import StayFacts
from counterfoil.web.till_pages import picture


class AttendViews:
    """Answers what pages say, in the language of whoever looks."""

    def __init__(self, services: Services) -> None:
        self.clock = services.clock
        self.zone = ZoneInfo(services.config.time_zone)
        self.facts = StayFacts(services.acceptance, services.parties)

    def stay_line(self, language: Language, stay: Stay) -> dict[str, str]:
        """A stay in the list of who is inside."""
        minutes = whole_minutes(stay.entered_at, self.clock.now_ns())
        return {
            "id": id_text(stay.id),
            "plate": stay.plate or "",
            "since": moment(language, stay.entered_at, self.zone),
            "time": span(language, minutes),
        }

    async def stay(self, language: Language, parked: Parked, *, base: str) -> dict[str, Any]:
        """A stay with the one code that its driver has to scan next: to pay, to set money aside, else the ticket."""
        facts = await self.facts.of(language, parked)
        ticket = f"{base}/parking/{id_text(parked.stay.id)}"
        if parked.stay.left_at is not None:
            scan, label = "", ""
        elif parked.due and parked.asked is not None:
            scan, label = base + await self.facts.link(parked.asked[1]), language.text("Scan to pay")
        elif facts["hold_link"] and not parked.due:
            scan, label = base + facts["hold_link"], language.text("Scan to set money aside")
        else:
            scan, label = ticket, language.text("Scan for the ticket")
        return facts | {"ticket": ticket, "scan": scan, "label": label, "code": picture(scan, label) if scan else ""}

    def fill_line(self, language: Language, fill: Fill) -> dict[str, str]:
        """A fill in the list of those under way."""
        return {
            "id": id_text(fill.id),
            "title": language.text("Pump %(number)s, %(product)s", number=fill.number, product=fill.product),
            "since": moment(language, fill.asked_at, self.zone),
            "state": self._state(language, fill.run.state),
        }

    def fill(self, language: Language, filled: Filled, *, read: int | None) -> dict[str, Any]:
        """A fill; with `read`, the totaliser in millilitres, what would be taken for what ran."""
        fill, run = filled.fill, filled.fill.run
        ran = run.millilitres if read is None else read - run.before
        price = cost(ran, run.price)
        return self.fill_line(language, fill) | {
            "fill": fill,
            "limit": run.limit,
            "price": run.price,
            "before": litres(language, run.before),
            "ran": litres(language, ran),
            "charge": run.charge if read is None else min(price, run.limit),
            "unpaid": filled.unpaid if read is None else max(0, price - run.limit),
            "over": run.is_over,
            "reading": read is not None,
        }

    def _state(self, language: Language, state: State) -> str:
        return {
            State.IDLE: language.text("Nobody has agreed yet"),
            State.AUTHORISED: language.text("May run"),
            State.DISPENSING: language.text("Runs"),
            State.TIMED_OUT: language.text("The pump does not answer"),
            State.DONE: language.text("Done"),
            State.ABORTED: language.text("Nothing ran"),
        }[state]
