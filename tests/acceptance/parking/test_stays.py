"""Random histories of a car park against a model of a few lines, on every store: holds, time, lost answers, everything again.

The model knows what each driver agreed to and when; what it says has to be what their accounts lost, to the unit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from alembic import command
from sqlalchemy import Connection, select

from counterfoil.acceptance.parking.parks import CarPark
from counterfoil.acceptance.parking.tables import stay_charges
from counterfoil.acceptance.parking.tariff import Band, Tariff, fee
from counterfoil.acceptance.parking.values import Parked, Stay
from counterfoil.acceptance.types import Clerk, Right, Sale, SaleState, Till
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import AccountFrozen, AlreadyInside, CarParkFull, NotInThisState, TooLarge, Unavailable
from counterfoil.ids import new_id
from counterfoil.payments.orders import OrderKind
from counterfoil.store.migrations import configuration
from tests.scheme import Person, Scheme, opened

TARIFF = Tariff(free_minutes=10, bands=(Band(60, 200), Band(30, 50)), day_cap=1_000, lost_ticket=700)
HOLD, GRACE, PLACES = 500, 15, 3
MINUTE = 60 * NANOSECONDS
FUNDS = 1_000_000
STEPS = 70


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def scheme(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scheme]:
    url = request.getfixturevalue("postgres_tables_url") if request.param == "postgresql" else ""
    async with opened(tmp_path / "scheme", store=url, ledger=url) as running:
        yield running


class Driver(msgspec.Struct):
    """A car and who drives it. `holds`: when each goes back; `spent`: for this stay, `before`: for those that ended, as the model has it."""

    person: Person
    stay: Stay | None = None
    holds: list[int] = []
    lost: bool = False
    spent: int = 0
    before: int = 0


class Gate:
    """A car park with a gate, where nobody stands, and a clerk in the office."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.acceptance = scheme.services.acceptance
        self.stays = self.acceptance.stays
        self.till: Till
        self.clerk: Clerk
        self.park: CarPark

    async def open(self, **terms: int) -> None:
        scheme, shop = self.scheme, await self.scheme.merchant("Garage")
        self.shop = shop
        holder = await scheme.services.parties.holder(shop.account)
        _, code = await self.acceptance.tills.add(holder, id=new_id(scheme.clock), name="Gate", device=shop.device)
        self.till, _ = await self.acceptance.tills.pair(code, "Gate")
        rights = [Right.SELL, Right.CAPTURE, Right.REFUND]
        self.clerk = await self.acceptance.clerks.add(
            id=new_id(scheme.clock), account=shop.account, party=shop.party, name="Wanjiru", pin="2580", rights=rights, device=shop.device
        )
        given = {"places": PLACES, "hold": HOLD, "grace_minutes": GRACE} | terms
        wanted = CarPark(id=new_id(scheme.clock), account=shop.account, name="Market", tariff=TARIFF, **given)
        self.park = await self.acceptance.car_parks.put(wanted)

    def wait(self, minutes: float) -> None:
        self.scheme.clock.offset_s += round(minutes * 60)

    def now(self) -> int:
        return self.scheme.clock.now_ns()

    async def enter(self, *, hold: bool = False, plate: str | None = None) -> Parked:
        given = {"id": new_id(self.scheme.clock), "car_park": self.park.id, "entered_at": self.now(), "plate": plate, "hold": hold}
        first = await self.stays.enter(self.till, **given)  # type: ignore[arg-type]
        again = await self.stays.enter(self.till, **given)  # type: ignore[arg-type]
        assert (again.stay, again.entry) == (first.stay, first.entry)
        return first

    async def leave(self, stay: Stay, passage: int) -> Parked:
        """Sent three times at once, as by a gate on a bad network; then once more."""
        answers = await asyncio.gather(*(self.stays.leave(stay, self.till, passage=passage) for _ in range(3)), return_exceptions=True)
        for answer in answers:
            assert not isinstance(answer, BaseException) or isinstance(answer, Unavailable), answer
        return await self.stays.leave(await self.stays.find(stay.id, stay.account), self.till, passage=passage)

    async def agree(self, person: Person, sale: Sale, *, hours: float = 12) -> None:
        kind = {"kind": OrderKind.HOLD, "timeout_s": round(hours * 3600)} if sale.hold else {}
        order = person.order(self.shop, sale.amount, reference=sale.id, **kind)
        await self.scheme.services.payments.pay(person.sign(order))


