"""Fills: money is set aside, the pump may run, exactly what ran is taken, and the rest goes back.

    authorise ── somebody agrees ──> permit ──> the pump runs ── report: done ──> captured
        └──────────────── report: aborted ─────────┘                            released

Nothing about money is kept here: the sale under the fill's id is asked each time. What is over is written down first, then
carried out; whatever a crash leaves between the two is made good when the fill is next looked at. A hold ends once, so nothing
is ever taken twice. A pump that fell silent keeps its fill open, and takes no other one,
until somebody has read its totaliser.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from counterfoil.acceptance.fuel import pumps
from counterfoil.acceptance.fuel.pump import Event, Report, Run, State, begun, cost, ran_by, step, volume_limit
from counterfoil.acceptance.fuel.pumps import Pump
from counterfoil.acceptance.fuel.tables import fills, is_open
from counterfoil.acceptance.sales import Sales, is_final
from counterfoil.acceptance.types import Line, Sale, SaleState, Standing, Till
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import (
    FillContradicted,
    FillOutOfOrder,
    HoldNotOpen,
    IdReused,
    Malformed,
    NotFound,
    NotInThisState,
    PumpBusy,
    Unavailable,
)
from counterfoil.ids import id_text, new_id
from counterfoil.payments.requests import is_known

PERMISSION_S: Final = 1_800
"""Seconds in which the pump has to have given what it gives."""
PERMISSION_S_MIN: Final = 60
SETTLE_S: Final = 600
"""Seconds that are left of a hold, at the least, when its permission ends: for the report that ends it."""
PAGE_SIZE_MAX: Final = 50
_TRIES: Final = 5
"""How often it is looked again when something changed between looking and doing."""


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as it is kept; moments in ns.

    Attributes:
        id: also that of the sale that sets money aside.
        number: of the pump. It, `product` and the price in `run` are those that it was asked for under.
        until: the pump may run until then; None before it may.
        rest: the sale that asks for what could not be taken; None while nobody has asked.
    """

    id: int
    pump: int
    number: int
    account: int
    till: int
    product: str
    run: Run
    asked_at: int
    until: int | None
    ended_at: int | None
    rest: int | None

    @property
    def volume_max(self) -> int:
        """Millilitres at which the pump has to stop."""
        return volume_limit(self.run.limit, self.run.price)


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with a fill, in minor units.

    Attributes:
        sale: and how it stands; None where it ended before there was one.
        unpaid: what ran, could not be taken, and was not paid since: the pump went on above the limit, or the hold was over before
            the report came.
        rest: the sale that asks for that, and how it stands.
    """

    fill: Fill
    sale: tuple[Sale, Standing] | None
    unpaid: int
    rest: tuple[Sale, Standing] | None = None


class Fills:
    """Lets pumps run. Whether the caller may is the caller's to check; `till` is the one that asks."""

    def __init__(self, *, sales: Sales) -> None:
        self.sales = sales
        self.store = sales.store
        self.clock = sales.clock

    async def authorise(self, till: Till, *, id: int, pump: int, product: str, amount: int | None, totaliser: int) -> Filled:
        """Asks for money to be set aside for a fill: `amount`, or a full tank. Nothing may run yet. A repeat answers the same.

        `totaliser`: the pump's, in millilitres, read now. Refusals: Malformed, NotFound, PumpBusy (`fill`), FillContradicted (the
        totaliser stands below what the last fill has left), IdReused, and those of `Sales.make`.
        """
        content = msgspec.json.encode([id_text(till.account), id_text(pump), product, amount, totaliser])
        content_hash, now = hashlib.sha256(content).digest(), self.clock.now_ns()

        def wanted(connection: Connection) -> tuple[Pump, Run]:
            at = pumps.found(connection, pump, till.account)
            if amount is not None and amount > at.full_tank:
                raise Malformed("amount", f"must be at most {at.full_tank}")
            return at, begun(price=at.product(product).price, limit=at.full_tank if amount is None else amount, before=totaliser)

        def write(connection: Connection) -> Row[Any]:
            row = _find(connection, id)
            if row is not None:
                return row
            if is_known(connection, id):
                raise IdReused
            at, run = wanted(connection)
            _check_pump(connection, pump, totaliser)
            values = {
                "id": id, "pump": pump, "number": at.number, "account": till.account, "till": till.id, "product": product,
                "price": run.price, "amount_max": run.limit, "totaliser": totaliser, "content_hash": content_hash, "asked_at": now,
            }  # fmt: skip
            connection.execute(insert(fills), values | _moved(run))
            row = _find(connection, id)
            assert row is not None, id
            return row

        if await self.store.read(lambda connection: _find(connection, id)) is None:
            _, run = await self.store.read(wanted)
            await self.sales.check_asker(till.account, run.limit)
        for fill in await self._waiting(till.account, pump):
            if fill.id != id:
                await self.look(fill, till)  # that nobody can agree to any more is found out by looking
        row = await self.store.write(write)
        if row.content_hash != content_hash:
            raise IdReused
        return await self.look(_fill(row), till)

    async def permit(self, fill: Fill, till: Till) -> Filled:
        """The pump may run from now until `until`. A repeat answers the same.

        Where the hold is over too soon for that, the fill is aborted and all goes back: look at its state. NotInThisState while
        nothing is held, FillOutOfOrder once it has started, or is over.
        """
        filled = await self.look(fill, till)
        fill, state = filled.fill, filled.fill.run.state
        if state is State.AUTHORISED:
            return filled
        if state is not State.IDLE:
            raise FillOutOfOrder(state=state)
        until = self._until(filled)
        if until is None:
            return await self.report(fill, till, Report(event=Event.ABORTED))
        return await self._step(fill, till, Report(event=Event.AUTHORISED), until)

    async def report(self, fill: Fill, till: Till, report: Report) -> Filled:
        """What the pump has done. When it is over, what ran is taken and the rest goes back; a repeat takes nothing more.

        Refusals: Malformed, FillOutOfOrder, FillContradicted: nothing was changed; those of `Sales.capture`: it is over, and what ran
        is taken as soon as somebody looks again.
        """
        if report.event is Event.AUTHORISED:
            return await self.permit(fill, till)
        return await self._step(fill, till, report, None)

    async def read(self, fill: Fill, till: Till, totaliser: int) -> Filled:
        """Somebody has read a pump whose controller is gone: what ran is what its totaliser (millilitres) says. As `report`."""
        state, ran = fill.run.state, ran_by(fill.run, totaliser)
        if state in (State.IDLE, State.AUTHORISED, State.ABORTED) and not ran:
            return await self.report(fill, till, Report(event=Event.ABORTED, totaliser=totaliser))
        if state is State.AUTHORISED:  # nobody has told that it started
            await self.report(fill, till, Report(event=Event.SILENT))
        return await self.report(fill, till, Report(event=Event.DONE, millilitres=ran, totaliser=totaliser))

    async def look(self, fill: Fill, till: Till) -> Filled:
        """How it stands with a fill. Does first what was left undone: asks for the hold, takes it, or gives it back."""
        for _ in range(_TRIES):
            fill = await self.find(fill.id, fill.account)
            sale = (await self.sales.known([fill.id], fill.account)).get(fill.id)
            if sale is None:
                if fill.run.is_over:
                    return _filled(fill, None)
                await self._ask(fill, till)
                continue
            standing = await self.sales.standing(sale)
            if not fill.run.is_over:
                if fill.run.state is State.IDLE and is_final(standing.state):
                    fill = await self._kept(fill, Report(event=Event.ABORTED), None)
                return _filled(fill, (sale, standing))
            if standing.state is SaleState.OPEN:
                await self.sales.take_back(sale)
            elif standing.state is SaleState.HELD:
                await self._end(fill, sale, till)
            else:
                return await self._with_rest(_filled(fill, (sale, standing)))
        raise Unavailable

    async def ask_rest(self, fill: Fill, till: Till) -> Filled:
        """A sale asks for what is `unpaid`, if something is. A repeat asks for nothing more: the same sale, while it can be paid.

        FillOutOfOrder before the fill is done. Refusals: those of `look`, and of `Sales.make`.
        """
        for _ in range(_TRIES):
            filled = await self.look(fill, till)
            fill = filled.fill
            if fill.run.state is not State.DONE:
                raise FillOutOfOrder(state=fill.run.state)
            if not filled.unpaid or (filled.rest is not None and filled.rest[1].state is SaleState.OPEN):
                return filled
            id = fill.rest  # noqa: A001
            if id is None or filled.rest is not None:  # nobody has asked so far, or nobody can pay that any more
                await self.sales.check_asker(fill.account, filled.unpaid)
                await self._begin_rest(fill)
                continue
            line, made_at = Line(f"{fill.product} · {fill.number} +", filled.unpaid, 1), (id >> 80) * 1_000_000
            await self.sales.make(till, None, id=id, lines=[line], amount=filled.unpaid, hold=False, made_at=made_at)
        raise Unavailable

    async def _begin_rest(self, fill: Fill) -> None:
        """Keeps the id of a new sale that asks for the rest, unless somebody else has meanwhile."""
        begun_by = update(fills).where(fills.c.id == fill.id, fills.c.rest.is_not_distinct_from(fill.rest))
        begun_by = begun_by.values(rest=new_id(self.clock))
        await self.store.write(lambda connection: connection.execute(begun_by))

    async def _with_rest(self, filled: Filled) -> Filled:
        """With what was paid since it could not be taken."""
        rest = filled.fill.rest
        sale = None if rest is None else (await self.sales.known([rest], filled.fill.account)).get(rest)
        if sale is None:
            return filled
        standing = await self.sales.standing(sale)
        unpaid = filled.unpaid if standing.paid_at is None else max(0, filled.unpaid - sale.amount)
        return msgspec.structs.replace(filled, unpaid=unpaid, rest=(sale, standing))

    async def find(self, id: int, account: int) -> Fill:
        """A fill of the account, or NotFound."""
        row = await self.store.read(lambda connection: _find(connection, id))
        if row is None or row.account != account:
            raise NotFound("there is no fill with this id")
        return _fill(row)

    async def done(self, sale: Sale) -> Fill | None:
        """What ran for a sale; None for one that is no fill's, or whose fill is not done."""
        row = await self.store.read(lambda connection: _find(connection, sale.id)) if sale.hold else None
        return None if row is None or row.state != State.DONE else _fill(row)

    async def list(self, account: int, *, only_open: bool = False, before: int | None = None, limit: int = PAGE_SIZE_MAX) -> list[Fill]:
        """Fills, the newest first by their ids; `before` is the last one of the page before. `only_open`: those not over."""
        query = select(fills).where(fills.c.account == account)
        if only_open:
            query = query.where(is_open)
        if before is not None:
            query = query.where(fills.c.id < before)
        query = query.order_by(fills.c.id.desc()).limit(min(limit, PAGE_SIZE_MAX))
        return await self.store.read(lambda connection: [_fill(row) for row in connection.execute(query)])

    # Parts

    async def _waiting(self, account: int, pump: int) -> Sequence[Fill]:
        """Fills at a pump that nobody has agreed to so far: one, or none."""
        query = select(fills).where(fills.c.pump == pump, fills.c.account == account, fills.c.state == State.IDLE.value)
        return await self.store.read(lambda connection: [_fill(row) for row in connection.execute(query)])

    def _until(self, filled: Filled) -> int | None:
        """When the permission ends, if it begins now (ns); None where the hold is over too soon for one."""
        assert filled.sale is not None, filled.fill.id
        standing = filled.sale[1]
        if standing.state is not SaleState.HELD or standing.payment is None or standing.paid_at is None:
            raise NotInThisState("nothing is held for this fill")
        now = self.clock.now_ns()
        until = min(now + PERMISSION_S * NANOSECONDS, standing.paid_at + (standing.payment.timeout_s - SETTLE_S) * NANOSECONDS)
        return until if until >= now + PERMISSION_S_MIN * NANOSECONDS else None

    async def _step(self, fill: Fill, till: Till, report: Report, until: int | None) -> Filled:
        return await self.look(await self._kept(fill, report, until), till)

    async def _kept(self, fill: Fill, report: Report, until: int | None) -> Fill:
        now = self.clock.now_ns()

        def write(connection: Connection) -> Fill:
            row = _find(connection, fill.id)
            assert row is not None, fill.id
            before = _fill(row)
            run = step(before.run, report)
            if run != before.run:
                values = _moved(run)
                if run.state is State.AUTHORISED:
                    values["until"] = until
                if run.is_over:
                    values["ended_at"] = now
                connection.execute(update(fills).where(fills.c.id == fill.id).values(values))
                row = _find(connection, fill.id)
                assert row is not None, fill.id
            return _fill(row)

        return await self.store.write(write)

    async def _ask(self, fill: Fill, till: Till) -> None:
        line = Line(f"{fill.product} · {fill.number}", fill.run.limit, 1)
        await self.sales.make(till, None, id=fill.id, lines=[line], amount=fill.run.limit, hold=True, made_at=fill.asked_at)

    async def _end(self, fill: Fill, sale: Sale, till: Till) -> None:
        """Takes what ran, or gives all back. Of any number of tries one comes through: a hold ends once."""
        try:
            if fill.run.charge:
                await self.sales.capture(sale, till, None, id=new_id(self.clock), amount=fill.run.charge)
            else:
                await self.sales.release(sale, till, None, id=new_id(self.clock))
        except HoldNotOpen:  # it expired, or somebody ended it by hand: what is unpaid then is told
            pass


