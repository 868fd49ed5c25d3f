"""PINs by USSD: asked before anything private and before money moves, counted, kept nowhere; and refusals in words."""

from __future__ import annotations

import asyncio
import io
import logging
import random
import threading
from pathlib import Path
from typing import Literal

import pytest
import structlog
from argon2 import PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from counterfoil.channels.ussd import fitting, screens, sessions
from counterfoil.channels.ussd.screens import SCREENS
from counterfoil.channels.ussd.types import Hop
from counterfoil.ids import new_id
from counterfoil.parties import pins
from counterfoil.parties.service import NewParty
from counterfoil.parties.tables import events
from counterfoil.parties.types import PartyKind
from tests.channels.ussd.phone import Phone
from tests.scheme import Scheme, opened

PIN = "2580"
asynchronous = pytest.mark.asyncio(loop_scope="module")


@asynchronous
@pytest.mark.parametrize("choices", [("4",), ("5",), ("6",)])
async def test_nothing_private_is_shown_before_the_pin_and_it_is_asked_for_once(scheme: Scheme, choices: tuple[str, ...]) -> None:
    kofi = await scheme.simple_phone(funds=7_777)
    rose = await scheme.customer("Rose Wanjiru")
    await rose.ask(kofi, 4_242)
    phone = Phone(scheme.services.ussd, kofi.address)
    assert await phone.go(*choices) == "Your PIN:\n0 Back"
    assert "77.77" not in "".join(phone.seen)
    assert "Rose" not in "".join(phone.seen)
    private = await phone.type(PIN)
    assert "77.77" in private or "42.42" in private
    for other in ("5", "6", "4"):
        await phone.type("00", other)
        assert "PIN" not in phone.screen.text
    await phone.type("1", "1")
    assert phone.screen.text.startswith("To Rose Wanjiru: 42.42 USD")
    assert "PIN to agree:" in phone.screen.text, "the PIN of the session agrees to no payment"
    assert "PIN" in (await phone.go("7", "1")), "nor does it change itself"


@asynchronous
async def test_a_wrong_pin_moves_nothing_and_five_of_them_lock_it(scheme: Scheme) -> None:
    kofi, rose = await scheme.simple_phone(funds=10_000), await scheme.customer("Rose")
    phone = Phone(scheme.services.ussd, kofi.address)
    await phone.go("1", rose.address, "5")
    for left in (4, 3, 2):
        assert (await phone.type("1470")).startswith(f"The PIN is not right. Tries left: {left}.\nTo Rose: 5.00 USD")
    assert (await phone.type("12")).startswith(screens.PIN_DIGITS), "too short to be one: no try is lost"
    assert (await phone.type("00", "5", "1470")).startswith("The PIN is not right. Tries left: 1.")
    assert (await phone.type("1470")).startswith("The PIN is not right. Tries left: 0.")
    assert (await phone.type(PIN)).startswith("The PIN is locked after too many wrong tries, until ")
    assert phone.screen.ends
    await phone.go("1", rose.address, "5", PIN)
    assert phone.screen.text.startswith("The PIN is locked")
    assert (kofi.balance(), rose.balance()) == (10_000, 0)
    scheme.clock.offset_s += 16 * 60
    await phone.go("1", rose.address, "5", PIN)
    assert (kofi.balance(), rose.balance()) == (9_500, 500)


@asynchronous
async def test_a_new_pin_is_typed_twice_and_not_easy_to_guess(scheme: Scheme) -> None:
    kofi = await scheme.simple_phone()
    phone = Phone(scheme.services.ussd, kofi.address, whole=False)
    await phone.go("7", "1", PIN)
    assert (await phone.type("1234")).startswith(screens.PIN_GUESSED)
    assert (await phone.type("12a4")).startswith(screens.PIN_DIGITS)
    assert await phone.type("13579") == "The same PIN again:\n0 Back"
    assert (await phone.type("13578")).startswith(screens.PIN_DIFFERS)
    await phone.type("13579")
    await phone.ussd.ended(phone.gateway, phone.session)  # what waited in memory is gone
    assert (await phone.type("13579")).startswith(screens.PIN_DIFFERS)
    await phone.type("13579")
    assert "changed" in await phone.type("13579")
    await scheme.services.parties.pins.check(kofi.party, "13579")


