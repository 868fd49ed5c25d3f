"""USSD gateways call here: /ussd/NAME/SECRET, with whatever their own form puts behind it.

    request ── name, secret, address right? ──no──> the router, which knows no such path: 404 as for any other
                      │ yes
                form.read ──> Hop ──> the USSD service ──> Screen ──> form.screen

A gateway has no signature to show, so a secret in the address, and the networks that it calls from, say who it is. Once it
is known, it hears 200 and words that a person can read, whatever happens: with any other status gateways show nothing
useful. Neither what is typed nor the secret is logged, nor a label of a metric; logs name the gateway.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import traceback
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
import structlog

from counterfoil.channels.gateways import africastalking, crossgate, hollatags, infobip, sendexa
from counterfoil.channels.gateways.forms import Answer as Shown
from counterfoil.channels.gateways.forms import Asked, Ended, Form, Heard, IsItOpen
from counterfoil.channels.ussd.fitting import fits, writable
from counterfoil.channels.ussd.types import Hop, Screen
from counterfoil.clock import Clock
from counterfoil.errors import Malformed, TooLarge, TooMany, Unavailable
from counterfoil.gateway_settings import USSD_KINDS, UssdGateway
from counterfoil.i18n import Language
from counterfoil.parties.numbers import parse_number
from counterfoil.parties.pin_brake import asked_from
from counterfoil.web import problems
from counterfoil.web.endpoint import PATH_SIZE_MAX
from counterfoil.web.incoming import Answer, Application, ClientGone, Incoming, Receive, Scope, Send
from counterfoil.web.metrics import Metrics
from counterfoil.web.throttle import Throttle

PREFIX = "/ussd/"
ROUTE = "/ussd/{name}/{secret}"
"""What logs and metrics call every one of these addresses."""
BODY_SIZE_MAX = 16_384
"""Bytes of a gateway's request: a long session's whole transcript, and room for what else gateways send."""
HOPS_PER_S = 500
"""Of one gateway, in the long run: what 2,500 people type who think for five seconds, and more than two cores answer."""
HOPS_BURST = 2_000
HOPS_AT_ONCE_MAX = 4_000
"""Hops that wait for their screens, those included whose gateway has stopped waiting."""
ANSWER_S_MAX = 3.5
"""Gateways give up between 5 and 15 seconds; what a hop has begun goes on meanwhile, and is found on dialling again."""

FORMS: dict[str, Form] = {
    "africastalking": africastalking,
    "crossgate": crossgate,
    "hollatags": hollatags,
    "infobip": infobip,
    "sendexa": sendexa,
}
assert set(FORMS) == set(USSD_KINDS), FORMS

log = structlog.get_logger("counterfoil.web")


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


LATE = N_("This takes longer than usual. If you paid, a text tells you how it ended. Please dial again later.")
BUSY = N_("Too many people are calling right now. Please dial again in a minute.")
UNREAD = N_("This call could not be understood. Please dial again.")
BROKEN = N_("Something went wrong on our side. Please dial again in a few minutes.")


class Engine(Protocol):
    """The USSD service, as far as callbacks use it."""

    async def answer(self, hop: Hop) -> Screen: ...

    async def ended(self, gateway: str, session: str) -> None: ...

    async def is_open(self, gateway: str, session: str) -> bool: ...


def callback_path(gateway: UssdGateway) -> str:
    """The address that a gateway is told, without the server's name."""
    return f"{PREFIX}{gateway.name}/{gateway.secret}"


