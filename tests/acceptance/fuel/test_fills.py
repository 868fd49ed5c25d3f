"""Random histories of a fuel station against a model of a few lines, on every store: holds, time, lost answers, everything again.

The model knows who agreed to what and until when, and what each pump gave; what it says has to be what accounts lost, to the unit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from counterfoil.acceptance.fuel.fills import PERMISSION_S, PERMISSION_S_MIN, SETTLE_S, Fill, Filled
from counterfoil.acceptance.fuel.pump import Event, Report, State, cost, volume_limit
from counterfoil.acceptance.fuel.pumps import Product, Pump
from counterfoil.acceptance.types import SaleState, Till
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import (
    AccountFrozen,
    AlreadyTaken,
    FillContradicted,
    FillOutOfOrder,
    IdReused,
    Malformed,
    NotFound,
    NotInThisState,
    PumpBusy,
    Refused,
    Unavailable,
)
from counterfoil.ids import new_id
from counterfoil.payments.orders import OrderKind
from tests.scheme import Person, Scheme, opened

FUNDS = 1_000_000
FULL_TANK = 9_000
DIESEL, PETROL = Product("Diesel", 1_799), Product("Petrol 95", 1_849)
STEPS = 90
HOUR = 3_600


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def scheme(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scheme]:
    url = request.getfixturevalue("postgres_tables_url") if request.param == "postgresql" else ""
    async with opened(tmp_path / "scheme", store=url, ledger=url) as running:
        yield running


class Station:
    """A fuel station with two pumps, each with a totaliser that only fuel moves."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.acceptance = scheme.services.acceptance
        self.fills = self.acceptance.fills
        self.till: Till
        self.pumps: list[Pump] = []
        self.totalisers: dict[int, int] = {}

    async def open(self) -> None:
        self.shop = await self.scheme.merchant("Station")
        holder = await self.scheme.services.parties.holder(self.shop.account)
        _, code = await self.acceptance.tills.add(holder, id=self.fresh(), name="Pumps", device=self.shop.device)
        self.till, _ = await self.acceptance.tills.pair(code, "Pumps")
        for number in (1, 2):
            wanted = Pump(id=self.fresh(), account=self.shop.account, number=number, products=[DIESEL, PETROL], full_tank=FULL_TANK)
            self.pumps.append(await self.acceptance.pumps.put(wanted))
            self.totalisers[wanted.id] = 1_000_000 * number

    def fresh(self) -> int:
        return new_id(self.scheme.clock)

    def wait(self, seconds: int) -> None:
        self.scheme.clock.offset_s += seconds

    async def ask(self, pump: Pump | None = None, amount: int | None = None, product: Product = DIESEL, id: int = 0) -> Fill:
        pump = pump or self.pumps[0]
        filled = await self.fills.authorise(
            self.till, id=id or self.fresh(), pump=pump.id, product=product.name, amount=amount, totaliser=self.totalisers[pump.id]
        )
        return filled.fill

    async def agree(self, person: Person, fill: Fill, *, seconds: int = 12 * HOUR) -> None:
        order = person.order(self.shop, fill.run.limit, reference=fill.id, kind=OrderKind.HOLD, timeout_s=seconds)
        await self.scheme.services.payments.pay(person.sign(order))

    async def report(self, fill: Fill, event: Event, millilitres: int | None = None, *, totaliser: int | None = None) -> Filled:
        """Sent three times at once, as over a bad network; then once more."""
        report = Report(event=event, millilitres=millilitres, totaliser=totaliser)
        answers = await asyncio.gather(*(self.fills.report(fill, self.till, report) for _ in range(3)), return_exceptions=True)
        for answer in answers:
            assert not isinstance(answer, BaseException) or isinstance(answer, (Refused, Unavailable)), answer
        return await self.fills.report(fill, self.till, report)

    async def started(self, person: Person, amount: int | None = None, **more: int) -> Fill:
        fill = await self.ask(amount=amount)
        await self.agree(person, fill, **more)
        await self.fills.permit(fill, self.till)
        return (await self.report(fill, Event.STARTED)).fill

    async def done(self, fill: Fill, millilitres: int) -> Filled:
        self.totalisers[fill.pump] = fill.run.before + millilitres
        return await self.report(fill, Event.DONE, millilitres, totaliser=self.totalisers[fill.pump])


