"""A shop's desk that takes cards, and everything that can happen to it: a clerk, a payer, a reader, a network, a machine that dies.

counter = await furnished(site, folder)
ran = await counter.run(["1", CLERK_PIN, "12.50", "", PIN], taps=[card])

The desk is the program's own, and so are the server and the card's answers. What is typed and what lies on the reader is the test's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from counterfoil.clock import SystemClock
from counterfoil.commands.client import Client
from counterfoil.commands.output import Failure
from counterfoil.commands.pcsc import ReaderError
from counterfoil.commands.terminal.desk import Desk
from counterfoil.commands.terminal.folder import Folder
from counterfoil.commands.terminal.reading import Reading
from counterfoil.commands.terminal.till import Till
from counterfoil.ids import id_text
from tests.acceptance.cards.plastic import Plastic
from tests.acceptance.cards.tag import Tag
from tests.commands.desk import run
from tests.scheme import Person
from tests.web.site import Site
from tests.web.test_cards import card_of
from tests.web.test_tills import Counter as Shop
from tests.web.test_tills import paired

CLERK_PIN, PIN = "7412", "2580"
READER = "Reader 0"

Typed: TypeAlias = str | type[BaseException]


class Killed(BaseException):
    """The machine has lost its power."""


class Steps:
    """Counts what is done, and dies before or after one of them. `deaths` lists (number, whether it was still done)."""

    def __init__(self, *deaths: tuple[int, bool], error: type[BaseException] = Killed) -> None:
        self.deaths = dict(deaths)
        self.error = error
        self.names: list[str] = []

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        done = self.deaths.get(len(self.names))
        self.names.append(name)
        if done is False:
            raise self.error(f"before {name}")
        yield
        if done is True:
            raise self.error(f"after {name}")


class Network(Client):
    """The program's client, whose requests get lost: on the way there, or the answer on the way back."""

    def __init__(self, server: str, steps: Steps) -> None:
        super().__init__(server, None, SystemClock())
        self.steps = steps

    def pause(self, seconds: float) -> None:
        pass

    def _exchange(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        with self.steps.step(f"{method} {target}"):
            return super()._exchange(method, target, body, headers)


class DyingFolder(Folder):
    """The program's folder, on a machine that dies at a write."""

    def __init__(self, path: Path, steps: Steps) -> None:
        super().__init__(path)
        self.steps = steps

    def write(self, path: Path, kept: Any) -> None:
        with self.steps.step(f"write {path.name}"):
            super().write(path, kept)

    def forget_sale(self) -> None:
        with self.steps.step("forget"):
            super().forget_sale()


class People:
    """Clerk and payer: they type these lines one after the other, and then are gone. An exception is what they do instead."""

    def __init__(self, typed: list[Typed]) -> None:
        self.typed = list(typed)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def ask(self, prompt: str) -> str:
        self.lines.append(prompt)
        if not self.typed:
            raise EOFError
        typed = self.typed.pop(0)
        if isinstance(typed, str):
            return typed
        raise typed

    ask_hidden = ask


class OnReader:
    """A reader, and the cards that are held to it one after the other; when there is none left, the clerk presses Ctrl-C."""

    def __init__(self, tags: list[Tag | Exception], answer: Callable[[Tag, bytes], bytes] | None = None) -> None:
        self.tags = list(tags)
        self.there: Tag | None = None
        self.answer = answer or Tag.transmit
        self.current: Tag

    def __enter__(self) -> OnReader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def chosen(self, name: str | None) -> str:
        return name or READER

    def wait(self, reader: str, *, present: bool, timeout_s: float) -> None:
        if not present:
            self.there = None
        elif self.there is None:
            if not self.tags:
                raise KeyboardInterrupt
            tag = self.tags.pop(0)
            if isinstance(tag, Exception):
                raise tag
            self.there = tag

    @contextlib.contextmanager
    def card(self, reader: str) -> Iterator[OnReader]:
        if self.there is None:
            raise ReaderError("there is none")
        self.current = self.there
        yield self
        self.current.off()

    def transmit(self, command: bytes) -> bytes:
        if self.there is None:
            raise ReaderError("it was taken away")
        return self.answer(self.there, command)

    def take_away(self) -> None:
        self.current.off()
        self.there = None


class Ran:
    """What a desk has said, and how it ended."""

    def __init__(self, people: People, network: Network, error: BaseException | None, on_reader: OnReader) -> None:
        self.text = "\n".join(people.lines)
        self.typed_left = people.typed
        self.steps = network.steps.names
        self.error = error
        self.on_reader = on_reader

    @property
    def failure(self) -> Failure:
        assert isinstance(self.error, Failure), self.error
        return self.error

    def count(self, text: str) -> int:
        return self.text.count(text)


class Counter:
    """A furnished desk in `path`, its shop, and somebody with a card."""

    def __init__(self, site: Site, shop: Shop, path: Path) -> None:
        self.site = site
        self.shop = shop
        self.path = path
        self.server = f"http://127.0.0.1:{site.port}"

    @property
    def sign_in(self) -> list[Typed]:
        return ["1", CLERK_PIN]

    def sale(self, amount: str = "12.50", *pins: Typed) -> list[Typed]:
        return [amount, "", *(pins or (PIN,))]

    async def run(
        self,
        typed: list[Typed],
        taps: list[Tag | Exception] | None = None,
        *,
        network: Steps | None = None,
        disk: Steps | None = None,
        on_reader: OnReader | None = None,
    ) -> Ran:
        """The desk, signed in, until nobody types any more, or it dies. It has to end by itself."""
        people, field = People([*self.sign_in, *typed]), on_reader or OnReader(taps or [])
        folder, client = DyingFolder(self.path, disk or Steps()), Network(self.server, network or Steps())
        pairing = folder.pairing()
        assert pairing is not None
        reading = Reading(lambda: field, None, say=people.say, pause=client.pause)
        till = Till(client, pairing.token)
        desk = Desk(folder=folder, pairing=pairing, till=till, reading=reading, console=people, clock=SystemClock())
        error: BaseException | None = None
        try:
            async with asyncio.timeout(60):
                await asyncio.to_thread(_caught, desk)
        except (_Dead, Failure) as died:
            error = died
        assert PIN not in "\n".join(people.lines)
        return Ran(people, client, error, field)

    def is_open(self) -> bool:
        """Whether the desk's disk has a sale of which the clerk was not told how it ended."""
        return (self.path / "sale.json").exists()

    async def payer(self, funds: int = 100_000) -> tuple[Person, Plastic]:
        person = await self.site.scheme.simple_phone(funds=funds)
        return person, await card_of(self.site, person)

    async def sales(self) -> list[dict[str, Any]]:
        """All sales of the shop today, newest first."""
        found: list[dict[str, Any]] = (await self.shop.ok("GET", "/v1/till/sales"))["sales"]
        return found


class _Dead(Exception):
    """What `Killed` is when it comes out of a thread."""


def _caught(desk: Desk) -> None:
    try:
        desk.run()
    except Killed as died:
        raise _Dead(str(died)) from died


async def furnished(site: Site, path: Path, name: str = "Corner Bakery") -> Counter:
    """A new shop with one clerk, and its desk, paired with the command."""
    shop = await paired(site, await site.scheme.merchant(name))
    counter = Counter(site, shop, path)
    for clerk in (await site.ok(shop.shop, "GET", "/v1/clerks"))["clerks"]:
        await site.ok(shop.shop, "PATCH", f"/v1/clerks/{clerk['id']}", {"pin": CLERK_PIN})
    shop.session = await shop.sign_in(clerk["id"], CLERK_PIN)
    ran = await asyncio.to_thread(run, *(await pair_arguments(counter)))
    assert ran.code == 0, ran.err
    return counter


async def pair_arguments(counter: Counter) -> list[str]:
    """The command that pairs another till of the shop."""
    body = {"id": id_text(int(counter.shop.fresh().replace("-", ""), 16)), "name": "Desk"}
    code = (await counter.site.ok(counter.shop.shop, "POST", "/v1/tills", body))["pairing_code"]
    return ["terminal", "pair", "--server", counter.server, "--code", code, "--label", "Desk 1", "--data", str(counter.path)]
