"""The way of a payment, from the signed order to the receipt. `Payments.pay` is the whole of it on one screen.

Whatever the channel, there is one order and one way. The same order arriving again, however often and by whichever way,
gets the same receipt: the store keeps each id once with the hash of what was authorised, the ledger moves each id once,
and receipt and acknowledgement are read back from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import msgspec

from counterfoil.clock import Clock
from counterfoil.errors import (
    AboveHold,
    AgentMustConfirm,
    FeeAboveMaximum,
    IdReused,
    Malformed,
    NotAuthenticated,
    NotYourAccount,
    OrderExpired,
    PaymentNotFound,
    PinLocked,
    Refused,
    RulesChanged,
    SamePayerAndPayee,
    TooMany,
    Unavailable,
    WrongScheme,
)
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import CreateTransferResult, CreateTransferStatus, Transfer
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.service import Authorisation, Parties
from counterfoil.parties.types import Holder
from counterfoil.payments import records
from counterfoil.payments.acknowledgement import Acknowledger
from counterfoil.payments.fees import Fee, PaidBy, Service
from counterfoil.payments.orders import ORDER_LIFETIME_MAX_MS, Order, OrderKind, decode, encode, order_hash
from counterfoil.payments.plan import plan
from counterfoil.payments.rules import SchemeRules
from counterfoil.payments.terms import cost_of, refusal_of, service_of
from counterfoil.payments.types import AuthorisationClass, Payment, PaymentState, Quote, Receipt, SignedOrder
from counterfoil.store.database import Store
from counterfoil.tlog.known import IsHead

HOLD_TIMEOUT_MAX_S = 31 * 24 * 3600
MANDATE_EXPIRY_MS = AMOUNT_MAX // 1_000_000
"""Expiry (ms) of orders that stand under a mandate, which has an end of its own."""

_SIGNED_BY_PAYEE = (OrderKind.CAPTURE, OrderKind.RELEASE)
_PAYEE_ASKS = (*_SIGNED_BY_PAYEE, OrderKind.ISSUE)
_ABOUT_ANOTHER = (OrderKind.CAPTURE, OrderKind.RELEASE, OrderKind.REFUND, OrderKind.REVERSAL)
_CREATED = CreateTransferStatus.CREATED
_STATUS = CreateTransferStatus


class Mandate(msgspec.Struct, frozen=True):
    """What stands in for a device's signature: a token's scope, a batch or a standing order that was signed before."""

    id: int
    authorisation: AuthorisationClass


class PinMandate(Mandate, frozen=True):
    """The payer's PIN, which stands in for a device's signature. It is checked, and kept nowhere."""

    pin: str = ""

    def __repr__(self) -> str:
        return "PinMandate()"


class Payments:
    """What moves money.

    `rules` are the scheme's rules in force; the fees account is the scheme's own; `is_head` tells whether a log head that an
    order names is one of this scheme's log.
    """

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        parties: Parties,
        clock: Clock,
        rules: SchemeRules,
        acknowledger: Acknowledger,
        fees_account: int,
        is_head: IsHead,
    ) -> None:
        self.store = store
        self.ledger = ledger
        self.parties = parties
        self.clock = clock
        self.rules = rules
        self.acknowledger = acknowledger
        self.fees_account = fees_account
        self.is_head = is_head
        self._under_way: dict[int, int] = {}  # how often each order is being carried out at this moment

    async def pay(self, signed: SignedOrder) -> Receipt:
        """Moves the money once, however often the same order arrives, and answers the same receipt each time.

        Refusals, in this order: the bytes (Malformed), the scheme (WrongScheme, SamePayerAndPayee), who is concerned
        (PartyNotFound, PaymentNotFound, CustomerMustAsk, AgentMustConfirm), whose signature (NotAuthenticated, Forbidden),
        within which limit (LimitExceeded), terms (OrderExpired, RulesChanged, FeeAboveMaximum, PayeeCannotReceive, ...),
        id and reference (IdReused, AboveOriginal, ...), the ledger (InsufficientFunds, HoldNotOpen, ...). `Unavailable` means
        that the outcome is not known: repeat the same order.
        """
        order = decode(signed.order)
        return await self._pay(order, signed, mandate=None)

    async def pay_under_mandate(self, order: Order, mandate: Mandate) -> Receipt:
        """As `pay`, for an order that no device signed by itself. `mandate` was verified by the caller."""
        return await self._pay(order, SignedOrder(encode(order), 0, b""), mandate)

    async def pay_by_pin(self, order: Order, pin: str) -> Receipt:
        """As `pay`, for a payment or a hold that the payer agrees to with a PIN: on a phone without a key of its own.

        Whoever shows the fee makes the order, its id too, and keeps both: the same order again gets the same receipt, on the
        word of the same PIN. Instead of whose signature it asks PinLocked, WrongPin, PinNotAllowed, and the limits for PINs first.
        """
        if order.kind not in (OrderKind.PAY, OrderKind.HOLD):
            raise Malformed("order.kind", "must be 1 (pay) or 2 (hold)")
        data = encode(order)
        return await self._pay(decode(data), SignedOrder(data, 0, b""), PinMandate(0, AuthorisationClass.PIN, pin))

    async def _pay(self, order: Order, signed: SignedOrder, mandate: Mandate | None) -> Receipt:
        self._check_scheme(order)
        payer = self.parties.found_holder(order.payer) or await self.parties.holder(order.payer)
        payee = self.parties.found_holder(order.payee) or await self.parties.holder(order.payee)
        earlier = await self._earlier(order) if order.kind in _ABOUT_ANOTHER else None
        service = service_of(order, payer.kind, payee.kind, earlier)
        self._check_signed(order, earlier, mandate)
        cost = cost_of(order, service, earlier, self.rules.tariff)
        payment = self._draft(order, signed, mandate, service, cost)
        try:
            authorisation = await self._admit(order, payment, mandate)  # 1 whose order, within which limit; 2 on which terms
        except (NotAuthenticated, NotYourAccount, PinLocked, TooMany):
            raise
        except Refused:
            is_under_way = order.id in self._under_way  # before the look: it may end meanwhile
            if receipt := await self._carried_out_before(payment):
                return receipt  # expired or over the limit by now, but this is the repeat of something that was done
            if is_under_way:  # what it has reserved is what this one lacks
                raise Unavailable("this order is being carried out at this moment: ask again") from None
            raise
        self._under_way[order.id] = self._under_way.get(order.id, 0) + 1
        try:
            with authorisation:
                return await self.carry_out(payment, earlier)  # 3 to 7
        finally:
            if left := self._under_way.pop(order.id) - 1:
                self._under_way[order.id] = left

    async def carry_out(self, payment: Payment, earlier: Payment | None) -> Receipt:
        """Steps 3 to 7, for a payment that was authorised. `earlier` is what a capture, release, refund or reversal is about."""
        kept = await self.store.write_together(records.keep, payment)  # 3 the system of reference is written first
        if isinstance(kept, Refused):
            raise kept
        if kept is not payment:
            await self._check_repeat(kept, earlier)
        transfers = self._plan(kept, earlier)  # 4 one linked chain
        results = await self.ledger.create_transfers(transfers)  # 5 the system of record is written last: the commit point
        last = results[-1]
        completed_at = last.timestamp if last.status is _CREATED else await self._settle(kept, transfers, results)  # 6 created, or exists
        return await self._receipt(kept, completed_at, self._asker(kept))  # 7 the operator's word

    # The steps

    def _check_scheme(self, order: Order) -> None:
        if order.origin != self.rules.origin:
            raise WrongScheme(origin=self.rules.origin)
        if order.asset != self.rules.currency.code:
            raise WrongScheme(f"the currency of this scheme is {self.rules.currency.code}", currency=self.rules.currency.code)
        if order.payer == order.payee:
            raise SamePayerAndPayee
        if order.timeout_s > HOLD_TIMEOUT_MAX_S:
            raise Malformed("order.timeout_s", f"must be at most {HOLD_TIMEOUT_MAX_S}")
        if order.payer_last > self.ledger.last_timestamp:
            raise Malformed("order.payer_last", "names an entry that this ledger does not have")

    async def _earlier(self, order: Order) -> Payment | None:
        """The hold or payment that the order refers to. A request (PAY, HOLD) is claimed when the payment is kept."""
        if order.kind not in _ABOUT_ANOTHER:
            return None
        earlier = await self.find(order.reference)
        if earlier is None:
            raise PaymentNotFound
        if order.kind is OrderKind.REFUND:
            if earlier.kind not in (OrderKind.PAY, OrderKind.CAPTURE):
                raise Malformed("order.reference", "must name a payment or a capture")
            if (order.payer, order.payee) != (earlier.payee, earlier.payer):
                raise Malformed("order.payee", "a refund goes from the payee of the payment to its payer")
            return earlier
        if earlier.kind is not OrderKind.HOLD:
            raise Malformed("order.reference", "must name a hold")
        if (order.payer, order.payee) != (earlier.payer, earlier.payee):
            raise Malformed("order.payer", "payer and payee must be those of the hold")
        if order.amount > earlier.amount:
            raise AboveHold(held=earlier.amount)
        return earlier

    @staticmethod
    def _check_signed(order: Order, earlier: Payment | None, mandate: Mandate | None) -> None:
        """Cash that a PIN has set aside is handed over by the agent's own key, never by a token: two words, and ours is none of them."""
        if earlier is None or mandate is None or order.kind is not OrderKind.CAPTURE:
            return
        if (earlier.service, earlier.authorisation) == (Service.CASH_OUT, AuthorisationClass.PIN):
            raise AgentMustConfirm("the agent's own device signs for cash that was set aside by PIN")

    def _draft(self, order: Order, signed: SignedOrder, mandate: Mandate | None, service: Service, cost: Fee) -> Payment:
        return Payment(
            id=order.id,
            order_hash=order_hash(signed.order),
            kind=order.kind,
            service=service,
            payer=order.payer,
            payee=order.payee,
            amount=order.amount,
            fee=cost.amount,
            fee_paid_by=cost.paid_by,
            reference=order.reference,
            timeout_s=order.timeout_s,
            memo=order.memo,
            authorisation=mandate.authorisation if mandate else AuthorisationClass.DEVICE,
            device=signed.device,
            mandate=mandate.id if mandate else 0,
            order=signed.order,
            signature=signed.signature,
            created_at=self.clock.now_ns(),
            expires_at=min(order.expiry_ms * 1_000_000, AMOUNT_MAX),
        )

    async def _admit(self, order: Order, payment: Payment, mandate: Mandate | None) -> Authorisation:
        """Steps 1 and 2. The amount stays reserved under the limits until the authorisation is released."""
        authorisation = await self._authorise(payment, mandate)
        try:
            # Looked up only now: the payee may have been frozen while the signature was checked.
            self._check_terms(order, payment, self.parties.found_holder(order.payee) or await self.parties.holder(order.payee))
        except Refused:
            authorisation.release()
            raise
        return authorisation

    def _authorise(self, payment: Payment, mandate: Mandate | None) -> Awaitable[Authorisation]:
        """Whoever gives money away signs; a payee who takes what was set aside needs no limit."""
        taking = payment.kind in _SIGNED_BY_PAYEE
        account = payment.payee if taking else payment.payer
        amount = 0 if taking else payment.amount
        cost = 0 if taking or payment.fee_paid_by is PaidBy.PAYEE else payment.fee
        if isinstance(mandate, PinMandate):
            return self.parties.authorise_by_pin(account_id=account, pin=mandate.pin, amount=amount, fee=cost)
        if mandate is not None:
            return self.parties.admit(account_id=account, amount=amount, fee=cost)
        return self.parties.authorise(
            account_id=account, device_id=payment.device, message=payment.order, signature=payment.signature, amount=amount, fee=cost
        )

    def _check_terms(self, order: Order, payment: Payment, payee: Holder) -> None:
        now_ms = payment.created_at // 1_000_000
        if order.expiry_ms <= now_ms:
            raise OrderExpired
        by_holder = payment.authorisation in (AuthorisationClass.DEVICE, AuthorisationClass.PIN)
        if by_holder and order.expiry_ms > now_ms + ORDER_LIFETIME_MAX_MS:
            raise Malformed("order.expiry", f"must be at most {ORDER_LIFETIME_MAX_MS} ms ahead")
        if payment.authorisation is AuthorisationClass.DEVICE:
            if not self.is_head(order.checkpoint_size, order.checkpoint_root):
                raise Malformed("order.checkpoint_root", "names a log head that this scheme has never signed: keep it, it is evidence")
            if order.rules_hash != self.rules.hash:
                raise RulesChanged(rules=self.rules.hash.hex())
        if payment.fee > order.max_fee and (payment.fee_paid_by is PaidBy.PAYER) != (order.kind in _SIGNED_BY_PAYEE):
            raise FeeAboveMaximum(fee=payment.fee, max_fee=order.max_fee)
        if order.kind in (OrderKind.PAY, OrderKind.HOLD):
            self.parties.check_payee(payee, payment.amount)

    def _plan(self, payment: Payment, earlier: Payment | None) -> list[Transfer]:
        return plan(payment, earlier, ledger=self.rules.currency.ledger, fees_account=self.fees_account)

    async def _settle(self, payment: Payment, transfers: Sequence[Transfer], results: Sequence[CreateTransferResult]) -> int:
        """The ledger time of a repeat's last transfer, or the refusal. A chain answers with one telling status; the others follow it."""
        telling = next(result.status for result in results if result.status is not _STATUS.LINKED_EVENT_FAILED)
        if telling is _STATUS.EXISTS:  # a repeat: the whole chain must stand, not only the leg that answered
            if (completed_at := await self._completed_at(transfers)) is not None:
                return completed_at
            raise IdReused
        refusal = refusal_of(telling, payment)
        if telling is _STATUS.ID_ALREADY_FAILED:
            refusal = await self._refusal_before(payment) or refusal
        await self.store.write(lambda connection: records.keep_refusal(connection, payment, refusal, self.clock.now_ns()))
        raise refusal

    async def _completed_at(self, transfers: Sequence[Transfer]) -> int | None:
        found = await self.ledger.lookup_transfers([transfer.id for transfer in transfers])
        assert len(found) in (0, len(transfers)), (len(found), len(transfers))
        return found[-1].timestamp if found else None

    async def _check_repeat(self, kept: Payment, earlier: Payment | None) -> None:
        """A repeat hears the refusal of before; what was never carried out in its lifetime never will be."""
        if refusal := await self._refusal_before(kept):
            raise refusal
        too_late = kept.created_at + ORDER_LIFETIME_MAX_MS * 1_000_000 < self.clock.now_ns()
        if too_late and await self._completed_at(self._plan(kept, earlier)) is None:
            raise OrderExpired

    async def _carried_out_before(self, payment: Payment) -> Receipt | None:
        """The receipt of a repeat that would now be refused (expired, over the limit by itself), or the refusal it had."""
        kept = await self.find(payment.id)
        if kept is None:
            return None
        if kept.order_hash != payment.order_hash:
            raise IdReused
        return await self._receipt_if_completed(kept, self._asker(kept))

    async def _refusal_before(self, payment: Payment) -> Refused | None:
        return await self.store.read(lambda connection: records.find_refusal(connection, payment.id))

    async def was_carried_out(self, payment: Payment) -> bool:
        """Whether the ledger has it: the only place that knows."""
        return bool(await self.carried_out([payment]))

    async def carried_out(self, payments: Sequence[Payment]) -> dict[int, int]:
        """Ledger time (ns), by id, of those of at most BATCH_SIZE_MAX `payments` that the ledger has. One look for all."""
        wanted = [payment.reference for payment in payments if payment.kind in _ABOUT_ANOTHER]
        subjects = await self.store.read(lambda connection: records.find_many(connection, wanted)) if wanted else {}
        last = {payment.id: self._plan(payment, subjects.get(payment.reference))[-1].id for payment in payments}
        found = {transfer.id: transfer.timestamp for transfer in await self.ledger.lookup_transfers(list(last.values()))}
        return {payment.id: found[last[payment.id]] for payment in payments if last[payment.id] in found}

    async def _subject(self, payment: Payment) -> Payment | None:
        """What a capture, release, refund or reversal is about; None for everything else."""
        return await self.find(payment.reference) if payment.kind in _ABOUT_ANOTHER else None

    async def _receipt_if_completed(self, payment: Payment, account: int) -> Receipt | None:
        if refusal := await self._refusal_before(payment):
            raise refusal
        completed_at = await self._completed_at(self._plan(payment, await self._subject(payment)))
        return None if completed_at is None else await self._receipt(payment, completed_at, account)

    @staticmethod
    def _asker(payment: Payment) -> int:
        return payment.payee if payment.kind in _PAYEE_ASKS else payment.payer

    async def _receipt(self, payment: Payment, completed_at: int, account: int) -> Receipt:
        balance = await self.ledger.balance_at(account, completed_at)
        amount = balance.credits_posted - balance.debits_posted
        acknowledgement = await self.acknowledger.acknowledge(
            order_hash=payment.order_hash,
            account=account,
            amount=payment.amount,
            fee=payment.fee,
            balance=amount,
            completed_at=completed_at,
        )
        return Receipt(
            payment=payment,
            state=_STATES[payment.kind],
            completed_at=completed_at,
            account=account,
            balance=amount,
            available=amount - balance.debits_pending,
            acknowledgement=acknowledgement,
        )

    # Reading

    async def find(self, id: int) -> Payment | None:
        """The payment as it was kept, whatever became of it."""
        return await self.store.read(lambda connection: records.find(connection, id))

    async def receipt(self, id: int, account: int) -> Receipt:
        """What became of payment `id`, for `account`: payer or payee. Others hear PaymentNotFound.

        Raises the refusal that it had; OrderExpired when it was never carried out and never will be; Unavailable when it
        was not carried out so far: repeat it with the same id.
        """
        payment = await self.find(id)
        if payment is None or account not in (payment.payer, payment.payee):
            raise PaymentNotFound
        receipt = await self._receipt_if_completed(payment, account)
        if receipt is None:
            if payment.expires_at <= self.clock.now_ns():
                raise OrderExpired
            raise Unavailable("not carried out so far: repeat it with the same id")
        if payment.kind is OrderKind.HOLD:
            return msgspec.structs.replace(receipt, state=await self.hold_state(payment, receipt.completed_at))
        return receipt

    async def hold_state(self, hold: Payment, held_at: int) -> PaymentState:
        """What became of a hold: held, captured, released or expired."""
        answers = await self.store.read(lambda connection: records.answers_to(connection, hold.id))
        carried_out = await self.carried_out(answers)
        return self.state_of_hold(hold, held_at, [answer for answer in answers if answer.id in carried_out])

    def state_of_hold(self, hold: Payment, held_at: int, answers: Sequence[Payment]) -> PaymentState:
        """As `hold_state`, for whoever knows the `answers` to it that were carried out."""
        for answer in answers:
            return PaymentState.CAPTURED if answer.kind is OrderKind.CAPTURE else PaymentState.RELEASED
        expires_at = held_at + hold.timeout_s * 1_000_000_000
        return PaymentState.EXPIRED if expires_at <= max(self.clock.now_ns(), self.ledger.last_timestamp) else PaymentState.HELD

    async def quote(self, *, payer: int, payee: int, amount: int, kind: OrderKind = OrderKind.PAY, reference: int = 0) -> Quote:
        """The payee's name and the fee, to be shown before consent. Refuses what `pay` would refuse for these parties."""
        order = Order(
            origin=self.rules.origin, asset=self.rules.currency.code, payer=payer, payee=payee, amount=amount,
            max_fee=AMOUNT_MAX, id=1, expiry_ms=0, rules_hash=self.rules.hash, kind=kind, reference=reference,
        )  # fmt: skip
        self._check_scheme(order)
        from_holder, to_holder = await self.parties.holder(payer), await self.parties.holder(payee)
        earlier = await self._earlier(order)
        service = service_of(order, from_holder.kind, to_holder.kind, earlier)
        cost = cost_of(order, service, earlier, self.rules.tariff)
        on_top = cost.amount if cost.paid_by is PaidBy.PAYER else 0
        return Quote(
            payee=payee,
            payee_name=to_holder.name,
            service=service,
            amount=amount,
            fee=cost.amount,
            fee_paid_by=cost.paid_by,
            total=amount + on_top,
            received=amount - (cost.amount - on_top),
            rules_hash=self.rules.hash,
        )


_STATES = {
    OrderKind.PAY: PaymentState.COMPLETED,
    OrderKind.HOLD: PaymentState.HELD,
    OrderKind.CAPTURE: PaymentState.COMPLETED,
    OrderKind.RELEASE: PaymentState.COMPLETED,
    OrderKind.REFUND: PaymentState.COMPLETED,
    OrderKind.REVERSAL: PaymentState.COMPLETED,
    OrderKind.ISSUE: PaymentState.COMPLETED,
    OrderKind.WITHDRAWAL: PaymentState.COMPLETED,
}
