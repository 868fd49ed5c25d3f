"""Pages for people, made on the server: the front page for everybody, and what staff see. They show, and change nothing.

    /                       what this scheme is
    /proof                  the public log: how it stands, and how to check it; /proof/check: a receipt, checked by the browser
    /r/...                  the receipt behind a code in a text message (see `receipt_pages`)
    /staff                  the books at a glance; /staff/accounts, /staff/transfers, /staff/proposals, /staff/messages
    /staff/sign-in?token=   a link that works once (see `sessions`)
    /basic/...              for holders on phones without scripts (see `basic`)
    /t                      what a telephone opens that a payment card is held to (see `card_pages`)
    /parking/{ticket}       what a stay in a car park costs, and how it is paid (see `parking_pages`)
    /attend/...             for whoever looks after a car park or pumps, with a telephone (see `attend`)
    /pay/...                payment links, a stall's poster, slips of sales (see `till_pages`)
    /simulator              a simple telephone to try, in a sandbox (see `simulator`)

Language: `?lang=`, else what the browser prefers. Nothing from elsewhere, and a policy that says so; no script either, but on
/proof/check and /r/..., where the visitor's own browser does the checking, and on /simulator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import jinja2
import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from counterfoil.errors import CounterfoilError, InternalError, NotFound, Refused
from counterfoil.folder import openings_path
from counterfoil.i18n import Language, languages, negotiate
from counterfoil.moments import moment_text
from counterfoil.parties.types import Permission
from counterfoil.payments.pin_days import PinDays
from counterfoil.web.attend import AttendPages, is_attend
from counterfoil.web.basic import HOME, BasicPages, is_basic
from counterfoil.web.card_pages import CardPages, is_card
from counterfoil.web.guesses import Guesses
from counterfoil.web.message_views import MessageViews
from counterfoil.web.page_forms import FORM_SIZE_MAX, check_same_site, posted
from counterfoil.web.parking_pages import ParkingPages, is_ticket
from counterfoil.web.proof_views import ProofViews
from counterfoil.web.public_log import PublicLog
from counterfoil.web.receipt_pages import PREFIX as CODES
from counterfoil.web.receipt_pages import ReceiptPages, is_receipt
from counterfoil.web.services import Services
from counterfoil.web.sessions import SESSION_LIFETIME_S, StaffSessions
from counterfoil.web.simulator import SimulatorPages, Telephones, is_simulator
from counterfoil.web.staff_views import StaffViews
from counterfoil.web.till_pages import PayPages, is_pay
from counterfoil.web.values import base64_text, uuid_text

log = structlog.get_logger(__name__)

HERE = Path(__file__).parent
COOKIE = "counterfoil_staff"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

CHECK_POLICY = HEADERS["Content-Security-Policy"] + "; script-src 'self'"
"""Of the pages that work by themselves: our own script, and still no address to send anything to."""

_OURS = ("/staff/", "/static/", "/proof/")

View = Callable[[StaffViews, Request], Awaitable[tuple[str, dict[str, Any]]]]


def is_page(path: str) -> bool:
    """Whether an address belongs to the pages; everything else is the API's."""
    return (
        path in ("/", "/staff", "/proof")
        or path.startswith(_OURS)
        or is_basic(path)
        or is_pay(path)
        or is_receipt(path)
        or is_card(path)
        or is_ticket(path)
        or is_attend(path)
        or is_simulator(path)
    )


class SchemeView(msgspec.Struct, frozen=True):
    """What every page says of the scheme."""

    name: str
    currency: str
    origin: str
    sandbox: bool


