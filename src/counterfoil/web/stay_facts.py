"""How it stands with a stay, in words: for the driver's ticket and for the attendant."""

from __future__ import annotations

from typing import Any

from counterfoil.acceptance.parking.tariff import whole_minutes
from counterfoil.acceptance.parking.values import Parked
from counterfoil.acceptance.service import Acceptance
from counterfoil.acceptance.types import Sale
from counterfoil.i18n import Language
from counterfoil.ids import id_text
from counterfoil.parties.service import Parties
from counterfoil.web.page_words import moment, span


class StayFacts:
    """Answers what pages say of stays."""

    def __init__(self, acceptance: Acceptance, parties: Parties) -> None:
        self.acceptance = acceptance
        self.stays = acceptance.stays
        self.parties = parties

    async def of(self, language: Language, parked: Parked) -> dict[str, Any]:
        """Name of the car park, plate, times; `hold_link`: path of where money is set aside, "" where nobody can; `more`: how much more."""
        stay, zone = parked.stay, self.stays.sales.zone
        hold_link = ""
        if parked.wanted is not None and stay.left_at is None:
            hold_link = await self.link(parked.wanted)
        park = await self.acceptance.car_parks.find(stay.car_park, stay.account)
        return {
            "ticket_id": id_text(stay.id),
            "name": park.name,
            "plate": stay.plate,
            "entered": moment(language, stay.entered_at, zone),
            "left": "" if stay.left_at is None else moment(language, stay.left_at, zone),
            "duration": span(language, whole_minutes(stay.entered_at, parked.at)),
            "parked": parked,
            "leave_by": "" if parked.leave_by is None else moment(language, parked.leave_by, zone),
            "covered_until": "" if parked.covered_until is None else moment(language, parked.covered_until, zone),
            "hold_link": hold_link,
            "hold_amount": parked.wanted.amount if parked.wanted is not None else 0,
            "more": 0 if stay.left_at is not None or parked.wanted is not None else stay.hold or park.hold,
        }

    async def link(self, sale: Sale) -> str:
        """Path of where a sale is paid, or its money set aside."""
        return self.acceptance.codes.link(sale, await self.parties.holder(sale.account))
