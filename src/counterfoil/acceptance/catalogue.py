"""The goods that a shop sells: a small list, the same on all its tills."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from counterfoil.acceptance.barcode import parse_barcode
from counterfoil.acceptance.tables import goods
from counterfoil.acceptance.tax import RATE_MAX
from counterfoil.acceptance.types import Goods
from counterfoil.clock import Clock
from counterfoil.errors import AlreadyTaken, IdReused, Malformed, TooLarge
from counterfoil.money import check_amount
from counterfoil.parties.numbers import parse_name
from counterfoil.store.database import Store

GOODS_MAX = 500
"""Goods of one account, hidden ones included."""
NAME_SIZE_MAX = 60
UNIT_SIZE_MAX = 16
DEPARTMENT_SIZE_MAX = 60
POSITION_MAX = 9_999
FIELDS = ("name", "price", "unit", "shown", "position", "barcode", "department", "tax")
"""All that goods have besides their id."""


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

    async def put(self, account: int, wanted: Goods, *, keep: Collection[str] = ()) -> Goods:
        """Adds goods, or changes them to exactly this; a repeat changes nothing. Sales keep the names, prices and rates they had.

        Fields in `keep` stay as they are where the goods are known already. Malformed, naming the field; AlreadyTaken for the
        barcode of other goods; IdReused for an id of another shop; TooLarge for the 501st.
        """
        wanted = checked(wanted)
        values = {field: getattr(wanted, field) for field in FIELDS} | {"changed_at": self.clock.now_ns()}

        def write(connection: Connection) -> Row[tuple[object, ...]]:
            kept = connection.execute(select(goods).where(goods.c.id == wanted.id)).first()
            if kept is not None and kept.account != account:
                raise IdReused
            changes = {field: value for field, value in values.items() if kept is None or field not in keep}
            if (barcode := changes.get("barcode")) and _has_barcode(connection, account, barcode, besides=wanted.id):
                raise AlreadyTaken("other goods have this barcode", barcode=barcode)
            if kept is not None:
                connection.execute(update(goods).where(goods.c.id == wanted.id).values(changes))
            elif connection.execute(select(func.count()).where(goods.c.account == account)).scalar_one() >= GOODS_MAX:
                raise TooLarge(f"there are {GOODS_MAX} goods already", goods_max=GOODS_MAX)
            else:
                connection.execute(insert(goods), changes | {"id": wanted.id, "account": account})
            return connection.execute(select(goods).where(goods.c.id == wanted.id)).one()

        kept = _goods(await self.store.write(write))
        self._tell(account)
        return kept


def checked(wanted: Goods) -> Goods:
    """`wanted` with its texts tidied, or Malformed, naming the field."""
    name = parse_name(wanted.name)
    if len(name) > NAME_SIZE_MAX:
        raise Malformed("name", f"must be at most {NAME_SIZE_MAX} characters")
    unit = parse_name(wanted.unit, "unit") if wanted.unit.strip() else ""
    if len(unit) > UNIT_SIZE_MAX:
        raise Malformed("unit", f"must be at most {UNIT_SIZE_MAX} characters")
    if not 0 <= wanted.position <= POSITION_MAX:
        raise Malformed("position", f"must be 0 to {POSITION_MAX}")
    check_amount(wanted.price, "price", minimum=0)
    barcode, department = parse_barcode(wanted.barcode), parse_department(wanted.department)
    if not 0 <= wanted.tax <= RATE_MAX:
        raise Malformed("tax", f"must be 0 to {RATE_MAX}")
    return msgspec.structs.replace(wanted, name=name, unit=unit, barcode=barcode, department=department)


def parse_department(text: str, field: str = "department") -> str:
    """The name of a department, "" for none. Malformed."""
    name = parse_name(text, field) if text.strip() else ""
    if len(name) > DEPARTMENT_SIZE_MAX:
        raise Malformed(field, f"must be at most {DEPARTMENT_SIZE_MAX} characters")
    return name


def _has_barcode(connection: Connection, account: int, barcode: str, *, besides: int) -> bool:
    query = select(goods.c.id).where(goods.c.account == account, goods.c.barcode == barcode, goods.c.id != besides)
    return connection.execute(query).first() is not None


def _goods(row: Row[tuple[object, ...]]) -> Goods:
    return Goods(id=row.id, **{field: getattr(row, field) for field in FIELDS})
