"""A department store over HTTP: goods with barcodes, departments and taxes, and what the slip and the day make of them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import select, update

from counterfoil.acceptance.tables import closings, sales
from counterfoil.ids import id_text, parse_id
from counterfoil.web.values import parse_moment
from tests.web.site import Site
from tests.web.test_tills import Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOES = {"name": "Shoes", "price": 11_600, "barcode": "4006381333931", "department": "Shoes", "tax": 1600}


@pytest_asyncio.fixture(loop_scope="module")
async def till(site: Site) -> Counter:
    return await paired(site, await site.scheme.merchant("Grand Magasin"))


async def goods(till: Counter, **wanted: Any) -> str:
    added = await till.ok("PUT", f"/v1/till/goods/{till.fresh()}", wanted)
    return str(added["id"])


async def test_a_client_that_knows_no_barcodes_leaves_them_as_they_are(till: Counter) -> None:
    shoes = await goods(till, **SHOES)
    changed = await till.ok("PUT", f"/v1/till/goods/{shoes}", {"name": "Boots", "price": 12_000})
    assert changed == {"id": shoes, "unit": "", "shown": True, "position": 0} | SHOES | {"name": "Boots", "price": 12_000}
    cleared = await till.ok("PUT", f"/v1/till/goods/{shoes}", SHOES | {"barcode": "", "department": "", "tax": 0})
    assert (cleared["barcode"], cleared["department"], cleared["tax"]) == ("", "", 0)


async def test_a_barcode_is_of_one_thing_in_a_shop_and_free_in_another(till: Counter) -> None:
    shoes = await goods(till, **SHOES)
    path = f"/v1/till/goods/{till.fresh()}"
    assert (await till.refused("PUT", path, {"name": "Hat", "price": 1, "barcode": "04006381333931"}))["code"] == "already_taken"
    await till.ok("PUT", f"/v1/till/goods/{shoes}", SHOES)  # its own is not taken
    other = await paired(till.site, await till.site.scheme.merchant("Other shop"))
    await other.ok("PUT", path, {"name": "Hat", "price": 1, "barcode": "4006381333931"})
    for _ in range(2):  # any number without one
        await goods(till, name="Plain", price=1)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"barcode": "4006381333932"}, "barcode"), ({"department": "x" * 61}, "department"), ({"tax": 10_000}, "tax"), ({"tax": -1}, "tax")],
)
async def test_goods_that_cannot_be_are_refused_by_their_field(till: Counter, change: dict[str, Any], field: str) -> None:
    refused = await till.refused("PUT", f"/v1/till/goods/{till.fresh()}", {"name": "Hat", "price": 1} | change)
    assert refused["facts"]["field"] == field


async def test_a_line_has_the_department_and_the_tax_that_the_goods_had_when_it_was_sold(till: Counter) -> None:
    shoes = await goods(till, **SHOES)
    body = till.body(11_600, lines=[{"name": "Shoes", "price": 11_600, "quantity": 1, "goods": shoes}])
    sale = await till.ok("POST", "/v1/till/sales", body)
    await till.ok("PUT", f"/v1/till/goods/{shoes}", SHOES | {"department": "Sale", "tax": 500})
    again = await till.ok("POST", "/v1/till/sales", body)
    assert [(line["department"], line["tax"]) for line in again["lines"]] == [("Shoes", 1600)]
    assert again["taxes"] == sale["taxes"] == [{"rate": 1600, "gross": 11_600, "tax": 1_600, "net": 10_000}]
    other = await till.ok("POST", "/v1/till/sales", body | {"id": till.fresh()})
    assert [(line["department"], line["tax"]) for line in other["lines"]] == [("Sale", 500)]


async def test_what_a_till_says_of_a_line_counts_before_what_the_goods_have(till: Counter) -> None:
    shoes = await goods(till, **SHOES)
    line = {"name": "Shoes", "price": 11_600, "quantity": 1, "goods": shoes, "department": "", "tax": 0}
    body = till.body(11_600, lines=[line])
    sale = await till.ok("POST", "/v1/till/sales", body)
    assert ([(line["department"], line["tax"]) for line in sale["lines"]], sale["taxes"]) == ([("", 0)], [])
    for change in ({"tax": 1600}, {"department": "Shoes"}, {"tax": None}, {"department": None}):
        assert (await till.refused("POST", "/v1/till/sales", body | {"lines": [line | change]}))["code"] == "id_reused"


async def test_goods_of_another_shop_mark_no_line(till: Counter) -> None:
    other = await paired(till.site, await till.site.scheme.merchant("Other shop"))
    theirs = await goods(other, **SHOES)
    sale = await till.sell(100, lines=[{"name": "Shoes", "price": 100, "quantity": 1, "goods": theirs}])
    assert [(line["department"], line["tax"]) for line in sale["lines"]] == [("", 0)]


async def test_a_sale_of_an_earlier_version_is_read_and_its_repeat_is_the_same_sale(till: Counter) -> None:
    """As version 26.1.0 before departments kept it: the lines without them, the hash over exactly these."""
    store, body = till.site.services.store, till.body(250)
    sale = await till.ok("POST", "/v1/till/sales", body)
    lines = [{"name": "Bread", "price": 250, "quantity": 1, "goods": None}]
    content = [id_text(till.shop.account), lines, 250, False, parse_moment(body["made_at"], "made_at")]
    old = {"lines": msgspec.json.encode(lines).decode(), "content_hash": hashlib.sha256(msgspec.json.encode(content)).digest()}
    this = sales.c.id == parse_id(sale["id"])
    assert (
        await store.read(lambda connection: connection.execute(select(sales.c.content_hash).where(this)).scalar_one())
        == old["content_hash"]
    )
    await store.write(lambda connection: connection.execute(update(sales).where(this).values(old)))
    assert await till.ok("POST", "/v1/till/sales", body) == sale


async def test_the_slip_shows_the_tax_of_each_rate_where_there_is_any(till: Counter) -> None:
    shoes = await goods(till, **SHOES)
    lines = [{"name": "Shoes", "price": 11_600, "quantity": 1, "goods": shoes}, {"name": "Milk", "price": 1_055, "quantity": 1, "tax": 550}]
    payer = await till.site.scheme.customer(funds=50_000)
    sale = await till.sell(12_655, lines=lines)
    await till.pay(payer, sale)
    english = await slip(till, sale)
    assert "Tax included, 16%" in english
    assert "Net 100.00" in english
    assert "Tax included, 5.5%" in english
    assert "Net 10.00" in english
    assert "Taxe comprise, 5,5" in await slip(till, sale, "fr")
    plain = await till.sell(100)
    assert "Tax included" not in await slip(till, plain)


async def slip(till: Counter, sale: dict[str, Any], language: str = "en") -> str:
    path, _, query = sale["slip"].partition("?")
    return (await till.site.call(None, "GET", path, query=query, headers={"Accept-Language": language})).text


async def test_what_goes_back_takes_its_tax_with_it(till: Counter) -> None:
    payer = await till.site.scheme.customer(funds=50_000)
    await payer.pay(till.shop, 5_000)  # or the fees would be missing
    sale = await till.sell(
        2_320, lines=[{"name": "A", "price": 1_160, "quantity": 1, "tax": 1600}, {"name": "B", "price": 1_160, "quantity": 1}]
    )
    await till.pay(payer, sale)
    path = f"/v1/till/sales/{sale['id']}/refunds"
    half = await till.ok("POST", path, {"id": till.fresh(), "amount": 1_160})
    assert half["taxes"] == [{"rate": 1600, "gross": 580, "tax": 80, "net": 500}, {"rate": 0, "gross": 580, "tax": 0, "net": 580}]
    whole = await till.ok("POST", path, {"id": till.fresh(), "amount": 1_160})
    assert whole["taxes"] == []
    cancelled = await till.sell(116, lines=[{"name": "A", "price": 116, "quantity": 1, "tax": 1600}])
    assert (await till.ok("POST", f"/v1/till/sales/{cancelled['id']}/cancel"))["taxes"] == []


async def test_the_day_has_gross_and_tax_by_rate_and_department_and_adds_up_with_what_it_took(till: Counter) -> None:
    payer = await till.site.scheme.customer(funds=90_000)
    shoes, hat = await goods(till, **SHOES), await goods(till, name="Hat", price=580, department="Hats", tax=1600)
    lines = [
        {"name": "Shoes", "price": 11_600, "quantity": 1, "goods": shoes},
        {"name": "Hat", "price": 580, "quantity": 2, "goods": hat},
        {"name": "", "price": 500, "quantity": 1},
    ]
    sale = await till.sell(13_260, lines=lines)
    await till.pay(payer, sale)
    held = await till.sell(2_000, hold=True, lines=[{"name": "Hat", "price": 2_000, "quantity": 1, "goods": hat}])
    await till.pay(payer, held)
    await till.ok("POST", f"/v1/till/sales/{held['id']}/capture", {"id": till.fresh(), "amount": 1_160})
    await till.ok("POST", f"/v1/till/sales/{held['id']}/refunds", {"id": till.fresh(), "amount": 580})
    await payer.pay(till.shop, 4_500)  # by the poster
    day = await till.ok("GET", "/v1/till/day")
    assert day["by_rate"] == [
        {"rate": 1600, "gross": 13_920, "refunded": 580, "tax": 1_760 + 80},
        {"rate": 0, "gross": 500, "refunded": 0, "tax": 0},
    ]
    assert day["by_department"] == [
        {"department": "", "rate": 0, "gross": 500, "refunded": 0, "tax": 0},
        {"department": "Hats", "rate": 1600, "gross": 2_320, "refunded": 580, "tax": 160 + 80},
        {"department": "Shoes", "rate": 1600, "gross": 11_600, "refunded": 0, "tax": 1_600},
    ]
    assert sum(row["gross"] for row in day["by_rate"]) == day["gross"] - day["unrung_amount"]
    closed = await till.ok("POST", "/v1/till/day/close", {"id": till.fresh()})
    assert (closed["by_rate"], closed["by_department"]) == (day["by_rate"], day["by_department"])

    # what comes back after the closing is the next day's, with its tax
    clock = till.site.scheme.clock
    clock.offset_s += 86_400
    till.session = await till.sign_in(await till.clerk("Njeri"))
    for sold in (held["id"], sale["id"]):
        left = await till.sale(sold)
        back = (left["captured"] or left["amount"]) - left["refunded"]
        await till.ok("POST", f"/v1/till/sales/{sold}/refunds", {"id": till.fresh(), "amount": back})
    after = await till.ok("GET", "/v1/till/day")
    assert after["by_rate"] == [
        {"rate": 1600, "gross": 0, "refunded": 13_340, "tax": -1_840},
        {"rate": 0, "gross": 0, "refunded": 500, "tax": 0},
    ]
    assert after["refunded"] == 13_840


async def test_closings_of_an_earlier_version_are_read(till: Counter) -> None:
    closed = await till.ok("POST", "/v1/till/day/close", {"id": till.fresh()})
    store, this = till.site.services.store, closings.c.account == till.shop.account

    def forget(connection: Any) -> None:
        sums = msgspec.json.decode(connection.execute(select(closings.c.sums).where(this)).scalar_one())
        del sums["by_rate"], sums["by_department"]
        connection.execute(update(closings).where(this).values(sums=msgspec.json.encode(sums).decode()))

    await store.write(forget)
    assert await till.ok("GET", "/v1/till/day") == closed | {"by_rate": [], "by_department": []}
