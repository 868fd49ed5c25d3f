"""Baskets that several people, or several means, pay together.

    make ──> open ── parts are asked for, paid, taken back, asked for anew ──> paid whole ── refund ──> refunded in part, refunded
               └── give up: nobody can pay any more, and all that was paid goes back ──> cancelled, refunded

Each part is a sale of its own, so it is paid once, by whatever means a sale can be; lines, tax and total belong to the basket. What is
asked for never exceeds what is left: a part leaves its amount to others only when its request was withdrawn in the same transaction
that writes this down. What goes back goes to the parts in their order, never more to one than it paid. All legs of a giving back are
written before the first is carried out; whoever looks next, or the server at its start, carries out what a crash has left undone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from counterfoil.acceptance.baskets.rules import amounts_of, legs_of
from counterfoil.acceptance.baskets.tables import basket_legs, basket_parts, basket_refunds, baskets, unfinished
from counterfoil.acceptance.baskets.types import Basket, Giving, Leg, Part, Parted, is_over
from counterfoil.acceptance.lines import checked, content_of, with_marks
from counterfoil.acceptance.refunds import worth
from counterfoil.acceptance.sales import SALE_LIFETIME_S, Sales
from counterfoil.acceptance.standing import lines_back
from counterfoil.acceptance.tables import sale_actions
from counterfoil.acceptance.tables import sales as sales_table
from counterfoil.acceptance.tills import Tills
from counterfoil.acceptance.types import Back, Clerk, Line, Till
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import (
    AboveOriginal,
    CounterfoilError,
    IdReused,
    Malformed,
    NotFound,
    NotInThisState,
    Refused,
    TooLarge,
    Unavailable,
    refusal_by_code,
)
from counterfoil.ids import id_text, new_id
from counterfoil.money import check_amount
from counterfoil.payments import records
from counterfoil.payments.orders import parse_memo
from counterfoil.payments.requests import is_known, withdraw
from counterfoil.payments.types import Payment

PARTS_MAX: Final = 50
"""Parts of one basket, those that nobody paid included."""
PAGE_SIZE_MAX: Final = 20
UNFINISHED_MAX: Final = 100
"""Baskets that one round of the server looks after."""


class Baskets:
    """Makes baskets, asks for their parts, gives back. Whether a clerk may is the caller's to check."""

    def __init__(self, *, sales: Sales, tills: Tills) -> None:
        self.sales = sales
        self.tills = tills
        self.store = sales.store
        self.clock = sales.clock
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def make(self, till: Till, clerk: Clerk, *, id: int, lines: Sequence[Line], amount: int) -> Parted:
        """Keeps a basket; nobody is asked to pay yet. A repeat answers the same. Refusals: Malformed, IdReused, as `Sales.check_asker`."""
        lines = checked(lines, amount)
        content = msgspec.json.encode([id_text(till.account), content_of(lines), amount])
        values: dict[str, Any] = {
            "id": id, "account": till.account, "till": till.id, "clerk": clerk.id, "amount": amount, "unfinished": False,
            "content_hash": hashlib.sha256(content).digest(), "created_at": self.clock.now_ns(),
        }  # fmt: skip
        if await self.store.read(lambda connection: _find(connection, id)) is None:
            await self.sales.check_asker(till.account, amount)

        def write(connection: Connection) -> Row[Any]:
            if (row := _find(connection, id)) is None:
                kept = msgspec.json.encode(with_marks(connection, till.account, lines)).decode()
                connection.execute(insert(baskets), values | {"lines": kept})
                row = _find(connection, id)
            assert row is not None, id
            return row

        row = await self.store.write(write)
        if row.content_hash != values["content_hash"]:
            raise IdReused
        return await self.look(_basket(row))

    async def find(self, id: int, account: int) -> Basket:
        """A basket of the account, or NotFound."""
        row = await self.store.read(lambda connection: _find(connection, id))
        if row is None or row.account != account:
            raise NotFound("there is no basket with this id")
        return _basket(row)

    async def of_account(self, account: int, *, before: int = 0, limit: int = PAGE_SIZE_MAX) -> list[Basket]:
        """Baskets of an account, newest first by id; `before` is the last id of the page before."""
        query = select(baskets).where(baskets.c.account == account)
        query = (query.where(baskets.c.id < before) if before else query).order_by(baskets.c.id.desc()).limit(min(limit, PAGE_SIZE_MAX))
        return await self.store.read(lambda connection: [_basket(row) for row in connection.execute(query)])

    async def of_part(self, sale: int) -> Basket | None:
        """The basket that a sale is a part of; None for a sale that stands alone."""
        query = select(baskets).join(basket_parts, basket_parts.c.basket == baskets.c.id).where(basket_parts.c.id == sale)
        row = await self.store.read(lambda connection: connection.execute(query).first())
        return None if row is None else _basket(row)

    async def parts_among(self, sales: Sequence[int]) -> set[int]:
        """Those of a page of sales that are parts of baskets."""
        query = select(basket_parts.c.id).where(basket_parts.c.id.in_(sales))
        return await self.store.read(lambda connection: set(connection.execute(query).scalars())) if sales else set()

    async def look(self, basket: Basket) -> Parted:
        """How it stands with a basket, after what was left undone is done, if that can be."""
        parted = await self._read(basket)
        if not self._is_settled(parted):
            async with self._one_at_a_time(basket.id):
                try:
                    parted = await self._settle(basket)
                except (Refused, Unavailable):
                    parted = await self._read(basket)
        return parted

    async def ask(self, basket: Basket, till: Till, clerk: Clerk, *, parts: Sequence[tuple[int, int]]) -> Parted:
        """Asks for new parts, each an id and an amount; those with 0 share what is left evenly. A repeat asks for nothing more.

        Refusals: Malformed where they exceed what is left, NotInThisState, IdReused, TooLarge; and as `Sales.make`.
        """
        if not parts or len({part for part, _ in parts}) != len(parts):
            raise Malformed("parts", "must be named, each with an id of its own")
        for number, (_, said) in enumerate(parts):
            check_amount(said, f"parts[{number}].amount", minimum=0)
        now, ids = self.clock.now_ns(), [part for part, _ in parts]

        def write(connection: Connection) -> None:
            known = {
                row.id: (row.id, row.said, row.basket) for row in connection.execute(select(basket_parts).where(basket_parts.c.id.in_(ids)))
            }
            if known:
                if [known.get(part) for part in ids] != [(part, said, basket.id) for part, said in parts]:
                    raise IdReused
                return
            if _found(connection, basket.id).given_up_by is not None:
                raise NotInThisState("it was given up")
            before = _parts(connection, basket.id)
            if len(before) + len(parts) > PARTS_MAX:
                raise TooLarge(f"a basket has at most {PARTS_MAX} parts", parts_max=PARTS_MAX)
            taken = connection.execute(select(sales_table.c.id).where(sales_table.c.id.in_(ids))).first()
            if taken is not None or any(is_known(connection, part) for part in ids):
                raise IdReused
            left = basket.amount - sum(part.amount for part in before if part.ended is None)
            if not left:
                raise NotInThisState("all of it is paid, or asked for")
            amounts = amounts_of([said for _, said in parts], left)
            for number, ((part, said), amount) in enumerate(zip(parts, amounts, strict=True), len(before) + 1):
                values = {"id": part, "basket": basket.id, "number": number, "said": said, "amount": amount, "asked_at": now}
                connection.execute(insert(basket_parts), values | {"clerk": clerk.id, "till": till.id})

        async with self._one_at_a_time(basket.id):
            await self._settle(basket)
            await self.store.write(write)
            return await self._settle(basket)

    async def give_up(self, basket: Basket, till: Till, clerk: Clerk, *, id: int) -> Parted:
        """Ends a basket that is not paid whole: nobody can pay any more, and all that was paid goes back, once. A repeat goes on with it.

        NotInThisState for one that was paid whole, or given up by another id. Unavailable while somebody pays: repeat it. And as `refund`.
        """

        def write(connection: Connection) -> None:
            now = _found(connection, basket.id)
            if now.given_up_by not in (None, id):
                raise NotInThisState("it was given up already")
            if now.given_up_by is None:
                if connection.execute(select(basket_refunds.c.id).where(basket_refunds.c.id == id)).first() is not None:
                    raise IdReused
                if connection.execute(select(baskets.c.id).where(baskets.c.given_up_by == id)).first() is not None:
                    raise IdReused
                ended = {"given_up_by": id, "given_up_clerk": clerk.id, "given_up_till": till.id, "unfinished": True}
                connection.execute(update(baskets).where(baskets.c.id == basket.id).values(ended))

        async with self._one_at_a_time(basket.id):
            parted = await self._settle(basket)
            if parted.is_paid and parted.basket.given_up_by is None:
                raise NotInThisState("it was paid whole: refund it")
            await self.store.write(write)
            return _without_refusal(await self._settle(basket), id)

    async def refund(
        self,
        basket: Basket,
        till: Till,
        clerk: Clerk,
        *,
        id: int,
        amount: int = 0,
        lines: Sequence[Back] = (),
        part: int = 0,
        memo: str = "",
    ) -> Parted:
        """Gives back `amount`, or what `lines` cost, or without both all that is left: to the parts in their order, or to one `part`.

        A repeat gives back nothing more. Refusals: Malformed, NotInThisState before it was paid whole (unless it was given up),
        AboveOriginal, IdReused; and what refuses the refund of a payment, such as InsufficientFunds: it stands then what went back to
        other parts, and the rest is given back with a new id.
        """
        wanted = worth(basket.lines, lines) if lines else amount
        memo = parse_memo(memo.encode(), "memo")
        content = msgspec.json.encode([id_text(basket.id), wanted, lines, id_text(part) if part else None, memo])
        values: dict[str, Any] = {
            "id": id, "basket": basket.id, "content_hash": hashlib.sha256(content).digest(), "memo": memo, "till": till.id,
            "lines": msgspec.json.encode(lines).decode() if lines else None, "begun_at": self.clock.now_ns(),
        }  # fmt: skip

        async with self._one_at_a_time(basket.id):
            parted = await self._settle(basket)

            def write(connection: Connection) -> None:
                kept = connection.execute(select(basket_refunds).where(basket_refunds.c.id == id)).first()
                if kept is not None:
                    if kept.content_hash != values["content_hash"]:
                        raise IdReused
                    return
                if connection.execute(select(baskets.c.id).where(baskets.c.given_up_by == id)).first() is not None:
                    raise IdReused
                if _found(connection, basket.id).unfinished:
                    raise Unavailable("something is being given back: ask again")
                given_up = parted.basket.given_up_by is not None
                if not (parted.is_paid or given_up) or (lines and given_up):
                    raise NotInThisState("it was not paid whole")
                if lines:
                    _check_lines(basket, givings_of(connection, [basket.id]).get(basket.id, ()), lines)
                if not self._begin(connection, parted, values, clerk.id, wanted, part):
                    raise NotInThisState("nothing is left to give back")

            await self.store.write(write)
            return _without_refusal(await self._settle(basket), id)

    async def resume(self) -> int:
        """Goes on with what was begun and not finished; how many baskets are finished now."""
        query = select(baskets).where(unfinished).order_by(baskets.c.id).limit(UNFINISHED_MAX)
        found = await self.store.read(lambda connection: [_basket(row) for row in connection.execute(query)])
        done = 0
        for basket in found:
            try:
                async with self._one_at_a_time(basket.id):
                    done += not (await self._settle(basket)).basket.unfinished
            except CounterfoilError:
                continue
        return done

    # Parts

    def _one_at_a_time(self, basket: int) -> asyncio.Lock:
        """Held from the look at a basket until what follows from it is known: nobody else writes this store."""
        return self._locks.setdefault(basket, asyncio.Lock())

    async def _read(self, basket: Basket) -> Parted:
        def read(connection: Connection) -> tuple[Basket, list[Part], list[Giving]]:
            return _found(connection, basket.id), _parts(connection, basket.id), givings_of(connection, [basket.id]).get(basket.id, [])

        basket, parts, givings = await self.store.read(read)
        known = await self.sales.known([part.id for part in parts], basket.account)
        standings = await self.sales.standing_of(list(known.values()))
        sales = {sale.id: (sale, standings[sale.id]) for sale in known.values()}
        return Parted(basket=basket, parts=parts, sales=sales, givings=givings)

    def _is_settled(self, parted: Parted) -> bool:
        return not parted.basket.unfinished and not any(self._is_undone(parted, part) for part in parted.parts)

    @staticmethod
    def _is_undone(parted: Parted, part: Part) -> bool:
        standing = parted.standing(part)
        return part.ended is None and (standing is None or is_over(standing))

    async def _settle(self, basket: Basket) -> Parted:
        """Does what was left undone, and tells how it stands then. What cannot be done now is raised, or stays `unfinished`."""
        parted = await self._read(basket)
        if self._is_settled(parted):
            return parted
        over = self.clock.now_ns() - SALE_LIFETIME_S * NANOSECONDS
        for part in parted.parts:
            if part.ended is not None:
                continue
            standing = parted.standing(part)
            if standing is None and (parted.basket.given_up_by is not None or part.asked_at <= over):
                await self._end(parted.basket, part, "cancelled")  # nobody has seen it
            elif standing is None:
                await self._make(parted.basket, part)
            elif is_over(standing):
                await self._end(parted.basket, part, "expired" if standing.state == "expired" else "cancelled")
            elif parted.basket.given_up_by is not None and standing.original is None:
                await self._end(parted.basket, part, "cancelled")
        if parted.basket.unfinished:
            await self._finish(await self._read(basket))
        return await self._read(basket)

    async def _make(self, basket: Basket, part: Part) -> None:
        """The sale that asks for a part. One that is refused before it was kept is asked for never more."""
        till, line = await self.tills.find(part.till), Line("", part.amount, 1)
        try:
            await self.sales.make(till, part.clerk, id=part.id, lines=[line], amount=part.amount, hold=False, made_at=part.asked_at)
        except Refused:
            if not await self.sales.known([part.id], basket.account):
                await self._end(basket, part, "cancelled")
            raise

    async def _end(self, basket: Basket, part: Part, why: str) -> None:
        """From now on nobody can pay it. Unavailable where somebody does at this moment."""

        def write(connection: Connection) -> bool:
            if not withdraw(connection, part.id):
                return False
            connection.execute(update(basket_parts).where(basket_parts.c.id == part.id).values(ended=why))
            return True

        if not await self.store.write(write):
            raise Unavailable("somebody is paying: ask again")
        for sale in (await self.sales.known([part.id], basket.account)).values():
            self.sales.tell(sale)

    def _begin(self, connection: Connection, parted: Parted, values: dict[str, Any], clerk: int | None, wanted: int, part: int) -> bool:
        """Writes a giving back down with its legs; False where nothing is left to give."""
        paid = [(each, standing.original) for each, standing in parted.paid_parts if standing.original is not None]
        if part:
            paid = [(each, original) for each, original in paid if each.id == part]
            if not paid:
                raise Malformed("part", "must be a part that was paid")
        left = [each.amount - records.refunded_amount(connection, original.id) for each, original in paid]
        legs = legs_of(wanted or sum(left), left)
        if not any(legs):
            return False
        connection.execute(insert(basket_refunds), values)
        for number, ((each, _), amount) in enumerate(zip(paid, legs, strict=True)):
            if amount:
                leg = {"payment": new_id(self.clock), "refund": values["id"], "number": number, "part": each.id, "amount": amount}
                connection.execute(insert(basket_legs), leg)
                action = {"payment": leg["payment"], "sale": each.id, "kind": "refund", "amount": amount, "memo": values["memo"]}
                action |= {"clerk": clerk, "till": values["till"], "at": values["begun_at"]}
                connection.execute(insert(sale_actions), action)
        connection.execute(update(baskets).where(baskets.c.id == parted.basket.id).values(unfinished=True))
        return True

    async def _finish(self, parted: Parted) -> None:
        """Gives back what was begun; what a basket was given up for is begun here, once nobody can pay any more."""
        basket = parted.basket
        if basket.given_up_by is not None and basket.given_up_by not in {giving.id for giving in parted.givings}:
            values: dict[str, Any] = {
                "id": basket.given_up_by, "basket": basket.id, "content_hash": bytes(32), "memo": "", "till": basket.given_up_till,
                "lines": None, "begun_at": self.clock.now_ns(),
            }  # fmt: skip
            now = parted
            await self.store.write(lambda connection: self._begin(connection, now, values, basket.given_up_clerk, 0, 0))
            parted = await self._read(basket)
        originals = {part.id: standing.original for part, standing in parted.paid_parts}
        for giving in parted.givings:
            till = await self.tills.find(giving.till)
            for leg in giving.legs:
                if leg.refusal is None and not parted.is_done(leg):
                    original = originals[leg.part]
                    assert original is not None, leg.part
                    await self._give(leg, original, till, giving.memo)
        await self.store.write(
            lambda connection: connection.execute(update(baskets).where(baskets.c.id == basket.id).values(unfinished=False))
        )

    async def _give(self, leg: Leg, original: Payment, till: Till, memo: str) -> None:
        """Carries a leg out. What refuses it for good is written down: then it is never tried again."""
        try:
            await self.sales.give_back(original, till, id=leg.payment, amount=leg.amount, memo=memo)
        except Refused as refusal:
            code = refusal.code

            def write(connection: Connection) -> bool:
                if leg.payment in {answer.id for answer in records.answers_to(connection, original.id)}:
                    return False  # it was kept, and may still be carried out
                connection.execute(update(basket_legs).where(basket_legs.c.payment == leg.payment).values(refusal=code))
                return True

            if not await self.store.write(write):
                raise Unavailable from None


