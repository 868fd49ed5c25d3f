"""What screens are filled with, and what is done with what was typed on them. The screens themselves are data: see `screens`.

A flow ends in `Next`: the screen to show, what to say before it, and values that only the flow knows. Money moves in `_agree` alone.
"""

from __future__ import annotations

import asyncio
import re

from counterfoil.channels.consent import ASKED_FOR_S, CASH_S, Draft, Problem
from counterfoil.channels.sms.encoding import plain_marks
from counterfoil.channels.ussd import screens
from counterfoil.channels.ussd.cards import CardFlows
from counterfoil.channels.ussd.filling import Next, is_pin, typed_address
from counterfoil.channels.ussd.parking import ParkingFlows
from counterfoil.channels.ussd.screens import MENU, SCREENS, UNLOCK, WELCOME
from counterfoil.channels.ussd.sessions import Due
from counterfoil.channels.ussd.watching import WatchFlows
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import (
    AlreadyTaken,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotInThisState,
    PaymentNotFound,
    PinNotAllowed,
    Refused,
    TooMany,
    Unavailable,
)
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.parties.journal import send_sms
from counterfoil.parties.numbers import parse_name, parse_pin
from counterfoil.parties.types import Holder, PartyKind
from counterfoil.payments.forms import Purpose, RequestToPay
from counterfoil.payments.orders import OrderKind, encode
from counterfoil.payments.types import Receipt

CHOSEN_MAX = 10_000
"""New PINs that wait at once to be typed again; the oldest is forgotten first."""
LOCK_REASON = "locked by its holder, by USSD"
UNLOCK_REASON = "unlocked by its holder, by USSD"


