"""A real scheme for tests: a folder with a real store and ledger, real people with real keys, and a clock that can be moved."""

from __future__ import annotations

import functools
import itertools
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from nacl.signing import SigningKey

from counterfoil.app import running
from counterfoil.clock import NANOSECONDS, SystemClock
from counterfoil.config import Config
from counterfoil.ids import id_text, new_id
from counterfoil.parties import statements
from counterfoil.parties.service import NewKey, NewParty
from counterfoil.parties.types import KeyAlgorithm, PartyKind, StaffRole
from counterfoil.payments import forms
from counterfoil.payments.countersigning import Countersignature
from counterfoil.payments.orders import Order, OrderKind, encode
from counterfoil.payments.types import Receipt, SignedOrder
from counterfoil.store.migrations import migrate
from counterfoil.web.services import Services

DAY_S = 24 * 3600


class MovedClock(SystemClock):
    """The machine's clock, moved by `offset_s` seconds; tests move it forwards and back."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + int(self.offset_s * NANOSECONDS)


class Person:
    """Somebody with an account and a device of their own."""

    def __init__(self, scheme: Scheme, *, party: int, account: int, device: int, key: SigningKey, address: str) -> None:
        self.scheme = scheme
        self.party = party
        self.account = account
        self.device = device
        self.key = key
        self.address = address

    def order(self, payee: Person | int, amount: int, **changes: Any) -> Order:
        """An order from this person, with sensible values for all that is not given."""
        services = self.scheme.services
        values: dict[str, Any] = {
            "origin": services.config.origin,
            "asset": services.config.currency_code,
            "payer": self.account,
            "payee": payee.account if isinstance(payee, Person) else payee,
            "amount": amount,
            "max_fee": amount,
            "id": new_id(services.clock),
            "expiry_ms": services.clock.now_ns() // 1_000_000 + 600_000,
            "rules_hash": services.payments.rules.hash,
        }
        return Order(**(values | changes))

    def sign(self, order: Order | bytes) -> SignedOrder:
        data = order if isinstance(order, bytes) else encode(order)
        return SignedOrder(data, self.device, self.key.sign(data).signature)

    async def pay(self, payee: Person | int, amount: int, **changes: Any) -> Receipt:
        return await self.scheme.services.payments.pay(self.sign(self.order(payee, amount, **changes)))

    async def hold(self, payee: Person, amount: int, *, timeout_s: int = 3600, **changes: Any) -> Receipt:
        return await self.pay(payee, amount, kind=OrderKind.HOLD, timeout_s=timeout_s, **changes)

    async def answer(self, kind: OrderKind, to: Receipt, amount: int, **changes: Any) -> Receipt:
        """Captures or releases a hold, or refunds a payment, that this person received."""
        payer, payee = to.payment.payer, to.payment.payee
        if kind is OrderKind.REFUND:
            payer, payee = payee, payer
        return await self.pay(payee, amount, kind=kind, payer=payer, reference=to.payment.id, **changes)

    async def ask(self, payer: Person | None, amount: int, *, cash_in: bool = False, **changes: Any) -> int:
        """Requests a payment; returns the request's id."""
        services = self.scheme.services
        values: dict[str, Any] = {
            "origin": services.config.origin,
            "asset": services.config.currency_code,
            "payee": self.account,
            "payer": payer.account if payer else 0,
            "amount": amount,
            "id": new_id(services.clock),
            "expiry_ms": services.clock.now_ns() // 1_000_000 + 3_600_000,
            "purpose": int(cash_in),
            "memo": "",
        }
        form = forms.RequestToPay(**(values | changes))
        return (await services.requests.create(self.sign(forms.encode(form)))).id

    async def pay_by_pin(self, payee: Person, amount: int, pin: str = "2580", **changes: Any) -> Receipt:
        return await self.scheme.services.payments.pay_by_pin(self.order(payee, amount, **changes), pin)

    async def allow_pin(self, per_day: int, *, made_at_ms: int = 0) -> None:
        """Says on this person's device how much a day PINs may take."""
        services = self.scheme.services
        statement = statements.allow_pin(
            origin=services.config.origin, account=self.account, per_day=per_day,
            made_at_ms=made_at_ms or services.clock.now_ns() // 1_000_000,
        )  # fmt: skip
        await services.parties.pin_payments.allow(statement, device=self.device, signature=self.key.sign(statement).signature)

    def countersignature(self, paid: Receipt, **changes: Any) -> Countersignature:
        """This person's device says that a payment reached this person, as it happened, but for `changes`."""
        said = statements.Reached(self.account, paid.payment.id, paid.payment.order_hash, paid.payment.amount, paid.completed_at)
        statement = statements.countersign(msgspec.structs.replace(said, **changes), origin=self.scheme.services.config.origin)
        return Countersignature(statement, self.key.sign(statement).signature)

    async def countersign(self, *paid: Receipt) -> None:
        signed = [self.countersignature(each) for each in paid]
        await self.scheme.services.countersigning.keep(signed, device=self.device)

    def balance(self) -> int:
        """What this person has, minor units, held money included."""
        account = self.scheme.services.ledger.account_now(self.account)
        assert account is not None, self.account
        return account.credits_posted - account.debits_posted

    def available(self) -> int:
        account = self.scheme.services.ledger.account_now(self.account)
        assert account is not None, self.account
        return self.balance() - account.debits_pending


