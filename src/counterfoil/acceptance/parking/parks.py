"""Car parks: how many places, what a stay costs, and how many are inside. A stay keeps the terms that it began under."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from counterfoil.acceptance.parking import tariff as tariffs
from counterfoil.acceptance.parking.tables import car_parks, inside, stays
from counterfoil.acceptance.parking.tariff import Tariff
from counterfoil.clock import Clock
from counterfoil.errors import IdReused, Malformed, NotFound, TooLarge
from counterfoil.money import check_amount
from counterfoil.parties.numbers import parse_name
from counterfoil.store.database import Store

CAR_PARKS_MAX: Final = 20
"""Car parks of one account."""
NAME_SIZE_MAX: Final = 30
PLACES_MAX: Final = 100_000
GRACE_MINUTES_MAX: Final = 120


class CarPark(msgspec.Struct, frozen=True, kw_only=True):
    """A car park of a merchant.

    Attributes:
        hold: minor units set aside for a stay at its entry, where the driver wants that; 0 where nobody can.
        grace_minutes: how long whoever has paid may take to leave.
        taken: places that are taken now.
    """

    id: int
    account: int
    name: str
    places: int
    hold: int
    grace_minutes: int
    tariff: Tariff
    taken: int = 0


class CarParks:
    """Lists and changes car parks."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    async def put(self, wanted: CarPark) -> CarPark:
        """Opens a car park, or changes it to exactly this; a repeat changes nothing. Who is inside keeps the terms of the entry.

        Fewer places than are taken: nobody else comes in until enough have left. Malformed, naming the field; IdReused for an
        id of another merchant; TooLarge for the 21st.
        """
        values = {
            "name": _checked_name(wanted.name),
            "places": _within(wanted.places, "places", 1, PLACES_MAX),
            "hold": check_amount(wanted.hold, "hold", minimum=0),
            "grace_minutes": _within(wanted.grace_minutes, "grace_minutes", 1, GRACE_MINUTES_MAX),
            "tariff": encoded(wanted.tariff),
            "changed_at": self.clock.now_ns(),
        }

        def write(connection: Connection) -> CarPark:
            kept = connection.execute(select(car_parks).where(car_parks.c.id == wanted.id)).first()
            if kept is None:
                if connection.execute(select(func.count()).where(car_parks.c.account == wanted.account)).scalar_one() >= CAR_PARKS_MAX:
                    raise TooLarge(f"there are {CAR_PARKS_MAX} car parks already", car_parks_max=CAR_PARKS_MAX)
                connection.execute(insert(car_parks), values | {"id": wanted.id, "account": wanted.account})
            elif kept.account != wanted.account:
                raise IdReused
            else:
                connection.execute(update(car_parks).where(car_parks.c.id == wanted.id).values(values))
            return found(connection, wanted.id, wanted.account)

        return await self.store.write(write)

    async def find(self, id: int, account: int) -> CarPark:
        """A car park of the account, or NotFound."""
        return await self.store.read(lambda connection: found(connection, id, account))

    async def list(self, account: int) -> list[CarPark]:
        """The car parks of an account, by name."""
        query = select(car_parks).where(car_parks.c.account == account).order_by(car_parks.c.name, car_parks.c.id)
        return await self.store.read(lambda connection: [_car_park(connection, row) for row in connection.execute(query).all()])


def found(connection: Connection, id: int, account: int) -> CarPark:
    """A car park of the account as it is now, in the caller's transaction, or NotFound."""
    row = connection.execute(select(car_parks).where(car_parks.c.id == id, car_parks.c.account == account)).first()
    if row is None:
        raise NotFound("there is no car park with this id")
    return _car_park(connection, row)


def encoded(tariff: Tariff) -> str:
    """A tariff as the tables keep it. Malformed for what is none."""
    tariffs.check(tariff)
    return msgspec.json.encode(tariff).decode()


def decoded(text: str) -> Tariff:
    return msgspec.json.decode(text, type=Tariff)


def _checked_name(name: str) -> str:
    name = parse_name(name)
    if len(name) > NAME_SIZE_MAX:
        raise Malformed("name", f"must be at most {NAME_SIZE_MAX} characters")
    return name


def _within(value: int, field: str, least: int, most: int) -> int:
    if not least <= value <= most:
        raise Malformed(field, f"must be {least} to {most}")
    return value


def _car_park(connection: Connection, row: Row[Any]) -> CarPark:
    taken = connection.execute(select(func.count()).select_from(stays).where(stays.c.car_park == row.id, inside)).scalar_one()
    return CarPark(
        id=row.id, account=row.account, name=row.name, places=row.places, hold=row.hold, grace_minutes=row.grace_minutes,
        tariff=decoded(row.tariff), taken=taken,
    )  # fmt: skip
