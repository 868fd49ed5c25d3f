"""The attendant's pages: a telephone that looks after a car park or a fuel station, without scripts.

    /attend/                     how full the car parks are, which fills are under way; before that the forms to pair and to sign in
    /attend/car-parks/{id}       who is inside, who has this plate, a car comes in
    /attend/stays/{id}           what it costs, what to scan; it leaves, its ticket is lost, it is let out unpaid
    /attend/baskets              what is paid in parts: web.attend_baskets
    /attend/fills/{id}           a pump whose controller is gone: somebody has read its totaliser

The telephone is a till of the shop, and keeps in cookies what no script can read: the till's token, the clerk's session, and the
secret that stands in every form, too. A form that goes wrong is shown again with what was typed. What a form does has its id in
it: a double tap, a reload, a second try after a break does it once.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from counterfoil.acceptance.clerks import SESSION_S_MAX
from counterfoil.acceptance.fuel.pump import ran_by
from counterfoil.acceptance.parking.stays import PAGE_SIZE_MAX
from counterfoil.acceptance.parking.values import Parked, Stay
from counterfoil.acceptance.types import Clerk, Right, Till
from counterfoil.errors import CounterfoilError, Forbidden, IdReused, Malformed, NotAuthenticated, Refused
from counterfoil.i18n import Language
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.parties.tokens import LIFETIME_MAX_S
from counterfoil.web.attend_baskets import AttendBaskets
from counterfoil.web.attend_forms import Attendant, Wrong, check_right, id_of, see
from counterfoil.web.attend_views import AttendViews
from counterfoil.web.guesses import Guesses
from counterfoil.web.page_forms import check_same_site, posted
from counterfoil.web.services import Services
from counterfoil.web.throttle import counted_as
from counterfoil.web.values import base64_text, cursor_text, parse_cursor

HOME: Final = "/attend/"
TILL_COOKIE, CLERK_COOKIE, FORM_COOKIE = "counterfoil_till", "counterfoil_clerk", "counterfoil_form"
_TICKET: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LITRES: Final = re.compile(r"([0-9]{1,9})(?:[.,]([0-9]{1,3}))?", re.ASCII)

Render = Callable[..., Response]


def is_attend(path: str) -> bool:
    """Whether an address belongs to these pages."""
    return path == "/attend" or path.startswith(HOME)


NOTHING: Final = Wrong()
Page = Callable[[Request, Attendant, Wrong], Awaitable[Response]]
Deed = Callable[[Request, Attendant, dict[str, str]], Awaitable[Response]]


class AttendPages:
    """The routes, for `web.pages`, which renders them."""

    def __init__(
        self,
        services: Services,
        guesses: Guesses,
        *,
        render: Render,
        language: Callable[[Request], Language],
        problem: Callable[[Request, CounterfoilError], Response],
    ) -> None:
        self.services = services
        self.acceptance = services.acceptance
        self.stays = services.acceptance.stays
        self.fills = services.acceptance.fills
        self.clock = services.clock
        self.guesses = guesses
        self.views = AttendViews(services)
        self._render = render
        self._language = language
        self._problem = problem

    def routes(self) -> list[BaseRoute]:
        get, post = self._get, self._post
        baskets = AttendBaskets(self.services, page=self._page, language=self._language)
        basket = "/attend/baskets/{id}"
        park, stay, fill = "/attend/car-parks/{id}", "/attend/stays/{id}", "/attend/fills/{id}"
        return [
            Route("/attend", self._to_home),
            Route(HOME, self._told(self.front)),
            Route("/attend/pair", self._told(self.pair), methods=["POST"]),
            Route("/attend/sign-in", self._told(self.sign_in), methods=["POST"]),
            Route("/attend/sign-out", self._told(self.sign_out), methods=["POST"]),
            Route(park, get(self.car_park)),
            Route(park, post(self.come_in, self.car_park), methods=["POST"]),
            Route(stay, get(self.stay)),
            Route(f"{stay}/leave", post(self.leave, self.stay), methods=["POST"]),
            Route(f"{stay}/lost", post(self.lose, self.stay), methods=["POST"]),
            Route(f"{stay}/let-out", post(self.let_out, self.stay), methods=["POST"]),
            Route("/attend/baskets", get(baskets.list)),
            Route("/attend/baskets", post(baskets.part, baskets.list), methods=["POST"]),
            Route(basket, get(baskets.basket)),
            Route(f"{basket}/ask", post(baskets.ask, baskets.basket), methods=["POST"]),
            Route(f"{basket}/take-back", post(baskets.take_back, baskets.basket), methods=["POST"]),
            Route(f"{basket}/give-up", post(baskets.give_up, baskets.basket), methods=["POST"]),
            Route(f"{basket}/refund", post(baskets.refund, baskets.basket), methods=["POST"]),
            Route(fill, get(self.fill)),
            Route(fill, post(self.read, self.fill), methods=["POST"]),
        ]

    # Who

    async def front(self, request: Request) -> Response:
        """The first page that is wanted of this telephone: the code of a till, a clerk's PIN, or what there is to look after."""
        till = await self._till(request)
        if till is None:
            return self._page(request, "attend/pair.html", NOTHING)
        clerk = await self._clerk(request, till)
        if clerk is None:
            undone = Wrong(
                "", self._language(request).text("What you sent was not done: you had been signed out. Sign in, and send it again.")
            )
            return await self._sign_in_form(request, till, undone if "undone" in request.query_params else NOTHING)
        return await self.home(request, Attendant(till, clerk), NOTHING)

    async def pair(self, request: Request) -> Response:
        try:
            form = await self._form(request)
            self.guesses.enrolments.spend(_caller(request))
            _, token = await self.acceptance.tills.pair(form.get("code", ""), form.get("label", "").strip() or "-")
        except CounterfoilError as error:
            return self._page(request, "attend/pair.html", self._wrong(request, error, {}, field="code"), status=error.status)
        answer = see(HOME)
        self._keep(request, answer, TILL_COOKIE, token, LIFETIME_MAX_S)
        return answer

    async def _sign_in_form(self, request: Request, till: Till, wrong: Wrong, *, status: int = 200) -> Response:
        clerks = await self.acceptance.clerks.list(till.account)
        then = wrong.typed.get("then") or request.query_params.get("then", "")
        holder = await self.services.parties.holder(till.account)
        shown = [(id_text(clerk.id), clerk.name) for clerk in clerks]
        return self._page(request, "attend/sign_in.html", wrong, status=status, shop=holder.name, clerks=shown, then=_ours(then))

    async def sign_in(self, request: Request) -> Response:
        till, form = await self._till(request), dict[str, str]()
        if till is None:
            return see(HOME)
        try:
            form = await self._form(request)
            clerk = parse_id(form.get("clerk", ""), "clerk")
            _, secret = await self.acceptance.clerks.sign_in(clerk, form.get("pin", "").strip(), till=till.id, account=till.account)
        except CounterfoilError as error:
            field = "clerk" if isinstance(error, Malformed) else "pin"
            wrong = self._wrong(request, error, {name: form.get(name, "") for name in ("clerk", "then")}, field=field)
            return await self._sign_in_form(request, till, wrong, status=error.status)
        answer = see(_ours(form.get("then", "")))
        self._keep(request, answer, CLERK_COOKIE, secret, SESSION_S_MAX)
        return answer

    async def sign_out(self, request: Request) -> Response:
        await self._form(request)
        if (till := await self._till(request)) is not None:
            await self.acceptance.clerks.sign_out(request.cookies.get(CLERK_COOKIE, ""), till=till.id)
        answer = see(HOME)
        answer.delete_cookie(CLERK_COOKIE, path="/attend", httponly=True, samesite="strict")
        return answer

    # What there is

    async def home(self, request: Request, who: Attendant, wrong: Wrong) -> Response:
        parks = await self.acceptance.car_parks.list(who.till.account)
        pumps = await self.acceptance.pumps.list(who.till.account)
        fills = await self.fills.list(who.till.account, only_open=True) if pumps else []
        shown = [self.views.fill_line(self._language(request), fill) for fill in fills]
        return self._page(request, "attend/home.html", wrong, who, parks=parks, pumps=bool(pumps), fills=shown)

    async def car_park(self, request: Request, who: Attendant, wrong: Wrong) -> Response:
        park = await self.acceptance.car_parks.find(id_of(request), who.till.account)
        if (sought := request.query_params.get("find", "")) and wrong is NOTHING:
            stay = await self._sought(who, sought)
            if stay is not None:
                return see(_stay_address(stay.id))
            sentence = self._language(request).text("Nobody is inside with this plate or ticket.")
            wrong = Wrong("find", sentence, {"find": sought[:100]})
        after = parse_cursor(request.query_params.get("after"), "after")
        stays = await self.stays.inside(who.till.account, park.id, after=after)
        rows = [self.views.stay_line(self._language(request), stay) for stay in stays]
        more = cursor_text(stays[-1].id) if len(stays) == PAGE_SIZE_MAX else ""
        return self._page(
            request, "attend/car_park.html", wrong, who, park=park, stays=rows, more=more, ticket=self._new_id(), address=request.url.path
        )

    async def _sought(self, who: Attendant, text: str) -> Stay | None:
        try:
            if ticket := _TICKET.search(text):
                return await self.stays.find(parse_id(ticket[0].lower(), "ticket"), who.till.account)
            return await self.stays.of_plate(who.till.account, text)
        except Refused:
            return None

    async def come_in(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        park, ticket, plate = id_of(request), parse_id(form.get("ticket", ""), "ticket"), form.get("plate", "").strip()
        given: dict[str, Any] = {"car_park": park, "entered_at": self.clock.now_ns(), "plate": plate or None, "hold": "hold" in form}
        try:
            await self.stays.enter(who.till, id=ticket, **given)
        except IdReused:  # a repeat of this form says another moment
            await self.stays.find(ticket, who.till.account)
        return see(_stay_address(ticket))

    # A stay

    async def stay(self, request: Request, who: Attendant, wrong: Wrong) -> Response:
        parked = await self.stays.look(await self.stays.find(id_of(request), who.till.account))
        facts = await self.views.stay(self._language(request), parked, base=str(request.base_url).rstrip("/"))
        return self._page(
            request, "attend/stay.html", wrong, who, passage=self._new_id(), address=_stay_address(parked.stay.id),
            may_let_out=Right.CAPTURE in who.clerk.rights, may_lose=Right.SELL in who.clerk.rights, **facts,
        )  # fmt: skip

    async def leave(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        stay = await self.stays.find(id_of(request), who.till.account)
        return self._stands(await self.stays.leave(stay, who.till, passage=parse_id(form.get("passage", ""), "passage")))

    async def lose(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        check_right(who, Right.SELL)
        return self._stands(await self.stays.lose_ticket(await self.stays.find(id_of(request), who.till.account)))

    async def let_out(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        check_right(who, Right.CAPTURE)
        stay, passage = await self.stays.find(id_of(request), who.till.account), parse_id(form.get("passage", ""), "passage")
        return self._stands(await self.stays.let_out(stay, who.till, who.clerk, passage=passage, reason=form.get("reason", "")))

    def _stands(self, parked: Parked) -> Response:
        return see(_stay_address(parked.stay.id))

    # A fill

    async def fill(self, request: Request, who: Attendant, wrong: Wrong, *, read: int | None = None) -> Response:
        filled = await self.fills.look(await self.fills.find(id_of(request), who.till.account), who.till)
        facts = self.views.fill(self._language(request), filled, read=read)
        return self._page(
            request, "attend/fill.html", wrong, who, may_read=Right.CAPTURE in who.clerk.rights, address=request.url.path, **facts
        )

    async def read(self, request: Request, who: Attendant, form: dict[str, str]) -> Response:
        """Twice: what was typed is shown with what it will cost, and what is agreed to is taken."""
        check_right(who, Right.CAPTURE)
        fill, typed = await self.fills.find(id_of(request), who.till.account), form.get("totaliser", "").strip()
        match = _LITRES.fullmatch(typed)
        if match is None:
            raise Malformed("totaliser", "must be litres, with at most 3 decimal places")
        totaliser = int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))
        if "sure" not in form:
            ran_by(fill.run, totaliser)
            return await self.fill(request, who, Wrong(typed={"totaliser": typed}), read=totaliser)
        await self.fills.read(fill, who.till, totaliser)
        return see(f"/attend/fills/{id_text(fill.id)}")

    # Parts

    async def _till(self, request: Request) -> Till | None:
        text = request.cookies.get(TILL_COOKIE, "")
        try:
            return await self.acceptance.tills.of_token((await self.services.tokens.check(text)).id) if text else None
        except (NotAuthenticated, Forbidden):
            return None

    async def _clerk(self, request: Request, till: Till) -> Clerk | None:
        try:
            return await self.acceptance.clerks.at_till(request.cookies.get(CLERK_COOKIE, ""), till=till.id)
        except NotAuthenticated:
            return None

    async def _attendant(self, request: Request) -> Attendant | None:
        till = await self._till(request)
        clerk = None if till is None else await self._clerk(request, till)
        return None if till is None or clerk is None else Attendant(till, clerk)

    def _told(self, page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """What goes wrong is a page, too."""

        async def handle(request: Request) -> Response:
            try:
                return await page(request)
            except CounterfoilError as error:
                return self._problem(request, error)

        return handle

    def _get(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            who = await self._attendant(request)
            return see(f"{HOME}?{urlencode({'then': request.url.path})}") if who is None else await page(request, who, NOTHING)

        return self._told(handle)

    def _post(self, deed: Deed, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """`page` is shown again, with what was typed, where `deed` is refused."""

        async def handle(request: Request) -> Response:
            form: dict[str, str] = {}
            who = await self._attendant(request)
            if who is None:
                return see(f"{HOME}?{urlencode({'then': _page_of(request.url.path), 'undone': 1})}")
            try:
                form = await self._form(request)
                return await deed(request, who, form)
            except CounterfoilError as error:
                answer = await page(request, who, self._wrong(request, error, form))
                answer.status_code = error.status
                return answer

        return self._told(handle)

    async def _form(self, request: Request) -> dict[str, str]:
        """What was posted, from a page of ours alone."""
        check_same_site(request)
        form, secret = await posted(request), request.cookies.get(FORM_COOKIE, "")
        if not secret or not hmac.compare_digest(secret.encode(), form.get("t", "").encode("utf-8", "surrogatepass")):
            raise Forbidden("this page was too old, or the browser keeps no cookies: nothing was done", form="old")
        return form

    def _wrong(self, request: Request, error: CounterfoilError, form: dict[str, str], *, field: str = "") -> Wrong:
        text = self._language(request).text
        typed = {name: value[:200] for name, value in form.items() if name not in ("t", "pin")}
        named = str(error.facts.get("field", "")) if isinstance(error, Malformed) else field
        named = {"parts": "amount"}.get(named, named)
        known = {
            "plate": text("A plate has 2 to 12 letters and digits."),
            "reason": text("Say why, in at most 100 characters."),
            "totaliser": text("Type what the pump shows in litres, such as 123456.780."),
            "clerk": text("Say who you are."),
            "people": text("Type how many people share what is left, or an amount."),
            "amount": text("Type an amount that is not more than what is left, such as 12.50."),
            "lines": text("Type how many go back, at most what is left."),
        }
        if error.facts.get("form") == "old":
            return Wrong("", text("That page was too old. Nothing was done."), typed)
        return Wrong(named if field or named in known else "", known.get(named) or text(error.sentence()), typed)

    def _page(
        self, request: Request, template: str, wrong: Wrong, who: Attendant | None = None, *, status: int = 200, **context: Any
    ) -> Response:
        secret = request.cookies.get(FORM_COOKIE, "")[:64] or base64_text(self.clock.random_bytes(12))
        answer = self._render(request, template, status=status, home=HOME, token=secret, wrong=wrong, who=who, **context)
        self._keep(request, answer, FORM_COOKIE, secret, LIFETIME_MAX_S)
        return answer

    @staticmethod
    def _keep(request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
        secure = request.url.scheme == "https"
        answer.set_cookie(name, value, max_age=seconds, path="/attend", secure=secure, httponly=True, samesite="strict")

    async def _to_home(self, request: Request) -> Response:
        return see(HOME)

    def _new_id(self) -> str:
        return id_text(new_id(self.clock))


def _ours(address: str) -> str:
    """`address` if it is one of these pages, else the first of them."""
    return address if is_attend(address) else HOME


def _page_of(address: str) -> str:
    """The page on which the form stands that was sent to `address`."""
    return "/".join(address.split("/")[:4])


def _caller(request: Request) -> str:
    """Whose requests count together where somebody guesses."""
    return counted_as(request.client.host if request.client else "")


def _stay_address(id: int) -> str:
    return f"/attend/stays/{id_text(id)}"
