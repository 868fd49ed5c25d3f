"""The caller's own account: balance, limits, history, receipts; and what a merchant's server does with a token."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.errors import (
    AboveHold,
    AboveOriginal,
    AccountFrozen,
    AgentMustConfirm,
    FeeAboveMaximum,
    HoldNotOpen,
    IdReused,
    InsufficientFunds,
    LimitExceeded,
    Malformed,
    OrderExpired,
    PartyClosed,
    PayeeCannotReceive,
    PaymentNotFound,
    PaymentRefused,
    RecoveryWaiting,
    Unavailable,
)
from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.service import Ledger
from counterfoil.moments import moment_text
from counterfoil.money import AMOUNT_MAX, parse_amount
from counterfoil.parties.service import Parties
from counterfoil.parties.tokens import Scope
from counterfoil.parties.types import Freeze, Holder, PartyKind
from counterfoil.payments.history import PAGE_SIZE_MAX, Entry, History
from counterfoil.payments.months import span_of
from counterfoil.payments.orders import Order, OrderKind
from counterfoil.payments.search import TEXT_LENGTH_MAX, Wanted, search
from counterfoil.payments.service import MANDATE_EXPIRY_MS, Mandate, Payments
from counterfoil.payments.types import AuthorisationClass, Payment
from counterfoil.web.access import Principal, holder_or, server
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import (
    Amount,
    AmountOrZero,
    Cursor,
    Difference,
    Moment,
    MonthText,
    UuidText,
    cursor_text,
    parse_cursor,
    parse_uuid,
    uuid_text,
)
from counterfoil.web.views import KINDS, ReceiptView, receipt_view

_CODES = {code.name.lower(): code for code in TransferCode}
Memo = Annotated[str, msgspec.Meta(max_length=256)]


class LimitsView(msgspec.Struct, frozen=True):
    """Minor units; null is no limit. `own` names those that the holder chose below the tier's."""

    per_payment: AmountOrZero | None
    per_day: AmountOrZero | None
    per_month: AmountOrZero | None
    balance_max: AmountOrZero | None
    own: list[str]


class FreezeView(msgspec.Struct, frozen=True):
    """Why nothing leaves the account, and until when (null: until somebody lifts it)."""

    id: UuidText
    reason: str
    incoming: bool
    own: bool
    expires_at: Moment | None


class RecoveryView(msgspec.Struct, frozen=True):
    """A new key that takes effect at `effective_at` unless a device that is still there says no."""

    id: UuidText
    device: UuidText
    state: str
    effective_at: Moment


class AccountView(msgspec.Struct, frozen=True):
    """The caller's account. `available` is the balance less what is held for others.

    `pin_per_day`: minor units a day that may be paid by PIN, as a device of the caller said; 0 nothing; null for an account
    without a device, which only the scheme's own limit concerns.
    """

    account: UuidText
    party: UuidText
    kind: PartyKind
    name: str
    number: str | None
    handle: str | None
    merchant_code: str | None
    language: str
    tier: str
    currency: str
    balance: AmountOrZero
    available: AmountOrZero
    limits: LimitsView
    freezes: list[FreezeView]
    recovery: RecoveryView | None
    pin_per_day: AmountOrZero | None


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page: `cursor` from the page before, newest first; and which entries, when not all.

    Attributes:
        kind: the entries' `code`: payment, fee, hold, refund, ...
        month: of the scheme's time zone, like 2026-11.
        counterparty: the other account.
        q: contained in the counterparty's name or the memo, whatever the case; or the amount in major units, such as 12.50 or 12,50.
    """

    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_SIZE_MAX)] = 50
    kind: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    month: MonthText | None = None
    counterparty: UuidText | None = None
    q: Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_LENGTH_MAX)] | None = None


class EntryView(msgspec.Struct, frozen=True):
    """One line of the history, with the balance right after it.

    Attributes:
        code: what kind of movement: payment, fee, hold, refund, ...
        change: of the balance; 0 when money was only set aside or given back.
        set_aside: of what is held: positive when a hold begins, negative when it ends.
        payment: what it belongs to; null for entries that no order of this scheme made.
    """

    transfer: UuidText
    at: Moment
    code: str
    change: Difference
    set_aside: Difference
    balance: Difference
    available: Difference
    counterparty: UuidText
    counterparty_name: str | None
    payment: UuidText | None
    kind: str | None
    memo: str


class HistoryView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end.

    Where only some entries are wanted, a page may have fewer than `limit`, or none, and still not be the last: one request looks
    at 1,000 entries. `looked_to` says how far it came; null when all entries were wanted, or when it came to the end.
    """

    entries: list[EntryView]
    next: Cursor | None
    looked_to: Moment | None = None


class CaptureBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take held money. `id` is made by the caller; `amount` may be less than what is held, the rest goes back to the payer."""

    id: UuidText
    hold: UuidText
    amount: Amount
    memo: Memo = ""
    max_fee: AmountOrZero = AMOUNT_MAX


class ReleaseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give a whole hold back. `id` is made by the caller."""

    id: UuidText
    hold: UuidText
    memo: Memo = ""


class RefundBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give back a payment or capture, in full or in part. `id` is made by the caller."""

    id: UuidText
    payment: UuidText
    amount: Amount
    memo: Memo = ""


class AccountEndpoints:
    """The caller's own account."""

    def __init__(self, *, payments: Payments, parties: Parties, ledger: Ledger, history: History, zone: ZoneInfo) -> None:
        self.payments = payments
        self.parties = parties
        self.ledger = ledger
        self.entries = history
        self.zone = zone

    def endpoints(self) -> list[Endpoint]:
        read = holder_or(Scope.PAYMENTS_READ)
        about_hold = (PaymentNotFound, AgentMustConfirm, HoldNotOpen, AboveHold, FeeAboveMaximum, IdReused, OrderExpired, PaymentRefused)
        outgoing = (InsufficientFunds, LimitExceeded, AccountFrozen, RecoveryWaiting, PartyClosed)
        return [
            Endpoint("GET", "/v1/accounts/me", self.me, access=read, tag="account"),
            Endpoint("GET", "/v1/history", self.history, access=read, tag="account"),
            Endpoint(
                "GET",
                "/v1/payments/{id}",
                self.payment,
                access=read,
                errors=(PaymentNotFound, OrderExpired, PaymentRefused),
                tag="payments",
            ),
            Endpoint("POST", "/v1/merchant/captures", self.capture, access=server(Scope.HOLDS_WRITE), errors=about_hold, tag="merchant"),
            Endpoint("POST", "/v1/merchant/releases", self.release, access=server(Scope.HOLDS_WRITE), errors=about_hold, tag="merchant"),
            Endpoint(
                "POST",
                "/v1/merchant/refunds",
                self.refund,
                access=server(Scope.REFUNDS_WRITE),
                errors=(PaymentNotFound, AboveOriginal, PayeeCannotReceive, IdReused, OrderExpired, PaymentRefused, *outgoing),
                tag="merchant",
            ),
        ]

    async def me(self, caller: Principal) -> AccountView:
        """The caller's account: balance, what is available, limits, and what stands in the way."""
        holder = await self.parties.holder(caller.account)
        account = self.ledger.account_now(caller.account)
        if account is None:
            raise Unavailable("the ledger does not know this account yet")
        balance = account.credits_posted - account.debits_posted
        return AccountView(
            account=uuid_text(holder.account),
            party=uuid_text(holder.party),
            kind=holder.kind,
            name=holder.name,
            number=holder.number,
            handle=holder.handle,
            merchant_code=holder.merchant_code,
            language=holder.language,
            tier=holder.tier,
            currency=self.payments.rules.currency.code,
            balance=balance,
            available=balance - account.debits_pending,
            limits=limits_view(holder),
            freezes=[freeze_view(freeze) for freeze in holder.freezes],
            recovery=recovery_view(holder),
            pin_per_day=holder.pin_per_day,
        )

    async def history(self, caller: Principal, query: HistoryQuery) -> HistoryView:
        """The account's entries, newest first, each with the balance after it; all of them, or those of a kind, month or name."""
        before = parse_cursor(query.cursor, maximum=AMOUNT_MAX)
        wanted = self._wanted(query)
        if wanted != Wanted():
            found = await search(self.entries, self._name, caller.account, wanted, before=before, limit=query.limit)
            views = [await self._entry(entry) for entry in found.entries]
            following = cursor_text(found.next) if found.next else None
            return HistoryView(views, following, moment_text(found.looked_to) if found.next else None)
        entries = await self.entries.page(caller.account, before=before, limit=query.limit)
        views = [await self._entry(entry) for entry in entries]
        return HistoryView(views, cursor_text(entries[-1].timestamp) if len(entries) == query.limit else None)

    def _wanted(self, query: HistoryQuery) -> Wanted:
        if query.kind is not None and query.kind not in _CODES:
            raise Malformed("kind", f"must be one of {', '.join(_CODES)}")
        if query.q is not None and not query.q.strip():
            raise Malformed("q", "must have something to look for")
        span = span_of(query.month, self.zone) if query.month is not None else None
        return Wanted(
            code=_CODES[query.kind] if query.kind else None,
            since=span.start if span else 0,
            until=span.end if span else 0,
            counterparty=parse_uuid(query.counterparty, "counterparty") if query.counterparty is not None else 0,
            text=query.q.strip() if query.q else "",
            amount=self._amount(query.q.strip()) if query.q else 0,
        )

    def _amount(self, text: str) -> int:
        """Minor units of what somebody looks for; 0 when it is no amount."""
        try:
            return parse_amount(text.replace(",", "."), self.payments.rules.currency)
        except Malformed:
            return 0

    async def _name(self, account: int) -> str | None:
        holder = await self.parties.directory.holder(account)
        return holder.name if holder else None

    async def _entry(self, entry: Entry) -> EntryView:
        return EntryView(
            transfer=uuid_text(entry.transfer.id),
            at=moment_text(entry.timestamp),
            code=entry.code.name.lower(),
            change=entry.change,
            set_aside=entry.set_aside,
            balance=entry.balance,
            available=entry.available,
            counterparty=uuid_text(entry.counterparty),
            counterparty_name=await self._name(entry.counterparty),
            payment=uuid_text(entry.payment.id) if entry.payment else None,
            kind=KINDS[entry.payment.kind] if entry.payment else None,
            memo=entry.payment.memo if entry.payment else "",
        )

    async def payment(self, caller: Principal, id: int) -> ReceiptView:
        """What became of a payment, for its payer and its payee.

        Answers the refusal that it had; 503 with `retry` same_id when it was kept but not carried out so far.
        """
        return receipt_view(await self.payments.receipt(id, caller.account))

    async def capture(self, caller: Principal, body: CaptureBody) -> ReceiptView:
        """Take held money, in full or in part. A repeat with the same id answers the same receipt."""
        hold = await self._concerning(caller, body.hold, "hold")
        return await self._carry_out(caller, hold, OrderKind.CAPTURE, id=body.id, amount=body.amount, memo=body.memo, max_fee=body.max_fee)

    async def release(self, caller: Principal, body: ReleaseBody) -> ReceiptView:
        """Give a whole hold back. A repeat with the same id answers the same receipt."""
        hold = await self._concerning(caller, body.hold, "hold")
        return await self._carry_out(caller, hold, OrderKind.RELEASE, id=body.id, amount=hold.amount, memo=body.memo)

    async def refund(self, caller: Principal, body: RefundBody) -> ReceiptView:
        """Give back a payment, in full or in part, never above the original. A repeat with the same id answers the same receipt."""
        paid = await self._concerning(caller, body.payment, "payment")
        return await self._carry_out(caller, paid, OrderKind.REFUND, id=body.id, amount=body.amount, memo=body.memo)

    async def _concerning(self, caller: Principal, text: str, field: str) -> Payment:
        """The payment that the caller received; others' are not there to be seen."""
        payment = await self.payments.find(parse_uuid(text, field))
        if payment is None or payment.payee != caller.account:
            raise PaymentNotFound
        return payment

    async def _carry_out(
        self, caller: Principal, about: Payment, kind: OrderKind, *, id: str, amount: int, memo: str, max_fee: int = AMOUNT_MAX
    ) -> ReceiptView:
        if len(memo.encode()) > 256:
            raise Malformed("memo", "must be at most 256 bytes")
        back = kind is OrderKind.REFUND
        order = Order(
            origin=self.payments.rules.origin,
            asset=self.payments.rules.currency.code,
            payer=about.payee if back else about.payer,
            payee=about.payer if back else about.payee,
            amount=amount,
            max_fee=max_fee,
            id=parse_uuid(id, "id"),
            expiry_ms=MANDATE_EXPIRY_MS,
            rules_hash=bytes(32),
            kind=kind,
            reference=about.id,
            memo=memo,
        )
        assert caller.account == (order.payer if back else order.payee), caller.account
        return receipt_view(await self.payments.pay_under_mandate(order, Mandate(caller.token, AuthorisationClass.TOKEN)))


def limits_view(holder: Holder) -> LimitsView:
    limits = holder.limits
    shown = {name: None if (value := getattr(limits, name)) == AMOUNT_MAX else value for name in limits.__struct_fields__}
    return LimitsView(**shown, own=sorted(holder.own))


def freeze_view(freeze: Freeze) -> FreezeView:
    expires_at = None if freeze.expires_at is None else moment_text(freeze.expires_at)
    return FreezeView(uuid_text(freeze.id), freeze.reason, freeze.incoming, freeze.by == freeze.party, expires_at)


def recovery_view(holder: Holder) -> RecoveryView | None:
    if (recovery := holder.recovery) is None:
        return None
    return RecoveryView(uuid_text(recovery.id), uuid_text(recovery.device), recovery.state, moment_text(recovery.effective_at))
