"""What the pages without scripts show: balance, history, a payment, requests."""

from __future__ import annotations

from typing import Any

import msgspec

from counterfoil.channels.consent import N_, Consent
from counterfoil.errors import Unavailable
from counterfoil.i18n import Language
from counterfoil.payments.fees import PaidBy
from counterfoil.payments.history import Entry
from counterfoil.payments.receipts import ProofState
from counterfoil.payments.types import PaymentState
from counterfoil.web.holder_sessions import Session
from counterfoil.web.services import Services
from counterfoil.web.staff_views import TRANSFER_KINDS
from counterfoil.web.values import base64_text, uuid_text

PAGE_SIZE = 10
"""Entries of a page: under 6 kB on a phone whose browser keeps little."""
LATEST = 3
MEMO_SHOWN_MAX = 40
"""Characters of a note in a list."""


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


class BasicViews(Consent):
    """The pages' contents for one holder, in `language`, and the payments that they begin there."""

    def __init__(self, services: Services, language: Language, session: Session) -> None:
        super().__init__(
            payments=services.payments, requests=services.requests, config=services.config, language=language, account=session.account
        )
        self.services = services
        self.session = session

    async def home(self) -> dict[str, Any]:
        entries = await self.services.history.page(self.session.account, limit=LATEST)
        return {
            **self._balance(),
            "holder": await self.holder(),
            "lines": [await self._line(entry) for entry in entries],
            "asked": len(await self.open_requests()),
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
                for each in await self.open_requests()
            ],
            "may_pay": await self.may_pay(),
        }

    # Parts

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
