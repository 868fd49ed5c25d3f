"""Pumps: their number, what they give, and at which price. A fill keeps the price that it was asked for under."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from counterfoil.acceptance.fuel.pump import PRICE_MAX
from counterfoil.acceptance.fuel.tables import pumps
from counterfoil.clock import Clock
from counterfoil.errors import AlreadyTaken, IdReused, Malformed, NotFound, TooLarge
from counterfoil.money import check_amount
from counterfoil.parties.numbers import parse_name
from counterfoil.store.database import Store

PUMPS_MAX: Final = 100
"""Pumps of one account."""
NUMBER_MAX: Final = 999
PRODUCTS_MAX: Final = 10
NAME_SIZE_MAX: Final = 30


class Product(msgspec.Struct, frozen=True):
    """What a pump gives: `price` in minor units per litre."""

    name: str
    price: int


class Pump(msgspec.Struct, frozen=True, kw_only=True):
    """A pump of a merchant. `full_tank`: minor units that are set aside for whoever names no amount."""

    id: int
    account: int
    number: int
    products: Sequence[Product]
    full_tank: int

    def product(self, name: str) -> Product:
        """What it gives under this name, or NotFound."""
        for product in self.products:
            if product.name == name:
                return product
        raise NotFound("this pump does not give this product")


class Pumps:
    """Lists and changes pumps."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    async def put(self, wanted: Pump) -> Pump:
        """Adds a pump, or changes it to exactly this; a repeat changes nothing. Fills that were asked for keep their price.

        Malformed, naming the field; AlreadyTaken for the number of another pump; IdReused for an id of another merchant;
        TooLarge for the 101st.
        """
        if not 0 < wanted.number <= NUMBER_MAX:
            raise Malformed("number", f"must be 1 to {NUMBER_MAX}")
        values = {
            "number": wanted.number,
            "products": msgspec.json.encode(_checked(wanted.products)).decode(),
            "full_tank": check_amount(wanted.full_tank, "full_tank"),
            "changed_at": self.clock.now_ns(),
        }

        def write(connection: Connection) -> Pump:
            mine = select(func.count()).where(pumps.c.account == wanted.account)
            same_number = mine.where(pumps.c.number == wanted.number, pumps.c.id != wanted.id)
            kept = connection.execute(select(pumps).where(pumps.c.id == wanted.id)).first()
            if kept is not None and kept.account != wanted.account:
                raise IdReused
            if connection.execute(same_number).scalar_one():
                raise AlreadyTaken
            if kept is not None:
                connection.execute(update(pumps).where(pumps.c.id == wanted.id).values(values))
            elif connection.execute(mine).scalar_one() >= PUMPS_MAX:
                raise TooLarge(f"there are {PUMPS_MAX} pumps already", pumps_max=PUMPS_MAX)
            else:
                connection.execute(insert(pumps), values | {"id": wanted.id, "account": wanted.account})
            return found(connection, wanted.id, wanted.account)

        return await self.store.write(write)

    async def list(self, account: int) -> list[Pump]:
        """The pumps of an account, by number."""
        query = select(pumps).where(pumps.c.account == account).order_by(pumps.c.number)
        return await self.store.read(lambda connection: [_pump(row) for row in connection.execute(query)])


def found(connection: Connection, id: int, account: int) -> Pump:
    """A pump of the account as it is now, in the caller's transaction, or NotFound."""
    row = connection.execute(select(pumps).where(pumps.c.id == id, pumps.c.account == account)).first()
    if row is None:
        raise NotFound("there is no pump with this id")
    return _pump(row)


def _checked(products: Sequence[Product]) -> list[Product]:
    if not 0 < len(products) <= PRODUCTS_MAX:
        raise Malformed("products", f"must be 1 to {PRODUCTS_MAX}")
    checked = []
    for number, product in enumerate(products):
        name = parse_name(product.name, f"products[{number}].name")
        if len(name) > NAME_SIZE_MAX:
            raise Malformed(f"products[{number}].name", f"must be at most {NAME_SIZE_MAX} characters")
        if not 0 < product.price <= PRICE_MAX:
            raise Malformed(f"products[{number}].price", f"must be 1 to {PRICE_MAX}")
        checked.append(Product(name, product.price))
    if len({product.name for product in checked}) != len(checked):
        raise Malformed("products", "must name each product once")
    return checked


def _pump(row: Row[Any]) -> Pump:
    products = msgspec.json.decode(row.products, type=list[Product])
    return Pump(id=row.id, account=row.account, number=row.number, products=products, full_tank=row.full_tank)
