"""Baskets, their parts and what goes back of them, as values."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from counterfoil.acceptance.baskets.rules import Course
from counterfoil.acceptance.tax import Rated, by_rate
from counterfoil.acceptance.types import Back, Line, Sale, SaleState, Standing


class BasketState(enum.StrEnum):
    OPEN = "open"
    PAID = "paid"
    CANCELLED = "cancelled"
    """Given up before anybody had paid."""
    GIVING_BACK = "giving_back"
    """Given up, and something that was paid is not back yet."""
    REFUNDED_PART = "refunded_part"
    REFUNDED = "refunded"


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """What is sold together. Amount in minor units, moments in ns. `given_up_by`: the giving back that ended it; None for one that stands."""

    id: int
    account: int
    till: int
    clerk: int
    lines: list[Line]
    amount: int
    created_at: int
    given_up_by: int | None
    given_up_clerk: int | None
    given_up_till: int | None
    unfinished: bool


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one person, or one means, pays of a basket: the sale with its `id`.

    Attributes:
        said: the amount that the clerk named; 0 for a share of what was left.
        ended: why nobody can pay it any more: "cancelled", "expired"; None while somebody can, and when somebody has.
    """

    id: int
    number: int
    said: int
    amount: int
    clerk: int
    till: int
    asked_at: int
    ended: str | None


class Leg(msgspec.Struct, frozen=True):
    """What goes back to who paid `part`. `refusal`: the code of what refused it for good."""

    payment: int
    part: int
    amount: int
    refusal: str | None


class Giving(msgspec.Struct, frozen=True, kw_only=True):
    """A giving back, in legs. `lines`: what went back of which line."""

    id: int
    content_hash: bytes
    memo: str
    lines: tuple[Back, ...]
    till: int
    begun_at: int
    legs: tuple[Leg, ...]


class Parted(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with a basket. Minor units. Parts that were never asked for have no sale."""

    basket: Basket
    parts: Sequence[Part]
    sales: Mapping[int, tuple[Sale, Standing]]
    givings: Sequence[Giving]

    def standing(self, part: Part) -> Standing | None:
        return self.sales[part.id][1] if part.id in self.sales else None

    @property
    def paid_parts(self) -> list[tuple[Part, Standing]]:
        """Parts that were paid, whatever went back since."""
        found = [(part, self.sales[part.id][1]) for part in self.parts if part.id in self.sales]
        return [(part, standing) for part, standing in found if standing.original is not None]

    @property
    def paid(self) -> int:
        return sum(part.amount for part, _ in self.paid_parts)

    @property
    def asked(self) -> int:
        """What is asked for now, and not paid."""
        return sum(part.amount for part in self.parts if part.ended is None) - self.paid

    @property
    def left(self) -> int:
        """What no part asks for."""
        return 0 if self.basket.given_up_by is not None else self.basket.amount - self.paid - self.asked

    @property
    def refunded(self) -> int:
        return sum(standing.refunded for _, standing in self.paid_parts)

    @property
    def is_paid(self) -> bool:
        return self.paid == self.basket.amount

    @property
    def state(self) -> BasketState:
        given_up, paid, refunded = self.basket.given_up_by is not None, self.paid, self.refunded
        if given_up and not paid and not self.basket.unfinished:
            return BasketState.CANCELLED
        if paid and refunded == paid and (given_up or self.is_paid):
            return BasketState.REFUNDED
        if given_up:
            return BasketState.GIVING_BACK
        if not self.is_paid:
            return BasketState.OPEN
        return BasketState.REFUNDED_PART if refunded else BasketState.PAID

    def is_done(self, leg: Leg) -> bool:
        """Whether a leg was carried out."""
        standing = self.sales[leg.part][1] if leg.part in self.sales else None
        return standing is not None and any(action.payment == leg.payment for action in standing.actions)

    @property
    def returned(self) -> dict[int, int]:
        """How many of each line went back by line."""
        back = dict.fromkeys(range(len(self.basket.lines)), 0)
        for giving in self.givings:
            if all(self.is_done(leg) for leg in giving.legs):
                for each in giving.lines:
                    back[each.line] += each.quantity
        return back

    @property
    def taxes(self) -> list[Rated]:
        """The tax in what is left of the basket; in what is asked, before it was paid whole. Empty where nothing is taxed or left."""
        course = Course(self.basket.lines)
        if self.state is BasketState.OPEN:
            course.pay(self.basket.amount)
        else:
            for part, _ in sorted(self.paid_parts, key=lambda each: each[1].paid_at or 0):
                course.pay(part.amount)
            course.back = self.refunded
            course.named = [Back(line, quantity) for line, quantity in self.returned.items() if quantity]
        parts = by_rate(self.basket.lines, course.left())
        return parts if any(part.rate for part in parts) else []


def is_over(standing: Standing) -> bool:
    """Whether nobody has paid a part, and its time is over or it was taken back."""
    return standing.state in (SaleState.CANCELLED, SaleState.EXPIRED)
