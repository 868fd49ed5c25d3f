"""A life by text alone: what people write, what comes of it, and what they are answered; and what nobody gets by writing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import Connection, select, update

from counterfoil.channels.sms import received
from counterfoil.channels.sms.answers import parts
from counterfoil.channels.sms.encoding import is_gsm7
from counterfoil.channels.sms.inbound import PER_HOUR_MAX, PER_MINUTE_MAX, PROBLEMS_PER_HOUR_MAX, Inbox
from counterfoil.channels.sms.received_tables import drafts
from counterfoil.channels.sms.received_tables import received as received_table
from counterfoil.channels.sms.types import Inbound
from counterfoil.errors import Unavailable
from counterfoil.ids import new_id
from counterfoil.parties.tables import notices, parties
from counterfoil.parties.types import Holder, PartyKind
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Receipt
from tests.scheme import MovedClock, Person, Scheme, opened

PIN = "73194628"
"""Eight digits, so that none of them stands anywhere by chance."""
STRANGER = "+254733000111"


class WaitingClock(MovedClock):
    """Time that passes at once, for those who measure it as well."""

    newest_ns = 0

    def monotonic_ns(self) -> int:
        """Never goes back, whatever the time of day does."""
        self.newest_ns = max(self.newest_ns, super().monotonic_ns() + int(self.offset_s * 1_000_000_000))
        return self.newest_ns


class Phones:
    """A scheme's inbox, the phones that write to it, and the answers that they get."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.services = scheme.services
        self.inbox = scheme.services.inbox
        self.count = 0

    async def send(self, number: str, text: str, *, reference: str | None = None, gateway: str = "kannel") -> None:
        self.count += 1
        given = f"text-{self.count}" if reference is None else reference
        await self.inbox.receive(Inbound(gateway=gateway, number=number, text=text, reference=given))

    async def told(self, number: str) -> list[tuple[str, dict[str, Any]]]:
        """Everything that was written to a number, oldest first."""
        query = select(notices.c.kind, notices.c.body).where(notices.c.number == number).order_by(notices.c.created_at, notices.c.id)
        rows = await self.services.store.read(lambda connection: connection.execute(query).all())
        return [(row.kind, msgspec.json.decode(row.body)) for row in rows]

    async def ask(self, number: str, text: str, **how: Any) -> str:
        """The answer to a text, "" for none; more than one is a fault."""
        before = await self.answers(number)
        await self.send(number, text, **how)
        new = (await self.answers(number))[len(before) :]
        assert len(new) <= 1, new
        for each in new:
            assert parts(each) <= 2, each
        return new[0] if new else ""

    async def answers(self, number: str) -> list[str]:
        return [said["text"] for kind, said in await self.told(number) if kind in ("answer", "answer_secret")]

    async def agree(self, number: str, question: str, pin: str = PIN) -> str:
        return await self.ask(number, f"{code_in(question)} {pin}")

    def lend(self, minutes: float) -> None:
        """Lets minutes pass."""
        self.scheme.clock.offset_s += minutes * 60


def code_in(question: str) -> str:
    found = re.search(r"(?<![0-9.,])([0-9]{4})(?![0-9]|[.,][0-9])", question)
    assert found is not None, question
    return found[1]


@pytest_asyncio.fixture
async def phones(tmp_path: Path) -> AsyncIterator[Phones]:
    async with opened(tmp_path, WaitingClock()) as scheme:
        yield Phones(scheme)


async def holder(phones: Phones, name: str = "Kofi", *, funds: int = 0, language: str = "en") -> Person:
    person = await phones.scheme.simple_phone(name, funds=funds, pin=PIN)
    if language != "en":
        await phones.services.parties.enrolment.set_language(person.party, language)
    return person


async def join(phones: Phones, number: str, text: str) -> Holder:
    question = await phones.ask(number, text)
    assert await phones.agree(number, question) == ""
    return await phones.services.parties.resolve(number)


