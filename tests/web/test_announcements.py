"""Messages to many and reports, as staff, apps and pages meet them."""

from __future__ import annotations

from typing import Any

import pytest

from counterfoil.ids import id_text, new_id
from counterfoil.parties.types import StaffRole
from tests.channels.test_announcements import handed_out, wednesday
from tests.scheme import Person
from tests.web.site import Site
from tests.web.test_events import listening
from tests.web.test_messages import message, two
from tests.web.test_pages import browser, page

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/staff/announcements"


def body(site: Site, people: list[Person] | None = None, **changes: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {"to": "all"} if people is None else {"to": "list", "list": [person.address for person in people]}
    texts = {"en": "We are closed <on> Friday.", "ko": "금요일에는 쉬어요."}
    return {"id": id_text(new_id(site.scheme.clock)), "reason": "a holiday", "texts": texts} | chosen | changes


async def sent(site: Site, people: list[Person], **changes: Any) -> dict[str, Any]:
    """Proposed by one supervisor, approved by an administrator, and handed out."""
    one, two = await site.staff_member(StaffRole.SUPERVISOR), await site.staff_member(StaffRole.ADMINISTRATOR)
    proposed: dict[str, Any] = await site.ok(one, "POST", PATH, body(site, people, **changes))
    await site.ok(two, "POST", f"/v1/staff/proposals/{proposed['id']}/approve")
    await handed_out(site.scheme)
    return proposed


async def test_a_supervisor_proposes_sees_whom_it_reaches_and_a_second_person_approves(site: Site) -> None:
    wednesday(site.scheme.clock)
    rose, kofi = await site.scheme.customer("Rose"), await site.scheme.simple_phone()
    one, two = await site.staff_member(StaffRole.SUPERVISOR), await site.staff_member(StaffRole.ADMINISTRATOR)
    wanted = body(site, [rose, kofi])
    proposed = await site.ok(one, "POST", PATH, wanted)
    assert await site.ok(one, "POST", PATH, wanted) == proposed
    assert proposed["texts"] == wanted["texts"]
    assert (proposed["state"], proposed["to"], proposed["count"], proposed["progress"]) == ("proposed", "list", 2, None)
    reach = proposed["reach"]
    assert {name: reach[name] for name in ("people", "in_app", "muted", "by_text", "parts", "later", "unreached", "cost")} == {
        "people": 2, "in_app": 1, "muted": 0, "by_text": 1, "parts": 1, "later": 0, "unreached": 0, "cost": None
    }  # fmt: skip
    approve = f"/v1/staff/proposals/{proposed['id']}/approve"
    assert (await site.refused(one, "POST", approve))["code"] == "needs_second_person"
    treasurer = await site.staff_member(StaffRole.TREASURER)
    assert (await site.refused(treasurer, "POST", approve))["code"] == "forbidden"
    for _ in range(2):
        assert (await site.ok(two, "POST", approve))["state"] == "executed"
    await handed_out(site.scheme)
    found = await site.ok(treasurer, "GET", f"{PATH}/{proposed['id']}")
    assert found["reach"] is None
    assert (found["progress"]["people"], found["progress"]["texts"], found["progress"]["left_out"]) == (2, 1, 0)


@pytest.mark.parametrize("role", [StaffRole.CLERK, StaffRole.TREASURER, StaffRole.ADMINISTRATOR, StaffRole.AUDITOR])
async def test_only_supervisors_propose(site: Site, role: StaffRole) -> None:
    member = await site.staff_member(role)
    assert (await site.refused(member, "POST", PATH, body(site)))["code"] == "forbidden"
    rose = await site.scheme.customer()
    assert (await site.refused(rose, "POST", PATH, body(site)))["code"] == "forbidden"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"texts": {"fr": "Fermé"}}, "texts"),
        ({"texts": {"en": "x" * 301}}, "texts.en"),
        ({"texts": {}}, "texts"),
        ({"to": "everybody"}, "to"),
        ({"to": "list"}, "list"),
        ({"to": "list", "list": ["@nobody_at_all"]}, "list[0]"),
        ({"to": "list", "list": ["x"], "value": "ab"}, "value"),
        ({"list": ["+254712000001"]}, "list"),
        ({"to": "kind", "value": "staff"}, "value"),
        ({"reason": "x"}, "reason"),
        ({"id": "1"}, "id"),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_its_field(site: Site, changes: dict[str, Any], field: str) -> None:
    one = await site.staff_member(StaffRole.SUPERVISOR)
    found = await site.refused(one, "POST", PATH, body(site, **changes))
    assert (found["code"], found["facts"].get("field", "").split("[x")[0]) == ("malformed", field)