@pytest_asyncio.fixture
async def gate(scheme: Scheme) -> Gate:
    gate = Gate(scheme)
    await gate.open()
    return gate


async def test_whoever_has_money_set_aside_only_drives(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True, plate="KAA 123-b")
    assert (parked.stay.plate, parked.due) == ("KAA123B", 0)
    assert parked.entry is not None
    await gate.agree(ada, parked.entry[0])
    assert (ada.available(), (await gate.stays.of_plate(gate.shop.account, "kaa123B")).id) == (FUNDS - HOLD, parked.stay.id)
    gate.wait(95)
    looked = await gate.stays.look(parked.stay)
    assert (looked.fee, looked.due, looked.held) == (300, 0, HOLD)
    passage = new_id(gate.scheme.clock)
    left = await gate.leave(parked.stay, passage)
    assert (left.stay.left_at is not None, left.fee, left.settled, left.due) == (True, 300, 300, 0)
    assert (ada.balance(), ada.available()) == (FUNDS - 300, FUNDS - 300)
    gate.wait(600)
    assert (await gate.stays.leave(left.stay, gate.till, passage=passage)).fee == 300
    with pytest.raises(NotInThisState):
        await gate.stays.leave(left.stay, gate.till, passage=new_id(gate.scheme.clock))


async def test_within_the_free_minutes_all_goes_back(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True)
    assert parked.entry is not None
    await gate.agree(ada, parked.entry[0])
    gate.wait(10)
    left = await gate.leave(parked.stay, new_id(gate.scheme.clock))
    assert (left.fee, left.stay.left_at is not None, ada.available()) == (0, True, FUNDS)


