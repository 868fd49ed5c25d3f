"""Holders with devices over real books, and lives of the sender of pushes that end like by a crash."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from counterfoil.channels.outgoing import Outgoing
from counterfoil.channels.push.service import Push
from counterfoil.channels.push.subscriptions import Subscription
from counterfoil.channels.push.tables import PushState, push_messages
from counterfoil.ids import new_id
from counterfoil.parties import tables
from counterfoil.parties.happenings import Happenings
from counterfoil.parties.journal import record, tell_everywhere
from counterfoil.payments.feed import Feed
from counterfoil.payments.feed_tables import feed_positions
from counterfoil.payments.hub import Hub
from counterfoil.payments.requests import PaymentRequest
from counterfoil.payments.tables import requests
from tests.channels.push.browser import PushService
from tests.payments.books import ALICE, BOB, SHOP, Books

NAMES = {ALICE: "Amina", BOB: "Bo", SHOP: "Corner shop"}


class Device(msgspec.Struct, frozen=True):
    id: int
    account: int
    seed: str

    @property
    def party(self) -> int:
        return party_of(self.account)


def party_of(account: int) -> int:
    return account + 1_000


class Town:
    """Holders of the books' accounts, their devices, and the push service."""

    def __init__(self, books: Books, service: PushService) -> None:
        self.books = books
        self.service = service
        self.hub = Hub()
        self.secrets = 0

    async def open(self) -> None:
        def write(connection: Connection) -> None:
            limits = dict.fromkeys(("per_payment", "per_day", "per_month", "balance_max"), 10**9)
            connection.execute(insert(tables.tiers), {"name": "basic", "kind": "customer", **limits})
            for account, name in NAMES.items():
                party: dict[str, Any] = {
                    "id": party_of(account), "kind": "customer", "name": name, "number": f"+25471200{account:04}", "tier": "basic",
                    "language": "ko", "state": "open", "created_at": 1,
                }  # fmt: skip
                connection.execute(insert(tables.parties), party)
                connection.execute(insert(tables.accounts), {"id": account, "party": party_of(account), "code": 1, "ledger": 840})

        await self.books.store.write(write)

    async def device(self, account: int, seed: str) -> Device:
        """A further device of a holder, without a subscription."""
        device = Device(new_id(self.books.clock), account, seed)
        row: dict[str, Any] = {
            "id": device.id, "party": device.party, "algorithm": "ed25519", "public_key": seed.encode().ljust(32, b"."), "label": seed,
            "state": "active", "statement": b"", "possession": b"", "created_at": 1,
        }  # fmt: skip
        await self.books.store.write(lambda connection: connection.execute(insert(tables.devices), row))
        self.service.phone(seed)
        return device

    async def subscribed(self, push: Push, account: int, seed: str) -> Device:
        """A further device, which can be woken."""
        device = await self.device(account, seed)
        await push.subscriptions.put(self.subscription(device))
        return device

    def subscription(self, device: Device, **changes: Any) -> Subscription:
        phone = self.service.phones[f"/push/{device.seed}"]
        values: dict[str, Any] = {
            "device": device.id, "party": device.party, "account": device.account, "endpoint": self.service.url(device.seed),
            "p256dh": phone.p256dh, "auth": phone.auth,
        }  # fmt: skip
        return Subscription(**(values | changes))

    async def notice(self, account: int, kind: str = "frozen") -> None:
        """Something happens to a holder's account, and everybody is told."""
        clock = self.books.clock

        def write(connection: Connection) -> None:
            tell_everywhere(connection, clock, party_of(account), kind)
            record(connection, clock, party_of(account), kind, by=None)

        await self.books.store.write(write)

    async def revoke(self, device: Device) -> None:
        clock = self.books.clock

        def write(connection: Connection) -> None:
            tell_everywhere(connection, clock, device.party, "device_revoked", label="")
            connection.execute(update(tables.devices).where(tables.devices.c.id == device.id).values(state="revoked"))
            record(connection, clock, device.party, "device_revoked", by=None, device=str(device.id))

        await self.books.store.write(write)

    async def request(self, push: Push, payee: int, payer: int, amount: int) -> PaymentRequest:
        """A request to pay is kept, and `push` told in the same transaction; that it is durable, only `push.written` says."""
        now = self.books.clock.now_ns()
        row: dict[str, Any] = {
            "id": new_id(self.books.clock), "payee": payee, "payer": payer, "amount": amount, "purpose": 0, "memo": "",
            "content_hash": bytes(32), "device": 0, "state": "open", "paid_by": None, "created_at": now, "expires_at": now + 10**13,
        }  # fmt: skip
        request = msgspec.convert({name: value for name, value in row.items() if name not in ("content_hash", "device")}, PaymentRequest)

        def write(connection: Connection) -> None:
            connection.execute(insert(requests), row)
            push.asked(connection, request)

        await self.books.store.write(write)
        return request

    async def messages(self) -> list[tuple[str, str]]:
        """Of each message, by which device and in which state, oldest first."""
        query = (
            select(tables.devices.c.label, push_messages.c.state)
            .join(tables.devices, tables.devices.c.id == push_messages.c.device)
            .order_by(push_messages.c.created_at, tables.devices.c.label)
        )
        return await self.books.store.read(lambda c: [(row.label, str(row.state)) for row in c.execute(query)])

    async def texts(self, *, security: bool = False) -> list[tuple[str, str, dict[str, Any]]]:
        """The SMS in the outbox: to whom, kind, values. `security`: those of notices, too."""
        query = select(tables.notices).where(tables.notices.c.channel == "sms").order_by(tables.notices.c.created_at)
        rows = await self.books.store.read(lambda connection: connection.execute(query).all())
        found = [(str(row.number), str(row.kind), msgspec.json.decode(row.body)) for row in rows]
        return [each for each in found if security or each[1] not in ("frozen", "device_revoked")]

    async def waiting_notices(self) -> int:
        query = select(tables.notices.c.id).where(tables.notices.c.channel == "push", tables.notices.c.delivered_at.is_(None))
        return len(await self.books.store.read(lambda connection: connection.execute(query).all()))

    async def settled(self) -> bool:
        """Nothing is open, and nothing waits in the outbox of notices."""
        states = [state for _, state in await self.messages()]
        return not await self.waiting_notices() and not {PushState.WAITING, PushState.SENT} & set(states)

    def push(self, *, timeout_s: float = 5.0, store: Any = None) -> Push:
        def secret() -> bytes:
            self.secrets += 1
            return b"\x07" * 32

        books = self.books
        feed = books.feed if store is None else Feed(ledger=books.ledger, store=store, clock=books.clock)
        return Push(
            store=store or books.store, feed=feed, hub=self.hub, happenings=Happenings(books.store), clock=books.clock,
            outgoing=Outgoing(sandbox=True, timeout_s=timeout_s), secret=secret, contact="https://money.example",
            scheme_name="Harbour Money",
        )  # fmt: skip

    async def _follows(self, life: asyncio.Task[None]) -> bool:
        position = select(feed_positions.c.timestamp).where(feed_positions.c.name == Push.name)
        return life.done() or await self.books.store.read(lambda connection: connection.execute(position).first() is not None)

    @contextlib.asynccontextmanager
    async def life(self, push: Push | None = None, **settings: Any) -> AsyncIterator[Push]:
        """One life of the sender. Broken off at the end like by a crash: nothing is brought to an end."""
        push = push or self.push(**settings)
        life = asyncio.create_task(push.run())
        try:
            await eventually(lambda: self._follows(life))
            yield push
        finally:
            life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life


async def eventually(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Waits until `condition`, plain or async, holds; fails if it never does."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)
