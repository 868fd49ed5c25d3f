"""The back office over HTTP: two persons for money, freezes, tiers, the books."""

from __future__ import annotations

from typing import Any

import pytest

from counterfoil.ids import id_text, new_id
from counterfoil.parties.types import StaffRole
from tests.scheme import Person
from tests.web.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROPOSALS = "/v1/staff/proposals"


def issue(site: Site, account: int, amount: int, kind: str = "issue") -> dict[str, Any]:
    return {
        "id": id_text(new_id(site.services.clock)),
        "kind": kind,
        "reason": "the bank has paid in",
        "circulation": {"account": id_text(account), "amount": amount},
    }


async def test_money_is_issued_by_two_persons_and_once(site: Site) -> None:
    first, second = await site.staff_member(StaffRole.TREASURER), await site.staff_member(StaffRole.TREASURER)
    bank = await site.scheme.institution()
    body = issue(site, bank.account, 5_000)
    proposed = await site.ok(first, "POST", PROPOSALS, body)
    assert await site.ok(first, "POST", PROPOSALS, body) == proposed
    path = f"{PROPOSALS}/{body['id']}"
    own = await site.refused(first, "POST", f"{path}/approve")
    assert (own["code"], own["status"], bank.balance()) == ("needs_second_person", 403, 0)
    done = await site.ok(second, "POST", f"{path}/approve")
    assert (done["state"], done["decided_by"]) == ("executed", id_text(second.party))
    assert await site.ok(second, "POST", f"{path}/approve") == done
    assert await site.ok(first, "GET", path) == done
    assert bank.balance() == 5_000
    back = issue(site, bank.account, 2_000, "withdrawal")
    await site.ok(second, "POST", PROPOSALS, back)
    assert (await site.ok(first, "POST", f"{PROPOSALS}/{back['id']}/approve"))["state"] == "executed"
    assert bank.balance() == 3_000


async def test_a_rejected_proposal_does_nothing(site: Site) -> None:
    first, second = await site.staff_member(StaffRole.TREASURER), await site.staff_member(StaffRole.TREASURER)
    bank = await site.scheme.institution()
    body = issue(site, bank.account, 5_000)
    await site.ok(first, "POST", PROPOSALS, body)
    assert (await site.ok(second, "POST", f"{PROPOSALS}/{body['id']}/reject"))["state"] == "rejected"
    assert (await site.refused(second, "POST", f"{PROPOSALS}/{body['id']}/approve"))["code"] == "not_in_this_state"
    listed = await site.ok(first, "GET", PROPOSALS, query="state=rejected")
    assert body["id"] in [each["id"] for each in listed["proposals"]]
    assert bank.balance() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "gift"},
        {"circulation": None},
        {"circulation": {"account": "x", "amount": 5}},
        {"circulation": {"account": id_text(5), "amount": 0}},
        {"reversal": {"payment": id_text(5)}},
        {"reason": "x"},
        {"kind": "reversal"},
    ],
)
async def test_a_proposal_that_is_none(site: Site, changes: dict[str, Any]) -> None:
    treasurer, bank = await site.staff_member(StaffRole.TREASURER), await site.scheme.institution()
    assert (await site.refused(treasurer, "POST", PROPOSALS, issue(site, bank.account, 5) | changes))["code"] == "malformed"


async def test_a_payment_is_reversed_by_two_persons(site: Site) -> None:
    clerk, supervisor = await site.staff_member(StaffRole.CLERK), await site.staff_member(StaffRole.SUPERVISOR)
    payer, payee = await site.scheme.customer(funds=1_000), await site.scheme.customer()
    paid = (await payer.pay(payee, 400)).payment
    body = {
        "id": id_text(new_id(site.services.clock)),
        "kind": "reversal",
        "reason": "sent to the wrong number",
        "reversal": {"payment": id_text(paid.id)},
    }
    await site.ok(clerk, "POST", PROPOSALS, body)
    assert (await site.refused(clerk, "POST", f"{PROPOSALS}/{body['id']}/approve"))["code"] == "needs_second_person"
    assert (await site.ok(supervisor, "POST", f"{PROPOSALS}/{body['id']}/approve"))["state"] == "executed"
    assert (payer.balance(), payee.balance()) == (1_000, 0)
    above = body | {"id": id_text(new_id(site.services.clock))}
    await site.ok(clerk, "POST", PROPOSALS, above)
    failed = await site.ok(supervisor, "POST", f"{PROPOSALS}/{above['id']}/approve")
    assert (failed["state"], failed["outcome"].split(":")[0]) == ("failed", "above_original")


