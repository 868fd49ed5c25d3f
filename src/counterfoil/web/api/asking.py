"""Requests to pay, batches and standing orders: what is signed now and paid later."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.errors import (
    AccountFrozen,
    AgentMustConfirm,
    CustomerMustAsk,
    IdReused,
    NotFound,
    NotInThisState,
    OrderExpired,
    PartyClosed,
    PartyNotFound,
    PayeeCannotReceive,
    PayeeLimitExceeded,
    SamePayerAndPayee,
    WrongScheme,
)
from counterfoil.moments import moment_text
from counterfoil.parties.tokens import Scope
from counterfoil.payments import batches as batches_module
from counterfoil.payments import forms
from counterfoil.payments import requests as requests_module
from counterfoil.payments.batches import Batches, BatchLine, BatchState, BatchStatus
from counterfoil.payments.forms import Every
from counterfoil.payments.requests import PaymentRequest, Requests, RequestState
from counterfoil.payments.rules import SchemeRules
from counterfoil.payments.standing import StandingOrder, StandingOrders, StandingState
from counterfoil.payments.types import SignedOrder
from counterfoil.web.access import HOLDER, PUBLIC, Principal, holder_or, server
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import (
    Amount,
    AmountOrZero,
    Cursor,
    Moment,
    Signature,
    UuidText,
    cursor_text,
    parse_base64,
    parse_cursor,
    parse_moment,
    parse_signature,
    parse_uuid,
    uuid_text,
)
from counterfoil.web.views import SignedBody

_SIGNED = (IdReused, WrongScheme, PartyClosed, AccountFrozen)


class RequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to pay by a merchant's server. `payer` null: anyone may pay; `amount` null: the payer decides.

    With `hold` the money is to be set aside, not paid: that needs an amount.
    """

    id: UuidText
    expires_at: Moment
    payer: UuidText | None = None
    amount: Amount | None = None
    memo: Annotated[str, msgspec.Meta(max_length=256)] = ""
    hold: bool = False


class RequestView(msgspec.Struct, frozen=True):
    """A request as it stands. `paid_by` is the payment, or the hold, that answered it; `payer` null: anyone may pay."""

    id: UuidText
    payee: UuidText
    payee_name: str
    payer: UuidText | None
    payer_name: str | None
    amount: Amount | None
    purpose: Annotated[str, msgspec.Meta(description="pay, cash_in or hold")]
    cash_in: bool
    memo: str
    state: RequestState
    paid_by: UuidText | None
    created_at: Moment
    expires_at: Moment


class RequestsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page: `cursor` from the page before, newest first."""

    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=requests_module.PAGE_SIZE_MAX)] = 50


class RequestsView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end."""

    requests: list[RequestView]
    next: Cursor | None


class BatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A batch: the signed form (`counterfoil/batch/v1`) and the file whose hash, count and total it names.

    Attributes:
        file: CSV with the header to,amount,memo; amounts in major units such as 12.50.
    """

    order: Annotated[str, msgspec.Meta(min_length=1, max_length=1_400, pattern="^[A-Za-z0-9_-]*$")]
    device: UuidText
    signature: Signature
    file: str


class BatchView(msgspec.Struct, frozen=True):
    """How far a batch is. Amounts in minor units."""

    id: UuidText
    payer: UuidText
    state: BatchState
    count: int
    total: Amount
    completed: int
    completed_amount: AmountOrZero
    refused: int
    memo: str
    created_at: Moment


class LineView(msgspec.Struct, frozen=True):
    """A line's result: "completed", a refusal's code, or null while it waits."""

    line: int
    to: str
    amount: Amount
    memo: str
    payment: UuidText
    outcome: str | None
    detail: str


class LinesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page: `cursor` from the page before, in the file's order."""

    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=batches_module.PAGE_SIZE_MAX)] = 200


