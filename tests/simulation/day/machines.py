"""Lanes and pumps of the day: the programs that stand there, on machines that lose their power and begin anew."""

from __future__ import annotations

import contextlib
import math
import random
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Literal

from counterfoil.acceptance.parking.tariff import Band, Tariff
from counterfoil.clock import SystemClock
from counterfoil.commands.client import ServerRefused
from counterfoil.commands.gate.lane import Lane
from counterfoil.commands.pump.controller import Controller
from counterfoil.commands.pump.simulator import Pump
from tests.commands.counter import Killed
from tests.commands.test_gate import Dying as GateFolder
from tests.commands.test_gate import Lines
from tests.commands.test_pump import Cut, begin, served
from tests.commands.test_pump import Dying as PumpFolder
from tests.simulation.day.shops import Driver, Shop
from tests.simulation.day.weather import Disk, House, Weather, Wire

PARK = "Market"
TARIFF = Tariff(free_minutes=10, bands=(Band(60, 200), Band(30, 50)), day_cap=1_000, lost_ticket=700)
HOLD = 500
PRICE, FULL_TANK = 1_799, 9_000
DEVICE_STARTS_MAX = 200
ROUNDS_MAX = 400


def cost(millilitres: int) -> int:
    """Minor units for fuel, with pencil and paper."""
    return int((Decimal(millilitres) * PRICE / 1_000).quantize(Decimal(1), ROUND_HALF_UP))


def fee(minutes: int) -> int:
    """Minor units for a stay of less than a day, with pencil and paper."""
    if minutes <= TARIFF.free_minutes:
        return 0
    return min(1_000, 200 + 50 * max(0, math.ceil((minutes - 60) / 30)))


class Car:
    """A car, its driver, and when it comes and goes, in minutes of the day."""

    def __init__(self, plate: str, driver: Driver, comes: int, goes: int, *, by_hold: bool) -> None:
        self.plate = plate
        self.driver = driver
        self.comes = comes
        self.goes = goes
        self.by_hold = by_hold
        self.stay = ""
        self.held = 0


class Gates:
    """A car park's lanes; each has a machine of its own."""

    def __init__(self, shop: Shop, house: House, weather: Weather, folder: Path) -> None:
        self.shop = shop
        self.house = house
        self.weather = weather
        self.disk = Disk(weather, dies=weather.dies)
        self.folder = folder

    def come_in(self, lane: str, car: Car) -> None:
        for _ in range(DEVICE_STARTS_MAX):
            said = self._run(lane, "in", car.plate, by_hold=car.by_hold)
            if any(("Ticket" in line and car.plate in line) or "Somebody is inside with this plate" in line for line in said):
                break  # what it tells of the car before is not meant
        view = self._stay(car)
        car.stay = view["id"]
        if car.by_hold:
            car.held = car.driver.pay(self.shop.wire, view["hold"])

    def go_out(self, lane: str, car: Car) -> None:
        """Until the car is out, however often the lane begins anew. What it cost goes into the book of the car park."""

        def pays() -> None:
            asked = self._stay(car)["asked"]
            if asked is not None and asked["state"] == "open":
                car.driver.pay(self.shop.wire, asked)
                self.shop.sales += 1

        for _ in range(DEVICE_STARTS_MAX):
            said = "\n".join(self._run(lane, "out", car.plate, meanwhile=pays))
            if re.search(
                rf"^Left {car.plate}:|{car.plate} was let out when the gate stopped|nobody is inside with this", said, re.MULTILINE
            ):
                break
        left = self._stay(car)
        assert (left["left_at"] is not None, left["due"], left["unpaid"]) == (True, 0, 0), left
        assert left["fee"] == fee(left["minutes"]), left
        assert abs(left["minutes"] - (car.goes - car.comes)) <= 2, (left, car.comes, car.goes)
        self.shop.taken += left["fee"]
        if car.held and left["fee"]:  # what was asked for on top is in the driver's book already
            car.driver.expected -= min(car.held, left["fee"])
            self.shop.sales += 1

    def _stay(self, car: Car) -> Any:
        caller = self.shop.caller()
        if car.stay:
            return self.shop.ask(caller, "GET", f"/v1/till/stays/{car.stay}")
        return self.shop.ask(caller, "POST", "/v1/till/stays/find", {"plate": car.plate})

    def _run(
        self, lane: str, way: Literal["in", "out"], plate: str, *, by_hold: bool = False, meanwhile: Callable[[], None] = lambda: None
    ) -> list[str]:
        """What the lane has said to one line, until it had no more to do or no more power."""
        folder, lines = GateFolder(self.folder / lane, self.disk), Lines([plate])
        wire = Waiting(self.house, self.weather, self.shop.clock, meanwhile)
        machine = Lane(
            folder=folder, pairing=folder.paired(), gate=self.shop.caller(wire), barrier=None, console=lines, clock=self.shop.clock,
            way=way, car_park=PARK, hold=by_hold,
        )  # fmt: skip
        with contextlib.suppress(Killed):
            machine.run()
        return lines.lines


