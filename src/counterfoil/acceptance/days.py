"""A shop's day: what came in, what went back, what it cost; and its end.

The sums are taken from the account's entries in the ledger; the sales only say who sold what. A closing keeps them for good,
under the next number of the shop. What happens after it, on the same day, belongs to the next day's closing; days that
nobody closed are closed first, each with a number of its own. So every entry is in exactly one closing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, Row, func, insert, select

from counterfoil.acceptance.baskets.sums import Taken
from counterfoil.acceptance.breakdown import Breakdown, Breakdowns, ByDepartment, ByRate, Moved
from counterfoil.acceptance.clerks import Clerks
from counterfoil.acceptance.sales import Sales
from counterfoil.acceptance.tables import closings, sales
from counterfoil.acceptance.tax import shares
from counterfoil.acceptance.types import Clerk, Sale, SaleState, Till
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import IdReused, Malformed, NotInThisState
from counterfoil.ids import leg_id
from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.service import Ledger
from counterfoil.parties.periods import period_of
from counterfoil.payments import records
from counterfoil.payments.fees import Service
from counterfoil.payments.history import Entry, History
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.service import HOLD_TIMEOUT_MAX_S
from counterfoil.payments.types import Payment
from counterfoil.store.database import Store

SALES_AT_ONCE = 1_000
"""Sales that are read at once."""
HOLDS_AT_ONCE = 200
"""Holds that are asked about at once."""
CATCH_UP_DAYS_MAX = 366
"""Days before today that are still closed when they were forgotten."""
_TAKES = (OrderKind.PAY, OrderKind.CAPTURE)
_GIVES_BACK = (OrderKind.REFUND, OrderKind.REVERSAL)


class ByClerk(msgspec.Struct, frozen=True):
    """What was sold by one clerk; `clerk` 0 where nobody was named."""

    clerk: int
    name: str
    count: int
    amount: int


class ByGoods(msgspec.Struct, frozen=True):
    """What was sold of one thing. `goods` None for amounts without goods; `amount` adds up to what was taken for sales.

    `returned` of it, worth `returned_amount`, went back by line; it is not taken off.
    """

    goods: str | None
    name: str
    quantity: int
    amount: int
    returned: int = 0
    returned_amount: int = 0


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of a day, in minor units; `since` exclusive and `until` inclusive, ledger time in ns.

    Attributes:
        sales: payments and captures for the shop, those without a sale at a till (`unrung`) included.
        refunds, refunded: given back, by the shop or by the scheme.
        fees: what the scheme kept of it.
        net: gross less refunded less fees.
        by_rate, by_department: of the sales at tills alone; tax as it is contained in what was taken less what went back.
        number, closed_at: of the closing; None while the day is open.
    """

    day: str
    since: int
    until: int
    sales: int
    refunds: int
    holds_open: int
    gross: int
    refunded: int
    fees: int
    net: int
    unrung: int
    unrung_amount: int
    by_clerk: list[ByClerk]
    by_goods: list[ByGoods]
    by_rate: list[ByRate] = []
    by_department: list[ByDepartment] = []
    number: int | None = None
    closed_at: int | None = None


