"""Sales: what a till asks for, who pays it, and what is done with it afterwards.

A sale's id is the id of its request to pay: the till makes it, keeps it and sends it as often as it must. The sale is kept
first, its request follows from it; whatever a crash leaves between the two is made good when the sale is next looked at.
A sale that was made without a network comes later, and finds the payment that names it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from weakref import WeakValueDictionary
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, Row, func, insert, select

from counterfoil.acceptance.baskets.tables import basket_parts
from counterfoil.acceptance.lines import checked, content_of, with_marks
from counterfoil.acceptance.refunds import check_lines, worth
from counterfoil.acceptance.standing import Standings
from counterfoil.acceptance.tables import sale_actions, sales
from counterfoil.acceptance.types import Back, Clerk, Line, Sale, SaleState, Standing, Till
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import IdReused, Malformed, NotFound, NotInThisState, Unavailable
from counterfoil.ids import id_text
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.journal import send_sms
from counterfoil.parties.numbers import parse_number
from counterfoil.parties.service import Parties
from counterfoil.payments import forms
from counterfoil.payments.hub import Hub, Told
from counterfoil.payments.orders import ORDER_LIFETIME_MAX_MS, Order, OrderKind, parse_memo
from counterfoil.payments.requests import Requests, is_known
from counterfoil.payments.service import MANDATE_EXPIRY_MS, Mandate, Payments
from counterfoil.payments.types import AuthorisationClass, Payment
from counterfoil.store.database import Store

PAGE_SIZE_MAX = 50
SALE_LIFETIME_S = 3600
"""An unpaid sale can be paid for this long."""
OFFLINE_AGE_S = 600
"""A sale that comes later than this was made without a network: a payer who had none either may still be on the way."""
OFFLINE_LIFETIME_S = ORDER_LIFETIME_MAX_MS // 1000
AHEAD_S_MAX = 300
"""How far a till's clock may go ahead of ours."""
SALE_CHANGED = "sale.changed"


