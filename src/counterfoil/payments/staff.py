"""What moves money without its holder's order: issue, withdrawal and reversal. Two members of staff, and a reason.

Each is executed from an approved proposal; the proposal's id is the payment's id, so that executing it again after a
crash changes nothing.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from counterfoil.errors import AboveOriginal, Malformed, PaymentNotFound, PaymentRefused
from counterfoil.ids import parse_id
from counterfoil.money import AMOUNT_MAX, check_amount
from counterfoil.parties.types import PartyKind, Proposal
from counterfoil.payments import records
from counterfoil.payments.fees import PaidBy, Service
from counterfoil.payments.orders import MEMO_SIZE_MAX, OrderKind
from counterfoil.payments.service import Payments
from counterfoil.payments.types import AuthorisationClass, Payment, Receipt

T = TypeVar("T")
_FUNDED = (PartyKind.INSTITUTION, PartyKind.AGENT)


class Circulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `issue` and `withdrawal`: an institution's or agent's account (UUID text) and minor units."""

    account: str
    amount: int


class Reversal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `reversal`: the payment or capture (UUID text) to take back."""

    payment: str


class StaffPayments:
    """Executes approved proposals. `issuance_account` is the scheme's own: its debit balance is the money in circulation."""

    def __init__(self, payments: Payments, *, issuance_account: int) -> None:
        self.payments = payments
        self.issuance_account = issuance_account

    async def check(self, kind: str, payload: bytes) -> None:
        """Refuses at once what could never be executed, so that nobody is asked to approve it."""
        if kind == "reversal":
            await self._original(payload)
        else:
            await self._circulation(payload)

    async def issue(self, proposal: Proposal) -> Receipt:
        """Puts money into circulation: from the scheme's issuance account to an institution or agent."""
        account, amount = await self._circulation(proposal.payload)
        payment = self._payment(proposal, OrderKind.ISSUE, payer=self.issuance_account, payee=account, amount=amount)
        return await self.payments.carry_out(payment, None)

    async def withdraw(self, proposal: Proposal) -> Receipt:
        """Takes money out of circulation again. Refused (InsufficientFunds) when the account has less."""
        account, amount = await self._circulation(proposal.payload)
        payment = self._payment(proposal, OrderKind.WITHDRAWAL, payer=account, payee=self.issuance_account, amount=amount)
        return await self.payments.carry_out(payment, None)

    async def reverse(self, proposal: Proposal) -> Receipt:
        """Takes a payment back with its fee; what was already refunded stays refunded.

        Refused when the payee has spent the money (InsufficientFunds): nobody's account goes below zero.
        """
        original = await self._original(proposal.payload)
        kept = await self.payments.find(proposal.id)
        if kept is None:
            refunded = await self.payments.store.read(lambda connection: records.refunded_amount(connection, original.id))
            if refunded >= original.amount:
                raise AboveOriginal(original=original.amount, refunded=refunded, left=0)
            amount = original.amount - refunded
        else:
            amount = kept.amount
        payment = self._payment(
            proposal, OrderKind.REVERSAL, payer=original.payee, payee=original.payer, amount=amount, reference=original.id
        )
        return await self.payments.carry_out(payment, original)

    async def _circulation(self, payload: bytes) -> tuple[int, int]:
        wish = _decode(payload, Circulation)
        account = parse_id(wish.account, "payload.account")
        holder = await self.payments.parties.holder(account)
        if holder.kind not in _FUNDED:
            raise PaymentRefused("money is issued to institutions and agents only")
        return account, check_amount(wish.amount, "payload.amount")

    async def _original(self, payload: bytes) -> Payment:
        original = await self.payments.find(parse_id(_decode(payload, Reversal).payment, "payload.payment"))
        if original is None:
            raise PaymentNotFound
        if original.kind not in (OrderKind.PAY, OrderKind.CAPTURE):
            raise Malformed("payload.payment", "must be a payment or a capture")
        return original

    def _payment(self, proposal: Proposal, kind: OrderKind, *, payer: int, payee: int, amount: int, reference: int = 0) -> Payment:
        return Payment(
            id=proposal.id,
            order_hash=hashlib.sha256(b"counterfoil/proposal/v1" + proposal.id.to_bytes(16) + proposal.payload).digest(),
            kind=kind,
            service=Service.REFUND if kind is OrderKind.REVERSAL else Service.INTERNAL,
            payer=payer,
            payee=payee,
            amount=amount,
            fee=0,
            fee_paid_by=PaidBy.PAYER,
            reference=reference,
            timeout_s=0,
            memo=proposal.reason.encode()[:MEMO_SIZE_MAX].decode(errors="ignore"),
            authorisation=AuthorisationClass.STAFF,
            device=0,
            mandate=proposal.id,
            order=b"",
            signature=b"",
            created_at=self.payments.clock.now_ns(),
            expires_at=AMOUNT_MAX,
        )


def _decode(payload: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(payload, type=type)
    except msgspec.ValidationError as error:
        raise Malformed("payload", str(error)) from error