class Days:
    """Adds up days and closes them. Whether a clerk may is the caller's to check."""

    def __init__(
        self, *, store: Store, ledger: Ledger, history: History, sales: Sales, clerks: Clerks, clock: Clock, zone: ZoneInfo
    ) -> None:
        self.store = store
        self.ledger = ledger
        self.history = history
        self.sales = sales
        self.clerks = clerks
        self.clock = clock
        self.zone = zone
        self.breakdowns = Breakdowns(sales=sales)

    def today(self) -> str:
        return self.sales.day_of(self.clock.now_ns())

    async def of(self, account: int, day: str) -> Day:
        """The sums of `day`, such as "2026-11-22": those of its closing, or as they are now. Malformed for what is no day."""
        wanted = _parse_day(day)
        closed, before = await self.store.read(lambda connection: (_closing(connection, account, day), _last(connection, account, day)))
        if closed is not None:
            return _day(closed)
        return await self._add_up(account, wanted, before)

    async def close(self, till: Till, clerk: Clerk, *, id: int) -> Day:
        """Closes today. A repeat answers the same closing; IdReused for another shop's id, NotInThisState when today is closed."""
        account, today = till.account, self.today()
        while True:
            kept, last = await self.store.read(lambda connection: (_by_id(connection, id), _last(connection, account)))
            if kept is not None:
                if kept.account != account:
                    raise IdReused
                return _day(kept)
            if last is not None and last.day >= today:
                raise NotInThisState("today was closed already", number=last.number)
            days = await self._due(account, today, last)
            if (done := await self._keep(till, clerk, id, days, after=last)) is not None:
                return done

    async def _due(self, account: int, today: str, last: Row[tuple[object, ...]] | None) -> list[Day]:
        """What is to be closed, oldest first; today is the last of them."""
        first = select(func.min(sales.c.day)).where(sales.c.account == account)
        begin = last.day if last is not None else await self.store.read(lambda connection: connection.execute(first).scalar())
        end = date.fromisoformat(today)
        at = min(end, date.fromisoformat(begin or today) + timedelta(days=1 if last is not None else 0))
        at = max(at, end - timedelta(days=CATCH_UP_DAYS_MAX))
        due: list[Day] = []
        before = last
        while at < end:
            missed = await self._add_up(account, at, before)
            if missed.sales or missed.refunds or missed.fees:
                due.append(missed)
            at += timedelta(days=1)
        now = self.ledger.last_timestamp
        due.append(await self._add_up(account, end, before, until=now))
        return due

    async def _keep(self, till: Till, clerk: Clerk, id: int, days: list[Day], *, after: Row[tuple[object, ...]] | None) -> Day | None:
        """Keeps the closings, if no other till has closed meanwhile."""
        now, first = self.clock.now_ns(), 1 if after is None else after.number + 1

        def write(connection: Connection) -> Row[tuple[object, ...]] | None:
            last = _last(connection, till.account)
            if (last.number if last is not None else 0) != first - 1 or _by_id(connection, id) is not None:
                return None
            for place, day in enumerate(days):
                is_today = place == len(days) - 1
                values = {"account": till.account, "number": first + place, "id": id if is_today else leg_id(id, place + 1)}
                values |= {"day": day.day, "since": day.since, "until": day.until, "clerk": clerk.id, "till": till.id, "closed_at": now}
                connection.execute(insert(closings), values | {"sums": msgspec.json.encode(day).decode()})
            return _by_id(connection, id)

        row = await self.store.write(write)
        return None if row is None else _day(row)

    async def _add_up(self, account: int, day: date, before: Row[tuple[object, ...]] | None, *, until: int | None = None) -> Day:
        start, end = self._bounds(day)
        since = start - 1
        if before is not None and date.fromisoformat(before.day) == day - timedelta(days=1):
            since = before.until  # what came after that closing, on the evening before, belongs to this day
        last = end - 1 if until is None else min(until, end - 1)
        sums = _Sums()
        async for entries in self.history.between(account, since=since + 1, until=last):
            await self._add_page(sums, account, entries)
        names_of = await self.breakdowns.sales_of(sums.moved)
        found = await self._sales(list(names_of.values()), account)
        names = await self.clerks.names({sale.clerk for sale in found.values() if sale.clerk})
        broken_down = await self.breakdowns.of(sums.moved, found, names_of, until=last)
        by_clerk, by_goods, unrung = _spread(sums.moved.taken, found, names, broken_down)
        return Day(
            day=day.isoformat(),
            since=since,
            until=last,
            sales=len(sums.moved.taken),
            refunds=sums.refunds,
            holds_open=await self._holds_open(account),
            gross=sums.gross,
            refunded=sums.refunded,
            fees=sums.fees,
            net=sums.gross - sums.refunded - sums.fees,
            unrung=len(unrung),
            unrung_amount=sum(unrung),
            by_clerk=by_clerk,
            by_goods=by_goods,
            by_rate=broken_down.by_rate,
            by_department=broken_down.by_department,
        )

    def _bounds(self, day: date) -> tuple[int, int]:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=self.zone)
        period = period_of(int(noon.timestamp()) * NANOSECONDS, self.zone)
        return period.day_start, period.day_end

    async def _add_page(self, sums: _Sums, account: int, entries: list[Entry]) -> None:
        references = sorted({entry.payment.reference for entry in entries if entry.payment is not None and entry.payment.reference})
        about = await self.store.read(lambda connection: records.find_many(connection, references)) if references else {}
        for entry in entries:
            if entry.payment is not None:
                sums.add(account, entry, entry.payment, about.get(entry.payment.reference))

    async def _sales(self, ids: Sequence[int], account: int) -> dict[int, Sale]:
        found: dict[int, Sale] = {}
        for at in range(0, len(ids), SALES_AT_ONCE):
            found |= await self.sales.known(ids[at : at + SALES_AT_ONCE], account)
        return found

    async def _holds_open(self, account: int) -> int:
        since = self.clock.now_ns() - (HOLD_TIMEOUT_MAX_S + 8 * 24 * 3600) * NANOSECONDS
        query = select(sales.c.id).where(sales.c.account == account, sales.c.hold, sales.c.made_at > since)
        ids = await self.store.read(lambda connection: connection.execute(query).scalars().all())
        found = list((await self.sales.known(ids, account)).values())
        held = 0
        for at in range(0, len(found), HOLDS_AT_ONCE):
            standings = await self.sales.standings.of(found[at : at + HOLDS_AT_ONCE])
            held += sum(standing.state is SaleState.HELD for standing in standings.values())
        return held


