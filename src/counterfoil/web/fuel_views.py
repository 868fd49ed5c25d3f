"""Pumps and fills as they look in JSON. Amounts in minor units, volumes and totalisers in whole millilitres."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from counterfoil.acceptance.fuel.fills import PAGE_SIZE_MAX, Fill, Filled
from counterfoil.acceptance.fuel.pump import MILLILITRES_MAX, PRICE_MAX, TOTALISER_MAX, Event, Report, State
from counterfoil.acceptance.fuel.pumps import NUMBER_MAX, PRODUCTS_MAX, PUMPS_MAX, Product, Pump
from counterfoil.moments import moment_text
from counterfoil.web.till_views import SaleView
from counterfoil.web.values import Amount, AmountOrZero, Cursor, Moment, Text, UuidText, cursor_text, uuid_text

Number = Annotated[int, msgspec.Meta(ge=1, le=NUMBER_MAX, description="as it is painted on the pump")]
UnitPrice = Annotated[int, msgspec.Meta(ge=1, le=PRICE_MAX, description="minor units per litre")]
Millilitres = Annotated[int, msgspec.Meta(ge=0, le=MILLILITRES_MAX)]
Totaliser = Annotated[
    int, msgspec.Meta(ge=0, le=TOTALISER_MAX + MILLILITRES_MAX, description="millilitres that the pump has ever given; nobody sets it back")
]


class ProductView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pump gives, and its price."""

    name: Text
    price: UnitPrice


class PumpBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pump shall be from now on. `full_tank`: what is set aside for whoever names no amount; nobody can name more."""

    number: Number
    products: Annotated[list[ProductView], msgspec.Meta(min_length=1, max_length=PRODUCTS_MAX)]
    full_tank: Amount


class PumpView(msgspec.Struct, frozen=True):
    """A pump."""

    id: UuidText
    number: Number
    products: list[ProductView]
    full_tank: Amount


class PumpsView(msgspec.Struct, frozen=True):
    """The pumps of the merchant, by number."""

    pumps: Annotated[list[PumpView], msgspec.Meta(description=f"at most {PUMPS_MAX}")]


class FillBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody wants to fill up. `id` is made at the station; `totaliser` is read now; without `amount` it is a full tank."""

    id: UuidText
    pump: UuidText
    product: Text
    totaliser: Totaliser
    amount: Amount | None = None


class FillReportBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pump has done.

    Attributes:
        event: `silent` where it says nothing any more: it may have started, and what it gave is unknown.
        millilitres: what ran so far; of `progress` and `done`.
        totaliser: read after the nozzle was back; of `done`, and of `aborted` after a permission.
    """

    event: Literal["started", "progress", "done", "aborted", "silent"]
    millilitres: Millilitres | None = None
    totaliser: Totaliser | None = None


class FillsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`state`: only those that are not over. `cursor` from the page before."""

    state: Literal["open", "all"] = "all"
    cursor: Cursor | None = None


class FillLine(msgspec.Struct, frozen=True):
    """A fill in a list. `charge`: what it costs, once it is done."""

    id: UuidText
    number: Number
    product: str
    state: State
    millilitres: Millilitres
    charge: AmountOrZero
    asked_at: Moment


class FillsView(msgspec.Struct, frozen=True):
    """Fills, the newest first."""

    fills: Annotated[list[FillLine], msgspec.Meta(description=f"at most {PAGE_SIZE_MAX}")]
    next: Cursor | None


class FillView(msgspec.Struct, frozen=True):
    """A fill.

    Attributes:
        number: of the pump. It, product and price stay as they were when it was asked for.
        amount: what is set aside at most; the pump stops at `millilitres_max`, which is what that buys.
        until: the pump has to be ready by then, and must not start later; null before it may start.
        millilitres: what ran so far, as it was told.
        charge: what it costs, once it is done: never above `amount`.
        unpaid: what ran, could not be taken, and was not paid since: it ran on above the limit, or the hold was over before the report.
        rest: the sale that asks for what is unpaid, to be paid in any way; null before somebody has asked.
        sale: what sets the money aside, and takes it; null where it was aborted before there was one.
    """

    id: UuidText
    pump: UuidText
    number: Number
    product: str
    price: UnitPrice
    amount: Amount
    millilitres_max: Millilitres
    totaliser: Totaliser
    state: State
    until: Moment | None
    millilitres: Millilitres
    charge: AmountOrZero
    unpaid: AmountOrZero
    asked_at: Moment
    ended_at: Moment | None
    sale: SaleView | None
    rest: SaleView | None


def pump_of(body: PumpBody, id: int, account: int) -> Pump:
    products = [Product(product.name, product.price) for product in body.products]
    return Pump(id=id, account=account, number=body.number, products=products, full_tank=body.full_tank)


def report_of(body: FillReportBody) -> Report:
    return Report(event=Event(body.event), millilitres=body.millilitres, totaliser=body.totaliser)


def pump_view(pump: Pump) -> PumpView:
    products = [ProductView(product.name, product.price) for product in pump.products]
    return PumpView(uuid_text(pump.id), pump.number, products, pump.full_tank)


def fills_view(fills: list[Fill]) -> FillsView:
    lines = [
        FillLine(uuid_text(fill.id), fill.number, fill.product, run.state, run.millilitres, run.charge, moment_text(fill.asked_at))
        for fill in fills
        for run in [fill.run]
    ]
    return FillsView(lines, cursor_text(fills[-1].id) if len(fills) == PAGE_SIZE_MAX else None)


def fill_view(filled: Filled, *, sale: SaleView | None, rest: SaleView | None) -> FillView:
    fill, run = filled.fill, filled.fill.run
    return FillView(
        id=uuid_text(fill.id),
        pump=uuid_text(fill.pump),
        number=fill.number,
        product=fill.product,
        price=run.price,
        amount=run.limit,
        millilitres_max=fill.volume_max,
        totaliser=run.before,
        state=run.state,
        until=None if fill.until is None else moment_text(fill.until),
        millilitres=run.millilitres,
        charge=run.charge,
        unpaid=filled.unpaid,
        asked_at=moment_text(fill.asked_at),
        ended_at=None if fill.ended_at is None else moment_text(fill.ended_at),
        sale=sale,
        rest=rest,
    )
