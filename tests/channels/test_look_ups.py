"""Nobody lists the customers' names by USSD or by text: look-ups have a bound for each account and for each gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from counterfoil.channels.consent import TOO_MANY_NAMES
from counterfoil.channels.look_ups import BURST, PER_MINUTE, LookUps
from counterfoil.channels.sms.types import Inbound
from counterfoil.channels.ussd.fitting import fits, writable
from counterfoil.channels.ussd.screens import BACK, SCREENS
from counterfoil.errors import TooMany
from counterfoil.i18n import Language
from counterfoil.parties.pin_brake import asked_from
from counterfoil.web.throttle import Throttle
from tests.channels.sms.test_inbound import Phones, WaitingClock
from tests.channels.ussd.phone import Phone
from tests.payments.books import ShiftedClock
from tests.scheme import opened

ENOUGH = "too many names"


@pytest_asyncio.fixture
async def phones(tmp_path: Path) -> AsyncIterator[Phones]:
    async with opened(tmp_path, WaitingClock()) as scheme:
        yield Phones(scheme)


async def test_whoever_tries_one_number_after_the_other_is_told_to_stop(phones: Phones) -> None:
    scheme = phones.scheme
    thief, rose = await scheme.simple_phone(funds=5_000), await scheme.customer("Rose Wanjiru")
    phone = Phone(scheme.services.ussd, thief.address)
    await phone.go("1")
    for number in range(BURST - 1):
        await phone.type(f"07110000{number:02}")
        assert ENOUGH not in phone.screen.text
    assert "Rose Wanjiru" in await phone.type(rose.address)
    for to, typed in ((("1",), rose.address), (("2",), "0712345"), (("3", "1"), rose.address), (("3", "2"), rose.address)):
        shown = await phone.type("00", *to, typed)  # all the screens that look somebody up
        assert ENOUGH in shown
        assert "Rose" not in shown
    told = await phones.ask(thief.address, f"PAY {rose.address} 5", gateway="other")
    assert ENOUGH in told
    assert "Rose" not in told
    assert ENOUGH in await phones.ask(thief.address, f"ASK {rose.address} 5", gateway="other")
    kofi = Phone(scheme.services.ussd, (await scheme.simple_phone()).address)
    assert "Rose Wanjiru" in await kofi.go("1", rose.address)
    phones.lend(1 / PER_MINUTE)
    assert "Rose Wanjiru" in await phone.type("00", "1", rose.address)
    assert ENOUGH in await phone.type("00", "1", rose.address)


async def test_texts_and_calls_count_together(phones: Phones) -> None:
    thief = await phones.scheme.simple_phone()
    for number in range(BURST // 3):
        phones.lend(1 / PER_MINUTE)
        for each in range(4):
            await phones.inbox.receive(
                Inbound(gateway="g", number=thief.address, text=f"PAY 0711000{number:02}{each} 5", reference=f"{number}{each}")
            )
    assert ENOUGH in await Phone(phones.services.ussd, thief.address).go("1", thief.address)


def test_a_gateway_is_bounded_whatever_numbers_it_names_and_others_are_not() -> None:
    clock = ShiftedClock()
    bounds = LookUps(Throttle(clock, burst=2, per_minute=1), Throttle(clock, burst=5, per_minute=1))
    with asked_from("ussd", "broken into"):
        for account in range(5):
            bounds.spend(account)
        with pytest.raises(TooMany):
            bounds.spend(99)
    with asked_from("ussd", "honest"):
        bounds.spend(99)
        bounds.spend(99)
        with pytest.raises(TooMany):
            bounds.spend(99)
        for account in range(3):
            bounds.spend(account)  # what was refused was not counted against the gateway
    bounds.spend(100)


@pytest.mark.parametrize("language", ["en", "ko", "fr"])
def test_the_words_fit_a_screen_with_the_question_behind_them(language: str) -> None:
    speak = Language(language).text
    for name in ("to", "code", "agent", "agent_in"):
        assert fits(writable(f"{speak(TOO_MANY_NAMES)}\n{speak(SCREENS[name].text)}\n0 {speak(BACK)}"))
