"""A scheme whose server dies at a step that the test chooses and comes back, and those who are told what happens there."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from counterfoil.channels.push.subscriptions import Subscription
from counterfoil.config import Config
from counterfoil.gateway_settings import SmsGateway
from counterfoil.ids import id_text, new_id
from counterfoil.parties.service import NewParty
from counterfoil.parties.types import PartyKind, StaffRole
from tests.channels.cuts import Book, Cut, install
from tests.channels.push.browser import PushService
from tests.channels.push.browser import text as base64_text
from tests.channels.receiver import Receiver, Request
from tests.scheme import Person, Scheme, opened
from tests.simulation.processes import Server, Servers, servers
from tests.web.site import Site, signed_body

Telling = Callable[[], Awaitable[None]]

PATIENCE_S = 60
PHONES = 24
LONG_S = 86_400
"""As long as a text in doubt waits here; the test decides when it is over."""
OPEN = (
    ("notices", "delivered_at IS NULL"),
    ("sms_messages", "state = 'waiting'"),
    ("push_messages", "state IN ('waiting', 'sent')"),
    ("webhook_outbox", "next_attempt_at IS NOT NULL"),
    ("held_texts", "state = 'waiting'"),
    ("announcements", "done_at IS NULL"),
)
"""What is still to be told."""
_OPEN = text("SELECT " + " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {condition})" for table, condition in OPEN))


class Aggregator:
    """An SMS gateway that knows ids: whoever is given one again answers as before, and its phones show nothing new."""

    def __init__(self, receiver: Receiver, took: Callable[[str], None]) -> None:
        """`took` hears the id each time."""
        self.shown: dict[str, Request] = {}
        self._took = took
        receiver.answer = self._take

    def _take(self, request: Request) -> int:
        said = request.json
        assert self.shown.setdefault(said["id"], request).body == request.body, "the same text to the same number, to the letter"
        self._took(said["id"])
        return 200


class House:
    """One such scheme. `book`: its steps, and where it dies."""

    def __init__(self, forked: Servers, config: Config, scheme: Scheme, book: Book, peers: dict[int, str]) -> None:
        self.config = config
        self.scheme = scheme
        self.book = book
        self.server: Server
        self.kills = 0
        self.phones: list[Person] = []
        self.payer: Person
        self.woken: Person
        self.shop: Person
        self.heard: list[bytes] = []
        """Ids of pushes that the phone will acknowledge."""
        self._staff: tuple[Person, Person]
        self._forked = forked
        self._peers = peers
        self._client: httpx2.AsyncClient
        self._next = 0
        self._alive = threading.Event()
        self._engine = _engine(config)

    # Its lives

    async def begin(self) -> None:
        """A new life; returns when it answers, or has died."""
        self._alive.clear()
        cut = Cut(str(self.book.steps), str(self.book.end), self._peers, LONG_S)
        self.server = await self._forked.start(self.config, partial(install, cut))
        self._alive.set()
        self._client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.server.port}", timeout=PATIENCE_S)

    def kill(self) -> None:
        """From any thread, such as in the middle of a request: whoever has it waits until the life has a name."""
        assert self._alive.wait(PATIENCE_S)
        self.server.kill()

    async def died(self) -> None:
        """Returns when it has, of what the book or somebody else killed it with."""
        async with asyncio.timeout(PATIENCE_S):
            assert await self.server.ended() == -signal.SIGKILL
        self.kills += 1
        await self._client.aclose()

    async def settled(self, condition: Callable[[], bool]) -> None:
        """Returns when that is so, and all that was written has been told."""
        async with asyncio.timeout(PATIENCE_S):
            while not (condition() and await self._is_all_told()):
                assert self.server.exit_code is None, "it died although nobody asked it to"
                await asyncio.sleep(0.03)

    async def _is_all_told(self) -> bool:
        while self.heard:
            await self._post(None, "/v1/push/acks", {"id": base64_text(self.heard[-1])})
            self.heard.pop()
        with self._engine.connect() as connection:
            return not connection.execute(_OPEN).scalar_one()

    def a_day_passes(self) -> None:
        """For texts in doubt. While no server runs."""
        with self._engine.begin() as connection:
            connection.execute(text("UPDATE sms_messages SET next_attempt_at = 1, sent_at = 1 WHERE state = 'waiting'"))

    async def close(self) -> None:
        await self._client.aclose()

    # What people do there: each of these may be called again, and asks for the same

    def pay(self, payee: Person) -> Telling:
        return partial(self._post, None, "/v1/payments", signed_body(self.payer.sign(self.payer.order(payee, 100))))

    def write(self) -> Telling:
        phone = self.phone()
        body = {"id": id_text(new_id(self.scheme.clock)), "to": id_text(phone.account), "text": f"Come, {phone.address}!"}
        return partial(self._post, self.payer, "/v1/messages", body)

    def announce(self) -> Telling:
        to = [self.phone().address, self.phone().address]
        body = {"id": id_text(new_id(self.scheme.clock)), "reason": "in the test", "texts": {"en": "Closed."}, "to": "list", "list": to}

        async def announce() -> None:
            await self._post(self._staff[0], "/v1/staff/announcements", body)
            await self._post(self._staff[1], f"/v1/staff/proposals/{body['id']}/approve")

        return announce

    def phone(self) -> Person:
        """Somebody without an app, another one each time: nobody gets more than ten texts a day about other things than money."""
        self._next += 1
        return self.phones[self._next % PHONES]

    async def _post(self, who: Person | None, path: str, body: Any = None) -> None:
        await Site(self.scheme, None, 0, self._client).ok(who, "POST", path, body)  # type: ignore[arg-type]

    async def settle(self, push: PushService, shop_at: str) -> None:
        """People move in: one who pays, one with a phone that can be woken, a shop with a server, and simple phones."""
        scheme, services = self.scheme, self.scheme.services
        self.payer = await scheme.customer("Amina", funds=1_000_000)
        self.woken, self.shop = await scheme.customer("Bo"), await scheme.merchant()
        site = Site(scheme, None, 0, None)  # type: ignore[arg-type]
        self._staff = await site.staff_member(StaffRole.SUPERVISOR), await site.staff_member(StaffRole.ADMINISTRATOR)
        for number in range(PHONES):
            new = NewParty(
                id=new_id(scheme.clock), kind=PartyKind.CUSTOMER, name="Kofi", language="en", number=f"+2547990000{number:02}",
                tier="identity_verified",
            )  # fmt: skip
            party = await services.parties.enrolment.open_by_staff(new, by=scheme.clerk)
            account = (await services.parties.holder_of_party(party.id)).account
            self.phones.append(Person(scheme, party=party.id, account=account, device=0, key=self.payer.key, address=new.number or ""))
        phone = push.phone("bo")
        await services.push.subscriptions.put(
            Subscription(
                device=self.woken.device, party=self.woken.party, account=self.woken.account, endpoint=push.url("bo"),
                p256dh=phone.p256dh, auth=phone.auth,
            )
        )  # fmt: skip
        await services.webhooks.create(id=1, party=self.shop.party, account=self.shop.account, url=shop_at)


@asynccontextmanager
async def house(
    folder: Path, gateway: SmsGateway, peers: dict[int, str], push: PushService, shop_at: str, *, url: str = "", port: int = 0
) -> AsyncIterator[House]:
    """A scheme in `folder`, its store and ledger at `url` if that is given, with people in it and everything told. It does not run yet."""
    settings: dict[str, Any] = {"quiet_from": 0, "quiet_until": 0, "texts_per_week": 100, "store": url, "ledger": url}
    book = Book(folder)
    async with servers() as forked:
        async with opened(folder / "data", **settings) as scheme:
            config = Config(data=str(folder / "data"), port=port, sandbox=True, check_interval_s=0, sms=(gateway,), **settings)
            found = House(forked, config, scheme, book, peers)
            await found.settle(push, shop_at)
        try:
            yield found
        finally:
            await found.close()


def _engine(config: Config) -> Engine:
    """To look at the store beside its server."""
    url = config.store.replace("postgresql://", "postgresql+psycopg://") or f"sqlite:///{config.folder}/store.sqlite"
    return create_engine(url, poolclass=NullPool)