@asynchronous
async def test_a_pin_agrees_to_nothing_before_the_last_page_was_shown(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    kofi, rose = await scheme.simple_phone(funds=1_000), await scheme.customer("Rose")
    monkeypatch.setattr(fitting, "SEPTETS_MAX", 60)  # an operator that passes on little
    phone = Phone(scheme.services.ussd, kofi.address)
    await phone.go("9", "1")
    while phone.screen.text.endswith("9 More\n0 Back"):
        await phone.type("9")
    assert "Rose" in await phone.type(rose.address)
    first = await phone.type("5")
    assert first == "To Rose: 5.00 USD\nFee 0.00 USD\nIn all 5.00 USD\n9 More\n0 Back"
    last = await phone.type(PIN)
    assert last == "PIN to agree:\n0 Back"
    assert await phone.type("0") == first
    assert await phone.type("9") == last
    assert rose.balance() == 0
    await phone.type(PIN)
    assert rose.balance() == 500


@asynchronous
async def test_a_pin_that_nobody_had_time_to_look_at_is_typed_once_more(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = Phone(scheme.services.ussd, "+254733000444")
    await phone.go("1", "1", "Ama", PIN)
    with monkeypatch.context() as full:
        full.setattr(pins, "WAITING_MAX", 0)
        assert (await phone.type(PIN)).startswith("Too many requests. Wait a little.\nThe same PIN again:")
    await phone.type(PIN)
    await phone.go("7", "1", PIN, "13579")
    with monkeypatch.context() as full:
        full.setattr(pins, "WAITING_MAX", 0)
        assert (await phone.type("13579")).startswith("Too many requests. Wait a little.\nThe same PIN again:")
    assert "changed" in await phone.type("13579")


@asynchronous
async def test_whoever_has_no_pin_is_told_where_to_get_one(scheme: Scheme) -> None:
    rose = await scheme.customer("Rose")
    phone = Phone(scheme.services.ussd, rose.address)
    assert await phone.go("5", PIN) == "Your account has no PIN yet. Ask Counterfoil for one."


@asynchronous
async def test_a_wallets_owner_is_told_to_allow_payments_by_pin_first(scheme: Scheme) -> None:
    rose, kofi = await scheme.open(PartyKind.CUSTOMER, "Rose", funds=1_000, pin=PIN), await scheme.simple_phone()
    phone = Phone(scheme.services.ussd, rose.address)
    for choice in (("1",), ("2",), ("3", "2")):
        assert (await phone.go(*choice)).startswith("This account pays with its own device.")
    await rose.allow_pin(500)
    await phone.go("1", kofi.address, "5", PIN)
    assert kofi.balance() == 500


@asynchronous
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("1", "0712"), "Type a phone number, a name that begins with @, or a merchant's 7 digits."),
        (("1", "+254799999999"), "Nobody has an account under this number, name or code."),
        (("1", "@nobody_here"), "Nobody has an account under this number, name or code."),
        (("2", "12345"), screens.NOT_A_CODE),
        (("2", "1234567"), "Type a phone number"),
        (("3", "2", "(rose)"), screens.NOT_AN_AGENT),
        (("3", "1", "(rose)"), screens.NOT_AN_AGENT),
        (("1", "(rose)", "0.00"), "Type an amount above zero, like 12.50."),
        (("1", "(rose)", "12,5"), "Type an amount above zero, like 12.50."),
        (("1", "(own)", "5"), "Payer and payee are the same account."),
        (("1", "(rose)", "20", PIN), "There is not enough money in the account for this payment and its fee."),
        (("1", "(rose)", "90", PIN), "One payment by PIN may be 50.00 USD at most."),
        (("1", "(frozen)", "5", PIN), "The payee cannot receive money at the moment."),
        (("4", PIN), "Nobody asks you for money."),
    ],
)
async def test_refusals_are_told_in_words(scheme: Scheme, typed: tuple[str, ...], said: str) -> None:
    kofi, rose, cold = await scheme.simple_phone(funds=1_500), await scheme.customer("Rose"), await scheme.customer("Cold")
    await scheme.services.parties.staff.freeze(new_id(scheme.clock), cold.party, reason="a test", by=scheme.supervisors[0], incoming=True)
    names = {"(rose)": rose.address, "(own)": kofi.address, "(frozen)": cold.address}
    phone = Phone(scheme.services.ussd, kofi.address)
    assert (await phone.go(*(names.get(each, each) for each in typed))).startswith(said)
    assert (kofi.balance(), rose.balance(), cold.balance()) == (1_500, 0, 0)


