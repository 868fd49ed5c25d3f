"""Messages and statements from the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterfoil.ids import id_text, new_id
from tests.commands.desk import Cutting, Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_message_is_written_listed_and_read(desk: Desk) -> None:
    one, other = await desk.site.scheme.customer("Ha-eun"), await desk.site.scheme.customer("Rose")
    mine, theirs = desk.key(one, "message-1"), desk.key(other, "message-2")
    sent = (await desk.wallet(mine, "message", other.address, "점심 먹었어요?")).json
    assert (sent["to"], sent["text"]) == (id_text(other.account), "점심 먹었어요?")
    listed = await desk.run("wallet", "messages", "--key", theirs)
    assert listed.code == 0
    for expected in ("Ha-eun", "점심 먹었어요?", "1"):
        assert expected in listed.out
    await desk.wallet(theirs, "message", one.address, "yes")
    shown = await desk.run("wallet", "messages", one.address, "--key", theirs)
    assert shown.out.index("점심") < shown.out.index("yes"), "newest last"
    assert [thread["unread"] for thread in (await desk.wallet(theirs, "messages")).json["threads"]] == [0]
    page = (await desk.wallet(theirs, "messages", one.address, "--limit", "1")).json
    older = (await desk.wallet(theirs, "messages", one.address, "--limit", "1", "--cursor", page["next"])).json
    assert [each["text"] for each in (*page["messages"], *older["messages"])] == ["yes", "점심 먹었어요?"]


async def test_nobody_has_messages_at_first(desk: Desk) -> None:
    one, other = await desk.site.scheme.customer(), await desk.site.scheme.customer("Rose")
    key = desk.key(one, "message-3")
    assert "No messages yet." in (await desk.run("wallet", "messages", "--key", key)).out
    assert "No messages with Rose yet." in (await desk.run("wallet", "messages", other.address, "--key", key)).out


async def test_a_message_without_an_answer_can_be_sent_again_and_arrives_once(desk: Desk) -> None:
    one, other = await desk.site.scheme.customer(), await desk.site.scheme.customer()
    key = desk.key(one, "message-4")
    async with Cutting(desk.site.port, passes_on=True, path="/v1/messages") as server:
        ran = await desk.wallet(key, "message", other.address, "hello", server=server)
    assert ran.code not in (0, 2)
    message_id = ran.json["detail"].split("--id ")[1].split()[0]
    again = await desk.wallet(key, "message", other.address, "hello", "--id", message_id)
    assert (again.code, again.json["id"]) == (0, message_id)
    found = await desk.site.services.conversations.messages(one.account, other.account)
    assert [each.text for each in found] == ["hello"]


async def test_a_refusal_is_said(desk: Desk) -> None:
    one, other = await desk.site.scheme.customer(), await desk.site.scheme.customer()
    key = desk.key(one, "message-5")
    await desk.site.services.conversations.block(other.account, one.account)
    ran = await desk.wallet(key, "message", other.address, "hello")
    assert (ran.code, ran.json["code"]) == (1, "messages_blocked")
    wrong = await desk.run("wallet", "message", other.address, "hello", "--id", "1", "--key", key)
    assert wrong.code == 2


async def test_a_statement_is_written_in_the_form_that_its_name_says(desk: Desk, tmp_path: Path) -> None:
    person = await desk.site.scheme.customer("김하은", funds=5_000)
    key, month = desk.key(person, "message-6"), datetime.now(UTC).strftime("%Y-%m")
    for name, begin in (("s.csv", b"\xef\xbb\xbfDate,"), ("s.PDF", b"%PDF-")):
        path = tmp_path / name
        ran = await desk.wallet(key, "statement", month, "--out", str(path))
        assert ran.json == {"month": month, "file": str(path), "bytes": path.stat().st_size}
        assert path.read_bytes().startswith(begin)
    await desk.wallet(key, "statement", month, "--out", str(tmp_path / "ko.csv"), "--lang", "ko")
    assert "날짜" in (tmp_path / "ko.csv").read_text("utf-8-sig")


@pytest.mark.parametrize(("argv", "code"), [(("now",), 1), (("2026-11", "--out", "x.doc"), 2), (("2026-11", "--lang", "xx"), 1)])
async def test_a_statement_that_cannot_be_is_refused(desk: Desk, tmp_path: Path, argv: tuple[str, ...], code: int) -> None:
    person = await desk.site.scheme.customer()
    key = desk.key(person, f"message-{new_id(desk.site.scheme.clock)}")
    out = () if "--out" in argv else ("--out", str(tmp_path / "x.csv"))
    assert (await desk.run("wallet", "statement", *argv, *out, "--key", key)).code == code
    assert not (tmp_path / "x.csv").exists()
