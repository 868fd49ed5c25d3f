"""SMS gateways call here: /sms/NAME/SECRET/report with delivery reports, /sms/NAME/SECRET/in with texts that came in.

A gateway has no signature to show, so a secret in the address, and the networks that it calls from, say who it is; whoever
knows neither hears what the router says of a path that is none. The answer has no body: smsbox would send it as a text.

    200   kept: a repeat changes nothing
    400   not in the gateway's form, 413 too large, 429 too many: not to be sent again
    503   not kept: to be sent again

Neither the text nor the secret is logged, nor a label of a metric; logs name the gateway.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from counterfoil.channels.gateways import http_sms, kannel
from counterfoil.channels.sms.types import Called, Inbound, Report
from counterfoil.clock import Clock
from counterfoil.errors import Malformed, Refused, TooLarge, TooMany, Unavailable
from counterfoil.gateway_settings import SmsGateway
from counterfoil.web import problems
from counterfoil.web.endpoint import PATH_SIZE_MAX
from counterfoil.web.incoming import Answer, Application, ClientGone, Incoming, Receive, Scope, Send
from counterfoil.web.metrics import Metrics
from counterfoil.web.throttle import Throttle

PREFIX = "/sms/"
ROUTES = {"report": "/sms/{name}/{secret}/report", "in": "/sms/{name}/{secret}/in"}
"""What logs and metrics call these addresses."""
BODY_SIZE_MAX = 131_072
"""Bytes: a text of 255 parts, the longest that phones can make, is less."""
CALLS_PER_S = 500
"""Of one gateway, in the long run."""
CALLS_BURST = 5_000
_REPORTS: dict[str, Callable[[Called], Report]] = {"kannel": kannel.read_report, "http": http_sms.read_report}
_TEXTS: dict[str, Callable[[Called], Inbound]] = {"kannel": kannel.read_text, "http": http_sms.read_text}

log = structlog.get_logger("counterfoil.web")


class SmsCallbacks:
    """The addresses of `gateways` as an ASGI application; every other request goes on to `elsewhere`, unread."""

    def __init__(
        self,
        gateways: Sequence[SmsGateway],
        *,
        reported: Callable[[Report], Awaitable[None]],
        received: Callable[[Inbound], Awaitable[None]],
        clock: Clock,
        metrics: Metrics,
        elsewhere: Application,
        common_headers: Iterable[problems.Header],
    ) -> None:
        """`reported` and `received` keep what they are given before they return; Unavailable when they cannot."""
        self._gateways = {gateway.name: gateway for gateway in gateways if gateway.secret and gateway.kind in _REPORTS}
        self._networks = {gateway.name: tuple(map(ipaddress.ip_network, gateway.addresses)) for gateway in gateways}
        self._reported = reported
        self._received = received
        self._clock = clock
        self._metrics = metrics
        self._elsewhere = elsewhere
        self._common_headers = tuple(common_headers)
        self._throttle = Throttle(clock, burst=CALLS_BURST, per_minute=60 * CALLS_PER_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request of a gateway."""
        request = Incoming(scope, "")
        found = self._found(request)
        if found is None:
            await self._elsewhere(scope, receive, send)
            return
        gateway, what = found
        try:
            status = await self._take(gateway, what, request, receive)
        except ClientGone:
            return
        self._metrics.request(request.method[:16], ROUTES[what], status)
        log.info("request", method=request.method[:16], route=ROUTES[what], gateway=gateway.name, status=status)
        headers = (*self._common_headers, (b"cache-control", b"no-store"))
        await Answer(b"", status=status, media_type="text/plain; charset=utf-8", headers=headers).send(receive, send)

    def _found(self, request: Incoming) -> tuple[SmsGateway, str] | None:
        """Whose address this is, and for what; None for a wrong one. A wrong secret takes as long as another wrong one."""
        if len(request.path) > PATH_SIZE_MAX or request.method not in ("GET", "POST"):
            return None
        name, _, rest = request.path.removeprefix(PREFIX).partition("/")
        secret, _, what = rest.partition("/")
        gateway = self._gateways.get(name)
        is_right = hmac.compare_digest(_digest(secret), _digest(gateway.secret if gateway else ""))
        return (gateway, what) if gateway and is_right and what in ROUTES and self._may_call(gateway, request.ip) else None

    def _may_call(self, gateway: SmsGateway, ip: str) -> bool:
        if not gateway.addresses:
            return True
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks[gateway.name])

    async def _take(self, gateway: SmsGateway, what: str, request: Incoming, receive: Receive) -> int:
        """The status to answer."""
        try:
            await request.read_body(receive, BODY_SIZE_MAX)
            self._throttle.spend(gateway.name)
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
            called = Called(gateway=gateway.name, method=request.method, query=request.query, headers=headers, body=request.body)
            if what == "report":
                await self._reported(_REPORTS[gateway.kind](called))
            else:
                await self._received(_TEXTS[gateway.kind](called))
        except (Malformed, TooLarge, TooMany) as refusal:
            log.warning("callback_refused", gateway=gateway.name, detail=refusal.detail)
            return refusal.status
        except Refused as refusal:
            log.warning("callback_refused", gateway=gateway.name, detail=refusal.code)
            return 400
        except Unavailable as error:
            log.warning("callback_waits", gateway=gateway.name, error=error.code)
            return 503
        return 200


def _digest(secret: str) -> bytes:
    """Of one length, so that comparing tells nothing of the length either."""
    return hashlib.sha256(secret.encode("latin-1")).digest()
