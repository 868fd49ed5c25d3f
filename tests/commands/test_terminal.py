"""`counterfoil terminal`: a card pays at a desk; what is refused, lost, torn away or killed leaves desk and books of one mind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from counterfoil.acceptance.cards.keys import BatchKeys
from counterfoil.commands.client import ATTEMPTS, ServerRefused
from counterfoil.commands.pcsc import MuteCard, NoCard, NoReader, ReaderError
from counterfoil.commands.terminal.folder import Folder
from counterfoil.commands.terminal.outcomes import CLERK, Then, after_no
from counterfoil.errors import IdReused, PaymentRefused, Unavailable
from counterfoil.ids import id_text
from counterfoil.parties.types import StaffRole
from tests.acceptance.cards.plastic import Plastic
from tests.acceptance.cards.tag import Tag
from tests.acceptance.cards.test_personalise import make
from tests.commands.counter import PIN, Counter, Killed, OnReader, Steps, furnished, pair_arguments
from tests.commands.desk import Cutting, run
from tests.commands.desk import Desk as Terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def counter(desk: Terminal, tmp_path: Path) -> AsyncIterator[Counter]:
    yield await furnished(desk.site, tmp_path / "terminal")


class Interrupted(Steps):
    """The answer to request `number` is lost, and the clerk presses Ctrl-C when the next one is sent; `forever`: at each one after it."""

    def __init__(self, number: int, error: type[BaseException], *, forever: bool = False) -> None:
        super().__init__((number, True), error=error)
        self.number = number
        self.forever = forever

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        if len(self.names) == self.number + 1 or (self.forever and len(self.names) > self.number):
            self.names.append(name)
            raise KeyboardInterrupt
        with super().step(name):
            yield


async def test_a_card_and_its_holders_pin_pay_a_sale(counter: Counter) -> None:
    kofi, card = await counter.payer(funds=5_000)
    ran = await counter.run(["12.50", "Bread", PIN], [card.tag])
    assert ran.error is None, ran.text
    assert "\aPaid 12.50 USD by Kofi." in ran.text
    for line in (f"Card ending in  {card.label}", "Amount          12.50 USD", "Fee             0.00 USD", "To pay          12.50 USD"):
        assert line in ran.text
    assert kofi.balance() == 3_750
    assert not counter.is_open()
    (sale,) = await counter.sales()
    assert (sale["state"], sale["lines"][0]["name"]) == ("paid", "Bread")


async def test_above_the_unproved_amount_the_card_itself_has_to_be_on_the_reader(counter: Counter) -> None:
    kofi, card = await counter.payer()
    before, reader, torn = kofi.balance(), OnReader([card.tag, card.tag]), False

    def answer(tag: Tag, command: bytes) -> bytes:
        nonlocal torn
        if command[:2] == b"\x90\x71" and not torn:
            torn = True
            reader.take_away()
            raise ReaderError("it was taken away")
        return tag.transmit(command)

    reader.answer = answer
    ran = await counter.run(counter.sale("20.01"), on_reader=reader)
    assert torn
    assert ran.count("This amount needs it on the reader") == 1
    assert ran.count("Paid 20.01 USD") == 1
    assert kofi.balance() == before - 2_001


async def test_a_wrong_pin_says_how_many_tries_are_left_and_the_right_one_pays(counter: Counter) -> None:
    kofi, card = await counter.payer(funds=5_000)
    ran = await counter.run(counter.sale("12.50", "1111", "12", "2x80", PIN), [card.tag])
    assert "The PIN is not right. 4 tries left." in ran.text
    assert ran.count("A PIN has 4 to 8 digits. Nothing was sent.") == 2
    assert ran.text.endswith("Amount in USD: \n")
    assert ran.count("Paid 12.50 USD") == 1
    assert kofi.balance() == 3_750


async def test_each_sale_needs_a_tap_of_its_own_and_a_card_that_was_left_is_no_new_tap(counter: Counter) -> None:
    kofi, card = await counter.payer(funds=5_000)
    ran = await counter.run([*counter.sale("1"), *counter.sale("2.5")], [card.tag])
    assert ran.count("Paid") == 1
    assert "Not paid: the sale of 2.50 USD is taken back" in ran.text
    ran = await counter.run([*counter.sale("1"), *counter.sale("2.5")], [card.tag, card.tag])
    assert ran.count("Paid") == 2
    assert kofi.balance() == 5_000 - 100 - 350


async def test_a_tap_that_was_used_is_tapped_again(counter: Counter) -> None:
    """Between this card's words and their arrival it was tapped elsewhere."""
    kofi, card = await counter.payer(funds=5_000)
    other = await counter.shop.sell(100)
    later, card.tag.counter = card.tag.counter, card.tag.counter + 1
    await counter.shop.ok("POST", f"/v1/till/sales/{other['id']}/card", card.tap())
    card.tag.counter = later  # a cloned or torn counter goes back
    ran = await counter.run(counter.sale("3"), [card.tag, card.tag, card.tag])
    assert ran.count("This tap of the card was used before") == 2
    assert ran.count("Paid 3.00 USD") == 1
    assert kofi.balance() == 4_700


