"""Stays: a car comes in, it is reckoned what is due, that is taken or paid, and the barrier may open.

    enter ──> inside ── charge: a sale asks for what is due ──> paid ──┐
                 └────────────────────── leave ────────────────────────┴──> left
                                           └── let_out: by somebody, unpaid ──> left

Whoever wants to only drives has money set aside at the entry: leaving captures exactly the fee, and the rest goes back. Nothing
about money is kept here: what was held, taken and paid is asked of the sales each time, so that a lost answer is found out by
doing the same again. Each try to take or to ask is written down before it is made, with the moment it was reckoned for. A hold
can be ended once, so of any number of tries to take one comes through. Of the sales that ask, one is open at a time: it is asked
for again within the time of grace, and later taken back before a new one takes its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from counterfoil.acceptance.cards.registry import Cards
from counterfoil.acceptance.parking import marks, parks
from counterfoil.acceptance.parking.tables import inside, stay_charges, stays
from counterfoil.acceptance.parking.tariff import Tariff, fee
from counterfoil.acceptance.sales import Sales, check_made_at
from counterfoil.acceptance.types import Clerk, Line, Sale, SaleState, Standing, Till
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import AlreadyInside, CarParkFull, HoldNotOpen, IdReused, Malformed, NotFound, NotInThisState, Unavailable
from counterfoil.ids import id_text, new_id
from counterfoil.parties.numbers import parse_name
from counterfoil.payments.requests import is_known

PAGE_SIZE_MAX: Final = 50
REASON_SIZE_MAX: Final = 100
_TRIES: Final = 5
"""How often it is looked again when something changed between looking and doing."""


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A car's stay; moments in ns, amounts in minor units.

    Attributes:
        id: the ticket; also the sale that sets `hold` aside, where that is not 0.
        plate: as it is compared; None for who came with a card or a ticket alone.
        passage: the one going out that ended it.
        unpaid: what was due when somebody was let out, for `reason`.
    """

    id: int
    car_park: int
    account: int
    till: int
    mark: str | None
    hold: int
    grace_minutes: int
    tariff: Tariff
    entered_at: int
    lost: bool
    left_at: int | None
    passage: int | None
    unpaid: int
    reason: str

    @property
    def plate(self) -> str | None:
        return marks.plate_of(self.mark)


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A try to settle a stay: a sale over `amount`, or the capture of so much of what is held, as it was reckoned `at` (ns)."""

    id: int
    kind: str
    amount: int
    at: int


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with a stay, in minor units.

    Attributes:
        at: the moment (ns) that the fee is for: now, or when it was paid for whoever has paid and may still leave.
        settled: what was taken of the hold, and paid.
        due: what has to be paid before it may leave; what is held counts as paid.
        leave_by: until when (ns) whoever has paid may leave for that; None where time goes on.
        entry: the sale that sets money aside; None where none does.
        asked: the sale that asks for what is due; None before there is one.
    """

    stay: Stay
    at: int
    fee: int
    settled: int
    due: int
    leave_by: int | None
    entry: tuple[Sale, Standing] | None
    asked: tuple[Charge, Sale, Standing] | None
    charges: Sequence[Charge]

    @property
    def held(self) -> int:
        return self.entry[0].amount if self.entry is not None and self.entry[1].state is SaleState.HELD else 0


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

    async def look(self, stay: Stay, at: int | None = None) -> Parked:
        """What is due `at` a moment (ns; now without), or was when it left."""
        at = stay.left_at or at or self.clock.now_ns()
        charges = await self._charges(stay)
        asking = {charge.id: charge for charge in charges if charge.kind == "sale"}
        sales = await self.sales.known([*asking, *([stay.id] if stay.hold else ())], stay.account)
        standings = await self.sales.standing_of(list(sales.values()))
        entry = (sales[stay.id], standings[stay.id]) if stay.id in sales else None
        taken = {action.payment for action in entry[1].actions} if entry else set()
        paid = [charge for charge in charges if charge.id in taken]
        covered = [(charge.at, charge.at + _grace(stay)) for charge in paid]
        settled = entry[1].captured if entry else 0
        for charge in asking.values():
            standing = standings.get(charge.id)
            if standing is not None and standing.paid_at is not None:
                settled += charge.amount
                covered.append((charge.at, min(standing.paid_at, charge.at + _grace(stay)) + _grace(stay)))
        reckoned_at, leave_by = max(((since, until) for since, until in covered if at < until), default=(at, None))
        price = fee_of(stay, reckoned_at)
        asked = [
            (charge, sales[charge.id], standings[charge.id])
            for charge in asking.values()
            if charge.id in sales and standings[charge.id].state is SaleState.OPEN
        ]
        parked = Parked(
            stay=stay, at=reckoned_at, fee=price, settled=settled, due=0, leave_by=leave_by, entry=entry,
            asked=asked[-1] if asked else None, charges=charges,
        )  # fmt: skip
        return msgspec.structs.replace(parked, due=max(0, price - settled - parked.held))

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
            if last is not None and last.at <= at < last.at + _grace(stay) and self._still_due(parked, last):
                if parked.asked is not None and parked.asked[0] == last:
                    return parked
                if not await self.sales.known([last.id], stay.account):
                    await self._ask(stay, till, last)
                    continue
            if parked.asked is not None:
                await self.sales.take_back(parked.asked[1])
            await self._begin(stay, till, "sale", parked.due, at, after=last)
        raise Unavailable

    async def leave(self, stay: Stay, till: Till, *, passage: int, at: int | None = None) -> Parked:
        """The car is at the way out: takes what is due of what is held and gives the rest back, then it may leave: `left_at` is set.

        While something is due it stays, and a sale asks for that (`charge`). `passage` names this going out: its repeat answers
        the same, another one is NotInThisState. `at` (ns): when it was, at a gate that had no network. Refusals: Malformed, and
        as `Sales.capture` and `charge`.
        """
        at = self._moment(stay, at)
        parked = await self._settled(stay, till, None, at, passage)
        if parked.stay.left_at is not None:
            return parked
        if parked.due:
            return await self.charge(stay, till, at=at)
        if parked.asked is not None:  # for something that was taken otherwise since
            await self.sales.take_back(parked.asked[1])
        return await self._end(parked, passage, at, "")

    async def let_out(self, stay: Stay, till: Till, clerk: Clerk, *, passage: int, reason: str, at: int | None = None) -> Parked:
        """Somebody opens the barrier although not all is paid, and says why. What is held is taken all the same. As `leave`."""
        reason = parse_name(reason, "reason")
        if len(reason) > REASON_SIZE_MAX:
            raise Malformed("reason", f"must be at most {REASON_SIZE_MAX} characters")
        at = self._moment(stay, at)
        parked = await self._settled(stay, till, clerk, at, passage)
        return parked if parked.stay.left_at is not None else await self._end(parked, passage, at, reason)

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
        for _ in range(_TRIES):
            stay = await self.find(stay.id, stay.account)
            if stay.left_at is not None and stay.passage != passage:
                raise NotInThisState
            parked = await self.look(stay, at)
            if stay.left_at is not None or parked.entry is None:
                return parked
            sale, standing = parked.entry
            if standing.state is SaleState.OPEN:
                await self.sales.take_back(sale)
            elif standing.state is SaleState.HELD:
                await self._take(parked, till, clerk)
            else:
                return parked
        raise Unavailable

    async def _take(self, parked: Parked, till: Till, clerk: Clerk | None) -> None:
        """Captures what the stay costs, as far as it is held; all that is not needed goes back. Refusals: as `Sales.capture`."""
        stay, sale = parked.stay, parked.entry[0] if parked.entry else None
        assert sale is not None, stay.id
        last = next((charge for charge in reversed(parked.charges) if charge.kind == "capture"), None)
        amount = min(parked.held, max(0, parked.fee - parked.settled))
        charge = await self._begin(stay, till, "capture", amount, parked.at, after=last)
        try:
            if charge.amount:
                await self.sales.capture(sale, till, clerk, id=charge.id, amount=charge.amount)
            else:
                await self.sales.release(sale, till, clerk, id=charge.id)
        except HoldNotOpen:  # it expired, or somebody ended it: what is due then is asked for
            pass

    def _still_due(self, parked: Parked, charge: Charge) -> bool:
        return charge.amount == max(0, fee_of(parked.stay, charge.at) - parked.settled - parked.held)

    async def _begin(self, stay: Stay, till: Till, kind: str, amount: int, at: int, *, after: Charge | None) -> Charge:
        """Writes down a new try, unless another one was written since `after`: then that."""
        values = {"id": new_id(self.clock), "stay": stay.id, "till": till.id, "kind": kind, "amount": amount, "at": at}

        def write(connection: Connection) -> Charge:
            before = _charges(connection, stay.id)
            of_kind = [charge for charge in before if charge.kind == kind]
            if of_kind and (after is None or of_kind[-1].id != after.id):
                return of_kind[-1]
            connection.execute(insert(stay_charges), values | {"number": len(before) + 1})
            return _charges(connection, stay.id)[-1]

        return await self.store.write(write)

    async def _ask(self, stay: Stay, till: Till, charge: Charge) -> None:
        line = Line(f"{await self.name(stay)} {self._clock_time(stay.entered_at)}–{self._clock_time(charge.at)}", charge.amount, 1)
        await self.sales.make(till, None, id=charge.id, lines=[line], amount=charge.amount, hold=False, made_at=charge.at)

    async def _end(self, parked: Parked, passage: int, at: int, reason: str) -> Parked:
        stay = parked.stay
        ended = update(stays).where(stays.c.id == stay.id, inside)
        ended = ended.values(left_at=at, passage=passage, unpaid=parked.due, reason=reason if parked.due else "")
        await self.store.write(lambda connection: connection.execute(ended))
        stay = await self.find(stay.id, stay.account)
        if stay.passage != passage:
            raise NotInThisState
        return await self.look(stay)

    async def _charges(self, stay: Stay) -> list[Charge]:
        return await self.store.read(lambda connection: _charges(connection, stay.id))

    async def name(self, stay: Stay) -> str:
        """Of its car park, as it is called now."""
        return (await self.store.read(lambda connection: parks.found(connection, stay.car_park, stay.account))).name

    def _clock_time(self, moment: int) -> str:
        return datetime.fromtimestamp(moment // NANOSECONDS, UTC).astimezone(self.sales.zone).strftime("%H:%M")


def fee_of(stay: Stay, at: int) -> int:
    """Minor units for a stay until `at` (ns)."""
    price = fee(stay.tariff, stay.entered_at, at)
    return max(price, stay.tariff.lost_ticket) if stay.lost else price


def _grace(stay: Stay) -> int:
    return stay.grace_minutes * 60 * NANOSECONDS


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
    return [Charge(id=row.id, kind=row.kind, amount=row.amount, at=row.at) for row in connection.execute(query)]


def _stay(row: Row[Any]) -> Stay:
    return Stay(
        id=row.id, car_park=row.car_park, account=row.account, till=row.till, mark=row.mark, hold=row.hold,
        grace_minutes=row.grace_minutes, tariff=parks.decoded(row.tariff), entered_at=row.entered_at, lost=row.lost,
        left_at=row.left_at, passage=row.passage, unpaid=row.unpaid, reason=row.reason,
    )  # fmt: skip
