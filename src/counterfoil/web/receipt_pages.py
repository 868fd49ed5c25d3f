"""The receipt behind a code in a text message, for anybody who was shown the text.

    /r                 "type the code"  ─ POST ─>  /r/{code}      what the scheme says, and what the browser itself can prove
    /r/{code}/proof    the same receipt as a file, for other programs

A code opens one side's receipt: amount, fee, kind, time, and that side's balance after it, but no name and no phone number.
Wrong codes are counted by address and in all, so that they cannot be guessed by trying.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from counterfoil.errors import CounterfoilError, Malformed, NotFound, OrderExpired, PaymentNotFound, Refused, TooMany, Unavailable
from counterfoil.i18n import Language
from counterfoil.payments.countersigning import may_be_countersigned
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.receipt_codes import Coded, parse_code, shown
from counterfoil.payments.types import PaymentState
from counterfoil.web.page_forms import check_same_site, posted
from counterfoil.web.proof_words import words
from counterfoil.web.public_log import PublicLog
from counterfoil.web.services import Services
from counterfoil.web.throttle import Throttle, counted_as

PREFIX = "/r"
WRONG_PER_MINUTE = 20
"""Codes that nobody was told, from one address."""
WRONG_IN_ALL_PER_MINUTE = 3_000
"""From all addresses together: at a thousand million codes one in 2^25 tries finds somebody's, so that takes a week.

Beyond it an address has one wrong code a minute, and not none at all: else whoever guesses could close the page to everybody.
"""

Render = Callable[..., Response]


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


KINDS = {
    OrderKind.PAY: N_("Payment"),
    OrderKind.HOLD: N_("Money set aside"),
    OrderKind.CAPTURE: N_("Taken from what was set aside"),
    OrderKind.RELEASE: N_("Given back"),
    OrderKind.REFUND: N_("Money back"),
    OrderKind.REVERSAL: N_("Reversal"),
    OrderKind.ISSUE: N_("Issue of money"),
    OrderKind.WITHDRAWAL: N_("Withdrawal of money"),
}


class Said(msgspec.Struct, frozen=True):
    """What the scheme says of a payment, which nobody has checked. Minor units; `at` in ns.

    `countersigned`: for a payment by PIN to a shop, whether the shop's device has said that it came in; else None.
    """

    kind: str
    outgoing: bool
    amount: int
    at: int
    came_back: bool
    countersigned: bool | None


def is_receipt(path: str) -> bool:
    """Whether an address belongs to these pages."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


