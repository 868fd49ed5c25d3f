"""A simple telephone in the browser, for whoever wants to try what people without a smartphone have. In a sandbox only.

    /simulator                    the telephone; ?number= chooses whose it is; on a wide screen a second one that it can pay
    /simulator/texts?number=      JSON: what that number was sent, newest first

It speaks to the callback of the gateway that the settings call "simulator", of Africa's Talking's kind, as a network's
gateway would: the page is told the address, secret included, which is why neither page is there outside a sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from counterfoil.channels.sms.service import Sms
from counterfoil.config import Config
from counterfoil.errors import Malformed
from counterfoil.i18n import Language
from counterfoil.ids import id_text
from counterfoil.moments import moment_text
from counterfoil.parties.numbers import parse_number
from counterfoil.web.callbacks import callback_path

PATH = "/simulator"
GATEWAY = "simulator"
"""The gateway's name in the settings."""
KIND = "africastalking"
CODE = "*384#"
"""What people dial."""
KEYS = (
    ("1", ""), ("2", "abc"), ("3", "def"), ("4", "ghi"), ("5", "jkl"), ("6", "mno"), ("7", "pqrs"), ("8", "tuv"), ("9", "wxyz"),
    ("*", ""), ("0", ""), ("#", ""),
)  # fmt: skip
NUMBER_SIZE_MAX = 20
TEXTS_MAX = 10
"""Texts that a telephone shows."""

Render = Callable[..., Response]


class Telephone(msgspec.Struct, frozen=True):
    """A telephone that is offered: whose it is, its number, E.164, and what its holder reads."""

    name: str
    number: str
    language: str = ""


class Telephones(msgspec.Struct, frozen=True):
    """The telephones that are offered, and the PIN that all their holders have; "" where there is none to tell."""

    offered: Sequence[Telephone] = ()
    pin: str = ""


def is_simulator(path: str) -> bool:
    """Whether an address belongs to these pages."""
    return path == PATH or path.startswith(f"{PATH}/")


class SimulatorPages:
    """The routes, for `web.pages`, which renders them.

    Attributes:
        callback: the path that the telephone speaks to; "" where there is no telephone.
    """

    def __init__(
        self,
        config: Config,
        telephones: Telephones,
        sms: Sms,
        *,
        render: Render,
        language: Callable[[Request], Language],
        headers: dict[str, str],
    ) -> None:
        ours = (gateway for gateway in config.ussd if (gateway.name, gateway.kind) == (GATEWAY, KIND))
        self.callback = next(map(callback_path, ours), "") if config.sandbox else ""
        self._telephones = telephones
        self._sms = sms
        self._region = config.region
        self._render = render
        self._language = language
        self._headers = headers

    def routes(self) -> list[BaseRoute]:
        return [Route(PATH, self.telephone), Route(f"{PATH}/texts", self.texts)] if self.callback else []

    async def telephone(self, request: Request) -> Response:
        asked = request.query_params.get("number", "")[:NUMBER_SIZE_MAX]
        numbers = [each.number for each in self._ordered(self._language(request).code)]
        chosen = asked if asked in numbers else "" if asked or not numbers else numbers[0]
        answer = self._render(
            request,
            "simulator/telephone.html",
            home="/",
            telephones=self._telephones.offered,
            pin=self._telephones.pin,
            chosen=chosen,
            other="" if chosen else asked,
            second=next((number for number in numbers if number != chosen), ""),
            keys=KEYS,
            code=CODE,
            callback=self.callback,
            words=words(self._language(request)),
        )
        answer.headers["Content-Security-Policy"] += "; script-src 'self'; connect-src 'self'"
        return answer

    def _ordered(self, language: str) -> list[Telephone]:
        """Those first whose holders read the page's language."""
        return sorted(self._telephones.offered, key=lambda each: each.language != language)

    async def texts(self, request: Request) -> Response:
        try:
            number = parse_number(request.query_params.get("number", ""), self._region)
        except Malformed:
            return JSONResponse({"texts": []}, headers=self._headers)
        kept = await self._sms.to_number(number, TEXTS_MAX)
        texts = [
            {"id": id_text(each.id), "text": each.text, "at": moment_text(at)}
            for at, each in sorted(((each.sent_at, each) for each in kept if each.sent_at), key=itemgetter(0), reverse=True)
        ]
        return JSONResponse({"texts": texts}, headers=self._headers)


def words(language: Language) -> dict[str, Any]:
    """What the telephone itself says."""
    return {
        "dial": language.text("Dial %(code)s", code=CODE),
        "running": language.text("USSD running…"),
        "no_service": language.text("Connection problem or invalid MMI code."),
        "no_answer": language.text("The network does not answer."),
        "timed_out": language.text("Time is up. The call has ended."),
        "no_texts": language.text("None so far."),
    }
