"""What was taken and given back within a stretch of ledger time, by tax rate and by department.

A sale counts with what was left of it at the end of the stretch, less what was left at its beginning. So stretches that follow
each other add up to what is left of the sale after the last one, and the tax of what went back goes with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import select

from counterfoil.acceptance.baskets.sums import BasketSums, Taken
from counterfoil.acceptance.sales import Sales
from counterfoil.acceptance.standing import lines_back
from counterfoil.acceptance.tables import sale_actions
from counterfoil.acceptance.tax import Rated, Shelved, by_rate, by_shelf, left_of, shares
from counterfoil.acceptance.types import Back, Line, Sale, SaleState, Standing
from counterfoil.payments import records
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Payment

READ_AT_ONCE = 200
"""Sales whose refunds are read at once."""


class ByRate(msgspec.Struct, frozen=True):
    """What was sold at one tax rate, hundredths of a percent. `tax` is contained in `gross` less `refunded`; minor units."""

    rate: int
    gross: int
    refunded: int
    tax: int


class ByDepartment(msgspec.Struct, frozen=True):
    """As `ByRate`, for one department; "" where the goods had none."""

    department: str
    rate: int
    gross: int
    refunded: int
    tax: int


class Breakdown(msgspec.Struct, frozen=True):
    """`returned`: what went back by line, by goods and name: how many, and minor units. `parts`: what parts of baskets paid for, by payment."""

    by_rate: list[ByRate]
    by_department: list[ByDepartment]
    returned: dict[tuple[str | None, str], tuple[int, int]]
    parts: dict[int, Taken]


class Moved(msgspec.Struct, frozen=True):
    """What the account's entries of a stretch say.

    Attributes:
        taken: for each payment or capture, by its id, the sale and the minor units.
        back: for each payment or capture of which something went back, by its id: itself, and the refunds of this stretch.
    """

    taken: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    back: dict[int, tuple[Payment, set[int]]] = msgspec.field(default_factory=dict)


class Breakdowns:
    """Adds up."""

    def __init__(self, *, sales: Sales) -> None:
        self.store = sales.store
        self.standings = sales.standings
        self.baskets = BasketSums(sales=sales)

    async def sales_of(self, moved: Moved) -> dict[int, int]:
        """The sale of each payment or capture that `moved` speaks of, by its id; 0 where it names none."""
        names = {about: sale for about, (sale, _) in moved.taken.items()}
        unnamed = {about: original.reference for about, (original, _) in moved.back.items() if about not in names}
        holds = [unnamed[about] for about in unnamed if moved.back[about][0].kind is OrderKind.CAPTURE]
        found: dict[int, Payment] = {}
        for at in range(0, len(holds), READ_AT_ONCE):
            ids = holds[at : at + READ_AT_ONCE]
            found |= await self.store.read(lambda connection, ids=ids: records.find_many(connection, ids))  # type: ignore[misc]
        return names | {about: found[reference].reference if reference in found else reference for about, reference in unnamed.items()}

    async def of(self, moved: Moved, sales: Mapping[int, Sale], names: Mapping[int, int], *, until: int) -> Breakdown:
        """The sums of what belongs to `sales`; `names` as `sales_of` tells. `until`: the end of the stretch, ledger time in ns."""
        returned: dict[tuple[str | None, str], tuple[int, int]] = {}
        rows: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        basket_of = await self.baskets.baskets_of(names.values())
        parts = await self._add_baskets(rows, returned, moved, set(basket_of.values()), until)
        for about, (_, amount) in moved.taken.items():
            if (sale := sales.get(names[about])) and sale.id not in basket_of:
                _add(rows, by_shelf(sale.lines, shares(sale.lines, amount)), gross=1, refunded=0, tax=1)
        given = [about for about in moved.back if names[about] in sales and names[about] not in basket_of]
        for at in range(0, len(given), READ_AT_ONCE):
            ids = given[at : at + READ_AT_ONCE]
            found = await self.standings.refunds_of(ids)
            lines = await self._lines([refund.id for refunds in found.values() for refund, _ in refunds])
            for about, refunds in found.items():
                original, here = moved.back[about]
                sale = sales[names[about]]
                before = [refund for refund, when in refunds if when <= until and refund.id not in here]
                after = [refund for refund, _ in refunds if refund.id in here]
                _add(rows, _left(sale, original, before, lines), gross=0, refunded=1, tax=-1)
                _add(rows, _left(sale, original, before + after, lines), gross=0, refunded=-1, tax=1)
                _count(returned, sale.lines, _named(after, lines))
        shelves = sorted(rows, key=lambda row: (row[0], -row[1]))
        return Breakdown(_by_rate(rows), [ByDepartment(*shelf, *rows[shelf]) for shelf in shelves], returned, parts)

    async def _add_baskets(
        self,
        rows: dict[tuple[str, int], list[int]],
        returned: dict[tuple[str | None, str], tuple[int, int]],
        moved: Moved,
        basket_of: Collection[int],
        until: int,
    ) -> dict[int, Taken]:
        """Adds what these baskets did; what each payment of this stretch paid for, by its id."""
        here = moved.taken.keys() | {refund for _, refunds in moved.back.values() for refund in refunds}
        parts: dict[int, Taken] = {}
        for basket in (await self.baskets.of(basket_of, here, until=until)).values():
            for taken in basket.taken.values():
                _add(rows, by_shelf(basket.lines, taken.amounts), gross=1, refunded=1, tax=0)
            _add(rows, by_shelf(basket.lines, basket.before), gross=0, refunded=1, tax=-1)
            _add(rows, by_shelf(basket.lines, basket.after), gross=0, refunded=-1, tax=1)
            _count(returned, basket.lines, basket.returned)
            parts |= basket.taken
        return parts

    async def _lines(self, refunds: Sequence[int]) -> dict[int, tuple[Back, ...]]:
        query = select(sale_actions.c.payment, sale_actions.c.lines).where(
            sale_actions.c.payment.in_(refunds), sale_actions.c.lines.is_not(None)
        )
        rows = await self.store.read(lambda connection: connection.execute(query).all())
        return {row.payment: lines_back(row.lines) for row in rows}


def taxes_of(sale: Sale, standing: Standing) -> list[Rated]:
    """The tax in what is left of a sale; in what is asked, before it was paid. Empty where nothing is taxed or nothing is left."""
    amount = sale.amount if standing.state in (SaleState.OPEN, SaleState.HELD) else 0
    if standing.original is not None:
        amount = standing.original.amount
    named = [each for action in standing.actions for each in action.lines]
    parts = by_rate(sale.lines, left_of(sale.lines, amount, standing.refunded, named))
    return parts if any(part.rate for part in parts) else []


def _count(returned: dict[tuple[str | None, str], tuple[int, int]], lines: Sequence[Line], back: Sequence[Back]) -> None:
    for each in back:
        line = lines[each.line]
        quantity, amount = returned.get((line.goods, line.name), (0, 0))
        returned[line.goods, line.name] = quantity + each.quantity, amount + line.price * each.quantity


def _left(sale: Sale, original: Payment, refunds: Sequence[Payment], lines: Mapping[int, tuple[Back, ...]]) -> list[Shelved]:
    back = sum(refund.amount for refund in refunds)
    return by_shelf(sale.lines, left_of(sale.lines, original.amount, back, _named(refunds, lines)))


def _named(refunds: Sequence[Payment], lines: Mapping[int, tuple[Back, ...]]) -> list[Back]:
    return [each for refund in refunds for each in lines.get(refund.id, ())]


def _add(rows: dict[tuple[str, int], list[int]], parts: Sequence[Shelved], *, gross: int, refunded: int, tax: int) -> None:
    for part in parts:
        row = rows[part.department, part.rate]
        row[0] += gross * part.gross
        row[1] += refunded * part.gross
        row[2] += tax * part.tax


def _by_rate(rows: Mapping[tuple[str, int], Sequence[int]]) -> list[ByRate]:
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (_, rate), row in rows.items():
        sums[rate] = [total + part for total, part in zip(sums[rate], row, strict=True)]
    return [ByRate(rate, *sums[rate]) for rate in sorted(sums, reverse=True)]