@asynchronous
async def test_a_frozen_account_pays_nobody_and_its_holder_cannot_lift_what_staff_froze(scheme: Scheme) -> None:
    kofi, rose = await scheme.simple_phone(funds=1_000), await scheme.customer("Rose")
    await scheme.services.parties.staff.freeze(new_id(scheme.clock), kofi.party, reason="a test", by=scheme.supervisors[0])
    phone = Phone(scheme.services.ussd, kofi.address)
    assert (await phone.go("1", rose.address, "5", PIN)).startswith("This account is frozen.")
    assert "Lock the account" in await phone.go("7")
    assert "10.00" in await phone.go("5", PIN)
    assert rose.balance() == 0


@asynchronous
async def test_a_request_that_was_taken_back_is_no_longer_paid(scheme: Scheme) -> None:
    kofi, rose = await scheme.simple_phone(funds=1_000), await scheme.customer("Rose")
    asked = await rose.ask(kofi, 500)
    phone = Phone(scheme.services.ussd, kofi.address)
    await phone.go("4", PIN, "1")
    await scheme.services.requests.cancel(asked, rose.account)
    assert (await phone.type("1")).startswith("This request has been answered, or its time is over.\nNobody asks you for money.")
    again = await rose.ask(kofi, 500)
    await phone.go("4", PIN, "1", "1")
    await scheme.services.requests.cancel(again, rose.account)
    await phone.type(PIN)
    assert phone.screen.ends
    assert rose.balance() == 0


@asynchronous
async def test_a_member_of_staff_has_no_account_here(scheme: Scheme) -> None:
    number = "+254733000555"
    new = NewParty(id=new_id(scheme.clock), kind=PartyKind.STAFF, name="Clerk", language="en", number=number)
    await scheme.services.parties.enrolment.open_by_staff(new, by=scheme.administrator)
    phone = Phone(scheme.services.ussd, number)
    assert await phone.dial() == "This number belongs to somebody without an account."
    assert phone.screen.ends


@asynchronous
async def test_the_journal_says_by_which_channel_an_account_was_opened(scheme: Scheme) -> None:
    phone = Phone(scheme.services.ussd, "+254733000888")
    await phone.go("1", "1", "Ama", PIN, PIN)
    party = (await scheme.services.parties.resolve(phone.number)).party
    query = select(events.c.facts).where(events.c.party == party, events.c.kind == "opened")
    assert '"channel":"ussd"' in await scheme.services.store.read(lambda connection: connection.execute(query).scalar_one())
    assert "1 Send money" in await phone.dial(), "who has an account opens no second one"


@asynchronous
@pytest.mark.parametrize("name", ["", "1234", "\u202eevil", "x" * 101, "!!!", "a\x00b"])
async def test_an_account_needs_a_name(scheme: Scheme, name: str) -> None:
    phone = Phone(scheme.services.ussd, "+254733000889", whole=False)
    await phone.go("1", "1", name)
    assert "Your name, as others will see it:" in phone.screen.text
    assert phone.screen.text.startswith((screens.NOT_A_NAME, screens.NOT_UNDERSTOOD))


# PINs are kept nowhere


@pytest.mark.asyncio
@pytest.mark.parametrize("whole", [True, False])
async def test_no_pin_is_in_any_file_or_log(tmp_path: Path, whole: bool, caplog: pytest.LogCaptureFixture) -> None:
    first, new, wrong, stray = "70418296", "91827364", "50607182", "83726150"
    written = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written))
    caplog.set_level(logging.DEBUG)
    async with opened(tmp_path / "scheme") as scheme:
        rose = await scheme.customer("Rose")
        phone = Phone(scheme.services.ussd, "+254733000999", whole=whole)
        await phone.go("1", "1", "Ama Mensah", first, first)
        await phone.type("00", "5", wrong, first)
        await phone.go("7", "1", first, new, wrong, new)  # broken off, with a new PIN that waits to be typed again
        await phone.go("2", "1", rose.address, "5", wrong, new, first)
        await phone.go("7", "1", first, new, new)
        await phone.go(stray)  # a PIN where none is asked for
        await phone.type("1", stray, rose.address, f"1*{stray}", "0", "00", "7", "3", new)
        hop = Hop(gateway="one", session=phone.session, number=phone.number, typed=f"9*{stray}*{new}", whole=True)
        await scheme.services.ussd.answer(hop)
        await scheme.services.ussd.answer(Hop(gateway="one", session="lost", number=phone.number, typed=f"5*{new}", whole=True))
        assert new not in repr(hop)
        kept = await scheme.services.store.read(lambda connection: sessions.find(connection, "one", phone.session))
        assert kept is not None
        files = [path for path in (tmp_path / "scheme").rglob("*") if path.is_file()]
        assert any(b"Ama Mensah" in path.read_bytes() for path in files), "the search finds what is there"
        for secret in (first, new, wrong, stray):
            assert not [path for path in files if secret.encode() in path.read_bytes()], secret
            assert secret not in caplog.text + written.getvalue()


