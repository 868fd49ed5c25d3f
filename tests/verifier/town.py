"""A small town's log with entries of every type, made by the naive maker."""

from __future__ import annotations

import struct
from typing import Any

from tests.verifier.maker import (
    AGENT,
    BOOK,
    CAPTURE,
    CASH,
    CUSTOMER,
    FEES,
    INSTITUTION,
    ISSUANCE,
    ISSUE,
    MERCHANT,
    ORIGIN,
    PAY,
    REFUND,
    RELEASE,
    REVERSAL,
    WITHDRAWAL,
    Account,
    Leg,
    Maker,
    h,
    sized,
)  # fmt: skip


class Town(Maker):
    """Accounts that everybody knows, with money."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.issuance = self.open(ISSUANCE)
        self.fees = self.open(FEES)
        self.bank = self.open(INSTITUTION, "shop")
        self.amina = self.open(CUSTOMER, "basic")
        self.bayo = self.open(CUSTOMER, "basic")
        self.shop = self.open(MERCHANT, "shop")
        self.agent = self.open(AGENT, "shop")
        for account in (self.bank, self.amina, self.bayo, self.shop, self.agent):
            self.bind(account)
        self.payment(ISSUE, [Leg(self.issuance, self.bank, 1_000_000)], service=7, way=4)
        self.bank_pays(self.amina, 40_000)
        self.payment(PAY, [Leg(self.bank, self.agent, 90_000)], service=7)

    def pay(self, amount: int = 1_000, *, payer: Account | None = None, payee: Account | None = None, fee: int = 0, **values: Any) -> bytes:
        """From customer to customer."""
        payer, payee = payer or self.amina, payee or self.bayo
        legs = [Leg(payer, payee, amount)] + ([Leg(payer, self.fees, fee)] if fee else [])
        return self.payment(PAY, legs, service=values.pop("service", 1), **values)

    def bank_pays(self, payee: Account, amount: int) -> bytes:
        return self.payment(PAY, [Leg(self.bank, payee, amount), Leg(self.bank, self.fees, 5)], service=5)

    def pay_by_pin(self, **values: Any) -> bytes:
        """By somebody with a simple phone, who has no key, and was given the money just before."""
        kofi = self.open(CUSTOMER, "basic")
        self.payment(
            PAY, [Leg(self.agent, kofi, 250)], service=3, reference=self.new_id(), rules=values.pop("given_under", self.rules_hash)
        )
        return self.pay(250, payer=kofi, payee=self.amina, way=2, **values)

    def kofi(self, amount: int = 1_000) -> Account:
        """Somebody with a simple phone, who has no key, and has brought cash."""
        kofi = self.open(CUSTOMER, "basic")
        self.payment(PAY, [Leg(self.agent, kofi, amount)], service=3, reference=self.new_id())
        return kofi

    def buys(self, kofi: Account, amount: int = 100, *, shop: Account | None = None, **values: Any) -> bytes:
        """A purchase by PIN."""
        return self.payment(PAY, [Leg(kofi, shop or self.shop, amount)], service=2, way=2, **values)

    def batch(self, *, total: int = 600, count: int = 2) -> tuple[bytes, bytes]:
        """(id, form)"""
        name = self.new_id()
        begins = b"counterfoil/batch/v1" + sized(ORIGIN.encode()) + sized(b"USD")
        fixed = self.bank.id + name + struct.pack(">IQQQ", count, total, 100, self.now // 10**6 + 10**7) + h(b"file")
        return name, begins + fixed + b"wages"

    def standing(self, amount: int = 300) -> tuple[bytes, bytes]:
        name = self.new_id()
        begins = b"counterfoil/standing-order/v1" + sized(ORIGIN.encode()) + sized(b"USD")
        fixed = self.amina.id + self.bayo.id + struct.pack(">QQ", amount, 0) + name + struct.pack(">QBI", self.now // 10**6, 1, 0)
        return name, begins + fixed

    def under(self, document: bytes, name: bytes, number: int, leg: Leg, *, fee: int, service: int, **values: Any) -> bytes:
        """A line of a batch, an occurrence of a standing order."""
        payment = name[:6] + h(b"counterfoil/leg/v1", name, struct.pack(">I", number))[:10]
        legs = [leg] + ([Leg(leg.debit, self.fees, fee)] if fee else [])
        terms: dict[str, Any] = {"max_fee": 0, "rules": bytes(32), "expiry": 2**62 // 10**6} | values
        return self.payment(PAY, legs, service=service, way=5, payment=payment, document=document, **terms)

    def capture(
        self, hold: bytes, payer: Account, payee: Account, amount: int, *, held: int, fee: int, service: int, **values: Any
    ) -> bytes:
        legs = [Leg(payer, payee, amount, flags=4, pending=hold, of_pending=held)]
        if hold in self.fees_held:
            pending, reserved = self.fees_held[hold]
            legs.append(Leg(payer, self.fees, fee, flags=4, pending=pending, of_pending=reserved))
        elif fee:
            legs.append(Leg(payee, self.fees, fee))
        return self.payment(CAPTURE, legs, service=service, **values)

    def release(self, hold: bytes, payer: Account, payee: Account, held: int, **values: Any) -> bytes:
        legs = [Leg(payer, payee, held, flags=8, pending=hold, of_pending=held)]
        return self.payment(RELEASE, legs, service=2, **values)

    def expire(self, hold: bytes, payer: Account, payee: Account, held: int, *, wait: float = 3_600) -> None:
        self.tick(wait)
        self.payment(
            0,
            [Leg(payer, payee, held, id=hold, flags=2, of_pending=held, timeout=3_600)],
            service=0,
            event=4,
            way=0,
            payment=hold,
            order=b"",
        )

    def live(self) -> Town:
        """A few days with everything that an honest operator logs."""
        self.pay(1_000)
        self.pay(20_000, fee=20)
        self.payment(PAY, [Leg(self.amina, self.shop, 2_000), Leg(self.shop, self.fees, 10)], service=2)
        hold = self.hold(self.amina, self.shop, 5_000, service=2)
        self.capture(hold, self.amina, self.shop, 3_000, held=5_000, fee=15, service=2)
        hold = self.hold(self.amina, self.agent, 2_000, 20, self.fees, service=4)
        self.capture(hold, self.amina, self.agent, 1_500, held=2_000, fee=15, service=4)
        hold = self.hold(self.amina, self.shop, 700, service=2)
        self.release(hold, self.amina, self.shop, 700)
        hold = self.hold(self.amina, self.shop, 800, service=2)
        self.expire(hold, self.amina, self.shop, 800)
        bought = self.payment(PAY, [Leg(self.amina, self.shop, 400), Leg(self.shop, self.fees, 2)], service=2)
        self.payment(REFUND, [Leg(self.shop, self.amina, 100)], service=6, reference=bought)
        self.payment(REVERSAL, [Leg(self.fees, self.shop, 2), Leg(self.shop, self.amina, 300)], service=6, way=4, principal=1)
        self.payment(PAY, [Leg(self.agent, self.bayo, 500)], service=3, reference=self.new_id())
        name, form = self.batch()
        self.under(form, name, 2, Leg(self.bank, self.bayo, 200), fee=5, service=5, max_fee=100)
        self.under(form, name, 1, Leg(self.bank, self.amina, 400), fee=5, service=5, max_fee=100)
        name, form = self.standing()
        self.under(form, name, 1, Leg(self.amina, self.bayo, 300), fee=0, service=1)
        self.bind(self.amina, reason=2, by=0)
        self.revoke(self.amina, 0)
        self.tick(86_400)
        self.under(form, name, 2, Leg(self.amina, self.bayo, 300), fee=0, service=1, signature=b"", device=1, change=lambda audit: audit)
        self.pay(100, device=1)
        self.pay_by_pin()
        self.payment(PAY, [Leg(self.shop, self.bayo, 90), Leg(self.shop, self.fees, 5)], service=5, way=6, rules=bytes(32))
        self.freeze(self.bayo)
        self.freeze(self.bayo, 2)
        self.account_event(self.bayo, 3, "shop")
        self.pay(70_000 - 60_000, payer=self.bayo, payee=self.amina, fee=0)
        self.bind(self.bayo, reason=3)
        book, cash = self.open(BOOK), self.open(CASH)
        self.payment(0, [Leg(cash, book, 77)], service=0, way=0, order=b"")
        self.account_event(self.open(CUSTOMER, "basic"), 2)
        self.payment(WITHDRAWAL, [Leg(self.bank, self.issuance, 1_234)], service=7, way=4)
        return self
