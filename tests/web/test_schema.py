"""The API against its own description: whatever is sent, every answer is one that the description has.

schemathesis makes the requests, good and bad, for every operation; here they get real signatures, real tokens and, half of
the time, ids and orders that exist, so that they come further than the door.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest
import requests
from requests.auth import AuthBase
from schemathesis import Case, GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi import from_dict

from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.parties.tokens import Scope
from counterfoil.parties.types import StaffRole
from counterfoil.payments import forms
from tests.scheme import Person
from tests.web.site import Site, serving, signed_body

ANSWERS_EXPECTED = [
    "2xx",
    "400",  # texts that are more than their pattern: a number that exists, base64 whose bytes are an order
    "401",
    "403",
    "404",
    "409",
    "413",
    "422",
    "429",
    "503",
]
"""Answers to a request that follows the description: it cannot say which numbers exist and what may be paid."""
EXAMPLES_MAX = 12
"""Requests of each kind for each operation: some 1,800 in all."""
ORIGIN = "counterfoil.localhost/log"
EVENTS = ["/v1/events", "/v1/till/events"]  # have no end; test_events and test_tills listen to them


class Server:
    """A site in a thread with an event loop of its own: schemathesis waits for answers in ours."""

    def __init__(self, folder: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.site: Site
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(folder,))
        self._thread.start()
        assert self._ready.wait(30)
        if self._failed:
            raise self._failed

    def _run(self, folder: Any) -> None:
        async def serve() -> None:
            try:
                async with serving(folder, body_size_max=65_536) as site:
                    self.site = site
                    self._ready.set()
                    await self._stop.wait()
            except BaseException as error:
                self._failed = error
                self._ready.set()
                raise

        self.loop.run_until_complete(serve())

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self.loop.close()


class Town:
    """People to call as, and things that exist."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.site = server.site
        self.customer: Person
        self.shop: Person
        self.spare: Person
        self.staff: list[Person]
        self.token = ""
        self.till = ""
        self.ids: dict[str, list[str]] = {}
        self.seen: dict[str, set[int]] = {}
        self.chance = random.Random(1)
        server.call(self._settle())

    async def _settle(self) -> None:
        site, scheme = self.site, self.site.scheme
        self.customer, self.shop = await scheme.customer(funds=900_000), await scheme.merchant(funds=10_000)
        self.spare = await scheme.customer()
        self.staff = [await site.staff_member(role) for role in (StaffRole.SUPERVISOR, StaffRole.TREASURER, StaffRole.TREASURER)]
        self.token = await site.token(self.shop, *(scope for scope in Scope if scope is not Scope.TILL))
        till = await site.ok(self.shop, "POST", "/v1/tills", {"id": id_text(new_id(scheme.clock)), "name": "Front"})
        self.till = (await site.ok(None, "POST", "/v1/tills/pair", {"code": till["pairing_code"], "label": "tablet"}))["token"]
        paid = [(await self.customer.pay(self.shop, 1_000)).payment.id for _ in range(20)]
        holds = [(await self.customer.hold(self.shop, 100)).payment.id for _ in range(20)]
        asked = [await self.shop.ask(self.customer, 50) for _ in range(20)]
        webhooks = [{"id": id_text(new_id(scheme.clock)), "url": "http://127.0.0.1:9/hook"} for _ in range(8)]
        for webhook in webhooks:
            await site.ok(self.shop, "POST", "/v1/webhooks", webhook)
        body: dict[str, Any] = {"label": "spare", "scopes": ["payments:read"], "expires_at": site.in_seconds(3_600)}
        tokens = [(await site.ok(self.shop, "POST", "/v1/tokens", body))["id"] for _ in range(5)]
        proposals: list[str] = []
        for _ in range(20):
            body = {
                "id": id_text(new_id(scheme.clock)),
                "kind": "reversal",
                "reason": "in a test",
                "reversal": {"payment": id_text(paid[0])},
            }
            await site.ok(self.staff[0], "POST", "/v1/staff/proposals", body)
            proposals.append(body["id"])
        freezes: list[str] = []
        for _ in range(8):
            body = {"id": id_text(new_id(scheme.clock)), "party": id_text(self.spare.party), "reason": "in a test"}
            await site.ok(self.staff[0], "POST", "/v1/staff/freezes", body)
            freezes.append(body["id"])
        self.ids = {
            "/v1/payments/": [id_text(each) for each in paid + holds],
            "/v1/requests/": [id_text(each) for each in asked],
            "/v1/webhooks/": [webhook["id"] for webhook in webhooks],
            "/v1/tokens/": tokens,
            "/v1/staff/proposals/": proposals,
            "/v1/staff/parties/": [id_text(self.spare.party)],
            "/v1/staff/freezes/": freezes,
            "/v1/standing-orders/": [await self._standing_order()],
            "/v1/batches/": [await self._batch()],
            "hold": [id_text(each) for each in holds],
            "payment": [id_text(each) for each in paid],
        }

    async def _standing_order(self) -> str:
        now_ms = self.site.services.clock.now_ns() // 1_000_000
        form = forms.StandingOrder(
            ORIGIN, "USD", self.shop.account, self.customer.account, 5, 9, new_id(self.site.scheme.clock), now_ms, forms.Every.MONTH, 0, ""
        )
        made = await self.site.ok(None, "POST", "/v1/standing-orders", signed_body(self.shop.sign(forms.encode(form))))
        return str(made["id"])

    async def _batch(self) -> str:
        now_ms, file = self.site.services.clock.now_ns() // 1_000_000, f"to,amount,memo\n{self.customer.address},1.00,wage\n"
        lines_hash = hashlib.sha256(file.encode()).digest()
        form = forms.Batch(ORIGIN, "USD", self.shop.account, new_id(self.site.scheme.clock), 1, 100, 9, now_ms + 60_000, lines_hash, "")
        body = signed_body(self.shop.sign(forms.encode(form))) | {"file": file}
        return str((await self.site.ok(None, "POST", "/v1/batches", body))["id"])

    def half(self) -> bool:
        return self.chance.random() < 0.5

    def make_real(self, case: Case) -> None:
        """Gives a good request what exists, half of the time: ids in the path, in the query and in the body, a signed order."""
        path, parameters, body = case.operation.path, case.path_parameters, case.body
        if not self.half():
            return
        for prefix, ids in self.ids.items():
            if parameters and "id" in parameters and path.startswith(prefix):
                parameters["id"] = self.chance.choice(ids)
        if parameters and "account" in parameters:
            parameters["account"] = id_text(self.customer.account)
        if parameters and "month" in parameters:
            parameters["month"] = "2026-11"
        if parameters and "code" in parameters:
            parameters["code"] = "insufficient_funds"
        if case.query and "payee" in case.query:
            case.query = {"payee": id_text(self.spare.account), "amount": 50}
        if case.query and "address" in case.query:
            case.query["address"] = self.spare.address
        if path == "/v1/payments":
            signed = self.customer.sign(self.customer.order(self.shop, self.chance.randrange(10, 99)))
            case.body = dict(signed_body(signed))
        elif path == "/v1/accounts":
            case.body = self.server.call(self.site.enrolment("Somebody"))
        elif isinstance(body, dict):
            real: dict[str, Any] = {field: self.chance.choice(self.ids[field]) for field in ("hold", "payment") if field in body}
            real |= {"address": self.spare.address, "number": "+254712345678", "expires_at": self.site.in_seconds(3_600)}
            real |= {"to": id_text(self.customer.account), "text": "hello"}
            real |= {"reason": "in a test", "language": "en", "payer": id_text(self.spare.account), "since": self.site.in_seconds(-60)}
            real |= {"party": id_text(self.spare.party), "url": "http://127.0.0.1:9/hook", "event_types": [], "tier": "identity_seen"}
            case.body = body | {field: value for field, value in real.items() if field in body}


