"""Shops countersign what was paid to them by PIN: their own device says "this payment reached me", and the log keeps it.

A PIN is told to us whenever it is used, so of all payments these are the ones that an operator could make up. That one reached
a shop is at least the word of two, once the shop's key has signed for it; auditors count those for which no key did. The payment
itself waits for nothing: a shop that was away for days signs when it comes back.

    what        purchases by PIN, done at once. Cash is handed over by capturing a hold, which the agent's device signs anyway.
    who         any device of the payee's party, for all its tills: a till's token is no key
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, exists, select

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import NotInThisState, NotYourAccount, PaymentNotFound, TooLarge, UnknownDevice, WrongSignature
from counterfoil.parties.devices import check_active
from counterfoil.parties.journal import record
from counterfoil.parties.keys import verify
from counterfoil.parties.service import Parties
from counterfoil.parties.statements import Reached, read_countersign
from counterfoil.parties.types import DeviceState
from counterfoil.payments import records
from counterfoil.payments.fees import Service
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.service import Payments
from counterfoil.payments.tables import countersignatures, payments, refusals
from counterfoil.payments.types import AuthorisationClass, Payment, Receipt
from counterfoil.store.database import Store

COUNT_MAX: Final = 50
"""Countersignatures in one request, and payments that are asked about in one answer."""
AGE_S_MAX: Final = 30 * 86_400
"""A payment is countersigned within this time. Auditors remember those without one a day longer."""
_LOOKED_AT_MAX: Final = 500
"""Payments looked at for one answer: those that the ledger never saw are among them for a week."""

_WAITING: Final = (
    select(payments.c.id)
    .where(
        payments.c.payee == bindparam("account"),
        payments.c.authorisation == AuthorisationClass.PIN,
        payments.c.kind == OrderKind.PAY,
        payments.c.service == Service.PURCHASE,
        payments.c.created_at > bindparam("since"),
        ~exists().where(countersignatures.c.payment == payments.c.id),
        ~exists().where(refusals.c.payment == payments.c.id),
    )
    .order_by(payments.c.created_at.desc(), payments.c.id.desc())
    .limit(_LOOKED_AT_MAX)
)
_DONE: Final = select(countersignatures.c.payment).where(countersignatures.c.payment.in_(bindparam("ids", expanding=True)))


class Countersignature(msgspec.Struct, frozen=True):
    """The exact bytes of `statements.countersign`, and a device's signature over them."""

    statement: bytes
    signature: bytes


def may_be_countersigned(payment: Payment) -> bool:
    """Whether it is of the kind that shops are asked about."""
    return (payment.kind, payment.authorisation, payment.service) == (OrderKind.PAY, AuthorisationClass.PIN, Service.PURCHASE)


class Countersigning:
    """Asks for countersignatures, checks them, and keeps each once, for whoever publishes the log (`parties.changes`)."""

    def __init__(self, *, store: Store, parties: Parties, payments: Payments, clock: Clock) -> None:
        self._store = store
        self._parties = parties
        self._payments = payments
        self._clock = clock

    async def waiting(self, account: int) -> list[Receipt]:
        """The receipts of `account` that none of its devices has countersigned, newest first, at most COUNT_MAX."""
        values = {"account": account, "since": self._clock.now_ns() - AGE_S_MAX * NANOSECONDS}

        def read(connection: Connection) -> list[Payment]:
            ids = connection.execute(_WAITING, values).scalars().all()
            found = records.find_many(connection, ids) if ids else {}
            return [found[each] for each in ids]

        kept = await self._store.read(read)
        carried_out = await self._payments.carried_out(kept) if kept else {}
        wanted = [payment.id for payment in kept if payment.id in carried_out][:COUNT_MAX]
        return [await self._payments.receipt(payment, account) for payment in wanted]

    async def keep(self, given: Sequence[Countersignature], *, device: int) -> None:
        """Keeps what `device` says of payments that its party received: all of it, or with a refusal nothing. A repeat changes nothing.

        Refusals, each of the first that is wrong: TooLarge, UnknownDevice, then of each Malformed, WrongSignature, NotYourAccount,
        PaymentNotFound (also where what was signed is not what happened), NotInThisState (not by PIN, or too long ago).
        """
        if len(given) > COUNT_MAX:
            raise TooLarge(f"at most {COUNT_MAX} at a time", countersignatures_max=COUNT_MAX)
        signer = await self._parties.directory.device(device)
        if signer is None or signer.state is not DeviceState.ACTIVE:
            raise UnknownDevice
        said: dict[int, tuple[Reached, Countersignature]] = {}
        for each in given:
            reached = read_countersign(each.statement, origin=self._payments.rules.origin)
            if not verify(signer.algorithm, signer.public_key, each.statement, each.signature):
                raise WrongSignature
            await self._check(reached, signer.party)
            said[reached.payment] = reached, each

        def write(connection: Connection) -> None:
            check_active(connection, device)  # it may have been revoked in the same moment
            done = set(connection.execute(_DONE, {"ids": list(said)}).scalars())
            for payment, (reached, signed) in said.items():
                if payment in done:
                    continue
                connection.execute(countersignatures.insert(), {"payment": payment, "device": device, "at": self._clock.now_ns()})
                record(
                    connection, self._clock, signer.party, "countersigned", by=device, device=str(device), account=str(reached.account),
                    payment=str(payment), statement=signed.statement.hex(), signature=signed.signature.hex(),
                )  # fmt: skip

        await self._store.write(write)

    async def is_countersigned(self, payment: int) -> bool:
        """Whether the payee's own device has said that it came in."""
        return bool(await self._store.read(lambda connection: connection.execute(_DONE, {"ids": [payment]}).first()))

    async def _check(self, said: Reached, party: int) -> None:
        """That it happened as `said`, to an account of `party`, and is to be countersigned."""
        holder = await self._parties.directory.holder(said.account)
        if holder is None or holder.party != party:
            raise NotYourAccount
        receipt = await self._payments.receipt(said.payment, said.account)
        payment, happened = receipt.payment, (receipt.payment.order_hash, receipt.payment.amount, receipt.completed_at)
        if payment.payee != said.account or happened != (said.order_hash, said.amount, said.completed_at):
            raise PaymentNotFound("no payment happened as it was signed")
        if not may_be_countersigned(payment) or payment.created_at < self._clock.now_ns() - (AGE_S_MAX + 3_600) * NANOSECONDS:
            raise NotInThisState("Only purchases by PIN of the last 30 days are countersigned.")
