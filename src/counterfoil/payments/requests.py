"""Requests to pay: somebody asks, somebody else answers with an order, or declines, or time passes.

A customer's request to an agent for cash in is the customer's half of it: "I give you this cash". The agent's order that
answers it is the other half, so both sides have signed. A request for a hold is answered by a hold, any other by a payment.

A till without a network shows a request that nobody here knows yet: a payment to a merchant may name it before it comes, and
it finds its payment when it does.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, update

from counterfoil.clock import Clock
from counterfoil.errors import IdReused, Malformed, NotFound, NotInThisState, Refused, WrongScheme
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.service import Parties
from counterfoil.parties.types import PartyKind
from counterfoil.payments import forms, records
from counterfoil.payments.rules import SchemeRules
from counterfoil.payments.tables import requests
from counterfoil.payments.types import SignedOrder
from counterfoil.store.database import Store

REQUEST_LIFETIME_MAX_MS = 90 * 24 * 3600 * 1000
"""A request may be open for at most this long."""
PAGE_SIZE_MAX = 100


class RequestState(enum.StrEnum):
    OPEN = "open"
    PAID = "paid"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class PaymentRequest(msgspec.Struct, frozen=True):
    """A request as it stands. Amount in minor units, None when the payer decides; payer None when anyone may pay."""

    id: int
    payee: int
    payer: int | None
    amount: int | None
    purpose: forms.Purpose
    memo: str
    state: RequestState
    paid_by: int | None
    created_at: int
    expires_at: int


class Requests:
    """Creates and answers requests to pay. Paying one is an ordinary order that names it (`Payments.pay`).

    `told` hears of each new request, and of each that is declined or taken back, once it is kept. `tell` hears of each new one
    that asks somebody, in the transaction that keeps it: what it writes is written if the request is, and once.
    """

    def __init__(
        self, *, store: Store, parties: Parties, clock: Clock, rules: SchemeRules, told: Callable[[PaymentRequest], None] = lambda _: None
    ) -> None:
        self.told = told
        self.tell: Callable[[Connection, PaymentRequest], None] = lambda _connection, _request: None
        self.store = store
        self.parties = parties
        self.clock = clock
        self.rules = rules

    async def create(self, signed: SignedOrder) -> PaymentRequest:
        """Keeps a request that the payee's device signed (`forms.RequestToPay`). A repeat answers the same request."""
        form = forms.decode(signed.order, forms.RequestToPay)
        with await self.parties.authorise(
            account_id=form.payee, device_id=signed.device, message=signed.order, signature=signed.signature, amount=0
        ):
            return await self._keep(form, signed.device)

    async def create_under_mandate(self, form: forms.RequestToPay) -> PaymentRequest:
        """As `create`, for a merchant's server whose token the caller has verified."""
        form.check()
        with await self.parties.admit(account_id=form.payee, amount=0):
            return await self._keep(form, 0)

    async def _keep(self, form: forms.RequestToPay, device: int) -> PaymentRequest:
        now = self.clock.now_ns()
        content_hash = hashlib.sha256(forms.encode(form)).digest()
        kept = await self.store.read(lambda connection: _find(connection, form.id))
        is_new = kept is None
        if kept is None:
            await self._check(form, now)
            row = {
                "id": form.id,
                "payee": form.payee,
                "payer": form.payer or None,
                "amount": form.amount or None,
                "purpose": form.purpose,
                "memo": form.memo,
                "content_hash": content_hash,
                "device": device,
                "state": RequestState.OPEN,
                "created_at": now,
                "expires_at": min(form.expiry_ms * 1_000_000, AMOUNT_MAX),
            }
            kept = await self.store.write(lambda connection: self._insert(connection, row))
        if kept.content_hash != content_hash:
            raise IdReused
        request = self._request(kept)
        if is_new:
            self.told(request)
        return request

    def _insert(self, connection: Connection, row: dict[str, Any]) -> Row[Any]:
        if (kept := _find(connection, row["id"])) is not None:
            return kept
        connection.execute(requests.insert().values(**row, paid_by=records.early_answer(connection, row)))
        kept = _find(connection, row["id"])
        assert kept is not None, row["id"]
        if kept.payer is not None and kept.paid_by is None:
            self.tell(connection, self._request(kept))
        return kept

    async def _check(self, form: forms.RequestToPay, now: int) -> None:
        if form.origin != self.rules.origin or form.asset != self.rules.currency.code:
            raise WrongScheme
        now_ms = now // 1_000_000
        if not now_ms < form.expiry_ms <= now_ms + REQUEST_LIFETIME_MAX_MS:
            raise Malformed("request.expiry", f"must be in the future and at most {REQUEST_LIFETIME_MAX_MS} ms ahead")
        if form.payer == form.payee:
            raise Malformed("request.payer", "must be somebody else")
        payee = await self.parties.holder(form.payee)
        if form.payer:
            payer = await self.parties.holder(form.payer)
            if form.purpose == forms.Purpose.CASH_IN and (payer.kind is not PartyKind.AGENT or payee.kind is not PartyKind.CUSTOMER):
                raise Malformed("request.purpose", "1 (cash in) is for customers, and asks an agent")
        if form.amount:
            self.parties.check_payee(payee, form.amount)

    async def find(self, id: int, account: int) -> PaymentRequest:
        """The request, for those it concerns: the payee, the named payer, or anyone when no payer is named."""
        row = await self.store.read(lambda connection: _find(connection, id))
        if row is None or (row.payer is not None and account not in (row.payee, row.payer)):
            raise NotFound("there is no request with this id")
        return self._request(row)

    async def find_many(self, ids: Sequence[int], account: int) -> dict[int, PaymentRequest]:
        """Those of `ids` that `account` made, by id."""
        query = select(requests).where(requests.c.id.in_(ids), requests.c.payee == account)
        return await self.store.read(lambda connection: {row.id: self._request(row) for row in connection.execute(query)})

    async def of_account(self, account: int, *, before: int = 0, limit: int = PAGE_SIZE_MAX) -> list[PaymentRequest]:
        """Requests made by or addressed to `account`, newest first by id; `before` is the last id of the page before."""
        statement = select(requests).where((requests.c.payee == account) | (requests.c.payer == account))
        if before:
            statement = statement.where(requests.c.id < before)
        statement = statement.order_by(requests.c.id.desc()).limit(min(limit, PAGE_SIZE_MAX))
        return await self.store.read(lambda connection: [self._request(row) for row in connection.execute(statement)])

    async def decline(self, id: int, account: int) -> PaymentRequest:
        """The named payer says no. A repeat answers the same."""
        return await self._end(id, account, RequestState.DECLINED)

    async def cancel(self, id: int, account: int) -> PaymentRequest:
        """The payee takes it back. A repeat answers the same."""
        return await self._end(id, account, RequestState.CANCELLED)

    async def _end(self, id: int, account: int, state: RequestState) -> PaymentRequest:
        now = self.clock.now_ns()

        def end(connection: Connection) -> tuple[Row[Any], bool] | Refused:
            row = _find(connection, id)
            side = None if row is None else (row.payer if state is RequestState.DECLINED else row.payee)
            if row is None or side != account:
                return NotFound("there is no request with this id")
            if row.state == state:
                return row, False
            if row.state != RequestState.OPEN or row.paid_by is not None or row.expires_at <= now:
                return NotInThisState()
            connection.execute(update(requests).where(requests.c.id == id).values(state=state))
            ended = _find(connection, id)
            assert ended is not None, id
            return ended, True

        answer = await self.store.write(end)
        if isinstance(answer, Refused):
            raise answer
        row, is_new = answer
        request = self._request(row)
        if is_new:
            self.told(request)
        return request

    def _request(self, row: Row[Any]) -> PaymentRequest:
        state = RequestState(row.state)
        if row.paid_by is not None:
            state = RequestState.PAID
        elif state is RequestState.OPEN and row.expires_at <= self.clock.now_ns():
            state = RequestState.EXPIRED
        return PaymentRequest(
            id=row.id,
            payee=row.payee,
            payer=row.payer,
            amount=row.amount,
            purpose=forms.Purpose(row.purpose),
            memo=row.memo,
            state=state,
            paid_by=row.paid_by,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )


def is_known(connection: Connection, id: int) -> bool:
    """Whether there is a request with this id, whoever asks."""
    return _find(connection, id) is not None


def withdraw(connection: Connection, id: int) -> bool:
    """Nobody can pay this request from now on, in the caller's transaction; False where somebody has, or is about to. A repeat changes nothing."""
    free = (requests.c.id == id) & (requests.c.paid_by.is_(None))
    connection.execute(update(requests).where(free, requests.c.state == RequestState.OPEN).values(state=RequestState.CANCELLED))
    row = _find(connection, id)
    return row is None or row.paid_by is None


def _find(connection: Connection, id: int) -> Row[Any] | None:
    return connection.execute(select(requests).where(requests.c.id == id)).first()
