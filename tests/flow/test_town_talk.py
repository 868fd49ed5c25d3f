"""The demo's town talks, and serves strangers: whoever opens a wallet of their own has money a few seconds later."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from counterfoil import app
from counterfoil.channels.announcements import KIND, Announcement
from counterfoil.clock import SystemClock
from counterfoil.commands.demo import counter as counter_module
from counterfoil.commands.demo import talk as talk_module
from counterfoil.commands.demo.cast import Cast
from counterfoil.commands.demo.counter import Counter
from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.demo.run import prepare, settled
from counterfoil.commands.demo.talk import Talking
from counterfoil.commands.demo.town import Merchant, Person, town
from counterfoil.commands.output import Output
from counterfoil.config import load
from counterfoil.ids import new_id
from counterfoil.payments.requests import RequestState
from counterfoil.web.services import Services
from tests.scheme import MovedClock, Scheme
from tests.scheme import Person as Newcomer

CLOCK = SystemClock()


async def newcomer(services: Services, cast: Cast, name: str, number: int) -> Newcomer:
    """Somebody who is not of the town opens an account."""
    scheme = Scheme(services, MovedClock())
    scheme.clerk = next(actor.party for actor in cast.staff if actor.label == "wekesa")
    scheme._numbers = iter([number])  # type: ignore[assignment]
    return await scheme.customer(name)


async def test_a_town_has_talked_goes_on_talking_and_its_agents_pay_in_what_strangers_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterfoil.commands.demo.fill.FIRST_DAY", 5)
    monkeypatch.setattr("counterfoil.commands.demo.fill.PEOPLE_WITH_PIN", 1)
    monkeypatch.setattr(counter_module, "COUNTING_MS", (1, 20))
    mark = prepare(tmp_path, None)
    async with app.running(load({}, data=str(tmp_path), port=0, check_interval_s=0)) as services:
        cast = await settled(services, mark, CLOCK, Output(as_json=False, progress=False))
        await check_talk(services, cast)
        early = await newcomer(services, cast, "Early bird", 254_712_000_001)
        agent = cast.agents[0]
        waits = await ask(early, agent.account, 2_000)
        serving = asyncio.create_task(Counter(services, cast, Dice("counter"), CLOCK).run())
        try:
            await until(lambda: early.balance() == 2_000)
            person = await newcomer(services, cast, "You", 254_712_000_002)
            asked = [await ask(person, agent.account, amount) for amount in (5_000, 1_000)]
            await until(lambda: person.balance() == 6_000)
            for request in (waits, *asked):
                assert (await services.requests.find(request, agent.account)).state is RequestState.PAID
            await check_refusal(services, person, agent.account)
            await check_greeting(services, person, agent.account)
            await check_announcement(services, cast, person)
            assert not serving.done()
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def ask(person: Newcomer, agent: int, amount: int, *, purpose: int = 1) -> int:
    """Asks an agent to take cash, as a wallet does."""
    stand_in = Newcomer(person.scheme, party=0, account=agent, device=0, key=person.key, address="")
    return await person.ask(stand_in, amount, purpose=purpose)


async def until(holds: object) -> None:
    assert callable(holds)
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


async def check_talk(services: Services, cast: Cast) -> None:
    """People of one language talk by turns, with shops too; each line is kept."""
    talk = services.conversations
    threads = [thread for actor in cast.people for thread in await talk.threads(actor.account)]
    assert len(threads) > 15, "the first words"
    by_account = {actor.account: actor for actor in (*cast.people, *cast.merchants)}
    talking = Talking(services, cast, Dice("talk"), CLOCK)
    for _ in range(40):
        await talking.step()
    assert talking.written == 40
    seen = set()
    for actor in cast.people:
        for thread in await talk.threads(actor.account):
            other = by_account[thread.other].who
            assert isinstance(actor.who, Person)
            seen.add(type(other))
            assert isinstance(other, Merchant) or (isinstance(other, Person) and other.language == actor.who.language)
    assert seen == {Person, Merchant}


async def check_refusal(services: Services, person: Newcomer, agent: int) -> None:
    """More than an agent may pay at once is not paid in, nor what is no cash; and the agent goes on serving."""
    before = person.balance()
    most = (await services.parties.holder(agent)).limits.per_payment
    asked = [await ask(person, agent, most + 1), await ask(person, agent, 70, purpose=0), await ask(person, agent, 50)]
    await until(lambda: person.balance() == before + 50)
    states = [(await services.requests.find(request, agent)).state for request in asked]
    assert states == [RequestState.OPEN, RequestState.OPEN, RequestState.PAID]


async def check_greeting(services: Services, person: Newcomer, agent: int) -> None:
    """A stranger hears how to get money, once; the town's own people are not answered twice."""
    talk = services.conversations
    for text in ("hello", "hello?"):
        await talk.send(id=new_id(CLOCK), sender=person.account, recipient=agent, text=text)
    async with asyncio.timeout(60):
        while (await talk.thread(agent, person.account)).unread:
            await asyncio.sleep(0.02)

    async def answers() -> list[str]:
        return [message.text for message in await talk.messages(person.account, agent) if message.sender == agent]

    async with asyncio.timeout(60):
        while not await answers():  # read first, and answered then
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    assert await answers() == [counter_module._ANSWERS["en"]]


async def check_announcement(services: Services, cast: Cast, person: Newcomer) -> None:
    """The scheme writes to everybody: nobody greets it, and the agents go on serving."""
    talk, staff = services.conversations, {actor.label: actor.party for actor in cast.staff}
    said = msgspec.json.encode(Announcement(texts={"en": "We are closed on Friday."}, to="kind", value="agent"))
    proposal = await services.approvals.propose(new_id(CLOCK), KIND, said, reason="holiday", by=staff["garnier"])
    await services.approvals.approve(proposal.id, by=staff["hale"])
    for agent in cast.agents:
        async with asyncio.timeout(60):
            while not await talk.messages(agent.account, talk.scheme_account):
                await asyncio.sleep(0.02)
    before = person.balance()
    for agent in cast.agents:
        await ask(person, agent.account, 30)
    await until(lambda: person.balance() == before + 30 * len(cast.agents))


def test_every_language_of_the_town_has_something_to_say() -> None:
    assert {person.language for person in town().people} == set(talk_module._PEOPLE)
    for scripts in (*talk_module._PEOPLE.values(), *talk_module._SHOPS.values()):
        for script in scripts:
            assert len(script) >= 2
            assert all(0 < len(line) <= 1_000 for line in script)
