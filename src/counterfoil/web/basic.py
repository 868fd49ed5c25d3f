"""Pages without scripts, for old and borrowed phones: sign in with number and PIN, see, pay, keep the receipt.

    /basic/                       balance and the newest payments; for whoever is not signed in, the form to sign in
    /basic/pay                    to whom and how much  ─ POST ─>  /basic/pay/{id}   name, fee, total: the PIN agrees
    /basic/payments/{id}          one payment, its receipt; .../acknowledgement and .../proof to download
    /basic/history                everything, page by page
    /basic/requests               who asks for money: pay, or decline

Every POST answers 303, so that a reload shows a page and sends nothing. A payment's id is made before the PIN is asked for
and is in the form: a double click, a reload, a second try after a break pays once. Works without cookies being sent across
sites, and without a browser that knows what that means: every form has a secret of its session in it.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from counterfoil.channels.consent import Draft, Problem
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import (
    CounterfoilError,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotInThisState,
    PartyNotFound,
    PinLocked,
    PinNotAllowed,
    Refused,
    TooMany,
    Unavailable,
)
from counterfoil.i18n import Language
from counterfoil.parties.pin_brake import asked_from
from counterfoil.web.basic_views import BasicViews
from counterfoil.web.guesses import LOOK_UPS_PER_MINUTE
from counterfoil.web.holder_sessions import LIFETIME_S_MAX, HolderSessions, Session
from counterfoil.web.page_forms import check_same_site, posted
from counterfoil.web.services import Services
from counterfoil.web.throttle import Throttle, counted_as
from counterfoil.web.values import base64_text, parse_uuid, uuid_text
from counterfoil.web.views import acknowledgement_view

HOME, PAY, HISTORY, REQUESTS = "/basic/", "/basic/pay", "/basic/history", "/basic/requests"
COOKIE, FORM_COOKIE = "counterfoil_basic", "counterfoil_form"
SIGN_INS_PER_MINUTE = 30
"""From one address, which many phones may share. For one number, the PIN has a bound of its own."""
NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def is_basic(path: str) -> bool:
    """Whether an address belongs to these pages."""
    return path == "/basic" or path.startswith("/basic/")


class Render(Protocol):
    """How pages are made; `Pages.render` is one."""

    def __call__(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response: ...


Page = Callable[[Request, Session, BasicViews], Awaitable[Response]]


class BasicPages:
    """The pages of one server."""

    def __init__(
        self,
        services: Services,
        *,
        render: Render,
        language: Callable[[Request], Language],
        problem: Callable[[Request, CounterfoilError], Response],
    ) -> None:
        self.services = services
        self.sessions = HolderSessions(services.clock)
        self._render = render
        self._language = language
        self._problem = problem
        self._look_ups = Throttle(services.clock, burst=LOOK_UPS_PER_MINUTE, per_minute=LOOK_UPS_PER_MINUTE)
        self._sign_ins = Throttle(services.clock, burst=SIGN_INS_PER_MINUTE, per_minute=SIGN_INS_PER_MINUTE)

    def routes(self) -> list[BaseRoute]:
        get, post = self._get, self._post
        return [
            Route("/basic", self._to_home),
            Route(HOME, self.front),
            Route("/basic/sign-in", self._to_home),
            Route("/basic/sign-in", self.sign_in, methods=["POST"]),
            Route("/basic/sign-out", post(self.sign_out), methods=["POST"]),
            Route(PAY, get(self.pay)),
            Route(PAY, post(self.begin), methods=["POST"]),
            Route("/basic/pay/{id}", get(self.confirm)),
            Route("/basic/pay/{id}", post(self.agree), methods=["POST"]),
            Route("/basic/payments/{id}", get(self.payment)),
            Route("/basic/payments/{id}/acknowledgement", get(self.acknowledgement)),
            Route("/basic/payments/{id}/proof", get(self.proof)),
            Route(HISTORY, get(self.history)),
            Route(REQUESTS, get(self.requests)),
            Route("/basic/requests/{id}", post(self.answer), methods=["POST"]),
        ]

    # Who

    async def front(self, request: Request) -> Response:
        if await self._session(request) is None:
            return self._sign_in_form(request)
        return await self._get(self.home)(request)

    def _sign_in_form(self, request: Request) -> Response:
        """The form's secret is also in a cookie: a page of another site knows neither."""
        secret = request.cookies.get(FORM_COOKIE, "") or base64_text(self.services.clock.random_bytes(12))
        then = request.query_params.get("then", "") or _address(request)
        problem = _sign_in_problem(request.query_params.get("wrong", ""), self._language(request))
        answer = self._render(request, "basic/sign_in.html", token=secret[:64], then=then if is_basic(then) else HOME, problem=problem)
        self._set_cookie(request, answer, FORM_COOKIE, secret[:64])
        return answer

    async def sign_in(self, request: Request) -> Response:
        """Right or wrong takes as long, whether or not somebody has the number."""
        try:
            check_same_site(request)
            form = await posted(request)
        except Refused as refusal:
            return self._problem(request, refusal)
        then = form.get("then", HOME)
        then = then if is_basic(then) else HOME
        secret = request.cookies.get(FORM_COOKIE, "")
        if not secret or not hmac.compare_digest(secret.encode(), form.get("t", "").encode("utf-8", "surrogatepass")):
            return _sign_in_again("cookie", then)
        try:
            self._sign_ins.spend(_caller(request))
            with asked_from("web", _caller(request)):
                party = await self.services.parties.sign_in(form.get("number", "").strip(), form.get("pin", "").strip())
            holder = await self.services.parties.holder_of_party(party.id)
            session = self.sessions.begin(party=party.id, account=holder.account, name=holder.name)
        except PinLocked:
            return _sign_in_again("locked", then)
        except (NotAuthenticated, PartyNotFound):  # staff have no account
            return _sign_in_again("pin", then)
        except TooMany:
            return _sign_in_again("many", then)
        except Unavailable:
            return _sign_in_again("later", then)
        self.sessions.end(request.cookies.get(COOKIE, ""))
        answer = _see(then)
        self._set_cookie(request, answer, COOKIE, session)
        return answer

    async def sign_out(self, request: Request, session: Session, views: BasicViews, form: dict[str, str]) -> Response:
        self.sessions.end(request.cookies.get(COOKIE, ""))
        answer = _see(HOME)
        answer.delete_cookie(COOKIE, path="/basic", httponly=True, samesite="strict")
        return answer

    # What there is

    async def home(self, request: Request, session: Session, views: BasicViews) -> Response:
        return self._page(request, session, "basic/home.html", **await views.home())

    async def history(self, request: Request, session: Session, views: BasicViews) -> Response:
        before = request.query_params.get("before", "0")
        if not (before.isascii() and before.isdigit() and len(before) <= 19) or int(before) >= 2**63:
            raise NotFound
        return self._page(request, session, "basic/history.html", **await views.history(int(before)))

    async def payment(self, request: Request, session: Session, views: BasicViews) -> Response:
        try:
            content = await views.payment(_id(request))
        except NotFound:
            raise
        except Unavailable:
            sentence = views.language.text("We do not know yet whether it was done. Look again in a minute.")
            return self._page(request, session, "basic/not_paid.html", sentence=sentence, known=False)
        except CounterfoilError as error:
            return self._page(request, session, "basic/not_paid.html", sentence=views.sentence(error), known=True)
        return self._page(request, session, "basic/payment.html", **content)

    async def acknowledgement(self, request: Request, session: Session, views: BasicViews) -> Response:
        receipt = await self.services.payments.receipt(_id(request), session.account)
        body = msgspec.json.encode(acknowledgement_view(receipt.acknowledgement))
        return _download(body, "application/json", f"{receipt.payment.id:032x}.acknowledgement.json")

    async def proof(self, request: Request, session: Session, views: BasicViews) -> Response:
        payment, receipts = _id(request), self.services.receipts
        proof = receipts.proof(payment, session.account) if receipts is not None else None
        if proof is None:
            raise NotFound
        return _download(proof.encode(), "text/plain; charset=utf-8", f"{payment:032x}.tlog-proof")

    # Paying

    async def pay(self, request: Request, session: Session, views: BasicViews) -> Response:
        if asked := request.query_params.get("request"):
            return await self._pay_request(session, views, asked, request.query_params.get("amount", ""))
        names = ("to", "amount", "memo")
        filled = {name: request.query_params.get(name, "")[:256] for name in names} | session.filled
        return self._page(request, session, "basic/pay.html", values=filled, may_pay=await views.may_pay())

    async def _pay_request(self, session: Session, views: BasicViews, asked: str, amount: str) -> Response:
        """Somebody came by a payment link that names a request."""
        try:
            draft = await views.draft_for(await self.services.requests.find(_parsed(asked), session.account), amount)
        except Problem as problem:
            session.told = problem.sentence
            return _see(PAY)
        session.begin(draft)
        return _see(_pay_address(draft.id))

    async def begin(self, request: Request, session: Session, views: BasicViews, form: dict[str, str]) -> Response:
        typed = {name: form.get(name, "") for name in ("to", "amount", "memo")}
        try:
            self._look_ups.spend(session.party)
            draft = await views.draft(**typed)
        except Problem as problem:
            session.filled, session.problems = typed, {problem.field: problem.sentence}
            return _see(PAY)
        except TooMany as error:
            session.filled, session.problems = typed, {"to": views.sentence(error)}
            return _see(PAY)
        session.begin(draft)
        return _see(_pay_address(draft.id))

    async def confirm(self, request: Request, session: Session, views: BasicViews) -> Response:
        payment_id = _id(request)
        draft = session.drafts.get(payment_id)
        if draft is None or await self._was_paid(payment_id, session):
            return await self._afterwards(request, session, views, payment_id)
        until = views.moment(self.services.clock.now_ns() + draft.timeout_s * NANOSECONDS) if draft.timeout_s else ""
        return self._page(request, session, "basic/confirm.html", draft=draft, action=_pay_address(payment_id), until=until)

    async def agree(self, request: Request, session: Session, views: BasicViews, form: dict[str, str]) -> Response:
        payment_id = _id(request)
        draft = session.drafts.get(payment_id)
        if draft is None or form.get("id") != request.path_params["id"]:
            return await self._afterwards(request, session, views, payment_id)
        try:
            with asked_from("web", _caller(request)):
                await self.services.payments.pay_by_pin(views.order(draft), form.get("pin", "").strip())
        except (NotAuthenticated, PinLocked, TooMany) as error:
            session.problems = {"pin": views.sentence(error)}
            return _see(_pay_address(payment_id))
        except Unavailable as error:  # the same form again, with the same id
            session.told = views.sentence(error)
            return _see(_pay_address(payment_id))
        except Refused as refusal:
            return self._refused(session, views, draft, refusal)
        return _see(_payment_address(payment_id))

    def _refused(self, session: Session, views: BasicViews, draft: Draft, refusal: Refused) -> Response:
        """Nothing was paid, and with this id nothing ever will be: another try is another payment."""
        session.drafts.pop(draft.id, None)
        if draft.reference or isinstance(refusal, PinNotAllowed):
            session.told = views.sentence(refusal)
            return _see(REQUESTS if draft.reference else PAY)
        session.filled = {"to": draft.to, "memo": draft.memo}
        session.problems = {"amount": views.sentence(refusal)}
        return _see(PAY)

    async def _was_paid(self, id: int, session: Session) -> bool:
        payment = await self.services.payments.find(id)
        return payment is not None and session.account == payment.payer and await self.services.payments.was_carried_out(payment)

    async def _afterwards(self, request: Request, session: Session, views: BasicViews, id: int) -> Response:
        """A form of a session that is over, or that was used before: the payment, if there is one."""
        payment = await self.services.payments.find(id)
        if payment is not None and payment.payer == session.account:
            return _see(_payment_address(id))
        session.told = views.language.text("That page was too old. Nothing was paid with it.")
        return _see(PAY)

    # Requests

    async def requests(self, request: Request, session: Session, views: BasicViews) -> Response:
        return self._page(request, session, "basic/requests.html", **await views.requests())

    async def answer(self, request: Request, session: Session, views: BasicViews, form: dict[str, str]) -> Response:
        request_id = _id(request)
        try:
            if form.get("do") == "decline":
                await self.services.requests.decline(request_id, session.account)
                session.told = views.language.text("Declined.")
                return _see(REQUESTS)
            draft = await views.draft_for(await self.services.requests.find(request_id, session.account), form.get("amount", ""))
        except Problem as problem:
            session.told = problem.sentence
            return _see(REQUESTS)
        except NotInThisState as refusal:
            session.told = views.sentence(refusal)
            return _see(REQUESTS)
        session.begin(draft)
        return _see(_pay_address(draft.id))

    # Parts

    async def _session(self, request: Request) -> Session | None:
        """Whoever is signed in here; nobody any more when the PIN was changed that let them in."""
        secret = request.cookies.get(COOKIE, "")
        session = self.sessions.find(secret)
        if session is not None and await self.services.parties.pins.set_at(session.party) > session.begun_at:
            self.sessions.end(secret)
            return None
        return session

    def _get(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return _see(f"{HOME}?{urlencode({'then': _address(request)})}")
            try:
                return await page(request, session, BasicViews(self.services, self._language(request), session))
            except CounterfoilError as error:
                return self._problem(request, error)

        return handle

    def _post(
        self, page: Callable[[Request, Session, BasicViews, dict[str, str]], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return _sign_in_again("idle", HOME)
            views = BasicViews(self.services, self._language(request), session)
            try:
                check_same_site(request)
                form = await posted(request)
                if not session.sent(form.get("t", "")):
                    session.told = views.language.text("That page was too old. Nothing was done.")
                    return _see(HOME)
                return await page(request, session, views, form)
            except CounterfoilError as error:
                session.told = views.sentence(error)
                return _see(HOME)

        return handle

    def _page(self, request: Request, session: Session, template: str, **context: Any) -> Response:
        told, problems, _ = session.take_told()
        return self._render(request, template, session=session, told=told, problems=problems, **context)

    async def _to_home(self, request: Request) -> Response:
        return _see(HOME)

    @staticmethod
    def _set_cookie(request: Request, answer: Response, name: str, value: str) -> None:
        secure = request.url.scheme == "https"
        answer.set_cookie(name, value, max_age=LIFETIME_S_MAX, path="/basic", secure=secure, httponly=True, samesite="strict")


def _sign_in_problem(code: str, language: Language) -> str:
    text = language.text
    return {
        "pin": text("Number and PIN do not fit together."),
        "locked": text("The PIN is locked after too many wrong tries. Wait a quarter of an hour, or longer after each further one."),
        "many": text("Too many people are signing in from here. Wait a minute."),
        "later": text("This does not work at the moment. Try again in a minute."),
        "cookie": text("Your browser has to keep a cookie for as long as you are signed in."),
        "idle": text("You were signed out after ten minutes. What you sent last was not done."),
    }.get(code, "")


def _sign_in_again(wrong: str, then: str) -> RedirectResponse:
    return _see(f"{HOME}?{urlencode({'wrong': wrong, 'then': then})}")


def _see(address: str) -> RedirectResponse:
    return RedirectResponse(address, status_code=303, headers=NO_STORE)


def _download(body: bytes, media_type: str, name: str) -> Response:
    headers = NO_STORE | {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(body, media_type=media_type, headers=headers)


def _caller(request: Request) -> str:
    """Whose requests count together where somebody guesses."""
    return counted_as(request.client.host if request.client else "")


def _address(request: Request) -> str:
    """This page's own address, to come back to it."""
    query = request.url.query
    if request.url.path == HOME or len(query) > 512:
        return HOME
    return quote(request.url.path) + (f"?{query}" if query else "")


def _id(request: Request) -> int:
    """The id in the address; NotFound when it is none, as for any other wrong address."""
    return _parsed(request.path_params["id"])


def _parsed(text: str) -> int:
    try:
        return parse_uuid(text, "id")
    except Malformed:
        raise NotFound from None


def _pay_address(id: int) -> str:
    return f"{PAY}/{uuid_text(id)}"


def _payment_address(id: int) -> str:
    return f"/basic/payments/{uuid_text(id)}"
