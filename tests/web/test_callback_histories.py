"""Payments through every kind of gateway, with hops repeated, late, reordered and at once: money moves once or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from counterfoil.channels.ussd import repeats
from counterfoil.channels.ussd.types import Hop
from counterfoil.gateway_settings import USSD_KINDS
from tests.scheme import Person
from tests.web.site import Site, serving
from tests.web.test_callbacks import GATEWAYS, PIN, Phone, phone

pytestmark = pytest.mark.asyncio(loop_scope="module")

HISTORIES = 6
"""Random histories of each kind; more of them by hand found nothing more."""
AMOUNT, FUNDS = 1_250, 10_000
NUMBERLESS = ("hollatags", "infobip", "smpp")
"""Kinds that tell no hop from another with the same text."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with serving(tmp_path_factory.mktemp("scheme"), ussd=GATEWAYS) as served:
        yield served


class Line:
    """A payment's hops as one kind of gateway sends them; each can be sent at any time."""

    def __init__(self, site: Site, kind: str, payer: Person, payee: Person) -> None:
        self.site, self.kind = site, kind
        calling = phone(site, payer, kind)
        self.hops: list[Any] = []
        for text in ("", "1", payee.address, "12.50", PIN):
            calling.typed += [text] if text else []
            calling.hops += 1
            self.hops.append(self._hop(calling, text) if kind == "smpp" else calling.request(text))

    def _hop(self, calling: Phone, text: str) -> Hop:
        """As `gateways.smpp_ussd` reads what comes from an operator without a sequence."""
        return Hop(gateway="smpp", session=calling.session, number=calling.number, typed=text, begins=not text)

    async def send(self, place: int) -> None:
        if self.kind == "smpp":
            await self.site.services.ussd.answer(self.hops[place])
        else:
            assert (await self.site.client.request(**self.hops[place])).status_code == 200


def history(chance: random.Random, *, in_order: bool) -> list[list[int]]:
    """Groups of hops that are sent at once: each once, some again later, and unless `in_order` some before their time."""
    order = list(range(5))
    for _ in range(chance.randrange(1, 7)):
        again = chance.randrange(5)
        order.insert(chance.randrange(order.index(again) + 1 if in_order else 0, len(order) + 1), again)
    for _ in range(0 if in_order else chance.randrange(3)):
        place = chance.randrange(len(order) - 1)
        order[place : place + 2] = reversed(order[place : place + 2])
    groups: list[list[int]] = []
    for hop in order:
        if groups and (hop in groups[-1] if in_order else chance.random() < 0.3):
            groups[-1].append(hop)
        else:
            groups.append([hop])
    return groups


@pytest.mark.parametrize("seed", range(HISTORIES))
@pytest.mark.parametrize("kind", [*USSD_KINDS, "smpp"])
async def test_money_moves_once_or_not_at_all_whatever_becomes_of_the_hops(
    site: Site, kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(f"{kind} {seed}")
    in_order = seed % 2 == 0
    if chance.random() < 0.5:  # all repeats come later than can be known
        monkeypatch.setattr(repeats, "QUICK_S", 0)
        monkeypatch.setattr(repeats, "LATE_S", 0)
    kofi, rose = await site.scheme.simple_phone(funds=FUNDS), await site.scheme.customer("Rose Wanjiru")
    line = Line(site, kind, kofi, rose)
    groups = history(chance, in_order=in_order)
    for group in groups:
        await asyncio.gather(*map(line.send, group))
    for place in chance.sample(range(5), 5):  # and all of it once more, after the end
        if place:
            await line.send(place)
    paid = rose.balance()
    entries = await site.services.history.page(rose.account, limit=10)
    assert kofi.balance() + paid == FUNDS, groups
    assert len(entries) == (1 if paid else 0), groups
    if kind not in NUMBERLESS:
        assert paid in (0, AMOUNT), groups
        assert paid == AMOUNT or not in_order, groups


@pytest.mark.parametrize("kind", [*USSD_KINDS, "smpp"])
async def test_every_hop_again_within_the_gateways_wait_is_the_same_hop(site: Site, kind: str) -> None:
    """Each comes twice more, the PIN among them: the payment is made as it was typed, and no wrong PIN is counted."""
    kofi, rose = await site.scheme.simple_phone(funds=FUNDS), await site.scheme.customer("Rose Wanjiru")
    line = Line(site, kind, kofi, rose)
    for place in range(5):
        for _ in range(3):
            await line.send(place)
    assert (rose.balance(), kofi.balance()) == (AMOUNT, FUNDS - AMOUNT)
