"""What the pages without scripts show and read: balance, history, a payment, requests, and amounts as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from babel.dates import format_date
from babel.numbers import get_decimal_symbol, get_group_symbol

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import CounterfoilError, LimitExceeded, Malformed, PartyNotFound, PinLocked, Refused, Unavailable, WrongPin
from counterfoil.ids import new_id
from counterfoil.money import Currency, parse_amount
from counterfoil.parties.types import Holder, PartyKind
from counterfoil.payments.fees import PaidBy
from counterfoil.payments.forms import Purpose
from counterfoil.payments.history import Entry
from counterfoil.payments.orders import MEMO_SIZE_MAX, Order, OrderKind
from counterfoil.payments.receipts import ProofState
from counterfoil.payments.requests import PaymentRequest, RequestState
from counterfoil.payments.types import PaymentState
from counterfoil.web.holder_sessions import Draft, Session
from counterfoil.web.i18n import Language
from counterfoil.web.services import Services
from counterfoil.web.staff_views import TRANSFER_KINDS
from counterfoil.web.values import base64_text, uuid_text

PAGE_SIZE = 10
"""Entries of a page: under 6 kB on a phone whose browser keeps little."""
LATEST = 3
MEMO_SHOWN_MAX = 40
"""Characters of a note in a list."""
DRAFT_LIFETIME_S = 1_800
CASH_S, HOLD_S = 3_600, 24 * 3_600
"""How long money waits for an agent's cash, and for a merchant."""


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


STATES = {
    PaymentState.COMPLETED: N_("Paid"),
    PaymentState.HELD: N_("Set aside"),
    PaymentState.CAPTURED: N_("Taken from what was set aside"),
    PaymentState.RELEASED: N_("Given back"),
    PaymentState.EXPIRED: N_("Given back, time was over"),
}
PROOFS = {
    ProofState.WAITING: N_("Not in the public log yet. Look again in a minute."),
    ProofState.LOGGED: N_("In the public log. Its witnesses have not confirmed it yet: look again in a minute."),
    ProofState.WITNESSED: N_("In the public log, and confirmed by its witnesses."),
}
LIMITS = {
    "pin_per_payment": N_("One payment by PIN may be %(limit)s at most."),
    "pin_per_day": N_("Payments by PIN have a limit for a day. %(left)s are left today."),
    "per_payment": N_("One payment may be %(limit)s at most."),
    "per_day": N_("Your account has a limit for a day. %(left)s are left today."),
    "per_month": N_("Your account has a limit for a month. %(left)s are left this month."),
}


class Line(msgspec.Struct, frozen=True):
    """One line of the history. `payment` is the id to look at, "" where there is none."""

    title: str
    note: str
    change: int
    set_aside: int
    payment: str


class RequestLine(msgspec.Struct, frozen=True):
    """Somebody asks for money. `amount` None: the payer decides."""

    id: str
    name: str
    amount: int | None
    memo: str
    until: str