async def test_a_freeze_stops_payments_until_it_is_lifted(site: Site) -> None:
    supervisor, customer = await site.staff_member(StaffRole.SUPERVISOR), await site.scheme.customer(funds=500)
    shop = await site.scheme.merchant()
    body = {"id": id_text(new_id(site.services.clock)), "party": id_text(customer.party), "reason": "reported", "lifetime_s": 600}
    frozen = await site.ok(supervisor, "POST", "/v1/staff/freezes", body)
    assert frozen["own"] is False
    refused = (await site.pay(customer.sign(customer.order(shop, 100)))).json()
    assert (refused["code"], refused["facts"]["reason"]) == ("account_frozen", "reported")
    shown = await site.ok(supervisor, "GET", f"/v1/staff/parties/{id_text(customer.party)}")
    assert [each["id"] for each in shown["freezes"]] == [body["id"]]
    for _ in range(2):
        await site.ok(supervisor, "POST", f"/v1/staff/freezes/{body['id']}/lift", {"reason": "all is well"})
    assert (await site.pay(customer.sign(customer.order(shop, 100)))).status_code == 200


async def test_staff_open_find_and_move_parties(site: Site) -> None:
    supervisor = await site.staff_member(StaffRole.SUPERVISOR)
    body = {
        "id": id_text(new_id(site.services.clock)),
        "kind": "merchant",
        "name": "Épicerie du Port",
        "language": "fr",
        "number": "+254712777001",
    }
    opened = await site.ok(supervisor, "POST", "/v1/staff/parties", body)
    assert await site.ok(supervisor, "POST", "/v1/staff/parties", body) == opened
    assert (opened["name"], opened["balance"], opened["state"]) == ("Épicerie du Port", 0, "open")
    for address in ("%2B254712777001", opened["merchant_code"]):
        assert (await site.ok(supervisor, "GET", "/v1/staff/parties", query=f"address={address}"))["id"] == opened["id"]
    customer = await site.scheme.customer(tier="number_only")
    path = f"/v1/staff/parties/{id_text(customer.party)}"
    moved = await site.ok(supervisor, "POST", f"{path}/tier", {"tier": "identity_seen", "reason": "passport seen"})
    assert (moved["tier"], moved["limits"]["per_payment"]) == ("identity_seen", 100_000)
    assert (await site.refused(supervisor, "POST", f"{path}/tier", {"tier": "gold", "reason": "passport seen"}))["code"] == "malformed"
    await site.ok(supervisor, "POST", f"{path}/pin", {"pin": "8520"})
    assert (await site.ok(customer, "POST", "/v1/limits", {"pin": "8520", "per_day": 7}))["per_day"] == 7
    assert (await site.ok(supervisor, "POST", f"{path}/close", {"reason": "asked for it"}))["state"] == "closed"
    assert (await site.refused(customer, "GET", "/v1/accounts/me"))["code"] in ("unknown_device", "party_closed")


async def test_the_books_are_paged_and_add_up(site: Site) -> None:
    auditor = await site.staff_member(StaffRole.AUDITOR)
    payer = await site.scheme.customer("Chidi", funds=300)
    await payer.pay(await site.scheme.customer(), 100)

    async def everything(path: str, name: str) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await site.ok(auditor, "GET", path, query=f"limit=7{cursor and f'&cursor={cursor}'}")
            seen += page[name]
            cursor = page["next"]
        return seen

    accounts = await everything("/v1/staff/accounts", "accounts")
    transfers = await everything("/v1/staff/transfers", "transfers")
    assert len({each["id"] for each in accounts}) == len(accounts)
    assert len({each["id"] for each in transfers}) == len(transfers)
    assert sum(each["debits_posted"] for each in accounts) == sum(each["credits_posted"] for each in accounts)
    assert sum(each["debits_posted"] for each in accounts) == sum(each["amount"] for each in transfers if "pending" not in each["flags"])
    assert [each["at"] for each in transfers] == sorted((each["at"] for each in transfers), reverse=True)
    assert "Chidi" in [each["holder"] for each in accounts]


async def test_holders_do_not_see_the_back_office(site: Site) -> None:
    customer: Person = await site.scheme.customer()
    for operation in site.app.operations:
        endpoint = operation.endpoint
        if endpoint.path.startswith("/v1/staff") and endpoint.method == "GET":
            path = endpoint.path.replace("{id}", id_text(5))
            assert (await site.refused(customer, "GET", path))["code"] == "forbidden", path
            assert (await site.refused(None, "GET", path))["code"] == "not_authenticated", path