async def test_another_card_pays_where_one_cannot(counter: Counter) -> None:
    kofi, full = await counter.payer(funds=5_000)
    _, empty = await counter.payer(funds=0)
    ama, locked = await counter.payer(funds=5_000)
    clerk = await counter.site.staff_member(StaffRole.CLERK)
    await counter.site.ok(clerk, "POST", f"/v1/staff/parties/{id_text(ama.party)}/cards/lock")
    nobodys = Plastic(counter.site.scheme)
    foreign, blank = Tag(b"\x04\x99\x99\x99\x99\x99\x99"), Tag(b"\x04\x98\x98\x98\x98\x98\x98")
    make(foreign, BatchKeys(bytes(16)))
    cards: list[Tag | Exception] = [empty.tag, locked.tag, nobodys.tag, foreign, blank, full.tag, full.tag]
    ran = await counter.run(counter.sale("12.50", PIN, "", PIN), cards)
    assert "There is not enough money in the account of this card." in ran.text
    assert "This card is locked." in ran.text
    assert ran.count("This is no card of this scheme, or it belongs to nobody yet.") == 2
    assert ran.count("This is no card of the scheme. Hold another one") == 1
    assert ran.count("Paid 12.50 USD") == 1
    assert (kofi.balance(), ama.balance()) == (3_750, 5_000)


async def test_readers_and_cards_that_do_not_answer_are_told_in_words_and_waited_for(counter: Counter) -> None:
    kofi, card = await counter.payer(funds=5_000)
    troubles: list[Tag | Exception] = [
        NoReader("which reader? there is none"),
        NoReader("which reader? there is none"),
        ReaderError("cannot wait for a card: Unknown reader specified"),
        NoCard("no card was put on the reader"),
        MuteCard("what lies on the reader gives no answer"),
    ]
    ran = await counter.run(counter.sale(), [*troubles, card.tag])
    assert ran.count("No card can be read: which reader? there is none. Waiting for the reader.") >= 1
    assert "The reader does not answer (cannot wait for a card: Unknown reader specified)." in ran.text
    assert ran.count("Hold one card alone to it.") == 1
    assert ran.count("Paid 12.50 USD") == 1
    assert kofi.balance() == 3_750


async def test_a_card_torn_away_at_any_byte_of_any_apdu_pays_when_it_comes_back(counter: Counter) -> None:
    kofi, card = await counter.payer()
    sizes: list[int] = []

    def counted(tag: Tag, command: bytes) -> bytes:
        sizes.append(len(tag.transmit(command)))
        return tag.transmit(command)

    ran = await counter.run(counter.sale("0.01"), on_reader=OnReader([card.tag], counted))
    assert ran.count("Paid") == 1
    assert len(sizes) >= 4
    before = kofi.balance()
    places = [(apdu, size) for apdu, length in enumerate(sizes) for size in range(-1, length)]
    waiting, asked = list(places), 0
    reader = OnReader([card.tag] * (len(places) + 1))

    def tearing(tag: Tag, command: bytes) -> bytes:
        """Of an answer so many bytes come; -1: the card has not even heard the command."""
        nonlocal asked
        if not waiting or asked != waiting[0][0]:
            asked += 1
            return tag.transmit(command)
        asked, (_, size) = 0, waiting.pop(0)
        answer = tag.transmit(command) if size >= 0 else b""
        reader.take_away()
        if size < 2:
            raise ReaderError("the card gave no answer")
        return answer[:size]

    reader.answer = tearing
    ran = await counter.run(counter.sale("0.01"), on_reader=reader)
    assert waiting == []
    assert ran.count("too early") + ran.count("no card of the scheme") == len(places)
    assert ran.count("Paid 0.01 USD") == 1
    assert kofi.balance() == before - 1
    assert sum(name.endswith("/card") for name in ran.steps) == 1, "what was torn is never sent"