class Credentials(AuthBase):
    """Signs the request as it is sent, or gives it the token: what the operation asks for."""

    def __init__(self, town: Town, case: Case) -> None:
        security = case.operation.definition.raw.get("security", [])
        names = [name for each in security for name in each]
        self.town = town
        self.untouched = case.meta is not None and case.meta.is_negative_at(ParameterLocation.HEADER)  # this is what is wrong with it
        self.by_token = "BearerToken" in names and ("DeviceSignature" not in names or town.half())
        self.by_device = "DeviceSignature" in names and not self.by_token
        self.at_till = f"{case.operation.path}/".startswith("/v1/till/")
        self.person = town.chance.choice(town.staff) if "/staff/" in case.operation.path else town.shop

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.untouched:
            return request
        for name in ("Signature", "Signature-Input", "Content-Digest", "Authorization"):
            request.headers.pop(name, None)
        if self.by_token:
            request.headers["Authorization"] = f"Bearer {self.town.till if self.at_till else self.town.token}"
        elif self.by_device:
            assert request.url is not None
            assert request.method is not None
            parts = urlsplit(request.url)
            body = request.body.encode() if isinstance(request.body, str) else request.body or b""
            assert isinstance(body, bytes)
            request.headers.update(self.town.site.signature(self.person, request.method, parts.path, body, query=parts.query))
        return request


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    server = Server(tmp_path_factory.mktemp("scheme"))
    try:
        yield Town(server)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def api(town: Town) -> Any:
    document = json.loads(json.dumps(town.site.app.document))
    schema = from_dict(document)
    schema.config.update(base_url=f"http://127.0.0.1:{town.site.port}")
    checks = schema.config.checks
    checks.positive_data_acceptance.expected_statuses = ANSWERS_EXPECTED
    return schema.exclude(path=EVENTS)


