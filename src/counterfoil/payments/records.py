"""Keeping and finding payments in the store: plain functions over a connection."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select, update

from counterfoil.errors import AboveOriginal, IdReused, Malformed, NotFound, NotInThisState, Refused, refusal_by_code
from counterfoil.payments.fees import PaidBy, Service
from counterfoil.payments.forms import Purpose
from counterfoil.payments.orders import ORDER_LIFETIME_MAX_MS, OrderKind
from counterfoil.payments.tables import links, payments, refusals, requests
from counterfoil.payments.types import AuthorisationClass, Payment
from counterfoil.store.bulk import BulkFind, BulkInsert


class LinkOutcome(enum.IntEnum):
    """What became of a payment that answers something."""

    OPEN = 0
    CARRIED_OUT = 1
    FAILED = 2


_GIVING_BACK = (OrderKind.REFUND, OrderKind.REVERSAL)
_ANSWERING = (OrderKind.PAY, OrderKind.HOLD)
"""What refers to a request."""
_insert = BulkInsert(payments)
_find_known = BulkFind(payments.c.id)
_BY_ID = select(payments).where(payments.c.id == bindparam("id"))
_BY_IDS = select(payments).where(payments.c.id.in_(bindparam("ids", expanding=True)))
_ANSWERS = (
    select(payments)
    .join(links, links.c.payment == payments.c.id)
    .where(links.c.reference.in_(bindparam("references", expanding=True)), links.c.outcome != LinkOutcome.FAILED)
    .order_by(payments.c.id)
)
_KEEP_REFUSAL = refusals.insert()
_REFUSAL = select(refusals).where(refusals.c.payment == bindparam("id"))


def keep(connection: Connection, batch: list[Payment]) -> list[Payment | Refused]:
    """Keeps each payment of the batch once; answers the payment as it is kept, or the refusal.

    A repeat answers what was kept the first time. Another payment under the same id is `IdReused`. A payment that refers
    to something (`reference`) claims it here: a request is paid once, refunds never exceed what they refund.
    """
    known = _find_known(connection, [payment.id for payment in batch])
    fresh: dict[int, Payment] = {}
    for payment in batch:
        if not payment.reference and payment.id not in known:
            fresh.setdefault(payment.id, payment)
    if fresh:
        _insert(connection, [_values(payment) for payment in fresh.values()])
    known |= fresh.keys()
    answers: list[Payment | Refused] = []
    for payment in batch:
        if fresh.get(payment.id) is payment:
            answers.append(payment)
        elif payment.id in known:
            answers.append(_repeat(connection, payment))
        elif refusal := _claim(connection, payment):
            answers.append(refusal)
        else:
            _insert(connection, [_values(payment)])
            _link(connection, payment)
            known.add(payment.id)
            answers.append(payment)
    return answers


def _repeat(connection: Connection, payment: Payment) -> Payment | Refused:
    kept = find(connection, payment.id)
    assert kept is not None, payment.id
    return kept if kept.order_hash == payment.order_hash else IdReused()


def _claim(connection: Connection, payment: Payment) -> Refused | None:
    """Whether `payment` may answer what it refers to. The store has one writer, so nobody decides beside us."""
    if payment.kind in _ANSWERING:
        request = connection.execute(select(requests).where(requests.c.id == payment.reference)).first()
        if request is not None:
            return _mismatch(request, payment)
        if payment.service is not Service.PURCHASE:
            return NotFound("there is no request with this id")
        early = _answer(connection, payment.reference, payee=payment.payee, amount=payment.amount, kind=payment.kind)
        return None if early is None else NotInThisState()
    if payment.kind in _GIVING_BACK:
        original = find(connection, payment.reference)
        assert original is not None, payment.reference
        refunded = refunded_amount(connection, original.id)
        if refunded + payment.amount > original.amount:
            return AboveOriginal(original=original.amount, refunded=refunded, left=original.amount - refunded)
    return None


def _mismatch(request: Row[Any], payment: Payment) -> Refused | None:
    if request.payer is not None and request.payer != payment.payer:
        return NotFound("there is no request with this id")
    if request.state != "open" or request.paid_by is not None or payment.created_at >= request.expires_at:
        return NotInThisState()
    if request.payee != payment.payee:
        return Malformed("order.payee", "must be the account that asked")
    if request.amount is not None and request.amount != payment.amount:
        return Malformed("order.amount", f"must be the amount asked for, {request.amount}")
    if (request.purpose == Purpose.HOLD) != (payment.kind is OrderKind.HOLD):
        return Malformed("order.kind", "a request for a hold is answered by a hold, and any other by a payment")
    if (request.purpose == Purpose.CASH_IN) != (payment.service is Service.CASH_IN):
        return Malformed("order.reference", "a request for cash-in is answered by an agent, and by nobody else")
    return None


def early_answer(connection: Connection, request: dict[str, Any]) -> int | None:
    """The payment that named this request before it was there, if there is one that may answer it; the values of its row."""
    kind = OrderKind.HOLD if request["purpose"] == Purpose.HOLD else OrderKind.PAY
    answer = _answer(connection, request["id"], payee=request["payee"], amount=request["amount"], kind=kind)
    if answer is None or request["payer"] not in (None, answer.payer) or answer.service is not Service.PURCHASE:
        return None
    return answer.id


def _answer(connection: Connection, reference: int, *, payee: int, amount: int | None, kind: OrderKind) -> Payment | None:
    """The first payment that answers `reference` like this and did not fail. Another payee's or amount is not in anybody's way."""
    for payment in answers_to(connection, reference):
        if payment.payee == payee and payment.kind is kind and amount in (None, payment.amount):
            return payment
    return None


def answered_by(payer: int, references: Select[tuple[int]]) -> Select[tuple[int]]:
    """Those of `references` which `payer` paid, or set money aside for, or tried to."""
    found = select(links.c.reference).join(payments, payments.c.id == links.c.payment)
    return found.where(links.c.reference.in_(references), payments.c.payer == payer)


def _link(connection: Connection, payment: Payment) -> None:
    connection.execute(
        links.insert().values(
            payment=payment.id,
            reference=payment.reference,
            kind=payment.kind,
            amount=payment.amount,
            outcome=LinkOutcome.OPEN,
            decided_by=payment.created_at + ORDER_LIFETIME_MAX_MS * 1_000_000,
        )
    )
    if payment.kind in _ANSWERING:
        connection.execute(update(requests).where(requests.c.id == payment.reference).values(paid_by=payment.id))


def keep_refusal(connection: Connection, payment: Payment, refusal: Refused, refused_at: int) -> None:
    """Remembers the ledger's refusal, and gives back what the payment had claimed. A repeat changes nothing."""
    if find_refusal(connection, payment.id) is None:
        values = {"payment": payment.id, "code": refusal.code, "facts": json.dumps(refusal.facts), "refused_at": refused_at}
        connection.execute(_KEEP_REFUSAL, values)
    if payment.reference:
        release_claim(connection, payment.id, payment.reference)


