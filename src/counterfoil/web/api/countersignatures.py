"""What a shop's own device says of payments by PIN that reached it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.errors import NotInThisState, NotYourAccount, PaymentNotFound, TooLarge, UnknownDevice, WrongSignature
from counterfoil.payments.countersigning import COUNT_MAX, Countersignature, Countersigning
from counterfoil.web.access import HOLDER, Principal
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import Base64Url, Signature, parse_base64, parse_signature
from counterfoil.web.views import ReceiptView, receipt_view


class CountersignatureBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One payment that came in: `counterfoil/countersign/v1`, signed by the device that asks.

    Attributes:
        statement: the exact bytes that were signed.
    """

    statement: Base64Url
    signature: Signature


class CountersignaturesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most 50 at a time; all of them are kept, or none."""

    countersignatures: Annotated[list[CountersignatureBody], msgspec.Meta(min_length=1, max_length=COUNT_MAX)]


class WaitingView(msgspec.Struct, frozen=True):
    """Receipts of payments by PIN that no device of the caller has countersigned, newest first, at most 50."""

    receipts: list[ReceiptView]


class CountersignatureEndpoints:
    """What shops countersign."""

    def __init__(self, *, countersigning: Countersigning) -> None:
        self.countersigning = countersigning

    def endpoints(self) -> list[Endpoint]:
        wrong = (UnknownDevice, WrongSignature, NotYourAccount, PaymentNotFound, NotInThisState, TooLarge)
        return [
            Endpoint("GET", "/v1/countersignatures", self.waiting, access=HOLDER, tag="payments"),
            Endpoint("POST", "/v1/countersignatures", self.keep, access=HOLDER, status=204, errors=wrong, tag="payments"),
        ]

    async def waiting(self, caller: Principal) -> WaitingView:
        """Purchases by PIN of the last 30 days that a device of the caller's should countersign. Empty for whoever is no shop."""
        return WaitingView([receipt_view(receipt) for receipt in await self.countersigning.waiting(caller.account)])

    async def keep(self, caller: Principal, body: CountersignaturesBody) -> None:
        """Say that payments by PIN reached the caller's account; it goes into the log. A repeat changes nothing."""
        given = [
            Countersignature(parse_base64(each.statement, "statement"), parse_signature(each.signature, "signature"))
            for each in body.countersignatures
        ]
        await self.countersigning.keep(given, device=caller.device)
