"""A payment until its payer agrees: to whom, how much, what it costs, the order that it stands for, and what refuses it, in words.

For every channel on which a person reads first and then agrees with a PIN.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
from babel.dates import format_date, format_skeleton
from babel.numbers import get_decimal_symbol, get_group_symbol

from counterfoil.channels.look_ups import LookUps
from counterfoil.clock import NANOSECONDS
from counterfoil.config import Config
from counterfoil.errors import CounterfoilError, LimitExceeded, Malformed, PartyNotFound, PinLocked, Refused, TooMany, Unavailable, WrongPin
from counterfoil.i18n import Language
from counterfoil.ids import new_id
from counterfoil.money import Currency, parse_amount
from counterfoil.parties.types import Holder, PartyKind
from counterfoil.payments.forms import Purpose
from counterfoil.payments.orders import MEMO_SIZE_MAX, Order, OrderKind
from counterfoil.payments.requests import PaymentRequest, Requests, RequestState
from counterfoil.payments.service import Payments

DRAFT_LIFETIME_S = 1_800
CASH_S, HOLD_S = 3_600, 24 * 3_600
"""How long money waits for an agent's cash, and for a merchant."""
ASKED_FOR_S = 24 * 3600
"""How long a request that somebody makes without a device is open."""


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


TOO_MANY_NAMES = N_("You looked up too many names. Nothing was paid. Wait a few minutes.")
LIMITS = {
    "pin_per_payment": N_("One payment by PIN may be %(limit)s at most."),
    "pin_per_day": N_("Payments by PIN have a limit for a day. %(left)s are left today."),
    "per_payment": N_("One payment may be %(limit)s at most."),
    "per_day": N_("Your account has a limit for a day. %(left)s are left today."),
    "per_month": N_("Your account has a limit for a month. %(left)s are left this month."),
}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as it is shown before the PIN is asked for. Every field is part of the order, or follows from it.

    Attributes:
        to: what the payer typed to name the payee.
        fee: minor units that the payer pays on top; `total` leaves the account.
        expires_at: ns; after it the payment has to be begun again.
    """

    id: int
    payee: int
    payee_name: str
    to: str
    amount: int
    fee: int
    total: int
    memo: str
    reference: int
    kind: OrderKind
    timeout_s: int
    rules_hash: bytes
    expires_at: int


class Problem(Exception):
    """Something that the payer can put right: the field's name ("" for none) and a sentence in their language."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(field, sentence)
        self.field = field
        self.sentence = sentence