async def test_whoever_pays_at_the_station_has_time_to_leave(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    stay = (await gate.enter()).stay
    gate.wait(59)
    first = await gate.stays.charge(stay, gate.till)
    assert first.asked is not None
    assert (first.due, first.asked[1].amount, first.asked[1].lines[0].name[:6]) == (200, 200, "Market")
    gate.wait(5)  # another band has begun: what was asked for stays good
    again = await gate.stays.charge(stay, gate.till)
    assert again.asked is not None
    assert again.asked[1].id == first.asked[1].id
    waiting = await gate.leave(stay, new_id(gate.scheme.clock))
    assert (waiting.stay.left_at, waiting.due) == (None, 250)
    await gate.agree(ada, first.asked[1])
    gate.wait(GRACE - 1)
    left = await gate.leave(stay, new_id(gate.scheme.clock))
    assert (left.stay.left_at is not None, left.fee, left.settled, ada.balance()) == (True, 200, 200, FUNDS - 200)


async def test_whoever_stays_after_paying_pays_the_rest(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    stay = (await gate.enter()).stay
    gate.wait(30)
    asked = (await gate.stays.charge(stay, gate.till)).asked
    assert asked is not None
    await gate.agree(ada, asked[1])
    gate.wait(61)
    waiting = await gate.leave(stay, new_id(gate.scheme.clock))
    assert (waiting.fee, waiting.settled, waiting.due) == (300, 200, 100)
    assert waiting.asked is not None
    await gate.agree(ada, waiting.asked[1])
    left = await gate.leave(stay, new_id(gate.scheme.clock))
    assert (left.stay.left_at is not None, ada.balance()) == (True, FUNDS - 300)


async def test_what_was_asked_for_long_ago_is_taken_back_and_asked_anew(gate: Gate) -> None:
    stay = (await gate.enter()).stay
    gate.wait(30)
    first = (await gate.stays.charge(stay, gate.till)).asked
    gate.wait(45)
    second = (await gate.stays.charge(stay, gate.till)).asked
    assert first is not None
    assert second is not None
    assert (first[1].amount, second[1].amount) == (200, 250)
    assert (await gate.acceptance.sales.standing(first[1])).state is SaleState.CANCELLED


async def test_a_hold_that_expires_while_the_car_is_inside_is_asked_for_at_the_way_out(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True)
    assert parked.entry is not None
    await gate.agree(ada, parked.entry[0], hours=1)
    gate.wait(90)
    waiting = await gate.leave(parked.stay, new_id(gate.scheme.clock))
    assert (waiting.due, waiting.stay.left_at) == (250, None)
    assert waiting.asked is not None
    await gate.agree(ada, waiting.asked[1])
    assert (await gate.leave(parked.stay, new_id(gate.scheme.clock))).stay.left_at is not None
    assert ada.balance() == FUNDS - 250


async def test_a_fee_above_what_is_held_is_taken_and_the_rest_is_asked_for(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True)
    assert parked.entry is not None
    await gate.agree(ada, parked.entry[0], hours=48)
    gate.wait(24 * 60)
    assert (await gate.stays.look(parked.stay)).due == 500
    waiting = await gate.leave(parked.stay, new_id(gate.scheme.clock))
    assert (waiting.settled, waiting.due) == (500, 500)
    assert waiting.asked is not None
    await gate.agree(ada, waiting.asked[1])
    assert (await gate.leave(parked.stay, new_id(gate.scheme.clock))).stay.left_at is not None
    assert ada.balance() == FUNDS - 1_000


async def test_a_hold_that_nobody_agreed_to_cannot_be_agreed_to_after_leaving(gate: Gate) -> None:
    parked = await gate.enter(hold=True)
    gate.wait(5)
    left = await gate.leave(parked.stay, new_id(gate.scheme.clock))
    assert left.entry is not None
    assert (left.stay.left_at is not None, left.entry[1].state) == (True, SaleState.CANCELLED)


async def test_a_lost_ticket_costs_what_it_costs_and_a_longer_stay_more(gate: Gate) -> None:
    short, long = (await gate.enter()).stay, (await gate.enter()).stay
    assert (await gate.stays.lose_ticket(short)).due == 700
    gate.wait(24 * 60)
    assert (await gate.stays.lose_ticket(long)).due == 1_000


async def test_somebody_is_let_out_unpaid_and_that_is_written_down(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True)
    assert parked.entry is not None
    await gate.agree(ada, parked.entry[0], hours=48)
    gate.wait(20 * 60)
    passage = new_id(gate.scheme.clock)
    out = await gate.stays.let_out(parked.stay, gate.till, gate.clerk, passage=passage, reason="Ambulance behind")
    again = await gate.stays.let_out(out.stay, gate.till, gate.clerk, passage=passage, reason="Ambulance behind")
    assert again.stay == out.stay
    assert (out.stay.unpaid, out.stay.reason, ada.balance()) == (500, "Ambulance behind", FUNDS - 500)


async def test_a_full_car_park_lets_nobody_in_and_one_plate_is_inside_once(gate: Gate) -> None:
    first = await gate.enter(plate="AA 1")
    with pytest.raises(AlreadyInside):
        await gate.enter(plate="aa-1")
    for _ in range(PLACES - 1):
        await gate.enter()
    with pytest.raises(CarParkFull):
        await gate.enter()
    assert [park.taken for park in await gate.acceptance.car_parks.list(gate.shop.account)] == [PLACES]
    assert len(await gate.stays.inside(gate.shop.account, gate.park.id)) == PLACES
    await gate.leave(first.stay, new_id(gate.scheme.clock))
    await gate.enter(plate="AA 1")


async def test_at_a_gate_without_a_network_it_costs_what_it_cost_then(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True)
    assert parked.entry is not None
    await gate.agree(ada, parked.entry[0])
    gate.wait(30)
    then = gate.now()
    gate.wait(300)
    passage = new_id(gate.scheme.clock)
    left = await gate.stays.leave(parked.stay, gate.till, passage=passage, at=then)
    assert (left.fee, left.stay.left_at, ada.balance()) == (200, then, FUNDS - 200)


async def test_whoever_is_asked_and_then_agrees_to_the_hold_pays_once(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True)
    gate.wait(30)
    asked = (await gate.stays.charge(parked.stay, gate.till)).asked
    assert asked is not None
    assert parked.entry is not None
    await gate.agree(ada, parked.entry[0])
    left = await gate.leave(parked.stay, new_id(gate.scheme.clock))
    assert (left.settled, left.stay.left_at is not None, ada.available()) == (200, True, FUNDS - 200)
    assert (await gate.acceptance.sales.standing(asked[1])).state is SaleState.CANCELLED


async def test_a_server_that_died_after_taking_asks_for_nothing_more(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True)
    assert parked.entry is not None
    await gate.agree(ada, parked.entry[0])
    gate.wait(55)
    passage = new_id(gate.scheme.clock)

    async def die(*_given: object) -> Parked:
        raise Unavailable

    with monkeypatch.context() as dying:
        dying.setattr(gate.stays, "_end", die)
        with pytest.raises(Unavailable):
            await gate.stays.leave(parked.stay, gate.till, passage=passage)
    gate.wait(GRACE - 1)  # another band would have begun
    left = await gate.leave(parked.stay, passage)
    assert (left.fee, left.stay.left_at is not None, ada.available()) == (200, True, FUNDS - 200)


async def test_whoever_sets_more_aside_may_stay_longer_and_gets_back_what_is_not_needed(gate: Gate) -> None:
    ada, kofi = await gate.scheme.customer(funds=FUNDS), await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=True)
    assert parked.entry is not None
    with_free_minutes = parked.stay.entered_at + 11 * MINUTE
    assert parked.covered_until == with_free_minutes
    await gate.agree(ada, parked.entry[0], hours=48)
    looked = await gate.stays.look(parked.stay)
    assert (looked.covered_until, looked.payer) == (parked.stay.entered_at + 241 * MINUTE, ada.account)  # 200 + 6 of 50
    gate.wait(240)
    waiting, again = [await gate.stays.extend(parked.stay, gate.till) for _ in range(2)]
    assert waiting.wanted is not None
    assert again.wanted is not None
    assert (waiting.wanted.id, waiting.wanted.amount) == (again.wanted.id, HOLD)
    await gate.agree(kofi, waiting.wanted, hours=48)
    longer = await gate.stays.look(parked.stay)
    assert (longer.held, longer.payer) == (2 * HOLD, kofi.account)
    assert longer.covered_until == parked.stay.entered_at + (24 * 60 + 1) * MINUTE
    gate.wait(30)
    left = await gate.leave(parked.stay, new_id(gate.scheme.clock))
    assert (left.stay.left_at is not None, left.fee, left.settled) == (True, 550, 550)
    assert [(each.balance(), each.available()) for each in (ada, kofi)] == [(FUNDS - 500, FUNDS - 500), (FUNDS - 50, FUNDS - 50)]
    with pytest.raises(NotInThisState):
        await gate.stays.extend(left.stay, gate.till)


async def test_of_several_holds_that_are_not_needed_all_go_back(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter()
    for _ in range(3):
        wanted = (await gate.stays.extend(parked.stay, gate.till)).wanted
        assert wanted is not None
        await gate.agree(ada, wanted)
    gate.wait(30)
    open_still = (await gate.stays.extend(parked.stay, gate.till)).wanted
    assert open_still is not None
    left = await gate.leave(parked.stay, new_id(gate.scheme.clock))
    assert (left.settled, ada.balance(), ada.available()) == (200, FUNDS - 200, FUNDS - 200)
    assert (await gate.acceptance.sales.standing(open_still)).state is SaleState.CANCELLED


async def test_nobody_sets_more_aside_for_a_car_that_is_leaving(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server died after it had written down that more is wanted: whoever comes back to it later finds it taken back."""
    stay = (await gate.enter()).stay

    async def die(*_given: object) -> None:
        raise Unavailable

    with monkeypatch.context() as dying:
        dying.setattr(gate.stays, "_set_aside", die)
        with pytest.raises(Unavailable):
            await gate.stays.extend(stay, gate.till)
    left = await gate.leave(stay, new_id(gate.scheme.clock))
    assert left.stay.left_at is not None
    assert [standing.state for _, standing in left.holds] == [SaleState.CANCELLED]


async def test_more_that_is_wanted_when_a_car_has_just_left_is_refused(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    stay, look, gone = (await gate.enter()).stay, gate.stays.look, list[Parked]()

    async def leaves_then(stay: Stay, at: int | None = None) -> Parked:
        parked = await look(stay, at)
        if at is None and not gone:
            gone.append(parked)
            await gate.stays.leave(stay, gate.till, passage=new_id(gate.scheme.clock))
        return parked

    monkeypatch.setattr(gate.stays, "look", leaves_then)
    with pytest.raises(NotInThisState):
        await gate.stays.extend(stay, gate.till)
    assert (await look(await gate.stays.find(stay.id, stay.account))).charges == []


async def test_more_that_is_wanted_while_a_car_leaves_is_taken_back_or_keeps_it(gate: Gate) -> None:
    for _ in range(5):
        stay = (await gate.enter()).stay
        leaving = gate.stays.leave(stay, gate.till, passage=new_id(gate.scheme.clock))
        answer, left = await asyncio.gather(gate.stays.extend(stay, gate.till), leaving, return_exceptions=True)
        assert isinstance(left, Parked), left
        assert left.stay.left_at is not None
        assert isinstance(answer, Parked | NotInThisState | Unavailable), answer
        assert (await gate.stays.look(left.stay)).wanted is None


@pytest.mark.parametrize("at_entry", [True, False])
async def test_a_server_that_died_between_two_holds_takes_the_same_fee_of_the_second(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, at_entry: bool
) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    parked = await gate.enter(hold=at_entry)
    for _ in range(2):
        wanted = (await gate.stays.extend(parked.stay, gate.till)).wanted
        assert wanted is not None
        await gate.agree(ada, wanted, hours=48)
    gate.wait(265)
    passage, capture = new_id(gate.scheme.clock), gate.acceptance.sales.capture

    async def die(sale: Sale, *given: object, **named: object) -> object:
        if wanted is not None and sale.id == wanted.id:
            raise Unavailable
        return await capture(sale, *given, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as dying:
        dying.setattr(gate.acceptance.sales, "capture", die)
        with pytest.raises(Unavailable):
            await gate.stays.leave(parked.stay, gate.till, passage=passage)
    gate.wait(GRACE - 1)  # another band would have begun
    left = await gate.leave(parked.stay, passage)
    assert (left.fee, left.settled, left.stay.left_at is not None, ada.available()) == (550, 550, True, FUNDS - 550)


async def test_more_is_set_aside_so_often_and_no_oftener(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterfoil.acceptance.parking.stays.EXTENSIONS_MAX", 1)
    ada, stay = await gate.scheme.customer(funds=FUNDS), (await gate.enter()).stay
    wanted = (await gate.stays.extend(stay, gate.till)).wanted
    assert wanted is not None
    await gate.agree(ada, wanted)
    with pytest.raises(TooLarge):
        await gate.stays.extend(stay, gate.till)


async def test_of_two_cars_with_one_ticket_one_leaves(gate: Gate) -> None:
    stay = (await gate.enter()).stay
    passages = [new_id(gate.scheme.clock) for _ in range(4)]
    answers = await asyncio.gather(*(gate.stays.leave(stay, gate.till, passage=passage) for passage in passages), return_exceptions=True)
    left = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert [type(answer) for answer in answers if isinstance(answer, BaseException)] == [NotInThisState] * 3
    assert [each.stay.passage in passages for each in left] == [True]


async def test_a_clerk_who_gives_it_back_at_that_moment_is_no_failure_of_the_gate(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    for _ in range(5):
        parked = await gate.enter(hold=True)
        assert parked.entry is not None
        await gate.agree(ada, parked.entry[0])
        gate.wait(30)
        leaving = gate.stays.leave(parked.stay, gate.till, passage=new_id(gate.scheme.clock))
        giving = gate.acceptance.sales.release(parked.entry[0], gate.till, gate.clerk, id=new_id(gate.scheme.clock))
        given, answer = await asyncio.gather(giving, leaving, return_exceptions=True)
        assert isinstance(answer, Parked), answer
        assert (answer.settled, answer.due) == ((200, 0) if isinstance(given, BaseException) else (0, 200))
        if answer.due:
            await gate.stays.let_out(answer.stay, gate.till, gate.clerk, passage=new_id(gate.scheme.clock), reason="Given back")


async def test_while_somebody_pays_nothing_else_is_asked_for(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their order waits for the ledger: whoever was asked once more meanwhile would pay twice."""
    ada, payments = await gate.scheme.customer(funds=FUNDS), gate.scheme.services.payments
    stay = (await gate.enter()).stay
    gate.wait(95)
    first = (await gate.stays.charge(stay, gate.till)).asked
    assert first is not None
    order = ada.order(gate.shop, 300, reference=first[1].id, expiry_ms=gate.now() // 1_000_000 + 86_400_000)

    async def away(*_: object) -> None:
        raise Unavailable("the ledger does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(payments.ledger, "create_transfers", away)
        with pytest.raises(Unavailable):
            await payments.pay(ada.sign(order))
    gate.wait(GRACE + 1)
    with pytest.raises(Unavailable):
        await gate.stays.charge(stay, gate.till)
    assert len((await gate.stays.look(stay)).charges) == 1
    await payments.pay(ada.sign(order))
    assert (await gate.leave(stay, new_id(gate.scheme.clock))).stay.left_at is not None
    assert ada.balance() == FUNDS - 300


async def test_an_entry_is_repeated_also_when_it_could_not_be_made_any_more(gate: Gate) -> None:
    scheme, staff = gate.scheme, gate.scheme.services.parties.staff
    given = {"id": new_id(scheme.clock), "car_park": gate.park.id, "entered_at": gate.now(), "hold": True}
    first = await gate.stays.enter(gate.till, **given)  # type: ignore[arg-type]
    await staff.freeze(new_id(scheme.clock), gate.shop.party, reason="a court", by=scheme.supervisors[0], lifetime_s=3_600)
    again = await gate.stays.enter(gate.till, **given)  # type: ignore[arg-type]
    assert (again.stay, again.entry) == (first.stay, first.entry)


async def test_an_entry_whose_hold_is_refused_leaves_nobody_inside(gate: Gate) -> None:
    scheme, staff = gate.scheme, gate.scheme.services.parties.staff
    await staff.freeze(new_id(scheme.clock), gate.shop.party, reason="a court", by=scheme.supervisors[0], lifetime_s=3_600)
    with pytest.raises(AccountFrozen):
        await gate.enter(hold=True, plate="AA 1")
    assert await gate.stays.inside(gate.shop.account, gate.park.id) == []


async def test_what_was_asked_for_last_is_known_also_when_the_clock_goes_back(gate: Gate) -> None:
    stay = (await gate.enter()).stay
    gate.wait(30)
    first = (await gate.stays.charge(stay, gate.till)).asked
    gate.wait(-5)
    second = (await gate.stays.charge(stay, gate.till)).asked
    third = (await gate.stays.charge(stay, gate.till)).asked
    assert first is not None
    assert second is not None
    assert third is not None
    assert first[1].id != second[1].id == third[1].id
    assert (await gate.acceptance.sales.standing(first[1])).state is SaleState.CANCELLED


async def test_charges_of_before_they_had_numbers_get_them_in_the_order_of_their_ids(gate: Gate, request: pytest.FixtureRequest) -> None:
    store, query = (
        gate.scheme.services.store,
        select(stay_charges.c.id, stay_charges.c.number).order_by(stay_charges.c.stay, stay_charges.c.id),
    )
    for _ in range(2):
        stay = (await gate.enter()).stay
        for _ in range(3):
            gate.wait(30)
            await gate.stays.charge(stay, gate.till)
    kept = await store.read(lambda connection: connection.execute(query).all())

    def go_back_and_on(connection: Connection) -> None:
        for statement in (
            "DROP INDEX ix_stay_charges_stay",
            "ALTER TABLE stay_charges DROP COLUMN number",
            "CREATE INDEX ix_stay_charges_stay ON stay_charges (stay)",
            "UPDATE alembic_version SET version_num = '0017'",
        ):
            connection.exec_driver_sql(statement)
        command.upgrade(configuration(connection), "0018")

    await store.write(go_back_and_on)
    assert [row.number for row in kept] == [1, 2, 3, 1, 2, 3]
    assert await store.read(lambda connection: connection.execute(query).all()) == kept


async def test_who_is_inside_keeps_the_prices_of_the_entry(gate: Gate) -> None:
    stay = (await gate.enter()).stay
    dearer = msgspec.structs.replace(gate.park, tariff=Tariff(bands=(Band(1, 10_000),)))
    await gate.acceptance.car_parks.put(dearer)
    gate.wait(30)
    assert (await gate.stays.look(await gate.stays.find(stay.id, stay.account))).fee == 200


class World(Gate):
    """Drivers who do anything at any time. What each has agreed to is taken from no table, but reckoned here."""

    async def begin(self, seed: int) -> None:
        await self.open()
        self.random = random.Random(seed)
        self.drivers = [Driver(await self.scheme.customer(funds=FUNDS)) for _ in range(PLACES)]

    async def step(self) -> None:
        driver = self.random.choice(self.drivers)
        if driver.stay is None:
            await self.come(driver)
            return
        what = self.random.choice(("wait", "wait", "look", "charge", "pay", "lose", "extend", "extend", "leave", "leave", "out"))
        if what == "wait":
            self.wait(self.random.choice((0.5, 3, 8, 14, 40, 200, 1500)))
        elif what == "lose":
            driver.lost = True
            driver.stay = (await self.stays.lose_ticket(driver.stay)).stay
        elif what == "charge":
            await self.stays.charge(driver.stay, self.till)
        elif what == "pay":
            asked = (await self.stays.look(driver.stay)).asked
            if asked is not None:
                await self.agree(driver.person, asked[1])
                driver.spent += asked[1].amount
        elif what == "extend":
            await self.more(driver)
        elif what == "leave":
            await self.go(driver)
        elif what == "out":
            await self.out(driver)
        await self.agrees(driver)

    async def come(self, driver: Driver) -> None:
        parked = await self.enter(hold=self.random.random() < 0.7)
        driver.before += driver.spent
        driver.stay, driver.spent, driver.holds, driver.lost = parked.stay, 0, [], False
        if parked.entry is not None and self.random.random() < 0.8:
            await self.set_aside(driver, parked.entry[0])

    async def set_aside(self, driver: Driver, sale: Sale) -> None:
        hours = self.random.choice((0.5, 3, 40))
        await self.agree(driver.person, sale, hours=hours)
        driver.holds.append(self.now() + round(hours * 3600) * NANOSECONDS)

    async def more(self, driver: Driver) -> None:
        """Asked for several times at once, it is one sale."""
        stay = driver.stay
        assert stay is not None
        answers = await asyncio.gather(*(self.stays.extend(stay, self.till) for _ in range(3)))
        wanted = {each.wanted.id: each.wanted for each in answers if each.wanted is not None}
        assert len(wanted) == 1
        if self.random.random() < 0.7:
            await self.set_aside(driver, *wanted.values())

    def reckoned(self, driver: Driver) -> int:
        assert driver.stay is not None
        price = fee(TARIFF, driver.stay.entered_at, self.now())
        return max(price, TARIFF.lost_ticket) if driver.lost else price

    def take(self, driver: Driver, wanted: int) -> None:
        """What the holds that stand give of what is wanted; the rest is the driver's again."""
        for until in driver.holds:
            if until > self.now():
                driver.spent += min(HOLD, max(0, wanted - driver.spent))
        driver.holds = []

    async def go(self, driver: Driver) -> None:
        stay = driver.stay
        assert stay is not None
        before = await self.stays.look(stay)
        assert before.fee <= self.reckoned(driver), "nobody pays for longer than they were there"
        parked = await self.leave(stay, new_id(self.scheme.clock))
        self.take(driver, before.fee)
        if parked.stay.left_at is None:
            assert parked.due > 0
            assert parked.settled + parked.due == parked.fee
            assert parked.asked is not None
        else:
            assert parked.due == 0
            assert driver.spent >= parked.fee
            await self.agrees(driver)
            driver.stay = None

    async def out(self, driver: Driver) -> None:
        stay = driver.stay
        assert stay is not None
        before = await self.stays.look(stay)
        parked = await self.stays.let_out(stay, self.till, self.clerk, passage=new_id(self.scheme.clock), reason="Broken barrier")
        self.take(driver, before.fee)
        assert parked.stay.unpaid == max(0, before.fee - driver.spent)
        await self.agrees(driver)
        driver.stay = None

    async def agrees(self, driver: Driver) -> None:
        """The driver's account lost what the model says, all told, and no stay took more than was asked or held."""
        assert FUNDS - driver.person.balance() == driver.before + driver.spent
        held = [until for until in driver.holds if until > self.now()]
        if driver.stay is not None:
            parked = await self.stays.look(driver.stay)
            assert (parked.settled, parked.held) == (driver.spent, HOLD * len(held))
            if parked.covered_until is not None:
                assert parked.due == 0
                assert parked.covered_until > self.now()


@pytest.mark.parametrize("seed", range(4))
async def test_histories(scheme: Scheme, seed: int) -> None:
    world = World(scheme)
    await world.begin(seed)
    for _ in range(STEPS):
        await world.step()
    for driver in world.drivers:
        await world.agrees(driver)
    total = sum(driver.before + driver.spent for driver in world.drivers)
    inside = await world.stays.inside(world.shop.account, world.park.id)
    assert {stay.id for stay in inside} == {driver.stay.id for driver in world.drivers if driver.stay}
    assert total > 0
