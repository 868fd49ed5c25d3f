"""A card at a shop's desk: what `counterfoil terminal` and the server need from the tap to the question, and from the PIN to "paid".

The program's own desk, whose sale is on its disk before it is sent; a real server over HTTP on the loopback, everything durable, argon2id
for the PIN; a card that answers in the same process, so that its radio takes no time. What people need to hold the card there and to type
is not counted, nor a way through a network. Above `card_unproved_max` card and server prove each other in four more exchanges.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import Measure, Options, Workload, interleave, measures
from counterfoil.clock import SystemClock
from counterfoil.commands.client import Client
from counterfoil.commands.terminal.desk import Desk
from counterfoil.commands.terminal.folder import Folder
from counterfoil.commands.terminal.reading import Reading
from counterfoil.commands.terminal.till import Till
from tests.acceptance.cards.plastic import Plastic
from tests.commands.counter import PIN, Counter, OnReader, People, furnished
from tests.web.site import serving

FUNDS = 1_000_000
SMALL, LARGE, PROVED_ABOVE = "1.00", "2.00", 150
"""Below and above `card_unproved_max`, and that; small, so that one person may pay a day's worth of them by PIN."""
SALES = 40
"""Of one run; of these the 95th percentile is told."""


class Watched(People):
    """Clerk and payer. `took`: seconds of each sale that nobody waited for them."""

    def __init__(self, typed: list[str]) -> None:
        super().__init__([*typed])
        self.tapped_at = self.typed_at = 0.0
        self.waited = 0.0
        self.took: list[float] = []

    def ask_hidden(self, prompt: str) -> str:
        if prompt.startswith("PIN of the card's holder"):
            self.waited = time.perf_counter() - self.tapped_at
        typed = self.ask(prompt)
        self.typed_at = time.perf_counter()
        return typed

    def say(self, text: str) -> None:
        super().say(text)
        if "Paid " in text:
            self.took.append(self.waited + time.perf_counter() - self.typed_at)


class WatchedReader(OnReader):
    """A reader to which the card is held as soon as it is asked for."""

    def __init__(self, card: Plastic, people: Watched) -> None:
        super().__init__([card.tag] * SALES)
        self.people = people

    @contextlib.contextmanager
    def card(self, reader: str) -> Iterator[OnReader]:
        self.people.tapped_at = time.perf_counter()
        with super().card(reader) as held:
            yield held


def sell(counter: Counter, card: Plastic, amount: str, sales: int) -> float:
    """The 95th percentile of so many sales, in milliseconds."""
    people = Watched([*map(str, counter.sign_in), *[amount, "", PIN] * sales])
    field, folder, client = WatchedReader(card, people), Folder(counter.path), Client(counter.server, None, SystemClock())
    pairing = folder.paired()
    reading = Reading(lambda: field, None, say=people.say, pause=client.pause)
    Desk(
        folder=folder, pairing=pairing, till=Till(client, pairing.token), reading=reading, console=people, clock=SystemClock()
    ).run()  # fmt: skip
    assert len(people.took) == sales, people.lines
    return statistics.quantiles(people.took, n=20)[-1] * 1_000


def taps(options: Options) -> list[Measure]:
    """The 95th percentile from tap to "paid", below and above what a card may pay without proving that it is there."""
    sales = 3 if options.quick else SALES

    async def run() -> dict[str, list[float]]:
        with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
            async with serving(Path(folder, "data"), pin_per_day=FUNDS, card_unproved_max=PROVED_ABOVE) as site:
                counter = await furnished(site, Path(folder, "desk"))
                _, card = await counter.payer(FUNDS)
                kinds: dict[str, Callable[[], float]] = {
                    "taps.p95": lambda: sell(counter, card, SMALL, sales),
                    "taps.proved.p95": lambda: sell(counter, card, LARGE, sales),
                }
                return await asyncio.to_thread(lambda: interleave(kinds, runs=2 if options.quick else 5))

    return measures(asyncio.run(run()), unit="ms", baseline=None)


WORKLOADS = [Workload("taps", taps)]