class Pages:
    """The pages of one server. `sessions` decides who of the staff may look."""

    def __init__(
        self, services: Services, sessions: StaffSessions, public_log: PublicLog, telephones: Telephones, guesses: Guesses
    ) -> None:
        self.services = services
        self.sessions = sessions
        self.public_log = public_log
        self.pin_days = PinDays(
            openings_path(services.config), origin=services.config.origin, zone=ZoneInfo(services.config.time_zone), clock=services.clock
        )
        self.languages = languages(services.config.languages)
        config = services.config
        self.scheme = SchemeView(config.scheme_name, config.currency.code, config.origin, config.sandbox)
        self._environments = {code: self._environment(language) for code, language in self.languages.items()}
        self.pay = PayPages(services, render=self.render, language=self._language, problem=self.problem)
        self.receipts = ReceiptPages(
            services, public_log, render=self.render, language=self._language, problem=self.problem, script_policy=CHECK_POLICY
        )
        self.cards = CardPages(render=self.render)
        self.parking = ParkingPages(services, render=self.render, language=self._language, problem=self.problem)
        self.attend = AttendPages(services, guesses, render=self.render, language=self._language, problem=self.problem)
        self.simulator = SimulatorPages(
            config,
            telephones,
            services.sms,
            render=self.render,
            language=self._language,
            headers=HEADERS,
        )
        self.basic = BasicPages(services, render=self._render_basic, language=self._language, problem=self.problem)

    def application(self) -> Starlette:
        """All pages as an application; an address or method that none of them has, or a bug, is told as a page, too."""
        handlers: dict[Any, Any] = {404: self._missing, 405: self._missing, Exception: self._broken}
        return Starlette(routes=self._routes(), exception_handlers=handlers)

    def _routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.front),
            Route("/proof", self.proof),
            Route("/proof/check", self.check),
            Route("/staff", self._staff(_overview)),
            Route("/staff/accounts", self._staff(_accounts)),
            Route("/staff/accounts/{id}", self._staff(_account)),
            Route("/staff/transfers", self._staff(_transfers)),
            Route("/staff/transfers/{id}", self._staff(_transfer)),
            Route("/staff/proposals", self._staff(_proposals)),
            Route("/staff/announcements/{id}", self._staff(_announcement)),
            Route("/staff/messages", self._staff(_messages)),
            Route("/staff/reports", self._staff(_reports)),
            Route("/staff/sign-in", self.sign_in),
            Route("/staff/sign-in", self.signed_in, methods=["POST"]),
            Route("/staff/sign-out", self.sign_out, methods=["POST"]),
            *self.basic.routes(),
            *self.pay.routes(),
            *self.receipts.routes(),
            *self.cards.routes(),
            *self.parking.routes(),
            *self.attend.routes(),
            *self.simulator.routes(),
        ]

    # For everybody

    async def front(self, request: Request) -> Response:
        key = base64_text(self.services.payments.acknowledger.public_key)
        return self.render(request, "front.html", operator_key=key, simulator=bool(self.simulator.callback), home="/")

    async def proof(self, request: Request) -> Response:
        context = await ProofViews(self.services, self.public_log, self.pin_days, self._language(request)).proof()
        return self.render(request, "proof.html", home="/", base=str(request.base_url).rstrip("/"), **context)

    async def check(self, request: Request) -> Response:
        context = await ProofViews(self.services, self.public_log, self.pin_days, self._language(request)).check()
        answer = self.render(request, "check.html", home="/", **context)
        answer.headers["Content-Security-Policy"] = CHECK_POLICY
        return answer

    async def sign_in(self, request: Request) -> Response:
        """Shows a button: opening a link must not use it up, since browsers and messengers open links ahead of people."""
        return self.render(request, "sign_in.html", token=request.query_params.get("token", "")[:FORM_SIZE_MAX], home="/")

    async def signed_in(self, request: Request) -> Response:
        try:
            check_same_site(request)
            form = await posted(request)
        except Refused as refusal:
            return self.problem(request, refusal)
        session = self.sessions.redeem(form.get("token", ""))
        if session is None:
            language = self._language(request)
            problem = language.text("This link has been used, or is too old.")
            return self.render(request, "sign_in.html", status=403, token="", problem=problem, home="/")
        answer = RedirectResponse("/staff", status_code=303, headers=HEADERS)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, session, max_age=SESSION_LIFETIME_S, path="/staff", secure=secure, httponly=True, samesite="strict")
        return answer

    async def sign_out(self, request: Request) -> Response:
        try:
            check_same_site(request)
        except Refused as refusal:
            return self.problem(request, refusal)
        self.sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/", status_code=303, headers=HEADERS)
        answer.delete_cookie(COOKIE, path="/staff", httponly=True, samesite="strict")
        return answer

    # For staff

    def _staff(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        async def page(request: Request) -> Response:
            party = self.sessions.party(request.cookies.get(COOKIE, ""))
            if party is None:
                return self.render(request, "sign_in.html", status=403, token="", home="/")
            language = self._language(request)
            try:
                await self.services.parties.staff.require(party, Permission.READ)
                template, context = await view(StaffViews(self.services, language), request)
            except CounterfoilError as error:
                return self.problem(request, error)
            links = [(path, language.text(label)) for path, label in _STAFF_LINKS]
            live = request.query_params.get("live") == "1"
            return self.render(request, template, staff_links=links, home="/staff", here=request.url.path, live=live, **context)

        return page

    # Rendering

    def problem(self, request: Request, error: CounterfoilError) -> Response:
        """An error as a page."""
        title = self._language(request).text(error.sentence())
        detail = "" if error.detail == error.sentence() else error.detail
        return self.render(request, "problem.html", status=error.status, title=title, detail=detail, home="/")

    async def _missing(self, request: Request, error: Exception) -> Response:
        return self.problem(request, NotFound())

    async def _broken(self, request: Request, error: Exception) -> Response:
        path = request.url.path
        log.error("page_failed", path=CODES if is_receipt(path) else path, exc_info=error)  # a code is nobody's to read in a log
        return self.problem(request, InternalError())

    def render(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
        language = self._language(request)
        others = [(code, other.own_name, _in_language(request, code)) for code, other in self.languages.items()]
        html = (
            self._environments[language.code]
            .get_template(template)
            .render(scheme=self.scheme, language=language.code, languages=others, **context)
        )
        chosen = request.query_params.get("lang")
        answer = HTMLResponse(
            html, status_code=status, headers=HEADERS | {"Content-Language": language.code, "Vary": "Accept-Language, Cookie"}
        )
        if chosen == language.code:  # stays for the pages that follow
            answer.set_cookie("counterfoil_language", chosen, max_age=365 * 86_400, path="/", httponly=True, samesite="lax")
        return answer

    def _render_basic(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
        return self.render(request, template, status=status, home=HOME, **context)

    def _language(self, request: Request) -> Language:
        for code in (request.query_params.get("lang"), request.cookies.get("counterfoil_language")):
            if code in self.languages:
                return self.languages[code]
        return negotiate(request.headers.get("accept-language", ""), self.languages)

    def _environment(self, language: Language) -> jinja2.Environment:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        environment.globals.update(_=language.text, live=False, problem="")
        currency = self.services.config.currency
        environment.filters.update(
            money=lambda amount: language.money(amount, currency).replace("-", "\u2212"),
            signed_money=lambda amount: language.signed_money(amount, currency),
            whole=language.whole,
            moment=language.moment,
            iso=moment_text,
            uuid=uuid_text,
        )
        return environment


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


_STAFF_LINKS = (
    ("/staff", N_("Overview")),
    ("/staff/accounts", N_("Accounts")),
    ("/staff/transfers", N_("Transfers")),
    ("/staff/proposals", N_("Proposals")),
    ("/staff/messages", N_("Messages")),
    ("/staff/reports", N_("Reports")),
)


async def _overview(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "overview.html", await views.overview()


async def _accounts(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "accounts.html", await views.accounts(request.query_params.get("kind", ""), _number(request, "after"))


async def _account(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "account.html", await views.account(request.path_params["id"], _number(request, "before"))


async def _transfers(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "transfers.html", await views.transfers(_number(request, "before"))


async def _transfer(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "transfer.html", await views.transfer(request.path_params["id"])


async def _proposals(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "proposals.html", await views.proposals()


async def _messages(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "messages.html", await views.messages()


async def _announcement(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "announcement.html", await MessageViews(views.services, views.language).announcement(request.path_params["id"])


async def _reports(views: StaffViews, request: Request) -> tuple[str, dict[str, Any]]:
    return "reports.html", await MessageViews(views.services, views.language).reports()


def _number(request: Request, name: str) -> int:
    """A page's position in the address; 0 when there is none. Anything else is NotFound, as any other wrong address."""
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or int(text) >= 2**63:
        raise NotFound
    return int(text)


def _in_language(request: Request, code: str) -> str:
    """This page's address in another language."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("lang", "token")]
    return f"{request.url.path}?{urlencode([*kept, ('lang', code)])}"
