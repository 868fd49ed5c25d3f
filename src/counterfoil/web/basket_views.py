"""Baskets and their parts as they look in JSON. Amounts in minor units."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.acceptance.baskets.service import PAGE_SIZE_MAX, PARTS_MAX
from counterfoil.acceptance.baskets.types import BasketState, Parted
from counterfoil.acceptance.lines import LINES_MAX
from counterfoil.moments import moment_text
from counterfoil.web.till_views import BackView, LineBody, SaleLineView, SaleView, TaxView
from counterfoil.web.values import Amount, AmountOrZero, Cursor, Moment, UuidText, uuid_text


class BasketBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A basket; `id` is made by the till, `amount` is the sum of the lines."""

    id: UuidText
    lines: Annotated[list[LineBody], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    amount: Amount


class PartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part; `id` is made by the till. Parts without an amount share evenly what is left; the last ones get the odd units."""

    id: UuidText
    amount: Amount | None = None


class PartsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts that are asked for together."""

    parts: Annotated[list[PartBody], msgspec.Meta(min_length=1, max_length=PARTS_MAX)]


class BasketRefundBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give back an amount, or what some lines cost, or without both all that is left; `id` is made by the till.

    `part`: the one part that it goes back to; null for the parts in their order.
    """

    id: UuidText
    amount: Amount | None = None
    lines: Annotated[list[BackView], msgspec.Meta(min_length=1, max_length=LINES_MAX)] | None = None
    part: UuidText | None = None
    memo: Annotated[str, msgspec.Meta(max_length=256)] = ""


class PartView(msgspec.Struct, frozen=True):
    """A part, by its number from 1. `sale` is what is paid; null for one that was never asked for. `over`: nobody has paid it, or can."""

    id: UuidText
    number: int
    amount: Amount
    over: bool
    sale: SaleView | None


class BasketView(msgspec.Struct, frozen=True):
    """A basket as it stands in the ledger now.

    Attributes:
        paid: by its parts; `asked`: of parts that are open; `left`: what no part asks for.
        refunded: of what was paid.
        taxes: contained in what is left of what was paid; before it was paid whole, in what is asked. Empty when nothing is taxed.
    """

    id: UuidText
    state: BasketState
    lines: Annotated[list[SaleLineView], msgspec.Meta(description=f"at most {LINES_MAX}")]
    amount: Amount
    paid: AmountOrZero
    asked: AmountOrZero
    left: AmountOrZero
    refunded: AmountOrZero
    clerk: UuidText
    at: Moment
    parts: Annotated[list[PartView], msgspec.Meta(description=f"at most {PARTS_MAX}")]
    taxes: list[TaxView]


class BasketLine(msgspec.Struct, frozen=True):
    """A basket in a list."""

    id: UuidText
    amount: Amount
    at: Moment


class BasketsView(msgspec.Struct, frozen=True):
    """A page, newest first. `next` is the cursor of the following page; null at the end."""

    baskets: Annotated[list[BasketLine], msgspec.Meta(description=f"at most {PAGE_SIZE_MAX}")]
    next: Cursor | None


class BasketsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cursor` from the page before."""

    cursor: Cursor | None = None


def basket_view(parted: Parted, sales: dict[int, SaleView]) -> BasketView:
    basket, returned = parted.basket, parted.returned
    return BasketView(
        id=uuid_text(basket.id),
        state=parted.state,
        lines=[
            SaleLineView(line.name, line.price, line.quantity, line.goods, line.department or "", line.tax or 0, returned[number])
            for number, line in enumerate(basket.lines)
        ],
        amount=basket.amount,
        paid=parted.paid,
        asked=parted.asked,
        left=parted.left,
        refunded=parted.refunded,
        clerk=uuid_text(basket.clerk),
        at=moment_text(basket.created_at),
        parts=[PartView(uuid_text(part.id), part.number, part.amount, part.ended is not None, sales.get(part.id)) for part in parted.parts],
        taxes=[TaxView(part.rate, part.gross, part.tax, part.net) for part in parted.taxes],
    )