class ReceiptPages:
    """The routes, for `web.pages`, which renders them."""

    def __init__(
        self,
        services: Services,
        log: PublicLog,
        *,
        render: Render,
        language: Callable[[Request], Language],
        problem: Callable[[Request, CounterfoilError], Response],
        script_policy: str,
    ) -> None:
        self.services = services
        self._log = log
        self._render = render
        self._language = language
        self._problem = problem
        self._script_policy = script_policy
        self._wrong = Throttle(services.clock, burst=WRONG_PER_MINUTE, per_minute=WRONG_PER_MINUTE)
        self._wrong_in_all = Throttle(services.clock, burst=WRONG_IN_ALL_PER_MINUTE, per_minute=WRONG_IN_ALL_PER_MINUTE, keys_max=1)
        self._wrong_lately = Throttle(services.clock, burst=1, per_minute=1)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(PREFIX, self.ask),
            Route(PREFIX, self.typed, methods=["POST"]),
            Route(f"{PREFIX}/{{code}}", self.show),
            Route(f"{PREFIX}/{{code}}/proof", self.file),
        ]

    async def ask(self, request: Request) -> Response:
        return self._page(request)

    async def typed(self, request: Request) -> Response:
        """To the page of the code: a reload of it sends nothing again."""
        try:
            check_same_site(request)
            text = (await posted(request)).get("code", "")
        except Refused as refusal:
            return self._problem(request, refusal)
        try:
            return RedirectResponse(f"{PREFIX}/{parse_code(text)}", status_code=303, headers={"Cache-Control": "no-store"})
        except Malformed as error:
            return self._page(request, status=422, typed=text[:40], trouble=self._trouble(request, error))

    async def show(self, request: Request) -> Response:
        """What a code stands for. One that nobody was told, or that cannot be one, is said in words."""
        typed = request.path_params["code"]
        try:
            code = parse_code(typed)
            if code != typed:
                return RedirectResponse(f"{PREFIX}/{code}", status_code=303, headers={"Cache-Control": "no-store"})
            found = await self._find(request, code)
        except (Malformed, NotFound) as error:
            return self._page(request, status=404, typed=typed[:40], trouble=self._trouble(request, error))
        except TooMany as error:
            return self._problem(request, error)
        try:
            receipts = [each for coded in found if (each := self._receipt(coded)) is not None]
            said = [word for coded in found if (word := await self._said(coded, self._language(request))) is not None]
            policy = (await self._log.state()).policy
        except Unavailable as error:
            return self._problem(request, error)
        answer = self._page(request, code=shown(code), file=f"{PREFIX}/{code}/proof", said=said, receipts=receipts, policy=policy)
        answer.headers["Content-Security-Policy"] = self._script_policy
        return answer

    async def file(self, request: Request) -> Response:
        """The receipt as a file, c2sp.org/tlog-proof@v1; a page that says why where there is none."""
        try:
            code = parse_code(request.path_params["code"])
            receipts = [each for coded in await self._find(request, code) if (each := self._receipt(coded)) is not None]
            if not receipts:
                raise NotFound("this receipt is not in the log yet")
        except CounterfoilError as error:
            return self._problem(request, NotFound() if isinstance(error, Malformed) else error)
        headers = {"Content-Disposition": f'attachment; filename="{code}.tlog-proof"', "Cache-Control": "no-store"}
        return Response(receipts[0]["receipt"], media_type="text/plain", headers=headers)

    # Parts

    async def _find(self, request: Request, code: str) -> list[Coded]:
        """Raises NotFound, and counts it, for a code that nobody was told; TooMany for whoever has guessed too often."""
        caller = counted_as(request.client.host if request.client else "")
        self._wrong.check(caller)
        if not self._wrong_in_all.has_room(None):
            self._wrong_lately.check(caller)
        found = await self.services.receipt_codes.find(code)
        if not found:
            self._wrong.spend(caller)
            for throttle, key in ((self._wrong_in_all, None), (self._wrong_lately, caller)):
                if throttle.has_room(key):
                    throttle.spend(key)
            raise NotFound
        return found

    def _receipt(self, coded: Coded) -> dict[str, str] | None:
        """The receipt with the proof of its code, for the page's script; None while no witnessed head covers it."""
        receipts = self.services.receipts
        proof = receipts.proof(coded.payment, coded.account) if receipts is not None else None
        return None if proof is None else {"receipt": proof.encode().decode(), "proof": coded.proof.hex()}

    async def _said(self, coded: Coded, language: Language) -> Said | None:
        """None for a payment that was never carried out, or that does not concern the account: then the text was wrong."""
        try:
            receipt = await self.services.payments.receipt(coded.payment, coded.account)
        except (PaymentNotFound, OrderExpired):
            return None
        payment = receipt.payment
        came_back = receipt.state in (PaymentState.RELEASED, PaymentState.EXPIRED)
        kind = language.text(KINDS[payment.kind])
        countersigned = await self.services.countersigning.is_countersigned(payment.id) if may_be_countersigned(payment) else None
        return Said(kind, payment.payer == coded.account, payment.amount, receipt.completed_at, came_back, countersigned)

    def _trouble(self, request: Request, error: CounterfoilError) -> str:
        text = self._language(request).text
        if isinstance(error, NotFound):
            return text("No text message of this scheme has this code. Compare every letter; codes of other schemes are not known here.")
        return text("This is not a receipt code. It has 12 letters and digits, such as K7QM-2XRD-9FAB: compare every one of them.")

    def _page(self, request: Request, *, status: int = 200, code: str = "", **context: Any) -> Response:
        currency = self.services.config.currency
        values = {"typed": "", "trouble": "", "file": "", "said": [], "receipts": [], "policy": ""}
        told = {"words": words(self._language(request)), "currency": {"code": currency.code, "digits": currency.digits}}
        return self._render(request, "receipt.html", status=status, home="/", code=code, told=told, **(values | context))
