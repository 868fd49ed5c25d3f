"""The town of the day: it is opened, lives for a day in ten-minute steps, and its books are laid side by side at night."""

from __future__ import annotations

import asyncio
import functools
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from counterfoil.acceptance.fuel.pumps import Product
from counterfoil.acceptance.fuel.pumps import Pump as StationPump
from counterfoil.acceptance.parking.parks import CarPark
from counterfoil.acceptance.types import Right
from counterfoil.clock import SystemClock
from counterfoil.commands.gate.folder import Folder as GateFolder
from counterfoil.commands.pairing import PairedFolder, Pairing
from counterfoil.commands.pump.folder import Folder as PumpFolder
from counterfoil.config import Config
from counterfoil.ids import id_text, new_id
from counterfoil.parties.types import PartyKind
from tests.commands.desk import run
from tests.scheme import DAY_S, Person, Scheme, opened
from tests.simulation.day.machines import FULL_TANK, HOLD, PARK, PRICE, TARIFF, Car, Forecourt, Gates
from tests.simulation.day.shops import CLERK_PIN, CheckOut, Driver, Goods, Shop
from tests.simulation.day.weather import House, SharedClock, Weather
from tests.simulation.processes import Server, Servers, servers

FUNDS = 400_000
STEP_MINUTES = 10
OPENS, CLOSES = 6 * 60, 23 * 60 + 30
"""Minutes of the day."""
LANES, PUMPS, CHECK_OUTS = 2, 4, 6
PLACES = 2 * LANES + PUMPS + CHECK_OUTS
ERRANDS_OF_ONE = 12
"""How many errands one person of the town runs in the day, about."""


class Size(msgspec.Struct, frozen=True):
    """How much happens. `kills`: of the server, in the middle of its work."""

    cars: int
    fills: int
    baskets: int
    kills: int


