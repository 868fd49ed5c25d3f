"""Which devices can be woken: what a browser gave us to reach it, one subscription for each device."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, delete, insert, select

from counterfoil.channels.outgoing import Outgoing
from counterfoil.channels.push.encryption import POINT_SIZE, SECRET_SIZE, is_point
from counterfoil.channels.push.tables import push_subscriptions
from counterfoil.clock import Clock
from counterfoil.errors import Malformed, UnknownDevice
from counterfoil.parties.reach import active_devices
from counterfoil.store.database import Store

ENDPOINT_SIZE_MAX = 1_000
"""Characters of an endpoint's address. Those of the known push services have some 250."""

ASKED_MAX = 500
"""Devices that are looked at in one query."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """How a device is reached. `p256dh`, `auth`: the browser's key and secret, which only it and we know."""

    device: int
    party: int
    account: int
    endpoint: str
    p256dh: bytes
    auth: bytes

    def __repr__(self) -> str:
        """For logs and traces: without what would let somebody else send."""
        return f"Subscription(device={self.device:032x})"


class Subscriptions:
    """Keeps them. `accounts`: those with a subscribed device, perhaps some too many, never one too few."""

    def __init__(self, store: Store, clock: Clock, outgoing: Outgoing) -> None:
        self.store = store
        self.clock = clock
        self.outgoing = outgoing
        self.accounts: set[int] = set()

    async def load(self) -> None:
        """Reads which accounts there are. Before anything that happens is looked at."""
        query = select(push_subscriptions.c.account).distinct()
        self.accounts |= set(await self.store.read(lambda connection: connection.execute(query).scalars().all()))

    async def put(self, subscription: Subscription) -> None:
        """The device is reached so from now on, and no longer as before. A repeat changes nothing.

        An endpoint is one browser's: whoever had it before, on a device that was left, has it no longer. Raises Malformed
        (`endpoint`: no https address on the public internet; `p256dh`; `auth`), UnknownDevice when it was revoked meanwhile.
        """
        if not is_point(subscription.p256dh):
            raise Malformed("p256dh", f"must be {POINT_SIZE} bytes: an uncompressed point of P-256")
        if len(subscription.auth) != SECRET_SIZE:
            raise Malformed("auth", f"must be {SECRET_SIZE} bytes")
        if len(subscription.endpoint) > ENDPOINT_SIZE_MAX:
            raise Malformed("endpoint", f"must be at most {ENDPOINT_SIZE_MAX} characters")
        try:
            await self.outgoing.check(subscription.endpoint)
        except Malformed as error:
            raise Malformed("endpoint", str(error.facts["rule"])) from None
        self.accounts.add(subscription.account)
        row = msgspec.structs.asdict(subscription) | {"created_at": self.clock.now_ns()}

        def write(connection: Connection) -> None:
            if not active_devices(connection, [subscription.device]):
                raise UnknownDevice
            mine = push_subscriptions.c.device == subscription.device
            kept = connection.execute(select(push_subscriptions).where(mine)).mappings().first()
            if kept is not None and {**kept, "created_at": 0} == row | {"created_at": 0}:
                return
            connection.execute(delete(push_subscriptions).where(mine | (push_subscriptions.c.endpoint == subscription.endpoint)))
            connection.execute(insert(push_subscriptions), row)

        await self.store.write(write)

    async def remove(self, device: int) -> None:
        """The device is woken no more. A repeat changes nothing."""
        await self.store.write(lambda connection: forget(connection, device))

    async def is_subscribed(self, device: int) -> bool:
        query = select(push_subscriptions.c.device).where(push_subscriptions.c.device == device)
        return await self.store.read(lambda connection: connection.execute(query).first() is not None)


def forget(connection: Connection, device: int, endpoint: str = "") -> None:
    """Removes a device's subscription; with `endpoint`, only while it is that one."""
    this = push_subscriptions.c.device == device
    connection.execute(delete(push_subscriptions).where(this & (push_subscriptions.c.endpoint == endpoint) if endpoint else this))


def forget_revoked(connection: Connection, accounts: Collection[int] | None) -> None:
    """Removes the subscriptions of devices that may no longer sign, of some accounts or (None) of all."""
    mine = select(push_subscriptions.c.device)
    if accounts is not None:
        mine = mine.where(push_subscriptions.c.account.in_(accounts))
    subscribed = list(connection.execute(mine).scalars())
    gone: set[int] = set()
    for at in range(0, len(subscribed), ASKED_MAX):
        some = subscribed[at : at + ASKED_MAX]
        gone |= set(some) - active_devices(connection, some)
    for device in gone:
        forget(connection, device)
