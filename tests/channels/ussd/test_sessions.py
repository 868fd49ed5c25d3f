"""Hops that come twice, too late, out of step or from elsewhere; sessions that break off and go on; payments that take long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, update

from counterfoil.channels.ussd import screens, sessions
from counterfoil.channels.ussd.service import RESUME_S, Ussd
from counterfoil.channels.ussd.sessions import KEPT_S, Kept, State
from counterfoil.channels.ussd.types import TYPED_SIZE_MAX, Hop, Screen
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Unavailable
from counterfoil.parties.tables import parties
from counterfoil.payments.orders import Order
from counterfoil.payments.service import Payments
from counterfoil.payments.types import Receipt
from counterfoil.store.database import Store, Work
from tests.channels.ussd.phone import Phone
from tests.scheme import Person, Scheme, opened

PIN = "2580"
asynchronous = pytest.mark.asyncio(loop_scope="module")


async def two(scheme: Scheme, *, whole: bool = True, **changes: Any) -> tuple[Person, Person, Phone]:
    """Somebody with 100.00 and a simple phone, somebody to be paid, and the phone."""
    kofi, rose = await scheme.simple_phone(funds=10_000), await scheme.customer("Rose Wanjiru")
    return kofi, rose, Phone(engine(scheme, **changes) if changes else scheme.services.ussd, kofi.address, whole=whole)


def engine(scheme: Scheme, kind: type[Ussd] = Ussd, **changes: Any) -> Ussd:
    """The scheme's own engine with something else in one place."""
    services = scheme.services
    parts = {name: getattr(services, name) for name in ("store", "parties", "payments", "requests", "history", "ledger", "config", "clock")}
    parts |= {name: getattr(services.acceptance, name) for name in ("cards", "stays", "tills")}
    return kind(**(parts | changes))


def paying(rose: Person, amount: str = "12.50") -> tuple[str, ...]:
    return ("1", rose.address, amount)


class Gate(Payments):
    """Payments behind a gate that a test opens."""

    def __init__(self, payments: Payments) -> None:
        self.__dict__.update(payments.__dict__)
        self.opened = asyncio.Event()
        self.asked = asyncio.Event()

    async def pay_by_pin(self, order: Order, pin: str) -> Receipt:
        self.asked.set()
        await self.opened.wait()
        return await super().pay_by_pin(order, pin)


class Forgetful(Ussd):
    """An engine that cannot write down an answer once its payment was made, as a process that dies then."""

    fails = True

    async def keep(self, kept: Kept) -> None:
        if self.fails and kept.answer is not None and kept.state.told:
            raise Unavailable("the disk is full")
        await super().keep(kept)


# The same hop again


@asynchronous
@pytest.mark.parametrize("whole", [True, False])
async def test_every_hop_again_gets_the_same_screen_and_pays_nothing_twice(scheme: Scheme, whole: bool) -> None:
    kofi, rose, phone = await two(scheme, whole=whole)
    await phone.dial()
    assert [await phone.ussd.answer(phone.hop()) for _ in range(3)] == [phone.screen] * 3
    for typed in ("5", "wrong", PIN, "00", *paying(rose), "0000", PIN):
        await phone.type(typed)
        assert [await phone.ussd.answer(phone.hop()) for _ in range(3)] == [phone.screen] * 3
    assert phone.screen.ends
    assert (rose.balance(), kofi.balance()) == (1_250, 8_750)
    assert not await phone.ussd.is_open(phone.gateway, phone.session)


@asynchronous
@pytest.mark.parametrize("whole", [True, False])
async def test_the_same_hop_at_the_same_moment_pays_once(scheme: Scheme, whole: bool) -> None:
    _, rose, phone = await two(scheme, whole=whole)
    await phone.go(*paying(rose))
    typed = "*".join([*phone.typed, PIN]) if whole else PIN
    hop = Hop(gateway=phone.gateway, session=phone.session, number=phone.number, typed=typed, whole=whole)  # and without a mark
    answers = await asyncio.gather(*(phone.ussd.answer(hop) for _ in range(5)))
    assert len(set(map(msgspec.json.encode, answers))) == 1
    assert answers[0].ends
    assert rose.balance() == 1_250
    assert await phone.ussd.answer(hop) == answers[0]
    assert rose.balance() == 1_250


