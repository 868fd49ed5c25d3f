"""Messages, notices and the events that go with them, as an app meets them."""

from __future__ import annotations

from typing import Any

import pytest

from counterfoil.ids import id_text, new_id
from counterfoil.parties.happenings import TOLD
from counterfoil.parties.types import PartyKind
from counterfoil.web.api.messages import NoticeView
from tests.scheme import Person
from tests.web.site import Site
from tests.web.test_events import listening

pytestmark = pytest.mark.asyncio(loop_scope="module")


def message(site: Site, to: Person, text: str = "hello") -> dict[str, Any]:
    return {"id": id_text(new_id(site.scheme.clock)), "to": id_text(to.account), "text": text}


async def two(site: Site) -> tuple[Person, Person]:
    return await site.scheme.customer("Ha-eun"), await site.scheme.customer("Rose")


async def test_a_message_is_sent_listed_read_and_said_to_be_read(site: Site) -> None:
    one, other = await two(site)
    body = message(site, other, "점심 먹었어요?")
    sent = await site.ok(one, "POST", "/v1/messages", body)
    assert sent == body | {"from": id_text(one.account), "at": sent["at"], "read": None}
    assert await site.ok(one, "POST", "/v1/messages", body) == sent
    (thread,) = (await site.ok(other, "GET", "/v1/threads"))["threads"]
    assert thread == {"account": id_text(one.account), "name": "Ha-eun", "last": sent, "unread": 1, "blocked": False, "scheme": False}
    path = f"/v1/threads/{id_text(one.account)}"
    assert await site.ok(other, "GET", path) == {
        "account": id_text(one.account), "name": "Ha-eun", "blocked": False, "scheme": False, "messages": [sent], "next": None
    }  # fmt: skip
    assert await site.ok(other, "POST", f"{path}/read") is None
    (seen,) = (await site.ok(one, "GET", f"/v1/threads/{id_text(other.account)}"))["messages"]
    assert seen["read"] > sent["at"]
    assert (await site.ok(other, "GET", "/v1/threads"))["threads"][0]["unread"] == 0


async def test_a_third_person_sees_nothing_of_it(site: Site) -> None:
    one, other = await two(site)
    third = await site.scheme.customer()
    await site.ok(one, "POST", "/v1/messages", message(site, other))
    assert (await site.ok(third, "GET", "/v1/threads"))["threads"] == []
    for person in (one, other):
        assert (await site.ok(third, "GET", f"/v1/threads/{id_text(person.account)}"))["messages"] == []


async def test_threads_and_messages_come_by_pages(site: Site) -> None:
    one, other = await two(site)
    people = [other, *[await site.scheme.customer(str(number)) for number in range(3)]]
    for person in people:
        for text in ("a", "b", "c"):
            await site.ok(person, "POST", "/v1/messages", message(site, one, text))
    for path, field, count in (("/v1/threads", "threads", 4), (f"/v1/threads/{id_text(other.account)}", "messages", 3)):
        found, query = [], "limit=2"
        while True:
            page = await site.ok(one, "GET", path, query=query)
            found += page[field]
            if page["next"] is None:
                break
            query = f"limit=2&cursor={page['next']}"
        assert len(found) == count
        assert found == (await site.ok(one, "GET", path))[field]


async def test_a_block_is_kept_shown_to_who_made_it_and_taken_back(site: Site) -> None:
    one, other = await two(site)
    path = f"/v1/threads/{id_text(one.account)}"
    assert await site.ok(other, "POST", f"{path}/block") is None
    assert (await site.ok(other, "GET", path))["blocked"]
    assert not (await site.ok(one, "GET", f"/v1/threads/{id_text(other.account)}"))["blocked"]
    assert (await site.refused(one, "POST", "/v1/messages", message(site, other)))["code"] == "messages_blocked"
    await site.ok(other, "POST", f"{path}/unblock")
    await site.ok(one, "POST", "/v1/messages", message(site, other))


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"text": "\u0000"}, "malformed", "text"),
        ({"text": "x" * 1_001}, "malformed", "text"),
        ({"text": ""}, "malformed", "text"),
        ({"id": "1"}, "malformed", "id"),
        ({"to": "1"}, "malformed", "to"),
        ({"to": id_text(7)}, "party_not_found", None),
        ({"from": id_text(7)}, "malformed", "from"),
    ],
)
async def test_a_message_that_is_none_is_refused(site: Site, change: dict[str, Any], code: str, field: str | None) -> None:
    one, other = await two(site)
    found = await site.refused(one, "POST", "/v1/messages", message(site, other) | change)
    assert (found["code"], found["facts"].get("field")) == (code, field)


async def test_messages_are_for_devices_not_for_tokens_staff_or_nobody(site: Site) -> None:
    shop = await site.scheme.merchant()
    token = await site.token(shop, "payments:read")
    for path in ("/v1/threads", "/v1/notices"):
        assert (await site.refused(token, "GET", path))["code"] == "forbidden"
        assert (await site.refused(None, "GET", path))["code"] == "not_authenticated"


async def test_the_thousandth_cursor_of_somebody_else_breaks_nothing(site: Site) -> None:
    one, _ = await two(site)
    for cursor in ("A" * 22, "_" * 21 + "w", "AAAAAAAAAAAAAAAAAAAAAQ"):
        for path in ("/v1/threads", f"/v1/threads/{id_text(one.account)}", "/v1/notices"):
            assert (await site.call(one, "GET", path, query=f"cursor={cursor}")).status_code in (200, 400)