class Callbacks:
    """The addresses of `gateways` as an ASGI application; every other request goes on to `elsewhere`, unread.

    `language`: that of words for a phone whose holder's language is not known.
    """

    def __init__(
        self,
        gateways: Sequence[UssdGateway],
        *,
        ussd: Engine,
        region: str,
        language: Language,
        clock: Clock,
        metrics: Metrics,
        elsewhere: Application,
        common_headers: Iterable[problems.Header],
    ) -> None:
        self._gateways = {gateway.name: gateway for gateway in gateways}
        self._networks = {gateway.name: tuple(map(ipaddress.ip_network, gateway.addresses)) for gateway in gateways}
        self._ussd = ussd
        self._region = region
        self._language = language
        self._clock = clock
        self._metrics = metrics
        self._elsewhere = elsewhere
        self._common_headers = tuple(common_headers)
        self._throttle = Throttle(clock, burst=HOPS_BURST, per_minute=60 * HOPS_PER_S)
        self._under_way: set[asyncio.Task[Screen]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request of a gateway."""
        started = self._clock.monotonic_ns()
        request = Incoming(scope, "")
        gateway = self._gateway(request)
        if gateway is None:
            await self._elsewhere(scope, receive, send)
            return
        try:
            shown = await self._answer(gateway, request, receive)
        except ClientGone:
            return
        self._metrics.request(request.method[:16], ROUTE, 200)
        milliseconds = (self._clock.monotonic_ns() - started) // 1_000_000
        log.info("request", method=request.method[:16], route=ROUTE, gateway=gateway.name, status=200, ms=milliseconds)
        headers = (*self._common_headers, (b"cache-control", b"no-store"))
        await Answer(shown.body, media_type=shown.media_type, headers=headers).send(receive, send)

    def _gateway(self, request: Incoming) -> UssdGateway | None:
        """Whose address this is; None for a wrong name, secret or network. A wrong secret takes as long as another wrong one."""
        if len(request.path) > PATH_SIZE_MAX:
            return None
        name, _, behind = request.path.removeprefix(PREFIX).partition("/")
        gateway = self._gateways.get(name)
        expected = gateway.secret if gateway else ""
        is_right = hmac.compare_digest(_digest(behind.partition("/")[0]), _digest(expected))
        return gateway if gateway and is_right and self._may_call(gateway, request.ip) else None

    def _may_call(self, gateway: UssdGateway, ip: str) -> bool:
        networks = self._networks[gateway.name]
        if not networks:
            return True
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in networks)

    async def _answer(self, gateway: UssdGateway, request: Incoming, receive: Receive) -> Shown:
        """What the gateway hears. Raises ClientGone and nothing else."""
        form = FORMS[gateway.kind]
        try:
            heard = await self._heard(gateway, form, request, receive)
            if isinstance(heard, Ended):
                await self._ussd.ended(gateway.name, heard.session)
                return form.ended(heard.session)
            if isinstance(heard, IsItOpen):
                return heard.yes if await self._ussd.is_open(gateway.name, heard.session) else heard.no
            return form.screen(heard, await self._screen(heard))
        except (Malformed, TooLarge) as refusal:
            log.warning("callback_refused", gateway=gateway.name, detail=refusal.detail)
            words = self._say(UNREAD)
            told = f"{words}\n{refusal.detail}"
            return form.refusal(told if fits(told) else words)
        except TooMany:
            return form.refusal(self._say(BUSY))
        except Unavailable:
            return form.refusal(self._say(LATE))
        except ClientGone:
            raise
        except Exception as error:
            _log_bug(gateway.name, error)
            return form.refusal(self._say(BROKEN))

    async def _heard(self, gateway: UssdGateway, form: Form, request: Incoming, receive: Receive) -> Heard:
        await request.read_body(receive, BODY_SIZE_MAX)
        self._throttle.spend(gateway.name)
        rest = request.path.removeprefix(callback_path(gateway))
        heard = form.read(Asked(gateway=gateway.name, method=request.method, rest=rest, query=request.query, body=request.body))
        if isinstance(heard, Hop):
            return msgspec.structs.replace(heard, number=parse_number(heard.number, self._region))
        return heard

    async def _screen(self, hop: Hop) -> Screen:
        """The hop's screen, or an end in words where it does not come in time. What the hop does is never broken off."""
        if len(self._under_way) >= HOPS_AT_ONCE_MAX:
            return Screen(self._say(BUSY), ends=True)
        task = asyncio.create_task(self._carried_out(hop))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        finished, _ = await asyncio.wait((task,), timeout=ANSWER_S_MAX)
        if not finished:
            log.warning("hop_late", gateway=hop.gateway)
            return Screen(self._say(LATE), ends=True)
        return task.result()

    def _say(self, words: str) -> str:
        return writable(self._language.text(words))

    async def _carried_out(self, hop: Hop) -> Screen:
        try:
            with asked_from("ussd", hop.gateway):
                return await self._ussd.answer(hop)
        except Unavailable:
            return Screen(self._say(LATE), ends=True)
        except Exception as error:
            _log_bug(hop.gateway, error)
            return Screen(self._say(BROKEN), ends=True)


def _digest(secret: str) -> bytes:
    """Of one length, so that comparing tells nothing of the length either."""
    return hashlib.sha256(secret.encode("latin-1")).digest()


def _log_bug(gateway: str, error: Exception) -> None:
    """Where it happened, without the error's own words: what was typed may stand in them."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("callback_failed", gateway=gateway, error=type(error).__name__, where=where)
