"""The scheme rules in force, as one published document that every order names by its hash. Pure.

The document is canonical JSON: keys sorted, no white space, UTF-8. Whoever signs an order has seen a document with this
hash; when the rules change, orders signed under the old ones are refused (`RulesChanged`) and must be signed anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from counterfoil.money import Currency
from counterfoil.payments.fees import Band, FeeLine, PaidBy, Service, Tariff

DEFAULT_TARIFF = Tariff(
    lines=(
        FeeLine(Service.TRANSFER, PaidBy.PAYER, bands=(Band(up_to=10_000), Band(up_to=100_000, flat=20)), flat=50),
        FeeLine(Service.PURCHASE, PaidBy.PAYEE, rate_basis_points=50),
        FeeLine(Service.CASH_OUT, PaidBy.PAYER, rate_basis_points=100, minimum=10),
        FeeLine(Service.DISBURSEMENT, PaidBy.PAYER, flat=5),
    )
)
"""Small transfers, cash-in and refunds are free; a merchant pays half a percent of a sale; cash-out costs one percent."""


class SchemeRules(msgspec.Struct, frozen=True):
    """What is in force.

    Attributes:
        origin: the scheme's name in orders and in the log.
        document: the published bytes. hash: SHA-256 of them.
    """

    origin: str
    currency: Currency
    tariff: Tariff
    document: bytes
    hash: bytes


def publish(*, origin: str, currency: Currency, tariff: Tariff, limits: Mapping[str, Any], time_zone: str) -> SchemeRules:
    """The rules as a document. `limits` are the tiers' limits as plain values (amounts in minor units) in days of `time_zone`."""
    content = {"origin": origin, "currency": currency, "tariff": tariff, "limits": limits, "time_zone": time_zone}
    document = msgspec.json.encode(content, order="sorted")
    return SchemeRules(origin=origin, currency=currency, tariff=tariff, document=document, hash=hashlib.sha256(document).digest())