# Events


async def test_a_message_is_heard_at_once_by_its_reader_and_nobody_else(site: Site) -> None:
    one, other = await two(site)
    async with listening(site, other) as stream, listening(site, one) as own:
        sent = await site.ok(one, "POST", "/v1/messages", message(site, other))
        await site.ok(one, "POST", "/v1/messages", {"id": sent["id"], "to": sent["to"], "text": sent["text"]})  # a repeat is not news
        await site.ok(other, "POST", "/v1/messages", message(site, one, "back"))
        name, data = await stream.told()
        assert (name, data) == ("message.received", {
            "type": "message.received", "at": sent["at"], "message": sent["id"], "from": id_text(one.account)
        })  # fmt: skip
        assert (await own.told())[1]["from"] == id_text(other.account)
        second = await site.ok(one, "POST", "/v1/messages", message(site, other, "second"))
        assert (await stream.told())[1]["message"] == second["id"], "nothing else came between"


async def test_a_request_is_heard_by_whom_it_asks_and_its_answers_by_both(site: Site) -> None:
    one, other = await site.scheme.customer("Ha-eun"), await site.scheme.customer("Rose", funds=1_000)
    async with listening(site, other) as payer, listening(site, one) as payee:
        asked = await one.ask(other, 50)
        assert (await payer.told()) == ("request.received", {"type": "request.received", "at": payer.last_at, "request": id_text(asked)})
        await site.ok(other, "POST", f"/v1/requests/{id_text(asked)}/decline")
        await site.ok(other, "POST", f"/v1/requests/{id_text(asked)}/decline")
        for side in (payer, payee):
            name, data = await side.told()
            assert (name, data["request"]) == ("request.changed", id_text(asked))
        asked = await one.ask(other, 70)
        name, data = await payer.told()  # and not once more of what was declined twice
        assert (name, data["request"]) == ("request.received", id_text(asked))
        await other.pay(one, 70, reference=asked)
        for side, moved in ((payer, "payment.sent"), (payee, "payment.received")):
            assert (await side.next())[1] == moved
            name, data = await side.told()
            assert (name, data["request"]) == ("request.changed", id_text(asked))
        asked = await one.ask(None, 70)
        await site.ok(one, "POST", f"/v1/requests/{id_text(asked)}/cancel")
        assert (await payee.told())[1]["request"] == id_text(asked)


async def test_a_token_hears_of_requests_and_not_of_messages(site: Site) -> None:
    shop, person = await site.scheme.merchant(), await site.scheme.customer()
    token = await site.token(shop, "payments:read")
    async with listening(site, token) as stream:
        await site.ok(person, "POST", "/v1/messages", message(site, shop))
        await person.ask(shop, 50)
        assert (await stream.told())[0] == "request.received"


async def test_what_happens_to_an_account_is_heard_and_listed(site: Site) -> None:
    person = await site.scheme.customer()
    async with listening(site, person) as stream:
        freeze = new_id(site.scheme.clock)
        await site.services.parties.staff.freeze(freeze, person.party, reason="card was found", by=site.scheme.supervisors[0])
        name, data = await stream.told()
    (newest, *older) = (await site.ok(person, "GET", "/v1/notices"))["notices"]
    assert (name, data["notice"], data["kind"]) == ("notice", newest["id"], "frozen")
    assert newest == {
        "id": newest["id"], "kind": "frozen", "at": data["at"], "by": "staff", "facts": {"reason": "card was found"}
    }  # fmt: skip
    assert [each["kind"] for each in older] == ["opened"]


# Notices


async def test_notices_say_who_did_it_and_nothing_that_is_the_staffs_alone(site: Site) -> None:
    person = await site.scheme.open(PartyKind.CUSTOMER, "Rose", pin="2580")
    await site.ok(person, "POST", "/v1/handle", {"handle": f"rose_{new_id(site.scheme.clock) % 10**9}"})
    await site.ok(person, "POST", "/v1/limits", {"pin": "2580", "per_day": 500})
    staff = site.services.parties.staff
    await staff.change_tier(person.party, "identity_seen", reason="only for colleagues", by=site.scheme.supervisors[0])
    notices = (await site.ok(person, "GET", "/v1/notices"))["notices"]
    assert "colleagues" not in str(notices)
    assert [(each["kind"], each["by"]) for each in notices if each["kind"] != "opened"][:3] == [
        ("tier_changed", "staff"), ("own_limits_set", "self"), ("handle_set", "self")
    ]  # fmt: skip
    assert notices[1]["facts"] == {"per_payment": None, "per_day": 500, "per_month": None}
    pages: list[Any] = []
    query = "limit=1"
    while True:
        page = await site.ok(person, "GET", "/v1/notices", query=query)
        pages += page["notices"]
        if page["next"] is None:
            break
        query = f"limit=1&cursor={page['next']}"
    assert pages == notices


async def test_every_kind_of_notice_is_documented() -> None:
    for kind, facts in TOLD.items():
        for word in (kind, *facts):
            assert word in (NoticeView.__doc__ or ""), word
