"""The scheme: who runs it, its rules in force, what a payment would cost, whom an address means."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.errors import (
    AgentMustConfirm,
    CustomerMustAsk,
    PartyNotFound,
    PaymentNotFound,
    PaymentRefused,
    SamePayerAndPayee,
)
from counterfoil.moments import moment_text
from counterfoil.parties.service import Parties
from counterfoil.parties.tokens import Scope
from counterfoil.parties.types import PartyKind
from counterfoil.payments.fees import FeeLine, PaidBy, Service
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.service import Payments
from counterfoil.web.access import HOLDER, PUBLIC, Principal, holder_or
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.guesses import Guesses
from counterfoil.web.incoming import Answer
from counterfoil.web.signatures import content_digest
from counterfoil.web.values import (
    Amount,
    AmountOrZero,
    Base64Url,
    Moment,
    Text,
    UuidText,
    base64_text,
    parse_uuid,
    uuid_text,
)

_SIGNED_KINDS = {kind.name.lower(): kind for kind in OrderKind if kind <= OrderKind.REFUND}
QUOTABLE = ("pay", "hold", "capture", "refund")


class SchemeView(msgspec.Struct, frozen=True):
    """What a wallet has to know before anything else.

    Attributes:
        origin: the scheme's name, in every order.
        currency_numeric: ISO 4217 numeric code, as QR codes have it.
        digits: decimal places of the currency: 2 means that 1.00 is 100 minor units.
        region: country in which a number without country code is read.
        rules_hash: SHA-256 of the rules in force, to be named in every order.
        operator_key: Ed25519 key of the operator's acknowledgements.
        server_time: now.
        sandbox: true where nothing is real.
        tariff: what payments cost, line by line, for quotes without a network; part of the rules.
    """

    name: str
    origin: str
    currency: str
    currency_numeric: str
    digits: int
    region: str
    languages: tuple[str, ...]
    rules_hash: Base64Url
    operator_key: Base64Url
    server_time: Moment
    sandbox: bool
    tariff: tuple[FeeLine, ...]


class QuoteQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody thinks of paying. `reference`: the hold or payment that a capture or refund is about, or a request."""

    payee: UuidText
    amount: Amount
    kind: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(QUOTABLE)})$")] = "pay"
    reference: UuidText | None = None


class QuoteView(msgspec.Struct, frozen=True):
    """What it would cost. `total` leaves the payer's account, `received` reaches the payee's."""

    payee: UuidText
    payee_name: str
    service: Service
    amount: Amount
    fee: AmountOrZero
    fee_paid_by: PaidBy
    total: AmountOrZero
    received: AmountOrZero
    rules_hash: Base64Url


class AddressBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A phone number, @handle or merchant code, as somebody typed it."""

    address: Text


class PayeeView(msgspec.Struct, frozen=True):
    """Whom an address means: the name to show before consent, and the account to name in the order. Never a number."""

    account: UuidText
    name: str
    kind: PartyKind
    handle: str | None
    merchant_code: str | None


class SchemeEndpoints:
    """The scheme's own chapter."""

    def __init__(self, *, config: Config, clock: Clock, payments: Payments, parties: Parties, guesses: Guesses) -> None:
        self.config = config
        self.clock = clock
        self.payments = payments
        self.parties = parties
        self.guesses = guesses

    def endpoints(self) -> list[Endpoint]:
        tag = "scheme"
        refusals = (PartyNotFound, PaymentNotFound, PaymentRefused, SamePayerAndPayee, CustomerMustAsk, AgentMustConfirm)
        return [
            Endpoint("GET", "/v1/scheme", self.scheme, access=PUBLIC, tag=tag),
            Endpoint("GET", "/v1/rules", self.rules, access=PUBLIC, tag=tag),
            Endpoint("GET", "/v1/quote", self.quote, access=holder_or(Scope.PAYMENTS_READ), errors=refusals, tag=tag),
            Endpoint("POST", "/v1/resolve", self.resolve, access=HOLDER, errors=(PartyNotFound,), tag=tag),
        ]

    async def scheme(self) -> SchemeView:
        """The scheme's name, currency, keys and rules in force."""
        rules = self.payments.rules
        return SchemeView(
            name=self.config.scheme_name,
            origin=rules.origin,
            currency=rules.currency.code,
            currency_numeric=f"{rules.currency.ledger:03}",
            digits=rules.currency.digits,
            region=self.config.region,
            languages=self.config.languages,
            rules_hash=base64_text(rules.hash),
            operator_key=base64_text(self.payments.acknowledger.public_key),
            server_time=moment_text(self.clock.now_ns()),
            sandbox=self.config.sandbox,
            tariff=rules.tariff.lines,
        )

    async def rules(self) -> Answer:
        """The scheme rules in force, as the exact document whose SHA-256 every order names.

        Hash the bytes as they come; Content-Digest has the same value in base64.
        """
        document = self.payments.rules.document
        digest = content_digest(document).encode()
        return Answer(document, headers=((b"content-digest", digest), (b"cache-control", b"no-cache")))

    async def quote(self, caller: Principal, query: QuoteQuery) -> QuoteView:
        """What a payment would cost, and the payee's name: to be shown before consent."""
        kind = _SIGNED_KINDS[query.kind]
        payee = parse_uuid(query.payee, "payee")
        reference = parse_uuid(query.reference, "reference") if query.reference else 0
        payer = caller.account
        if kind is OrderKind.CAPTURE:  # asked for by the payee
            held = await self.payments.receipt(reference, caller.account)
            payer, payee = held.payment.payer, held.payment.payee
        quote = await self.payments.quote(payer=payer, payee=payee, amount=query.amount, kind=kind, reference=reference)
        return QuoteView(
            payee=uuid_text(quote.payee),
            payee_name=quote.payee_name,
            service=quote.service,
            amount=quote.amount,
            fee=quote.fee,
            fee_paid_by=quote.fee_paid_by,
            total=quote.total,
            received=quote.received,
            rules_hash=base64_text(quote.rules_hash),
        )

    async def resolve(self, caller: Principal, body: AddressBody) -> PayeeView:
        """Whom an address means. Limited for each party, so that nobody can copy the directory."""
        self.guesses.look_ups.spend(caller.party)
        holder = await self.parties.resolve(body.address)
        return PayeeView(uuid_text(holder.account), holder.name, holder.kind, holder.handle, holder.merchant_code)
