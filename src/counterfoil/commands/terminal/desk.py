"""The conversation with the clerk and the payer, one line at a time.

A sale is on the disk, with its id, before the server hears of it, and leaves it when the clerk has been told how it ended. What
has no answer is asked again, with the same id, the same tap and the same PIN, until the server has said how it is, or the clerk
gives up. Giving up takes the sale back on the server: only its word, that nobody can pay any more, is told as "not paid".

Ctrl-C gives the sale up, and where there is none, ends the desk. The end of the input does both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from counterfoil.clock import Clock
from counterfoil.commands.client import ServerRefused
from counterfoil.commands.output import UNAVAILABLE, Failure, plain
from counterfoil.commands.pairing import Answered, Pairing, ended, of_another_shop
from counterfoil.commands.terminal.folder import Folder, OpenSale
from counterfoil.commands.terminal.outcomes import CLERK, OPEN, PAID, Then, after_no, is_pin
from counterfoil.commands.terminal.reading import Reading
from counterfoil.commands.terminal.scanned import Scanned, fits, is_scan, one_less, one_more, total
from counterfoil.commands.terminal.till import Till
from counterfoil.errors import Malformed, Retry, Unavailable
from counterfoil.ids import id_text, new_id
from counterfoil.money import AMOUNT_MAX, Currency, format_amount, parse_amount

BELL = "\a"
PAUSE_S = 2.0
"""Between two times that something without an answer is asked."""
NAME_SIZE_MAX = 60
"""Characters of the name of the goods."""


class Console(Protocol):
    """Where clerk and payer read and type. Both ways of asking raise EOFError at the end of the input."""

    def say(self, text: str) -> None: ...
    def ask(self, prompt: str) -> str: ...
    def ask_hidden(self, prompt: str) -> str:
        """What is typed is not shown."""


class Desk:
    """A desk, paired. Alone in its folder."""

    def __init__(self, *, folder: Folder, pairing: Pairing, till: Till, reading: Reading, console: Console, clock: Clock) -> None:
        self.folder = folder
        self.pairing = pairing
        self.till = till
        self.reading = reading
        self.console = console
        self.clock = clock
        self._currency: Currency
        self._is_over = False

    def run(self) -> None:
        """Serves until the clerk ends it. Failure when a sale is left of which nobody knows whether it was paid."""
        try:
            self.console.say(f"{plain(self.pairing.merchant)}, {plain(self.pairing.till_name)}. Ctrl-C ends.")
            self._sign_in()
            self._tell_of_last()
            while True:
                self._sell()
        except (KeyboardInterrupt, EOFError):
            left = self.folder.sale()
            self._leave()
            if left is not None:
                detail = f"Whether the sale of {left.shown} was paid is not known. It is kept, and looked up when the terminal starts again"
                raise Failure(detail, code="unavailable", retry=Retry.SAME_ID, exit_code=UNAVAILABLE) from None
            self.console.say("")

    # The clerk

    def _sign_in(self) -> None:
        say = self.console.say
        while True:
            shop = self._answer(self.till.shop)
            currency = shop["currency"]
            self._currency = Currency(currency["code"], currency["digits"], int(currency["numeric"]))
            clerks = [clerk for clerk in shop["clerks"] if "sell" in clerk["rights"]]
            if not clerks:
                raise Failure("nobody may sell at this till: add a clerk in the shop's wallet", code="forbidden", retry=Retry.CHANGE)
            say("Who is at the desk?")
            for number, clerk in enumerate(clerks, 1):
                say(f"  {number}  {plain(clerk['name'])}")
            typed = self.console.ask("Number: ").strip()
            if not (typed.isascii() and typed.isdigit() and 0 < int(typed) <= len(clerks)):
                say(f"Type a number from 1 to {len(clerks)}.")
                continue
            clerk = clerks[int(typed) - 1]
            pin = self.console.ask_hidden(f"PIN of {plain(clerk['name'])} (it is not shown): ")
            if not is_pin(pin):
                say("A PIN has 4 to 8 digits.")
                continue
            try:
                self.till.sign_in(clerk["id"], pin)
            except ServerRefused as no:
                if no.code == "wrong_token":
                    raise ended() from None
                say(after_no(no.code, no.facts, no.detail)[0] if no.code == "wrong_pin" else plain(no.detail))
            except Unavailable as error:
                say(f"The server does not answer: {plain(error.detail)}.")
            else:
                return say(f"Good day, {plain(clerk['name'])}.")

    def _leave(self) -> None:
        try:
            if self.till.session:
                self.till.sign_out()
        except (ServerRefused, Unavailable, KeyboardInterrupt):
            pass  # the session ends by itself, and is nowhere on the disk

    # A sale

    def _sell(self) -> None:
        asked = self._ask_amount()
        if asked is None:
            return
        amount, shown, name, lines = asked
        made_at = self._answer(self.till.shop)["now"]
        sale = OpenSale(
            id=id_text(new_id(self.clock)),
            account=self.pairing.account,
            amount=amount,
            shown=shown,
            name=name,
            made_at=made_at,
            lines=lines,
        )
        try:
            self.folder.keep_sale(sale)
            self._until_paid(sale)
        except KeyboardInterrupt:
            self.console.say("")
            self._take_back(sale)
        except EOFError:
            self._is_over = True
            self._take_back(sale)
            raise

    def _ask_amount(self) -> tuple[int, str, str, list[Scanned]] | None:
        """Minor units, the same in words, and what for; None when it has to be typed again."""
        currency = self._currency
        text = self.console.ask(f"\nAmount in {currency.code}: ").strip()
        if not text:
            return None
        if is_scan(text) and (found := self._as_clerk(lambda: self.till.goods(text))) is not None:
            return self._ask_for_more([found])
        try:
            amount = parse_amount(text, currency)
        except Malformed as error:
            no_goods = "The shop has no goods with this barcode. " if is_scan(text) else ""
            self.console.say(f"{no_goods}The amount {error.facts['rule']}.")
            return None
        if amount == 0:
            self.console.say("Nothing to pay.")
            return None
        if is_scan(text) and self.console.ask(f"No goods have this barcode. Take {_shown(amount, currency)}? y for yes: ").strip() != "y":
            return None
        name = self.console.ask("What for (Enter for nothing): ").strip()
        if len(name) > NAME_SIZE_MAX:
            self.console.say(f"At most {NAME_SIZE_MAX} characters.")
            return None
        return amount, _shown(amount, currency), name, []

    def _ask_for_more(self, lines: list[Scanned]) -> tuple[int, str, str, list[Scanned]] | None:
        """What was scanned, until the clerk takes payment for it; None when all of it was taken off, or costs nothing."""
        currency = self._currency
        while lines:
            last = lines[-1]
            self.console.say(
                f"  {last.quantity} × {plain(last.name)}, {_shown(last.price, currency)} each. Total {_shown(total(lines), currency)}."
            )
            text = self.console.ask("Scan the next, - takes one off, Enter takes payment: ").strip()
            if not text and total(lines):
                return total(lines), _shown(total(lines), currency), "", lines
            if not text:
                self.console.say("Nothing to pay.")
                return None
            if text == "-":
                lines = one_less(lines)
                continue
            found = self._as_clerk(lambda text=text: self.till.goods(text)) if is_scan(text) else None  # type: ignore[misc]
            if found is None:
                self.console.say("The shop has no goods with this barcode.")
            elif not fits(more := one_more(lines, found)) or total(more) > AMOUNT_MAX:
                self.console.say("That is more than one sale can have.")
            else:
                lines = more
        return None

    def _until_paid(self, sale: OpenSale) -> None:
        try:
            self._as_clerk(lambda: self.till.sell(sale))
        except ServerRefused as no:
            self.console.say(f"The server does not take this sale: {plain(no.detail)}")
            return self._take_back(sale)
        while True:
            then = self._pay_by_a_card(sale)
            if then is Then.TAP:
                continue
            if then is Then.STOP:
                return self._take_back(sale)
            if then is Then.END or self._is_told(sale, self._look(sale)):
                return None

    def _pay_by_a_card(self, sale: OpenSale) -> Then:
        """One tap, and what comes next: END when the clerk was told that it paid."""
        e, c = self.reading.tap(f"{sale.shown}. Hold the card to the reader. Ctrl-C takes the sale back.")
        try:
            asked = self._as_clerk(lambda: self.till.ask(sale.id, e, c))
            if asked["needs_proof"] and not self.reading.prove(
                lambda answers: self._as_clerk(lambda: self.till.prove(sale.id, asked["tap"], answers))
            ):
                return Then.TAP
        except ServerRefused as no:
            return self._told_no(no)
        self._show(asked)
        while True:
            pin = self.console.ask_hidden("PIN of the card's holder (it is not shown; Enter alone for another card): ")
            if not pin:
                return Then.TAP
            if not is_pin(pin):
                self.console.say("A PIN has 4 to 8 digits. Nothing was sent.")
                continue
            then = self._agree(sale, asked["tap"], pin)
            if then is not Then.PIN:
                return then

    def _show(self, asked: Any) -> None:
        currency = self._currency
        rows = [("Card ending in", asked["card"]), ("Amount", _shown(asked["amount"], currency))]
        rows += [("Fee", _shown(asked["fee"], currency)), ("To pay", _shown(asked["total"], currency))]
        for name, value in rows:
            self.console.say(f"  {name:<16}{value}")

    def _agree(self, sale: OpenSale, tap: str, pin: str) -> Then:
        """The tap is paid with the PIN, and asked again until the server has said what became of it."""
        is_unknown = False
        while True:
            try:
                found = self._as_clerk(lambda: self.till.pay(sale.id, tap, pin), once=True)
            except Unavailable as error:
                is_unknown = True
                self.console.say(f"No answer: whether it was paid is not known yet ({plain(error.detail)}). Asking again.")
                self._pause()
                if self._look(sale)["state"] != OPEN:
                    return Then.LOOK
            except ServerRefused as no:
                # the no need not be about the try that had no answer
                return Then.LOOK if is_unknown and self._look(sale)["state"] != OPEN else self._told_no(no)
            else:
                return Then.END if self._is_told(sale, found) else Then.LOOK

    def _told_no(self, no: ServerRefused) -> Then:
        words, then = after_no(no.code, no.facts, plain(no.detail))
        self.console.say(words)
        return then

    def _look(self, sale: OpenSale) -> Any:
        return self._as_clerk(lambda: self.till.sale(sale.id))

    # How it ended

    def _tell_of_last(self) -> None:
        """The sale that was under way when the desk stopped, first of all."""
        sale = self.folder.sale()
        if sale is None:
            return
        if sale.account != self.pairing.account:
            raise of_another_shop(self.folder)
        self.console.say(f"A sale of {sale.shown} was under way when the terminal stopped. Looking how it ended.")
        self._take_back(sale)

    def _take_back(self, sale: OpenSale) -> None:
        """Until the server has said that nobody can pay it any more, or that it was paid."""
        while True:
            try:
                found = self._as_clerk(lambda: self.till.cancel(sale.id))
            except ServerRefused as no:
                if no.code == "not_found":
                    return self._end(sale, f"Not paid: the server has taken no sale of {sale.shown}.")
                if no.code != "not_in_this_state":
                    raise
                found = self._look(sale)
            if self._is_told(sale, found):
                return None
            self.console.say("It is being paid at this moment. Asking again.")
            self._pause()

    def _is_told(self, sale: OpenSale, found: Any) -> bool:
        """Tells how the sale ended; False while it has not."""
        state = found["state"]
        if state == OPEN:
            return False
        if state in PAID:
            payer = f" by {plain(found['payer_name'])}" if found["payer_name"] else ""
            self._end(sale, f"{BELL}Paid {sale.shown}{payer}.")
        elif state == "cancelled":
            self._end(sale, f"Not paid: the sale of {sale.shown} is taken back, and nobody can pay it any more.")
        else:
            self._end(sale, f"Not paid: the time for the sale of {sale.shown} is over, and nobody can pay it any more.")
        return True

    def _end(self, sale: OpenSale, words: str) -> None:
        assert self.folder.sale() == sale, sale
        self.console.say(words)
        self.folder.forget_sale()

    # Answers

    def _as_clerk(self, call: Callable[[], Answered], *, once: bool = False) -> Answered:
        """As `Till.until_answered`; where the clerk may not any more, somebody signs in first."""
        while True:
            try:
                return self._answer(call, once=once)
            except ServerRefused as no:
                if no.code not in CLERK:
                    raise
                self.console.say("Somebody has to sign in again.")
                self._sign_in()

    def _answer(self, call: Callable[[], Answered], *, once: bool = False) -> Answered:
        return self.till.until_answered(call, say=lambda text: self.console.say(f"{text} Ctrl-C gives up."), pause=self._pause, once=once)

    def _pause(self) -> None:
        """Before something is asked again. EOFError when nobody is there any more who could give it up."""
        if self._is_over:
            raise EOFError
        self.till.client.pause(PAUSE_S)


def _shown(amount: int, currency: Currency) -> str:
    return f"{format_amount(amount, currency)} {currency.code}"
