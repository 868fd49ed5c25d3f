"""Pages around a sale, made on the server and fit for print: the poster of a stall, a slip, and where a payment link leads.

    /pay/{address}              a payment link: ?amount=12.50&memo=...&request=UUID&hold=1, all of them optional
    /pay/{address}/poster       the fixed code of a merchant or agent, one sheet of A4
    /pay/slip/{sale}?k=...      the slip of a sale, 80 mm wide, for whoever was shown its address

They show and change nothing. A link is somebody's word until the wallet has asked the scheme: names of people, who are not
merchants, are not told here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import segno
from babel.dates import format_date
from babel.numbers import format_percent
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from counterfoil.acceptance.baskets.types import Parted
from counterfoil.acceptance.breakdown import taxes_of
from counterfoil.acceptance.codes import address_of
from counterfoil.acceptance.standing import returned_of
from counterfoil.acceptance.types import Sale, SaleState
from counterfoil.errors import CounterfoilError, Malformed, NotFound, PartyNotFound
from counterfoil.i18n import Language
from counterfoil.ids import parse_id
from counterfoil.money import parse_amount
from counterfoil.parties.numbers import parse_address
from counterfoil.parties.types import Holder, PartyKind, PartyState
from counterfoil.web.page_words import litres, moment
from counterfoil.web.services import Services
from counterfoil.web.till_views import slip_path
from counterfoil.web.values import parse_base64

PREFIX = "/pay/"
MEMO_SIZE_MAX = 256
QUIET_ZONE = 4
"""Modules of white around a code. Source: ISO/IEC 18004 §9.1."""
SLIP_LINES = (SaleState.PAID, SaleState.CAPTURED, SaleState.REFUNDED_PART, SaleState.REFUNDED)

Render = Callable[..., Response]


def is_pay(path: str) -> bool:
    """Whether an address belongs to these pages."""
    return path.startswith(PREFIX)


class PayPages:
    """The routes, for `web.pages`, which renders them."""

    def __init__(
        self,
        services: Services,
        *,
        render: Render,
        language: Callable[[Request], Language],
        problem: Callable[[Request, CounterfoilError], Response],
    ) -> None:
        self.parties = services.parties
        self.sales = services.acceptance.sales
        self.fills = services.acceptance.fills
        self.baskets = services.acceptance.baskets
        self.codes = services.acceptance.codes
        self.region = services.config.region
        self.zone = ZoneInfo(services.config.time_zone)
        self._render = render
        self._language = language
        self._problem = problem

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/pay/slip/{sale}", self.slip),
            Route("/pay/{address}/poster", self.poster),
            Route("/pay/{address}", self.link),
        ]

    async def link(self, request: Request) -> Response:
        """Where a payment link leads: into the wallet, to the pages without scripts, or by the code into another phone."""
        try:
            kind, address = parse_address(request.path_params["address"], self.region)
            asked = self._asked(request)
        except CounterfoilError:
            return self._problem(request, NotFound())
        holder = await self._merchant(request.path_params["address"])
        shown = address_of(holder) if holder else (f"@{address}" if kind == "handle" else address)
        query = urlencode({"to": shown} | asked)
        language = self._language(request)
        code = self.codes.asking(holder, asked.get("amount"), asked.get("request"), hold="hold" in asked) if holder else ""
        return self._render(
            request,
            "pay/link.html",
            name=holder.name if holder else "",
            address=shown,
            amount=self._money(language, asked.get("amount")),
            memo=asked.get("memo", ""),
            hold="hold" in asked,
            code=picture(code, language.text("QR code to pay %(name)s", name=holder.name)) if holder else "",
            wallet=f"/wallet/#/pay?{query}",
            basic=f"/basic/pay?{urlencode(_basic(asked, shown))}",
        )

    async def poster(self, request: Request) -> Response:
        holder = await self._merchant(request.path_params["address"])
        if holder is None:
            return self._problem(request, NotFound())
        language = self._language(request)
        code = picture(self.codes.fixed(holder), language.text("QR code to pay %(name)s", name=holder.name))
        return self._render(request, "pay/poster.html", name=holder.name, address=_spaced(address_of(holder)), code=code)

    async def slip(self, request: Request) -> Response:
        try:
            wanted = parse_id(request.path_params["sale"], "sale")
            sale = await self.sales.by_key(wanted, parse_base64(request.query_params.get("k", ""), "k"))
        except (Malformed, NotFound):
            return self._problem(request, NotFound())
        return self._render(request, "pay/slip.html", **await self._slip(request, sale))

    # Parts

    async def _slip(self, request: Request, sale: Sale) -> dict[str, Any]:
        holder, standing = await self.parties.holder(sale.account), await self.sales.standing(sale)
        language, currency = self._language(request), self.codes.currency
        when = standing.paid_at if standing.paid_at is not None else sale.made_at
        basket = await self.baskets.of_part(sale.id)
        parted = None if basket is None else await self.baskets.look(basket)
        lines, total, refunded = sale.lines, sale.amount, standing.refunded
        returned: Mapping[int, int] = returned_of(standing)
        taxes = taxes_of(sale, standing)
        if parted is not None:
            lines, total, refunded = parted.basket.lines, parted.basket.amount, parted.refunded
            returned, taxes = parted.returned, parted.taxes
        is_open = standing.state is SaleState.OPEN
        fill = await self.fills.done(sale)
        if is_open:
            code = picture(self.codes.of_sale(sale, holder), language.text("QR code to pay %(name)s", name=holder.name))
        else:
            address = f"{str(request.base_url).rstrip('/')}{slip_path(sale)}"
            code = picture(address, language.text("QR code with the address of this slip"))
        return {
            "name": holder.name,
            "address": _spaced(address_of(holder)),
            "number": sale.number,
            "day": format_date(datetime.fromisoformat(sale.day), "medium", locale=language.locale),
            "at": moment(language, when, self.zone, seconds=True),
            "lines": [
                {
                    "name": line.name or language.text("Amount"),
                    "quantity": line.quantity,
                    "price": language.money(line.price, currency),
                    "returned": language.text("%(quantity)s given back", quantity=returned[number]) if returned[number] else "",
                    "sum": language.money(line.price * line.quantity, currency),
                }
                for number, line in enumerate(lines)
            ],
            "total": language.money(total, currency),
            "parts": [] if parted is None else self._parts(language, parted, sale),
            "fuel": "" if fill is None else f"{litres(language, fill.run.millilitres)} L × {language.money(fill.run.price, currency)}/L",
            "held": language.money(sale.amount, currency) if sale.hold and standing.state is SaleState.HELD else "",
            "taken": language.money(standing.captured, currency) if standing.captured else "",
            "refunded": language.money(refunded, currency) if refunded else "",
            "taxes": [
                {
                    "rate": format_percent(Decimal(part.rate).scaleb(-4), locale=language.locale, decimal_quantization=False),
                    "net": language.money(part.net, currency),
                    "tax": language.money(part.tax, currency),
                }
                for part in taxes
            ],
            "state": language.text(_STATES[standing.state]),
            "good": standing.state in SLIP_LINES,
            "is_open": is_open,
            "payment": f"{standing.payment.id:032x}" if standing.payment else "",
            "code": code,
        }

    def _parts(self, language: Language, parted: Parted, sale: Sale) -> list[dict[str, Any]]:
        """The parts of a basket on the slip of one of them: what each came to, not who paid it."""
        rows: list[dict[str, Any]] = []
        for part in parted.parts:
            if part.ended is None:
                standing = parted.standing(part)
                state = _STATES[standing.state if standing is not None else SaleState.OPEN]
                amount = language.money(part.amount, self.codes.currency)
                rows.append({"number": part.number, "amount": amount, "state": language.text(state), "here": part.id == sale.id})
        return rows

    async def _merchant(self, address: str) -> Holder | None:
        """The merchant, agent or institution at an address; None for everybody else, whether there or not."""
        try:
            holder = await self.parties.resolve(address)
        except (Malformed, PartyNotFound):
            return None
        public = holder.kind is not PartyKind.CUSTOMER and holder.state is PartyState.OPEN
        return holder if public else None

    def _asked(self, request: Request) -> dict[str, str]:
        """What the link asks for. Malformed for what cannot be: a changed link is not shown as if it were right."""
        found, query = {}, request.query_params
        if amount := query.get("amount"):
            if not parse_amount(amount, self.codes.currency):
                raise Malformed("amount", "must be above zero")
            found["amount"] = amount
        if memo := query.get("memo"):
            if len(memo) > MEMO_SIZE_MAX or re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", memo):
                raise Malformed("memo", f"must be at most {MEMO_SIZE_MAX} characters")
            found["memo"] = memo
        if reference := query.get("request"):
            parse_id(reference, "request")
            found["request"] = reference
        if query.get("hold"):
            if query["hold"] != "1" or "request" not in found:
                raise Malformed("hold", "must be 1, and name a request")
            found["hold"] = "1"
        return found

    def _money(self, language: Language, amount: str | None) -> str:
        return language.money(parse_amount(amount, self.codes.currency), self.codes.currency) if amount else ""


def picture(text: str, label: str) -> Markup:
    """A QR code as SVG for a page, named by `label`: error correction M, for print that gets dirty."""
    image = io.BytesIO()
    code = segno.make_qr(text, error="m", boost_error=False)
    code.save(image, kind="svg", border=QUIET_ZONE, dark="#000", light="#fff", omitsize=True, xmldecl=False, svgns=False, nl=False)
    drawing = image.getvalue().decode()
    assert drawing.startswith("<svg "), drawing[:40]
    return Markup('<svg role="img" aria-label="{}" ').format(label) + Markup(drawing.removeprefix("<svg "))  # noqa: S704 (segno's own)


def _basic(asked: dict[str, str], address: str) -> dict[str, str]:
    """What the pages without scripts want to know: the request, which says everything, or the form's first words."""
    if "request" in asked:
        return {"request": asked["request"]}
    return {"to": address} | {name: value for name, value in asked.items() if name in ("amount", "memo")}


def _spaced(address: str) -> str:
    """A merchant code in two groups, so that people read it right."""
    return f"{address[:3]} {address[3:]}" if address.isdigit() else address


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


_STATES = {
    SaleState.OPEN: N_("Not paid yet"),
    SaleState.PAID: N_("Paid"),
    SaleState.HELD: N_("Held, not yet taken"),
    SaleState.CAPTURED: N_("Paid"),
    SaleState.RELEASED: N_("Given back"),
    SaleState.CANCELLED: N_("Cancelled"),
    SaleState.EXPIRED: N_("Not paid in time"),
    SaleState.REFUNDED_PART: N_("Refunded in part"),
    SaleState.REFUNDED: N_("Refunded"),
}
