"""Who parks is told some minutes before what is set aside is no longer enough, once, on a phone of any kind; and sets more aside by USSD."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import select

from counterfoil.acceptance.parking.reminders import AGAIN_S, BEFORE_S, PARKING_ENDS, Reminders
from counterfoil.acceptance.parking.values import Stay
from counterfoil.acceptance.types import Sale
from counterfoil.errors import Unavailable
from counterfoil.ids import new_id
from counterfoil.parties.tables import events, notices
from counterfoil.payments.orders import OrderKind
from tests.acceptance.parking.test_stays import FUNDS, GRACE, HOLD, MINUTE, Gate
from tests.channels.ussd.phone import Phone
from tests.scheme import Person, Scheme, opened

PIN = "2580"
REQUESTS, FIRST, MORE = "4", "1", "1"


@pytest_asyncio.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with opened(tmp_path / "scheme") as running:
        yield running


@pytest_asyncio.fixture
async def gate(scheme: Scheme) -> Gate:
    gate = Gate(scheme)
    await gate.open()
    return gate


async def looked(gate: Gate) -> None:
    """As a server would that was started just now."""
    while await Reminders(gate.stays).look():
        pass


async def told(gate: Gate, person: Person) -> list[dict[str, object]]:
    """What texts said to a simple phone, and the journal to an app."""
    texts = select(notices.c.body).where(notices.c.party == person.party, notices.c.kind == PARKING_ENDS, notices.c.channel == "sms")
    journal = select(events.c.facts).where(events.c.party == person.party, events.c.kind == PARKING_ENDS)
    store = gate.scheme.services.store
    found = await store.read(lambda connection: [*connection.execute(texts).scalars(), *connection.execute(journal).scalars()])
    return [msgspec.json.decode(each) for each in found]


async def parked(gate: Gate, person: Person) -> Stay:
    entered = await gate.enter(hold=True, plate="KAA 1")
    assert entered.entry is not None
    await gate.agree(person, entered.entry[0], hours=48)
    return entered.stay


async def by_pin(gate: Gate, person: Person, sale: Sale) -> None:
    order = person.order(gate.shop, sale.amount, reference=sale.id, kind=OrderKind.HOLD, timeout_s=48 * 3600)
    await gate.scheme.services.payments.pay_by_pin(order, PIN)


async def test_who_has_an_app_is_reminded_once_and_again_after_setting_more_aside(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    stay = await parked(gate, ada)
    until = stay.entered_at + 241 * MINUTE
    gate.wait(241 - BEFORE_S / 60 - 1)
    await looked(gate)
    assert await told(gate, ada) == []
    gate.wait(1)
    await looked(gate)
    assert len(await told(gate, ada)) == 1
    gate.wait(AGAIN_S / 60 + 1)
    await looked(gate)
    assert [each["until"] for each in await told(gate, ada)] == [until]
    wanted = (await gate.stays.extend(stay, gate.till)).wanted
    assert wanted is not None
    await gate.agree(ada, wanted, hours=48)
    gate.wait(19 * 60)
    await looked(gate)
    assert [each["until"] for each in await told(gate, ada)] == [until], "not so early"
    again = stay.entered_at + (24 * 60 + 1) * MINUTE
    gate.wait((again - gate.now()) / MINUTE - 1)
    await looked(gate)
    assert [each["until"] for each in await told(gate, ada)] == [until, again]


async def test_nobody_is_told_twice_by_two_servers_nor_after_the_car_has_left(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    stay = await parked(gate, ada)
    gate.wait(235)
    await asyncio.gather(*(Reminders(gate.stays).look() for _ in range(4)))
    assert len(await told(gate, ada)) == 1
    kofi = await gate.scheme.customer(funds=FUNDS)
    await gate.leave(stay, new_id(gate.scheme.clock))
    other = await parked(gate, kofi)
    gate.wait(225)
    await looked(gate)
    await gate.leave(other, new_id(gate.scheme.clock))
    gate.wait(10)
    await looked(gate)
    assert await told(gate, kofi) == []


async def test_whoever_paid_at_the_station_is_reminded_of_the_grace(gate: Gate) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    stay = (await gate.enter()).stay
    gate.wait(65)
    asked = (await gate.stays.charge(stay, gate.till)).asked
    assert asked is not None
    await gate.agree(ada, asked[1])
    paid = await gate.stays.look(stay)
    assert paid.leave_by is not None
    assert paid.covered_until == stay.entered_at + 91 * MINUTE, "what was paid is enough beyond the grace"
    gate.wait(GRACE - 5)
    await looked(gate)
    assert await told(gate, ada) == []
    gate.wait(91 - 65 - GRACE)
    await looked(gate)
    assert [each["until"] for each in await told(gate, ada)] == [paid.covered_until]


async def test_one_stay_that_cannot_be_looked_at_holds_up_no_other(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await gate.scheme.customer(funds=FUNDS)
    bad, _ = (await gate.enter()).stay, await parked(gate, ada)
    gate.wait(235)
    look = gate.stays.look

    async def fails(stay: Stay, at: int | None = None) -> object:
        if stay.id == bad.id:
            raise Unavailable
        return await look(stay, at)

    monkeypatch.setattr(gate.stays, "look", fails)
    await looked(gate)
    assert len(await told(gate, ada)) == 1


@pytest.mark.parametrize("whole", [True, False])
async def test_on_a_simple_phone_the_text_comes_and_more_is_set_aside_with_the_pin(gate: Gate, whole: bool) -> None:
    scheme = gate.scheme
    ama = await scheme.simple_phone("Ama Mensah", funds=FUNDS)
    phone = Phone(scheme.services.ussd, ama.address, whole=whole)
    entered = await gate.enter(hold=True, plate="KAA 1")
    assert entered.wanted is not None
    assert "Parking" not in await phone.go(REQUESTS, PIN), "nobody has agreed so far"
    await by_pin(gate, ama, entered.wanted)
    gate.wait(235)
    await looked(gate)
    assert len(await told(gate, ama)) == 1
    assert f"{FIRST} Parking: KAA1" in await phone.go(REQUESTS, PIN)
    assert "Set more aside" in await phone.type(FIRST)
    assert "5.00" in await phone.type(MORE)
    before = await gate.stays.look(entered.stay)
    await phone.type(PIN)
    for _ in range(2):
        await scheme.services.ussd.answer(phone.hop())
    after = await gate.stays.look(entered.stay)
    assert (before.held, after.held) == (HOLD, 2 * HOLD)
    assert after.covered_until is not None
    assert before.covered_until is not None
    assert after.covered_until > before.covered_until
    await phone.go(REQUESTS, PIN, FIRST)
    await gate.leave(entered.stay, new_id(scheme.clock))
    assert "This car has left." in await phone.type(MORE)
    assert ama.available() == FUNDS - 500


async def test_a_car_that_leaves_while_the_pin_is_typed_has_nothing_set_aside(gate: Gate) -> None:
    scheme = gate.scheme
    ama = await scheme.simple_phone("Ama Mensah", funds=FUNDS)
    entered = await gate.enter(hold=True)
    assert entered.wanted is not None
    await by_pin(gate, ama, entered.wanted)
    phone = Phone(scheme.services.ussd, ama.address)
    await phone.go(REQUESTS, PIN, FIRST, MORE)
    await gate.leave(entered.stay, new_id(scheme.clock))
    await phone.type(PIN)
    assert (ama.balance(), ama.available()) == (FUNDS, FUNDS)
