"""What screens are filled with: names, amounts, lists, in the words of whoever holds the phone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine

import msgspec
import structlog

from counterfoil.acceptance.cards.registry import Cards
from counterfoil.acceptance.parking.stays import Stays
from counterfoil.acceptance.tills import Tills
from counterfoil.channels.consent import Consent
from counterfoil.channels.look_ups import LookUps
from counterfoil.channels.movements import Movement, amount_of, latest
from counterfoil.channels.ussd import screens
from counterfoil.channels.ussd.fitting import cut
from counterfoil.channels.ussd.screens import CAME, MENU, SCREENS, WELCOME
from counterfoil.channels.ussd.sessions import Due, State
from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.errors import NotAuthenticated, NotFound, PinNotAllowed, Refused, TooMany, Unavailable
from counterfoil.i18n import Language
from counterfoil.ids import ID_MAX, id_text, parse_id
from counterfoil.ledger.service import Ledger
from counterfoil.parties.numbers import PIN_SIZE_MAX, PIN_SIZE_MIN
from counterfoil.parties.service import Parties
from counterfoil.parties.types import Freeze, Holder
from counterfoil.payments.history import History
from counterfoil.payments.orders import Order
from counterfoil.payments.requests import PaymentRequest, Requests, RequestState
from counterfoil.payments.service import Payments
from counterfoil.payments.types import Receipt
from counterfoil.store.database import Store

MEMO_SHOWN_MAX = 30

log = structlog.get_logger(__name__)


class House(msgspec.Struct, kw_only=True):
    """What flows need of the scheme, and what all sessions of a process share.

    Attributes:
        answer_s_max: seconds of a payment after which the phone hears that it goes on.
        look_ups: bounds the names that one account is shown; None for no bound.
        under_way: payments that are being carried out, by id.
        afterwards: what is still to be told about payments that took long.
        chosen: new PINs that were typed once, by gateway and session: in memory only, until they are typed again.
    """

    store: Store
    parties: Parties
    payments: Payments
    requests: Requests
    history: History
    ledger: Ledger
    cards: Cards
    stays: Stays
    tills: Tills
    config: Config
    clock: Clock
    languages: dict[str, Language]
    answer_s_max: float
    look_ups: LookUps | None = None
    under_way: dict[int, asyncio.Task[Receipt]] = {}
    chosen: dict[tuple[str, str], str] = {}
    afterwards: set[asyncio.Task[None]] = set()

    def later(self, work: Coroutine[None, None, None]) -> None:
        """Does something after the phone was answered; `Ussd.run` waits for it before it ends."""
        task = asyncio.create_task(work)
        self.afterwards.add(task)
        task.add_done_callback(self.afterwards.discard)

    def pay(self, order: Order, pin: str) -> asyncio.Task[Receipt]:
        """The payment, which goes on whoever waits for it. The same order again is the same task while it is under way."""
        task = self.under_way.get(order.id)
        if task is None:
            task = self.under_way[order.id] = asyncio.create_task(self.payments.pay_by_pin(order, pin))
            task.add_done_callback(lambda _: self.under_way.pop(order.id))
        return task


class Next(msgspec.Struct, frozen=True):
    """The screen that comes next. `word`: said before it; `values` of its text that only the flow knows."""

    screen: str
    word: str = ""
    values: dict[str, str] = {}


class Filled(msgspec.Struct, frozen=True):
    """The values of a screen's text, and the choices of a list."""

    values: dict[str, str] = {}
    choices: tuple[str, ...] = ()