class Flows(WatchFlows, CardFlows, ParkingFlows):
    """What is done with what was typed. `begin` keeps that a PIN has come, before money moves."""

    # Choosing from a list

    async def choose(self, lists: str, number: int) -> Next:
        """`number` from 0: what was chosen on a screen whose choices were filled in."""
        if lists == "request":
            if number < len(self.state.parked):
                return self.choose_stay(number)
            number -= len(self.state.parked)
            if number >= len(self.state.listed):
                return Next("ask_whom")
            self.state.request = self.state.listed[number]
            request = await self._request()
            return Next("request" if request is None or request.amount else "request_open")
        if lists == "(my_watcher)":
            return await self.choose_my_watcher(number)
        if lists == "(card)":
            return await self.choose_card(number)
        if lists == "(watched)":
            return await self.choose_watched(number)
        self.language = list(self.house.languages.values())[number]
        self.state.language = self.language.code
        if lists == "(speak)":
            assert self.holder is not None
            await self.house.parties.enrolment.set_language(self.holder.party, self.language.code)
            return Next(MENU)
        return Next(lists)

    # What is done before the next screen is known

    async def do(self, action: str) -> Next:
        """An action of a choice: its name in brackets."""
        if action == "(answer)":
            return await self._answer_request("")
        if action == "(decline)":
            return await self._decline()
        if action == "(park)":
            return await self.do_park()
        if action == "(outcome)":
            return await self._outcome()
        if action == "(ask)":
            return await self._ask()
        if action == "(keep)":
            return await self.do_keep()
        if action in ("(lock_card)", "(unlock_card)"):
            return await self.do_card(action)
        if action in ("(agree)", "(refuse)", "(leave)"):
            return await self.do_watch(action)
        assert action == "(continue)", action
        return Next(self.state.screen)

    async def _decline(self) -> Next:
        try:
            await self.house.requests.decline(parse_id(self.state.request), self.consent.account)
        except (NotFound, NotInThisState):
            return Next("requests", self.say(screens.ANSWERED))
        return Next("requests", self.say(screens.DECLINED))

    async def _ask(self) -> Next:
        """Asks somebody for money. The PIN came in this session: the screen that leads here is private."""
        filled = await self._fill_confirm_ask()
        if isinstance(filled, Next):
            return filled
        await self._request_to_pay(Purpose.PAY, ASKED_FOR_S)
        return Next("asked", values=filled.values)

    async def _request_to_pay(self, purpose: Purpose, open_s: int) -> None:
        """Keeps the request that was put together, once, for `open_s` seconds."""
        state, rules, request = self.state, self.house.payments.rules, parse_id(self.state.request)
        expiry_ms = (request >> 80) + open_s * 1_000  # an id begins with its time
        form = RequestToPay(
            origin=rules.origin, asset=rules.currency.code, payee=self.consent.account, payer=int(state.payee, 16), amount=state.amount,
            id=request, expiry_ms=expiry_ms, purpose=int(purpose), memo="",
        )  # fmt: skip
        await self.house.requests.create_under_mandate(form)

    async def _answer_request(self, amount: str) -> Next:
        request = await self._request()
        if request is None:
            return Next("requests", self.say(screens.ANSWERED))
        if not await self.consent.may_pay():
            return Next("requests", self.say(PinNotAllowed.sentence()))
        try:
            draft = await self.consent.draft_for(request, amount)
        except Problem as problem:
            return Next("request_amount" if problem.field == "amount" else "requests", problem.sentence)
        return self._shown(draft, is_cash=False)

    def _shown(self, draft: Draft, *, is_cash: bool) -> Next:
        self.state.due = Due(encode(self.consent.order(draft)), draft.payee_name, is_cash)
        return self._confirm()

    def _confirm(self, word: str = "") -> Next:
        due = self.state.due
        assert due is not None
        kind = "pay" if due.order.kind is OrderKind.PAY else "cash" if due.is_cash else "hold"
        return Next(f"confirm_{kind}", word)

    async def _outcome(self) -> Next:
        """What became of a payment whose PIN came, and whose answer perhaps never arrived."""
        due, state = self.state.due, self.state
        assert due is not None
        if due.order.id in self.house.under_way:
            return Next("on_its_way")
        try:
            receipt = await self.house.payments.receipt(due.order.id, self.consent.account)
        except (PaymentNotFound, Unavailable):  # never kept, or never carried out: the same order again pays once
            state.is_sent = False
            return self._confirm(self.say(screens.NOT_PAID))
        except Refused as refusal:
            return self._not_paid(refusal)
        return self._paid(receipt)

    # Reading

    async def read(self, screen: str, typed: str) -> Next:
        """What follows from what was typed on a screen that reads."""
        reading: Next = await getattr(self, f"_read_{screen}")(typed)
        return reading

    async def _read_to(self, typed: str) -> Next:
        return await self._payee("to", typed_address(typed))

    async def _read_ask_whom(self, typed: str) -> Next:
        """Whom somebody asks for money. From an agent a customer has cash taken in, on the screens for that."""
        found = await self._payee("ask_whom", typed_address(typed))
        if found.screen != "amount":
            return found
        payer = await self.house.parties.holder(int(self.state.payee, 16))
        assert self.holder is not None
        is_cash = payer.kind is PartyKind.AGENT and self.holder.kind is PartyKind.CUSTOMER
        return Next("amount_in" if is_cash else "ask_amount")

    async def _read_ask_amount(self, typed: str) -> Next:
        return self._read_asked(typed, again="ask_amount", then="confirm_ask")

    async def _read_code(self, typed: str) -> Next:
        if not re.fullmatch(r"[0-9]{7}", typed.replace(" ", ""), re.ASCII):
            return Next("code", self.say(screens.NOT_A_CODE))
        return await self._payee("code", typed.replace(" ", ""))

    async def _read_agent(self, typed: str) -> Next:
        return await self._payee("agent", typed, kind=PartyKind.AGENT)

    async def _payee(self, screen: str, address: str, *, kind: PartyKind | None = None) -> Next:
        try:
            payee = await self.consent.payee(address)
        except Problem as problem:
            return Next(screen, problem.sentence)
        if kind is not None and payee.kind is not kind:
            return Next(screen, self.say(screens.NOT_AN_AGENT))
        self.state.payee = f"{payee.account:x}"
        return Next("amount")

    async def _read_agent_in(self, typed: str) -> Next:
        found = await self._payee("agent_in", typed, kind=PartyKind.AGENT)
        return Next("amount_in") if found.screen == "amount" else found

    async def _read_amount_in(self, typed: str) -> Next:
        return self._read_asked(typed, again="amount_in", then="confirm_in")

    def _read_asked(self, typed: str, *, again: str, then: str) -> Next:
        try:
            self.state.amount = self.consent.amount(typed)
        except Problem as problem:
            return Next(again, problem.sentence)
        # Made before it is agreed to: however often that comes, it is one request.
        self.state.request = id_text(new_id(self.house.clock))
        return Next(then)

    async def _read_confirm_in(self, typed: str) -> Next:
        """The customer's half of a cash in: "I give you this cash". The agent's order is the other half, and moves the money."""
        filled = await self._fill_confirm_in()
        if isinstance(filled, Next):
            return filled
        problem = await self._check_pin("confirm_in", typed)
        if problem is not None:
            return problem
        await self._request_to_pay(Purpose.CASH_IN, CASH_S)
        return Next("asked_in", values=filled.values)

    async def _read_amount(self, typed: str) -> Next:
        if not self.state.payee:
            return Next(MENU)
        payee = await self.house.parties.holder(int(self.state.payee, 16))
        try:
            self.state.amount = self.consent.amount(typed)
            draft = await self.consent.draft_to(payee, self.state.amount, to="")
        except Problem as problem:
            return Next("amount" if problem.field == "amount" else self.back(), problem.sentence)
        return self._shown(draft, is_cash=payee.kind is PartyKind.AGENT)

    async def _read_request_amount(self, typed: str) -> Next:
        return await self._answer_request(typed)

    async def _agree(self, pin: str) -> Next:
        """The PIN screen of a payment: the only place where money moves. The same order however often it is tried, so it pays once."""
        filled = await self._fill_due()
        if isinstance(filled, Next):
            return filled
        due, state, consent = self.state.due, self.state, self.consent
        assert due is not None
        if not is_pin(pin):
            return self._confirm(self.say(screens.PIN_DIGITS))
        state.is_sent = True
        await self._begin()
        task = self.house.pay(due.order, pin)
        done, _ = await asyncio.wait({task}, timeout=self.house.answer_s_max)
        if not done:
            self.house.later(self._tell(task))
            return Next("queued")
        try:
            receipt = task.result()
        except Unavailable:
            return Next("unknown")
        except (NotAuthenticated, TooMany) as error:
            state.is_sent = False
            return self._confirm(consent.sentence(error))
        except Refused as refusal:
            return self._not_paid(refusal)
        return self._paid(receipt)

    _read_confirm_pay = _read_confirm_cash = _read_confirm_hold = _agree

    async def _tell(self, task: asyncio.Task[Receipt]) -> None:
        """Tells by SMS how a payment ended whose phone has hung up. What was paid is told anyway to whoever has no device."""
        holder, order = self.holder, self.state.due
        assert holder is not None
        assert order is not None
        try:
            await asyncio.shield(task)
            words = self.say(screens.PAID, **self._terms(order))
            if holder.pin_per_day is None:
                return
        except Unavailable:
            words = self.say(SCREENS["unknown"].text)
        except Refused as refusal:
            words = self.say(screens.NOT_PAID_FINALLY, sentence=self.consent.sentence(refusal))
        clock = self.house.clock
        await self.house.store.write(
            lambda connection: send_sms(connection, clock, self.number, "answer", party=holder.party, text=plain_marks(words))
        )

    def _paid(self, receipt: Receipt) -> Next:
        due, consent = self.state.due, self.consent
        assert due is not None
        values = self._terms(due)
        if due.order.kind is OrderKind.PAY:
            self._over(self.say(screens.PAID, **values))
            return Next("paid", values=values | {"balance": consent.money(receipt.balance)})
        values["time"] = consent.time(receipt.completed_at + due.order.timeout_s * NANOSECONDS)
        self._over(self.say(screens.SET_ASIDE, **values))
        return Next("cash_waits" if due.is_cash else "set_aside", values=values)

    def _not_paid(self, refusal: Refused) -> Next:
        sentence = self.consent.sentence(refusal)
        self._over(self.say(screens.NOT_PAID_FINALLY, sentence=sentence))
        return Next("refused", values={"sentence": sentence})

    def _over(self, told: str) -> None:
        self.state.is_sent, self.state.due, self.state.told = False, None, told

    # PINs, names, languages

    async def _read_unlock(self, typed: str) -> Next:
        problem = await self._check_pin(UNLOCK, typed)
        if problem is not None:
            return problem
        self.state.is_open = True
        return Next(self.state.then or MENU)

    async def _read_old_pin(self, typed: str) -> Next:
        problem = await self._check_pin("old_pin", typed)
        if problem is not None:
            return problem
        self.state.is_open = True
        return Next("new_pin")

    async def _read_new_pin(self, typed: str) -> Next:
        return self._choose_pin(typed, again="new_pin_again", anew="new_pin")

    async def _read_first_pin(self, typed: str) -> Next:
        return self._choose_pin(typed, again="first_pin_again", anew="first_pin")

    def _choose_pin(self, typed: str, *, again: str, anew: str) -> Next:
        try:
            pin = parse_pin(typed)
        except Malformed:
            return Next(anew, self.say(screens.PIN_GUESSED if is_pin(typed) else screens.PIN_DIGITS))
        chosen = self.house.chosen
        if len(chosen) >= CHOSEN_MAX:
            del chosen[next(iter(chosen))]
        chosen[self.key] = pin
        return Next(again)

    async def _read_new_pin_again(self, typed: str) -> Next:
        chosen = self.house.chosen.pop(self.key, None)
        if chosen != typed:
            return Next("new_pin", self.say(screens.PIN_DIFFERS))
        assert self.holder is not None
        try:
            await self.house.parties.pins.set(self.holder.party, typed, by=self.holder.party)
        except TooMany as error:
            return self._once_more("new_pin_again", typed, error)
        return Next("pin_changed")

    async def _read_first_pin_again(self, typed: str) -> Next:
        state = self.state
        chosen = self.house.chosen.pop(self.key, None)
        if chosen != typed:
            return Next("first_pin", self.say(screens.PIN_DIFFERS))
        try:
            self.holder = await self.house.parties.enrolment.open_by_number(
                number=self.number, name=state.name, language=self.language.code, pin=typed, channel="ussd"
            )
        except TooMany as error:
            return self._once_more("first_pin_again", typed, error)
        except AlreadyTaken as refusal:
            return Next("refused", values={"sentence": self.say(refusal.sentence())})
        state.party = f"{self.holder.party:x}"
        return Next("opened")

    def _once_more(self, again: str, pin: str, error: TooMany) -> Next:
        """Too many PINs are being looked at: the same can be typed again in a moment."""
        self.house.chosen[self.key] = pin
        return Next(again, self.say(error.sentence()))

    async def _read_name(self, typed: str) -> Next:
        try:
            self.state.name = parse_name(typed)
        except Malformed:
            return Next("name", self.say(screens.NOT_A_NAME))
        if not re.search(r"[^\W\d_]", self.state.name):
            return Next("name", self.say(screens.NOT_A_NAME))
        return Next("first_pin")

    async def _read_lock(self, typed: str) -> Next:
        problem = await self._check_pin("lock", typed)
        if problem is not None:
            return problem
        assert self.holder is not None
        if not self._own_freezes():
            freeze, party = new_id(self.house.clock), self.holder.party
            await self.house.parties.staff.freeze(freeze, party, reason=LOCK_REASON, by=party)
        return Next("locked")

    async def _read_unlock_account(self, typed: str) -> Next:
        problem = await self._check_pin("unlock_account", typed)
        if problem is not None:
            return problem
        assert self.holder is not None
        for freeze in self._own_freezes():
            await self.house.parties.staff.unfreeze(freeze.id, reason=UNLOCK_REASON, by=self.holder.party)
        return Next("unlocked")


def home(holder: Holder | None) -> str:
    """Where 00 leads."""
    return WELCOME if holder is None else MENU
