"""Tills, clerks, goods, sales and days as they look in JSON. Amounts in minor units."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.acceptance.breakdown import taxes_of
from counterfoil.acceptance.clerks import CLERKS_MAX
from counterfoil.acceptance.codes import Codes
from counterfoil.acceptance.lines import LINES_MAX, QUANTITY_MAX
from counterfoil.acceptance.standing import returned_of
from counterfoil.acceptance.tills import TILLS_MAX
from counterfoil.acceptance.types import Clerk, Right, Sale, SaleState, Standing, Till
from counterfoil.moments import moment_text
from counterfoil.parties.types import Holder
from counterfoil.web.goods_views import Department, Rate
from counterfoil.web.values import Amount, AmountOrZero, Cursor, Moment, Text, UuidText, base64_text, uuid_text

Rights = Annotated[list[Right], msgspec.Meta(max_length=len(Right), extra_json_schema={"uniqueItems": True})]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)]


class TillView(msgspec.Struct, frozen=True):
    """A till. `label` is what the paired device calls itself; `code_expires_at` null when no pairing code stands."""

    id: UuidText
    name: str
    label: str
    paired_at: Moment | None
    code_expires_at: Moment | None
    created_at: Moment


class TillsView(msgspec.Struct, frozen=True):
    """Tills that have not ended, oldest first."""

    tills: Annotated[list[TillView], msgspec.Meta(description=f"at most {TILLS_MAX}")]


class PairingView(msgspec.Struct, frozen=True):
    """A till with the code that pairs it, once, before `expires_at`. `link` opens the till's app with it."""

    id: UuidText
    name: str
    pairing_code: str
    link: str
    expires_at: Moment


class PairedView(msgspec.Struct, frozen=True):
    """What the device keeps: the token, told this once; and whose till it is now."""

    token: str
    till: UuidText
    name: str
    account: UuidText
    merchant_name: str


class ClerkView(msgspec.Struct, frozen=True):
    """Somebody who works at the tills. `locked_until`: too many wrong PINs; null when the PIN can be tried."""

    id: UuidText
    name: str
    rights: list[Right]
    locked_until: Moment | None


class TillClerkView(msgspec.Struct, frozen=True):
    """Somebody who may sign in at the till."""

    id: UuidText
    name: str
    rights: list[Right]


class ClerksView(msgspec.Struct, frozen=True):
    """Clerks who have not ended, by name."""

    clerks: Annotated[list[ClerkView], msgspec.Meta(description=f"at most {CLERKS_MAX}")]


class TillName(msgspec.Struct, frozen=True):
    """The till that asks."""

    id: UuidText
    name: str


class MerchantView(msgspec.Struct, frozen=True):
    """Whose till it is. `static_code`: the text of the signed code without amount, for a poster and for sales without a network."""

    name: str
    code: str | None
    address: str
    account: UuidText
    static_code: str


class CurrencyView(msgspec.Struct, frozen=True):
    """The scheme's currency; `numeric` as ISO 4217 has it in codes."""

    code: str
    digits: int
    numeric: str


class TillSchemeView(msgspec.Struct, frozen=True):
    """The scheme that the till belongs to."""

    name: str
    origin: str
    sandbox: bool


class ShopView(msgspec.Struct, frozen=True):
    """What a till has to know. `day` where the scheme is; `now` by the server's clock."""

    till: TillName
    merchant: MerchantView
    currency: CurrencyView
    clerks: list[TillClerkView]
    day: str
    now: Moment
    scheme: TillSchemeView


class SessionView(msgspec.Struct, frozen=True):
    """A clerk is signed in: `session` goes into the header Counterfoil-Clerk. It also ends after half an hour without use."""

    session: str
    clerk: UuidText
    rights: list[Right]
    expires_at: Moment


class SaleLineView(msgspec.Struct, frozen=True):
    """A line of a sale: `price` each; `name` empty for an amount without goods; `returned`: how many went back by line."""

    name: str
    price: AmountOrZero
    quantity: Quantity
    goods: UuidText | None
    department: Department
    tax: Rate
    returned: Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]


class BackView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of a line go back. `line`: its place in the sale, from 0."""

    line: Annotated[int, msgspec.Meta(ge=0, le=LINES_MAX - 1)]
    quantity: Quantity


class TaxView(msgspec.Struct, frozen=True):
    """What is left of a sale at one rate: `gross` = `net` + `tax`. Tax is rounded half up, once for each rate of a sale."""

    rate: Rate
    gross: Amount
    tax: AmountOrZero
    net: AmountOrZero


class ActionView(msgspec.Struct, frozen=True):
    """A capture, release, refund or reversal that was carried out. `clerk` null when it was not done at a till; `lines` of a refund by line."""

    id: UuidText
    kind: str
    amount: Amount
    clerk: UuidText | None
    at: Moment
    lines: list[BackView]


class SaleView(msgspec.Struct, frozen=True):
    """A sale as it stands in the ledger now.

    Attributes:
        number: of the day, from 1.
        payment: the payment, or the hold, that answered it.
        code: text of the signed code to show; `link` the payment link, `slip` the page of the slip: paths at this server.
        at: when it was made; `paid_at`: when it was paid or held; `expires_at`: when it can be paid no more.
        captured: of a hold. `refunded`: of what was paid or captured.
        clerk: who made it; null when nobody was named.
        taxes: contained in what was taken less what went back; before it was paid, in what is asked. Empty when nothing is taxed.
    """

    id: UuidText
    number: int
    day: str
    lines: Annotated[list[SaleLineView], msgspec.Meta(description=f"at most {LINES_MAX}")]
    amount: Amount
    hold: bool
    state: SaleState
    payment: UuidText | None
    code: str
    link: str
    slip: str
    at: Moment
    paid_at: Moment | None
    expires_at: Moment
    payer_name: str | None
    captured: AmountOrZero
    refunded: AmountOrZero
    clerk: UuidText | None
    actions: list[ActionView]
    taxes: list[TaxView]


class SalesView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end."""

    sales: list[SaleView]
    next: Cursor | None