async def test_a_whole_life_by_text_ends_in_the_right_balances(phones: Phones) -> None:
    """Opened, paid in, paid, asked, answered, cashed out, looked at, locked: with nothing but texts on this side."""
    agent, shop = await phones.scheme.agent(funds=100_000), await phones.scheme.merchant("Corner shop")
    me = await join(phones, STRANGER, "Join Ama Mensah")
    assert (me.name, me.language, me.number) == ("Ama Mensah", "en", STRANGER)
    person = Person(phones.scheme, party=me.party, account=me.account, device=0, key=agent.key, address=STRANGER)
    friend = await holder(phones, "Kofi", funds=5_000)

    asked = await phones.ask(STRANGER, f"ASK {agent.address} 300")
    assert asked.startswith("Ask Agent to take 300.00 USD of cash from you? Text back ")
    assert await phones.agree(STRANGER, asked) == "You have asked Agent for 300.00 USD."
    (request,) = await phones.services.requests.of_account(agent.account)
    await agent.pay(person, 30_000, reference=request.id)
    assert person.balance() == 30_000

    shop_code = (await phones.services.parties.holder(shop.account)).merchant_code
    question = await phones.ask(STRANGER, f"pay {shop_code} 12,50 two loaves")
    assert question.startswith("Pay Corner shop 12.50 USD, fee 0.00 USD, in all 12.50 USD? Text back ")
    assert await phones.agree(STRANGER, question) == "", "the notice of the payment is the answer"
    (paid,) = [each.payment for each in await phones.services.history.page(person.account) if each.payment and each.payment.amount == 1_250]
    assert paid.memo == "two loaves"
    assert (person.balance(), shop.balance()) == (28_750, 1_250 - paid.fee)

    question = await phones.ask(friend.address, f"req {STRANGER} 20")
    assert (await phones.agree(friend.address, question)).startswith("You have asked Ama Mensah for 20.00")
    assert await phones.ask(STRANGER, "no") == "You have said no to Kofi."
    question = await phones.ask(friend.address, f"ask {STRANGER} 30")
    await phones.agree(friend.address, question)
    question = await phones.ask(STRANGER, "Yes")
    assert question.startswith("Pay Kofi 30.00")
    assert await phones.agree(STRANGER, question) == ""
    assert friend.balance() == 8_000
    assert await phones.ask(STRANGER, "yes") == "Nobody is asking you for money now."

    question = await phones.ask(STRANGER, f"cash {agent.address} 40")
    assert question.startswith("Cash 40.00 USD at Agent, fee ")
    assert await phones.agree(STRANGER, question) == ""
    (hold,) = [each for each in await phones.services.history.page(agent.account) if each.payment and each.payment.kind is OrderKind.HOLD]
    assert hold.payment is not None
    receipt = await phones.services.payments.receipt(hold.payment.id, person.account)
    left = person.available()
    await agent.answer(OrderKind.CAPTURE, receipt, 4_000)
    assert person.balance() == left == 30_000 - 1_250 - 3_000 - 4_000 - receipt.payment.fee

    assert await phones.ask(STRANGER, f"BAL {PIN}") == f"Balance {left // 100}.{left % 100:02} USD."
    last = await phones.ask(STRANGER, f"last {PIN}")
    assert len(last.splitlines()) >= 4
    assert "-30.00 Kofi" in last
    assert await phones.ask(STRANGER, f"LOCK {PIN}") == ""
    assert (await phones.told(STRANGER))[-1][0] == "frozen"
    refused = await phones.ask(STRANGER, f"pay {friend.address} 1")
    if "Text back" in refused:
        refused = await phones.agree(STRANGER, refused)
    assert refused
    assert person.balance() == left


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ko", {"join": "가입 하은", "pay": "송금", "help": "도움말", "bal": "잔액", "said": "잔액"}),
        ("fr", {"join": "inscrire Zoé", "pay": "payer", "help": "Aide", "bal": "Solde", "said": "Solde"}),
    ],
)
async def test_other_languages_are_understood_and_spoken(phones: Phones, language: str, words: dict[str, str]) -> None:
    other = await holder(phones, "Kofi")
    me = await join(phones, STRANGER, words["join"])
    assert me.language == language
    bank = await phones.scheme.customer("Rose", funds=10_000)
    await bank.pay(me.account, 5_000)
    question = await phones.ask(STRANGER, f"{words['pay']} {other.address} 12,50")
    assert await phones.agree(STRANGER, question) == ""
    assert other.balance() == 1_250
    told = await phones.ask(STRANGER, f"{words['bal']} {PIN}")
    assert words["said"] in told
    for text in (words["help"], "xyz", f"{words['pay']} 12", "lang xx"):
        said = await phones.ask(STRANGER, text)
        assert said
        assert language == "ko" or is_gsm7(said), said
    assert await phones.ask(STRANGER, "LANG en") == "From now on we write to you in English."
    assert (await phones.ask(STRANGER, f"bal {PIN}")).startswith("Balance")


