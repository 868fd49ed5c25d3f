"""A shop's price list over HTTP: all of it or nothing, the same again changes nothing, and a scanner finds every piece."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from counterfoil.acceptance.goods.rules import TILL_GOODS_MAX
from tests.web.site import Site, problem
from tests.web.test_tills import Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADER = "name,price,unit,barcode,department,tax,id\n"
SHOES = "Shoes,116.00,pair,4006381333931,Shoes,16,\n"
HAT = "Hat,5.80,,H1,Hats,5.5,\n"


@pytest_asyncio.fixture(loop_scope="module")
async def till(site: Site) -> Counter:
    return await paired(site, await site.scheme.merchant("Grand Magasin"))


async def send(till: Counter, content: str | bytes, *, media_type: str = "text/csv") -> httpx2.Response:
    headers = {"Counterfoil-Clerk": till.session, "Content-Type": media_type}
    body = content if isinstance(content, bytes) else content.encode()
    return await till.site.call(till.token, "POST", "/v1/till/goods/import", body, headers=headers)


async def taken(till: Counter, content: str) -> tuple[int, int, int]:
    answer = await send(till, content)
    assert answer.status_code == 200, answer.text
    counts = answer.json()
    return counts["added"], counts["changed"], counts["unchanged"]


async def all_goods(till: Counter) -> dict[str, dict[str, Any]]:
    query = "list=all"
    found: dict[str, dict[str, Any]] = {}
    while True:
        page = await till.ok("GET", "/v1/till/goods", query=query)
        found |= {each["id"]: each for each in page["goods"]}
        if page["next"] is None:
            return found
        query = f"list=all&cursor={page['next']}"


async def scanned(till: Counter, barcode: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await till.ok("GET", "/v1/till/goods", query=f"barcode={barcode}"))["goods"]
    return found


async def test_a_list_is_taken_and_the_same_again_changes_nothing(till: Counter) -> None:
    assert await taken(till, HEADER + SHOES + HAT) == (2, 0, 0)
    before = await all_goods(till)
    assert await taken(till, "\ufeff" + (HEADER + SHOES + HAT).replace("\n", "\r\n")) == (0, 0, 2)
    assert await all_goods(till) == before
    assert await taken(till, HEADER + SHOES.replace("116.00", "99.99") + HAT) == (0, 1, 1)
    (shoes,) = await scanned(till, "04006381333931")  # as a GTIN-14
    assert (shoes["price"], shoes["unit"], shoes["department"], shoes["tax"]) == (9_999, "pair", "Shoes", 1_600)
    assert shoes["id"] in before


async def test_one_wrong_line_and_nothing_is_taken(till: Counter) -> None:
    await taken(till, HEADER + SHOES)
    before = await all_goods(till)
    answer = problem(await send(till, HEADER + SHOES.replace("116", "120") + HAT + "Cap,x,,C1,,,\n"))
    assert (answer["code"], answer["facts"]["wrong"]) == ("malformed", 1)
    assert [(each["line"], each["field"]) for each in answer["facts"]["lines"]] == [(4, "price")]
    assert await all_goods(till) == before


async def test_what_a_file_has_no_column_for_stays(till: Counter) -> None:
    path = f"/v1/till/goods/{till.fresh()}"
    body = {"name": "Hat", "price": 580, "unit": "each", "position": 3, "barcode": "H1", "department": "Hats", "tax": 550}
    kept = await till.ok("PUT", path, body)
    assert await taken(till, "barcode,name,price\nH1,Cap,6\n") == (0, 1, 0)
    assert await scanned(till, "H1") == [kept | {"name": "Cap", "price": 600}]


async def test_goods_are_known_by_their_id_before_their_barcode(till: Counter) -> None:
    await taken(till, HEADER + SHOES + HAT)
    shoes, hat = (await scanned(till, "4006381333931"))[0]["id"], (await scanned(till, "H1"))[0]["id"]
    swapped = f"id,name,price,barcode\n{shoes},Shoes,1,H1\n{hat},Hat,2,4006381333931\n"
    assert await taken(till, swapped) == (0, 2, 0)
    assert [(await scanned(till, barcode))[0]["id"] for barcode in ("H1", "4006381333931")] == [shoes, hat]
    assert await taken(till, swapped) == (0, 0, 2)
    fresh = till.fresh()
    assert await taken(till, f"id,name,price\n{fresh},Scarf,3\n") == (1, 0, 0)
    assert (await all_goods(till))[fresh]["barcode"] == ""


async def test_a_barcode_of_other_goods_and_an_id_of_another_shop_are_wrong_lines(till: Counter) -> None:
    await taken(till, HEADER + SHOES + HAT)
    shoes = (await scanned(till, "4006381333931"))[0]["id"]
    other = await paired(till.site, await till.site.scheme.merchant("Other shop"))
    cases = [
        (till, f"id,name,price,barcode\n{shoes},Shoes,1,H1\n", (2, "barcode")),
        (till, f"id,name,price,barcode\n{till.fresh()},Cap,1,H1\n", (2, "barcode")),
        (till, f"id,name,price,barcode\n{shoes},Shoes,1,\n,Shoes,1,4006381333931\n", (3, "barcode")),
        (other, f"id,name,price\n{shoes},Shoes,1\n", (2, "id")),
    ]
    for counter, content, where in cases:
        before = await all_goods(counter)
        lines = problem(await send(counter, content))["facts"]["lines"]
        assert [(each["line"], each["field"]) for each in lines] == [where], content
        assert await all_goods(counter) == before
    assert await taken(other, HEADER + SHOES) == (1, 0, 0)  # the same barcode, in another shop


async def test_the_tills_list_what_has_a_place_there_and_the_rest_comes_in_pages(till: Counter) -> None:
    placed, hidden = till.fresh(), till.fresh()
    await till.ok("PUT", f"/v1/till/goods/{placed}", {"name": "Bag", "price": 10})
    await till.ok("PUT", f"/v1/till/goods/{hidden}", {"name": "Box", "price": 10, "shown": False, "position": 4})
    lines = "".join(f"Piece {number},1,,P{number},,,\n" for number in range(1_200))
    assert await taken(till, HEADER + lines) == (1_200, 0, 0)
    listed = await till.ok("GET", "/v1/till/goods")
    assert ([each["id"] for each in listed["goods"]], listed["next"]) == ([placed, hidden], None)
    assert len(await all_goods(till)) == 1_202
    (piece,) = await scanned(till, "P700")
    await till.ok("PUT", f"/v1/till/goods/{piece['id']}", {"name": "Piece 700", "price": 100, "position": 9_999})  # shown from now on
    assert [each["id"] for each in (await till.ok("GET", "/v1/till/goods"))["goods"]] == [placed, hidden, piece["id"]]
    assert await taken(till, HEADER + lines) == (0, 0, 1_200)  # and stays there


async def test_a_till_lists_no_more_than_it_can_show(till: Counter) -> None:
    for number in range(TILL_GOODS_MAX):
        await till.site.services.acceptance.catalogue.put(till.shop.account, goods_at(till, number))
    refused = await till.refused("PUT", f"/v1/till/goods/{till.fresh()}", {"name": "Bag", "price": 10})
    assert (refused["code"], refused["facts"]["goods_max"]) == ("too_large", TILL_GOODS_MAX)
    await till.ok("PUT", f"/v1/till/goods/{till.fresh()}", {"name": "Bag", "price": 10, "shown": False, "position": 9_999})
    first = (await till.ok("GET", "/v1/till/goods"))["goods"][0]
    await till.ok("PUT", f"/v1/till/goods/{first['id']}", {"name": "Bag", "price": 20})  # what is there can change


def goods_at(till: Counter, position: int) -> Any:
    from counterfoil.acceptance.types import Goods
    from counterfoil.ids import parse_id

    return Goods(id=parse_id(till.fresh()), name="Bag", price=10, unit="", shown=True, position=position)


async def test_the_same_list_twice_at_once_adds_its_goods_once(till: Counter) -> None:
    content = HEADER + "".join(f"Piece {number},1,,P{number},,,\n" for number in range(200))
    counts = await asyncio.gather(*(taken(till, content) for _ in range(4)))
    assert sorted(counts) == [(0, 0, 200)] * 3 + [(200, 0, 0)]
    assert len(await all_goods(till)) == 200


async def test_a_scan_finds_one_thing_or_none_or_is_no_barcode(till: Counter) -> None:
    await taken(till, HEADER + SHOES)
    assert await scanned(till, "H1") == []
    other = await paired(till.site, await till.site.scheme.merchant("Other shop"))
    assert await scanned(other, "4006381333931") == []
    for query, field in [
        ("barcode=4006381333932", "barcode"),
        ("barcode=", "barcode"),
        ("barcode=H1&list=all", "list"),
        (f"cursor={'A' * 21}Q", "cursor"),
        ("list=none", "list"),
    ]:
        assert (await till.refused("GET", "/v1/till/goods", query=query))["facts"]["field"] == field, query


async def test_who_may_not_change_goods_brings_none_in(till: Counter) -> None:
    session = till.session
    till.session = await till.sign_in(await till.clerk("Njeri", rights=["sell"]))
    assert problem(await send(till, HEADER + SHOES))["code"] == "forbidden"
    till.session = session
    assert problem(await send(till, HEADER + SHOES, media_type="application/json"))["code"] == "unsupported_format"
    assert await all_goods(till) == {}
    assert (await send(till, HEADER + SHOES, media_type='text/csv; charset="UTF-8"')).status_code == 200