class SlipSentView(msgspec.Struct, frozen=True):
    """The number that the slip was sent to, all but its ends hidden."""

    number: str


class PairBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code that the owner's wallet shows, and what this device calls itself."""

    code: Annotated[str, msgspec.Meta(max_length=40)]
    label: Text = ""


class TillBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new till; `id` is made by the caller."""

    id: UuidText
    name: Text


class ClerkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new clerk; `id` is made by the caller."""

    id: UuidText
    name: Text
    pin: Annotated[str, msgspec.Meta(max_length=64)]
    rights: Rights


class ClerkChangeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; null leaves it as it is.

    Attributes:
        pin: a new one forgives wrong PINs, and signs the clerk out everywhere.
        rights: all that the clerk may do from now on.
        unlock: true forgives wrong PINs and leaves the PIN as it is.
    """

    name: Text | None = None
    pin: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    rights: Rights | None = None
    unlock: bool = False


class SignInBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A clerk and their PIN."""

    clerk: UuidText
    pin: Annotated[str, msgspec.Meta(max_length=64)]


class LineBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line: `price` each, tax included; `name` empty for an amount without goods.

    Attributes:
        department, tax: null for those that the goods have when the sale first arrives; no goods: none, and no tax.
    """

    name: Text
    price: AmountOrZero
    quantity: Quantity = 1
    goods: UuidText | None = None
    department: Department | None = None
    tax: Rate | None = None


class SaleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sale; `id` is made by the till, `amount` is the sum of the lines. `clerk`: who made it, if not who is signed in."""

    id: UuidText
    lines: Annotated[list[LineBody], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    amount: Amount
    made_at: Moment
    hold: bool = False
    clerk: UuidText | None = None


class RefundOfSaleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give back, in full or in part: an amount, or what some lines cost; `id` is made by the till."""

    id: UuidText
    amount: Amount | None = None
    lines: Annotated[list[BackView], msgspec.Meta(min_length=1, max_length=LINES_MAX)] | None = None
    memo: Annotated[str, msgspec.Meta(max_length=256)] = ""


class CaptureOfSaleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take held money; `id` is made by the till. What is not taken goes back to the payer."""

    id: UuidText
    amount: Amount


class ActionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`id` is made by the till."""

    id: UuidText


class SlipBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the slip goes; null for the payer's own number."""

    number: Annotated[str, msgspec.Meta(max_length=40)] | None = None


def till_view(till: Till) -> TillView:
    return TillView(
        id=uuid_text(till.id),
        name=till.name,
        label=till.label,
        paired_at=None if till.paired_at is None else moment_text(till.paired_at),
        code_expires_at=None if till.code_expires_at is None else moment_text(till.code_expires_at),
        created_at=moment_text(till.created_at),
    )


def clerk_view(clerk: Clerk, locked_until: int | None) -> ClerkView:
    return ClerkView(uuid_text(clerk.id), clerk.name, sorted(clerk.rights), None if locked_until is None else moment_text(locked_until))


def slip_path(sale: Sale) -> str:
    """The address of a sale's slip, for whoever is shown it."""
    return f"/pay/slip/{uuid_text(sale.id)}?k={base64_text(sale.slip_key)}"


def sale_view(sale: Sale, standing: Standing, *, codes: Codes, holder: Holder, payer_name: str | None) -> SaleView:
    returned = returned_of(standing)
    return SaleView(
        id=uuid_text(sale.id),
        number=sale.number,
        day=sale.day,
        lines=[
            SaleLineView(line.name, line.price, line.quantity, line.goods, line.department or "", line.tax or 0, returned[number])
            for number, line in enumerate(sale.lines)
        ],
        amount=sale.amount,
        hold=sale.hold,
        state=standing.state,
        payment=uuid_text(standing.payment.id) if standing.payment else None,
        code=codes.of_sale(sale, holder),
        link=codes.link(sale, holder),
        slip=slip_path(sale),
        at=moment_text(sale.made_at),
        paid_at=None if standing.paid_at is None else moment_text(standing.paid_at),
        expires_at=moment_text(sale.expires_at),
        payer_name=payer_name,
        captured=standing.captured,
        refunded=standing.refunded,
        clerk=uuid_text(sale.clerk) if sale.clerk else None,
        actions=[
            ActionView(
                id=uuid_text(action.payment),
                kind=action.kind,
                amount=action.amount,
                clerk=uuid_text(action.clerk) if action.clerk else None,
                at=moment_text(action.at),
                lines=[BackView(each.line, each.quantity) for each in action.lines],
            )
            for action in standing.actions
        ],
        taxes=[TaxView(part.rate, part.gross, part.tax, part.net) for part in taxes_of(sale, standing)],
    )