class Waiting(Wire):
    """A lane's wire: while the lane waits, the driver pays."""

    def __init__(self, house: House, weather: Weather, clock: SystemClock, meanwhile: Callable[[], None]) -> None:
        super().__init__(house, weather, clock)
        self.meanwhile = meanwhile

    def pause(self, seconds: float) -> None:
        if seconds >= 1:
            self.meanwhile()


class Forecourt:
    """One pump, with a controller that dies, on a line that breaks; and the pump loses its power, too."""

    def __init__(self, shop: Shop, house: House, weather: Weather, folder: Path, number: int) -> None:
        self.shop = shop
        self.house = house
        self.weather = weather
        self.disk = Disk(weather, dies=weather.dies)
        self.folder = folder
        self.number = number
        self.random = random.Random(weather.random.getrandbits(32))
        (folder / "totaliser").write_text("1000000")
        self.pump = Pump(folder / "totaliser", shop.clock)
        self.began_with = self.pump.totaliser

    def fill_up(self, driver: Driver, millilitres: int, *, power_cut: bool) -> None:
        with served(self.pump) as serving:
            self._fill_up(driver, millilitres, power_cut, serving.address)

    def _fill_up(self, driver: Driver, millilitres: int, power_cut: bool, address: str) -> None:
        before, ran, fill, agreed = self.pump.totaliser, 0, "", False
        self.pump.choose("Diesel")
        controller = self._started(address)
        for _ in range(ROUNDS_MAX):
            try:
                controller.round()
            except Killed:
                controller.line.close()
                controller = self._started(address)
            kept = controller.folder.fill()
            fill = kept.id if kept is not None else fill
            if kept is None and ran:
                break
            if kept is not None and not agreed and self.pump.shown:
                agreed = self._agree(driver, kept.id)
            if ran < millilitres and self.pump.lift():
                gave = self.pump.run(self.random.randint(1, millilitres - ran))
                ran = ran + gave if gave else millilitres
                if power_cut and ran:
                    self.pump.lose_power()
                    power_cut, ran = False, millilitres
            elif ran:
                self.pump.hang_up()
        else:
            raise AssertionError(("the fill did not end", fill, self.pump.status(0)))
        controller.line.close()
        done = self.shop.ask(self.shop.caller(), "GET", f"/v1/till/fills/{fill}")
        charge = cost(self.pump.totaliser - before)
        assert (done["state"], done["charge"], done["unpaid"]) == ("done", charge, 0), (done, charge)
        driver.expected -= charge
        self.shop.taken, self.shop.sales = self.shop.taken + charge, self.shop.sales + 1

    def _agree(self, driver: Driver, fill: str) -> bool:
        try:
            view = self.shop.ask(self.shop.caller(), "GET", f"/v1/till/fills/{fill}")
        except ServerRefused:
            return False  # not sent so far
        if view["sale"] is None or view["sale"]["state"] != "open":
            return False
        driver.pay(self.shop.wire, view["sale"])
        return True

    def _started(self, address: str) -> Controller:
        for _ in range(DEVICE_STARTS_MAX):
            folder = PumpFolder(self.folder, self.disk)
            wire = Wire(self.house, self.weather, self.shop.clock)
            controller = Controller(
                folder=folder, pairing=folder.paired(), till=self.shop.caller(wire), line=Cut(address, self.weather), say=lambda _: None,
                clock=self.shop.clock, number=self.number,
            )  # fmt: skip
            try:
                begin(controller)
            except Killed:
                continue
            return controller
        raise AssertionError("the controller never starts")
