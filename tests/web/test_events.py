"""Server-sent events: "you have been paid", without asking, without gaps, and for the account's own eyes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from counterfoil.ids import id_text
from counterfoil.web.api import events
from tests.scheme import Person
from tests.web.site import Site, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/events"


class Stream:
    """What comes over one event stream."""

    def __init__(self, chunks: AsyncIterator[str]) -> None:
        self._lines = chunks
        self.last_at = ""

    async def next(self) -> tuple[str, str, dict[str, Any]]:
        """The next movement: id, name, data. Heartbeats and the like are passed over, and so is what has no id."""
        while "id" not in (fields := await self._fields()):
            pass
        return fields["id"], fields["event"], json.loads(fields["data"])

    async def told(self) -> tuple[str, dict[str, Any]]:
        """The next event, one that has no id: name, data. Accounts were opened a moment ago, which may be told as well or not."""
        while True:
            fields = await self._fields()
            assert "id" not in fields, fields
            data = json.loads(fields["data"])
            if data.get("kind") != "opened":
                self.last_at = data["at"]
                return fields["event"], data

    async def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        async with asyncio.timeout(60):
            async for line in self._lines:
                if not line and "data" in fields:
                    return fields
                name, _, value = line.partition(": ")
                fields[name] = value
        raise AssertionError("the stream ended")

    async def line(self) -> str:
        async with asyncio.timeout(60):
            return await anext(self._lines)


@asynccontextmanager
async def listening(site: Site, person: Person | str, *, after: str | None = None) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {person}"} if isinstance(person, str) else site.signature(person, "GET", PATH)
    headers |= {"Last-Event-ID": after} if after else {}
    async with site.client.stream("GET", PATH, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        yield Stream(answer.aiter_lines())


async def test_a_payee_hears_without_asking(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=1_000), await site.scheme.customer()
    async with listening(site, payee) as stream:
        assert await stream.line() == "retry: 1000"
        receipt = await payer.pay(payee, 250, memo="안녕\ndata: forged")
        async with asyncio.timeout(60):
            event, name, data = await stream.next()
    assert (event, name) == (str(receipt.completed_at), "payment.received")
    assert (data["amount"], data["balance"], data["direction"], data["memo"]) == (250, 250, "in", "안녕\ndata: forged")
    assert (data["payment"], data["counterparty"], data["event"]) == (id_text(receipt.payment.id), id_text(payer.account), event)


async def test_others_payments_are_not_heard(site: Site) -> None:
    payer, payee, other = await site.scheme.customer(funds=1_000), await site.scheme.customer(), await site.scheme.customer(funds=50)
    async with listening(site, other) as stream:
        await payer.pay(payee, 250)
        await other.pay(payee, 5)
        _, name, data = await stream.next()
    assert (name, data["amount"], data["account"]) == ("payment.sent", 5, id_text(other.account))


async def test_what_was_missed_is_told_first_and_nothing_twice(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=1_000), await site.scheme.customer()
    async with listening(site, payee) as stream:
        await payer.pay(payee, 1)
        last, _, _ = await stream.next()
    for amount in (2, 3):
        await payer.pay(payee, amount)
    async with listening(site, payee, after=last) as stream:
        missed = [(await stream.next())[2]["amount"] for _ in range(2)]
        await payer.pay(payee, 4)
        assert [*missed, (await stream.next())[2]["amount"]] == [2, 3, 4]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "99999999999999999999", str(2**62)])
async def test_a_last_event_that_is_none_is_refused(site: Site, last: str) -> None:
    person = await site.scheme.customer()
    answer = await site.call(person, "GET", PATH, headers={"Last-Event-ID": last})
    assert (answer.status_code, problem(answer)["code"]) == (400, "malformed")


async def test_nobody_listens_without_a_name(site: Site) -> None:
    assert (await site.refused(None, "GET", PATH))["code"] == "not_authenticated"


async def test_a_server_listens_with_a_token_and_its_leaving_is_noticed(site: Site) -> None:
    shop, payer = await site.scheme.merchant(), await site.scheme.customer(funds=500)
    token = await site.token(shop, "payments:read")
    before = site.services.feed.subscribed
    async with site.client.stream("GET", PATH, headers={"Authorization": f"Bearer {token}"}) as answer:
        stream = Stream(answer.aiter_lines())
        await stream.line()
        assert site.services.feed.subscribed == before + 1
        await payer.pay(shop, 100)
        assert (await stream.next())[1] == "payment.received"
    async with asyncio.timeout(60):
        while site.services.feed.subscribed != before:
            await asyncio.sleep(0.01)


async def test_a_quiet_stream_has_a_heartbeat(site: Site) -> None:
    person = await site.scheme.customer()
    (endpoint,) = (each for each in site.app.operations if each.endpoint.path == PATH)
    owner = endpoint.endpoint.handler.__self__  # type: ignore[attr-defined]
    assert owner.heartbeat_s == events.HEARTBEAT_S == 15
    owner.heartbeat_s = 0.05
    try:
        async with listening(site, person) as stream:
            assert [await stream.line(), await stream.line()] == ["retry: 1000", ""]
            for _ in range(2):
                while (await stream.line()) != ":":
                    pass  # the account was opened a moment ago, which may be told as well or not
                assert await stream.line() == ""
    finally:
        owner.heartbeat_s = events.HEARTBEAT_S
