"""What the till reckons by itself: amounts as they are typed, carts, and what may be said of a sale."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.conftest import serve_static

asynchronous = pytest.mark.asyncio(loop_scope="module")

VIEW: dict[str, Any] = {
    "id": "a", "number": 12, "amount": 500, "state": "open", "payment": None, "refunded": 0, "captured": 0, "hold": False,
    "payer_name": None, "lines": [{"goods": None, "name": "Tea", "price": 500, "quantity": 1}],
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    page = await context.new_page()
    await serve_static(page)
    await page.evaluate(
        """async () => {
          const [cart, sale] = await Promise.all(["cart", "sale"].map((name) => import(`/static/till/${name}.js`)));
          Object.assign(globalThis, cart, sale);
        }"""
    )
    yield page
    await context.close()


TYPED = [
    # keys, digits of the currency, what stands there, minor units
    ("1 2 . 5", 2, "12.5", 1_250),
    ("1 2 . 5 0 7", 2, "12.50", 1_250),
    (". 0 7", 2, "0.07", 7),
    ("0 0 5", 2, "5", 500),
    ("0 00 0 .", 2, "0.", 0),
    ("00", 2, "0", 0),
    ("1 00 00", 0, "10000", 10_000),
    ("5 . 5", 0, "55", 55),
    ("1 . . 2", 2, "1.2", 120),
    ("1 2 3 back back", 2, "1", 100),
    ("back", 2, "", 0),
    ("1 2 3 4 5 6 7 8 9 0", 2, "123456789", 12_345_678_900),
    ("1 2 3 4 5 6 7 8 00", 2, "12345678", 1_234_567_800),
    ("1 . 2 3 4 5", 3, "1.234", 1_234),
]


@asynchronous
@pytest.mark.parametrize(("keys", "digits", "entry", "amount"), TYPED, ids=[each[0] for each in TYPED])
async def test_an_amount_is_what_was_typed(model: Page, keys: str, digits: int, entry: str, amount: int) -> None:
    script = "([keys, digits]) => { const c = new Cart({digits}); keys.forEach((k) => c.press(k)); return [c.entry, c.total()]; }"
    assert await model.evaluate(script, [keys.split(), digits]) == [entry, amount]


@asynchronous
async def test_the_same_goods_share_a_line_and_another_price_does_not(model: Page) -> None:
    lines = await model.evaluate(
        """() => {
          const cart = new Cart({ digits: 2 });
          const tea = { goods: "t", name: "Tea", price: 280 };
          cart.add(tea); cart.add(tea);
          cart.change(0, { price: 250 });
          cart.add(tea);
          cart.press("5"); cart.addTyped();
          cart.press("5"); cart.addTyped();
          cart.press("1");
          return [cart.finished().map((line) => [line.name, line.price, line.quantity]), cart.total(), cart.pieces(), cart.quantityOf("t")];
        }"""
    )
    expected = [["Tea", 250, 2], ["Tea", 280, 1], ["", 500, 1], ["", 500, 1], ["", 100, 1]]
    assert lines == [expected, 1_880, 5, 3]


@asynchronous
async def test_a_cart_stays_within_its_bounds(model: Page) -> None:
    found = await model.evaluate(
        """() => {
          const cart = new Cart({ digits: 2 });
          for (let at = 0; at < 150; at += 1) cart.add({ goods: null, name: "", price: 1 });
          cart.press("9"); cart.addTyped();
          const full = [cart.lines.length, cart.finished().length, cart.entry];
          cart.clear();
          cart.add({ goods: "g", name: "g", price: AMOUNT_MAX });
          const refused = cart.add({ goods: "g", name: "g", price: 1 });
          cart.change(0, { quantity: 2 });
          return [full, refused, cart.total() === AMOUNT_MAX];
        }"""
    )
    assert found == [[99, 100, "9"], False, True]


@asynchronous
async def test_a_line_is_taken_out_with_the_quantity_nought(model: Page) -> None:
    script = """() => { const c = new Cart({digits: 0}); c.add({goods: "a", name: "a", price: 5}); c.change(0, {quantity: 0});
      c.change(7, {quantity: 1}); return [c.lines, c.total()]; }"""
    assert await model.evaluate(script) == [[], 0]


@asynchronous
async def test_nothing_that_the_till_does_makes_a_sale_paid(model: Page) -> None:
    made = {"id": "a", "lines": [], "amount": 500, "hold": False, "made_at": "2026-11-22T01:00:00Z"}
    states = await model.evaluate(
        """(made) => {
          const sale = newSale(made);
          return [sale, { ...sale, withdrawn: true }, { ...sale, sent: true, announced: true }, { ...sale, refusal: { code: "x", title: "x" } }]
            .map(stateOf).map((state) => [state, hasPaid(state)]);
        }""",
        made,
    )
    assert states == [["kept", False], ["withdrawn", False], ["kept", False], ["refused", False]]


LATE = [
    # what was known, what arrives, what stands then
    ("paid", "open", "paid"),
    ("open", "paid", "paid"),
    ("held", "open", "held"),
    ("captured", "held", "captured"),
    ("refunded", "paid", "refunded"),
    ("cancelled", "paid", "paid"),
    ("cancelled", "open", "cancelled"),
]


@asynchronous
@pytest.mark.parametrize(("known", "arriving", "expected"), LATE)
async def test_an_answer_that_comes_late_does_not_turn_a_sale_back(model: Page, known: str, arriving: str, expected: str) -> None:
    script = "([view, first, second]) => stateOf(told(told(undefined, {...view, state: first}), {...view, state: second}))"
    assert await model.evaluate(script, [VIEW, known, arriving]) == expected


@asynchronous
async def test_of_two_refunds_the_answer_that_knows_of_both_stands(model: Page) -> None:
    script = "([view, first, second]) => told(told(undefined, {...view, ...first}), {...view, ...second}).view.refunded"
    less, more = ({"state": "refunded_part", "refunded": amount} for amount in (100, 300))
    assert await model.evaluate(script, [VIEW, less, more]) == 300
    assert await model.evaluate(script, [VIEW, more, less]) == 300


@asynchronous
@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, "2026-11-22T01:00:00.000Z"),  # the clock was as wrong as it is
        ({"skewMs": -3_600_000}, "2026-11-22T03:00:00.000Z"),  # it was made when we thought the clock to be an hour fast
        ({"tried": True}, "2026-11-22T02:00:00Z"),  # it was sent: a repeat is the same
    ],
)
async def test_a_sales_time_is_set_right_until_it_is_sent(model: Page, known: dict[str, Any], expected: str) -> None:
    made = {"id": "a", "lines": [], "amount": 500, "hold": False, "made_at": "2026-11-22T02:00:00Z"}
    script = (
        "([made, known, skewMs]) => { const sale = inTime({...newSale(made), ...known}, skewMs); return [sale.made.made_at, sale.tried]; }"
    )
    skew_ms = 0 if "skewMs" in known else -3_600_000
    assert await model.evaluate(script, [made, known, skew_ms]) == [expected, True]


@asynchronous
async def test_a_hold_that_runs_out_is_expired_and_no_longer_held(model: Page) -> None:
    script = "(view) => stateOf(told(told(undefined, {...view, state: 'held', payment: 'p'}), {...view, state: 'expired', payment: 'p'}))"
    assert await model.evaluate(script, VIEW) == "expired"


@asynchronous
async def test_only_what_was_taken_and_not_given_back_can_be_refunded(model: Page) -> None:
    views = [
        (VIEW | {"state": "open"}, 0),
        (VIEW | {"state": "paid"}, 500),
        (VIEW | {"state": "held", "hold": True}, 0),
        (VIEW | {"state": "captured", "hold": True, "captured": 300}, 300),
        (VIEW | {"state": "refunded_part", "refunded": 200}, 300),
        (VIEW | {"state": "refunded", "refunded": 500}, 0),
    ]
    found = await model.evaluate("(views) => views.map((view) => refundable(told(undefined, view)))", [view for view, _ in views])
    assert found == [expected for _, expected in views]


@asynchronous
async def test_sales_are_found_by_number_amount_payer_and_goods(model: Page) -> None:
    script = """([view, texts]) => {
      const sales = [{ ...view, id: "018f-first", payer_name: "Rose" }, { ...view, id: "018f-other", number: 5, amount: 1299, lines: [] }]
        .map((each) => told(undefined, each));
      return texts.map((text) => search(sales, text, (amount) => (amount / 100).toFixed(2)).map((sale) => sale.view.number));
    }"""
    texts = ["", "12", "#5", "12.99", "ROSE", "tea", "018f-o", "nothing"]
    assert await model.evaluate(script, [VIEW, texts]) == [[12, 5], [12, 5], [5], [5], [12], [12], [5], []]