TAGS = (
    "scheme",
    "account",
    "payments",
    "requests",
    "batches",
    "standing orders",
    "people",
    "baskets",
    "cards",
    "parking",
    "fuel",
    "till",
    "tills",
    "tokens",
    "webhooks",
    "merchant",
    "messages",
    "push",
    "log",
    "staff",
    "operation",
)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("tag", TAGS)
def test_every_answer_is_described(api: Any, town: Town, tag: str, mode: GenerationMode) -> None:
    """Requests that follow the description, and requests that break it in one place."""
    operations = [found.ok() for found in api.get_all_operations() if tag in found.ok().tags]
    assert operations, tag
    for operation in operations:

        @hypothesis.settings(
            max_examples=EXAMPLES_MAX,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(hypothesis.Phase.generate,),
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def answers_as_described(case: Case) -> None:
            town.site.wait(60)  # nobody is slowed down here
            if mode is GenerationMode.POSITIVE:
                town.make_real(case)
            answer = case.call_and_validate(auth=Credentials(town, case))
            town.seen.setdefault(case.operation.label, set()).add(answer.status_code)

        try:
            answers_as_described()
        except hypothesis.errors.Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label  # nothing can be sent to /health that is wrong


def test_every_operation_has_a_chapter(api: Any) -> None:
    assert {tag for found in api.get_all_operations() for tag in found.ok().tags} == set(TAGS)


def test_the_requests_came_further_than_the_door(town: Town) -> None:
    """Most operations have succeeded at least once, and no bug was met; else the test above says little."""
    assert len(town.seen) > 60, "run together with the test above"
    succeeded = {label for label, statuses in town.seen.items() if any(status < 300 for status in statuses)}
    assert len(succeeded) > 50, sorted(set(town.seen) - succeeded)
    assert not {label for label, statuses in town.seen.items() if 500 in statuses}
    customer = town.server.call(town.site.ok(town.customer, "GET", "/v1/accounts/me"))
    assert parse_id(customer["account"]) == town.customer.account
