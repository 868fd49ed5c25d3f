"""Staff commands against a real server over HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from counterfoil.commands import keyfile
from counterfoil.parties.types import StaffRole
from tests.commands.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def staff(desk: Desk, role: StaffRole, name: str, *argv: str) -> tuple[int, dict[str, object]]:
    path = desk.folder / f"{name}.key"
    key = path if path.exists() else desk.key(await desk.site.staff_member(role), name)
    ran = await desk.run("staff", *argv, "--key", key, "--json")
    return ran.code, ran.json


async def test_money_is_issued_by_two_and_never_by_one(desk: Desk) -> None:
    bank = await desk.site.scheme.institution("Bank")
    code, proposal = await staff(desk, StaffRole.TREASURER, "first", "propose", "issue", bank.address, "500", "--reason", "deposit")
    assert (code, proposal["state"]) == (0, "proposed")
    proposal_id = str(proposal["id"])
    code, refused = await staff(desk, StaffRole.TREASURER, "first", "approve", proposal_id)
    assert (code, refused["code"], bank.balance()) == (1, "needs_second_person", 0)
    code, listed = await staff(desk, StaffRole.TREASURER, "second", "proposals", "--state", "proposed")
    assert proposal_id in str(listed)
    code, done = await staff(desk, StaffRole.TREASURER, "second", "approve", proposal_id)
    assert (code, done["state"], bank.balance()) == (0, "executed", 50_000)


async def test_a_proposal_that_cannot_be_carried_out_ends_with_1(desk: Desk) -> None:
    bank = await desk.site.scheme.institution("Poor bank", funds=1_000)
    code, proposal = await staff(desk, StaffRole.TREASURER, "first", "propose", "withdrawal", bank.address, "500", "--reason", "closing")
    assert code == 0
    code, failed = await staff(desk, StaffRole.TREASURER, "second", "approve", str(proposal["id"]))
    assert (code, failed["state"]) == (1, "failed")
    assert "insufficient_funds" in str(failed["outcome"])


async def test_a_reversal_gives_the_payment_back(desk: Desk) -> None:
    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    paid = await desk.wallet(desk.key(payer, "reversed"), "pay", payee.address, "4")
    code, proposal = await staff(desk, StaffRole.SUPERVISOR, "sup_1", "propose", "reversal", paid.json["id"], "--reason", "wrong number")
    assert code == 0, proposal
    code, _ = await staff(desk, StaffRole.SUPERVISOR, "sup_2", "approve", str(proposal["id"]))
    assert (code, payer.balance(), payee.balance()) == (0, 1_000, 0)


async def test_a_frozen_account_pays_nothing_until_it_is_lifted(desk: Desk) -> None:
    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    key = desk.key(payer, "frozen")
    code, frozen = await staff(desk, StaffRole.SUPERVISOR, "sup_1", "freeze", payer.address, "--reason", "phone stolen", "--hours", "48")
    assert (code, frozen["reason"]) == (0, "phone stolen")
    refused = await desk.wallet(key, "pay", payee.address, "1")
    assert (refused.code, refused.json["code"]) == (1, "account_frozen")
    assert (await staff(desk, StaffRole.SUPERVISOR, "sup_1", "unfreeze", str(frozen["id"]), "--reason", "phone found"))[0] == 0
    assert (await desk.wallet(key, "pay", payee.address, "1")).code == 0


async def test_a_clerk_opens_accounts_and_a_supervisor_moves_tiers(desk: Desk) -> None:
    code, opened = await staff(desk, StaffRole.CLERK, "clerk", "open", "merchant", "Quay Books", "--handle", "quay_books")
    assert (code, opened["name"], opened["kind"]) == (0, "Quay Books", "merchant")
    person = await desk.site.scheme.customer("Clara", tier="number_only")
    code, refused = await staff(desk, StaffRole.CLERK, "clerk", "tier", person.address, "identity_seen", "--reason", "passport")
    assert (code, refused["code"]) == (1, "forbidden")
    code, moved = await staff(desk, StaffRole.SUPERVISOR, "sup_1", "tier", person.address, "identity_seen", "--reason", "passport")
    assert (code, moved["tier"]) == (0, "identity_seen")
    assert (await staff(desk, StaffRole.CLERK, "clerk", "party", "@quay_books"))[1]["id"] == opened["id"]


async def test_a_link_to_the_pages_works_once(desk: Desk) -> None:
    code, link = await staff(desk, StaffRole.AUDITOR, "auditor", "login")
    assert code == 0
    token = str(link["path"]).partition("token=")[2]
    async with httpx2.AsyncClient(base_url=desk.server) as browser:
        assert (await browser.get(str(link["url"]))).status_code == 200
        assert (await browser.post("/staff/sign-in", data={"token": token})).status_code == 303
        assert (await browser.get("/staff")).status_code == 200
    async with httpx2.AsyncClient(base_url=desk.server) as another:
        assert (await another.post("/staff/sign-in", data={"token": token})).status_code == 403
        assert (await another.get("/staff")).status_code == 403


async def test_a_customer_gets_no_link(desk: Desk) -> None:
    key = desk.key(await desk.site.scheme.customer(), "nosy")
    ran = await desk.run("staff", "login", "--key", key, "--json")
    assert (ran.code, ran.json["code"]) == (1, "forbidden")


async def test_somebody_new_gets_a_key_of_their_own_at_the_counter(desk: Desk) -> None:
    books = desk.folder / "books.key"
    code, opened = await staff(desk, StaffRole.CLERK, "clerk", "open", "merchant", "Anchor Books", "--new-key", str(books))
    assert code == 0, opened
    payer = await desk.site.scheme.customer(funds=1_000)
    assert (await desk.wallet(desk.key(payer, "reader"), "pay", str(opened["merchant_code"]), "8")).code == 0
    assert (await desk.wallet(books, "balance")).json["balance"] == 796

    noel = desk.folder / "noel.key"
    argv = ("open", "staff", "Amélie Noël", "--handle", "noel", "--role", "treasurer", "--new-key", str(noel))
    assert (await staff(desk, StaffRole.CLERK, "clerk", *argv))[1]["code"] == "forbidden"
    assert not noel.exists()
    code, member = await staff(desk, StaffRole.ADMINISTRATOR, "administrator", *argv)
    assert (code, member["roles"]) == (0, ["treasurer"])
    assert (await desk.run("staff", "proposals", "--key", noel)).code == 0
    assert (await desk.run("wallet", "balance", "--key", noel)).code == 1


async def test_a_new_schemes_first_administrator_is_opened_once(desk: Desk, tmp_path: Path) -> None:
    argv = ("staff", "first", "Victor Hale", "--handle", "hale", "--data", tmp_path / "data", "--json")
    first = await desk.run(*argv, "--new-key", tmp_path / "hale.key")
    assert first.code == 0, first
    assert keyfile.load(tmp_path / "hale.key").party == first.json["party"]
    second = await desk.run(*argv, "--new-key", tmp_path / "second.key")
    assert (second.code, second.json["code"]) == (1, "not_in_this_state")
    assert not (tmp_path / "second.key").exists()