def release_claim(connection: Connection, payment_id: int, reference: int) -> None:
    connection.execute(update(links).where(links.c.payment == payment_id).values(outcome=LinkOutcome.FAILED))
    connection.execute(update(requests).where(requests.c.id == reference, requests.c.paid_by == payment_id).values(paid_by=None))


def find(connection: Connection, id: int) -> Payment | None:
    row = connection.execute(_BY_ID, {"id": id}).first()
    return None if row is None else _payment(row)


def find_many(connection: Connection, ids: Sequence[int]) -> dict[int, Payment]:
    """The payments found, by id."""
    return {row.id: _payment(row) for row in connection.execute(_BY_IDS, {"ids": list(ids)})}


def find_refusal(connection: Connection, id: int) -> Refused | None:
    row = connection.execute(_REFUSAL, {"id": id}).first()
    return None if row is None else refusal_by_code(row.code, json.loads(row.facts))


def refunded_amount(connection: Connection, original_id: int) -> int:
    """What was refunded of a payment so far, refunds under way included; minor units."""
    total = connection.execute(
        select(func.coalesce(func.sum(links.c.amount), 0)).where(
            links.c.reference == original_id, links.c.kind.in_(_GIVING_BACK), links.c.outcome != LinkOutcome.FAILED
        )
    ).scalar_one()
    return int(total)


def answers_to(connection: Connection, reference: int) -> list[Payment]:
    """Payments that answer this hold, request or payment and did not fail, oldest first."""
    return answers_to_many(connection, [reference])[reference]


def answers_to_many(connection: Connection, references: Sequence[int]) -> dict[int, list[Payment]]:
    """As `answers_to`, for each of `references`, in one statement."""
    answers: dict[int, list[Payment]] = {reference: [] for reference in references}
    for row in connection.execute(_ANSWERS, {"references": list(references)}):
        answers[row.reference].append(_payment(row))
    return answers


def _values(payment: Payment) -> tuple[Any, ...]:
    """In the order of the table's columns. Plain values: the driver takes several times as long to see that an enum is one."""
    return (
        payment.id, payment.order_hash, int(payment.kind), payment.service._value_, payment.payer, payment.payee, payment.amount,
        payment.fee, payment.fee_paid_by._value_, payment.reference, payment.timeout_s, payment.memo, int(payment.authorisation),
        payment.device, payment.mandate, payment.order, payment.signature, payment.created_at, payment.expires_at,
    )  # fmt: skip


def _payment(row: Row[Any]) -> Payment:
    return Payment(
        id=row.id,
        order_hash=row.order_hash,
        kind=OrderKind(row.kind),
        service=Service(row.service),
        payer=row.payer,
        payee=row.payee,
        amount=row.amount,
        fee=row.fee,
        fee_paid_by=PaidBy(row.fee_paid_by),
        reference=row.reference,
        timeout_s=row.timeout_s,
        memo=row.memo,
        authorisation=AuthorisationClass(row.authorisation),
        device=row.device,
        mandate=row.mandate,
        order=row.order_bytes,
        signature=row.signature,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
