"""The goods that a shop sells: a small list, the same on all its tills."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from counterfoil.acceptance.goods.barcode import parse_barcode
from counterfoil.acceptance.goods.rules import FIELDS, GOODS_MAX, OFF_TILL, TILL_GOODS_MAX, checked
from counterfoil.acceptance.tables import goods
from counterfoil.acceptance.types import Goods
from counterfoil.clock import Clock
from counterfoil.errors import AlreadyTaken, IdReused, Malformed, TooLarge
from counterfoil.store.database import Store

PAGE_SIZE_MAX = 500
_ON_TILL = or_(goods.c.shown, goods.c.position != OFF_TILL)


class Catalogue:
    """Lists and changes goods. `tell` hears of each account whose goods changed."""

    def __init__(self, *, store: Store, clock: Clock, tell: Callable[[int], None]) -> None:
        self.store = store
        self.clock = clock
        self._tell = tell

    async def list(self, account: int) -> list[Goods]:
        """The goods that the account's tills list, hidden ones too, in the order of the grid."""
        query = select(goods).where(goods.c.account == account, _ON_TILL).order_by(goods.c.position, goods.c.name, goods.c.id)
        return await self.store.read(lambda connection: [_goods(row) for row in connection.execute(query)])

    async def page(self, account: int, *, after: int = 0, limit: int = PAGE_SIZE_MAX) -> Sequence[Goods]:
        """All goods of the account by id, those behind `after`."""
        return await self.store.read(lambda connection: goods_of(connection, account, after=after, limit=min(limit, PAGE_SIZE_MAX)))

    async def by_barcode(self, account: int, barcode: str) -> Goods | None:
        """The goods of the account with this barcode, in whatever form a scanner sends it. Malformed for what is no barcode."""
        wanted = parse_barcode(barcode)
        if not wanted:
            raise Malformed("barcode", "must not be empty")
        query = select(goods).where(goods.c.account == account, goods.c.barcode == wanted)
        row = await self.store.read(lambda connection: connection.execute(query).first())
        return None if row is None else _goods(row)

    async def put(self, account: int, wanted: Goods, *, keep: Collection[str] = ()) -> Goods:
        """Adds goods, or changes them to exactly this; a repeat changes nothing. Sales keep the names, prices and rates they had.

        Fields in `keep` stay as they are where the goods are known already. Malformed, naming the field; AlreadyTaken for the
        barcode of other goods; IdReused for an id of another shop; TooLarge above GOODS_MAX, and above TILL_GOODS_MAX on the tills.
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
            _check_room(connection, account, wanted, is_new=kept is None)
            if kept is not None:
                connection.execute(update(goods).where(goods.c.id == wanted.id).values(changes))
            else:
                connection.execute(insert(goods), changes | {"id": wanted.id, "account": account})
            return connection.execute(select(goods).where(goods.c.id == wanted.id)).one()

        kept = _goods(await self.store.write(write))
        self._tell(account)
        return kept


def goods_of(connection: Connection, account: int, *, after: int = 0, limit: int = GOODS_MAX) -> list[Goods]:
    """Goods of the account by id, in the caller's transaction."""
    query = select(goods).where(goods.c.account == account, goods.c.id > after).order_by(goods.c.id).limit(limit)
    return [_goods(row) for row in connection.execute(query)]


def _check_room(connection: Connection, account: int, wanted: Goods, *, is_new: bool) -> None:
    others = select(func.count()).where(goods.c.account == account, goods.c.id != wanted.id)
    if is_new and connection.execute(others).scalar_one() >= GOODS_MAX:
        raise TooLarge(f"there are {GOODS_MAX} goods already", goods_max=GOODS_MAX)
    on_till = wanted.shown or wanted.position != OFF_TILL
    if on_till and connection.execute(others.where(_ON_TILL)).scalar_one() >= TILL_GOODS_MAX:
        raise TooLarge(f"the tills list {TILL_GOODS_MAX} goods already", goods_max=TILL_GOODS_MAX)


def _has_barcode(connection: Connection, account: int, barcode: str, *, besides: int) -> bool:
    query = select(goods.c.id).where(goods.c.account == account, goods.c.barcode == barcode, goods.c.id != besides)
    return connection.execute(query).first() is not None


def _goods(row: Row[tuple[object, ...]]) -> Goods:
    return Goods(id=row.id, **{field: getattr(row, field) for field in FIELDS})
