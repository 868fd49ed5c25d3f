"""Text messages put together: what follows money, what sends, and the gateways of the settings.

Without a gateway in the settings nothing here works: notices wait in their outbox, where staff see them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.channels.gateways.http_sms import HttpSms
from counterfoil.channels.gateways.kannel import Kannel
from counterfoil.channels.gateways.sandbox_sms import SandboxSms
from counterfoil.channels.peers import Peers
from counterfoil.channels.sms import queue
from counterfoil.channels.sms.money import MoneyTexts
from counterfoil.channels.sms.queue import Codes, Message, State
from counterfoil.channels.sms.sender import Sender, Way
from counterfoil.channels.sms.texts import Speaker
from counterfoil.channels.sms.types import Gateway, Inbound, Report
from counterfoil.channels.ussd.types import Hop, Screen
from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.gateway_settings import SmsGateway
from counterfoil.i18n import languages
from counterfoil.payments.feed import Feed
from counterfoil.store.database import Store, missing_driver

NEWEST_MAX = 50
"""Texts of one number that are shown."""


class GatewayReading(msgspec.Struct, frozen=True):
    """What one gateway was given since the process began: texts, parts, their cost in minor units, and how often it did not work."""

    name: str
    texts: int
    parts: int
    cost: int
    failures: int
    is_resting: bool


class SmsReading(msgspec.Struct, frozen=True):
    """What the sender tells of itself: how many texts wait, and how many ended unsent since the process began, by state."""

    waiting: int
    unsent: dict[str, int]
    gateways: tuple[GatewayReading, ...]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Whom gateways tell what comes in over a connection of their own. Each returns when it is kept."""

    received: Callable[[Inbound], Awaitable[None]]
    answer: Callable[[Hop], Awaitable[Screen]] | None = None
    ended: Callable[[str, str], Awaitable[None]] | None = None


class Sms:
    """The text messages of one scheme: `run()` beside the server."""

    def __init__(self, *, config: Config, store: Store, feed: Feed, clock: Clock, codes: Codes, heard: Heard) -> None:
        """`codes` keeps and tells receipt codes. Malformed or Refused when a gateway of the settings cannot be made."""
        self.store = store
        self.feed = feed
        self.clock = clock
        self._peers = Peers()
        self._connected: list[_Connected] = []
        gateways = [self._gateway(settings, config, heard) for settings in config.sms]
        ways = [_way(gateway, settings, clock) for gateway, settings in zip(gateways, config.sms, strict=True)]
        self.sender = Sender(store=store, clock=clock, ways=ways, speaker=_speakers(config), codes=codes)
        self.money = MoneyTexts(store, clock, scheme_name=config.scheme_name)

    async def run(self) -> None:
        """Until `feed.stop()` and `stop()`. A bug here ends it with the bug."""
        if not self.sender.ways:
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.feed.consume(self.money, among=self.money.among))
                group.create_task(self._send())
                for connected in self._connected:
                    group.create_task(connected.run())
        finally:
            for way in self.sender.ways:
                await way.gateway.close()
            await self._peers.close()

    def stop(self) -> None:
        """Ends `run`. What waits is sent after the next start."""
        self.sender.stop()

    async def _send(self) -> None:
        """Connections end when what was under way has come to its end."""
        await self.sender.run()
        for connected in self._connected:
            await connected.stop()

    async def reported(self, report: Report) -> None:
        """Takes a gateway's delivery report; kept on return. Repeats, old ones and unknown ones change nothing."""
        now = self.clock.now_ns()
        part_cost = next((way.part_cost for way in self.sender.ways if way.name == report.gateway), 0)
        after = await self.store.write(lambda connection: queue.reported(connection, report, now, part_cost=part_cost))
        if after is State.FAILED:
            self.sender.ended[State.FAILED] += 1
        if after is not None:
            self.sender.wake()  # what comes after it to that number may go

    async def to_number(self, number: str, limit: int = NEWEST_MAX) -> list[Message]:
        """The newest texts to a number (E.164), newest first: for a sandbox's telephones."""
        assert 0 < limit <= NEWEST_MAX, limit
        return await self.store.read(partial(queue.newest, number=number, limit=limit))

    def reading(self) -> SmsReading:
        gateways = tuple(GatewayReading(way.name, way.sent, way.parts, way.cost, way.trouble, way.rests_s > 0) for way in self.sender.ways)
        return SmsReading(self.sender.waiting, {str(state): count for state, count in self.sender.ended.items()}, gateways)

    def _gateway(self, settings: SmsGateway, config: Config, heard: Heard) -> Gateway:
        if settings.kind == "kannel":
            return Kannel(settings, self._peers)
        if settings.kind == "http":
            return HttpSms(settings, self._peers)
        if settings.kind == "sandbox":
            return SandboxSms(settings.name)
        return self._smpp(settings, config, heard)

    def _smpp(self, settings: SmsGateway, config: Config, heard: Heard) -> Gateway:
        try:
            from counterfoil.channels.gateways import smpp
            from counterfoil.channels.gateways.smpp_connection import Account
        except ModuleNotFoundError as error:
            raise missing_driver(error) from None
        account = Account.at(settings.url, user=settings.user, password=settings.password)
        told = smpp.Heard(received=heard.received, reported=self.reported, answer=heard.answer, ended=heard.ended)
        gateway = smpp.Smpp(settings.name, account, told, clock=self.clock, region=config.region, sender=settings.sender)
        self._connected.append(gateway)
        return gateway


class _Connected(Protocol):
    """A gateway with a connection of its own, which it keeps in the background."""

    async def run(self) -> None: ...

    async def stop(self) -> None: ...


def _way(gateway: Gateway, settings: SmsGateway, clock: Clock) -> Way:
    return Way(
        gateway,
        clock,
        sender=settings.sender,
        rate_per_s=settings.rate_per_s,
        part_cost=settings.part_cost,
        shown=settings.kind == "sandbox",
    )


def _speakers(config: Config) -> Callable[[str], Speaker]:
    offered = languages(config.languages)
    zone = ZoneInfo(config.time_zone)

    @cache
    def speaker(code: str) -> Speaker:
        return Speaker(offered.get(code) or next(iter(offered.values())), config.currency, zone)

    return speaker
