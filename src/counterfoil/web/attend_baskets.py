"""The attendant's pages of baskets: what was rung up at a till is paid in parts, without scripts.

    /attend/baskets              sales that wait for their payer, each to be paid in parts; and baskets
    /attend/baskets/{id}         who has paid what; parts are asked for and taken back; given up, or refunded

What a form does has its id in it, as on all these pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from counterfoil.acceptance.baskets.service import PAGE_SIZE_MAX, PARTS_MAX
from counterfoil.acceptance.baskets.types import Basket, BasketState, Part, Parted
from counterfoil.acceptance.types import Back, Right, SaleState
from counterfoil.errors import Malformed, NotFound, NotInThisState
from counterfoil.i18n import Language
from counterfoil.ids import id_text, leg_id, new_id, parse_id
from counterfoil.money import parse_amount
from counterfoil.web.attend_forms import Attendant, Wrong, check_right, id_of, see
from counterfoil.web.services import Services
from counterfoil.web.till_pages import picture
from counterfoil.web.values import cursor_text, parse_cursor

HOME: Final = "/attend/baskets"


class AttendBaskets:
    """Shows baskets, and does what their forms say. `page` renders as all attendant's pages are."""

    def __init__(self, services: Services, *, page: Callable[..., Response], language: Callable[[Request], Language]) -> None:
        self.acceptance = services.acceptance
        self.baskets = services.acceptance.baskets
        self.sales = services.acceptance.sales
        self.currency = services.config.currency
        self.clock = services.clock
        self.parties = services.parties
        self._page = page
        self._language = language

    async def list(self, request: Request, who: Attendant, wrong: Wrong) -> Response:
        account, language = who.till.account, self._language(request)
        found = await self.baskets.of_account(account, before=parse_cursor(request.query_params.get("before"), "before"))
        rows = [
            {"id": id_text(each.id), "amount": each.amount, "state": self._state(language, await self.baskets.look(each))} for each in found
        ]
        more = cursor_text(found[-1].id) if len(found) == PAGE_SIZE_MAX else ""
        today = await self.sales.of_day(account, self.acceptance.days.today())
        standings = await self.sales.standing_of(today)
        parts, waiting = await self.baskets.parts_among([sale.id for sale in today]), []
        for sale in today:
            if standings[sale.id].state is SaleState.OPEN and not sale.hold and sale.id not in parts:
                names = ", ".join(line.name for line in sale.lines if line.name)[:80]
                waiting.append({"id": id_text(sale.id), "number": sale.number, "amount": sale.amount, "names": names})
        return self._page(
            request, "attend/baskets.html", wrong, who, baskets=rows, waiting=waiting, more=more,
            may_sell=Right.SELL in who.clerk.rights,
        )  # fmt: skip

    async def part(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        """A sale that nobody has paid is taken back, and a basket with its lines takes its place."""
        check_right(who, Right.SELL)
        sale = await self.sales.find(parse_id(form.get("sale", ""), "sale"), who.till.account)
        basket = leg_id(sale.id, 1)  # a sale is parted once, whoever sends how many forms
        if sale.hold or await self.baskets.of_part(sale.id) is not None:
            raise NotInThisState("it is paid as it is")
        await self.sales.take_back(sale)
        if (await self.sales.standing(sale)).state is not SaleState.CANCELLED:
            raise NotInThisState("somebody has paid it")
        await self.baskets.make(who.till, who.clerk, id=basket, lines=sale.lines, amount=sale.amount)
        return see(_address(basket))

    async def basket(self, request: Request, who: Attendant, wrong: Wrong) -> Response:
        parted, language = await self._parted(request, who), self._language(request)
        shown, returned = parted.basket, parted.returned
        base = str(request.base_url).rstrip("/")
        lines = [
            {
                "name": line.name or language.text("Amount"), "quantity": line.quantity, "sum": line.price * line.quantity,
                "number": number, "left": line.quantity - returned[number], "returned": returned[number],
            }
            for number, line in enumerate(shown.lines)
        ]  # fmt: skip
        return self._page(
            request, "attend/basket.html", wrong, who, parted=parted, address=_address(shown.id), state=self._state(language, parted),
            lines=lines, parts=[await self._part(language, parted, part, base) for part in parted.parts if part.ended is None],
            may_sell=Right.SELL in who.clerk.rights and parted.state is BasketState.OPEN,
            may_give_up=Right.REFUND in who.clerk.rights and parted.state is BasketState.OPEN,
            may_refund=Right.REFUND in who.clerk.rights and parted.state in (BasketState.PAID, BasketState.REFUNDED_PART),
            may_give_rest=Right.REFUND in who.clerk.rights and parted.state is BasketState.GIVING_BACK,
            fresh=self._id_of_form(parted, wrong),
        )  # fmt: skip

    async def ask(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        check_right(who, Right.SELL)
        basket, first = await self._found(request, who), parse_id(form.get("part", ""), "part")
        people, amount = form.get("people", "").strip(), form.get("amount", "").strip()
        if bool(people) == bool(amount):
            raise Malformed("people", "must be given, or an amount, and not both")
        if people:
            if not (people.isascii() and people.isdigit() and 1 <= int(people) <= PARTS_MAX):
                raise Malformed("people", f"must be 1 to {PARTS_MAX}")
            parts = [(leg_id(first, number), 0) for number in range(1, int(people) + 1)]
        else:
            minor = parse_amount(amount, self.currency)
            if not minor:
                raise Malformed("amount", "must be above zero")
            parts = [(first, minor)]
        await self.baskets.ask(basket, who.till, who.clerk, parts=parts)
        return see(_address(basket.id))

    async def take_back(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        check_right(who, Right.SELL)
        basket, part = await self._found(request, who), parse_id(form.get("part", ""), "part")
        of = await self.baskets.of_part(part)
        if of is None or of.id != basket.id:
            raise NotFound
        await self.sales.cancel(await self.sales.find(part, who.till.account))
        return see(_address(basket.id))

    async def give_up(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        check_right(who, Right.REFUND)
        basket = await self._found(request, who)
        await self.baskets.give_up(basket, who.till, who.clerk, id=parse_id(form.get("id", ""), "id"))
        return see(_address(basket.id))

    async def refund(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        check_right(who, Right.REFUND)
        basket, lines = await self._found(request, who), list[Back]()
        for number in range(len(basket.lines)):
            typed = form.get(f"line-{number}", "").strip()
            if typed and typed != "0":
                if not (typed.isascii() and typed.isdigit() and len(typed) <= 4):
                    raise Malformed("lines", "must be whole numbers")
                lines.append(Back(number, int(typed)))
        if not lines and "rest" not in form:
            raise Malformed("lines", "must name something")
        await self.baskets.refund(basket, who.till, who.clerk, id=parse_id(form.get("id", ""), "id"), lines=[] if "rest" in form else lines)
        return see(_address(basket.id))

    # Parts

    async def _found(self, request: Request, who: Attendant) -> Basket:
        return await self.baskets.find(id_of(request), who.till.account)

    async def _parted(self, request: Request, who: Attendant) -> Parted:
        return await self.baskets.look(await self._found(request, who))

    async def _part(self, language: Language, parted: Parted, part: Part, base: str) -> dict[str, Any]:
        """A part with the code that its payer scans, while nobody has paid it."""
        found: dict[str, Any] = {
            "id": id_text(part.id),
            "number": part.number,
            "amount": part.amount,
            "code": "",
            "link": "",
            "back": 0,
            "paid": False,
        }
        if part.id in parted.sales:
            sale, standing = parted.sales[part.id]
            found |= {"paid": standing.original is not None, "back": standing.refunded}
            if standing.state is SaleState.OPEN:
                holder = await self.parties.holder(sale.account)
                found["link"] = base + self.acceptance.codes.link(sale, holder)
                label = language.text("Part %(number)s: scan to pay", number=part.number)
                found["code"] = picture(self.acceptance.codes.of_sale(sale, holder), label)
        return found

    def _state(self, language: Language, parted: Parted) -> str:
        return {
            BasketState.OPEN: language.text("Not paid whole yet"),
            BasketState.PAID: language.text("Paid whole"),
            BasketState.CANCELLED: language.text("Given up before anybody paid"),
            BasketState.GIVING_BACK: language.text("Given up; not all of it is back yet"),
            BasketState.REFUNDED_PART: language.text("Given back in part"),
            BasketState.REFUNDED: language.text("All of it was given back"),
        }[parted.state]

    def _id_of_form(self, parted: Parted, wrong: Wrong) -> str:
        """What the forms' deed will have as its id: that of the form that is shown again, whose outcome may not be known; else a new one."""
        refused = {id_text(giving.id) for giving in parted.givings if any(leg.refusal for leg in giving.legs)}
        typed = wrong.typed.get("id") or wrong.typed.get("part") or ""
        return typed if typed and typed not in refused else id_text(new_id(self.clock))


def _address(basket: int) -> str:
    return f"{HOME}/{id_text(basket)}"
