"""Gateways that number no hop: what is taken for a repeat, and what is what somebody typed."""

from __future__ import annotations

import pytest

from counterfoil.channels.ussd import repeats
from counterfoil.channels.ussd.sessions import State
from counterfoil.channels.ussd.types import Hop
from tests.channels.ussd.phone import Phone
from tests.channels.ussd.test_sessions import engine
from tests.payments.books import ShiftedClock
from tests.scheme import Person, Scheme

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "2580"
SLOWLY_S = 3.0
"""Seconds for which somebody reads and types."""


class Bare(Phone):
    """A phone behind such a gateway. It types slowly; `again` is the gateway, which repeats what was typed."""

    def __init__(self, clock: ShiftedClock, scheme: Scheme, person: Person) -> None:
        super().__init__(engine(scheme, clock=clock), person.address, whole=False)
        self.clock = clock

    async def _ask(self, typed: str, *, begins: bool | None) -> str:
        self.clock.forward(SLOWLY_S)
        self._last = Hop(gateway="bare", session=self.session, number=self.number, typed=typed, begins=begins)
        self.screen = await self.ussd.answer(self._last)
        return self.screen.text

    async def again(self, typed: str = "", *, after_s: float = 0.0) -> str:
        self.clock.forward(after_s)
        hop = Hop(gateway="bare", session=self.session, number=self.number, typed=typed or self._last.typed, begins=False)
        return (await self.ussd.answer(hop)).text


async def bare(scheme: Scheme) -> tuple[Bare, Person]:
    kofi, rose = await scheme.simple_phone(funds=10_000), await scheme.customer("Rose Wanjiru")
    return Bare(ShiftedClock(), scheme, kofi), rose


@pytest.mark.parametrize("after_s", [0.0, repeats.QUICK_S - 0.5])
async def test_whatever_comes_again_at_once_is_the_same_hop(scheme: Scheme, after_s: float) -> None:
    phone, rose = await bare(scheme)
    await phone.dial()
    for typed in ("1", rose.address, "12.50", "1111", "0", "00", "5", PIN, "00", "7", "1", PIN, "4826", "4826"):
        shown = await phone.type(typed)
        assert await phone.again(after_s=after_s) == shown
        assert await phone.again() == shown


@pytest.mark.parametrize(
    ("before", "typed"),
    [
        ((), "1"),  # the menu's 1 is no address
        (("1",), "ADDRESS"),  # a number is no amount
        (("1", "ADDRESS"), "2580"),  # an amount is no PIN
        (("1", "ADDRESS", "12.50"), "1111"),  # a wrong PIN is wrong again, and is counted once
        (("5",), PIN),  # nothing is left to be typed here
        (("7", "1"), "1111"),
    ],
)
async def test_what_makes_no_sense_on_the_next_screen_comes_from_the_gateway(scheme: Scheme, before: tuple[str, ...], typed: str) -> None:
    phone, rose = await bare(scheme)
    await phone.dial()
    steps = [rose.address if text == "ADDRESS" else text for text in (*before, typed)]
    shown = await phone.type(*steps)
    for after_s in (3, 5, 8):
        assert await phone.again(after_s=after_s) == shown
    assert rose.balance() == 0
    await phone.again(after_s=repeats.LATE_S)
    assert rose.balance() == 0


async def test_a_late_pin_of_another_screen_agrees_to_no_payment(scheme: Scheme) -> None:
    phone, rose = await bare(scheme)
    shown = await phone.go("5", PIN, "00", "1", rose.address, "12.50")
    assert await phone.again(PIN, after_s=1) == shown
    assert rose.balance() == 0
    phone.clock.forward(repeats.LATE_S)
    assert "Paid" in await phone.type(PIN)
    assert rose.balance() == 1_250


async def test_what_is_typed_twice_on_purpose_is_heard_twice(scheme: Scheme) -> None:
    phone, rose = await bare(scheme)
    assert "changed" in await phone.go("7", "1", PIN, "4826", "4826")
    assert "How much" not in await phone.go("1", rose.address, "0", "0")
    assert phone.screen.text == await Bare(phone.clock, scheme, rose).dial()


async def test_a_restart_forgets_fingerprints_and_a_repeat_then_pays_nothing(scheme: Scheme) -> None:
    phone, rose = await bare(scheme)
    await phone.go("1", rose.address, "1250")
    phone.ussd = engine(scheme, clock=phone.clock)
    assert "In all" in await phone.again()
    assert rose.balance() == 0


async def test_a_pin_that_only_turned_the_page_of_the_terms_is_typed_again_on_the_last() -> None:
    clock = ShiftedClock()
    known, pin = repeats.Repeats(clock), Hop(gateway="bare", session="1", number="+254712000001", typed=PIN, begins=False)
    known.answered(pin)
    clock.forward(SLOWLY_S)
    assert known.is_repeat(pin, State(screen="confirm_pay", pages=["1", "2"], page=0))
    assert not known.is_repeat(pin, State(screen="confirm_pay", pages=["1", "2"], page=1))
