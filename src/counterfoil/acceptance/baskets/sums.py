"""What parts of baskets paid for and gave back within a stretch of ledger time. Lines and tax belong to the basket, not to its parts.

Each part pays for a share of what the parts before it left of every line, in the order of the ledger, so that all together pay for
exactly the lines. The tax is that of the whole basket: what is contained in what is left of it at the end of the stretch, less what
was contained at its beginning. Lines that went back by line count as such once all legs of that giving back were carried out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from counterfoil.acceptance.baskets.rules import Course
from counterfoil.acceptance.baskets.service import givings_of
from counterfoil.acceptance.baskets.tables import basket_parts, baskets
from counterfoil.acceptance.baskets.types import Giving
from counterfoil.acceptance.sales import Sales
from counterfoil.acceptance.types import Back, Line

READ_AT_ONCE = 100
"""Baskets that are read at once."""


class Taken(msgspec.Struct, frozen=True):
    """What a part paid of each line. `is_last`: with it the basket was paid whole."""

    lines: Sequence[Line]
    amounts: Sequence[int]
    is_last: bool


class Stretch(msgspec.Struct, frozen=True):
    """What a stretch of ledger time did to a basket.

    Attributes:
        taken: by the payment of each part that was paid within it.
        before, after: what was left of each line when it began, and when it ended.
        returned: what went back by line within it.
    """

    lines: Sequence[Line]
    taken: Mapping[int, Taken]
    before: Sequence[int]
    after: Sequence[int]
    returned: Sequence[Back]


class Event(msgspec.Struct, frozen=True):
    """A part was paid, or something of one went back, `at` a moment of the ledger (ns)."""

    at: int
    payment: int
    amount: int
    is_refund: bool


class BasketSums:
    """Adds up."""

    def __init__(self, *, sales: Sales) -> None:
        self.sales = sales
        self.store = sales.store

    async def baskets_of(self, ids: Collection[int]) -> dict[int, int]:
        """The basket of each of these sales that is a part of one."""
        wanted, found = sorted(set(ids)), dict[int, int]()
        for at in range(0, len(wanted), READ_AT_ONCE):
            query = select(basket_parts.c.id, basket_parts.c.basket).where(basket_parts.c.id.in_(wanted[at : at + READ_AT_ONCE]))
            rows = await self.store.read(lambda connection, query=query: connection.execute(query).all())  # type: ignore[misc]
            found |= {row.id: row.basket for row in rows}
        return found

    async def of(self, ids: Collection[int], here: Collection[int], *, until: int) -> dict[int, Stretch]:
        """What these baskets did: `here` are payments and refunds within the stretch, which ends with `until`, ledger time in ns."""
        wanted, found = sorted(set(ids)), dict[int, Stretch]()
        for at in range(0, len(wanted), READ_AT_ONCE):
            found |= await self._of(wanted[at : at + READ_AT_ONCE], here, until)
        return found

    async def _of(self, ids: Sequence[int], here: Collection[int], until: int) -> dict[int, Stretch]:
        def read(connection: Connection) -> tuple[Sequence[Any], Sequence[Any], dict[int, list[Giving]]]:
            parts = connection.execute(select(basket_parts.c.id, basket_parts.c.basket).where(basket_parts.c.basket.in_(ids))).all()
            return connection.execute(select(baskets).where(baskets.c.id.in_(ids))).all(), parts, givings_of(connection, ids)

        rows, parts, givings = await self.store.read(read)
        events = await self._events({part.id: part.basket for part in parts}, rows[0].account)
        found = {}
        for row in rows:
            lines = msgspec.json.decode(row.lines, type=list[Line])
            seen = sorted((event for event in events.get(row.id, ()) if event.at <= until), key=lambda event: event.at)
            found[row.id] = stretch(lines, seen, givings.get(row.id, ()), here)
        return found

    async def _events(self, parts: Mapping[int, int], account: int) -> dict[int, list[Event]]:
        """What was paid for these parts and given back of them, by basket."""
        known = list((await self.sales.known(list(parts), account)).values())
        standings = await self.sales.standings.of(known)
        originals = {
            standing.original.id: (parts[sale.id], standing.paid_at or 0, standing.original.amount)
            for sale, standing in ((sale, standings[sale.id]) for sale in known)
            if standing.original is not None
        }
        refunds = await self.sales.standings.refunds_of(list(originals))
        found: dict[int, list[Event]] = {}
        for original, (basket, paid_at, amount) in originals.items():
            found.setdefault(basket, []).append(Event(paid_at, original, amount, False))
            found[basket] += [Event(when, refund.id, refund.amount, True) for refund, when in refunds[original]]
        return found


def stretch(lines: Sequence[Line], events: Sequence[Event], givings: Sequence[Giving], here: Collection[int]) -> Stretch:
    """What those of `events` that are `here` did to a basket; `events` in the order of the ledger, up to the end of the stretch."""
    course, taken, returned = Course(lines), dict[int, Taken](), list[Back]()
    waiting = {giving.id: {leg.payment for leg in giving.legs} for giving in givings if giving.lines}
    before: list[int] | None = None
    for event in events:
        if event.payment in here and before is None:
            before = course.left()
        if event.is_refund:
            course.back += event.amount
            for giving in givings:
                if event.payment in waiting.get(giving.id, ()):
                    waiting[giving.id].discard(event.payment)
                    if not waiting[giving.id]:
                        course.named += giving.lines
                        returned += giving.lines if event.payment in here else ()
        else:
            amounts = course.pay(event.amount)
            if event.payment in here:
                taken[event.payment] = Taken(lines, amounts, course.is_paid)
    after = course.left()
    return Stretch(lines, taken, after if before is None else before, after, returned)
