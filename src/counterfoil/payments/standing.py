"""Standing orders: signed once, carried out each day, week or month until they end or are cancelled.

Each occurrence's payment id follows from the standing order's id and its number, so none is paid twice. One that is
refused (no money, above a limit) is recorded and told; the next comes at its time all the same. After an outage the
occurrences that were missed are carried out in order: a rent is owed whether or not our server was up.
"""

from __future__ import annotations

import asyncio
import calendar
import enum
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, update

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import IdReused, Malformed, NotFound, NotInThisState, Refused, SamePayerAndPayee, Unavailable, WrongScheme
from counterfoil.ids import leg_id
from counterfoil.payments import forms
from counterfoil.payments.forms import Every
from counterfoil.payments.orders import Order
from counterfoil.payments.service import MANDATE_EXPIRY_MS, Mandate, Payments
from counterfoil.payments.tables import standing_orders, standing_runs
from counterfoil.payments.types import AuthorisationClass, SignedOrder

DUE_MAX = 1_000
"""Standing orders taken up in one round."""
INTERVAL_S = 5.0
"""Seconds between two looks for what is due."""
YEARS_AHEAD_MAX = 5
COMPLETED = "completed"


class StandingState(enum.StrEnum):
    ACTIVE = "active"
    ENDED = "ended"
    CANCELLED = "cancelled"


class StandingOrder(msgspec.Struct, frozen=True):
    """A standing order as it stands. `done` occurrences are behind it; `count_max` 0 has no end. Amounts in minor units."""

    id: int
    payer: int
    payee: int
    amount: int
    max_fee: int
    every: Every
    first_at: int
    next_at: int
    done: int
    count_max: int
    memo: str
    state: StandingState
    last_outcome: str | None


