"""The goods that a shop sells: a small list, the same on all its tills."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Row, func, insert, select, update

from counterfoil.acceptance.tables import goods
from counterfoil.acceptance.types import Goods
from counterfoil.clock import Clock
from counterfoil.errors import IdReused, Malformed, TooLarge
from counterfoil.money import check_amount
from counterfoil.parties.numbers import parse_name
from counterfoil.store.database import Store

GOODS_MAX = 500
"""Goods of one account, hidden ones included."""
NAME_SIZE_MAX = 60
UNIT_SIZE_MAX = 16
POSITION_MAX = 9_999


class Catalogue:
    """Lists and changes goods. `tell` hears of each account whose goods changed."""

    def __init__(self, *, store: Store, clock: Clock, tell: Callable[[int], None]) -> None:
        self.store = store
        self.clock = clock
        self._tell = tell

    async def list(self, account: int) -> list[Goods]:
        """All goods of an account, hidden ones too, in the order of the grid."""
        query = select(goods).where(goods.c.account == account).order_by(goods.c.position, goods.c.name, goods.c.id)
        return await self.store.read(lambda connection: [_goods(row) for row in connection.execute(query)])

    async def put(self, account: int, wanted: Goods) -> Goods:
        """Adds goods, or changes them to exactly this; a repeat changes nothing. Sales keep the names and prices they had.

        Malformed, naming the field; IdReused for an id of another shop; TooLarge for the 501st.
        """
        name = parse_name(wanted.name)
        if len(name) > NAME_SIZE_MAX:
            raise Malformed("name", f"must be at most {NAME_SIZE_MAX} characters")
        unit = parse_name(wanted.unit, "unit") if wanted.unit.strip() else ""
        if len(unit) > UNIT_SIZE_MAX:
            raise Malformed("unit", f"must be at most {UNIT_SIZE_MAX} characters")
        if not 0 <= wanted.position <= POSITION_MAX:
            raise Malformed("position", f"must be 0 to {POSITION_MAX}")
        check_amount(wanted.price, "price", minimum=0)
        values = {"name": name, "price": wanted.price, "unit": unit, "shown": wanted.shown, "position": wanted.position}
        values["changed_at"] = self.clock.now_ns()

        def write(connection: Connection) -> Row[tuple[object, ...]]:
            kept = connection.execute(select(goods).where(goods.c.id == wanted.id)).first()
            if kept is None:
                if connection.execute(select(func.count()).where(goods.c.account == account)).scalar_one() >= GOODS_MAX:
                    raise TooLarge(f"there are {GOODS_MAX} goods already", goods_max=GOODS_MAX)
                connection.execute(insert(goods), values | {"id": wanted.id, "account": account})
            elif kept.account != account:
                raise IdReused
            else:
                connection.execute(update(goods).where(goods.c.id == wanted.id).values(values))
            return connection.execute(select(goods).where(goods.c.id == wanted.id)).one()

        kept = _goods(await self.store.write(write))
        self._tell(account)
        return kept


def _goods(row: Row[tuple[object, ...]]) -> Goods:
    return Goods(id=row.id, name=row.name, price=row.price, unit=row.unit, shown=row.shown, position=row.position)