@pytest_asyncio.fixture
async def station(scheme: Scheme) -> Station:
    station = Station(scheme)
    await station.open()
    return station


async def test_exactly_what_ran_is_taken_and_the_rest_goes_back(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.ask()
    assert (fill.run.state, fill.run.limit, fill.run.price, fill.volume_max) == (State.IDLE, FULL_TANK, 1_799, 5_003)
    with pytest.raises(NotInThisState):
        await station.fills.permit(fill, station.till)
    await station.agree(ada, fill)
    assert ada.available() == FUNDS - FULL_TANK
    allowed = (await station.report(fill, Event.AUTHORISED)).fill
    assert (allowed.run.state, allowed.until) == (State.AUTHORISED, (await station.fills.permit(fill, station.till)).fill.until)
    await station.report(fill, Event.STARTED)
    await station.report(fill, Event.PROGRESS, 1_200)
    filled = await station.done(fill, 2_500)
    assert (filled.fill.run.charge, filled.unpaid, ada.balance(), ada.available()) == (4_498, 0, FUNDS - 4_498, FUNDS - 4_498)
    assert filled.sale is not None
    assert (filled.sale[1].state, filled.sale[1].captured) == (SaleState.CAPTURED, 4_498)
    assert await station.fills.done(filled.sale[0]) == filled.fill
    station.wait(48 * HOUR)
    assert (await station.fills.look(fill, station.till)).fill == filled.fill
    for millilitres in (2_499, 2_501):
        with pytest.raises(FillContradicted):
            await station.report(fill, Event.DONE, millilitres, totaliser=fill.run.before + millilitres)
    with pytest.raises(FillOutOfOrder):
        await station.report(fill, Event.STARTED)
    assert ada.balance() == FUNDS - 4_498


async def test_where_nothing_ran_all_goes_back(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    filled = await station.done(await station.started(ada), 0)
    assert filled.sale is not None
    assert (filled.sale[1].state, ada.available()) == (SaleState.RELEASED, FUNDS)
    fill = await station.ask()
    await station.agree(ada, fill)
    await station.fills.permit(fill, station.till)
    with pytest.raises(FillContradicted):
        await station.report(fill, Event.ABORTED, totaliser=fill.run.before + 1)
    with pytest.raises(Malformed):
        await station.report(fill, Event.ABORTED)
    assert ada.available() == FUNDS - FULL_TANK
    filled = await station.report(fill, Event.ABORTED, totaliser=fill.run.before)
    assert (filled.fill.run.state, ada.available()) == (State.ABORTED, FUNDS)


async def test_what_was_aborted_before_somebody_agreed_cannot_be_agreed_to(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.ask()
    filled = await station.report(fill, Event.ABORTED)
    assert filled.sale is not None
    assert filled.sale[1].state is SaleState.CANCELLED
    with pytest.raises(Refused):
        await station.agree(ada, fill)
    again = await station.ask(id=fill.id)
    assert (again.run.state, ada.available()) == (State.ABORTED, FUNDS)


async def test_a_hold_that_was_agreed_to_while_it_was_aborted_goes_back(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.ask()
    await asyncio.gather(station.agree(ada, fill), station.report(fill, Event.ABORTED), return_exceptions=True)
    await station.fills.look(fill, station.till)
    assert ada.available() == FUNDS


async def test_a_silent_pump_is_unknown_until_its_totaliser_was_read(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.started(ada)
    await station.report(fill, Event.PROGRESS, 700)
    assert (await station.report(fill, Event.SILENT)).fill.run.state is State.TIMED_OUT
    assert (ada.balance(), ada.available()) == (FUNDS, FUNDS - FULL_TANK), "nothing is guessed"
    with pytest.raises(PumpBusy):
        await station.ask()
    with pytest.raises(FillOutOfOrder):
        await station.report(fill, Event.ABORTED, totaliser=fill.run.before)
    with pytest.raises(FillContradicted):
        await station.report(fill, Event.DONE, 699, totaliser=fill.run.before + 699)
    await station.done(fill, 1_000)
    assert ada.balance() == FUNDS - 1_799
    await station.ask()


async def test_a_pump_that_did_not_stop_takes_the_limit_and_the_rest_is_told(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.started(ada, 2_000)
    filled = await station.done(fill, 2_000)
    assert (ada.balance(), filled.fill.run.charge, filled.unpaid) == (FUNDS - 2_000, 2_000, 1_598)


async def test_a_permission_ends_in_good_time_before_the_hold_does(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.ask()
    await station.agree(ada, fill, seconds=SETTLE_S + 600)
    until = (await station.fills.permit(fill, station.till)).fill.until
    assert until is not None
    left = until - station.scheme.clock.now_ns()
    assert 0 < left <= 600 * NANOSECONDS < PERMISSION_S * NANOSECONDS
    station.wait(700)
    await station.report(fill, Event.STARTED)
    await station.done(fill, 1_000)
    assert ada.balance() == FUNDS - 1_799, "the report came late, but before the hold was over"


@pytest.mark.parametrize("seconds", [SETTLE_S + PERMISSION_S_MIN - 1, 30])
async def test_a_hold_that_is_over_too_soon_permits_nothing(station: Station, seconds: int) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.ask()
    await station.agree(ada, fill, seconds=seconds)
    filled = await station.fills.permit(fill, station.till)
    assert (filled.fill.run.state, filled.fill.until, ada.available()) == (State.ABORTED, None, FUNDS)


async def test_what_ran_under_a_hold_that_is_over_is_told_and_not_taken(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.started(ada, seconds=HOUR)
    station.wait(HOUR + 1)
    filled = await station.done(fill, 1_000)
    assert (filled.fill.run.state, filled.unpaid, ada.balance()) == (State.DONE, 1_799, FUNDS)


async def test_what_is_left_unpaid_is_asked_for_and_paid_once(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.started(ada, 2_000)
    with pytest.raises(FillOutOfOrder):
        await station.fills.ask_rest(fill, station.till)
    await station.done(fill, 2_000)
    make = station.fills.sales.make

    async def die(*_given: object, **_named: object) -> None:
        raise Unavailable

    with monkeypatch.context() as dying:
        dying.setattr(station.fills.sales, "make", die)
        with pytest.raises(Unavailable):
            await station.fills.ask_rest(fill, station.till)
    assert station.fills.sales.make == make
    answers = await asyncio.gather(*(station.fills.ask_rest(fill, station.till) for _ in range(4)))
    asked = {each.rest[0].id: each.rest[0] for each in answers if each.rest is not None}
    assert [(sale.amount, sale.hold) for sale in asked.values()] == [(1_598, False)]
    (first,) = asked.values()
    assert (await station.fills.look(fill, station.till)).unpaid == 1_598
    station.wait(2 * HOUR)
    anew = (await station.fills.ask_rest(fill, station.till)).rest
    assert anew is not None
    assert anew[0].id != first.id
    order = ada.order(station.shop, 1_598, reference=anew[0].id)
    await station.scheme.services.payments.pay(ada.sign(order))
    for _ in range(2):
        paid = await station.fills.ask_rest(fill, station.till)
        assert paid.rest is not None
        assert (paid.unpaid, paid.rest[0].id, ada.balance()) == (0, anew[0].id, FUNDS - 3_598)


async def test_a_fill_that_nobody_agrees_to_leaves_the_pump_free(station: Station) -> None:
    fill = await station.ask()
    with pytest.raises(PumpBusy):
        await station.ask()
    station.wait(2 * HOUR)
    await station.ask()
    assert (await station.fills.find(fill.id, fill.account)).run.state is State.ABORTED


async def test_two_that_ask_for_one_pump_do_not_both_get_it(station: Station) -> None:
    answers = await asyncio.gather(*(station.ask() for _ in range(4)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Fill", "PumpBusy", "PumpBusy", "PumpBusy"]


async def test_the_same_fuel_is_not_sold_twice(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.started(ada)
    await station.done(fill, 1_000)
    station.totalisers[fill.pump] -= 1
    with pytest.raises(FillContradicted):
        await station.ask()


async def test_what_cannot_be_asked_for_is_refused(station: Station) -> None:
    fill, pump = await station.ask(), station.pumps[1]
    with pytest.raises(IdReused):
        await station.ask(id=fill.id, amount=500)
    for amount in (0, FULL_TANK + 1):
        with pytest.raises(Malformed):
            await station.ask(pump, amount)
    with pytest.raises(NotFound):
        await station.ask(pump, product=Product("Kerosene", 1))
    with pytest.raises(NotFound):
        await station.fills.find(fill.id, station.fresh())
    with pytest.raises(AlreadyTaken):
        await station.acceptance.pumps.put(msgspec.structs.replace(pump, number=1))
    with pytest.raises(IdReused):
        await station.acceptance.pumps.put(msgspec.structs.replace(pump, account=station.fresh()))
    for wrong in ([], [DIESEL, DIESEL], [Product("Diesel", 0)], [Product("D" * 31, 1)]):
        with pytest.raises(Malformed):
            await station.acceptance.pumps.put(msgspec.structs.replace(pump, products=wrong))


async def test_a_fill_keeps_the_price_that_it_was_asked_for_under(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.started(ada)
    await station.acceptance.pumps.put(msgspec.structs.replace(station.pumps[0], products=[Product("Diesel", 9_999)]))
    await station.done(fill, 1_000)
    assert ada.balance() == FUNDS - 1_799
    assert (await station.ask()).run.price == 9_999


async def test_what_could_not_be_taken_at_once_is_taken_when_somebody_looks_again(station: Station) -> None:
    scheme = station.scheme
    ada, staff = await scheme.customer(funds=FUNDS), scheme.services.parties.staff
    fill = await station.started(ada)
    freeze = await staff.freeze(new_id(scheme.clock), station.shop.party, reason="a court", by=scheme.supervisors[0], lifetime_s=HOUR)
    for _ in range(2):
        with pytest.raises(Refused):
            await station.done(fill, 1_000)
    assert (ada.balance(), (await station.fills.find(fill.id, fill.account)).run.state) == (FUNDS, State.DONE)
    await staff.unfreeze(freeze.id, reason="the court again", by=scheme.supervisors[1])
    filled = await station.fills.look(fill, station.till)
    assert (filled.unpaid, ada.balance(), ada.available()) == (0, FUNDS - 1_799, FUNDS - 1_799)


async def test_a_station_that_may_not_take_money_keeps_no_fill(station: Station) -> None:
    scheme, staff = station.scheme, station.scheme.services.parties.staff
    await staff.freeze(new_id(scheme.clock), station.shop.party, reason="a court", by=scheme.supervisors[0], lifetime_s=HOUR)
    with pytest.raises(AccountFrozen):
        await station.ask()
    assert await station.fills.list(station.shop.account) == []


async def test_a_hold_that_was_given_back_by_hand_permits_nothing(station: Station) -> None:
    ada = await station.scheme.customer(funds=FUNDS)
    fill = await station.ask()
    await station.agree(ada, fill)
    sale = await station.acceptance.sales.find(fill.id, fill.account)
    await station.acceptance.sales.release(sale, station.till, None, id=station.fresh())
    with pytest.raises(FillOutOfOrder):
        await station.fills.permit(fill, station.till)


class Model(msgspec.Struct):
    """A fill as whoever watches the pump knows it. `held_until`: of the hold, ns; None where none stands."""

    fill: Fill
    payer: Person
    held_until: int | None = None
    allowed: bool = False
    started: bool = False
    ran: int = 0


class World(Station):
    """Drivers and pumps that do anything at any time."""

    async def begin(self, seed: int) -> None:
        await self.open()
        self.random = random.Random(seed)
        self.people = [await self.scheme.customer(funds=FUNDS) for _ in range(3)]
        self.lost = {person.account: 0 for person in self.people}
        self.at: dict[int, Model | None] = {pump.id: None for pump in self.pumps}
        self.unpaid = 0
        self.charged = 0

    async def step(self) -> None:
        pump = self.random.choice(self.pumps)
        model = self.at[pump.id]
        if model is None:
            payer, amount = self.random.choice(self.people), self.random.choice((None, 7, 700, FULL_TANK))
            fill = await self.ask(pump, amount, self.random.choice((DIESEL, PETROL)))
            self.at[pump.id] = Model(fill=fill, payer=payer)
            return
        usual = "agree" if model.held_until is None else "permit" if not model.allowed else "run" if model.started else "start"
        odd = self.random.choice(("agree", "permit", "start", "run", "silent", "wrong", "end", "abort", "wait"))
        again = "end" if model.ran and self.random.random() < 0.5 else usual
        await getattr(self, f"do_{again if self.random.random() < 0.7 else odd}")(model)
        await self.check(model)

    async def do_agree(self, model: Model) -> None:
        seconds = self.random.choice((700, HOUR, 12 * HOUR))
        if model.held_until is None and not model.allowed:
            try:
                await self.agree(model.payer, model.fill, seconds=seconds)
            except Refused:
                return
            model.held_until = self.scheme.clock.now_ns() + seconds * NANOSECONDS

    async def do_permit(self, model: Model) -> None:
        try:
            filled = await self.fills.permit(model.fill, self.till)
        except Refused:
            return
        if filled.fill.run.state is State.AUTHORISED:
            assert model.held_until is not None, "nothing may run before the hold stands"
            assert filled.fill.until is not None
            assert filled.fill.until + SETTLE_S * NANOSECONDS <= model.held_until + NANOSECONDS
            model.allowed = True

    async def do_start(self, model: Model) -> None:
        if model.allowed:
            model.started = True
        try:
            await self.report(model.fill, Event.STARTED)
        except FillOutOfOrder:
            return
        assert model.started

    async def do_run(self, model: Model) -> None:
        if not model.started:
            return
        most = volume_limit(model.fill.run.limit, model.fill.run.price)
        model.ran += self.random.choice((0, 1, most // 3, most // 2))
        if self.random.random() < 0.9:
            model.ran = min(model.ran, most)
        self.totalisers[model.fill.pump] = model.fill.run.before + model.ran
        try:
            await self.report(model.fill, Event.PROGRESS, model.ran)
        except FillOutOfOrder:  # it is thought to be silent
            return

    async def do_silent(self, model: Model) -> None:
        try:
            await self.report(model.fill, Event.SILENT)
        except FillOutOfOrder:
            assert not model.allowed

    async def do_wrong(self, model: Model) -> None:
        """Reports that no totaliser bears out."""
        for millilitres in (model.ran + 1, model.ran - 1):
            with pytest.raises(Refused):
                await self.report(model.fill, Event.DONE, millilitres, totaliser=self.totalisers[model.fill.pump])
        if model.ran and model.allowed:
            with pytest.raises(Refused):
                await self.report(model.fill, Event.ABORTED, totaliser=self.totalisers[model.fill.pump])

    async def do_end(self, model: Model) -> None:
        try:
            filled = await self.report(model.fill, Event.DONE, model.ran, totaliser=self.totalisers[model.fill.pump])
        except FillOutOfOrder:
            return
        run = filled.fill.run
        price = cost(model.ran, run.price)
        held = model.held_until is not None and model.held_until > self.scheme.clock.now_ns()
        taken = min(price, run.limit) if held else 0
        assert filled.unpaid == price - taken
        self.lost[model.payer.account] += taken
        self.charged += taken
        self.unpaid += price - taken
        self.at[model.fill.pump] = None

    async def do_abort(self, model: Model) -> None:
        try:
            await self.report(model.fill, Event.ABORTED, totaliser=self.totalisers[model.fill.pump])
        except (FillOutOfOrder, FillContradicted):
            return
        assert model.ran == 0
        self.at[model.fill.pump] = None

    async def do_wait(self, model: Model) -> None:
        self.wait(self.random.choice((5, 60, 600, 4_000)))

    async def check(self, model: Model) -> None:
        for person in self.people:
            assert FUNDS - person.balance() == self.lost[person.account]
        if self.random.random() < 0.3:
            filled = await self.fills.look(model.fill, self.till)
            if filled.fill.run.is_over:
                self.at[model.fill.pump] = None


@pytest.mark.parametrize("seed", range(3))
async def test_histories(scheme: Scheme, seed: int) -> None:
    world = World(scheme)
    await world.begin(seed)
    for _ in range(STEPS):
        await world.step()
    for model in [model for model in world.at.values() if model is not None]:
        await world.report(model.fill, Event.SILENT) if model.allowed else None
        await (world.do_end(model) if model.allowed else world.do_abort(model))
    world.wait(24 * HOUR)
    everything = await world.fills.list(world.shop.account)
    assert not await world.fills.list(world.shop.account, only_open=True)
    taken = 0
    for fill in everything:
        filled = await world.fills.look(fill, world.till)
        assert filled.sale is not None
        assert len([action for action in filled.sale[1].actions if action.kind == "capture"]) <= 1
        taken += filled.sale[1].captured
    if len(everything) < 50:
        assert taken == world.charged
    for person in world.people:
        assert person.balance() == FUNDS - world.lost[person.account]
    total = sum(world.lost.values())
    assert world.charged == total
    assert total > 5_000, "too little happened"
    assert total * 0.97 <= world.shop.balance() <= total  # less the fees for merchants
