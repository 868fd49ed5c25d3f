"""What tests of text messages share: a store with notices in it, gateways that a test decides about, and one life of the sender."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select

from counterfoil.channels.sms.queue import Message, message_of
from counterfoil.channels.sms.sender import Sender, Way
from counterfoil.channels.sms.tables import messages
from counterfoil.channels.sms.texts import Speaker
from counterfoil.channels.sms.types import Doubt, Gateway, Outbound
from counterfoil.errors import Refused, Unavailable
from counterfoil.i18n import Language
from counterfoil.ids import new_id
from counterfoil.money import Currency
from counterfoil.parties.journal import send_sms
from counterfoil.parties.tables import notices, parties
from counterfoil.payments import receipt_codes as _receipt_codes  # noqa: F401 - its tables belong to the store
from counterfoil.store.database import Store
from counterfoil.store.schema import metadata
from tests.payments.books import ShiftedClock

AMA, KOFI = "+254700000001", "+254700000002"
PATIENCE_S = 60.0


class Post:
    """A gateway. `answer` is asked for each text: None takes it, an error is raised, and a callable is awaited."""

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.doubt = Doubt.NOTHING
        self.given: list[Outbound] = []
        self.answer: Callable[[Outbound], Awaitable[None]] | Exception | None = None
        self.closed = False

    async def send(self, text: Outbound) -> str:
        self.given.append(text)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            await self.answer(text)
        return f"{self.name}-{len(self.given)}"

    async def close(self) -> None:
        self.closed = True

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.given]


DOWN = Unavailable("nobody answers")
NO = Refused("no such number")


@contextlib.asynccontextmanager
async def store_in(folder: Path, *, fresh: bool = True) -> AsyncIterator[Store]:
    store = Store.open(f"sqlite:///{folder}/store.sqlite")
    if fresh:
        with store.writing() as connection:
            metadata.create_all(connection)
    writer = asyncio.create_task(store.run())
    await asyncio.sleep(0)
    try:
        yield store
    finally:
        await store.stop()
        await writer


def way(gateway: Gateway, clock: ShiftedClock, *, rate_per_s: int = 1_000, part_cost: int = 3, shown: bool = False) -> Way:
    return Way(gateway, clock, sender="4567", rate_per_s=rate_per_s, part_cost=part_cost, shown=shown)


def sender(store: Store, clock: ShiftedClock, *ways: Way) -> Sender:
    @cache
    def speaker(code: str) -> Speaker:
        return Speaker(Language(code or "en"), Currency("USD", 2, 840))

    return Sender(store=store, clock=clock, ways=ways, speaker=speaker, codes=lambda _connection, _payment, _account: "K7QM-2XRD-9FAB")


@contextlib.asynccontextmanager
async def life(one: Sender) -> AsyncIterator[Sender]:
    """One life of the sender, broken off at the end like by a crash."""
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def tell(
    store: Store, clock: ShiftedClock, kind: str = "frozen", number: str = AMA, count: int = 1, party: int | None = None, **values: Any
) -> None:
    """Notices as the house writes them."""

    def write(connection: Connection) -> None:
        for _ in range(count):
            send_sms(connection, clock, number, kind, party=party, **values)

    await store.write(write)


async def open_party(store: Store, clock: ShiftedClock, number: str, language: str = "en", name: str = "Ama") -> int:
    party = new_id(clock)
    values = {"id": party, "kind": "customer", "name": name, "number": number, "tier": None, "language": language, "state": "open"}
    await store.write(lambda connection: connection.execute(insert(parties), values | {"kind": "staff", "created_at": clock.now_ns()}))
    return party


async def kept(store: Store) -> list[Message]:
    """Every row, in order."""
    query = select(messages).order_by(messages.c.sequence)
    return await store.read(lambda connection: [message_of(row) for row in connection.execute(query)])


async def states(store: Store) -> list[str]:
    return [str(message.state) for message in await kept(store)]


async def in_the_outbox(store: Store) -> int:
    query = select(func.count()).select_from(notices).where(notices.c.delivered_at.is_(None))
    return await store.read(lambda connection: connection.execute(query).scalar_one())


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.01)


async def settled(store: Store, *expected: str) -> None:
    """Waits until the rows have come to these states."""
    try:
        await eventually(lambda: _are(store, list(expected)))
    except TimeoutError:
        raise AssertionError(await states(store)) from None


async def _are(store: Store, expected: list[str]) -> bool:
    return await states(store) == expected
