"""Waking a phone whose wallet sleeps (Web Push): the scheme's key, the device's subscription, and what it says it has shown."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.channels.push.encryption import SECRET_SIZE
from counterfoil.channels.push.service import Push
from counterfoil.channels.push.subscriptions import ENDPOINT_SIZE_MAX, Subscription
from counterfoil.clock import Clock
from counterfoil.errors import Malformed, TooMany, UnknownDevice
from counterfoil.web.access import HOLDER, PUBLIC, Principal
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.incoming import Incoming
from counterfoil.web.throttle import Throttle
from counterfoil.web.values import Base64Url, base64_text, parse_base64

ACKS_PER_MINUTE = 600
"""From one address, which many phones may share."""
CHANGES_PER_MINUTE = 20
"""Subscriptions that one device may send: each costs a look-up of a name."""


class PushView(msgspec.Struct, frozen=True):
    """How a wallet subscribes. `key`: the applicationServerKey, 65 bytes of P-256."""

    key: Base64Url


class SubscriptionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the browser's PushSubscription says: where it is reached, its public key (65 bytes) and its secret (16 bytes)."""

    endpoint: Annotated[str, msgspec.Meta(min_length=1, max_length=ENDPOINT_SIZE_MAX, examples=["https://push.example/f4:8a"])]
    p256dh: Base64Url
    auth: Base64Url


class AckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`id`: what the message said, 16 bytes."""

    id: Base64Url


class PushEndpoints:
    """Of the calling device; the acknowledgement is anybody's who knows the message's id."""

    def __init__(self, *, push: Push, clock: Clock) -> None:
        self.push = push
        self._acks = Throttle(clock, burst=ACKS_PER_MINUTE, per_minute=ACKS_PER_MINUTE)
        self._changes = Throttle(clock, burst=CHANGES_PER_MINUTE, per_minute=CHANGES_PER_MINUTE)

    def endpoints(self) -> list[Endpoint]:
        mine = "/v1/push/subscription"
        return [
            Endpoint("GET", "/v1/push", self.key, access=PUBLIC, tag="push"),
            Endpoint("PUT", mine, self.put, access=HOLDER, errors=(TooMany, UnknownDevice), status=204, tag="push"),
            Endpoint("DELETE", mine, self.delete, access=HOLDER, status=204, tag="push"),
            Endpoint("POST", "/v1/push/acks", self.acknowledge, access=PUBLIC, errors=(TooMany,), status=204, tag="push"),
        ]

    async def key(self) -> PushView:
        """The key with which a browser subscribes to messages from this scheme."""
        return PushView(base64_text(self.push.public_key))

    async def put(self, caller: Principal, body: SubscriptionBody) -> None:
        """Wake the calling device so from now on. It replaces what there was; a repeat changes nothing.

        The endpoint must be an https address on the public internet.
        """
        self._changes.spend(caller.device)
        await self.push.subscriptions.put(
            Subscription(
                device=caller.device,
                party=caller.party,
                account=caller.account,
                endpoint=body.endpoint,
                p256dh=parse_base64(body.p256dh, "p256dh"),
                auth=parse_base64(body.auth, "auth"),
            )
        )

    async def delete(self, caller: Principal) -> None:
        """Wake the calling device no more. A repeat changes nothing."""
        await self.push.subscriptions.remove(caller.device)

    async def acknowledge(self, request: Incoming, body: AckBody) -> None:
        """The message with this id was shown: no text message is needed. The answer does not say whether there was one."""
        self._acks.spend(request.counted_as)
        data = parse_base64(body.id, "id")
        if len(data) != SECRET_SIZE:
            raise Malformed("id", f"must be {SECRET_SIZE} bytes in base64url without padding")
        await self.push.acknowledge(int.from_bytes(data))
