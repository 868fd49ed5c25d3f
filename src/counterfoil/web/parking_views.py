"""Car parks and stays as they look in JSON. Amounts in minor units."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.acceptance.parking.marks import PLATE_SIZE_MAX
from counterfoil.acceptance.parking.parks import CAR_PARKS_MAX, GRACE_MINUTES_MAX, PLACES_MAX, CarPark
from counterfoil.acceptance.parking.stays import PAGE_SIZE_MAX
from counterfoil.acceptance.parking.tariff import BANDS_MAX, DAY_MINUTES, Band, Tariff, whole_minutes
from counterfoil.acceptance.parking.values import Parked
from counterfoil.moments import moment_text
from counterfoil.web.card_views import TapBody
from counterfoil.web.till_views import SaleView
from counterfoil.web.values import AmountOrZero, Cursor, Moment, Text, UuidText, uuid_text

Places = Annotated[int, msgspec.Meta(ge=1, le=PLACES_MAX)]
GraceMinutes = Annotated[int, msgspec.Meta(ge=1, le=GRACE_MINUTES_MAX, description="how long whoever has paid may take to leave")]
Plate = Annotated[
    str, msgspec.Meta(max_length=40, description=f"2 to {PLATE_SIZE_MAX} letters and digits of any script; the rest does not count")
]


class BandView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`price` for up to `minutes` more, due as soon as one of them is used."""

    minutes: Annotated[int, msgspec.Meta(ge=1, le=DAY_MINUTES)]
    price: AmountOrZero


class TariffView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stay costs: nothing for up to `free_minutes`, else from its entry on; only whole minutes count.

    Attributes:
        bands: one after the other; the last one repeats. They begin anew with every 24 hours from the entry.
        day_cap: the most for such 24 hours; null for no limit.
        lost_ticket: the least for a stay whose ticket is lost.
    """

    bands: Annotated[list[BandView], msgspec.Meta(min_length=1, max_length=BANDS_MAX)]
    free_minutes: Annotated[int, msgspec.Meta(ge=0, le=DAY_MINUTES)] = 0
    day_cap: AmountOrZero | None = None
    lost_ticket: AmountOrZero = 0


class CarParkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the car park shall be from now on. `hold`: set aside at the entry of whoever only wants to drive; 0 for never."""

    name: Text
    places: Places
    tariff: TariffView
    hold: AmountOrZero = 0
    grace_minutes: GraceMinutes = 15


class CarParkView(msgspec.Struct, frozen=True):
    """A car park. `taken`: places that are taken now; more than `places` where those became fewer."""

    id: UuidText
    name: str
    places: Places
    taken: int
    hold: AmountOrZero
    grace_minutes: GraceMinutes
    tariff: TariffView


class CarParksView(msgspec.Struct, frozen=True):
    """The car parks of the merchant, by name."""

    car_parks: Annotated[list[CarParkView], msgspec.Meta(description=f"at most {CAR_PARKS_MAX}")]


class EntryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A car comes in. `id` is made at the gate and is the ticket; a `plate` or the `tap` of a card names the stay, too.

    Attributes:
        entered_at: up to seven days ago, at a gate that had no network.
        hold: true asks for money to be set aside, so that nothing is left to do at the way out.
    """

    id: UuidText
    car_park: UuidText
    entered_at: Moment
    plate: Plate | None = None
    tap: TapBody | None = None
    hold: bool = False


class FindBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to find: by plate, or by the card that is tapped now. One of both."""

    plate: Plate | None = None
    tap: TapBody | None = None


class LeaveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A car is at the way out. `passage` is made at the gate; `at`: when it was, if not now."""

    passage: UuidText
    at: Moment | None = None


class LetOutBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody opens the barrier, and says why."""

    passage: UuidText
    reason: Text
    at: Moment | None = None


class InsideQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which car park; `cursor` from the page before."""

    car_park: UuidText
    cursor: Cursor | None = None


class StayView(msgspec.Struct, frozen=True):
    """A stay.

    Attributes:
        minutes: whole minutes that `fee` is for: until now, until it was paid for whoever may still leave, or until it left.
        settled: what was taken of the hold, and paid.
        due: what has to be paid before the barrier may open; what is held counts.
        leave_by: until when whoever has paid may leave for that; null where time goes on.
        covered_until: the first moment at which something will be due; null where something is, or no end is in sight.
        held: what is set aside now, in all.
        hold: the sale that sets money aside at the entry; null where none does.
        wanted: the sale that waits for somebody to set money aside, at the entry or later; null where none does.
        asked: the sale that asks for what is due, to be paid in any way; null before there is one.
        may_leave: whether the barrier at the way out may be opened now: true once it has left by this passage.
        unpaid: what was due when somebody let it out, for `reason`.
    """

    id: UuidText
    car_park: UuidText
    plate: str | None
    entered_at: Moment
    left_at: Moment | None
    minutes: int
    fee: AmountOrZero
    settled: AmountOrZero
    due: AmountOrZero
    leave_by: Moment | None
    covered_until: Moment | None
    held: AmountOrZero
    hold: SaleView | None
    wanted: SaleView | None
    asked: SaleView | None
    may_leave: bool
    lost_ticket: bool
    unpaid: AmountOrZero
    reason: str


class StayLine(msgspec.Struct, frozen=True):
    """Who is inside, and since when."""

    id: UuidText
    plate: str | None
    entered_at: Moment


class StaysView(msgspec.Struct, frozen=True):
    """Who is inside, in the order of coming."""

    stays: Annotated[list[StayLine], msgspec.Meta(description=f"at most {PAGE_SIZE_MAX}")]
    next: Cursor | None


def tariff_of(view: TariffView) -> Tariff:
    bands = tuple(Band(band.minutes, band.price) for band in view.bands)
    return Tariff(free_minutes=view.free_minutes, bands=bands, day_cap=view.day_cap, lost_ticket=view.lost_ticket)


def car_park_view(park: CarPark) -> CarParkView:
    tariff = park.tariff
    bands = [BandView(band.minutes, band.price) for band in tariff.bands]
    return CarParkView(
        id=uuid_text(park.id),
        name=park.name,
        places=park.places,
        taken=park.taken,
        hold=park.hold,
        grace_minutes=park.grace_minutes,
        tariff=TariffView(bands, tariff.free_minutes, tariff.day_cap, tariff.lost_ticket),
    )


def stay_view(parked: Parked, *, hold: SaleView | None, asked: SaleView | None, wanted: SaleView | None) -> StayView:
    stay = parked.stay
    return StayView(
        id=uuid_text(stay.id),
        car_park=uuid_text(stay.car_park),
        plate=stay.plate,
        entered_at=moment_text(stay.entered_at),
        left_at=None if stay.left_at is None else moment_text(stay.left_at),
        minutes=whole_minutes(stay.entered_at, parked.at),
        fee=parked.fee,
        settled=parked.settled,
        due=parked.due,
        leave_by=None if parked.leave_by is None else moment_text(parked.leave_by),
        covered_until=None if parked.covered_until is None else moment_text(parked.covered_until),
        held=parked.held,
        hold=hold,
        wanted=wanted,
        asked=asked,
        may_leave=stay.left_at is not None,
        lost_ticket=stay.lost,
        unpaid=stay.unpaid,
        reason=stay.reason,
    )
