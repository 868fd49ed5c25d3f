"""Wakes phones whose app sleeps: security notices, money that came in, requests to pay. Nobody is told what it is about.

    outbox of notices ── what is for the channel "push" ──┐
    ledger's feed ── money in, while no app listens ──────┼── exactly once ──> messages ── at least once ──> push service ──> phone
    a new request to pay ── in its own transaction ───────┘                       │ it says nothing within 30 s
                                                                                  └──> one SMS, where it is money

What is sent is 16 random bytes, encrypted; whatever is tried again has the same id and topic, so a push service that still has
the first one replaces it. A message that was handed over when the process died, and not written down, is handed over again.
While nobody is subscribed, and nothing is open, one look at the journal twice a second is all that is done.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from sqlalchemy import Connection, select

from counterfoil.channels.outgoing import NoAnswer, Outgoing
from counterfoil.channels.push import messages, news
from counterfoil.channels.push.encryption import SECRET_SIZE, encrypt, private_key, public_point
from counterfoil.channels.push.messages import Due
from counterfoil.channels.push.subscriptions import Subscriptions, forget_revoked
from counterfoil.channels.push.tables import push_messages
from counterfoil.channels.push.vapid import authorization
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Unavailable
from counterfoil.parties.happenings import PAGE_SIZE_MAX, Happenings
from counterfoil.payments.events import AccountEvent
from counterfoil.payments.feed import Feed
from counterfoil.payments.hub import NOTICE, Hub
from counterfoil.payments.requests import PaymentRequest
from counterfoil.store.database import Store

PACE_S: Final = 0.5
"""Seconds between two looks at the journal."""
RETRY_S: Final = 5.0
"""Seconds before the next look after trouble with the store."""
TIMEOUT_S: Final = 10.0
"""Seconds that a push service has to answer."""
BACKOFF_S: Final = (2, 5, 10, 20, 40, 80)
"""Seconds before a message is tried again."""
PLACES: Final = 64
"""Requests at a time to all push services."""
PLACES_OF_HOST: Final = 32
PLACES_OF_FAILING: Final = 2
"""Requests at a time to a host whose last answer was none."""
DUE_MAX: Final = 500
FULL_LOOK_S: Final = 60
"""Seconds after which notices are looked for although the journal says nothing."""
PRUNE_INTERVAL_S: Final = 3_600
STOP_S_MAX: Final = 2.0
"""Seconds that `stop` leaves to requests under way; beyond, they are broken off and made again after the next start."""

log = structlog.get_logger(__name__)


class Push:
    """The sender. `run()` must be running for anybody to be woken. Implements `feed.Consumer`."""

    name = "push"

    def __init__(
        self,
        *,
        store: Store,
        feed: Feed,
        hub: Hub,
        happenings: Happenings,
        clock: Clock,
        outgoing: Outgoing,
        secret: Callable[[], bytes],
        contact: str,
        scheme_name: str,
    ) -> None:
        """`secret`: the operator's 32 bytes for this, asked for when they are first needed. `contact`: a URL, for push services.

        `outgoing` is closed when `run` ends. `scheme_name`: what texts call the other side where it is the scheme itself.
        """
        self.store = store
        self.feed = feed
        self.hub = hub
        self.happenings = happenings
        self.clock = clock
        self.outgoing = outgoing
        self.contact = contact
        self.scheme_name = scheme_name
        self.subscriptions = Subscriptions(store, clock, outgoing)
        self._secret = secret
        self._key: EllipticCurvePrivateKey | None = None
        self._under_way: dict[int, str] = {}  # message: host
        self._failing: set[str] = set()
        self._moment: int | None = 0  # when something is to be done next; None: nothing is open
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def public_key(self) -> bytes:
        """Of the operator's key for push: what a browser subscribes with. 65 bytes."""
        return public_point(self._operator())

    def _operator(self) -> EllipticCurvePrivateKey:
        if self._key is None:
            self._key = private_key(self._secret())
        return self._key

    async def run(self) -> None:
        """Returns after `stop()` and `feed.stop()`. A bug here ends it with the bug."""
        try:
            await self.subscriptions.load()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.feed.consume(self))
                group.create_task(self._work(group))
        finally:
            await self.outgoing.close()

    def stop(self) -> None:
        """What was not told yet is told after the next start."""
        self._stopping.set()
        self._wake.set()

    # What there is to tell

    @property
    def accounts(self) -> Collection[int]:
        return self.subscriptions.accounts

    def write(self, connection: Connection, events: list[AccountEvent]) -> None:
        for event in events:
            found = news.of_event(event)
            if found is not None and not self.hub.hears(event.account, NOTICE):
                messages.add(connection, self.clock, found, scheme_name=self.scheme_name)

    def written(self) -> None:
        self._moment = 0
        self._wake.set()

    def asked(self, connection: Connection, request: PaymentRequest) -> None:
        """Writes what follows from a new request, in the transaction that keeps it. `written` is called once it is durable."""
        found = news.of_request(request)
        if found is not None and found.account in self.accounts and not self.hub.hears(found.account, NOTICE):
            messages.add(connection, self.clock, found, scheme_name=self.scheme_name)

    async def acknowledge(self, id: int) -> None:
        """A device has shown the message with this id. Whether there is one, nobody learns."""
        known = select(push_messages.c.id).where(push_messages.c.id == id, push_messages.c.ended_at.is_(None))
        if await self.store.read(lambda connection: connection.execute(known).first()) is not None:
            await self.store.write(lambda connection: messages.acknowledge(connection, id, self.clock.now_ns()))

    # The work

    async def _work(self, group: asyncio.TaskGroup) -> None:
        number: int | None = None
        looked_at = pruned_at = self.clock.monotonic_ns()
        tasks: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                now = self.clock.monotonic_ns()
                if number is None:
                    number = await self._begin()
                number, news_there = await self._journal(number)
                if news_there or now - looked_at > FULL_LOOK_S * NANOSECONDS:
                    looked_at = now
                    await self._take_notices()
                if self._moment is not None and self._moment <= self.clock.now_ns():
                    await self._give_up()
                    await self._send_due(group, tasks)
                if now - pruned_at > PRUNE_INTERVAL_S * NANOSECONDS:
                    pruned_at = now
                    await self._prune()
            except Unavailable as error:
                log.warning("push_waits", error=str(error))
                self._moment = 0
                await self._pause(RETRY_S, self._stopping)
                continue
            await self._pause(PACE_S, self._wake)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_S_MAX)
            for task in late:
                task.cancel()

    async def _begin(self) -> int:
        """What a former life left: devices that were revoked, and notices."""
        number = await self.happenings.newest()
        await self.store.write(lambda connection: forget_revoked(connection, None))
        await self._take_notices()
        self._moment = 0
        return number

    async def _journal(self, number: int) -> tuple[int, bool]:
        """Looks at what changed about parties; the journal's last row, and whether there was anything."""
        newest = await self.happenings.newest()
        if newest == number:
            return number, False
        while page := await self.happenings.after(number):
            number = page[-1].number
            changed = {each.account for each in page} & self.subscriptions.accounts
            if changed:
                await self.store.write(partial(_forget_revoked_of, accounts=changed))
            if len(page) < PAGE_SIZE_MAX:
                break
        return max(newest, number), True

    async def _take_notices(self) -> None:
        taken = messages.TAKEN_MAX
        while taken == messages.TAKEN_MAX:
            taken, told = await self.store.write(lambda connection: messages.take_notices(connection, self.clock))
            if told:
                self._moment = 0

    async def _give_up(self) -> None:
        late = DUE_MAX
        while late == DUE_MAX:
            late = await self.store.write(lambda connection: messages.give_up(connection, self.clock, DUE_MAX))

    async def _send_due(self, group: asyncio.TaskGroup, tasks: set[asyncio.Task[None]]) -> None:
        self._moment = None  # whoever writes meanwhile sets it, and is looked for in the next round
        # What is under way as the look begins may have left, and be recorded, before the look ends: it would seem to wait still.
        now, before = self.clock.now_ns(), frozenset(self._under_way)
        limit = DUE_MAX + len(before)
        waiting = await self.store.read(lambda connection: messages.due(connection, now, limit))
        hosts = Counter(self._under_way.values())
        for message in waiting:
            host = urlsplit(message.subscription.endpoint).netloc if message.subscription else ""
            places = PLACES_OF_FAILING if host in self._failing else PLACES_OF_HOST
            if message.id in before or hosts.total() >= PLACES or hosts[host] >= places:
                continue
            hosts[host] += 1
            self._under_way[message.id] = host
            task = group.create_task(self._attempt(message, host))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        moment = await self.store.read(messages.next_moment)
        if self._moment is None:
            self._moment = moment

    async def _attempt(self, message: Due, host: str) -> None:
        try:
            outcome = await self._send(message, host)
            await self.store.write(outcome)
        except Unavailable as error:
            # It may have been handed over, and nobody wrote it down: it is sent again, under the same id.
            log.warning("push_not_recorded", error=str(error))
            await self._pause(RETRY_S, self._stopping)
        finally:
            self._under_way.pop(message.id, None)
            self._moment = 0
            self._wake.set()

    async def _send(self, message: Due, host: str) -> Callable[[Connection], None]:
        """Hands it over; what is to be written down of that."""
        subscription = message.subscription
        if subscription is None:
            return partial(_gone, self, message, "")
        token = base64.urlsafe_b64encode(message.id.to_bytes(16)).rstrip(b"=")
        body = encrypt(
            token,
            receiver=subscription.p256dh,
            auth=subscription.auth,
            sender=private_key(self.clock.random_bytes(32)),
            salt=self.clock.random_bytes(SECRET_SIZE),
        )
        now_s = self.clock.now_ns() // NANOSECONDS
        headers = {
            "Authorization": authorization(subscription.endpoint, contact=self.contact, now_s=now_s, key=self._operator()),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(message.ttl_s),
            "Urgency": "high",
            "Topic": token.decode(),
        }
        try:
            answer = await self.outgoing.send("POST", subscription.endpoint, headers=headers, body=body)
        except NoAnswer as error:
            self._failing.add(host)
            log.warning("push_unanswered", host=host, error=str(error))
            return partial(messages.put_off, id=message.id, next_attempt_at=self._later(message, 0))
        self._failing.discard(host)
        if 200 <= answer.status < 300:
            return partial(messages.sent, id=message.id)
        log.warning("push_refused", host=host, status=answer.status)
        if answer.status in (404, 410):
            return partial(_gone, self, message, subscription.endpoint)
        if answer.status == 429 or answer.status >= 500:
            return partial(messages.put_off, id=message.id, next_attempt_at=self._later(message, answer.retry_after_s))
        return partial(_gone, self, message, "")  # it will not be taken another time either

    def _later(self, message: Due, retry_after_s: int) -> int | None:
        """When to try again; None when that would be too late to be of use."""
        chance = int.from_bytes(self.clock.random_bytes(4)) / 2**32
        delay_s = max(BACKOFF_S[min(message.attempts, len(BACKOFF_S) - 1)], retry_after_s) * (1 + chance / 4)
        moment = self.clock.now_ns() + int(delay_s * NANOSECONDS)
        return moment if moment < message.until else None

    async def _prune(self) -> None:
        await self.store.write(lambda connection: forget_revoked(connection, None))
        deleted = 1
        while deleted:
            deleted = await self.store.write(lambda connection: messages.prune(connection, self.clock.now_ns()))
            await asyncio.sleep(0.01)

    async def _pause(self, seconds: float, event: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()


def _gone(push: Push, message: Due, endpoint: str, connection: Connection) -> None:
    messages.gone(connection, push.clock, message.id, device=message.device, endpoint=endpoint)


def _forget_revoked_of(connection: Connection, accounts: Collection[int]) -> None:
    forget_revoked(connection, accounts)