class Filling:
    """One hop of one session, and what its screens are filled with. `holder` None: nobody has an account under `number`."""

    def __init__(
        self,
        house: House,
        state: State,
        *,
        key: tuple[str, str],
        number: str,
        holder: Holder | None,
        language: Language,
        begin: Callable[[], Awaitable[None]],
    ) -> None:
        self.house = house
        self.state = state
        self.key = key
        self.number = number
        self.holder = holder
        self.language = language
        self.aim = ""
        """The screen that is being filled in."""
        self._begin = begin

    def say(self, text: str, **values: object) -> str:
        return self.language.text(text, **values)

    @property
    def consent(self) -> Consent:
        assert self.holder is not None
        house = self.house
        return Consent(
            payments=house.payments, requests=house.requests, config=house.config, language=self.language, account=self.holder.account,
            look_ups=house.look_ups,
        )  # fmt: skip

    def back(self) -> str:
        """The screen behind the one that is shown; "" for none."""
        back = SCREENS[self.state.screen].back
        if back == CAME:
            return self.state.begun or MENU
        return back

    # Filling in

    async def fill(self, screen: str) -> Filled | Next:
        """What a screen is filled with, or the screen that is shown instead."""
        self.aim = screen
        make = getattr(self, f"_fill_{screen}", None)
        if make is None:
            return Filled({"scheme": cut(self.house.config.scheme_name)})
        filled: Filled | Next = await make()
        return filled

    async def _fill_welcome(self) -> Filled:
        scheme = {"scheme": cut(self.house.config.scheme_name)}
        return Filled(scheme, tuple(language.own_name for language in self.house.languages.values()))

    async def _fill_language(self) -> Filled:
        return Filled({}, tuple(language.own_name for language in self.house.languages.values()))

    async def _fill_first_pin(self) -> Filled | Next:
        return Filled({"name": cut(self.state.name)}) if self.state.name else Next("name")

    async def _fill_first_pin_again(self) -> Filled | Next:
        return Filled() if self.key in self.house.chosen else Next("first_pin")

    async def _fill_new_pin_again(self) -> Filled | Next:
        return Filled() if self.key in self.house.chosen else Next("new_pin")

    async def _begin_payment(self, screen: str) -> Filled | Next:
        if not await self.consent.may_pay():
            return Next(MENU, self.say(PinNotAllowed.sentence()))
        state = self.state
        state.begun, state.payee, state.amount, state.request, state.due = screen, "", 0, "", None
        return Filled()

    async def _fill_to(self) -> Filled | Next:
        return await self._begin_payment("to")

    async def _fill_code(self) -> Filled | Next:
        return await self._begin_payment("code")

    async def _fill_agent(self) -> Filled | Next:
        return await self._begin_payment("agent")

    async def _fill_amount(self) -> Filled | Next:
        if not self.state.payee:
            return Next(self.state.begun or MENU)
        name = await self.consent.name(int(self.state.payee, 16))
        return Filled({"name": cut(name), "currency": self.house.config.currency_code})

    async def _fill_due(self) -> Filled | Next:
        due = self.state.due
        if due is None:
            return Next(MENU)
        if due.order.payer != self.consent.account or due.order.expiry_ms <= self.house.clock.now_ns() // 1_000_000:
            self.state.due = None
            return Next(MENU, self.say(screens.TOO_OLD))
        return Filled(self._terms(due))

    async def _fill_amount_in(self) -> Filled | Next:
        return await self._fill_amount() if self.state.payee else Next("agent_in")

    async def _fill_confirm_in(self) -> Filled | Next:
        """What a customer brings to an agent, and what is left of it after a fee."""
        state, consent = self.state, self.consent
        if not state.payee or not state.amount:
            return Next("agent_in")
        agent = int(state.payee, 16)
        quote = await self.house.payments.quote(payer=agent, payee=consent.account, amount=state.amount, reference=ID_MAX - 1)
        name = cut(await consent.name(agent))
        return Filled({"name": name, "amount": consent.money(state.amount), "received": consent.money(quote.received)})

    _fill_confirm_pay = _fill_confirm_cash = _fill_confirm_hold = _fill_on_its_way = _fill_due

    def _terms(self, due: Due) -> dict[str, str]:
        order, money = due.order, self.consent.money
        return {
            "name": cut(due.payee_name),
            "amount": money(order.amount),
            "fee": money(order.max_fee),
            "total": money(order.amount + order.max_fee),
        }

    async def _fill_requests(self) -> Filled | Next:
        consent = self.consent
        parked = await self._stay_lines()
        asked = (await consent.open_requests())[: screens.CHOICES_MAX - 1 - len(parked)]
        if not asked and not parked:
            return Next("no_requests")
        self.state.listed = [id_text(each.id) for each in asked]
        lines = []
        for each in asked:
            amount = consent.money(each.amount) if each.amount else ""
            lines.append(f"{cut(await consent.name(each.payee))} {amount}".rstrip())
        return Filled({}, (*parked, *lines, self.say(screens.ASK)))

    async def _stay_lines(self) -> list[str]:
        """Stays in car parks, of whoever is behind the wheel: see `parking`."""
        raise NotImplementedError

    async def _fill_request(self) -> Filled | Next:
        request = await self._request()
        if request is None:
            return Next("requests", self.say(screens.ANSWERED))
        self.state.begun = "requests"
        consent = self.consent
        values = {"name": cut(await consent.name(request.payee)), "memo": cut(request.memo, MEMO_SHOWN_MAX)}
        if request.amount is None:
            return Filled(values)
        return Filled(values | {"amount": consent.money(request.amount)})

    _fill_request_open = _fill_request

    async def _fill_request_amount(self) -> Filled | Next:
        request = await self._request()
        if request is None:
            return Next("requests", self.say(screens.ANSWERED))
        return Filled({"name": cut(await self.consent.name(request.payee)), "currency": self.house.config.currency_code})

    async def _fill_ask_whom(self) -> Filled:
        self.state.payee, self.state.amount, self.state.request = "", 0, ""
        return Filled()

    async def _fill_ask_amount(self) -> Filled | Next:
        return await self._fill_amount() if self.state.payee else Next("ask_whom")

    async def _fill_confirm_ask(self) -> Filled | Next:
        state, consent = self.state, self.consent
        if not state.payee or not state.amount:
            return Next("ask_whom")
        return Filled({"name": cut(await consent.name(int(state.payee, 16))), "amount": consent.money(state.amount)})

    async def _request(self) -> PaymentRequest | None:
        """The request that was chosen, while it is open."""
        if not self.state.request:
            return None
        try:
            request = await self.house.requests.find(parse_id(self.state.request), self.consent.account)
        except NotFound:
            return None
        return request if request.state is RequestState.OPEN and request.payer == self.consent.account else None

    async def _fill_balance(self) -> Filled | Next:
        consent = self.consent
        account = self.house.ledger.account_now(consent.account)
        if account is None:
            raise Unavailable("the ledger does not know this account yet")
        balance, held = account.credits_posted - account.debits_posted, account.debits_pending
        values = {"balance": consent.money(balance), "held": consent.money(held), "available": consent.money(balance - held)}
        return Next("balance_held", values=values) if held else Filled(values)

    _fill_balance_held = _fill_balance

    async def _fill_opened(self) -> Filled | Next:
        return Filled({"name": cut(self.holder.name), "number": self.number}) if self.holder else Next(WELCOME)

    async def _fill_latest(self) -> Filled | Next:
        movements = await latest(self.house.history, self.consent.account)
        if not movements:
            return Next("no_payments")
        return Filled({"lines": "\n".join([await self._line(each) for each in movements])})

    async def _line(self, movement: Movement) -> str:
        """One movement; in brackets what was only set aside, or given back."""
        name, day = cut(await self.consent.name(movement.counterparty)), self.consent.day(movement.at)
        return f"{day} {amount_of(movement, self.language, self.house.config.currency)} {name}"

    async def _fill_account(self) -> Filled | Next:
        return Next("account_locked") if self._own_freezes() else Filled()

    def _own_freezes(self) -> list[Freeze]:
        assert self.holder is not None
        now = self.house.clock.now_ns()
        return [each for each in self.holder.freezes if each.by == self.holder.party and (each.expires_at is None or each.expires_at > now)]

    # PINs

    async def _check_pin(self, screen: str, typed: str) -> Next | None:
        """None when it is the holder's PIN; else what to show."""
        assert self.holder is not None
        if not is_pin(typed):
            return Next(screen, self.say(screens.PIN_DIGITS))
        try:
            await self.house.parties.pins.check(self.holder.party, typed)
        except (NotAuthenticated, TooMany) as error:
            if not await self.house.parties.pins.set_at(self.holder.party):
                scheme = cut(self.house.config.scheme_name)
                return Next("refused", values={"sentence": self.say(screens.NO_PIN, scheme=scheme)})
            return Next(screen, self.consent.sentence(error))
        except Refused as refusal:  # locked
            return Next("refused", values={"sentence": self.consent.sentence(refusal)})
        return None


def is_pin(typed: str) -> bool:
    """Whether it could be a PIN."""
    return re.fullmatch(rf"[0-9]{{{PIN_SIZE_MIN},{PIN_SIZE_MAX}}}", typed, re.ASCII) is not None


def typed_address(typed: str) -> str:
    """Who is meant, where a name is typed without its @."""
    typed = typed.strip()
    return f"@{typed}" if re.match(r"[A-Za-z_]", typed) else typed