# Whatever is typed


MENU_KEYS = ["0", "00", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
OTHERS = ["", "*", "#", "abc", "5", "12.50", "0.01", "99999999", "-3", "1470", "@rose", "ÿ", "🐢" * 30, "1*2*3"]


async def screen_of(scheme: Scheme, phone: Phone) -> str:
    kept = await scheme.services.store.read(lambda connection: sessions.find(connection, phone.gateway, phone.session))
    assert kept is not None
    return kept.state.screen


@asynchronous
async def test_no_walk_through_the_screens_raises_or_moves_money_without_a_pin_screen(scheme: Scheme) -> None:
    loop = asyncio.get_running_loop()
    ussd, services = scheme.services.ussd, scheme.services
    shop, agent = await scheme.merchant("Corner shop"), await scheme.agent(funds=1_000)
    codes = [(await services.parties.party(each.party)).merchant_code or "" for each in (shop, agent)]
    kofi, rose = await scheme.simple_phone("Kofi", funds=100_000), await scheme.simple_phone("Rose", funds=100_000)
    asker = await scheme.customer("Asker")
    for each in range(3):
        await asker.ask(kofi, 100 * each)
    typed = st.sampled_from([*MENU_KEYS, *MENU_KEYS, *OTHERS, *codes, rose.address, kofi.address, PIN, PIN])

    async def walk(steps: list[tuple[int, str]], whole: bool) -> None:
        phones = [Phone(ussd, person.address, whole=whole) for person in (kofi, rose)]
        for phone in phones:
            await phone.dial()
        for which, text in steps:
            phone, person = phones[which], (kofi, rose)[which]
            if phone.screen.ends:
                await phone.dial()
                continue
            before = (kofi.balance(), kofi.available(), rose.balance(), rose.available())
            was = await screen_of(scheme, phone)
            await phone.type(text)
            assert phone.screen.text
            again = await ussd.answer(phone.hop())
            assert again == phone.screen
            if (kofi.balance(), kofi.available(), rose.balance(), rose.available()) != before:
                assert was in ("confirm_pay", "confirm_cash", "confirm_hold"), was
                assert text == PIN
                assert person.available() < before[1 + 2 * which]

    @settings(max_examples=20)
    @given(st.lists(st.tuples(st.integers(0, 1), typed), max_size=25), st.booleans())
    def walks(steps: list[tuple[int, str]], whole: bool) -> None:
        asyncio.run_coroutine_threadsafe(walk(steps, whole), loop).result(300)

    await asyncio.to_thread(walks)
    dice = random.Random(1)
    await walk([(0, text) for _ in range(3) for text in ("00", "1", rose.address, f"{dice.randint(1, 9)}", PIN, "dial")], True)
    assert kofi.balance() < 100_000
    assert {"confirm_pay", "paid"} <= set(SCREENS)


class Held(PasswordHasher):
    """Looks at no PIN until a test lets it."""

    def __init__(self) -> None:
        super().__init__(time_cost=2, memory_cost=19_456, parallelism=1)
        self.asked, self.let = threading.Event(), threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.asked.set()
        assert self.let.wait(60), "somebody waited for a PIN that was not theirs"
        return super().verify(hash, password)


@asynchronous
async def test_whoever_types_no_pin_waits_for_nobodys(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    payers = [await scheme.simple_phone(funds=10_000) for _ in range(2 * pins.THREADS_MAX)]
    kofi, rose = await scheme.simple_phone(funds=10_000), await scheme.customer("Rose")
    phones = [Phone(scheme.services.ussd, person.address) for person in payers]
    for phone in phones:
        await phone.go("1", rose.address, "5")
    held = Held()
    monkeypatch.setattr(scheme.services.parties.pins, "_hasher", held)
    try:
        waiting = asyncio.gather(*(phone.type(PIN) for phone in phones))
        async with asyncio.timeout(60):
            while not held.asked.is_set():
                await asyncio.sleep(0.001)
        other = Phone(scheme.services.ussd, kofi.address)
        assert (await other.go("1", rose.address, "7")).startswith("To Rose: 7.00 USD")
        assert not waiting.done()
    finally:
        held.let.set()
    assert all(text.startswith("Paid: 5.00 USD to Rose") or "on its way" in text for text in await waiting)
