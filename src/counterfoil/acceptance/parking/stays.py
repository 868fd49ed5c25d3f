"""Stays: a car comes in, it is reckoned what is due, that is taken or paid, and the barrier may open.

    enter ──> inside ── charge: a sale asks for what is due ──> paid ──┐
                 │   └─ extend: a further sale sets money aside        │
                 └────────────────────── leave ────────────────────────┴──> left
                                           └── let_out: by somebody, unpaid ──> left

Whoever wants to only drives has money set aside at the entry: leaving captures exactly the fee, and the rest goes back. Nothing
about money is kept here: what was held, taken and paid is asked of the sales each time, so that a lost answer is found out by
doing the same again. Each try to take or to ask is written down before it is made, with the moment it was reckoned for. A hold
can be ended once, so of any number of tries to take one comes through. Of the sales that ask, one is open at a time: it is asked
for again within the time of grace, and later taken back before a new one takes its place. So it is with those that set more
aside. Leaving takes the fee of the one at the entry first, then of the further ones in their order; nothing is left set aside.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, union, update

from counterfoil.acceptance.cards.registry import Cards
from counterfoil.acceptance.parking import marks, parks
from counterfoil.acceptance.parking.tables import inside, stay_charges, stays
from counterfoil.acceptance.parking.values import Charge, Parked, Stay, cover_of, fee_of, grace
from counterfoil.acceptance.sales import Sales, check_made_at
from counterfoil.acceptance.types import Clerk, Line, Sale, SaleState, Till
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import (
    AlreadyInside,
    CarParkFull,
    HoldNotOpen,
    IdReused,
    Malformed,
    NotFound,
    NotInThisState,
    Refused,
    TooLarge,
    Unavailable,
)
from counterfoil.ids import id_text, new_id
from counterfoil.parties.numbers import parse_name
from counterfoil.payments import records
from counterfoil.payments.requests import is_known

PAGE_SIZE_MAX: Final = 50
REASON_SIZE_MAX: Final = 100
EXTENSIONS_MAX: Final = 20
"""Further sales that set money aside for one stay, agreed to or not."""
_TRIES: Final = 5
"""How often it is looked again when something changed between looking and doing."""


class Stays:
    """Lets cars in and out. Whether the caller may is the caller's to check; `till` is the gate's."""

    def __init__(self, *, sales: Sales, cards: Cards) -> None:
        self.sales = sales
        self.cards = cards
        self.store = sales.store
        self.clock = sales.clock

    async def enter(
        self,
        till: Till,
        *,
        id: int,
        car_park: int,
        entered_at: int,
        plate: str | None = None,
        tap: tuple[str, str] | None = None,
        hold: bool,
    ) -> Parked:
        """A car comes in. With `hold` a sale sets money aside, if somebody agrees to it. A repeat answers the same.

        `plate` or `tap` (e and c of a card) name the stay besides its id. Refusals: Malformed, NotFound, CarParkFull,
        AlreadyInside, CardUnknown, CardLocked, TapUsed, IdReused, and those of `Sales.make`.
        """
        check_made_at(entered_at, self.clock.now_ns(), "entered_at")
        content = msgspec.json.encode([id_text(till.account), id_text(car_park), entered_at, plate, tap, hold])
        values: dict[str, Any] = {
            "id": id, "car_park": car_park, "account": till.account, "till": till.id, "entered_at": entered_at,
            "content_hash": hashlib.sha256(content).digest(), "lost": False, "unpaid": 0, "reason": "",
        }  # fmt: skip
        mark = None if plate is None else marks.of_plate(plate)
        read = None if tap is None else self.cards.read(*tap)
        wanted = await self.store.read(lambda connection: _hold_wanted(connection, id, car_park, till.account)) if hold else 0
        if wanted:
            await self.sales.check_asker(till.account, wanted)

        def write(connection: Connection) -> Row[Any]:
            row = _find(connection, id)
            if row is not None:
                return row
            if is_known(connection, id):
                raise IdReused
            park = parks.found(connection, car_park, till.account)
            if park.taken >= park.places:
                raise CarParkFull(places=park.places)
            named = mark if read is None else marks.of_tap(connection, read, self.clock.now_ns())
            if named is not None and _inside(connection, till.account, named) is not None:
                raise AlreadyInside
            terms = {"hold": park.hold if hold else 0, "grace_minutes": park.grace_minutes, "tariff": parks.encoded(park.tariff)}
            connection.execute(insert(stays), values | terms | {"mark": named})
            row = _find(connection, id)
            assert row is not None, id
            return row

        row = await self.store.write(write)
        if row.content_hash != values["content_hash"]:
            raise IdReused
        stay = _stay(row)
        if stay.hold and stay.left_at is None and not await self.sales.known([id], stay.account):
            line = Line(await self.name(stay), stay.hold, 1)
            await self.sales.make(till, None, id=id, lines=[line], amount=stay.hold, hold=True, made_at=entered_at)
        return await self.look(stay)

    async def find(self, id: int, account: int | None = None) -> Stay:
        """A stay of the account, or for whoever has the ticket; or NotFound."""
        row = await self.store.read(lambda connection: _find(connection, id))
        if row is None or account not in (None, row.account):
            raise NotFound("there is no stay with this id")
        return _stay(row)

    async def of_plate(self, account: int, plate: str) -> Stay:
        """Who is inside with this plate, or NotFound."""
        mark = marks.of_plate(plate)
        return _inside_or_not(await self.store.read(lambda connection: _inside(connection, account, mark)))

    async def of_tap(self, account: int, e: str, c: str) -> Stay:
        """Who came in with the card that is tapped now, or NotFound. The same tap may come again for a while. As `enter`."""
        tap, now = self.cards.read(e, c), self.clock.now_ns()
        return _inside_or_not(
            await self.store.write(lambda connection: _inside(connection, account, marks.of_tap(connection, tap, now, again=True)))
        )

    async def inside(self, account: int, car_park: int, *, after: int = 0, limit: int = PAGE_SIZE_MAX) -> list[Stay]:
        """Who is inside, by ids, which begin with the time of the entry; `after` is the last one of the page before."""
        query = select(stays).where(stays.c.account == account, stays.c.car_park == car_park, inside, stays.c.id > after)
        query = query.order_by(stays.c.id).limit(min(limit, PAGE_SIZE_MAX))
        return await self.store.read(lambda connection: [_stay(row) for row in connection.execute(query)])

    async def of_payer(self, account: int, *, limit: int) -> list[Stay]:
        """Stays under way for which this account set money aside, or paid; the newest first. Looks at all who are inside anywhere."""
        asked = select(stays.c.id, stay_charges.c.id.label("sale")).join(stay_charges, stay_charges.c.stay == stays.c.id).where(inside)
        own = select(stays.c.id, stays.c.id.label("sale")).where(inside, stays.c.hold > 0)
        found = union(own, asked).subquery()
        answered = select(found.c.id).where(found.c.sale.in_(records.answered_by(account, select(found.c.sale))))
        query = select(stays).where(stays.c.id.in_(answered)).order_by(stays.c.id.desc()).limit(limit)
        return await self.store.read(lambda connection: [_stay(row) for row in connection.execute(query)])

    async def look(self, stay: Stay, at: int | None = None) -> Parked:
        """What is due `at` a moment (ns; now without), or was when it left."""
        at = stay.left_at or at or self.clock.now_ns()
        charges = await self._charges(stay)
        asking = {charge.id: charge for charge in charges if charge.kind == "sale"}
        setting = [*([stay.id] if stay.hold else ()), *(charge.id for charge in charges if charge.kind == "hold")]
        sales = await self.sales.known([*asking, *setting], stay.account)
        standings = await self.sales.standing_of(list(sales.values()))
        holds = [(sales[each], standings[each]) for each in setting if each in sales]
        taken = {action.payment for _, standing in holds for action in standing.actions}
        covered = [(charge.at, charge.at + grace(stay)) for charge in charges if charge.id in taken]
        settled = sum(standing.captured for _, standing in holds)
        paid = []
        for charge in asking.values():
            standing = standings.get(charge.id)
            if standing is not None and standing.paid_at is not None:
                settled += charge.amount
                paid.append((sales[charge.id], standing))
                covered.append((charge.at, min(standing.paid_at, charge.at + grace(stay)) + grace(stay)))
        reckoned_at, leave_by = max(((since, until) for since, until in covered if at < until), default=(at, None))
        price = fee_of(stay, reckoned_at)
        asked = [
            (charge, sales[charge.id], standings[charge.id])
            for charge in asking.values()
            if charge.id in sales and standings[charge.id].state is SaleState.OPEN
        ]
        parked = Parked(
            stay=stay, at=reckoned_at, fee=price, settled=settled, due=0, leave_by=leave_by, covered_until=None,
            entry=holds[0] if stay.id in sales else None, holds=holds, asked=asked[-1] if asked else None, paid=paid, charges=charges,
        )  # fmt: skip
        due = max(0, price - settled - parked.held)
        until = None if due or stay.left_at is not None else cover_of(parked, at)
        return msgspec.structs.replace(parked, due=due, covered_until=until)

    async def charge(self, stay: Stay, till: Till, *, at: int | None = None) -> Parked:
        """A sale asks for what is due, if something is. A repeat asks for nothing more: the same sale, for the time of grace.

        `at` as for `leave`. Refusals: those of `Sales.make`; Unavailable while somebody is paying: ask again.
        """
        at = self._moment(stay, at)
        for _ in range(_TRIES):
            parked = await self.look(stay, at)
            if stay.left_at is not None or not parked.due:
                return parked
            last = next((charge for charge in reversed(parked.charges) if charge.kind == "sale"), None)
            if last is not None and last.at <= at < last.at + grace(stay) and self._still_due(parked, last):
                if parked.asked is not None and parked.asked[0] == last:
                    return parked
                if not await self.sales.known([last.id], stay.account):
                    await self._ask(stay, till, last)
                    continue
            if parked.asked is not None:
                await self.sales.take_back(parked.asked[1])
            await self._begin(stay, till, "sale", parked.due, at, after=last)
        raise Unavailable

    async def extend(self, stay: Stay, till: Till) -> Parked:
        """A further sale waits to have money set aside (`wanted`), as much as at the entry. While one waits, a repeat answers that.

        Refusals: NotInThisState when it has left, or where nothing is ever set aside; TooLarge after EXTENSIONS_MAX; those of `Sales.make`.
        """
        for _ in range(_TRIES):
            stay = await self.find(stay.id, stay.account)
            if stay.left_at is not None:
                raise NotInThisState
            parked = await self.look(stay)
            if parked.wanted is not None:
                return parked
            holds = [charge for charge in parked.charges if charge.kind == "hold"]
            last = holds[-1] if holds else None
            if last is None or await self.sales.known([last.id], stay.account):
                if len(holds) >= EXTENSIONS_MAX:
                    raise TooLarge(f"more was set aside {EXTENSIONS_MAX} times already", extensions_max=EXTENSIONS_MAX)
                amount = stay.hold or (await self._park(stay)).hold
                if not amount:
                    raise NotInThisState("nothing is set aside at this car park")
                await self.sales.check_asker(till.account, amount)
                last = await self._begin(stay, till, "hold", amount, self.clock.now_ns(), after=last)
            await self._set_aside(stay, till, last)
        raise Unavailable

    async def leave(self, stay: Stay, till: Till, *, passage: int, at: int | None = None) -> Parked:
        """The car is at the way out: takes what is due of what is held and gives the rest back, then it may leave: `left_at` is set.

        While something is due it stays, and a sale asks for that (`charge`). `passage` names this going out: its repeat answers
        the same, another one is NotInThisState. `at` (ns): when it was, at a gate that had no network. Refusals: Malformed, and
        as `Sales.capture` and `charge`.
        """
        at = self._moment(stay, at)
        for _ in range(_TRIES):
            parked = await self._settled(stay, till, None, at, passage)
            if parked.stay.left_at is not None:
                return parked
            if parked.due:
                return await self.charge(stay, till, at=at)
            if parked.asked is not None:  # for something that was taken otherwise since
                await self.sales.take_back(parked.asked[1])
            parked = await self._end(parked, passage, at, "")
            if parked.stay.left_at is not None:
                return parked
        raise Unavailable

    async def let_out(self, stay: Stay, till: Till, clerk: Clerk, *, passage: int, reason: str, at: int | None = None) -> Parked:
        """Somebody opens the barrier although not all is paid, and says why. What is held is taken all the same. As `leave`."""
        reason = parse_name(reason, "reason")
        if len(reason) > REASON_SIZE_MAX:
            raise Malformed("reason", f"must be at most {REASON_SIZE_MAX} characters")
        at = self._moment(stay, at)
        for _ in range(_TRIES):
            parked = await self._settled(stay, till, clerk, at, passage)
            parked = parked if parked.stay.left_at is not None else await self._end(parked, passage, at, reason)
            if parked.stay.left_at is not None:
                return parked
        raise Unavailable

    async def lose_ticket(self, stay: Stay) -> Parked:
        """From now on it costs what a lost ticket does, at the least. A repeat changes nothing. NotInThisState when it has left."""
        if stay.left_at is not None:
            raise NotInThisState
        await self.store.write(lambda connection: connection.execute(update(stays).where(stays.c.id == stay.id).values(lost=True)))
        return await self.look(await self.find(stay.id, stay.account))

    # Parts

    def _moment(self, stay: Stay, at: int | None) -> int:
        now = self.clock.now_ns()
        if at is None:
            return now
        check_made_at(at, now, "at")
        if at < stay.entered_at:
            raise Malformed("at", "must not be before the entry")
        return at

    async def _settled(self, stay: Stay, till: Till, clerk: Clerk | None, at: int, passage: int) -> Parked:
        """How it stands once nothing is held any more, and nobody can agree to a hold: or with the stay ended, by this passage."""
        for _ in range(_TRIES + EXTENSIONS_MAX):
            stay = await self.find(stay.id, stay.account)
            if stay.left_at is not None and stay.passage != passage:
                raise NotInThisState
            parked = await self.look(stay, at)
            if stay.left_at is not None:
                return parked
            if parked.wanted is not None:
                await self.sales.take_back(parked.wanted)
            elif parked.standing:
                await self._take(parked, parked.standing[0][0], till, clerk)
            elif not await self._made(parked, till):
                return parked
        raise Unavailable

    async def _made(self, parked: Parked, till: Till) -> bool:
        """Whether a further sale had been written down and not made, and is made now: once it is known it can be taken back."""
        known = {sale.id for sale, _ in parked.holds}
        for charge in parked.charges:
            if charge.kind == "hold" and charge.id not in known:
                with suppress(Refused):  # then nobody else can make it either
                    await self._set_aside(parked.stay, till, charge)
                    return True
        return False

    async def _take(self, parked: Parked, sale: Sale, till: Till, clerk: Clerk | None) -> None:
        """Captures what the stay costs, as far as it is held for `sale`; all that is not needed goes back. Refusals: as `Sales.capture`."""
        stay = parked.stay
        last = next((charge for charge in reversed(parked.charges) if charge.kind == "capture" and charge.sale == sale.id), None)
        amount = min(sale.amount, max(0, parked.fee - parked.settled))
        charge = await self._begin(stay, till, "capture", amount, parked.at, after=last, sale=sale.id)
        try:
            if charge.amount:
                await self.sales.capture(sale, till, clerk, id=charge.id, amount=charge.amount)
            else:
                await self.sales.release(sale, till, clerk, id=charge.id)
        except HoldNotOpen:  # it expired, or somebody ended it: what is due then is asked for
            pass

    def _still_due(self, parked: Parked, charge: Charge) -> bool:
        return charge.amount == max(0, fee_of(parked.stay, charge.at) - parked.settled - parked.held)

    async def _begin(
        self, stay: Stay, till: Till, kind: str, amount: int, at: int, *, after: Charge | None, sale: int | None = None
    ) -> Charge:
        """Writes down a new try, unless another one was written since `after`: then that. NotInThisState when it has left.

        `sale`: what a capture takes of; each has its own tries.
        """
        values = {"id": new_id(self.clock), "stay": stay.id, "till": till.id, "kind": kind, "amount": amount, "at": at, "sale": sale}

        def write(connection: Connection) -> Charge:
            before = _charges(connection, stay.id)
            of_kind = [charge for charge in before if charge.kind == kind and sale in (None, charge.sale)]
            if of_kind and (after is None or of_kind[-1].id != after.id):
                return of_kind[-1]
            row = _find(connection, stay.id)
            if kind == "hold" and (row is None or row.left_at is not None):
                raise NotInThisState
            connection.execute(insert(stay_charges), values | {"number": len(before) + 1})
            return _charges(connection, stay.id)[-1]

        return await self.store.write(write)

    async def _ask(self, stay: Stay, till: Till, charge: Charge) -> None:
        line = Line(f"{await self.name(stay)} {self._clock_time(stay.entered_at)}–{self._clock_time(charge.at)}", charge.amount, 1)
        await self.sales.make(till, None, id=charge.id, lines=[line], amount=charge.amount, hold=False, made_at=charge.at)

    async def _set_aside(self, stay: Stay, till: Till, charge: Charge) -> None:
        line = Line(f"{await self.name(stay)} +", charge.amount, 1)
        await self.sales.make(till, None, id=charge.id, lines=[line], amount=charge.amount, hold=True, made_at=charge.at)

    async def _end(self, parked: Parked, passage: int, at: int, reason: str) -> Parked:
        """Ends it, unless somebody has begun to set more aside since it was looked: then it is as it was."""
        stay = parked.stay
        seen = sum(charge.kind == "hold" for charge in parked.charges)
        holds = select(func.count()).where(stay_charges.c.stay == stay.id, stay_charges.c.kind == "hold").scalar_subquery()
        ended = update(stays).where(stays.c.id == stay.id, inside, holds == seen)
        ended = ended.values(left_at=at, passage=passage, unpaid=parked.due, reason=reason if parked.due else "")
        await self.store.write(lambda connection: connection.execute(ended))
        stay = await self.find(stay.id, stay.account)
        if stay.left_at is not None and stay.passage != passage:
            raise NotInThisState
        return await self.look(stay)

    async def _charges(self, stay: Stay) -> list[Charge]:
        return await self.store.read(lambda connection: _charges(connection, stay.id))

    async def name(self, stay: Stay) -> str:
        """Of its car park, as it is called now."""
        return (await self._park(stay)).name

    async def _park(self, stay: Stay) -> parks.CarPark:
        return await self.store.read(lambda connection: parks.found(connection, stay.car_park, stay.account))

    def _clock_time(self, moment: int) -> str:
        return datetime.fromtimestamp(moment // NANOSECONDS, UTC).astimezone(self.sales.zone).strftime("%H:%M")


def _inside(connection: Connection, account: int, mark: str) -> Row[Any] | None:
    return connection.execute(select(stays).where(stays.c.account == account, stays.c.mark == mark, inside)).first()


def _inside_or_not(row: Row[Any] | None) -> Stay:
    if row is None:
        raise NotFound("nobody is inside with this")
    return _stay(row)


def _find(connection: Connection, id: int) -> Row[Any] | None:
    return connection.execute(select(stays).where(stays.c.id == id)).first()


def _hold_wanted(connection: Connection, id: int, car_park: int, account: int) -> int:
    """What a new stay there would set aside; 0 for one that is known already."""
    return 0 if _find(connection, id) is not None else parks.found(connection, car_park, account).hold


def _charges(connection: Connection, stay: int) -> list[Charge]:
    query = select(stay_charges).where(stay_charges.c.stay == stay).order_by(stay_charges.c.number)
    return [Charge(id=row.id, kind=row.kind, amount=row.amount, at=row.at, sale=row.sale or stay) for row in connection.execute(query)]


def _stay(row: Row[Any]) -> Stay:
    return Stay(
        id=row.id, car_park=row.car_park, account=row.account, till=row.till, mark=row.mark, hold=row.hold,
        grace_minutes=row.grace_minutes, tariff=parks.decoded(row.tariff), entered_at=row.entered_at, lost=row.lost,
        left_at=row.left_at, passage=row.passage, unpaid=row.unpaid, reason=row.reason,
    )  # fmt: skip