class _Sums:
    """What an account's entries add up to."""

    def __init__(self) -> None:
        self.moved = Moved()
        self.gross = self.refunds = self.refunded = self.fees = 0

    def add(self, account: int, entry: Entry, payment: Payment, about: Payment | None) -> None:
        if payment.kind in _TAKES and payment.payee == account and payment.service is Service.PURCHASE:
            if entry.code is TransferCode.FEE:
                self.fees -= entry.change
            elif entry.change > 0:
                self.gross += entry.change
                capture = payment.kind is OrderKind.CAPTURE
                sale = about.reference if capture and about is not None else 0 if capture else payment.reference
                self.moved.taken[payment.id] = (sale, entry.change)
        elif payment.kind in _GIVES_BACK and payment.payer == account and about is not None and about.service is Service.PURCHASE:
            if entry.code is TransferCode.FEE_REFUND:
                self.fees -= entry.change
            elif entry.change < 0:
                self.refunds += 1
                self.refunded -= entry.change
                self.moved.back.setdefault(about.id, (about, set()))[1].add(payment.id)


def _spread(
    taken: dict[int, tuple[int, int]], found: dict[int, Sale], names: dict[int, str], broken_down: Breakdown
) -> tuple[list[ByClerk], list[ByGoods], list[int]]:
    """What was taken by clerk and by goods, the most first; and the amounts that no sale belongs to.

    A basket's goods are counted with the part that paid the last of it.
    """
    clerks: dict[int, list[int]] = defaultdict(list)
    goods: dict[tuple[str | None, str], tuple[int, int]] = {}
    unrung = []
    for payment, (reference, amount) in taken.items():
        sale = found.get(reference)
        if sale is None:
            unrung.append(amount)
            continue
        clerks[sale.clerk or 0].append(amount)
        sold = broken_down.parts.get(payment) or Taken(sale.lines, shares(sale.lines, amount), is_last=True)
        for line, part in zip(sold.lines, sold.amounts, strict=True):
            quantity, sum_ = goods.get((line.goods, line.name), (0, 0))
            goods[line.goods, line.name] = quantity + line.quantity * sold.is_last, sum_ + part
    by_clerk = [ByClerk(clerk, names.get(clerk, ""), len(amounts), sum(amounts)) for clerk, amounts in clerks.items()]
    returned, nothing = broken_down.returned, dict.fromkeys(broken_down.returned, (0, 0))
    by_goods = [ByGoods(*key, *sold, *returned.get(key, (0, 0))) for key, sold in (nothing | goods).items()]
    return sorted(by_clerk, key=lambda row: -row.amount), sorted(by_goods, key=lambda row: -row.amount), unrung


def _parse_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.isoformat() != text or not 1970 < day.year < 2262:
        raise Malformed("day", "must be a day such as 2026-11-22")
    return day


def _closing(connection: Connection, account: int, day: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(closings).where(closings.c.account == account, closings.c.day == day)).first()


def _by_id(connection: Connection, id: int) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(closings).where(closings.c.id == id)).first()


def _last(connection: Connection, account: int, before_day: str | None = None) -> Row[tuple[object, ...]] | None:
    query = select(closings).where(closings.c.account == account)
    if before_day is not None:
        query = query.where(closings.c.day < before_day)
    return connection.execute(query.order_by(closings.c.number.desc()).limit(1)).first()


def _day(row: Row[tuple[object, ...]]) -> Day:
    sums = msgspec.json.decode(row.sums, type=Day)
    return msgspec.structs.replace(sums, number=row.number, closed_at=row.closed_at)