class BasicViews:
    """Each method is one page's content for one holder, in `language`."""

    def __init__(self, services: Services, language: Language, session: Session) -> None:
        self.services = services
        self.language = language
        self.session = session
        self._zone = ZoneInfo(services.config.time_zone)

    async def home(self) -> dict[str, Any]:
        entries = await self.services.history.page(self.session.account, limit=LATEST)
        return {
            **self._balance(),
            "holder": await self._holder(),
            "lines": [await self._line(entry) for entry in entries],
            "asked": len(await self._open_requests()),
            "may_pay": await self.may_pay(),
        }

    async def history(self, before: int) -> dict[str, Any]:
        entries = await self.services.history.page(self.session.account, before=before, limit=PAGE_SIZE)
        older = entries[-1].timestamp if len(entries) == PAGE_SIZE else 0
        return {"lines": [await self._line(entry) for entry in entries], "older": older, "newer": before > 0}

    async def payment(self, id: int) -> dict[str, Any]:
        """One payment with what can be kept of it. Raises PaymentNotFound; a refusal that it had is shown."""
        account, services = self.session.account, self.services
        receipt = await services.payments.receipt(id, account)
        payment = receipt.payment
        outgoing = payment.payer == account
        other = payment.payee if outgoing else payment.payer
        payer_pays = payment.fee_paid_by is PaidBy.PAYER
        said = receipt.acknowledgement
        state = ProofState.WAITING
        if services.receipts is not None:
            state = services.receipts.status(id, account).state
        return {
            "id": uuid_text(id),
            "state": self.language.text(STATES[receipt.state]),
            "other": await self.name(other),
            "outgoing": outgoing,
            "amount": payment.amount,
            "fee": payment.fee if payer_pays == outgoing else 0,
            "memo": payment.memo,
            "at": self.moment(receipt.completed_at),
            "balance": receipt.balance,
            "order_hash": base64_text(payment.order_hash),
            "statement": base64_text(said.statement),
            "signature": base64_text(said.signature),
            "key": base64_text(said.key),
            "proof": self.language.text(PROOFS[state]) if services.receipts is not None else "",
            "has_proof": state is ProofState.WITNESSED,
        }

    async def requests(self) -> dict[str, Any]:
        return {
            "asked": [
                RequestLine(uuid_text(each.id), await self.name(each.payee), each.amount, each.memo, self.moment(each.expires_at))
                for each in await self._open_requests()
            ],
            "may_pay": await self.may_pay(),
        }

    async def may_pay(self) -> bool:
        """Whether a PIN may take anything from this account."""
        return (await self._holder()).pin_per_day != 0

    # Paying

    async def draft(self, *, to: str, amount: str, memo: str) -> Draft:
        """A payment as it will be shown. Raises `Problem`, which names the field and says what is wrong in the holder's words."""
        text, currency = self.language.text, self.services.config.currency
        try:
            payee = await self.services.parties.resolve(to.strip())
        except Malformed:
            raise Problem("to", text("Type a phone number, a name that begins with @, or a merchant's 7 digits.")) from None
        except PartyNotFound:
            raise Problem("to", text("Nobody has an account under this number, name or code.")) from None
        minor = read_amount(amount, self.language, currency)
        if minor is None:
            example = self.language.money(1_250 if currency.digits else 12, currency)
            raise Problem("amount", text("Type an amount above zero, like %(example)s.", example=example))
        if len(memo.encode()) > MEMO_SIZE_MAX:
            raise Problem("memo", text("This note is too long."))
        memo = memo.replace("\0", "")  # which no keyboard types
        cash = payee.kind is PartyKind.AGENT and (await self._holder()).kind is PartyKind.CUSTOMER
        return await self._quoted(payee.account, to.strip(), minor, memo, reference=0, timeout_s=CASH_S if cash else 0)

    async def draft_for(self, request: PaymentRequest, amount: str) -> Draft:
        """The payment that answers a request. Raises `Problem`, also when the request is no longer open."""
        minor = request.amount or read_amount(amount, self.language, self.services.config.currency)
        if minor is None:
            raise Problem("amount", self.language.text("Type an amount above zero."))
        if request.state is not RequestState.OPEN:
            raise Problem("", self.language.text("This request has been answered, or its time is over."))
        timeout_s = HOLD_S if request.purpose is Purpose.HOLD else 0
        return await self._quoted(request.payee, "", minor, "", reference=request.id, timeout_s=timeout_s)

    async def _quoted(self, payee: int, to: str, amount: int, memo: str, *, reference: int, timeout_s: int) -> Draft:
        """`timeout_s`: above zero for what is set aside first."""
        kind = OrderKind.HOLD if timeout_s else OrderKind.PAY
        try:
            quote = await self.services.payments.quote(
                payer=self.session.account, payee=payee, amount=amount, kind=kind, reference=reference
            )
        except Refused as refusal:
            raise Problem("to", self.sentence(refusal)) from None
        now = self.services.clock.now_ns()
        return Draft(
            id=new_id(self.services.clock), payee=payee, payee_name=quote.payee_name, to=to, amount=amount, fee=quote.total - amount,
            total=quote.total, memo=memo, reference=reference, kind=kind, timeout_s=timeout_s, rules_hash=quote.rules_hash,
            expires_at=now + DRAFT_LIFETIME_S * NANOSECONDS,
        )  # fmt: skip

    def order(self, draft: Draft) -> Order:
        """The order that a draft stands for: always the same bytes."""
        rules = self.services.payments.rules
        return Order(
            origin=rules.origin, asset=rules.currency.code, payer=self.session.account, payee=draft.payee, amount=draft.amount,
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
            amounts = {name: self._amount(facts[fact]) for name, fact in (("limit", "limit_amount"), ("left", "left"))}
            return text(limit, **amounts)
        if isinstance(error, Unavailable):
            return text("We do not know yet whether it was done. Press the button again: it is paid only once.")
        return text(error.sentence())

    def moment(self, nanoseconds: int) -> str:
        """Day and time where the scheme lives."""
        at = datetime.fromtimestamp(nanoseconds // NANOSECONDS, UTC).astimezone(self._zone)
        return f"{format_date(at, 'medium', locale=self.language.locale)} {at:%H:%M}"

    async def name(self, account: int) -> str:
        """Whose account it is; the scheme's name for its own."""
        try:
            return (await self.services.parties.holder(account)).name
        except PartyNotFound:
            return self.services.config.scheme_name

    # Parts

    async def _holder(self) -> Holder:
        return await self.services.parties.holder(self.session.account)

    async def _open_requests(self) -> list[PaymentRequest]:
        """Those addressed to the holder that a payment at once can answer."""
        mine = await self.services.requests.of_account(self.session.account)
        return [each for each in mine if each.payer == self.session.account and each.state is RequestState.OPEN]

    async def _line(self, entry: Entry) -> Line:
        kind = self.language.text(TRANSFER_KINDS[entry.code])
        memo = entry.payment.memo if entry.payment else ""
        parts = [kind, self.moment(entry.timestamp), memo[:MEMO_SHOWN_MAX]]
        return Line(
            await self.name(entry.counterparty), " · ".join(part for part in parts if part), entry.change, entry.set_aside,
            uuid_text(entry.payment.id) if entry.payment else "",
        )  # fmt: skip

    def _balance(self) -> dict[str, int]:
        account = self.services.ledger.account_now(self.session.account)
        if account is None:
            raise Unavailable("the ledger does not know this account yet")
        balance = account.credits_posted - account.debits_posted
        return {"balance": balance, "held": account.debits_pending, "available": balance - account.debits_pending}

    def _amount(self, amount: int) -> str:
        currency = self.services.config.currency
        return f"{self.language.money(amount, currency)} {currency.code}"


class Problem(Exception):
    """Something that the holder can put right: the field's name ("" for none) and a sentence in their language."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(field, sentence)
        self.field = field
        self.sentence = sentence


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