def givings_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Giving]]:
    """What was begun to be given back of each of these baskets, oldest first."""
    legs: dict[int, list[Leg]] = {}
    query = select(basket_legs).join(basket_refunds, basket_legs.c.refund == basket_refunds.c.id).where(basket_refunds.c.basket.in_(ids))
    for row in connection.execute(query.order_by(basket_legs.c.number)):
        legs.setdefault(row.refund, []).append(Leg(row.payment, row.part, row.amount, row.refusal))
    found: dict[int, list[Giving]] = {}
    query = select(basket_refunds).where(basket_refunds.c.basket.in_(ids)).order_by(basket_refunds.c.begun_at, basket_refunds.c.id)
    for row in connection.execute(query):
        giving = Giving(
            id=row.id, content_hash=row.content_hash, memo=row.memo, lines=lines_back(row.lines), till=row.till,
            begun_at=row.begun_at, legs=tuple(legs[row.id]),
        )  # fmt: skip
        found.setdefault(row.basket, []).append(giving)
    return found


def _check_lines(basket: Basket, givings: Sequence[Giving], lines: Sequence[Back]) -> None:
    """Raises AboveOriginal when more of a line would go back than was sold. A giving back counts unless all of it was refused."""
    for each in lines:
        back = sum(
            line.quantity
            for giving in givings
            if not all(leg.refusal for leg in giving.legs)
            for line in giving.lines
            if line.line == each.line
        )
        left = basket.lines[each.line].quantity - back
        if each.quantity > left:
            raise AboveOriginal(f"of line {each.line}, {left} are left", line=each.line, left=left)