class LinesView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end."""

    lines: list[LineView]
    next: Cursor | None


class StandingView(msgspec.Struct, frozen=True):
    """A standing order as it stands. `count_max` null: until cancelled."""

    id: UuidText
    payer: UuidText
    payee: UuidText
    amount: Amount
    max_fee: AmountOrZero
    every: str
    first_at: Moment
    next_at: Moment
    done: int
    count_max: int | None
    memo: str
    state: StandingState
    last_outcome: str | None


class StandingListView(msgspec.Struct, frozen=True):
    """All standing orders of the account, oldest first."""

    standing_orders: list[StandingView]


class AskingEndpoints:
    """Requests, batches and standing orders."""

    def __init__(self, *, requests: Requests, batches: Batches, standing: StandingOrders, rules: SchemeRules) -> None:
        self.requests = requests
        self.batches = batches
        self.standing = standing
        self.rules = rules

    def endpoints(self) -> list[Endpoint]:
        read, batch = holder_or(Scope.PAYMENTS_READ), holder_or(Scope.BATCHES_WRITE)
        create = (*_SIGNED, PartyNotFound, PayeeCannotReceive, PayeeLimitExceeded)
        standing = (*_SIGNED, PartyNotFound, SamePayerAndPayee, CustomerMustAsk, AgentMustConfirm)
        ended = (NotFound, NotInThisState)
        return [
            Endpoint(
                "POST", "/v1/requests", self.create_request, access=PUBLIC, errors=create, status=201, tag="requests", own_signature=True
            ),
            Endpoint("GET", "/v1/requests", self.list_requests, access=read, tag="requests"),
            Endpoint("GET", "/v1/requests/{id}", self.request, access=read, tag="requests"),
            Endpoint("POST", "/v1/requests/{id}/decline", self.decline, access=HOLDER, errors=ended, tag="requests"),
            Endpoint(
                "POST",
                "/v1/requests/{id}/cancel",
                self.cancel_request,
                access=holder_or(Scope.REQUESTS_WRITE),
                errors=ended,
                tag="requests",
            ),
            Endpoint(
                "POST", "/v1/merchant/requests", self.ask, access=server(Scope.REQUESTS_WRITE), errors=create, status=201, tag="merchant"
            ),
            Endpoint(
                "POST",
                "/v1/batches",
                self.create_batch,
                access=PUBLIC,
                errors=(*_SIGNED, OrderExpired),
                status=201,
                tag="batches",
                own_signature=True,
            ),
            Endpoint("GET", "/v1/batches/{id}", self.batch, access=batch, tag="batches"),
            Endpoint("GET", "/v1/batches/{id}/lines", self.lines, access=batch, tag="batches"),
            Endpoint(
                "POST",
                "/v1/standing-orders",
                self.create_standing_order,
                access=PUBLIC,
                errors=standing,
                status=201,
                tag="standing orders",
                own_signature=True,
            ),
            Endpoint("GET", "/v1/standing-orders", self.list_standing_orders, access=read, tag="standing orders"),
            Endpoint("GET", "/v1/standing-orders/{id}", self.standing_order, access=read, tag="standing orders"),
            Endpoint(
                "POST", "/v1/standing-orders/{id}/cancel", self.cancel_standing_order, access=HOLDER, errors=ended, tag="standing orders"
            ),
        ]

    # Requests to pay

    async def create_request(self, body: SignedBody) -> RequestView:
        """Ask somebody for money, by a signed form (`counterfoil/request-to-pay/v1`). A repeat answers the same request."""
        return await self._view(await self.requests.create(SignedOrder(*body.parts())))

    async def ask(self, caller: Principal, body: RequestBody) -> RequestView:
        """Ask somebody for money, by a merchant's server. A repeat with the same id answers the same request."""
        form = forms.RequestToPay(
            origin=self.rules.origin,
            asset=self.rules.currency.code,
            payee=caller.account,
            payer=parse_uuid(body.payer, "payer") if body.payer else 0,
            amount=body.amount or 0,
            id=parse_uuid(body.id, "id"),
            expiry_ms=parse_moment(body.expires_at, "expires_at") // 1_000_000,
            purpose=forms.Purpose.HOLD if body.hold else forms.Purpose.PAY,
            memo=body.memo,
        )
        return await self._view(await self.requests.create_under_mandate(form))

    async def list_requests(self, caller: Principal, query: RequestsQuery) -> RequestsView:
        """Requests by the caller or addressed to them, newest first."""
        found = await self.requests.of_account(caller.account, before=parse_cursor(query.cursor), limit=query.limit)
        return RequestsView([await self._view(each) for each in found], cursor_text(found[-1].id) if len(found) == query.limit else None)

    async def request(self, caller: Principal, id: int) -> RequestView:
        """A request, for those it concerns; for anyone when it names no payer."""
        return await self._view(await self.requests.find(id, caller.account))

    async def decline(self, caller: Principal, id: int) -> RequestView:
        """Say no to a request. A repeat answers the same."""
        return await self._view(await self.requests.decline(id, caller.account))

    async def cancel_request(self, caller: Principal, id: int) -> RequestView:
        """Take one's own request back. A repeat answers the same."""
        return await self._view(await self.requests.cancel(id, caller.account))

    async def _view(self, request: PaymentRequest) -> RequestView:
        """With the names of both sides: who is asked must see who asks."""
        payee = await self.requests.parties.holder(request.payee)
        payer = await self.requests.parties.holder(request.payer) if request.payer else None
        return RequestView(
            id=uuid_text(request.id),
            payee=uuid_text(request.payee),
            payee_name=payee.name,
            payer=uuid_text(request.payer) if request.payer else None,
            payer_name=payer.name if payer else None,
            amount=request.amount,
            purpose=request.purpose.name.lower(),
            cash_in=request.purpose is forms.Purpose.CASH_IN,
            memo=request.memo,
            state=request.state,
            paid_by=uuid_text(request.paid_by) if request.paid_by else None,
            created_at=moment_text(request.created_at),
            expires_at=moment_text(request.expires_at),
        )

    # Batches

    async def create_batch(self, body: BatchBody) -> BatchView:
        """Pay many at once: wages, aid. One signature over the whole file, one result a line. A repeat answers the same batch."""
        signed = SignedOrder(
            parse_base64(body.order, "order"), parse_uuid(body.device, "device"), parse_signature(body.signature, "signature")
        )
        return _batch(await self.batches.create(signed, body.file))

    async def batch(self, caller: Principal, id: int) -> BatchView:
        """How far a batch is, for its payer."""
        return _batch(await self.batches.status(id, caller.account))

    async def lines(self, caller: Principal, id: int, query: LinesQuery) -> LinesView:
        """The lines of a batch with their results, in the file's order."""
        found = await self.batches.lines(
            id, caller.account, after=parse_cursor(query.cursor, maximum=batches_module.LINES_MAX), limit=query.limit
        )
        return LinesView([_line(each) for each in found], cursor_text(found[-1].line) if len(found) == query.limit else None)

    # Standing orders

    async def create_standing_order(self, body: SignedBody) -> StandingView:
        """Pay the same again and again, by a signed form (`counterfoil/standing-order/v1`). A repeat answers the same."""
        return _standing(await self.standing.create(SignedOrder(*body.parts())))

    async def list_standing_orders(self, caller: Principal) -> StandingListView:
        """All standing orders that pay from the account."""
        return StandingListView([_standing(each) for each in await self.standing.of_account(caller.account)])

    async def standing_order(self, caller: Principal, id: int) -> StandingView:
        """A standing order, for its payer."""
        return _standing(await self.standing.find(id, caller.account))

    async def cancel_standing_order(self, caller: Principal, id: int) -> StandingView:
        """End a standing order. A repeat answers the same."""
        return _standing(await self.standing.cancel(id, caller.account))


def _batch(status: BatchStatus) -> BatchView:
    return BatchView(
        id=uuid_text(status.id),
        payer=uuid_text(status.payer),
        state=status.state,
        count=status.count,
        total=status.total,
        completed=status.completed,
        completed_amount=status.completed_amount,
        refused=status.refused,
        memo=status.memo,
        created_at=moment_text(status.created_at),
    )


def _line(line: BatchLine) -> LineView:
    return LineView(line.line, line.address, line.amount, line.memo, uuid_text(line.payment), line.outcome, line.detail)


def _standing(order: StandingOrder) -> StandingView:
    return StandingView(
        id=uuid_text(order.id),
        payer=uuid_text(order.payer),
        payee=uuid_text(order.payee),
        amount=order.amount,
        max_fee=order.max_fee,
        every=Every(order.every).name.lower(),
        first_at=moment_text(order.first_at),
        next_at=moment_text(order.next_at),
        done=order.done,
        count_max=order.count_max or None,
        memo=order.memo,
        state=order.state,
        last_outcome=order.last_outcome,
    )