class Scheme:
    """A running scheme and the people in it."""

    def __init__(self, services: Services, clock: MovedClock) -> None:
        self.services = services
        self.clock = clock
        self._numbers = itertools.count(254_712_000_001)
        self.administrator = 0
        self.treasurers = (0, 0)
        self.supervisors = (0, 0)
        self.clerk = 0

    async def open_staff(self) -> None:
        """One administrator, two treasurers, two supervisors, a clerk."""
        enrolment = self.services.parties.enrolment

        def member(role: StaffRole, number: int) -> NewParty:
            handle = f"{role.value}_{number}"
            return NewParty(id=new_id(self.clock), kind=PartyKind.STAFF, name=handle, language="en", handle=handle, roles=frozenset({role}))

        self.administrator = (await enrolment.open_first_staff(member(StaffRole.ADMINISTRATOR, 1))).id
        opened = [
            (await enrolment.open_by_staff(member(role, number), by=self.administrator)).id
            for role, number in [
                (StaffRole.TREASURER, 1), (StaffRole.TREASURER, 2), (StaffRole.SUPERVISOR, 1), (StaffRole.SUPERVISOR, 2),
                (StaffRole.CLERK, 1),
            ]
        ]  # fmt: skip
        self.treasurers, self.supervisors, self.clerk = (opened[0], opened[1]), (opened[2], opened[3]), opened[4]

    async def open(self, kind: PartyKind, name: str, *, tier: str | None = None, funds: int = 0, pin: str | None = None) -> Person:
        """Somebody new, opened by a clerk, with a device, and with money if `funds` says so."""
        number, key, device = f"+{next(self._numbers)}", SigningKey.generate(), new_id(self.clock)
        public_key = bytes(key.verify_key)
        statement = statements.enrol(
            origin=self.services.config.origin, number=number, device=device, algorithm=KeyAlgorithm.ED25519, public_key=public_key
        )
        new_key = NewKey(device=device, algorithm=KeyAlgorithm.ED25519, public_key=public_key, possession=key.sign(statement).signature)
        new = NewParty(id=new_id(self.clock), kind=kind, name=name, language="en", number=number, tier=tier, key=new_key, pin=pin)
        party = await self.services.parties.enrolment.open_by_staff(new, by=self.clerk)
        holder = await self.services.parties.holder_of_party(party.id)
        person = Person(self, party=party.id, account=holder.account, device=device, key=key, address=number)
        if funds:
            await self.fund(person, funds)
        return person

    async def simple_phone(self, name: str = "Kofi", *, funds: int = 0, pin: str = "2580") -> Person:
        """A customer without a device: they pay by PIN."""
        new = NewParty(
            id=new_id(self.clock), kind=PartyKind.CUSTOMER, name=name, language="en", number=f"+{next(self._numbers)}",
            tier="identity_verified", pin=pin,
        )  # fmt: skip
        party = await self.services.parties.enrolment.open_by_staff(new, by=self.clerk)
        holder = await self.services.parties.holder_of_party(party.id)
        person = Person(
            self, party=party.id, account=holder.account, device=0, key=SigningKey.generate(), address=new.number or ""
        )  # fmt: skip
        if funds:
            await self.fund(person, funds)
        return person

    async def customer(self, name: str = "Ha-eun", *, tier: str = "identity_verified", funds: int = 0) -> Person:
        return await self.open(PartyKind.CUSTOMER, name, tier=tier, funds=funds)

    async def merchant(self, name: str = "Corner shop", *, funds: int = 0) -> Person:
        return await self.open(PartyKind.MERCHANT, name, funds=funds)

    async def agent(self, name: str = "Agent", *, funds: int = 0) -> Person:
        return await self.open(PartyKind.AGENT, name, funds=funds)

    async def institution(self, name: str = "Bank", *, funds: int = 0) -> Person:
        return await self.open(PartyKind.INSTITUTION, name, funds=funds)

    async def fund(self, person: Person, amount: int) -> None:
        """New money: issued by two treasurers to an institution or agent, and passed on from a bank to everybody else."""
        kind = (await self.services.parties.holder(person.account)).kind
        if kind in (PartyKind.INSTITUTION, PartyKind.AGENT):
            await self.circulate("issue", person, amount)
        else:
            bank = await self.institution("Bank", funds=amount + 1_000)
            await bank.pay(person, amount)

    async def circulate(self, kind: str, person: Person, amount: int) -> None:
        await self.propose(kind, {"account": id_text(person.account), "amount": amount}, self.treasurers)

    async def propose(self, kind: str, payload: dict[str, Any], two: tuple[int, int]) -> Any:
        """Proposes by the first and approves by the second; returns what became of it."""
        approvals = self.services.approvals
        proposal = await approvals.propose(new_id(self.clock), kind, json.dumps(payload).encode(), reason="in the test", by=two[0])
        return await approvals.approve(proposal.id, by=two[1])


@asynccontextmanager
async def opened(folder: Path, clock: MovedClock | None = None, *, publishing: bool = False, **settings: Any) -> AsyncIterator[Scheme]:
    """A scheme in `folder`, with staff if it is new. With `publishing`, the log follows, in a process of its own."""
    clock = clock or MovedClock()
    folder.mkdir(parents=True, exist_ok=True)
    defaults: dict[str, Any] = {"data": str(folder), "sandbox": True, "port": 0, "check_interval_s": 0}
    config = msgspec.convert(defaults | settings, Config)
    if not config.store and not (folder / "store.sqlite").exists():
        (folder / "store.sqlite").touch(0o600)
        (folder / "store.sqlite").write_bytes(_empty_store())
    async with running(config, clock, publishing=publishing) as services:
        scheme = Scheme(services, clock)
        if not (folder / "staffed").exists():
            await scheme.open_staff()
            (folder / "staffed").touch()
        yield scheme


@functools.cache
def _empty_store() -> bytes:
    """A store with this program's tables and nothing in them. Made once a process: all migrations are a quarter of a second of computing."""
    with tempfile.TemporaryDirectory() as folder:
        migrate(f"sqlite:///{folder}/store.sqlite")
        return Path(folder, "store.sqlite").read_bytes()