def _without_refusal(parted: Parted, id: int) -> Parted:
    """`parted`, unless a leg of this giving back was refused."""
    for giving in parted.givings:
        for leg in giving.legs:
            if giving.id == id and leg.refusal is not None:
                raise refusal_by_code(leg.refusal, {"refusal": leg.refusal})
    return parted


def _find(connection: Connection, id: int) -> Row[Any] | None:
    return connection.execute(select(baskets).where(baskets.c.id == id)).first()


def _found(connection: Connection, id: int) -> Basket:
    row = _find(connection, id)
    assert row is not None, id
    return _basket(row)


def _parts(connection: Connection, basket: int) -> list[Part]:
    query = select(basket_parts).where(basket_parts.c.basket == basket).order_by(basket_parts.c.number)
    return [part_of(row) for row in connection.execute(query)]


def part_of(row: Row[Any]) -> Part:
    """A row of `basket_parts`, as a value."""
    return Part(
        id=row.id, number=row.number, said=row.said, amount=row.amount, clerk=row.clerk, till=row.till, asked_at=row.asked_at,
        ended=row.ended,
    )  # fmt: skip


def _basket(row: Row[Any]) -> Basket:
    return Basket(
        id=row.id, account=row.account, till=row.till, clerk=row.clerk, lines=msgspec.json.decode(row.lines, type=list[Line]),
        amount=row.amount, created_at=row.created_at, given_up_by=row.given_up_by, given_up_clerk=row.given_up_clerk,
        given_up_till=row.given_up_till, unfinished=row.unfinished,
    )  # fmt: skip