async def test_lost_requests_and_lost_answers_never_pay_twice_and_the_desk_says_paid_in_the_end(counter: Counter) -> None:
    kofi, card = await counter.payer()
    whole = await counter.run(counter.sale("0.01"), [card.tag])
    requests = [number for number, name in enumerate(whole.steps) if "sign" not in name]
    assert [whole.steps[number].rpartition("/")[2] for number in requests] == ["till", "till", "sales", "card", "pay"]
    for number in requests:
        for is_done in (False, True):
            for times in (1, 2 * ATTEMPTS + 1):
                before = kofi.balance()
                deaths = Steps(*((number + more, is_done) for more in range(times)), error=Unavailable)
                ran = await counter.run(counter.sale("0.01"), [card.tag], network=deaths)
                assert ran.error is None, ran.text
                assert ran.count("Paid 0.01 USD") == 1, (number, is_done, times, ran.text)
                assert kofi.balance() == before - 1, (number, is_done, times, ran.text)


async def test_a_wrong_pin_whose_answer_got_lost_is_not_sent_again_before_the_server_answers(counter: Counter) -> None:
    """Each time it arrives it costs a try: what repeats requests by itself would lock the holder out."""
    _, card = await counter.payer()
    whole = await counter.run(counter.sale("0.01"), [card.tag])
    pay = next(number for number, name in enumerate(whole.steps) if name.endswith("/pay"))
    deaths = Steps(*((pay + more, True) for more in range(3)), error=Unavailable)
    ran = await counter.run(counter.sale("0.01", "1111", PIN), [card.tag], network=deaths)
    assert "The PIN is not right. 3 tries left." in ran.text
    assert ran.count("Paid 0.01 USD") == 1


async def test_a_no_after_a_try_without_an_answer_is_not_believed_before_the_sale_was_looked_at(counter: Counter) -> None:
    """The first try arrives late, and takes the money for which the second one then looks."""
    kofi, card = await counter.payer()
    before = kofi.balance()
    problem = {"status": 422, "code": "insufficient_funds", "detail": "no", "retry": "change", "facts": {}}

    class Late(Steps):
        pays = 0

        @contextlib.contextmanager
        def step(self, name: str) -> Iterator[None]:
            self.pays += name.endswith("/pay")
            if name.endswith("/pay") and self.pays == 1:
                raise Unavailable("it is under way")
            yield
            if name.endswith("/pay"):
                raise ServerRefused(problem)

    ran = await counter.run(counter.sale("0.01"), [card.tag], network=Late())
    assert "not enough money" not in ran.text
    assert ran.count("Paid 0.01 USD") == 1
    assert kofi.balance() == before - 1


async def test_a_desk_that_dies_anywhere_tells_at_the_next_start_how_its_sale_ended(counter: Counter) -> None:
    kofi, card = await counter.payer()
    network, disk = Steps(), Steps()
    await counter.run(counter.sale("0.01"), [card.tag], network=network, disk=disk)
    assert disk.names == ["write sale.json", "forget"]
    places = [("network", number) for number in range(len(network.names))] + [("disk", number) for number in range(len(disk.names))]
    ends = []
    for where, number in places:
        for is_done in (False, True):
            before = kofi.balance()
            deaths = Steps((number, is_done))
            died = await counter.run(counter.sale("0.01"), [card.tag], **{where: deaths})  # type: ignore[arg-type]
            what = deaths.names[-1]
            if died.error is None:
                assert "sign-out" in what, died.text
            was_open, moved = counter.is_open(), before - kofi.balance()
            again = await counter.run([])
            assert again.error is None, again.text
            assert not counter.is_open()
            assert before - kofi.balance() == moved
            assert moved in (0, 1)
            told = died.count("Paid 0.01 USD") + again.count("Paid 0.01 USD")
            assert (told > 0) == (moved == 1), (what, is_done, died.text, again.text)
            assert was_open == (again.count("was under way when the terminal stopped") == 1)
            if was_open and not moved:
                assert "Not paid" in again.text
            ends.append((was_open, moved))
    assert set(ends) == {(False, 0), (True, 0), (True, 1), (False, 1)}, "each way it can be left was seen"
    assert {sale["state"] for sale in await counter.sales()} == {"paid", "cancelled"}, "no sale is left open"


