"""Random histories by USSD and by text at once, with repeats, late hops and restarts, against a model of what may have moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from counterfoil.channels.sms.inbound import Inbox
from counterfoil.channels.sms.received_tables import drafts
from counterfoil.channels.sms.types import Inbound
from counterfoil.channels.ussd import sessions
from counterfoil.channels.ussd.service import Ussd
from counterfoil.channels.ussd.types import Hop
from tests.channels.ussd.phone import Phone
from tests.scheme import Person, Scheme, opened

PIN = "2580"
AGREED_ON = ("confirm_pay", "confirm_cash", "confirm_hold")
asynchronous = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scheme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scheme]:
    async with opened(tmp_path_factory.mktemp("scheme")) as running:
        yield running


class World:
    """Two people with a phone each, which both dial and write; `restart` forgets all that was only in memory."""

    def __init__(self, scheme: Scheme, people: tuple[Person, Person]) -> None:
        self.scheme = scheme
        self.people = people
        self.texts = 0
        self.last_text: list[Inbound | None] = [None, None]
        self.hops: list[list[Hop]] = [[], []]
        self.asked = [0, 0]
        self.restart()
        self.phones = [Phone(self.ussd, person.address, whole=number == 0) for number, person in enumerate(people)]

    def restart(self) -> None:
        services = self.scheme.services
        parts: dict[str, Any] = {
            "store": services.store, "parties": services.parties, "payments": services.payments, "requests": services.requests,
            "history": services.history, "ledger": services.ledger, "config": services.config, "clock": services.clock,
        }  # fmt: skip
        self.ussd, self.inbox = (
            Ussd(**parts, cards=services.acceptance.cards, stays=services.acceptance.stays, tills=services.acceptance.tills),
            Inbox(**parts),
        )
        for phone in getattr(self, "phones", []):
            phone.ussd = self.ussd

    async def do(self, who: int, what: str, typed: str) -> None:
        """One event; fails when more or other money has moved than it may have."""
        before, allowed = self.balances(), await self._may_pay(who, what, typed)
        await self._do(who, what, typed)
        after = self.balances()
        assert sum(after) == sum(before)
        if after != before:
            assert allowed is not None, (what, typed)
            assert before[who] - after[who] == allowed, (what, typed, before, after)

    async def _may_pay(self, who: int, what: str, typed: str) -> int | None:
        """What this event may take from its own phone's account, minor units; None for nothing."""
        if typed != PIN:
            return None
        if what == "type":
            phone = self.phones[who]
            kept = await self._kept(phone)
            if kept is None or kept.ends or kept.state.screen not in AGREED_ON or kept.state.due is None:
                return None
            return kept.state.due.order.amount
        if what == "agree":
            row = await self._question(who)
            return None if row is None else self.asked[who]
        return None

    async def _do(self, who: int, what: str, typed: str) -> None:
        phone, other = self.phones[who], self.people[1 - who]
        match what:
            case "dial":
                await phone.dial()
            case "type" if phone.session and not phone.screen.ends:
                await phone.type(typed)
            case "again" if phone.session:
                assert await self.ussd.answer(phone.hop()) == phone.screen
            case "late" if self.hops[who]:
                await self.ussd.answer(self.hops[who][len(typed) % len(self.hops[who])])
                return
            case "pay":
                self.asked[who] = len(typed) * 100
                await self.text(who, f"pay {other.address} {len(typed)}")
            case "agree":
                row = await self._question(who)
                await self.text(who, f"{'0000' if row is None else row} {typed}")
            case "text again" if self.last_text[who] is not None:
                text = self.last_text[who]
                assert text is not None
                await self.inbox.receive(text)
            case "restart":
                self.restart()
        if phone.session:
            self.hops[who] = [*self.hops[who][-30:], phone.hop()]

    async def text(self, who: int, words: str) -> None:
        self.texts += 1
        text = Inbound(gateway="one", number=self.people[who].address, text=words, reference=f"{id(self)}-{self.texts}")
        self.last_text[who] = text
        await self.inbox.receive(text)

    async def _question(self, who: int) -> str | None:
        """The code that the phone was told last, while it can be answered."""
        mine = (drafts.c.number == self.people[who].address) & drafts.c.outcome.in_(("open", "right"))
        return await self.scheme.services.store.read(lambda connection: connection.execute(select(drafts.c.code).where(mine)).scalar())

    async def _kept(self, phone: Phone) -> sessions.Kept | None:
        return await self.scheme.services.store.read(lambda connection: sessions.find(connection, phone.gateway, phone.session))

    def balances(self) -> list[int]:
        return [person.balance() for person in self.people]


EVENTS = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["dial", "type", "type", "type", "type", "again", "late", "pay", "agree", "agree", "text again", "restart"]),
    st.sampled_from(["1", "1", "2", "4", "5", "0", "00", "9", "12", PIN, PIN, PIN, "2581", "other", "*", "1*2"]),
)


@asynchronous
async def test_no_history_pays_what_was_not_agreed_to_on_that_phone(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, paid = asyncio.get_running_loop(), 0
    monkeypatch.setattr("counterfoil.channels.sms.inbound.PER_MINUTE_MAX", 10_000)

    async def live(events: list[tuple[int, str, str]]) -> None:
        nonlocal paid
        people = await scheme.simple_phone("Kofi", funds=100_000, pin=PIN), await scheme.simple_phone("Rose", funds=100_000, pin=PIN)
        world = World(scheme, people)
        for who, what, typed in events:
            said = people[1 - who].address if typed == "other" else typed
            await world.do(who, what, said)
        paid += world.balances() != [100_000, 100_000]

    shopping = [(0, "dial", ""), (0, "type", "1"), (0, "type", "other"), (0, "type", "5"), (0, "type", PIN), (0, "again", "")]
    writing = [(1, "pay", "12"), (1, "agree", PIN), (1, "text again", ""), (1, "agree", PIN), (1, "restart", ""), (1, "agree", PIN)]

    @settings(max_examples=12, deadline=None)
    @given(st.lists(EVENTS, max_size=40), st.booleans(), st.lists(EVENTS, max_size=10))
    def lives(first: list[tuple[int, str, str]], by_text: bool, rest: list[tuple[int, str, str]]) -> None:
        mixed = [*first, *(writing if by_text else shopping), *rest]
        asyncio.run_coroutine_threadsafe(live(mixed), loop).result(300)

    await asyncio.to_thread(lives)
    await live([*shopping, (0, "late", "12"), *writing, *shopping, (0, "late", "1"), (1, "text again", "")])
    assert paid
