"""A scanner at the desk types barcodes as a keyboard does: what it rings up is what the shop's goods are, and nothing else is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from counterfoil.commands.terminal import scanned
from counterfoil.commands.terminal.folder import OpenSale
from counterfoil.commands.terminal.scanned import Scanned, fits, is_scan, one_less, one_more, total
from tests.commands.counter import PIN, Counter, Killed, furnished
from tests.commands.desk import Desk as Terminal

in_module = pytest.mark.asyncio(loop_scope="module")

BOOTS, MILK = "4006381333931", "96385074"


@pytest_asyncio.fixture(loop_scope="module")
async def counter(desk: Terminal, tmp_path: Path) -> AsyncIterator[Counter]:
    found = await furnished(desk.site, tmp_path / "terminal", "Grand Magasin")
    for name, price, barcode, tax in (("Boots", 600, BOOTS, 1600), ("Milk", 105, MILK, 550), ("Bag", 0, "BAG1", 0)):
        body = {"name": name, "price": price, "barcode": barcode, "tax": tax}
        await found.shop.ok("PUT", f"/v1/till/goods/{found.shop.fresh()}", body)
    yield found


@in_module
async def test_what_is_scanned_is_sold_as_the_goods_it_is(counter: Counter) -> None:
    kofi, card = await counter.payer(funds=5_000)
    ran = await counter.run([f"0{BOOTS}", MILK, BOOTS, "bag1", "BAG1", "", PIN], [card.tag])
    assert ran.error is None, ran.text
    assert "  2 × Boots, 6.00 USD each. Total 13.05 USD." in ran.text
    assert ran.count("The shop has no goods with this barcode.") == 1
    assert kofi.balance() == 5_000 - 1_305
    (sale,) = await counter.sales()
    lines = [(line["name"], line["quantity"], line["price"], line["tax"]) for line in sale["lines"]]
    assert (lines, sale["state"]) == ([("Milk", 1, 105, 550), ("Boots", 2, 600, 1600), ("Bag", 1, 0, 0)], "paid")


@in_module
async def test_what_was_scanned_too_often_is_taken_off_and_nothing_is_no_sale(counter: Counter) -> None:
    _, card = await counter.payer(funds=5_000)
    ran = await counter.run([MILK, MILK, BOOTS, "-", "-", "", PIN], [card.tag])
    assert "Paid 1.05 USD" in ran.text
    ran = await counter.run([MILK, "-", "BAG1", ""], [])
    assert "Nothing to pay." in ran.text
    assert len(await counter.sales()) == 1


@in_module
async def test_a_number_that_is_no_goods_of_the_shop_is_no_amount_before_the_clerk_says_so(counter: Counter) -> None:
    ran = await counter.run(["73513537", "n", "9780201379624", ""], [])
    assert "Take 73,513,537.00 USD?" in ran.text or "Take 73513537.00 USD?" in ran.text
    assert await counter.sales() == []


@in_module
async def test_a_desk_that_died_with_scanned_goods_takes_their_sale_back(counter: Counter) -> None:
    _, card = await counter.payer()
    await counter.run([BOOTS, "", Killed], [card.tag])
    assert counter.is_open()
    ran = await counter.run([], [])
    assert "A sale of 6.00 USD was under way" in ran.text
    assert not counter.is_open()


@pytest.mark.parametrize(
    ("text", "expected"),
    [(BOOTS, True), (MILK, True), ("4006381333932", False), ("BAG1", True), ("12.50", False), ("1250", False), ("", False), ("-", False)],
)
def test_a_scan_is_told_from_an_amount(text: str, expected: bool) -> None:
    assert is_scan(text) is expected


def test_the_same_goods_are_one_line_until_their_price_changes() -> None:
    boots = Scanned(goods="a", name="Boots", price=600)
    dearer = Scanned(goods="a", name="Boots", price=700)
    lines = one_more(one_more(one_more([], boots), dearer), boots)
    assert [(line.price, line.quantity) for line in lines] == [(700, 1), (600, 2)]
    assert (total(lines), [(line.price, line.quantity) for line in one_less(one_less(lines))]) == (1_900, [(700, 1)])
    assert fits(lines)
    assert not fits([Scanned(goods="a", name="x", price=1, quantity=scanned.QUANTITY_MAX + 1)])
    assert not fits([boots] * (scanned.LINES_MAX + 1))


def test_a_sale_that_an_older_desk_has_kept_is_read() -> None:
    assert OpenSale(id="a", account="b", amount=1, shown="", name="", made_at="").lines == []
