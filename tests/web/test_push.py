"""Waking a sleeping wallet over the API: subscribing by a signed request, and acknowledging by a message's id alone."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from counterfoil.channels.push.tables import push_messages, push_subscriptions
from counterfoil.parties import statements
from counterfoil.web.api.push import ACKS_PER_MINUTE, CHANGES_PER_MINUTE
from tests.channels.push.browser import Phone, PushService, data_of, push_service, text, vapid
from tests.channels.push.lives import eventually
from tests.scheme import Person
from tests.web.site import Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
MINE = "/v1/push/subscription"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[PushService]:
    with push_service() as found:
        yield found


def body(service: PushService, seed: str, **changes: Any) -> dict[str, Any]:
    """What the wallet on a phone sends."""
    phone = service.phone(seed)
    return {"endpoint": service.url(seed), "p256dh": text(phone.p256dh), "auth": text(phone.auth)} | changes


async def subscribed(site: Site, person: Person) -> bool:
    query = select(push_subscriptions).where(push_subscriptions.c.device == person.device)
    return await site.services.store.read(lambda connection: connection.execute(query).first() is not None)


async def state_of(site: Site, token: str) -> str:
    query = select(push_messages.c.state).where(push_messages.c.id == int.from_bytes(data_of(token)))
    return str(await site.services.store.read(lambda connection: connection.execute(query).scalar()))


async def test_a_wallet_subscribes_is_woken_and_acknowledges(site: Site, service: PushService) -> None:
    amina, bo = await site.scheme.customer("Amina", funds=10_000), await site.scheme.customer("Bo")
    key = (await site.ok(None, "GET", "/v1/push"))["key"]
    assert await site.ok(bo, "PUT", MINE, body(service, "bo")) is None
    await site.ok(bo, "PUT", MINE, body(service, "bo"))
    await amina.pay(bo, 700)
    await eventually(lambda: service.told == ["bo"])
    assert vapid(service.requests[0].headers["authorization"]).key == data_of(key), "else the browser's push service refuses"
    token = text(service.ids[0])
    await eventually(lambda: _is(site, token, "sent"))
    answer = await site.call(None, "POST", "/v1/push/acks", {"id": token})
    again = await site.call(None, "POST", "/v1/push/acks", {"id": token})
    unknown = await site.call(None, "POST", "/v1/push/acks", {"id": text(bytes(15) + b"\x01")})
    assert [(each.status_code, each.content) for each in (answer, again, unknown)] == [(204, b"")] * 3
    assert {frozenset(each.headers) for each in (answer, again, unknown)} == {frozenset(answer.headers)}
    assert await state_of(site, token) == "acknowledged"
    assert (site.services.config.folder / "keys" / "push.p256").stat().st_mode & 0o077 == 0

    request = await amina.ask(bo, 300)
    await eventually(lambda: len(service.ids) == 2)
    await site.services.requests.cancel(request, amina.account)  # the end of a request wakes nobody
    await site.ok(bo, "DELETE", MINE)
    await site.ok(bo, "DELETE", MINE)
    await amina.pay(bo, 1)
    other = await site.scheme.customer("Chae")
    await site.ok(other, "PUT", MINE, body(service, "chae"))
    await amina.pay(other, 1)
    await eventually(lambda: service.told == ["bo", "bo", "chae"])


async def _is(site: Site, token: str, state: str) -> bool:
    return await state_of(site, token) == state


async def test_a_wallet_that_listens_is_not_woken(site: Site, service: PushService) -> None:
    amina, bo = await site.scheme.customer("Amina", funds=10_000), await site.scheme.customer("Bo")
    await site.ok(bo, "PUT", MINE, body(service, "awake"))
    signed = site.signature(bo, "GET", "/v1/events")
    async with site.client.stream("GET", "/v1/events", headers=signed) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        await amina.pay(bo, 1)
        while await anext(lines) != "event: payment.received":
            pass
        third = await site.scheme.customer("Dan")
        await site.ok(third, "PUT", MINE, body(service, "asleep"))
        await amina.pay(third, 1)
        await eventually(lambda: "asleep" in service.told)
        assert "awake" not in service.told


async def test_a_lost_phone_is_woken_no_more(site: Site, service: PushService) -> None:
    bo = await site.scheme.customer("Bo")
    await site.ok(bo, "PUT", MINE, body(service, "lost"))
    statement = statements.revoke_device(origin=site.services.config.origin, party=bo.party, device=bo.device)
    await site.services.parties.devices.revoke(bo.device, by_device=bo.device, signature=bo.key.sign(statement).signature)

    async def gone() -> bool:
        return not await subscribed(site, bo)

    await eventually(gone)
    assert "lost" not in service.told
    assert (await site.refused(bo, "PUT", MINE, body(service, "lost")))["code"] == "unknown_device"


async def test_only_a_device_subscribes(site: Site, service: PushService) -> None:
    shop = await site.scheme.merchant("Shop")
    token = await site.token(shop, "payments:read")
    for caller in (None, token):
        for method, sent in (("PUT", body(service, "shop")), ("DELETE", None)):
            assert (await site.refused(caller, method, MINE, sent))["status"] in (401, 403)


GOOD = Phone("good")
BAD: list[tuple[str, dict[str, Any]]] = [
    ("endpoint", {"endpoint": ""}),
    ("endpoint", {"endpoint": "nonsense"}),
    ("endpoint", {"endpoint": "https://" + "x" * 1_000}),
    ("endpoint", {"endpoint": "https://10.1.2.3/push"}),
    ("endpoint", {"endpoint": "http://192.0.2.7/push"}),
    ("endpoint", {"endpoint": "https://nobody.invalid/push"}),
    ("endpoint", {"endpoint": "file:///etc/passwd"}),
    ("endpoint", {"endpoint": None}),
    ("p256dh", {"p256dh": ""}),
    ("p256dh", {"p256dh": text(GOOD.p256dh) + "="}),
    ("p256dh", {"p256dh": text(GOOD.p256dh[:-1])}),
    ("p256dh", {"p256dh": text(b"\x04" + bytes(64))}),
    ("p256dh", {"p256dh": base64.b64encode(b"\xff" * 65).decode()}),
    ("auth", {"auth": text(bytes(17))}),
    ("auth", {"auth": 16}),
    ("keys", {"keys": {}}),
]


@pytest.mark.parametrize(("field", "changes"), BAD)
async def test_a_bad_subscription_is_refused_and_leaves_the_good_one(
    site: Site, service: PushService, bo: Person, field: str, changes: dict[str, Any]
) -> None:
    problem = await site.refused(bo, "PUT", MINE, body(service, "kept", **changes))
    assert (problem["status"], problem["code"]) == (400, "malformed"), problem
    assert field in problem["facts"]["field"], problem
    assert await subscribed(site, bo)
    site.wait(60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bo(site: Site, service: PushService) -> Person:
    person = await site.scheme.customer("Bo")
    await site.ok(person, "PUT", MINE, body(service, "kept"))
    return person


@pytest.mark.parametrize(
    "sent",
    [
        None, b"", b"{", b"[]", {}, {"id": ""}, {"id": "AAAA"}, {"id": "A" * 22 + "="}, {"id": "A" * 21 + "B"}, {"id": 5}, {"id": None},
        {"id": "A" * 22, "more": 1}, {"id": "é" * 22}, {"id": "A" * 4_000},
    ],
)  # fmt: skip
async def test_a_bad_acknowledgement_is_refused(site: Site, sent: Any) -> None:
    assert (await site.refused(None, "POST", "/v1/push/acks", sent))["status"] in (400, 415)


async def test_there_is_a_limit_to_acknowledging_and_to_subscribing(tmp_path: Path, service: PushService) -> None:
    async with serving(tmp_path) as own:
        statuses: list[int] = []
        while 429 not in statuses:  # while they come, a few become free again
            answers = await asyncio.gather(*(own.call(None, "POST", "/v1/push/acks", {"id": "A" * 22}) for _ in range(50)))
            statuses += [answer.status_code for answer in answers]
        assert set(statuses) == {204, 429}
        assert statuses.index(429) >= ACKS_PER_MINUTE
        own.wait(60)
        await own.ok(None, "POST", "/v1/push/acks", {"id": "A" * 22})
        bo = await own.scheme.customer("Bo")
        taken = 0
        while (answer := await own.call(bo, "PUT", MINE, body(service, "own"))).status_code == 204:
            taken += 1
        assert answer.json()["code"] == "too_many"
        assert taken >= CHANGES_PER_MINUTE
