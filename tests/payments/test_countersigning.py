"""A shop's device countersigns what was paid to it by PIN: once, only what happened, only its own; and cash needs the agent's key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.signing import SigningKey
from sqlalchemy import func, select

from counterfoil import errors
from counterfoil.ids import new_id
from counterfoil.parties import statements
from counterfoil.parties.service import NewKey
from counterfoil.parties.tables import events
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments.countersigning import COUNT_MAX, Countersignature
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.service import Mandate
from counterfoil.payments.types import AuthorisationClass, PaymentState, Receipt
from tests.scheme import DAY_S, Person, Scheme, opened


@pytest.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with opened(tmp_path / "data") as scheme:
        yield scheme


async def pair(scheme: Scheme) -> tuple[Person, Person]:
    return await scheme.simple_phone(funds=40_000), await scheme.merchant()


async def waiting(scheme: Scheme, shop: Person) -> list[int]:
    return [receipt.payment.id for receipt in await scheme.services.countersigning.waiting(shop.account)]


async def kept(scheme: Scheme) -> int:
    """Rows of the journal: what the publisher will put into the log."""
    query = select(func.count()).where(events.c.kind == "countersigned")
    return await scheme.services.store.read(lambda connection: connection.execute(query).scalar_one())


async def second_device(scheme: Scheme, person: Person) -> Person:
    key, device = SigningKey.generate(), new_id(scheme.clock)
    origin, public_key = scheme.services.config.origin, bytes(key.verify_key)
    statement = statements.add_device(
        origin=origin, party=person.party, device=device, algorithm=KeyAlgorithm.ED25519, public_key=public_key
    )
    new = NewKey(device=device, algorithm=KeyAlgorithm.ED25519, public_key=public_key, possession=key.sign(statement).signature)
    await scheme.services.parties.devices.add(new, by_device=person.device, signature=person.key.sign(statement).signature)
    return Person(scheme, party=person.party, account=person.account, device=device, key=key, address=person.address)


async def test_a_shop_is_asked_about_purchases_by_pin_until_it_has_countersigned_them(scheme: Scheme) -> None:
    kofi, shop = await pair(scheme)
    rose, other = await scheme.customer(funds=9_000), await scheme.merchant("Another shop")
    first, second = await kofi.pay_by_pin(shop, 300), await kofi.pay_by_pin(shop, 200)
    elsewhere = await kofi.pay_by_pin(other, 100)
    await rose.pay(shop, 700)
    await kofi.pay_by_pin(rose, 50)
    await kofi.pay_by_pin(shop, 60, kind=OrderKind.HOLD, timeout_s=600)
    with pytest.raises(errors.InsufficientFunds):
        await (await scheme.simple_phone(funds=10)).pay_by_pin(shop, 5_000)
    assert await waiting(scheme, shop) == [second.payment.id, first.payment.id]
    asked = (await scheme.services.countersigning.waiting(shop.account))[1]
    assert (asked.account, asked.payment.amount, asked.completed_at) == (shop.account, 300, first.completed_at)

    await shop.countersign(first)
    assert await waiting(scheme, shop) == [second.payment.id]
    await shop.countersign(first, second)
    await shop.countersign(second)
    assert (await waiting(scheme, shop), await kept(scheme)) == ([], 2)
    assert await scheme.services.countersigning.is_countersigned(first.payment.id)
    assert not await scheme.services.countersigning.is_countersigned(elsewhere.payment.id)
    assert await waiting(scheme, other) == [elsewhere.payment.id]
    assert await waiting(scheme, kofi) == await waiting(scheme, rose) == []


async def test_a_shop_that_was_away_for_days_countersigns_when_it_is_back_and_any_device_of_it_may(scheme: Scheme) -> None:
    kofi, shop = await pair(scheme)
    paid = [await kofi.pay_by_pin(shop, 10 + n) for n in range(COUNT_MAX + 2)]
    tablet = await second_device(scheme, shop)
    scheme.clock.offset_s += 29 * DAY_S
    asked = await scheme.services.countersigning.waiting(shop.account)
    assert [each.payment.id for each in asked] == [each.payment.id for each in paid[:1:-1]], "the newest, a page at a time"
    await tablet.countersign(*asked)
    assert await waiting(scheme, shop) == [paid[1].payment.id, paid[0].payment.id]
    await shop.countersign(*asked)  # another device of the shop says the same again
    assert await kept(scheme) == COUNT_MAX
    scheme.clock.offset_s += 2 * DAY_S
    assert await waiting(scheme, shop) == []
    with pytest.raises(errors.NotInThisState):
        await shop.countersign(paid[0])
    with pytest.raises(errors.TooLarge):
        await shop.countersign(*paid)


def by_somebody_else(shop: Person, other: Person, paid: Receipt) -> tuple[Countersignature, int]:
    signed = shop.countersignature(paid)
    return Countersignature(signed.statement, other.key.sign(signed.statement).signature), other.device


def by_the_shop_with_another_key(shop: Person, other: Person, paid: Receipt) -> tuple[Countersignature, int]:
    signed = shop.countersignature(paid)
    return Countersignature(signed.statement, other.key.sign(signed.statement).signature), shop.device


def for_ones_own_account(shop: Person, other: Person, paid: Receipt) -> tuple[Countersignature, int]:
    return other.countersignature(paid), other.device


def changed(**changes: Any) -> Callable[[Person, Person, Receipt], tuple[Countersignature, int]]:
    return lambda shop, other, paid: (shop.countersignature(paid, **changes), shop.device)


def of_another_scheme(shop: Person, other: Person, paid: Receipt) -> tuple[Countersignature, int]:
    statement = shop.countersignature(paid).statement.replace(b"/log", b"/dog")
    return Countersignature(statement, shop.key.sign(statement).signature), shop.device


def with_something_behind(shop: Person, other: Person, paid: Receipt) -> tuple[Countersignature, int]:
    statement = shop.countersignature(paid).statement + b"\0"
    return Countersignature(statement, shop.key.sign(statement).signature), shop.device


def by_nobody(shop: Person, other: Person, paid: Receipt) -> tuple[Countersignature, int]:
    return shop.countersignature(paid), 7


FORGED: list[tuple[Any, type[errors.CounterfoilError]]] = [
    (by_somebody_else, errors.NotYourAccount),
    (by_the_shop_with_another_key, errors.WrongSignature),
    (for_ones_own_account, errors.PaymentNotFound),
    (changed(amount=301), errors.PaymentNotFound),
    (changed(order_hash=bytes(32)), errors.PaymentNotFound),
    (changed(completed_at=1), errors.PaymentNotFound),
    (changed(payment=7), errors.PaymentNotFound),
    (of_another_scheme, errors.Malformed),
    (with_something_behind, errors.Malformed),
    (by_nobody, errors.UnknownDevice),
]


async def test_forged_countersignatures_are_refused_and_take_what_came_with_them_along(scheme: Scheme) -> None:
    kofi, shop = await pair(scheme)
    other = await scheme.merchant("Another shop")
    paid, right = await kofi.pay_by_pin(shop, 300), await kofi.pay_by_pin(shop, 300)
    for forge, refusal in FORGED:
        forged, device = forge(shop, other, paid)
        with_it = [shop.countersignature(right)] if device == shop.device else []
        with pytest.raises(refusal):
            await scheme.services.countersigning.keep([*with_it, forged], device=device)
    mixed = [shop.countersignature(right), shop.countersignature(paid, payment=right.payment.id)]
    with pytest.raises(errors.PaymentNotFound):
        await scheme.services.countersigning.keep(mixed, device=shop.device)
    assert await kept(scheme) == 0
    await shop.countersign(paid, right)
    assert await kept(scheme) == 2


async def test_a_device_that_was_taken_away_countersigns_nothing(scheme: Scheme) -> None:
    kofi, shop = await pair(scheme)
    tablet, paid = await second_device(scheme, shop), await kofi.pay_by_pin(shop, 300)
    revoke = statements.revoke_device(origin=scheme.services.config.origin, party=shop.party, device=tablet.device)
    await scheme.services.parties.devices.revoke(tablet.device, by_device=shop.device, signature=shop.key.sign(revoke).signature)
    with pytest.raises(errors.UnknownDevice):
        await tablet.countersign(paid)
    assert await kept(scheme) == 0


async def test_what_was_not_paid_by_pin_is_not_countersigned(scheme: Scheme) -> None:
    kofi, shop = await pair(scheme)
    rose = await scheme.customer(funds=9_000)
    hold = await kofi.pay_by_pin(shop, 900, kind=OrderKind.HOLD, timeout_s=600)
    captured = await shop.answer(OrderKind.CAPTURE, hold, 400)
    for receipt, person in ((await rose.pay(shop, 100), shop), (await kofi.pay_by_pin(rose, 100), rose), (hold, shop), (captured, shop)):
        with pytest.raises(errors.NotInThisState):
            await person.countersign(receipt)
    with pytest.raises(errors.PaymentNotFound):
        await rose.countersign(await kofi.pay_by_pin(shop, 100))


async def test_cash_that_a_pin_has_set_aside_is_handed_over_by_the_agents_own_key_and_by_no_token(scheme: Scheme) -> None:
    kofi, agent = await scheme.simple_phone(funds=10_000), await scheme.agent(funds=10_000)
    rose, shop = await scheme.customer(funds=10_000), await scheme.merchant()
    payments, by_token = scheme.services.payments, Mandate(5, AuthorisationClass.TOKEN)

    def taking(agent: Person, hold: Receipt, **changes: Any) -> Any:
        return agent.order(agent, 1_000, kind=OrderKind.CAPTURE, payer=hold.payment.payer, reference=hold.payment.id, **changes)

    with pytest.raises(errors.AgentMustConfirm):
        await kofi.pay_by_pin(agent, 1_000)
    hold = await kofi.pay_by_pin(agent, 1_000, kind=OrderKind.HOLD, timeout_s=600)
    with pytest.raises(errors.AgentMustConfirm):
        await payments.pay_under_mandate(taking(agent, hold), by_token)
    with pytest.raises(errors.WrongSignature):
        await payments.pay(msgspec.structs.replace(agent.sign(taking(agent, hold)), signature=bytes(64)))
    assert agent.balance() == 10_000
    receipt = await agent.answer(OrderKind.CAPTURE, hold, 1_000)
    assert (receipt.state, receipt.payment.authorisation, receipt.payment.device) == (
        PaymentState.COMPLETED, AuthorisationClass.DEVICE, agent.device,
    )  # fmt: skip
    second = await kofi.pay_by_pin(agent, 1_000, kind=OrderKind.HOLD, timeout_s=600)
    release = agent.order(agent, 1_000, kind=OrderKind.RELEASE, payer=kofi.account, reference=second.payment.id)
    await payments.pay_under_mandate(release, by_token)  # giving back takes nobody's word

    by_key = await rose.hold(agent, 1_000)
    await payments.pay_under_mandate(taking(agent, by_key), by_token)
    of_shop = await kofi.pay_by_pin(shop, 1_000, kind=OrderKind.HOLD, timeout_s=600)
    await payments.pay_under_mandate(taking(shop, of_shop), by_token)
