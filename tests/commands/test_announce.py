"""Commands about messages to many and about reports, against a real server."""

from __future__ import annotations

import html
import re
import shlex

import pytest

from counterfoil.channels.reports import ReportReason
from counterfoil.ids import id_text, new_id
from counterfoil.parties.types import StaffRole
from tests.channels.test_announcements import inbox
from tests.commands.desk import Desk
from tests.commands.test_staff import staff
from tests.web.test_pages import browser, page

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMAND = re.compile(r'<pre class="command"[^>]*>([^<]*)</pre>')
"""What the staff pages tell to type."""


async def test_a_message_to_a_list_is_proposed_looked_at_and_approved_by_two(desk: Desk) -> None:
    rose, other = await desk.site.scheme.customer("Rose"), await desk.site.scheme.customer()
    desk.site.services.announcements.stop()
    people = desk.folder / "people.txt"
    people.write_text(f"{rose.address}\n\n")
    said = ("--text", "en=We are closed = on Friday.", "--list", str(people), "--reason", "holiday")
    code, proposed = await staff(desk, StaffRole.SUPERVISOR, "sup_1", "announce", *said)
    assert (code, proposed["state"], proposed["count"]) == (0, "proposed", 1)
    key, number = desk.folder / "sup_1.key", str(proposed["id"])
    ran = await desk.run("staff", "announcement", number, "--key", key)
    assert all(each in ran.out for each in ("We are closed = on Friday.", "People", "not known")), ran.out
    code, refused = await staff(desk, StaffRole.SUPERVISOR, "sup_1", "approve", number)
    assert (code, refused["code"]) == (1, "needs_second_person")
    code, _ = await staff(desk, StaffRole.SUPERVISOR, "sup_2", "approve", number)
    assert code == 0
    while await desk.site.services.announcements.hand_out():
        pass
    assert (await inbox(desk.site.scheme, rose), await inbox(desk.site.scheme, other)) == (["We are closed = on Friday."], [])
    code, done = await staff(desk, StaffRole.SUPERVISOR, "sup_1", "announcement", number)
    assert (code, done["reach"], dict(done["progress"])["people"]) == (0, None, 1)  # type: ignore[call-overload]


async def test_a_group_is_named_by_what_it_has_in_common_and_a_text_by_its_language(desk: Desk) -> None:
    code, proposed = await staff(
        desk, StaffRole.SUPERVISOR, "sup_1", "announce", "--to", "kind:merchant", "--text", "en=Hello", "--reason", "greeting", "--security"
    )
    assert (code, proposed["to"], proposed["value"], proposed["security"]) == (0, "kind", "merchant", True)
    for wrong in (("en",), ("en=Hello", "en=Goodbye")):
        texts = [part for text in wrong for part in ("--text", text)]
        code, refused = await staff(desk, StaffRole.SUPERVISOR, "sup_1", "announce", *texts, "--reason", "greeting")
        assert (code, "--text" in str(refused["detail"])) == (2, True)


async def test_the_pages_tell_staff_what_to_type_and_it_works(desk: Desk) -> None:
    scheme, services = desk.site.scheme, desk.site.services
    one, other = await scheme.customer(), await scheme.customer()
    sent = await services.conversations.send(id=new_id(scheme.clock), sender=one.account, recipient=other.account, text="Your code?")
    made = await services.reports.report(
        id=new_id(scheme.clock), message=sent.id, reporter=other.account, reason=ReportReason.FRAUD, note=""
    )
    said = ("--text", "en=Hello", "--to", "tier:identity_verified", "--reason", "greeting")
    proposed = [(await staff(desk, StaffRole.SUPERVISOR, "sup_1", "announce", *said))[1] for _ in range(2)]
    bank = await scheme.institution("Bank of the pages")
    _, issue = await staff(desk, StaffRole.TREASURER, "treasurer", "propose", "issue", bank.address, "5", "--reason", "deposit")
    paths = [f"/staff/announcements/{each['id']}" for each in proposed] + ["/staff/proposals", "/staff/reports"]

    async def told(path: str) -> list[list[str]]:
        async with browser(desk.site) as visitor:
            return [shlex.split(html.unescape(line)) for line in COMMAND.findall(await page(visitor, path))]

    first, second, proposals, reports = [await told(path) for path in paths]
    assert [line[2:4] for line in first] == [[word, str(proposed[0]["id"])] for word in ("approve", "reject")]
    assert [line[2] for line in proposals if line[3] == issue["id"]] == ["approve", "reject"]
    closing = next(line for line in reports if line[3] == id_text(made.id))
    await staff(desk, StaffRole.SUPERVISOR, "sup_2", "proposals")
    await staff(desk, StaffRole.CLERK, "clerk", "reports")
    for line, key in ((first[0], "sup_2"), (second[1], "sup_2"), (closing, "clerk")):
        assert line[0] == "counterfoil"
        assert line[-2:] == ["--key", "YOUR.key"]
        ran = await desk.run(*line[1:-1], desk.folder / f"{key}.key")
        assert ran.code == 0, ran.err
    assert [await told(path) for path in paths[:2]] == [[], []]
    assert closing not in await told("/staff/reports")


async def test_a_report_is_listed_and_closed_with_a_word(desk: Desk) -> None:
    scheme, services = desk.site.scheme, desk.site.services
    one, other = await scheme.customer(), await scheme.customer()
    sent = await services.conversations.send(id=new_id(scheme.clock), sender=one.account, recipient=other.account, text="Your PIN?")
    made = await services.reports.report(
        id=new_id(scheme.clock), message=sent.id, reporter=other.account, reason=ReportReason.FRAUD, note=""
    )
    code, listed = await staff(desk, StaffRole.CLERK, "clerk", "reports")
    assert (code, "Your PIN?" in str(listed)) == (0, True)
    code, closed = await staff(desk, StaffRole.CLERK, "clerk", "close-report", id_text(made.id), "--word", "fraud", "--days", "7")
    assert (code, closed["days"]) == (0, 7)
    code, listed = await staff(desk, StaffRole.CLERK, "clerk", "reports")
    assert id_text(made.id) not in str(listed)
    code, listed = await staff(desk, StaffRole.CLERK, "clerk", "reports", "--closed")
    assert id_text(made.id) in str(listed)
