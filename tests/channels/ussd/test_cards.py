"""A lost card is locked on the simplest phone, and found again, unlocked there."""

from __future__ import annotations

import pytest

from counterfoil.acceptance.cards.registry import Card, CardState
from counterfoil.channels.ussd.fitting import writable
from counterfoil.i18n import Language
from tests.acceptance.cards.plastic import Plastic
from tests.channels.ussd.phone import Phone
from tests.scheme import Person, Scheme

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "2580"
ACCOUNT, CARDS = "7", "5"


async def added(scheme: Scheme, person: Person) -> Card:
    services, tap = scheme.services, Plastic(scheme).tap()
    return await services.acceptance.cards.add(await services.parties.holder(person.account), tap["e"], tap["c"], by=scheme.clerk)


@pytest.mark.parametrize(("code", "whole"), [("en", True), ("ko", False), ("fr", True)])
async def test_a_card_is_locked_and_unlocked_after_the_pin(scheme: Scheme, code: str, whole: bool) -> None:
    language, cards = Language(code), scheme.services.acceptance.cards

    def words(text: str, **values: str) -> str:
        return writable(language.text(text, **values))

    ama = await scheme.simple_phone("Ama Mensah")
    await scheme.services.parties.enrolment.set_language(ama.party, code)
    phone = Phone(scheme.services.ussd, ama.address, whole=whole)
    assert words("You have no card.") in await phone.go(ACCOUNT, CARDS, PIN)
    first, second = [await added(scheme, ama) for _ in range(2)]

    shown = await phone.go(ACCOUNT, CARDS, PIN)
    assert f"1 {first.label}\n2 {second.label}" in shown
    assert words("Lock it") in await phone.type("2")
    assert words("Unlock it") in await phone.type("1")
    assert [card.state for card in await cards.of(ama.account)] == [CardState.ACTIVE, CardState.LOCKED]
    assert f"2 {words('%(card)s (locked)', card=second.label)}" in await phone.type("0")
    await phone.type("2")
    assert words("Lock it") in await phone.type("1")
    assert [card.state for card in await cards.of(ama.account)] == [CardState.ACTIVE, CardState.ACTIVE]

    await cards.end(second.id, ama.account, by=ama.party)
    assert words("This card is no longer yours.") in await phone.type("1")
    assert [card.state for card in await cards.of(ama.account)] == [CardState.ACTIVE]


async def test_without_the_pin_no_card_is_shown_or_changed(scheme: Scheme) -> None:
    ama = await scheme.simple_phone("Ama Mensah")
    card = await added(scheme, ama)
    phone = Phone(scheme.services.ussd, ama.address)
    assert card.label not in await phone.go(ACCOUNT, CARDS)
    assert card.label not in await phone.type("1111")
    await phone.go(ACCOUNT, CARDS, "1111", "1", "1")
    assert [each.state for each in await scheme.services.acceptance.cards.of(ama.account)] == [CardState.ACTIVE]