def _filled(fill: Fill, sale: tuple[Sale, Standing] | None) -> Filled:
    run = fill.run
    taken = sale[1].captured if sale is not None else 0
    return Filled(fill=fill, sale=sale, unpaid=max(0, cost(run.millilitres, run.price) - taken) if run.state is State.DONE else 0)


def _check_pump(connection: Connection, pump: int, totaliser: int) -> None:
    """Raises PumpBusy while another fill is open there, and FillContradicted where its totaliser has gone backwards."""
    open_one = connection.execute(select(fills.c.id).where(fills.c.pump == pump, is_open)).scalar()
    if open_one is not None:
        raise PumpBusy(fill=id_text(open_one))
    left = select(func.max(fills.c.totaliser + fills.c.millilitres)).where(fills.c.pump == pump, fills.c.state == State.DONE.value)
    stood = connection.execute(left).scalar()
    if stood is not None and totaliser < stood:
        raise FillContradicted(totaliser=stood)


def _moved(run: Run) -> dict[str, Any]:
    return {"state": run.state.value, "millilitres": run.millilitres}


def _find(connection: Connection, id: int) -> Row[Any] | None:
    return connection.execute(select(fills).where(fills.c.id == id)).first()


def _fill(row: Row[Any]) -> Fill:
    run = Run(price=row.price, limit=row.amount_max, before=row.totaliser, state=State(row.state), millilitres=row.millilitres)
    return Fill(
        id=row.id, pump=row.pump, number=row.number, account=row.account, till=row.till, product=row.product, run=run,
        asked_at=row.asked_at, until=row.until, ended_at=row.ended_at, rest=row.rest,
    )  # fmt: skip
