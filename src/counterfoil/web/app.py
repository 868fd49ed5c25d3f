"""The whole web as one ASGI application: the hot route in front, the other endpoints behind it.

    request ─┬─ POST /v1/payments ──> hot
             ├─ /wallet, /till, /static ─> apps
             ├─ /, /staff, /proof ───> pages
             ├─ /log/ ──────────────> tiles
             ├─ /ussd/, /sms/ ──────> callbacks
             └─ everything else ────> router ──> authentication ──> endpoint

Start and stop belong to `counterfoil.app`: run uvicorn with `lifespan="off"`.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.folder import log_folder
from counterfoil.i18n import languages
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.note import Note
from counterfoil.tlog.published import PublishedLog
from counterfoil.web import openapi
from counterfoil.web.api.account import AccountEndpoints
from counterfoil.web.api.announcements import AnnouncementEndpoints
from counterfoil.web.api.asking import AskingEndpoints
from counterfoil.web.api.baskets import BasketEndpoints
from counterfoil.web.api.cards import CardEndpoints
from counterfoil.web.api.countersignatures import CountersignatureEndpoints
from counterfoil.web.api.events import EventEndpoints
from counterfoil.web.api.fuel import FuelEndpoints
from counterfoil.web.api.links import LinkEndpoints
from counterfoil.web.api.merchants import MerchantEndpoints
from counterfoil.web.api.messages import MessageEndpoints
from counterfoil.web.api.operation import OperationEndpoints
from counterfoil.web.api.parking import ParkingEndpoints
from counterfoil.web.api.people import PeopleEndpoints
from counterfoil.web.api.proofs import ProofEndpoints
from counterfoil.web.api.push import PushEndpoints
from counterfoil.web.api.scheme import SchemeEndpoints
from counterfoil.web.api.sign_in import SignInEndpoints
from counterfoil.web.api.sim_changes import SimChangeEndpoints
from counterfoil.web.api.staff import StaffEndpoints
from counterfoil.web.api.statements import StatementEndpoints
from counterfoil.web.api.tills import TillEndpoints
from counterfoil.web.api.watchers import WatcherEndpoints
from counterfoil.web.apps import Apps
from counterfoil.web.authentication import Authenticator
from counterfoil.web.callbacks import PREFIX as USSD_PREFIX
from counterfoil.web.callbacks import Callbacks
from counterfoil.web.desk import Desk
from counterfoil.web.endpoint import Endpoint, Operation
from counterfoil.web.guesses import Guesses
from counterfoil.web.hot import PATH as HOT_PATH
from counterfoil.web.hot import HotPayments
from counterfoil.web.incoming import Application, Receive, Scope, Send, request_ids
from counterfoil.web.metrics import Metrics, Reading
from counterfoil.web.pages import Pages, is_page
from counterfoil.web.problems import Titles
from counterfoil.web.public_log import PublicLog
from counterfoil.web.router import Router
from counterfoil.web.services import Services
from counterfoil.web.sessions import StaffSessions
from counterfoil.web.simulator import Telephones
from counterfoil.web.sms_callbacks import PREFIX as SMS_PREFIX
from counterfoil.web.sms_callbacks import SmsCallbacks
from counterfoil.web.tiles import PREFIX as LOG_PREFIX
from counterfoil.web.tiles import Tiles

COMMON_HEADERS = [
    (b"server", b"counterfoil"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
"""With every answer of the API. Pages have a policy of their own."""


class WebApplication:
    """Built by `create_app`.

    Attributes:
        hot: the route of payments, for the server's short way to it.
        operations: everything that is offered, the hot route included.
        document: the OpenAPI description.
        sessions: of staff who look at the pages.
        apps: wallet and till.
    """

    def __init__(
        self,
        *,
        hot: HotPayments,
        router: Application,
        pages: Application,
        apps: Apps,
        tiles: Application,
        callbacks: Application,
        sms_callbacks: Application,
        operations: list[Operation],
        document: dict[str, Any],
        sessions: StaffSessions,
    ) -> None:
        self.hot = hot
        self._router = router
        self._pages = pages
        self.apps = apps
        self._tiles = tiles
        self._callbacks = callbacks
        self._sms_callbacks = sms_callbacks
        self.sessions = sessions
        self.operations = operations
        self.document = document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"] == HOT_PATH and scope["method"] == "POST" and not scope["query_string"]:
                await self.hot(scope, receive, send)
            elif self.apps.has(scope["path"]):
                await self.apps(scope, receive, send)
            elif is_page(scope["path"]):
                await self._pages(scope, receive, send)
            elif scope["path"].startswith(LOG_PREFIX):
                await self._tiles(scope, receive, send)
            elif scope["path"].startswith(USSD_PREFIX):
                await self._callbacks(scope, receive, send)
            elif scope["path"].startswith(SMS_PREFIX):
                await self._sms_callbacks(scope, receive, send)
            else:
                await self._router(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await _lifespan(receive, send)


def create_app(services: Services, telephones: Telephones | None = None) -> WebApplication:
    """The web over a scheme's running parts. `telephones`: those that the simulator offers, where there is one."""
    config, clock = services.config, services.clock
    sessions = StaffSessions(clock)
    guesses = Guesses(clock)
    next_request_id = request_ids(clock.random_bytes(6).hex())
    published = PublishedLog(log_folder(config))
    metrics = Metrics(lambda: _reading(services, published))
    public_log = PublicLog(published.folder, clock)
    titles = Titles(config.languages)
    hot = HotPayments(
        payments=services.payments,
        clock=clock,
        guesses=guesses,
        metrics=metrics,
        next_request_id=next_request_id,
        titles=titles,
        body_size_max=config.body_size_max,
        common_headers=COMMON_HEADERS,
    )
    operation = OperationEndpoints(
        store=services.store,
        ledger=services.ledger,
        clock=clock,
        metrics=metrics,
        is_running=services.is_running,
        last_check=services.last_check,
    )
    desk = Desk(acceptance=services.acceptance, parties=services.parties)
    endpoints: list[Endpoint] = [
        *SchemeEndpoints(config=config, clock=clock, payments=services.payments, parties=services.parties, guesses=guesses).endpoints(),
        *AccountEndpoints(
            payments=services.payments,
            parties=services.parties,
            ledger=services.ledger,
            history=services.history,
            zone=ZoneInfo(config.time_zone),
        ).endpoints(),
        *StatementEndpoints(
            config=config,
            clock=clock,
            currency=services.payments.rules.currency,
            parties=services.parties,
            ledger=services.ledger,
            history=services.history,
        ).endpoints(),
        *AskingEndpoints(
            requests=services.requests, batches=services.batches, standing=services.standing, rules=services.payments.rules
        ).endpoints(),
        *CountersignatureEndpoints(countersigning=services.countersigning).endpoints(),
        *PeopleEndpoints(parties=services.parties, guesses=guesses).endpoints(),
        *WatcherEndpoints(parties=services.parties, guesses=guesses).endpoints(),
        *SimChangeEndpoints(parties=services.parties, approvals=services.approvals).endpoints(),
        *LinkEndpoints(parties=services.parties, clock=clock).endpoints(),
        *MerchantEndpoints(tokens=services.tokens, webhooks=services.webhooks).endpoints(),
        *EventEndpoints(feed=services.feed, hub=services.hub, clock=clock).endpoints(),
        *MessageEndpoints(
            conversations=services.conversations,
            reports=services.reports,
            happenings=services.happenings,
            parties=services.parties,
            scheme_name=config.scheme_name,
        ).endpoints(),
        *AnnouncementEndpoints(
            announcements=services.announcements,
            approvals=services.approvals,
            reports=services.reports,
            part_cost=config.text_part_cost,
        ).endpoints(),
        *StaffEndpoints(
            parties=services.parties,
            approvals=services.approvals,
            ledger=services.ledger,
            clock=clock,
            currency_ledger=services.payments.rules.currency.ledger,
        ).endpoints(),
        *CardEndpoints(cards=services.acceptance.cards, parties=services.parties).endpoints(),
        *TillEndpoints(
            config=config,
            desk=desk,
            acceptance=services.acceptance,
            parties=services.parties,
            ledger=services.ledger,
            feed=services.feed,
            clock=clock,
            guesses=guesses,
        ).endpoints(),
        *BasketEndpoints(acceptance=services.acceptance, desk=desk).endpoints(),
        *ParkingEndpoints(acceptance=services.acceptance, desk=desk).endpoints(),
        *FuelEndpoints(acceptance=services.acceptance, desk=desk).endpoints(),
        *ProofEndpoints(
            payments=services.payments,
            receipts=services.receipts,
            log=public_log,
            witnesses=services.witnesses,
            audited=services.audited,
        ).endpoints(),
        *PushEndpoints(push=services.push, clock=clock).endpoints(),
        *SignInEndpoints(sessions=sessions, clock=clock).endpoints(),
        *operation.endpoints(),
    ]
    operations = [hot.operation(), *map(Operation, endpoints)]
    document = openapi.document(operations, title=config.scheme_name)
    operation.document = msgspec.json.encode(document)
    router = Router(
        operations,
        authenticator=Authenticator(parties=services.parties, tokens=services.tokens, clock=clock, guesses=guesses),
        clock=clock,
        metrics=metrics,
        next_request_id=next_request_id,
        titles=titles,
        body_size_max=config.body_size_max,
        common_headers=COMMON_HEADERS,
    )
    pages = Pages(services, sessions, public_log, telephones or Telephones(), guesses).application()
    tiles = Tiles(public_log.folder, metrics=metrics, next_request_id=next_request_id, common_headers=COMMON_HEADERS)
    callbacks = Callbacks(
        config.ussd,
        ussd=services.ussd,
        region=config.region,
        language=next(iter(languages(config.languages).values())),
        clock=clock,
        metrics=metrics,
        elsewhere=router,
        common_headers=COMMON_HEADERS,
    )
    sms_callbacks = SmsCallbacks(
        config.sms,
        reported=services.sms.reported,
        received=services.inbox.receive,
        clock=clock,
        metrics=metrics,
        elsewhere=router,
        common_headers=COMMON_HEADERS,
    )
    return WebApplication(
        hot=hot,
        router=router,
        pages=pages,
        apps=Apps(config),
        tiles=tiles,
        callbacks=callbacks,
        sms_callbacks=sms_callbacks,
        operations=operations,
        document=document,
        sessions=sessions,
    )


def _reading(services: Services, published: PublishedLog) -> Reading:
    check = services.last_check()
    batches, batched = services.ledger.batches
    return Reading(
        ledger_queue=services.ledger.waiting,
        store_queue=services.store.waiting,
        ledger_last_timestamp=services.ledger.last_timestamp,
        ledger_batches=batches,
        ledger_batched=batched,
        subscribers=services.feed.subscribed,
        check_passed=check.passed if check else None,
        check_at=check.at if check else 0,
        log_size=_size(published.checkpoint()),
        log_witnessed_size=_size(published.witnessed()),
        sms=services.sms.reading(),
        wrong_pins=services.parties.pins.brake.wrong_by_channel,
        pins_held_back=services.parties.pins.brake.refused,
        pin_brakes=services.parties.pins.brake.places_on,
    )


def _size(head: Note | None) -> int:
    return 0 if head is None else Checkpoint.parse(head.text).size


async def _lifespan(receive: Receive, send: Send) -> None:
    """Agrees to whatever a server asks: what is to be started and stopped is not ours."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