async def test_nothing_moves_and_nothing_is_told_on_a_text_alone(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    for text in ("BAL", "LAST", "LOCK", f"pay {other.address} 50", f"ask {other.address} 50", "yes"):
        said = await phones.ask(me.address, text)
        assert "100.00" not in said
    assert (me.balance(), other.balance()) == (10_000, 0)
    assert not await phones.services.requests.of_account(other.account)
    assert not (await phones.services.parties.holder(me.account)).freezes


async def test_a_wrong_pin_asks_nobody_for_money_and_locks_nothing(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    question = await phones.ask(me.address, f"ask {other.address} 50")
    assert (await phones.agree(me.address, question, "1357")).startswith("The PIN is not right.")
    assert (await phones.ask(me.address, "LOCK 1357")).startswith("The PIN is not right.")
    assert not await phones.services.requests.of_account(other.account)
    assert not (await phones.services.parties.holder(me.account)).freezes


async def test_the_same_text_is_done_and_answered_once(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    question = await phones.ask(me.address, f"pay {other.address} 10", reference="a")
    assert await phones.ask(me.address, f"pay {other.address} 10", reference="a") == ""
    confirm = f"{code_in(question)} {PIN}"
    for _ in range(3):
        await phones.ask(me.address, confirm, reference="b")
    await phones.ask(me.address, confirm, reference="c")
    await phones.ask(me.address, confirm, reference="b", gateway="other")
    assert other.balance() == 1_000
    question = await phones.ask(me.address, f"pay {other.address} 7", reference="")
    assert question
    assert await phones.ask(me.address, f"pay {other.address} 7", reference="") == "", "word by word within a minute"
    phones.lend(1.1)
    again = await phones.ask(me.address, f"pay {other.address} 7", reference="")
    assert again
    await phones.agree(me.address, again)
    assert other.balance() == 1_700


class Broken(Exception):
    """The process ends here."""


@pytest.mark.parametrize("reference", ["one", ""])
async def test_a_text_that_was_broken_off_is_taken_up_by_its_repeat_and_pays_once(
    phones: Phones, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    question = await phones.ask(me.address, f"pay {other.address} 10")
    confirm, payments = f"{code_in(question)} {PIN}", phones.services.payments
    real = payments.pay_by_pin

    async def late(*given: Any) -> Receipt:
        await real(*given)
        raise Unavailable("nobody knows")

    monkeypatch.setattr(payments, "pay_by_pin", late)
    with pytest.raises(Unavailable):
        await phones.send(me.address, confirm, reference=reference)
    monkeypatch.undo()
    assert other.balance() == 1_000
    assert await phones.ask(me.address, confirm, reference=reference) == ""
    assert other.balance() == 1_000

    def die(*_: Any, **__: Any) -> None:
        raise Broken

    question = await phones.ask(me.address, f"pay {other.address} 5")
    confirm = f"{code_in(question)} {PIN}"
    monkeypatch.setattr(received, "end", die)
    with pytest.raises(Broken):
        await phones.send(me.address, confirm, reference=f"{reference}2" if reference else "")
    with pytest.raises(Broken):
        await phones.send(me.address, f"BAL {PIN}", reference=f"{reference}3" if reference else "")
    monkeypatch.undo()
    assert await phones.ask(me.address, confirm, reference=f"{reference}2" if reference else "") == ""
    assert other.balance() == 1_500
    assert await phones.ask(me.address, f"BAL {PIN}", reference=f"{reference}3" if reference else "") == "Balance 85.00 USD."


async def test_a_wrong_code_ends_the_question_and_three_of_them_end_the_hour(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    for _ in range(received.WRONG_PER_HOUR_MAX):
        question = await phones.ask(me.address, f"pay {other.address} 10")
        wrong = f"{(int(code_in(question)) + 1) % 10_000:04}"
        assert "wrong or too old" in await phones.ask(me.address, f"{wrong} {PIN}")
        assert "wrong or too old" in await phones.ask(me.address, f"{code_in(question)} {PIN}"), "the one try is gone"
    assert (await phones.ask(me.address, f"pay {other.address} 10")).startswith("Too many wrong codes.")
    assert other.balance() == 0
    phones.lend(61)
    question = await phones.ask(me.address, f"pay {other.address} 10")
    assert await phones.agree(me.address, question) == ""
    assert other.balance() == 1_000


async def test_a_code_is_of_one_number_of_ten_minutes_and_of_the_newest_question(phones: Phones) -> None:
    me, other, third = await holder(phones, funds=10_000), await holder(phones, "Ama", funds=10_000), await holder(phones, "Esi")
    first = await phones.ask(me.address, f"pay {third.address} 1")
    assert "wrong or too old" in await phones.agree(other.address, first)
    second = await phones.ask(me.address, f"pay {third.address} 2")
    assert await phones.agree(me.address, second) == ""
    late = await phones.ask(me.address, f"pay {third.address} 4")
    phones.lend(11)
    assert "wrong or too old" in await phones.agree(me.address, late)
    assert third.balance() == 200


async def test_a_wrong_pin_is_counted_and_the_right_one_then_pays(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    question = await phones.ask(me.address, f"pay {other.address} 10")
    said = await phones.agree(me.address, question, "1357")
    assert said == "The PIN is not right. Tries left: 4. Nothing was done."
    assert other.balance() == 0
    assert await phones.agree(me.address, question) == ""
    assert other.balance() == 1_000
    for _ in range(4):
        await phones.ask(me.address, "BAL 1357")
    phones.lend(1.1)
    assert "locked" in await phones.ask(me.address, "bal 1357") or "locked" in await phones.ask(me.address, f"bal {PIN}")


async def test_an_account_that_is_frozen_or_poor_pays_nothing_and_says_why(phones: Phones) -> None:
    me, other = await holder(phones, funds=1_000), await holder(phones, "Ama")
    question = await phones.ask(me.address, f"pay {other.address} 50")
    said = await phones.agree(me.address, question)
    assert said.endswith("Nothing was done.")
    question = await phones.ask(me.address, f"pay {other.address} 5")
    await phones.services.parties.staff.freeze(12345, me.party, reason="lost phone", by=me.party)
    assert "frozen" in await phones.agree(me.address, question)
    assert (me.balance(), other.balance()) == (1_000, 0)


async def test_what_is_not_understood_is_answered_once_an_hour_and_no_machine_is_kept_talking(phones: Phones) -> None:
    me = await holder(phones)
    assert (await phones.ask(me.address, "I am driving and will call you back")).startswith("We did not understand")
    for n in range(5):
        assert await phones.ask(me.address, f"I am driving and will call you back {n}") == ""
    phones.lend(61)
    assert await phones.ask(me.address, "hello")
    answered = [await phones.ask(me.address, f"pay nobody {n}") for n in range(16)]
    assert [bool(each) for each in answered] == [True] * PROBLEMS_PER_HOUR_MAX + [False] * (16 - PROBLEMS_PER_HOUR_MAX)
    assert (await phones.ask(STRANGER, "hello")).startswith("This number has no account.")
    assert await phones.ask(STRANGER, "hello?") == ""


async def test_a_flood_is_not_even_looked_at(phones: Phones) -> None:
    me = await holder(phones)
    for n in range(PER_MINUTE_MAX + 15):
        await phones.send(me.address, f"help {n}" if n % 2 else "HELP")
    query = select(received_table).where(received_table.c.number == me.address)
    rows = await phones.services.store.read(lambda connection: connection.execute(query).all())
    assert len(rows) == PER_MINUTE_MAX
    phones.lend(1.1)
    assert await phones.ask(me.address, "help")


@pytest.mark.parametrize("number", ["", "MTN", "12", "+", "not a number", "+99999999999999999999", "40404"])
async def test_what_comes_from_no_phone_is_dropped(phones: Phones, number: str) -> None:
    await phones.send(number, "HELP")
    assert await phones.services.store.read(lambda connection: connection.execute(select(received_table)).all()) == []


async def test_a_number_without_its_plus_is_the_same(phones: Phones) -> None:
    me = await holder(phones)
    await phones.send(me.address.removeprefix("+"), "HELP")
    assert len(await phones.answers(me.address)) == 1


async def test_a_pin_that_anybody_would_guess_opens_nothing(phones: Phones) -> None:
    question = await phones.ask(STRANGER, "JOIN Ama")
    assert "too easy" in await phones.agree(STRANGER, question, "1234")
    assert "too easy" in await phones.agree(STRANGER, question, "0000")
    assert (await phones.ask(STRANGER, "JOIN")).startswith("Text JOIN and your name")
    me = await join(phones, STRANGER, "JOIN Ama")
    assert me.kind is PartyKind.CUSTOMER
    assert await phones.ask(STRANGER, "JOIN Ama") == "This number has an account already."


async def test_a_pin_is_changed_on_a_code_and_the_old_one(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    question = await phones.ask(me.address, f"PIN {PIN}")
    assert question.startswith("Another PIN? Text back ")
    code = code_in(question)
    assert "is not right" in await phones.ask(me.address, f"{code} 1357 86420975")
    assert "too easy" in await phones.ask(me.address, f"{code} {PIN} 1234")
    assert "too easy" in await phones.ask(me.address, f"{code} {PIN}"), "the new one is missing"
    assert (await phones.ask(me.address, f"BAL {PIN}")).startswith("Balance")
    assert await phones.ask(me.address, f"{code} {PIN} 86420975") == "Your PIN is changed. Tell it to nobody."
    assert "is not right" in await phones.ask(me.address, f"BAL {PIN}")
    phones.lend(15)
    assert (await phones.ask(me.address, "BAL 86420975")).startswith("Balance")
    assert (await phones.ask(other.address, f"{code} {PIN} 86420975")).startswith("This code is wrong")
    question = await phones.ask(me.address, f"pay {other.address} 1")
    assert "did not understand" in await phones.ask(me.address, f"{code_in(question)} 86420975 2580"), "that is no answer to this"
    assert other.balance() == 0


async def test_a_change_of_pin_that_was_broken_off_is_taken_up_by_its_repeat(phones: Phones, monkeypatch: pytest.MonkeyPatch) -> None:
    me = await holder(phones, funds=10_000)
    confirm = f"{code_in(await phones.ask(me.address, 'PIN'))} {PIN} 86420975"

    def die(*_: Any, **__: Any) -> None:
        raise Broken

    monkeypatch.setattr(received, "end", die)
    with pytest.raises(Broken):
        await phones.send(me.address, confirm, reference="a")
    monkeypatch.undo()
    assert await phones.ask(me.address, confirm, reference="a") == "Your PIN is changed. Tell it to nobody."
    assert await phones.ask(me.address, "BAL 86420975") == "Balance 100.00 USD."


async def test_an_account_is_unlocked_on_a_code_and_the_pin_and_only_by_whoever_locked_it(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    assert await phones.ask(me.address, "UNLOCK") == "Your account is not locked."
    assert await phones.ask(me.address, f"LOCK {PIN}") == ""
    assert await phones.ask(me.address, f"LOCK {PIN}") == "Your account pays nobody now. To unlock it, text UNLOCK or dial our menu."
    question = await phones.ask(me.address, "unlock")
    assert "is not right" in await phones.agree(me.address, question, "1357")
    assert (await phones.services.parties.holder(me.account)).freezes
    assert await phones.agree(me.address, question) == ""
    assert (await phones.told(me.address))[-1][0] == "unfrozen"
    await phones.agree(me.address, await phones.ask(me.address, f"pay {other.address} 1"))
    assert other.balance() == 100
    await phones.services.parties.staff.freeze(new_id(phones.scheme.clock), me.party, reason="a test", by=phones.scheme.supervisors[0])
    assert (await phones.ask(me.address, "UNLOCK")).startswith("This account is frozen.")


async def test_the_note_of_whoever_asks_is_read_before_it_is_agreed_to_and_stands_on_the_payment(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    await phones.agree(other.address, await phones.ask(other.address, f"ask {me.address} 3 twelve \u202eeggs of the brown hen next door"))
    question = await phones.ask(me.address, "yes")
    assert question.endswith("within 10 minutes. Their note: twelve eggs of the brown he...")
    await phones.agree(me.address, question)
    [entry] = await phones.services.history.page(me.account, limit=1)
    assert entry.payment is not None
    assert entry.payment.memo == "twelve eggs of the brown hen next door"


async def test_the_pin_is_in_no_file_and_in_no_line_of_the_log(
    phones: Phones, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    await join(phones, STRANGER, "JOIN Esi")
    for text in (f"bal {PIN}", f"last {PIN}", f"PIN {PIN}", f"my pin is {PIN}", f"0000 {PIN}", f"pay {other.address} {PIN}"):
        await phones.send(me.address, text)
    question = await phones.ask(me.address, f"pay {other.address} 10")
    await phones.agree(me.address, question)
    assert other.balance() == 1_000
    await phones.services.store.read(lambda connection: connection.exec_driver_sql("PRAGMA wal_checkpoint").all())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 3
    for path in files:
        assert PIN.encode() not in path.read_bytes(), path
    out = capfd.readouterr()
    assert PIN not in out.out + out.err + caplog.text
    for told in (Inbound(gateway="g", number="+1", text=PIN), phones.inbox):
        assert PIN not in repr(told)


async def test_the_texts_of_one_number_wait_for_each_other(phones: Phones) -> None:
    """Two that say yes at the same moment pay once."""
    import asyncio

    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    question = await phones.ask(me.address, f"pay {other.address} 10")
    confirm = f"{code_in(question)} {PIN}"
    await asyncio.gather(*(phones.send(me.address, confirm) for _ in range(4)))
    assert other.balance() == 1_000
    rows = await phones.services.store.read(lambda connection: connection.execute(select(drafts.c.outcome)).scalars().all())
    assert rows == ["right"]
    assert isinstance(phones.inbox, Inbox)


@pytest.mark.parametrize("text", ["pay {} 50", "ask {} 50"])
async def test_a_question_to_the_number_of_before_is_not_answered_by_who_has_it_now(phones: Phones, text: str) -> None:
    """The number goes to somebody else between question and answer: what was drafted for one account is not agreed to by another."""
    old, new, other = await holder(phones, "Old", funds=10_000), await holder(phones, "New", funds=10_000), await holder(phones, "Ama")
    question = await phones.ask(old.address, text.format(other.address))

    def move(connection: Connection) -> None:
        connection.execute(update(parties).where(parties.c.id == old.party).values(number=None))
        connection.execute(update(parties).where(parties.c.id == new.party).values(number=old.address))

    await phones.services.parties.directory.change(move, old.party, new.party)
    assert "wrong or too old" in await phones.agree(old.address, question)
    assert (old.balance(), new.balance(), other.balance()) == (10_000, 10_000, 0)
    assert await phones.services.requests.of_account(other.account) == []


async def test_a_clock_that_goes_back_leaves_the_newest_question_the_one_that_counts(phones: Phones) -> None:
    me, other = await holder(phones, funds=10_000), await holder(phones, "Ama")
    first = await phones.ask(me.address, f"pay {other.address} 1")
    await phones.agree(me.address, first)
    phones.scheme.clock.offset_s -= 3_000
    before = set(await phones.answers(me.address))
    await phones.send(me.address, f"pay {other.address} 2")
    (second,) = set(await phones.answers(me.address)) - before
    await phones.send(me.address, f"{code_in(first)} {PIN}")
    assert other.balance() == 100
    await phones.send(me.address, f"pay {other.address} 2")
    (third,) = (each for each in set(await phones.answers(me.address)) - before - {second} if each.startswith("Pay"))
    await phones.send(me.address, f"{code_in(third)} {PIN}")
    assert other.balance() == 300


async def test_a_note_that_cannot_be_kept_is_told_before_anybody_agrees(phones: Phones) -> None:
    me, other = await holder(phones), await holder(phones, "Ama")
    assert await phones.ask(me.address, f"ask {other.address} 5 {'x' * 500}") == "This note is too long."
    question = await phones.ask(me.address, f"ask {other.address} 5 a\0b")
    assert await phones.agree(me.address, question) == "You have asked Ama for 5.00 USD."
    (request,) = await phones.services.requests.of_account(other.account)
    assert request.memo == "ab"


async def test_a_machine_that_sends_our_own_words_back_is_not_talked_to_for_long(phones: Phones) -> None:
    """Each answer costs us a text, also one that says nothing is wrong."""
    me, other = await holder(phones, funds=10_000), await holder(phones, "0712345678")
    said, answered = await phones.ask(me.address, f"pay {other.address} 1"), 1
    while said and answered <= 2 * PER_HOUR_MAX:
        phones.lend(0.1)
        said, answered = await phones.ask(me.address, "help" if answered % 2 else said), answered + 1
    assert answered <= PER_HOUR_MAX + 1
    phones.lend(61)
    assert await phones.ask(me.address, "help")
