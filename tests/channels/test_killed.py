"""The server is killed by SIGKILL at every step of telling somebody something: it is told, once, and under one id however often.

One life tells something undisturbed; its steps (see `cuts`) are those at which later lives die, one after the other, each telling
something new. What is in doubt when a life dies, since it was handed over and that is not written down yet, is handed over once
more under the same id, and once more if the next life dies there too. Nothing else is handed over twice, and nothing is lost.

Through Kannel, which knows no ids, nothing is shown twice either: its reports end the doubt.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import httpx2
import pytest

from counterfoil.gateway_settings import SmsGateway
from tests.channels.dying import Aggregator, House, Telling, house
from tests.channels.push.browser import push_service
from tests.channels.receiver import Request, receiving
from tests.kannel import PASSWORD, SENDER, USER, kannel
from tests.scheme import Person

SECRET = "a-secret-of-a-gateway"


class Told:
    """Who was told what so far: each handing over by its id, by channel."""

    def __init__(self) -> None:
        self.ids: dict[str, list[str]] = {"sms": [], "push": [], "shop": []}
        self.end = ""
        """The channel in whose hands the server dies, as soon as one more is there."""
        self.kill: Callable[[], None] = lambda: None

    def hear(self, channel: str, id: str) -> None:
        self.ids[channel].append(id)
        if self.end == channel:
            self.end = ""
            self.kill()


class Sweep:
    """Dies at all steps of telling something, at each of them once."""

    def __init__(self, house: House, told: Told) -> None:
        self.house = house
        self.told = told
        self.seen: set[str] = set()
        told.kill = house.kill

    async def over(self, way: Callable[[], Telling], channel: str, *, news: int = 1, every: int = 1) -> None:
        """`way` tells `news` new things by `channel`. Steps of an earlier sweep are left out, and all but each `every`th."""
        steps = [*await self._steps(way, channel, news), f"hands {channel}"]
        in_doubt = _in_doubt(steps, channel)
        for step in [each for each in steps if each not in self.seen][::every]:
            self.seen.add(step)
            before = Counter(self.told.ids[channel])
            times = 2 if step in in_doubt else 1
            await self._die(step, way(), times)
            await self._told(channel, len(before) + news)
            after = Counter(self.told.ids[channel])
            assert before.items() <= after.items(), (step, "what had been told is told again")
            assert max((after - before).values()) == (1 + times if step in in_doubt else 1), (step, after - before)

    async def _steps(self, way: Callable[[], Telling], channel: str, news: int) -> list[str]:
        """Of a life that is not disturbed, each once; of one COMMIT, one before it and one after."""
        taken, count = len(self.house.book.taken()), len({*self.told.ids[channel]})
        await way()()
        await self._told(channel, count + news)
        return moments(self.house.book.taken(taken))

    async def _told(self, channel: str, count: int) -> None:
        await self.house.settled(lambda: len({*self.told.ids[channel]}) == count)

    async def _die(self, step: str, tell: Telling, times: int) -> None:
        """Of that step, and as often again in lives that begin with it. Then somebody insists on being heard, and a life goes on."""
        for time in range(times):
            self.told.end = step.removeprefix("hands ") if step.startswith("hands ") else ""
            self.house.book.arm("" if self.told.end else step)
            if time == 0:
                await dying(tell)
            else:
                await self.house.begin()
            await self.house.died()
        self.house.book.arm("")
        await self.house.begin()
        await tell()


def moments(taken: Sequence[str]) -> list[str]:
    """Steps in order, each once, and of those that are one moment the first."""
    firsts = [next(group) for verb, group in itertools.groupby(taken, _moment) if verb] + [each for each in taken if not _moment(each)]
    return [each for each in dict.fromkeys(taken) if each in firsts]


def _moment(step: str) -> str:
    """What all steps of one COMMIT have in common; "" for a step that is a moment of its own."""
    verb = step.partition(" ")[0]
    return verb if verb in ("keeping", "kept") else ""


def _in_doubt(steps: Sequence[str], channel: str) -> set[str]:
    """From the moment in which somebody else has it until that is written down."""
    after = steps[steps.index(f"answered {channel}") :]
    return {step for step in after if not step.startswith("kept")}


async def dying(tell: Telling) -> None:
    """Tells a server that may have no answer for us any more."""
    with contextlib.suppress(httpx2.TransportError):
        await tell()


async def swept(folder: Path, *, url: str = "", every: int = 1) -> House:
    """Everybody is told something in all ways, and everything dies at all steps of it, or at each `every`th."""
    told = Told()
    with receiving() as texts, receiving() as shop, push_service() as push:
        aggregator = Aggregator(texts, partial(told.hear, "sms"))

        def woken(_: Request) -> int:
            told.hear("push", push.ids[-1].hex())
            return 201

        def at_the_shop(request: Request) -> int:
            told.hear("shop", request.id)
            return 204

        push.answer, shop.answer = woken, at_the_shop
        peers = {texts.port: "sms", shop.port: "shop", push.receiver.port: "push"}
        gateway = SmsGateway(name="main", kind="http", url=texts.url(), password="a token", rate_per_s=1_000)
        async with house(folder, gateway, peers, push, shop.url("/hook"), url=url) as found:
            await found.begin()
            await found.settled(lambda: True)
            sweep = Sweep(found, told)
            await sweep.over(lambda: found.pay(found.phone()), "sms", every=every)
            await sweep.over(found.write, "sms", every=every)
            await sweep.over(found.announce, "sms", news=2, every=every)
            await sweep.over(lambda: found.pay(found.shop), "shop", every=every)
            found.heard = push.ids
            await sweep.over(lambda: found.pay(found.woken), "push", every=every)
        assert aggregator.shown.keys() == {*told.ids["sms"]}
        assert len({request.body for request in shop.requests}) == len({*told.ids["shop"]}), "the same id is the same body"
    return found


@pytest.mark.slow(minutes=1)
@pytest.mark.timeout(600)
async def test_killed_at_every_step_it_tells_everybody_once(tmp_path: Path) -> None:
    found = await swept(tmp_path)
    assert found.kills > 50, "or the sweep has lost its steps"


@pytest.mark.slow(minutes=0.5)
@pytest.mark.timeout(600)
async def test_killed_at_some_of_the_steps_it_does_so_on_postgresql_too(tmp_path: Path, postgres_url: str) -> None:
    found = await swept(tmp_path, url=postgres_url, every=5)
    assert found.kills > 8


@pytest.mark.slow(minutes=0.5)
@pytest.mark.timeout(600)
async def test_killed_at_every_step_it_shows_a_text_once_through_kannel(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    callback = f"http://127.0.0.1:{port}"
    with kannel(tmp_path / "kannel", f"{callback}/sms/main/{SECRET}") as one, receiving() as shop, push_service() as push:
        one.start()
        one.start_network()
        gateway = SmsGateway(
            name="main", kind="kannel", url=one.url, user=USER, password=PASSWORD, sender=SENDER, callback=callback, secret=SECRET,
            addresses=("127.0.0.0/8",), rate_per_s=1_000,
        )  # fmt: skip
        async with house(tmp_path, gateway, {httpx2.URL(one.url).port or 0: "sms"}, push, shop.url(), port=port) as found:

            def shown(to: Person) -> int:
                """Of texts about money."""
                return sum(each.number == to.address and "Amina" in each.text for each in one.shown())

            def is_reported() -> bool:
                return any(step.startswith("kept sms_messages next_attempt_at,reported_at") for step in found.book.taken(begun))

            await found.begin()
            await found.settled(lambda: True)  # they were welcomed
            first, begun = found.phone(), len(found.book.taken())
            await found.pay(first)()
            await found.settled(lambda: shown(first) == 1 and is_reported())
            steps = moments(found.book.taken(begun))
            for step in steps:
                to = found.phone()
                tell = found.pay(to)
                found.book.arm(step)
                await dying(tell)
                await found.died()
                found.book.arm("")
                await asyncio.to_thread(one.rest)
                if not shown(to):
                    found.a_day_passes()  # nobody has the text, so no report will come
                await found.begin()
                await tell()
                await found.settled(lambda to=to: shown(to) == 1)  # type: ignore[misc]
            counted = [shown(phone) for phone in found.phones]
            assert Counter(counted) == {1: 1 + len(steps), 0: len(found.phones) - 1 - len(steps)}