class Sales:
    """Makes sales and does what clerks ask for. Whether a clerk may is the caller's to check."""

    def __init__(
        self,
        *,
        store: Store,
        parties: Parties,
        payments: Payments,
        requests: Requests,
        hub: Hub,
        clock: Clock,
        zone: ZoneInfo,
        region: str,
    ) -> None:
        self.store = store
        self.parties = parties
        self.payments = payments
        self.requests = requests
        self.hub = hub
        self.clock = clock
        self.zone = zone
        self.region = region
        self._refunding: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self.standings = Standings(store=store, payments=payments, requests=requests, clock=clock)

    def day_of(self, moment_ns: int) -> str:
        """The day, such as "2026-11-22", that a moment lies in where the scheme is."""
        return datetime.fromtimestamp(moment_ns // NANOSECONDS, UTC).astimezone(self.zone).date().isoformat()

    async def make(
        self, till: Till, clerk: int | None, *, id: int, lines: Sequence[Line], amount: int, hold: bool, made_at: int
    ) -> tuple[Sale, Standing]:
        """Keeps a sale and asks for its amount. A repeat answers the same; another sale under the same id is IdReused.

        A line that names no department or tax gets those of its goods, as they are when the sale is first kept.

        `made_at` (ns) may lie seven days back: a sale made without a network. Malformed names what is wrong; and as `check_asker`.
        """
        lines, now = checked(lines, amount), self.clock.now_ns()
        check_made_at(made_at, now)
        content = msgspec.json.encode([id_text(till.account), content_of(lines), amount, hold, made_at])
        expires_at = now + SALE_LIFETIME_S * NANOSECONDS
        if made_at < now - OFFLINE_AGE_S * NANOSECONDS:
            expires_at = max(expires_at, made_at + OFFLINE_LIFETIME_S * NANOSECONDS)
        values = {
            "id": id,
            "account": till.account,
            "till": till.id,
            "clerk": clerk,
            "day": self.day_of(made_at),
            "amount": amount,
            "hold": hold,
            "content_hash": hashlib.sha256(content).digest(),
            "slip_key": self.clock.random_bytes(16),
            "made_at": made_at,
            "created_at": now,
            "expires_at": expires_at // 1_000_000 * 1_000_000,
        }
        if await self.store.read(lambda connection: _find(connection, id)) is None:
            await self.check_asker(till.account, amount)

        def write(connection: Connection) -> tuple[Row[tuple[object, ...]], bool]:
            row = _find(connection, id)
            if row is not None:
                return row, False
            if is_known(connection, id):
                raise IdReused
            part = connection.execute(select(basket_parts.c.amount).where(basket_parts.c.id == id)).scalar()
            if part is not None and (part != amount or hold):
                raise IdReused
            numbers = select(func.coalesce(func.max(sales.c.number), 0)).where(
                sales.c.account == till.account, sales.c.day == values["day"]
            )
            kept = {"number": connection.execute(numbers).scalar_one() + 1}
            kept["lines"] = msgspec.json.encode(with_marks(connection, till.account, lines)).decode()
            connection.execute(insert(sales), values | kept)
            row = _find(connection, id)
            assert row is not None, id
            return row, True

        row, is_new = await self.store.write(write)
        if row.content_hash != values["content_hash"]:
            raise IdReused
        sale = _sale(row)
        standing = await self.standing(sale)
        if is_new:
            self.tell(sale)
        return sale, standing

    async def check_asker(self, account: int, amount: int) -> None:
        """Raises what refuses a sale over `amount` at this account now, before anything is kept for it.

        AccountFrozen, PartyClosed; PayeeCannotReceive and PayeeLimitExceeded when it could not take the money.
        """
        with await self.parties.admit(account_id=account, amount=0):
            self.parties.check_payee(await self.parties.holder(account), amount)

    async def standing(self, sale: Sale) -> Standing:
        """How it stands with a sale. Asks for its amount first where that was left undone."""
        return (await self.standing_of([sale]))[sale.id]

    async def standing_of(self, found: Sequence[Sale]) -> dict[int, Standing]:
        """As `standing`, for sales of one account at once, by id."""
        now = self.clock.now_ns()
        requests = await self.standings.requests_of(found)
        for sale in found:
            if sale.id not in requests and sale.expires_at > now:
                await self._ask(sale)
        return await self.standings.of(found)

    async def find(self, id: int, account: int) -> Sale:
        """A sale of the account, or NotFound."""
        row = await self.store.read(lambda connection: _find(connection, id))
        if row is None or row.account != account:
            raise NotFound("there is no sale with this id")
        return _sale(row)

    async def by_key(self, id: int, key: bytes) -> Sale:
        """A sale for whoever has the key of its slip, or NotFound."""
        row = await self.store.read(lambda connection: _find(connection, id))
        if row is None or row.slip_key != key:
            raise NotFound("there is no slip at this address")
        return _sale(row)

    async def of_day(self, account: int, day: str, *, before: int = 0, limit: int = PAGE_SIZE_MAX) -> list[Sale]:
        """Sales of a day, newest first by number; `before` is the number of the last one of the page before."""
        query = select(sales).where(sales.c.account == account, sales.c.day == day)
        if before:
            query = query.where(sales.c.number < before)
        query = query.order_by(sales.c.number.desc()).limit(min(limit, PAGE_SIZE_MAX))
        return await self.store.read(lambda connection: [_sale(row) for row in connection.execute(query)])

    async def known(self, ids: Sequence[int], account: int) -> dict[int, Sale]:
        """Those of `ids` that are sales of the account."""
        query = select(sales).where(sales.c.id.in_(sorted(set(ids))), sales.c.account == account)
        return await self.store.read(lambda connection: {row.id: _sale(row) for row in connection.execute(query)}) if ids else {}

    async def cancel(self, sale: Sale) -> Standing:
        """Nobody can pay it any more. NotInThisState when somebody has, or its time is over. A repeat changes nothing."""
        await self.standing(sale)
        await self.requests.cancel(sale.id, sale.account)
        self.tell(sale)
        return (await self.standings.of([sale]))[sale.id]

    async def take_back(self, sale: Sale) -> None:
        """Nobody can pay an open sale any more, unless somebody has already. Unavailable while somebody does: look again."""
        try:
            await self.cancel(sale)
        except NotInThisState:
            if (await self.standing(sale)).state is SaleState.OPEN:
                raise Unavailable from None

    async def refund(self, sale: Sale, till: Till, clerk: Clerk, *, id: int, amount: int, memo: str) -> Standing:
        """Gives back what was paid, in full or in part. A repeat gives back nothing more. As `Payments.pay`, and NotInThisState.

        What was paid for a part of a basket goes back by the basket alone.
        """
        await self._check_stands_alone(sale)
        standing = await self.standing(sale)
        if standing.original is None:
            raise NotInThisState("nothing was paid that could be given back")
        paid = standing.original
        order = self._order(id, paid.payee, paid.payer, amount, OrderKind.REFUND, paid.id, memo)
        return await self._do(sale, till, clerk, order)

    async def refund_lines(self, sale: Sale, till: Till, clerk: Clerk, *, id: int, lines: Sequence[Back], memo: str) -> Standing:
        """As `refund`, for what these lines cost. AboveOriginal for more of a line than was sold less what went back.

        NotInThisState where only a part of a hold was taken: no line has a price then.
        """
        await self._check_stands_alone(sale)
        amount = worth(sale.lines, lines)
        async with self._one_at_a_time(sale.id):
            standing = await self.standing(sale)
            paid = standing.original
            if paid is None:
                raise NotInThisState("nothing was paid that could be given back")
            if paid.amount != sale.amount:
                raise NotInThisState("only a part was taken: name an amount")
            order = self._order(id, paid.payee, paid.payer, amount, OrderKind.REFUND, paid.id, memo)
            return await self._do(sale, till, clerk, order, lines)

    async def give_back(self, paid: Payment, till: Till, *, id: int, amount: int, memo: str) -> None:
        """Carries out a refund of `paid` that was written down elsewhere. A repeat gives back nothing more. As `Payments.pay`."""
        assert till.token is not None, till.id
        order = self._order(id, paid.payee, paid.payer, amount, OrderKind.REFUND, paid.id, memo)
        await self.payments.pay_under_mandate(order, Mandate(till.token, AuthorisationClass.TOKEN))

    async def _check_stands_alone(self, sale: Sale) -> None:
        query = select(basket_parts.c.basket).where(basket_parts.c.id == sale.id)
        basket = await self.store.read(lambda connection: connection.execute(query).scalar())
        if basket is not None:
            raise NotInThisState("it is a part of a basket, which is refunded as a whole", basket=id_text(basket))

    def _one_at_a_time(self, sale: int) -> asyncio.Lock:
        """Held from the look at what went back of a sale's lines until the refund is known: nobody else writes this store."""
        return self._refunding.setdefault(sale, asyncio.Lock())

    async def capture(self, sale: Sale, till: Till, clerk: Clerk | None, *, id: int, amount: int) -> Standing:
        """Takes held money; the rest goes back to the payer. A repeat takes nothing more. As `Payments.pay`, and NotInThisState.

        Without a clerk the till does it by itself, as a gate does.
        """
        return await self._end_hold(sale, till, clerk, id, amount, OrderKind.CAPTURE)

    async def release(self, sale: Sale, till: Till, clerk: Clerk | None, *, id: int) -> Standing:
        """Gives all held money back. As `capture`."""
        return await self._end_hold(sale, till, clerk, id, None, OrderKind.RELEASE)

    async def send_slip(self, sale: Sale, number: str | None, link: str, *, shop: str, amount: str) -> str:
        """Puts a text message with the slip's address into the outbox; returns the number. NotInThisState before it was paid.

        Without `number` it goes to the payer's; Malformed when that has none.
        """
        standing = await self.standing(sale)
        if standing.payment is None:
            raise NotInThisState("there is no slip before it was paid")
        if number is None:
            number = (await self.parties.holder(standing.payment.payer)).number
            if number is None:
                raise Malformed("number", "is needed: the payer has none")
        else:
            number = parse_number(number, self.region)
        to = number
        await self.store.write(
            lambda connection: send_sms(connection, self.clock, to, "slip", shop=shop, amount=amount, link=link, sale=id_text(sale.id))
        )
        return to

    # Parts

    async def _ask(self, sale: Sale) -> None:
        form = forms.RequestToPay(
            origin=self.payments.rules.origin,
            asset=self.payments.rules.currency.code,
            payee=sale.account,
            payer=0,
            amount=sale.amount,
            id=sale.id,
            expiry_ms=sale.expires_at // 1_000_000,
            purpose=forms.Purpose.HOLD if sale.hold else forms.Purpose.PAY,
            memo="",
        )
        await self.requests.create_under_mandate(form)

    async def _end_hold(self, sale: Sale, till: Till, clerk: Clerk | None, id: int, amount: int | None, kind: OrderKind) -> Standing:
        standing = await self.standing(sale)
        hold = standing.payment
        if hold is None or hold.kind is not OrderKind.HOLD:
            raise NotInThisState("nothing is held for this sale")
        return await self._do(
            sale, till, clerk, self._order(id, hold.payer, hold.payee, hold.amount if amount is None else amount, kind, hold.id, "")
        )

    def _order(self, id: int, payer: int, payee: int, amount: int, kind: OrderKind, reference: int, memo: str) -> Order:
        return Order(
            origin=self.payments.rules.origin,
            asset=self.payments.rules.currency.code,
            payer=payer,
            payee=payee,
            amount=amount,
            max_fee=AMOUNT_MAX,
            id=id,
            expiry_ms=MANDATE_EXPIRY_MS,
            rules_hash=bytes(32),
            kind=kind,
            reference=reference,
            memo=parse_memo(memo.encode(), "memo"),
        )

    async def _do(self, sale: Sale, till: Till, clerk: Clerk | None, order: Order, lines: Sequence[Back] = ()) -> Standing:
        """Writes down who does it, and to which lines, then does it."""
        assert till.token is not None, till.id
        kind = order.kind.name.lower()
        values = {"payment": order.id, "sale": sale.id, "kind": kind, "amount": order.amount, "memo": order.memo}
        values["lines"] = msgspec.json.encode(lines).decode() if lines else None
        more = {"clerk": None if clerk is None else clerk.id, "till": till.id, "at": self.clock.now_ns()}

        def write(connection: Connection) -> None:
            kept = connection.execute(select(sale_actions).where(sale_actions.c.payment == order.id)).first()
            if kept is None:
                connection.execute(insert(sale_actions), values | more)
            elif any(getattr(kept, name) != value for name, value in values.items()):
                raise IdReused
            if lines:
                check_lines(connection, sale, lines, original=order.reference, refund=order.id)

        await self.store.write(write)
        await self.payments.pay_under_mandate(order, Mandate(till.token, AuthorisationClass.TOKEN))
        self.tell(sale)
        return (await self.standings.of([sale]))[sale.id]

    def tell(self, sale: Sale) -> None:
        """The shop's tills hear that a sale has changed."""
        self.hub.publish(sale.account, Told(SALE_CHANGED, self.clock.now_ns(), {"sale": id_text(sale.id)}))


def is_final(state: SaleState) -> bool:
    """Whether nobody can pay or capture any more."""
    return state not in (SaleState.OPEN, SaleState.HELD)


def check_made_at(moment: int, now: int, field: str = "made_at") -> None:
    """Raises Malformed for a moment (ns) that nothing made at a till without a network can have: older than 7 days, or to come."""
    if not now - OFFLINE_LIFETIME_S * NANOSECONDS < moment <= now + AHEAD_S_MAX * NANOSECONDS:
        raise Malformed(field, "must be within the last 7 days, and not in the future")


def _find(connection: Connection, id: int) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(sales).where(sales.c.id == id)).first()


def _sale(row: Row[tuple[object, ...]]) -> Sale:
    return Sale(
        id=row.id,
        account=row.account,
        till=row.till,
        clerk=row.clerk,
        day=row.day,
        number=row.number,
        lines=msgspec.json.decode(row.lines, type=list[Line]),
        amount=row.amount,
        hold=row.hold,
        slip_key=row.slip_key,
        made_at=row.made_at,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
