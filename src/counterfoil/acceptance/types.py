"""Tills, clerks, goods, sales and days, as values."""

from __future__ import annotations

import enum

import msgspec

from counterfoil.payments.types import Payment


class Right(enum.StrEnum):
    """What a clerk may do."""

    SELL = "sell"
    """Make sales, take back what is not paid, send slips."""
    REFUND = "refund"
    CAPTURE = "capture"
    """Take held money, or give it back."""
    GOODS = "goods"
    """Change goods and prices."""
    CLOSE_DAY = "close_day"
    SEE_TAKINGS = "see_takings"
    """See a day's sums."""


class SaleState(enum.StrEnum):
    OPEN = "open"
    PAID = "paid"
    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUNDED_PART = "refunded_part"
    REFUNDED = "refunded"


class Till(msgspec.Struct, frozen=True, kw_only=True):
    """A device that takes money for an account. Moments in ns.

    Attributes:
        label: what the device calls itself; "" before it was paired.
        token: the token that it has; None before it was paired.
        code_expires_at: of the pairing code that stands; None when there is none.
    """

    id: int
    account: int
    party: int
    name: str
    label: str
    token: int | None
    code_expires_at: int | None
    created_at: int
    paired_at: int | None
    ended_at: int | None


class Clerk(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who works at the tills of an account. `ended_at`: ns; None while they do."""

    id: int
    account: int
    name: str
    rights: frozenset[Right]
    ended_at: int | None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A clerk at a till. `expires_at` in ns: earlier when nothing is done meanwhile."""

    clerk: Clerk
    expires_at: int


class Goods(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a shop sells.

    Attributes:
        price: minor units a `unit`, tax included.
        shown: on the till's grid, by `position`.
        barcode: a GTIN or the shop's own code; "" for none.
        department: where it stands in the shop; "" for none.
        tax: rate in hundredths of a percent: 1600 is 16 %.
    """

    id: int
    name: str
    price: int
    unit: str
    shown: bool
    position: int
    barcode: str = ""
    department: str = ""
    tax: int = 0


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a sale.

    Attributes:
        name: "" for an amount without goods.
        price: minor units each, tax included.
        goods: their id as UUID text.
        department, tax: None is not said: what the goods have when the sale is kept; nothing in sales of earlier versions.
    """

    name: str
    price: int
    quantity: int
    goods: str | None = None
    department: str | None = None
    tax: int | None = None


class Back(msgspec.Struct, frozen=True, array_like=True):
    """How many of a line went back. `line`: its place in the sale, from 0."""

    line: int
    quantity: int


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale as it was made. Amount in minor units, moments in ns."""

    id: int
    account: int
    till: int
    clerk: int | None
    day: str
    number: int
    lines: list[Line]
    amount: int
    hold: bool
    slip_key: bytes
    made_at: int
    created_at: int
    expires_at: int


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A capture, release or refund that was carried out. `clerk` None when it was not done at a till; `lines` of a refund that named some."""

    payment: int
    kind: str
    amount: int
    clerk: int | None
    at: int
    lines: tuple[Back, ...] = ()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger and the requests say of a sale now.

    Attributes:
        payment: the payment or hold that answered it; None before.
        original: what a refund refers to: the payment, or the capture of the hold.
        captured: of a hold, minor units.
        refunded: minor units, reversals by the scheme included.
        paid_at: ledger time, ns.
    """

    state: SaleState
    payment: Payment | None = None
    original: Payment | None = None
    captured: int = 0
    refunded: int = 0
    paid_at: int | None = None
    actions: tuple[Action, ...] = ()