class Consent:
    """Payments from `account` until they are agreed to, in `language`. `look_ups` bounds how many names it is shown."""

    def __init__(
        self, *, payments: Payments, requests: Requests, config: Config, language: Language, account: int, look_ups: LookUps | None = None
    ) -> None:
        self.language = language
        self._look_ups = look_ups
        self.account = account
        self._payments = payments
        self._requests = requests
        self._config = config
        self._zone = ZoneInfo(config.time_zone)

    async def holder(self) -> Holder:
        """Whose account it is."""
        return await self._payments.parties.holder(self.account)

    async def may_pay(self) -> bool:
        """Whether a PIN may take anything from this account."""
        return (await self.holder()).pin_per_day != 0

    async def open_requests(self) -> list[PaymentRequest]:
        """Those addressed to the holder that a payment at once can answer, newest first."""
        mine = await self._requests.of_account(self.account)
        return [each for each in mine if each.payer == self.account and each.state is RequestState.OPEN]

    async def draft(self, *, to: str, amount: str, memo: str) -> Draft:
        """A payment as it will be shown. Raises `Problem`, which names the field and says what is wrong in the holder's words."""
        payee, minor = await self.payee(to), self.amount(amount)
        return await self.draft_to(payee, minor, to=to.strip(), memo=self.memo(memo))

    async def payee(self, to: str) -> Holder:
        """Whom `to` names. Raises `Problem` ("to")."""
        text = self.language.text
        try:
            if self._look_ups is not None:
                self._look_ups.spend(self.account)
            return await self._payments.parties.resolve(to.strip())
        except Malformed:
            raise Problem("to", text("Type a phone number, a name that begins with @, or a merchant's 7 digits.")) from None
        except TooMany:
            raise Problem("to", text(TOO_MANY_NAMES)) from None
        except PartyNotFound:
            raise Problem("to", text("Nobody has an account under this number, name or code.")) from None

    def amount(self, text: str) -> int:
        """Minor units of what somebody typed. Raises `Problem` ("amount")."""
        currency = self._config.currency
        minor = read_amount(text, self.language, currency)
        if minor is None:
            example = self.language.money(1_250 if currency.digits else 12, currency)
            raise Problem("amount", self.language.text("Type an amount above zero, like %(example)s.", example=example))
        return minor

    def memo(self, text: str) -> str:
        """The note as it is kept, without U+0000, which no keyboard types. Raises `Problem` ("memo") when it is too long."""
        if len(text.encode()) > MEMO_SIZE_MAX:
            raise Problem("memo", self.language.text("This note is too long."))
        return text.replace("\0", "")

    async def draft_to(self, payee: Holder, amount: int, *, to: str, memo: str = "") -> Draft:
        """As `draft`, for somebody who has been found. Money for an agent is set aside until the agent has handed over the cash."""
        cash = payee.kind is PartyKind.AGENT and (await self.holder()).kind is PartyKind.CUSTOMER
        return await self._quoted(payee.account, to, amount, memo, reference=0, timeout_s=CASH_S if cash else 0)

    async def draft_for(self, request: PaymentRequest, amount: str) -> Draft:
        """The payment that answers a request, under the request's note. Raises `Problem`, also when the request is no longer open."""
        minor = request.amount or read_amount(amount, self.language, self._config.currency)
        if minor is None:
            raise Problem("amount", self.language.text("Type an amount above zero."))
        if request.state is not RequestState.OPEN:
            raise Problem("", self.language.text("This request has been answered, or its time is over."))
        timeout_s = HOLD_S if request.purpose is Purpose.HOLD else 0
        return await self._quoted(request.payee, "", minor, request.memo, reference=request.id, timeout_s=timeout_s)

    async def _quoted(self, payee: int, to: str, amount: int, memo: str, *, reference: int, timeout_s: int) -> Draft:
        """`timeout_s`: above zero for what is set aside first."""
        kind, clock = OrderKind.HOLD if timeout_s else OrderKind.PAY, self._payments.clock
        try:
            quote = await self._payments.quote(payer=self.account, payee=payee, amount=amount, kind=kind, reference=reference)
        except Refused as refusal:
            raise Problem("to", self.sentence(refusal)) from None
        return Draft(
            id=new_id(clock), payee=payee, payee_name=quote.payee_name, to=to, amount=amount, fee=quote.total - amount,
            total=quote.total, memo=memo, reference=reference, kind=kind, timeout_s=timeout_s, rules_hash=quote.rules_hash,
            expires_at=clock.now_ns() + DRAFT_LIFETIME_S * NANOSECONDS,
        )  # fmt: skip

    def order(self, draft: Draft) -> Order:
        """The order that a draft stands for: always the same bytes."""
        rules = self._payments.rules
        return Order(
            origin=rules.origin, asset=rules.currency.code, payer=self.account, payee=draft.payee, amount=draft.amount,
            max_fee=draft.fee, id=draft.id, expiry_ms=draft.expires_at // 1_000_000, rules_hash=draft.rules_hash, kind=draft.kind,
            reference=draft.reference, timeout_s=draft.timeout_s, memo=draft.memo,
        )  # fmt: skip

    # Words

    def sentence(self, error: CounterfoilError) -> str:
        """What went wrong, for the holder."""
        text, facts = self.language.text, error.facts
        if isinstance(error, WrongPin):
            return text("The PIN is not right. Tries left: %(left)s.", left=facts.get("attempts_left", 0))
        if isinstance(error, PinLocked):
            return text("The PIN is locked after too many wrong tries, until %(time)s.", time=self.moment(facts["locked_until"]))
        limit = LIMITS.get(facts.get("limit", ""))
        if isinstance(error, LimitExceeded) and limit is not None:
            amounts = {name: self.money(facts[fact]) for name, fact in (("limit", "limit_amount"), ("left", "left"))}
            return text(limit, **amounts)
        if isinstance(error, Unavailable):
            return text("We do not know yet whether it was done. Press the button again: it is paid only once.")
        return text(error.sentence())

    def money(self, amount: int) -> str:
        """Minor units with the currency's code: "12.50 USD"."""
        currency = self._config.currency
        return f"{self.language.money(amount, currency)} {currency.code}"

    def moment(self, nanoseconds: int) -> str:
        """Day and time where the scheme lives."""
        at = datetime.fromtimestamp(nanoseconds // NANOSECONDS, UTC).astimezone(self._zone)
        return f"{format_date(at, 'medium', locale=self.language.locale)} {at:%H:%M}"

    def day(self, nanoseconds: int) -> str:
        """Day and month where the scheme lives: "11/22"."""
        at = datetime.fromtimestamp(nanoseconds // NANOSECONDS, UTC).astimezone(self._zone)
        return format_skeleton("Md", at, locale=self.language.locale)

    def time(self, nanoseconds: int) -> str:
        """Day, month and time where the scheme lives: "11/22 19:45"."""
        at = datetime.fromtimestamp(nanoseconds // NANOSECONDS, UTC).astimezone(self._zone)
        return f"{self.day(nanoseconds)} {at:%H:%M}"

    async def name(self, account: int) -> str:
        """Whose account it is; the scheme's name for its own."""
        try:
            return (await self._payments.parties.holder(account)).name
        except PartyNotFound:
            return self._config.scheme_name


def read_amount(text: str, language: Language, currency: Currency) -> int | None:
    """Minor units of an amount as people of this language type it, with or without groups; None when it is none, or zero.

    What could be read in two ways ("1,25" where a comma groups) is none.
    """
    text = re.sub(r"\s", "", text)  # also the narrow spaces that group digits in French
    group, point = get_group_symbol(language.locale), get_decimal_symbol(language.locale)
    if group in text and re.fullmatch(rf"[0-9]{{1,3}}({re.escape(group)}[0-9]{{3}})+({re.escape(point)}[0-9]+)?", text, re.ASCII):
        text = text.replace(group, "")
    if point != "." and "." not in text:
        text = text.replace(point, ".")
    try:
        return parse_amount(text, currency) or None
    except Malformed:
        return None
