"""What goes back by line: what it cost, never more of a line than was sold, whoever asks at once and whatever breaks off."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from counterfoil.errors import Unavailable
from tests.scheme import Person
from tests.web.site import Site
from tests.web.test_department_store import slip
from tests.web.test_tills import Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINES = [
    {"name": "Shirt", "price": 1_160, "quantity": 3, "department": "Shirts", "tax": 1600},
    {"name": "Milk", "price": 105, "quantity": 1, "department": "Food", "tax": 500},
    {"name": "Bag", "price": 0, "quantity": 2},
]
TOTAL = 3 * 1_160 + 105


@pytest_asyncio.fixture(loop_scope="module")
async def till(site: Site) -> Counter:
    return await paired(site, await site.scheme.merchant("Grand Magasin", funds=20_000))


async def sold(till: Counter, **changes: Any) -> tuple[dict[str, Any], str, Person]:
    payer, sale = await till.site.scheme.customer(funds=50_000), await till.sell(TOTAL, lines=LINES, **changes)
    await till.pay(payer, sale)
    return sale, f"/v1/till/sales/{sale['id']}/refunds", payer


def back(till: Counter, *lines: tuple[int, int]) -> dict[str, Any]:
    return {"id": till.fresh(), "lines": [{"line": line, "quantity": quantity} for line, quantity in lines]}


async def test_a_line_goes_back_for_what_it_cost_with_its_tax(till: Counter) -> None:
    sale, path, payer = await sold(till)
    before, body = payer.balance(), back(till, (0, 2), (2, 1))
    once = await till.ok("POST", path, body)
    assert (once["refunded"], once["state"], payer.balance() - before) == (2_320, "refunded_part", 2_320)
    assert [line["returned"] for line in once["lines"]] == [2, 0, 1]
    assert once["taxes"] == [{"rate": 1600, "gross": 1_160, "tax": 160, "net": 1_000}, {"rate": 500, "gross": 105, "tax": 5, "net": 100}]
    assert once["actions"][0]["lines"] == [{"line": 0, "quantity": 2}, {"line": 2, "quantity": 1}]
    assert await till.ok("POST", path, body) == once
    assert payer.balance() - before == 2_320
    assert "2 given back" in await slip(till, sale)
    whole = await till.ok("POST", path, back(till, (0, 1), (1, 1)))
    assert (whole["state"], whole["taxes"]) == ("refunded", [])


async def test_never_more_of_a_line_than_was_sold(till: Counter) -> None:
    _, path, _ = await sold(till)
    await till.ok("POST", path, back(till, (0, 2)))
    refused = await till.refused("POST", path, back(till, (1, 1), (0, 2)))
    assert (refused["code"], refused["facts"]["line"], refused["facts"]["left"]) == ("above_original", 0, 1)
    assert (await till.ok("POST", path, back(till, (0, 1))))["refunded"] == 3_480


async def test_the_same_line_asked_for_at_once_goes_back_once(till: Counter) -> None:
    _, path, payer = await sold(till)
    before, same = payer.balance(), back(till, (1, 1))
    answers = await asyncio.gather(*(till.call("POST", path, body) for body in [same, same, *(back(till, (1, 1)) for _ in range(6))]))
    assert payer.balance() - before == 105
    done = [answer for answer in answers if answer.status_code == 200]
    assert 1 <= len(done) <= 2
    assert {answer.json()["code"] for answer in answers if answer not in done} <= {"above_original", "unavailable"}


async def test_a_refund_waits_for_the_one_before_it_of_the_same_sale(till: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one has looked at the lines and is not kept by payments yet: the second one would see the same."""
    _, path, payer = await sold(till)
    before, payments = payer.balance(), till.site.services.payments
    pay = payments.pay_under_mandate
    others: list[asyncio.Task[httpx2.Response]] = []

    async def meanwhile(*arguments: Any) -> Any:
        if not others:
            others.append(asyncio.create_task(till.call("POST", path, back(till, (1, 1)))))
            for _ in range(5):  # long enough for the second one, if nothing held it up
                await till.sell()
        return await pay(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(payments, "pay_under_mandate", meanwhile)
        await till.ok("POST", path, back(till, (1, 1)))
        assert (await others[0]).json()["code"] == "above_original"
    assert payer.balance() - before == 105


async def test_a_repeat_with_other_lines_is_refused(till: Counter) -> None:
    _, path, _ = await sold(till)
    body = back(till, (0, 1))
    await till.ok("POST", path, body)
    for change in (
        {"lines": [{"line": 0, "quantity": 2}]},
        {"lines": [{"line": 0, "quantity": 1}, {"line": 2, "quantity": 1}]},
        {"memo": "x"},
    ):
        assert (await till.refused("POST", path, body | change))["code"] == "id_reused"
    assert (await till.refused("POST", path, {"id": body["id"], "amount": 1_160}))["code"] == "id_reused"


async def test_a_refund_that_was_broken_off_is_looked_at_again_before_it_is_repeated(
    till: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path, payer = await sold(till)
    before, first = payer.balance(), back(till, (1, 1))

    async def broken_off(*_: Any) -> None:
        raise Unavailable("the server died here")

    with monkeypatch.context() as patched:
        patched.setattr(till.site.services.payments, "pay_under_mandate", broken_off)
        assert (await till.refused("POST", path, first))["retry"] == "same_id"
    await till.ok("POST", path, back(till, (1, 1)))  # nothing of the first one was kept
    assert (await till.refused("POST", path, first))["code"] == "above_original"
    assert payer.balance() - before == 105


async def test_a_refund_whose_outcome_is_unknown_counts_until_it_is_known(till: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path, payer = await sold(till)
    before, first = payer.balance(), back(till, (1, 1))

    async def away(*_: Any) -> Any:
        raise Unavailable("the ledger does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(till.site.services.payments.ledger, "create_transfers", away)
        assert (await till.refused("POST", path, first))["code"] == "unavailable"
    assert (await till.refused("POST", path, back(till, (1, 1))))["code"] == "above_original"
    assert (await till.ok("POST", path, first))["refunded"] == 105
    assert payer.balance() - before == 105


async def test_a_refund_that_was_refused_leaves_the_line_to_another(site: Site) -> None:
    till = await paired(site, await site.scheme.merchant("Poor shop"))
    _, path, payer = await sold(till)
    assert (await till.refused("POST", path, back(till, (0, 3), (1, 1))))["code"] == "insufficient_funds"  # the fee is missing
    await payer.pay(till.shop, 5_000)
    assert (await till.ok("POST", path, back(till, (0, 3), (1, 1))))["state"] == "refunded"


async def test_amounts_and_lines_together_never_exceed_the_sale(till: Counter) -> None:
    _, path, _ = await sold(till)
    await till.ok("POST", path, {"id": till.fresh(), "amount": 3_000})
    assert (await till.refused("POST", path, back(till, (0, 1))))["code"] == "above_original"
    left = await till.ok("POST", path, back(till, (1, 1)))
    assert left["refunded"] == 3_105
    assert sum(part["gross"] for part in left["taxes"]) == TOTAL - 3_105
    last = await till.ok("POST", path, {"id": till.fresh(), "amount": TOTAL - 3_105})
    assert (last["state"], last["taxes"]) == ("refunded", [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": [{"line": 3, "quantity": 1}]}, "lines[0].line"),
        ({"lines": [{"line": 1, "quantity": 1}, {"line": 1, "quantity": 1}]}, "lines"),
        ({"lines": [{"line": 2, "quantity": 1}]}, "lines"),
        ({"lines": [{"line": 1, "quantity": 0}]}, "lines[0].quantity"),
        ({"lines": []}, "lines"),
        ({"lines": [{"line": 1, "quantity": 1}], "amount": 105}, "amount"),
        ({}, "amount"),
    ],
)
async def test_lines_that_cannot_go_back_are_refused_by_their_field(till: Counter, change: dict[str, Any], field: str) -> None:
    _, path, _ = await sold(till)
    assert (await till.refused("POST", path, {"id": till.fresh()} | change))["facts"]["field"] == field


async def test_no_line_goes_back_of_what_was_not_paid_or_taken_in_part(till: Counter) -> None:
    sale = await till.sell(TOTAL, lines=LINES)
    path = f"/v1/till/sales/{sale['id']}/refunds"
    assert (await till.refused("POST", path, back(till, (0, 1))))["code"] == "not_in_this_state"
    held, path, _ = await sold(till, hold=True)
    await till.ok("POST", f"/v1/till/sales/{held['id']}/capture", {"id": till.fresh(), "amount": TOTAL - 1})
    assert (await till.refused("POST", path, back(till, (0, 1))))["code"] == "not_in_this_state"
    whole, path, _ = await sold(till, hold=True)
    await till.ok("POST", f"/v1/till/sales/{whole['id']}/capture", {"id": till.fresh(), "amount": TOTAL})
    assert (await till.ok("POST", path, back(till, (0, 1))))["refunded"] == 1_160


async def test_the_day_tells_what_came_back_by_line_and_takes_its_tax_off(site: Site) -> None:
    till = await paired(site, await site.scheme.merchant("Day shop", funds=20_000))
    _, path, _ = await sold(till)
    await till.ok("POST", path, back(till, (0, 2)))
    await till.ok("POST", path, {"id": till.fresh(), "amount": 1_265 - 105})
    day = await till.ok("GET", "/v1/till/day")
    goods = {each["name"]: (each["quantity"], each["amount"], each["returned"], each["returned_amount"]) for each in day["by_goods"]}
    assert goods == {"Shirt": (3, 3_480, 2, 2_320), "Milk": (1, 105, 0, 0), "Bag": (2, 0, 0, 0)}
    assert [(each["rate"], each["gross"], each["refunded"]) for each in day["by_rate"]] == [(1600, 3_480, 3_383), (500, 105, 97)]
    assert sum(each["refunded"] for each in day["by_rate"]) == day["refunded"] == 3_480
    assert [each["tax"] for each in day["by_rate"]] == [13, 0]
    await till.ok("POST", "/v1/till/day/close", {"id": till.fresh()})


async def test_what_comes_back_later_changes_no_day_before(site: Site) -> None:
    till = await paired(site, await site.scheme.merchant("Late shop", funds=20_000))
    _, path, _ = await sold(till)
    await till.ok("POST", path, {"id": till.fresh(), "amount": 90})
    clock, day = site.scheme.clock, await till.ok("GET", "/v1/till/day")
    clock.offset_s += 86_400
    till.session = await till.sign_in(await till.clerk("Njeri"))
    await till.ok("POST", path, back(till, (0, 3)))  # now the 90 are all of the milk
    before = await till.ok("GET", "/v1/till/day", query=f"day={day['day']}")
    after = await till.ok("GET", "/v1/till/day")
    assert (before["by_rate"], before["by_department"]) == (day["by_rate"], day["by_department"])
    refunded = {each["rate"]: each["refunded"] for each in day["by_rate"]}
    assert {each["rate"]: each["refunded"] + refunded[each["rate"]] for each in after["by_rate"]} == {1600: 3_480, 500: 90}