async def test_giving_up_takes_the_sale_back_and_says_so_only_when_the_server_has(counter: Counter) -> None:
    kofi, card = await counter.payer()
    ran = await counter.run(["12.50", "", KeyboardInterrupt], [card.tag])
    assert "Not paid: the sale of 12.50 USD is taken back, and nobody can pay it any more." in ran.text
    assert (await counter.sales())[0]["state"] == "cancelled"

    whole = await counter.run(counter.sale("0.01"), [card.tag])
    pay = next(number for number, name in enumerate(whole.steps) if name.endswith("/pay"))
    before = kofi.balance()
    network = Interrupted(pay, Unavailable)
    ran = await counter.run(counter.sale("0.01"), [card.tag], network=network)
    assert "whether it was paid is not known yet" in ran.text
    assert ran.count("Paid 0.01 USD") == 1, "it was paid, and giving up found that out"
    assert "Not paid" not in ran.text
    assert kofi.balance() == before - 1


async def test_nothing_is_said_of_a_sale_while_the_server_is_away_and_it_is_told_when_it_is_back(counter: Counter) -> None:
    kofi, card = await counter.payer()
    whole = await counter.run(counter.sale("0.01"), [card.tag])
    pay = next(number for number, name in enumerate(whole.steps) if name.endswith("/pay"))
    before = kofi.balance()
    network = Interrupted(pay, Unavailable, forever=True)
    ran = await counter.run(counter.sale("0.01"), [card.tag], network=network)
    assert ran.failure.exit_code == 3
    assert "Whether the sale of 0.01 USD was paid is not known" in ran.failure.detail
    assert "Paid" not in ran.text
    assert "Not paid" not in ran.text
    again = await counter.run([])
    assert again.count("Paid 0.01 USD") == 1
    assert kofi.balance() == before - 1


async def test_the_end_of_the_input_takes_the_sale_back_and_does_not_wait_for_a_server_that_is_away(counter: Counter) -> None:
    _, card = await counter.payer()
    ran = await counter.run(["12.50", ""], [card.tag])
    assert ran.error is None
    assert "Not paid: the sale of 12.50 USD is taken back" in ran.text
    first = ran.steps.index(next(name for name in ran.steps if name.endswith("/cancel")))
    away = Steps(*((first + more, False) for more in range(100)), error=Unavailable)
    ran = await counter.run(["12.50", ""], [card.tag], network=away)
    assert ran.failure.exit_code == 3
    assert counter.is_open()
    assert "Not paid" in (await counter.run([])).text


async def test_a_sale_that_somebody_paid_by_its_code_meanwhile_is_told_as_paid(counter: Counter) -> None:
    payer = await counter.site.scheme.customer("Amina", funds=5_000)
    loop = asyncio.get_running_loop()

    class Quicker(OnReader):
        def wait(self, reader: str, *, present: bool, timeout_s: float) -> None:
            async def scan() -> None:
                (sale,) = await counter.sales()
                await counter.shop.pay(payer, sale)

            asyncio.run_coroutine_threadsafe(scan(), loop).result(30)
            super().wait(reader, present=present, timeout_s=timeout_s)

    ran = await counter.run(["12.50", ""], on_reader=Quicker([]))
    assert "Paid 12.50 USD by Amina" in ran.text
    assert payer.balance() == 3_750


async def test_a_clerk_whose_session_has_ended_signs_in_again_and_the_same_sale_goes_on(counter: Counter) -> None:
    kofi, card = await counter.payer()
    before, loop = kofi.balance(), asyncio.get_running_loop()

    class SignsOut(OnReader):
        def wait(self, reader: str, *, present: bool, timeout_s: float) -> None:
            async def new_pin() -> None:
                for clerk in (await counter.site.ok(counter.shop.shop, "GET", "/v1/clerks"))["clerks"]:
                    await counter.site.ok(counter.shop.shop, "PATCH", f"/v1/clerks/{clerk['id']}", {"pin": "9631"})

            asyncio.run_coroutine_threadsafe(new_pin(), loop).result(30)
            super().wait(reader, present=present, timeout_s=timeout_s)

    ran = await counter.run(["0.01", "", "1", "9631", PIN], on_reader=SignsOut([card.tag]))
    assert ran.count("Somebody has to sign in again.") == 1
    assert ran.count("Paid 0.01 USD") == 1
    assert kofi.balance() == before - 1


async def test_what_is_no_amount_is_asked_again_and_nothing_is_sent(counter: Counter) -> None:
    ran = await counter.run(["", "abc", "-1", "1.005", "0", "1e3", "1,50", "9" * 20])
    assert ran.error is None
    assert ran.count("decimal places") == 6
    assert "Nothing to pay." in ran.text
    assert await counter.sales() == []
    ran = await counter.run(["1", "x" * 61, "1", "a\u202eb"], [])
    assert "At most 60 characters." in ran.text
    assert not counter.is_open()