class Town:
    """The people, the three shops, and what is to happen in each step of the day."""

    def __init__(self, data: Path, size: Size, seed: int, *, loses: float = 0.05, dies: float = 0.015) -> None:
        self.data = data
        self.size = size
        self.random = random.Random(seed)
        self.clock = SharedClock(data.parent / "offset")
        self.house = House()
        self.weather = Weather(seed, loses=loses, dies=dies)
        self.network = Weather(seed + 1, loses=loses, dies=0)
        self.network.counts = self.weather.counts
        self.people: list[Driver] = []
        self.books: list[dict[str, Any]] = []

    async def live(self) -> None:
        """The whole day. AssertionError where any two books do not agree."""
        self.clock.offset_s = DAY_S - self.clock.now_ns() / 10**9 % DAY_S + 60  # the scheme's days are UTC's
        self._midnight = self.clock.now_ns() // 10**9 // DAY_S * DAY_S
        async with opened(self.data, self.clock) as scheme:
            await self._open(scheme)
        at_clock = functools.partial(live_at, self.data.parent / "offset")
        # threads of their own: who waits for a server that is away keeps it from no thread that it starts with
        async with servers(at_clock) as forked:
            server = await self._start(forked)
            with ThreadPoolExecutor(PLACES) as threads:
                await asyncio.to_thread(self._open_check_outs)
                for minute, errands in self._day():
                    self._it_is(minute)
                    at_once = [asyncio.wrap_future(threads.submit(_one_after_the_other, queue)) for queue in errands]
                    killing = asyncio.create_task(self._kill(forked, server)) if minute in self._kills else None
                    done = await asyncio.gather(*at_once, return_exceptions=True)
                    server = await killing if killing is not None else server
                    _raised(done)
            await asyncio.to_thread(self._close)
            assert await server.end(signal.SIGTERM) == 0
        async with opened(self.data, self.clock) as scheme:
            await self._compare(scheme)
        checked = await asyncio.to_thread(run, "check", "--data", self.data, "--json")
        assert checked.code == 0, checked

    # In the morning

    async def _open(self, scheme: Scheme) -> None:
        errands = self.size.cars + self.size.fills + self.size.baskets
        count = max(12, errands // ERRANDS_OF_ONE)
        bank = await scheme.institution(funds=FUNDS * (count + 1))
        for number in range(count):
            person = await scheme.customer(f"Person {number}")
            await bank.pay(person, FUNDS)
            self.people.append(Driver(person, FUNDS))
        self.car_park = await self._shop(scheme, "Car park")
        self.station = await self._shop(scheme, "Station")
        self.store = await self._shop(scheme, "Store", CHECK_OUTS)
        acceptance = scheme.services.acceptance
        park = CarPark(
            id=new_id(self.clock),
            account=self.car_park.owner.account,
            name=PARK,
            places=self.size.cars,
            hold=HOLD,
            grace_minutes=15,
            tariff=TARIFF,
        )
        await acceptance.car_parks.put(park)
        self.gates = Gates(self.car_park, self.house, self.weather, self.data.parent / "lanes")
        for lane in range(LANES):
            for way in ("in", "out"):
                await self._pair(scheme, self.car_park, GateFolder(self.gates.folder / f"{way} {lane}"))
        self.forecourts = []
        for number in range(1, PUMPS + 1):
            account = self.station.owner.account
            wanted = StationPump(
                id=new_id(self.clock), account=account, number=number, products=[Product("Diesel", PRICE)], full_tank=FULL_TANK
            )
            await acceptance.pumps.put(wanted)
            folder = self.data.parent / f"pump {number}"
            folder.mkdir()
            await self._pair(scheme, self.station, PumpFolder(folder))
            self.forecourts.append(Forecourt(self.station, self.house, self.weather, folder, number))

    async def _shop(self, scheme: Scheme, name: str, clerks: int = 1) -> Shop:
        owner, acceptance = await scheme.merchant(name), scheme.services.acceptance
        ids = [new_id(self.clock) for _ in range(clerks)]
        for clerk in ids:
            await acceptance.clerks.add(
                id=clerk,
                account=owner.account,
                party=owner.party,
                name="Wanjiru",
                pin=CLERK_PIN,
                rights=frozenset(Right),
                device=owner.device,
            )
        token = await self._token(scheme, owner, name)
        return Shop(owner, self.house, self.network, self.clock, clerks=[id_text(clerk) for clerk in ids], token=token)

    async def _token(self, scheme: Scheme, owner: Person, name: str) -> str:
        acceptance, holder = scheme.services.acceptance, await scheme.services.parties.holder(owner.account)
        assert holder.kind is PartyKind.MERCHANT
        _, code = await acceptance.tills.add(holder, id=new_id(self.clock), name=name, device=owner.device)
        return (await acceptance.tills.pair(code, name))[1]

    async def _pair(self, scheme: Scheme, shop: Shop, folder: PairedFolder) -> None:
        folder.path.mkdir(parents=True, exist_ok=True)
        token = await self._token(scheme, shop.owner, folder.path.name[:20])
        folder.keep_pairing(
            Pairing(
                server="http://127.0.0.1", token=token, till=id_text(1), till_name=folder.path.name, account=id_text(shop.owner.account),
                merchant="Shop",
            )
        )  # fmt: skip

    def _open_check_outs(self) -> None:
        self._it_is(OPENS)
        goods = Goods(self.random.getrandbits(32))
        self.check_outs = [CheckOut(self.store, clerk, goods, self.house, self.network) for clerk in self.store.clerks]

    # In the day

    def _it_is(self, minute: int) -> None:
        ahead = self._midnight + minute * 60 - self.clock.now_ns() / 10**9
        self.clock.offset_s += max(0.0, ahead)

    def _day(self) -> Iterator[tuple[int, list[list[Callable[[], None]]]]]:
        """Steps: the minute, and what happens at each place in it, one after the other."""
        steps = range(OPENS, CLOSES, STEP_MINUTES)
        self._kills = set(self.random.sample(steps, self.size.kills))
        todo: dict[int, list[list[Callable[[], None]]]] = {minute: [[] for _ in range(PLACES)] for minute in (*steps, CLOSES)}
        for number in range(self.size.cars):
            comes = self.random.choice(steps[:-1])
            goes = min(CLOSES, comes + STEP_MINUTES * self.random.randint(1, 40))
            car = Car(f"C{number:05}", self._somebody(), comes, goes, by_hold=self.random.random() < 0.6)
            lane = self.random.randrange(LANES)
            todo[comes][lane].append(functools.partial(self.gates.come_in, f"in {lane}", car))
            todo[goes][LANES + lane].append(functools.partial(self.gates.go_out, f"out {lane}", car))
        for _ in range(self.size.fills):
            pump = self.random.randrange(PUMPS)
            fill = functools.partial(
                self.forecourts[pump].fill_up, self._somebody(), self.random.randint(300, 5_000), power_cut=self.random.random() < 0.05
            )
            todo[self.random.choice(steps)][2 * LANES + pump].append(fill)
        for _ in range(self.size.baskets):
            place, drawn = self.random.randrange(CHECK_OUTS), self.random.random()
            basket = functools.partial(self.check_outs[place].serve, self._somebody(), pays=drawn > 0.04, brings_back=drawn > 0.95)
            todo[self.random.choice(steps)][2 * LANES + PUMPS + place].append(basket)
        yield from todo.items()

    def _somebody(self) -> Driver:
        return self.random.choice(self.people)

    async def _start(self, forked: Servers) -> Server:
        config = Config(data=str(self.data), port=0, sandbox=True, check_interval_s=0)
        server = await forked.start(config, functools.partial(live_at, self.data.parent / "offset"))
        assert server.port, "the server did not start"
        self.house.open(f"http://127.0.0.1:{server.port}")
        return server

    async def _kill(self, forked: Servers, server: Server) -> Server:
        """The server's power goes in the middle of a step, and comes again."""
        await asyncio.sleep(self.random.uniform(0.01, 0.3))
        self.house.up.clear()
        assert await server.end(signal.SIGKILL) == -signal.SIGKILL
        self.weather.count("killed")
        return await self._start(forked)

    # At night

    def _close(self) -> None:
        self._it_is(CLOSES + STEP_MINUTES)
        for shop in (self.car_park, self.station, self.store):
            shop.close_day()

    async def _compare(self, scheme: Scheme) -> None:
        """Devices' books, shops' closings, customers' books and the ledger: the same to the unit."""
        ledger = scheme.services.ledger
        for name, shop in (("car park", self.car_park), ("station", self.station), ("store", self.store)):
            account = ledger.account_now(shop.owner.account)
            assert account is not None
            balance = account.credits_posted - account.debits_posted
            book = {
                "shop": name, "sales": shop.sales, "devices": shop.taken, "closing": shop.closed["gross"], "given_back": shop.refunded,
                "closing_given_back": shop.closed["refunded"], "fees": shop.closed["fees"], "ledger": balance, "set_aside": account.credits_pending,
            }  # fmt: skip
            self.books.append(book)
            assert (book["closing"], book["closing_given_back"]) == (book["devices"], book["given_back"]), book
            assert balance == shop.taken - shop.refunded - shop.closed["fees"], book
            assert (shop.closed["sales"], shop.closed["refunds"]) == (shop.sales, shop.refunds), (book, shop.closed)
            assert book["set_aside"] == 0, book
        litres = sum(forecourt.pump.totaliser - forecourt.began_with for forecourt in self.forecourts)
        assert litres > 0 or not self.size.fills
        for driver in self.people:
            account = ledger.account_now(driver.person.account)
            assert account is not None
            assert account.credits_posted - account.debits_posted == driver.expected, id_text(driver.person.account)
            assert account.debits_pending == 0, "something is still set aside"


def live_at(offset: Path) -> None:
    """In this process it is from now on as late as the file says."""
    clock = SharedClock(offset)
    SystemClock.now_ns = staticmethod(clock.now_ns)


def _raised(outcomes: Sequence[object]) -> None:
    """Raises what went wrong first, once all have ended: nobody is left at work behind a test that failed."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def _one_after_the_other(errands: list[Callable[[], None]]) -> None:
    for errand in errands:
        errand()