async def test_it_is_heard_at_once_and_read_in_a_thread_of_the_schemes_name(site: Site) -> None:
    rose = await site.scheme.customer("Rose")
    async with listening(site, rose) as events:
        await sent(site, [rose])
        name, event = await events.told()
    assert name == "message.received"
    (thread,) = (await site.ok(rose, "GET", "/v1/threads"))["threads"]
    assert event["from"] == thread["account"]
    assert (thread["name"], thread["scheme"], thread["unread"], thread["blocked"]) == (site.services.config.scheme_name, True, 1, False)
    path = f"/v1/threads/{thread['account']}"
    assert await site.ok(rose, "POST", f"{path}/read") is None
    found = await site.ok(rose, "GET", path)
    assert (found["name"], found["scheme"], [each["text"] for each in found["messages"]]) == (
        thread["name"], True, ["We are closed <on> Friday."]
    )  # fmt: skip
    answer = message(site, rose) | {"to": thread["account"]}
    assert (await site.refused(rose, "POST", "/v1/messages", answer))["facts"]["field"] == "to"
    await site.ok(rose, "POST", f"{path}/block")
    assert (await site.ok(rose, "GET", path))["blocked"]
    await sent(site, [rose])
    assert (await site.ok(rose, "GET", "/v1/threads"))["threads"][0]["unread"] == 0
    reported = {"id": id_text(new_id(site.scheme.clock)), "reason": "spam"}
    assert (await site.refused(rose, "POST", f"/v1/messages/{thread['last']['id']}/report", reported))["code"] == "not_found"


async def test_a_message_is_reported_and_closed_and_its_sender_stopped(site: Site) -> None:
    one, other = await two(site)
    written = await site.ok(one, "POST", "/v1/messages", message(site, other, "Send me your <PIN>"))
    path = f"/v1/messages/{written['id']}/report"
    wanted = {"id": id_text(new_id(site.scheme.clock)), "reason": "fraud", "note": "A stranger."}
    made = await site.ok(other, "POST", path, wanted)
    assert made == {"id": wanted["id"], "message": written["id"], "reason": "fraud", "at": made["at"]}
    assert await site.ok(other, "POST", path, wanted) == made
    assert (await site.refused(one, "POST", path, wanted))["code"] == "id_reused"
    assert (await site.refused(other, "POST", path, wanted | {"reason": "ugly"}))["facts"]["field"] == "reason"
    clerk, auditor = await site.staff_member(StaffRole.CLERK), await site.staff_member(StaffRole.AUDITOR)
    (found,) = [each for each in (await site.ok(auditor, "GET", "/v1/staff/reports"))["reports"] if each["id"] == made["id"]]
    assert (found["text"], found["sender"], found["note"]) == ("Send me your <PIN>", id_text(one.account), "A stranger.")
    async with browser(site, StaffRole.AUDITOR) as staff:
        html = await page(staff, "/staff/reports")
        assert "Send me your &lt;PIN&gt;" in html
        assert made["id"] in html
    close = f"/v1/staff/reports/{made['id']}/close"
    assert (await site.refused(auditor, "POST", close, {"word": "fraud", "days": 7}))["code"] == "forbidden"
    assert (await site.refused(clerk, "POST", close, {"word": "fraud", "days": 3}))["facts"]["field"] == "days"
    closed = await site.ok(clerk, "POST", close, {"word": "Fraud", "days": 7})
    assert closed == await site.ok(clerk, "POST", close, {"word": "Fraud", "days": 7})
    assert made["id"] not in [each["id"] for each in (await site.ok(auditor, "GET", "/v1/staff/reports"))["reports"]]
    assert made["id"] in [each["id"] for each in (await site.ok(auditor, "GET", "/v1/staff/reports", query="state=closed"))["reports"]]
    refused = await site.refused(one, "POST", "/v1/messages", message(site, other))
    assert refused["code"] == "writing_stopped"
    assert refused["facts"]["until"] > closed["closed_at"]
    for language, said in (
        ("en", "Sender stopped (days: 7)"),
        ("ko", "보낸 사람을 7일 동안 막음"),
        ("fr", "Expéditeur bloqué (jours\u00a0: 7)"),
    ):
        async with browser(site, StaffRole.AUDITOR) as staff:
            assert said in await page(staff, f"/staff/reports?lang={language}")


async def test_the_page_of_a_message_to_many_shows_exactly_what_is_sent_to_how_many(site: Site) -> None:
    wednesday(site.scheme.clock, hour=23)
    rose, kofi = await site.scheme.customer("Rose"), await site.scheme.simple_phone()
    one = await site.staff_member(StaffRole.SUPERVISOR)
    proposed = await site.ok(one, "POST", PATH, body(site, [rose, kofi], security=False))
    async with browser(site, StaffRole.AUDITOR) as staff:
        assert f"/staff/announcements/{proposed['id']}" in await page(staff, "/staff/proposals")
        html = await page(staff, f"/staff/announcements/{proposed['id']}")
        for said in (
            "We are closed &lt;on&gt; Friday.",
            "금요일에는 쉬어요.",
            "a list of 2",
            "1 (parts: 1)",
            "not known",
            "07:00:00",
            "a holiday",
        ):
            assert said in html, said
        await page(staff, f"/staff/announcements/{id_text(7)}", 404)
        await page(staff, "/staff/announcements/7", 400)
    group: list[tuple[dict[str, Any], str]] = [
        ({"to": "all"}, "모든 사람"),
        ({"to": "kind", "value": "merchant"}, "모든 가맹점"),
        ({"to": "language", "value": "fr"}, "Français"),
    ]
    async with browser(site, StaffRole.AUDITOR) as staff:
        for changes, said in group:
            other = await site.ok(one, "POST", PATH, body(site, security=True, **changes))
            html = await page(staff, f"/staff/announcements/{other['id']}?lang=ko")
            assert said in html
            assert "밤에도" in html


async def test_only_staff_see_the_pages(site: Site) -> None:
    async with browser(site, None) as anybody:
        for path in ("/staff/reports", f"/staff/announcements/{id_text(7)}"):
            await page(anybody, path, 403)