async def test_a_terminal_that_was_ended_says_so_and_keeps_its_sale(counter: Counter) -> None:
    tills = (await counter.site.ok(counter.shop.shop, "GET", "/v1/tills"))["tills"]
    (till,) = [till for till in tills if till["label"] == "Desk 1"]
    await counter.site.ok(counter.shop.shop, "DELETE", f"/v1/tills/{till['id']}")
    ran = await counter.run([])
    assert "pair it again" in ran.failure.detail
    counter.site.wait(600)
    assert (await asyncio.to_thread(run, *(await pair_arguments(counter)))).code == 2, "not over a pairing that is there"
    assert (await asyncio.to_thread(run, *(await pair_arguments(counter)), "--again")).code == 0
    assert (await counter.run([])).error is None


async def test_a_terminal_with_an_open_sale_is_paired_with_no_other_shop(counter: Counter, tmp_path: Path) -> None:
    await counter.run(["1", "", Killed], [(await counter.payer())[1].tag])
    assert counter.is_open()
    other = await furnished(counter.site, tmp_path / "other", "Another shop")
    other.path = counter.path
    ran = await asyncio.to_thread(run, *(await pair_arguments(other)), "--again")
    assert ran.code == 1
    assert "another shop" in ran.err
    assert "Not paid" in (await counter.run([])).text


async def test_one_desk_at_a_time_uses_a_folder_and_others_cannot_read_it(counter: Counter) -> None:
    assert {path.stat().st_mode & 0o777 for path in counter.path.iterdir()} == {0o600}
    with Folder(counter.path).alone():
        ran = await asyncio.to_thread(run, "terminal", "--data", counter.path)
    assert ran.code == 3
    (counter.path / "terminal.json").chmod(0o644)
    ran = await asyncio.to_thread(run, "terminal", "--data", counter.path)
    assert ran.code == 2
    assert "chmod 600" in ran.err


async def test_a_code_whose_answer_got_lost_is_used_up_and_that_is_said(counter: Counter, tmp_path: Path) -> None:
    async with Cutting(counter.site.port, passes_on=True, path="/v1/tills/pair") as server:
        counter.path = tmp_path / "new"
        ran = await asyncio.to_thread(run, *(await pair_arguments(counter)), "--server", server)
    assert ran.code in (1, 3), ran
    assert not (tmp_path / "new" / "terminal.json").exists()


@pytest.mark.parametrize("server", ["http://money.example.org", "http://10.0.0.1:8480", "ftp://localhost"])
async def test_a_server_to_which_pins_would_go_in_clear_is_refused(tmp_path: Path, server: str) -> None:
    ran = await asyncio.to_thread(run, "terminal", "pair", "--server", server, "--code", "X", "--label", "x", "--data", tmp_path / "t")
    assert ran.code == 2, ran


async def test_no_pin_and_no_word_of_a_card_is_in_the_folder(counter: Counter) -> None:
    _, card = await counter.payer()
    seen: list[bytes] = []

    class Looking(Steps):
        @contextlib.contextmanager
        def step(self, name: str) -> Iterator[None]:
            with super().step(name):
                yield
            seen.extend(path.read_bytes() for path in counter.path.iterdir())

    ran = await counter.run(counter.sale("1", "73915", PIN), [card.tag], network=Looking())
    assert ran.count("Paid") == 1
    kept = b"".join(seen).decode()
    assert "1.00 USD" in kept
    assert "73915" not in kept
    assert f'"{PIN}"' not in kept
    assert "tap" not in kept
    assert '"e"' not in kept


async def test_every_no_that_the_server_may_give_has_words_and_a_next_step(counter: Counter) -> None:
    endpoints = {each.endpoint.path: each.endpoint for each in counter.site.app.operations}
    for name in ("card", "card/prove", "card/pay"):
        for error in endpoints[f"/v1/till/sales/{{id}}/{name}"].errors:
            if error.code in CLERK or error in (PaymentRefused, IdReused):
                continue
            words, _ = after_no(error.code, {}, "detail")
            assert "detail" not in words, error.code


@pytest.mark.parametrize(
    ("facts", "words", "then"),
    [
        ({"attempts_left": 2}, "2 tries left", Then.PIN),
        ({"attempts_left": 1}, "1 try left", Then.PIN),
        ({"attempts_left": 0}, "No try is left", Then.TAP),
        ({}, "not right.", Then.PIN),
    ],
)
async def test_tries_are_counted_in_words(facts: dict[str, int], words: str, then: Then) -> None:
    said, next_step = after_no("wrong_pin", facts, "")
    assert words in said
    assert next_step is then
