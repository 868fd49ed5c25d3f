"""Orders and forms as a holder's device makes them: the same bytes for the wallet on the command line and the demo's people."""

from __future__ import annotations

import msgspec
from nacl.signing import SigningKey

from counterfoil.payments import forms, orders
from counterfoil.payments.forms import Batch, RequestToPay, StandingOrder
from counterfoil.payments.orders import EMPTY_LOG_ROOT, Order, OrderKind
from counterfoil.payments.types import SignedOrder

ORDER_LIFETIME_MS = 24 * 3600 * 1000
"""How long after signing an order may still be carried out: long enough for a day without network."""


class Terms(msgspec.Struct, frozen=True):
    """What every statement names: the scheme, its currency, and the rules that the holder has seen (SHA-256)."""

    origin: str
    asset: str
    rules_hash: bytes


class Signer:
    """Signs for one account with one device."""

    def __init__(self, *, terms: Terms, account: int, device: int, key: SigningKey) -> None:
        self.terms = terms
        self.account = account
        self.device = device
        self._key = key

    def order(
        self,
        kind: OrderKind,
        other: int,
        amount: int,
        *,
        id: int,
        now_ns: int,
        max_fee: int,
        reference: int = 0,
        timeout_s: int = 0,
        memo: str = "",
        payer_last: int = 0,
        seen: tuple[int, bytes] = (0, EMPTY_LOG_ROOT),
    ) -> SignedOrder:
        """An order between this account and `other`. For CAPTURE and RELEASE this account is the payee, otherwise the payer.

        `seen`: size and root of the newest head of the log that the holder has checked.
        """
        taking = kind in (OrderKind.CAPTURE, OrderKind.RELEASE)
        order = Order(
            origin=self.terms.origin,
            asset=self.terms.asset,
            payer=other if taking else self.account,
            payee=self.account if taking else other,
            amount=amount,
            max_fee=max_fee,
            id=id,
            expiry_ms=now_ns // 1_000_000 + ORDER_LIFETIME_MS,
            rules_hash=self.terms.rules_hash,
            kind=kind,
            reference=reference,
            timeout_s=timeout_s,
            memo=memo,
            payer_last=payer_last,
            checkpoint_size=seen[0],
            checkpoint_root=seen[1],
        )
        return self.sign(orders.encode(order))

    def form(self, form: RequestToPay | Batch | StandingOrder) -> SignedOrder:
        return self.sign(forms.encode(form))

    def sign(self, message: bytes) -> SignedOrder:
        return SignedOrder(message, self.device, self._key.sign(message).signature)
