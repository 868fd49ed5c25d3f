"""Random histories of cards at tills, against a model of a few lines, on every store: taps in any order, PINs, locks, at once and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from counterfoil.acceptance.cards.paying import Asked
from counterfoil.acceptance.cards.registry import Card, Cards, CardState
from counterfoil.acceptance.types import Line, Sale, SaleState, Till
from counterfoil.errors import CardLocked, CardUnknown, NotFound, NotInThisState, Refused, TapUsed, Unavailable, WrongPin
from counterfoil.folder import found_card_secret
from counterfoil.ids import new_id
from counterfoil.parties.types import Holder
from tests.acceptance.cards.plastic import Plastic
from tests.scheme import Person, Scheme, opened

PIN, WRONG = "2580", "1111"
STEPS = 60


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def scheme(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scheme]:
    url = request.getfixturevalue("postgres_tables_url") if request.param == "postgresql" else ""
    async with opened(tmp_path / "scheme", store=url, ledger=url, pin_per_day=10**9) as running:
        yield running


class Known(msgspec.Struct):
    """What the model knows of a card: `newest` tap that was taken, and for which sale each was (by its place in `said`)."""

    plastic: Plastic
    card: Card
    said: list[dict[str, str]] = []
    newest: int = -1
    taken: dict[int, int] = {}
    state: CardState = CardState.ACTIVE


class World:
    """A shop with a till, two people with a card each."""

    def __init__(self, scheme: Scheme, random: random.Random) -> None:
        self.scheme = scheme
        self.random = random
        self.acceptance = scheme.services.acceptance
        self.people: list[Person] = []
        self.holders: list[Holder] = []
        self.cards: list[Known] = []
        self.sales: list[Sale] = []
        self.paid: dict[int, int] = {}
        self.asked: list[tuple[int, int, Asked]] = []
        self.till: Till

    async def begin(self) -> None:
        scheme = self.scheme
        shop = await scheme.merchant()
        holder = await scheme.services.parties.holder(shop.account)
        _, code = await self.acceptance.tills.add(holder, id=new_id(scheme.clock), name="Front", device=shop.device)
        self.till, _ = await self.acceptance.tills.pair(code, "Desk")
        for _ in range(2):
            person, plastic = await scheme.simple_phone(funds=1_000_000), Plastic(scheme)
            holder, said = await scheme.services.parties.holder(person.account), plastic.tap()
            card = await self.acceptance.cards.add(holder, said["e"], said["c"], by=scheme.clerk)
            self.people.append(person)
            self.holders.append(holder)
            self.cards.append(Known(plastic, card))

    async def sell(self) -> None:
        now = self.scheme.clock.now_ns()
        sale, _ = await self.acceptance.sales.make(
            self.till, None, id=new_id(self.scheme.clock), lines=[Line("Bread", 100, 1)], amount=100, hold=False, made_at=now
        )
        self.sales.append(sale)

    async def step(self) -> None:
        known = self.random.choice(self.cards)
        what = self.random.choice(("sell", "tap", "ask", "ask", "ask", "pay", "pay", "pay", "wrong", "lock", "unlock"))
        if what == "sell" or not self.sales:
            await self.sell()
        elif what == "tap" or not known.said:
            known.said.append(known.plastic.tap())
        elif what == "ask":
            await self.ask(known, self.random.randrange(len(known.said)), self.random.randrange(len(self.sales)))
        elif what in ("lock", "unlock"):
            change = self.acceptance.cards.lock if what == "lock" else self.acceptance.cards.unlock
            known.state = (await change(known.card.id, known.card.account, by=self.scheme.clerk)).state
        elif self.asked:
            await self.pay(*self.random.choice(self.asked), PIN if what == "pay" else WRONG)

    async def ask(self, known: Known, tap: int, place: int) -> None:
        sale, said = self.sales[place], known.said[tap]
        was = known.taken.get(tap)
        expected: type[Refused] | None = None
        if was != place:
            if known.state is not CardState.ACTIVE:
                expected = CardLocked
            elif place in self.paid:
                expected = NotInThisState
            elif was is not None or tap <= known.newest:
                expected = TapUsed
        try:
            asked = await self.acceptance.card_payments.ask(sale, said["e"], said["c"])
        except Refused as refusal:
            assert type(refusal) is expected, (refusal, expected)
            return
        assert expected is None, expected
        known.taken[tap], known.newest = place, max(known.newest, tap)
        self.asked.append((self.cards.index(known), place, asked))

    async def pay(self, whose: int, place: int, asked: Asked, pin: str) -> None:
        """Sent three times at once, as a bad network does."""
        sale, known, before = self.sales[place], self.cards[whose], self.money()
        was_paid = self.paid.get(place)
        send = [self.acceptance.card_payments.pay(sale, asked.id, pin) for _ in range(3 if pin == PIN else 1)]
        answers = await asyncio.gather(*send, return_exceptions=True)
        for answer in answers:
            if was_paid == asked.id:
                assert not isinstance(answer, BaseException), answer
            elif known.state is not CardState.ACTIVE:
                assert isinstance(answer, CardLocked), answer
            elif pin == WRONG:
                assert isinstance(answer, WrongPin), answer
            elif was_paid is not None:
                assert isinstance(answer, NotInThisState), answer
            else:
                assert not isinstance(answer, BaseException) or isinstance(answer, Unavailable), answer
        may = was_paid is None and known.state is CardState.ACTIVE and pin == PIN
        if may:
            self.paid[place] = asked.id
            assert (await self.acceptance.sales.standing(sale)).state is SaleState.PAID
            before[whose] -= sale.amount
        assert self.money() == before
        if pin == WRONG and known.state is CardState.ACTIVE and was_paid != asked.id:  # so that no PIN is locked here
            await self.scheme.services.parties.pins.check(self.people[whose].party, PIN)

    def money(self) -> list[int]:
        return [person.balance() for person in self.people]


@pytest.mark.slow(minutes=0.5)
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes_in_whatever_order_each_sale_is_paid_once_and_each_tap_taken_once(scheme: Scheme, seed: int) -> None:
    world = World(scheme, random.Random(seed))
    await world.begin()
    for _ in range(STEPS):
        await world.step()
    assert world.paid, "or the history says little"
    counters = [(await world.acceptance.cards.get(known.card.id)).counter for known in world.cards]
    assert counters == [known.card.counter + known.newest + 1 for known in world.cards]


async def test_a_tap_that_nobody_took_is_unknown_at_another_sale(scheme: Scheme) -> None:
    world = World(scheme, random.Random(0))
    await world.begin()
    await world.sell()
    with pytest.raises(NotFound):
        await world.acceptance.card_payments.pay(world.sales[0], new_id(scheme.clock), PIN)
    with pytest.raises(CardUnknown):
        await world.acceptance.card_payments.ask(world.sales[0], "00" * 16, "00" * 8)


async def test_any_worker_goes_on_with_a_proof_that_another_has_begun(scheme: Scheme) -> None:
    """Also one that has seen no tap since it began."""
    world = World(scheme, random.Random(0))
    await world.begin()
    known, services = world.cards[0], scheme.services
    challenge, answers = bytes(range(16)), list[bytes]()
    known.plastic.tap()  # its application is open
    while True:
        worker = Cards(
            store=services.store, pins=services.parties.pins, clock=scheme.clock, secret=lambda: found_card_secret(services.config.folder)
        )
        command = worker.next_command(known.card, challenge, answers)
        if command is None:
            break
        answers.append(known.plastic.tag.transmit(command))
    assert len(answers) == 2