def occurrence(first_at: int, every: Every, number: int) -> int:
    """When the occurrence `number` (from 0) is due; ns since 1970.

    A month later is the same day of the month in UTC, or the month's last day where it is shorter; counted from the
    first, so that a 31st comes back to the 31st.
    """
    if every is not Every.MONTH:
        return first_at + number * (1 if every is Every.DAY else 7) * 86_400 * NANOSECONDS
    seconds, rest = divmod(first_at, NANOSECONDS)
    first = datetime.fromtimestamp(seconds, UTC)
    year, month = divmod(first.year * 12 + first.month - 1 + number, 12)
    day = min(first.day, calendar.monthrange(year, month + 1)[1])
    then = first.replace(year=year, month=month + 1, day=day)
    return (then - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * NANOSECONDS + rest


class StandingOrders:
    """Keeps standing orders and carries them out in the background."""

    def __init__(self, payments: Payments, clock: Clock) -> None:
        self.payments = payments
        self.store = payments.store
        self.clock = clock
        self._wake = asyncio.Event()
        self._stopping = False

    async def create(self, signed: SignedOrder) -> StandingOrder:
        """Keeps a standing order that the payer's device signed (`forms.StandingOrder`). A repeat answers the same."""
        form = forms.decode(signed.order, forms.StandingOrder)
        with await self.payments.parties.authorise(
            account_id=form.payer, device_id=signed.device, message=signed.order, signature=signed.signature, amount=0
        ):
            row = await self.store.read(lambda connection: _find(connection, form.id))
            if row is None:
                await self._check(form)
                values = self._values(form, signed)
                row = await self.store.write(lambda connection: _insert(connection, values))
            if row.order_bytes != signed.order:
                raise IdReused
        self._wake.set()
        return await self.find(form.id, form.payer)

    async def _check(self, form: forms.StandingOrder) -> None:
        rules, now_ms = self.payments.rules, self.clock.now_ns() // 1_000_000
        if form.origin != rules.origin or form.asset != rules.currency.code:
            raise WrongScheme
        if form.payer == form.payee:
            raise SamePayerAndPayee
        if not now_ms - 86_400_000 <= form.first_at_ms <= now_ms + YEARS_AHEAD_MAX * 366 * 86_400_000:
            raise Malformed("standing_order.first_at", f"must be from yesterday to {YEARS_AHEAD_MAX} years ahead")
        await self.payments.quote(payer=form.payer, payee=form.payee, amount=form.amount)

    def _values(self, form: forms.StandingOrder, signed: SignedOrder) -> dict[str, Any]:
        return {
            "id": form.id,
            "payer": form.payer,
            "payee": form.payee,
            "amount": form.amount,
            "max_fee": form.max_fee,
            "memo": form.memo,
            "every": str(form.every),
            "first_at": form.first_at_ms * 1_000_000,
            "count_max": form.count_max,
            "order_bytes": signed.order,
            "signature": signed.signature,
            "device": signed.device,
            "state": StandingState.ACTIVE,
            "next_number": 0,
            "next_at": form.first_at_ms * 1_000_000,
            "created_at": self.clock.now_ns(),
        }

    async def find(self, id: int, account: int) -> StandingOrder:
        """The standing order, for its payer."""
        found = [order for order in await self._read(standing_orders.c.id == id) if order.payer == account]
        if not found:
            raise NotFound("there is no standing order with this id")
        return found[0]

    async def of_account(self, account: int) -> list[StandingOrder]:
        """All standing orders that pay from `account`, oldest first."""
        return await self._read(standing_orders.c.payer == account)

    async def cancel(self, id: int, account: int) -> StandingOrder:
        """Ends a standing order. A repeat answers the same; one that has ended by itself is NotInThisState."""
        order = await self.find(id, account)
        if order.state is StandingState.ENDED:
            raise NotInThisState
        cancelled = update(standing_orders).where(standing_orders.c.id == id).values(state=StandingState.CANCELLED)
        await self.store.write(lambda connection: connection.execute(cancelled))
        return await self.find(id, account)

    async def _read(self, where: Any) -> list[StandingOrder]:
        def read(connection: Connection) -> list[StandingOrder]:
            rows = connection.execute(select(standing_orders).where(where).order_by(standing_orders.c.id)).all()
            return [_standing_order(connection, row) for row in rows]

        return await self.store.read(read)

    async def run(self) -> None:
        """Carries out what is due, until `stop()`."""
        while not self._stopping:
            self._wake.clear()
            if not await self.run_due():
                try:
                    async with asyncio.timeout(INTERVAL_S):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run_due(self) -> int:
        """Carries out one occurrence of each standing order that is due. Returns how many were decided."""
        now = self.clock.now_ns()
        due = select(standing_orders).where(standing_orders.c.state == StandingState.ACTIVE, standing_orders.c.next_at <= now)
        due = due.order_by(standing_orders.c.next_at).limit(DUE_MAX)
        rows = await self.store.read(lambda connection: connection.execute(due).all())
        return sum(await asyncio.gather(*(self._carry_out(row) for row in rows)))

    async def _carry_out(self, row: Row[Any]) -> bool:
        rules, payment = self.payments.rules, leg_id(row.id, row.next_number + 1)
        order = Order(
            origin=rules.origin,
            asset=rules.currency.code,
            payer=row.payer,
            payee=row.payee,
            amount=row.amount,
            max_fee=row.max_fee,
            id=payment,
            expiry_ms=MANDATE_EXPIRY_MS,
            rules_hash=bytes(32),
            memo=row.memo,
        )
        outcome = COMPLETED
        try:
            await self.payments.pay_under_mandate(order, Mandate(row.id, AuthorisationClass.SYSTEM))
        except Unavailable:
            return False
        except Refused as refusal:
            outcome = refusal.code
        await self.store.write(_advance(row, payment, outcome, self.clock.now_ns()))
        return True


def _advance(row: Row[Any], payment: int, outcome: str, now: int) -> Callable[[Connection], None]:
    """Records the occurrence and moves on to the next, in one step: nothing is done twice, nothing is left out."""
    number = row.next_number + 1
    ended = row.count_max and number >= row.count_max

    def advance(connection: Connection) -> None:
        now_at = connection.execute(select(standing_orders.c.next_number).where(standing_orders.c.id == row.id)).scalar_one()
        if now_at != row.next_number:
            return  # somebody else looked at the same time, and paid the same payment
        connection.execute(
            standing_runs.insert().values(standing_order=row.id, number=row.next_number, payment=payment, outcome=outcome, ran_at=now)
        )
        where = (standing_orders.c.id == row.id) & (standing_orders.c.state == StandingState.ACTIVE)
        values = {"next_number": number, "next_at": occurrence(row.first_at, Every(int(row.every)), number)}
        connection.execute(update(standing_orders).where(standing_orders.c.id == row.id).values(**values))
        if ended:
            connection.execute(update(standing_orders).where(where).values(state=StandingState.ENDED))

    return advance


def _find(connection: Connection, id: int) -> Row[Any] | None:
    return connection.execute(select(standing_orders).where(standing_orders.c.id == id)).first()


def _insert(connection: Connection, values: dict[str, Any]) -> Row[Any]:
    if (kept := _find(connection, values["id"])) is not None:
        return kept
    connection.execute(standing_orders.insert().values(**values))
    kept = _find(connection, values["id"])
    assert kept is not None, values["id"]
    return kept


def _standing_order(connection: Connection, row: Row[Any]) -> StandingOrder:
    last = select(standing_runs.c.outcome).where(standing_runs.c.standing_order == row.id)
    last = last.order_by(standing_runs.c.number.desc()).limit(1)
    return StandingOrder(
        id=row.id,
        payer=row.payer,
        payee=row.payee,
        amount=row.amount,
        max_fee=row.max_fee,
        every=Every(int(row.every)),
        first_at=row.first_at,
        next_at=row.next_at,
        done=row.next_number,
        count_max=row.count_max,
        memo=row.memo,
        state=StandingState(row.state),
        last_outcome=connection.execute(last).scalar(),
    )