@asynchronous
async def test_a_choice_that_comes_twice_at_the_same_moment_is_made_once(scheme: Scheme) -> None:
    _, _, phone = await two(scheme, whole=False)
    await phone.dial()
    hop = Hop(gateway=phone.gateway, session=phone.session, number=phone.number, typed="1", begins=False)
    first, second = await asyncio.gather(phone.ussd.answer(hop), phone.ussd.answer(hop))
    assert first == second
    assert first.text.startswith("To whom?")


@asynchronous
async def test_hops_that_come_late_change_nothing(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    late = []
    for typed in paying(rose):
        late.append(phone.hop() if phone.typed else None)
        if not phone.typed:
            await phone.dial()
            late.append(phone.hop())
        await phone.type(typed)
    for hop in filter(None, late):
        assert await phone.ussd.answer(hop) == phone.screen
    await phone.type(PIN)
    assert rose.balance() == 1_250
    for hop in filter(None, late[1:]):
        if hop.typed:
            assert await phone.ussd.answer(hop) == phone.screen
    assert rose.balance() == 1_250


@asynchronous
async def test_a_marked_hop_is_known_again_after_others(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme, whole=False)
    await phone.dial()
    await phone.type("1")
    early = phone.hop()
    await phone.type(rose.address, "1")
    assert await phone.ussd.answer(early) == phone.screen
    await phone.type(PIN)
    assert rose.balance() == 100


def test_what_was_heard_is_kept_up_to_a_bound() -> None:
    state = State()
    for size in range(500, 5_000, 500):
        state.hear(Hop(gateway="one", session="s", number="+254700000001", typed="1" * size, whole=True), "1" * 499, secret=False)
    assert len(state.heard) == TYPED_SIZE_MAX
    assert len(state.marks) == 0


@asynchronous
async def test_a_caller_that_goes_away_stops_no_payment(scheme: Scheme) -> None:
    gate = Gate(scheme.services.payments)
    _, rose, phone = await two(scheme, payments=gate)
    await phone.go(*paying(rose))
    task = asyncio.create_task(phone.type(PIN))
    await gate.asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gate.opened.set()
    async with asyncio.timeout(60):
        while await phone.ussd.is_open(phone.gateway, phone.session):
            await asyncio.sleep(0.01)
    said = await phone.ussd.answer(phone.hop())
    assert said.text.startswith("Paid: 12.50 USD to Rose Wanjiru.")
    assert rose.balance() == 1_250


# Out of step


@asynchronous
async def test_a_text_that_does_not_go_on_leads_to_the_menu_with_a_word(scheme: Scheme) -> None:
    kofi, rose, phone = await two(scheme)
    await phone.go(*paying(rose))
    for text in (f"2*{rose.address}*12.50*{PIN}", f"1*{rose.address}*12.50{PIN}", f"1*{rose.address}*1", PIN):
        hop = Hop(gateway=phone.gateway, session=phone.session, number=phone.number, typed=text, whole=True)
        said = await phone.ussd.answer(hop)
        assert said.text.startswith(screens.OUT_OF_STEP)
        assert "1 Send money" in said.text
        await phone.go(*paying(rose))
    assert (rose.balance(), kofi.balance()) == (0, 10_000)
    phone.typed[0] = "x"
    assert (await phone.type("9")).startswith(screens.OUT_OF_STEP)
    await phone.type("1")
    await phone.type(rose.address, "1", PIN)
    assert rose.balance() == 100


@asynchronous
async def test_what_was_typed_under_a_session_that_nobody_knows_begins_one(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    said = await phone.ussd.answer(Hop(gateway="one", session="lost", number=phone.number, typed=f"1*{rose.address}*5*{PIN}", whole=True))
    assert "1 Send money" in said.text
    said = await phone.ussd.answer(Hop(gateway="one", session="lost2", number=phone.number, typed=PIN, begins=False))
    assert "1 Send money" in said.text
    assert rose.balance() == 0


@asynchronous
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "typed", ["*", "#", "1*1", "", " ", "9" * 10_000, "abc", "-1", "0.001", "1e3", "🐢", "²", "\x00", "\ud800", "+", "@"]
)
async def test_garbage_is_answered_with_a_word_and_the_same_screen(scheme: Scheme, typed: str, whole: bool) -> None:
    _, rose, phone = await two(scheme, whole=whole)
    for before in ((), ("1",), ("1", rose.address), paying(rose), ("5",)):
        await phone.go(*before)
        asked = phone.screen.text.splitlines()[0]
        if phone.typed or typed or not whole:  # an empty text on the first screen is the dialling itself
            await phone.type(typed)
            assert not phone.screen.ends
            assert asked in phone.screen.text.splitlines()
            assert phone.screen.text.splitlines()[0] != asked
        assert phone.screen.text.count("\n") <= 12
        while phone.screen.text.endswith("9 More\n0 Back"):
            await phone.type("9")
        await phone.type("00")
        assert "1 Send money" in phone.screen.text
    await phone.type(*paying(rose), PIN)
    assert rose.balance() == 1_250


@asynchronous
async def test_garbage_after_an_account_was_opened_shows_it_again(scheme: Scheme) -> None:
    phone = Phone(scheme.services.ussd, "+254700000801")
    opened_with = await phone.go("1", "1", "Grace Hopper", "83726150", "83726150")
    await phone.type("*384#")
    assert phone.screen.text.splitlines()[1:] == opened_with.splitlines()
    assert "Grace Hopper" in opened_with


@asynchronous
async def test_garbage_after_a_balance_with_something_set_aside_shows_it_again(scheme: Scheme) -> None:
    kofi, _, phone = await two(scheme)
    agent = await scheme.agent()
    code = (await scheme.services.parties.party(agent.party)).merchant_code
    assert code is not None
    await phone.go("3", "2", code, "30", PIN)
    assert kofi.balance() == 10_000
    shown = await phone.go("5", PIN)
    assert "Set aside: 30.30" in shown  # with its fee
    await phone.type("what?")
    assert phone.screen.text.splitlines()[1:] == shown.splitlines()


# Whose session it is


@asynchronous
async def test_a_session_of_one_number_is_refused_to_another(scheme: Scheme) -> None:
    kofi, rose, phone = await two(scheme)
    thief = await scheme.simple_phone("Thief", funds=1_000)
    await phone.go(*paying(rose))
    other = msgspec.structs.replace(phone.hop(), number=thief.address, typed=f"{phone.hop().typed}*{PIN}")
    said = await phone.ussd.answer(other)
    assert said == Screen(screens.OTHER_NUMBER, True)
    assert (kofi.balance(), thief.balance(), rose.balance()) == (10_000, 1_000, 0)
    await phone.type(PIN)
    assert (kofi.balance(), thief.balance(), rose.balance()) == (8_750, 1_000, 1_250)


@asynchronous
async def test_a_session_does_not_outlive_its_account(scheme: Scheme) -> None:
    kofi = await scheme.simple_phone()
    phone = Phone(scheme.services.ussd, kofi.address)
    await phone.go("5")
    await scheme.services.parties.staff.close(kofi.party, reason="a test", by=scheme.supervisors[0])
    assert (await phone.type(PIN)).startswith("Welcome to Counterfoil\n1 English")
    await phone.type("1", "1", "Esi Owusu", PIN, PIN)
    assert (await scheme.services.parties.resolve(phone.number)).name == "Esi Owusu"


@asynchronous
async def test_a_broken_off_session_is_not_resumed_by_who_has_the_number_now(scheme: Scheme) -> None:
    kofi, rose, phone = await two(scheme)
    heir = await scheme.simple_phone("Heir", funds=10_000)
    await phone.go(*paying(rose))

    def move(connection: Connection) -> None:
        connection.execute(update(parties).where(parties.c.id == kofi.party).values(number=None))
        connection.execute(update(parties).where(parties.c.id == heir.party).values(number=phone.number))

    await scheme.services.parties.directory.change(move, kofi.party, heir.party)
    shown = await phone.dial()
    assert "broke off" not in shown
    assert "Rose" not in shown
    assert (kofi.balance(), heir.balance(), rose.balance()) == (10_000, 10_000, 0)


@asynchronous
async def test_sessions_of_two_gateways_never_meet(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    other = Phone(phone.ussd, (await scheme.simple_phone()).address, gateway="two")
    await phone.dial("same")
    await other.dial("same")
    await phone.type(*paying(rose), PIN)
    assert "1 Send money" in other.screen.text
    assert "whom" in await other.type("1")
    assert rose.balance() == 1_250


@asynchronous
@pytest.mark.parametrize("number", ["", "12", "+254", "no number", "+" + "9" * 40, "\x00"])
async def test_a_number_that_is_none_is_told_so(scheme: Scheme, number: str) -> None:
    said = await scheme.services.ussd.answer(Hop(gateway="one", session="x", number=number, typed=""))
    assert said == Screen(screens.NO_NUMBER, True)
    assert (await scheme.services.ussd.answer(Hop(gateway="one", session="", number="+254712345678", typed=""))).ends
    assert (await scheme.services.ussd.answer(Hop(gateway="one", session="x" * 129, number="+254712345678", typed=""))).ends


# Sessions that break off


@asynchronous
@pytest.mark.parametrize("whole", [True, False])
async def test_whoever_dials_again_goes_on_where_the_session_broke_off(scheme: Scheme, whole: bool) -> None:
    kofi, rose, phone = await two(scheme, whole=whole)
    confirm = await phone.go(*paying(rose))
    await phone.ussd.ended(phone.gateway, phone.session)
    assert (await phone.dial()).startswith("Your last session broke off.\n1 Go on with it\n2 Start anew")
    assert await phone.dial() == phone.screen.text, "also when it broke off while it was asked"
    assert await phone.type("1") == confirm
    await phone.type(PIN)
    assert (rose.balance(), kofi.balance()) == (1_250, 8_750)
    assert "broke off" not in await phone.dial()


@asynchronous
async def test_whoever_wants_to_begins_anew(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    await phone.go(*paying(rose))
    await phone.dial()
    assert "1 Send money" in await phone.type("2")
    assert "broke off" not in await phone.dial()
    assert rose.balance() == 0


@asynchronous
async def test_after_three_minutes_a_session_is_not_resumed(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    await phone.go(*paying(rose))
    scheme.clock.offset_s += RESUME_S + 1
    assert (await phone.dial()).startswith("Counterfoil\n1 Send money")


@asynchronous
async def test_another_number_resumes_nothing(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    await phone.go(*paying(rose))
    assert "broke off" not in await Phone(phone.ussd, rose.address).dial()


@asynchronous
async def test_what_is_private_asks_for_the_pin_again_in_a_resumed_session(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    await phone.go("5", PIN)
    assert "100.00" in phone.screen.text
    await phone.type("00", *paying(rose))
    await phone.dial()
    assert "100.00" not in await phone.type("1", "00", "5")


@asynchronous
async def test_a_registration_goes_on_after_a_break_but_its_pin_is_typed_anew(scheme: Scheme) -> None:
    phone = Phone(scheme.services.ussd, "+254733000777")
    await phone.go("2", "1", "김하은", "97531")
    await phone.ussd.ended(phone.gateway, phone.session)
    await phone.dial()
    assert "김하은" in await phone.type("1")
    await phone.type("97531", "97531")
    assert (await scheme.services.parties.resolve(phone.number)).language == "ko"


@asynchronous
@pytest.mark.parametrize("mark", ["again", ""])
async def test_a_gateway_that_begins_the_same_session_again_is_a_redial(scheme: Scheme, mark: str) -> None:
    _, rose, phone = await two(scheme, whole=False)
    await phone.go(*paying(rose))
    session = phone.session
    hop = Hop(gateway="one", session=session, number=phone.number, typed="", begins=True, mark=mark)
    assert "broke off" in (await phone.ussd.answer(hop)).text
    assert rose.balance() == 0


# Payments whose answer is late, or never arrives


@asynchronous
async def test_a_slow_payment_is_told_to_be_on_its_way_and_goes_on(scheme: Scheme) -> None:
    gate = Gate(scheme.services.payments)
    kofi, rose, phone = await two(scheme, payments=gate, answer_s_max=0.05)
    await phone.go(*paying(rose))
    assert await phone.type(PIN) == "Your payment is on its way. An SMS follows when it is done. Dial again to look."
    assert phone.screen.ends
    assert "on its way" in await phone.dial()
    assert "on its way" in await phone.type("1")
    gate.opened.set()
    async with asyncio.timeout(60):
        while rose.balance() != 1_250:
            await asyncio.sleep(0.01)
        while "on its way" in await phone.dial():
            await asyncio.sleep(0.01)
    assert phone.screen.text.startswith("Paid: 12.50 USD to Rose Wanjiru.")
    assert (rose.balance(), kofi.balance()) == (1_250, 8_750)


@asynchronous
async def test_a_slow_payment_that_was_refused_tells_why_and_can_be_agreed_to_again(scheme: Scheme) -> None:
    gate = Gate(scheme.services.payments)
    kofi, rose, phone = await two(scheme, payments=gate, answer_s_max=0.05)
    await phone.go(*paying(rose))
    await phone.type("9999")  # a wrong PIN, which nobody has looked at so far
    gate.opened.set()
    async with asyncio.timeout(60):
        while "on its way" in await phone.dial():
            await asyncio.sleep(0.01)
    assert phone.screen.text.startswith(f"{screens.NOT_PAID}\nTo Rose Wanjiru: 12.50 USD")
    async with asyncio.timeout(60):
        while "answer" not in (told := {each.kind: each for each in await scheme.services.parties.notices.of(kofi.party)}):
            await asyncio.sleep(0.01)
    assert told["answer"].values == {"text": "Not paid. The PIN is not right. Tries left: 4."}
    assert told["answer"].number == kofi.address
    phone.ussd = scheme.services.ussd
    await phone.type(PIN)
    assert (rose.balance(), kofi.balance()) == (1_250, 8_750)


@asynchronous
@pytest.mark.parametrize("redial", [True, False])
async def test_a_payment_whose_answer_was_lost_shows_its_outcome(scheme: Scheme, redial: bool) -> None:
    kofi, rose, _ = await two(scheme)
    ussd = engine(scheme, Forgetful)
    assert isinstance(ussd, Forgetful)
    phone = Phone(ussd, kofi.address)
    assert (await phone.go(*paying(rose), PIN)).startswith("Paid: 12.50 USD to Rose Wanjiru."), "what is known is told"
    assert rose.balance() == 1_250
    ussd.fails = False
    again = Phone(scheme.services.ussd, kofi.address)
    said = await again.dial() if redial else (await scheme.services.ussd.answer(phone.hop())).text
    assert said.startswith("Paid: 12.50 USD to Rose Wanjiru.")
    assert (rose.balance(), kofi.balance()) == (1_250, 8_750)


@asynchronous
async def test_whoever_dials_again_at_once_reads_what_became_of_the_last_payment(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    await phone.go(*paying(rose), PIN)
    assert (await phone.dial()).startswith("Paid: 12.50 USD to Rose Wanjiru.\nCounterfoil\n1 Send money")
    await phone.type(*paying(rose, "99"), PIN)
    assert (await phone.dial()).startswith("Not paid. One payment by PIN may be 50.00 USD at most.\nCounterfoil")
    assert (await phone.dial()).startswith("Counterfoil")


@asynchronous
async def test_a_pin_that_came_before_the_process_died_is_asked_for_again_and_pays_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "scheme") as scheme:
        gate = Gate(scheme.services.payments)
        _, rose, phone = await two(scheme, payments=gate, answer_s_max=0.05)
        await phone.go(*paying(rose))
        await phone.type(PIN)  # nothing is carried out: the gate stays shut
        gate.asked.clear()
    async with opened(tmp_path / "scheme") as scheme:
        rose.scheme = scheme
        phone.ussd = scheme.services.ussd
        assert (await phone.dial()).startswith(f"{screens.NOT_PAID}\nTo Rose Wanjiru: 12.50 USD")
        await phone.type(PIN)
        assert rose.balance() == 1_250
        said = await phone.go("6", PIN)
        assert said.count("Rose") == 1


@pytest.mark.asyncio
async def test_sessions_are_kept_on_postgresql_too(postgres_url: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "scheme", store=postgres_url) as scheme:
        _, rose, phone = await two(scheme, whole=False)
        await phone.go("5", "1470", PIN, "00", "*", *paying(rose))
        left = phone.session
        assert (await phone.dial()).startswith("Your last session broke off.")
        await phone.type("1", PIN)
        assert await phone.ussd.answer(phone.hop()) == phone.screen
        assert rose.balance() == 1_250
        assert await phone.ussd.is_open(phone.gateway, left)
        async with asyncio.timeout(60):
            scheme.clock.offset_s += KEPT_S + 1
            ussd = engine(scheme)
            running = asyncio.create_task(ussd.run())
            while await phone.ussd.is_open(phone.gateway, left):
                await asyncio.sleep(0.01)
            ussd.stop()
            await running


@asynchronous
async def test_terms_that_are_too_old_are_not_agreed_to(scheme: Scheme) -> None:
    _, rose, phone = await two(scheme)
    await phone.go(*paying(rose))
    scheme.clock.offset_s += 1_801
    assert (await phone.type(PIN)).startswith(screens.TOO_OLD)
    assert rose.balance() == 0


@asynchronous
async def test_a_store_that_is_gone_is_told_in_words(tmp_path: Path) -> None:
    async with opened(tmp_path / "scheme") as scheme:
        ussd = scheme.services.ussd
        phone = Phone(ussd, "+254712345678")
        await phone.dial()
    assert await phone.type("1") == screens.LATER
    assert phone.screen.ends


@asynchronous
async def test_sessions_are_forgotten_after_a_day(scheme: Scheme) -> None:
    _, _, phone = await two(scheme)
    await phone.dial()
    assert await phone.ussd.is_open(phone.gateway, phone.session)
    store, now = scheme.services.store, scheme.clock.now_ns()
    await store.write(lambda connection: sessions.remove_old(connection, now - KEPT_S * NANOSECONDS))
    assert await phone.ussd.is_open(phone.gateway, phone.session)
    scheme.clock.offset_s += KEPT_S + 1
    ussd = engine(scheme)
    running = asyncio.create_task(ussd.run())
    async with asyncio.timeout(60):
        while await phone.ussd.is_open(phone.gateway, phone.session):
            await asyncio.sleep(0.01)
    ussd.stop()
    await running


def written_by(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the store is asked to write from now on, by the names of the functions; what looks after events beside is left out."""
    written: list[str] = []
    enqueue = store._enqueue

    def listening(fn: Callable[..., Any], item: Any, *, together: bool) -> asyncio.Future[Any]:
        name = f"{fn.__module__.removeprefix('counterfoil.')}.{fn.__qualname__}"
        if not name.startswith(("payments.feed", "channels.outbox", "channels.sms", "channels.push")):
            written.append(name)
        return enqueue(fn, item, together=together)

    monkeypatch.setattr(store, "_enqueue", listening)
    return written


@asynchronous
async def test_a_hop_writes_once_and_a_payment_twice(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    """And beside these, a PIN its attempt and its pardon, and a payment itself: each is one more flush that somebody waits for."""
    kofi, rose, phone = await two(scheme)
    kept, attempt, pardon = (
        "channels.ussd.sessions.keep", "parties.pins._begin_attempts", "parties.pins._were_right",
    )  # fmt: skip
    written = written_by(scheme.services.store, monkeypatch)
    await phone.go("5", PIN, "00", *paying(rose))
    assert written == [kept, kept, attempt, pardon, kept, kept, kept, kept, kept]
    written.clear()
    await phone.type(PIN)
    assert written == [kept, attempt, pardon, "payments.records.keep", kept]
    assert phone.screen.text.startswith("Paid")
    assert kofi.balance() == 10_000 - 1_250


@asynchronous
async def test_hops_that_come_together_are_kept_together(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [await scheme.simple_phone() for _ in range(20)]
    store, batches = scheme.services.store, list[int]()
    commit = store._commit_batch

    async def counting(batch: list[Work]) -> None:
        batches.append(sum(work.fn is sessions.keep for work in batch))
        await commit(batch)

    monkeypatch.setattr(store, "_commit_batch", counting)
    phones = [Phone(scheme.services.ussd, person.address) for person in people]
    await asyncio.gather(*(phone.dial() for phone in phones))
    await asyncio.gather(*(phone.type("1") for phone in phones))
    assert sum(batches) == 40
    assert sum(bool(kept) for kept in batches) <= 6, batches
