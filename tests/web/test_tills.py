"""A shop at its till, over HTTP: pair, sign in, sell, be paid, refund, hold, close the day; and who may not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import Engine, event

from counterfoil.acceptance import emv
from counterfoil.acceptance.sales import SALE_LIFETIME_S
from counterfoil.errors import Unavailable
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.moments import moment_text
from counterfoil.parties.tokens import Scope
from counterfoil.payments.orders import OrderKind
from tests.scheme import Person
from tests.web.site import Site, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

RIGHTS = ["sell", "refund", "capture", "goods", "close_day", "see_takings"]


class Counter:
    """A till of a shop, with a clerk signed in."""

    def __init__(self, site: Site, shop: Person, token: str) -> None:
        self.site = site
        self.shop = shop
        self.token = token
        self.session = ""

    async def call(self, method: str, path: str, body: Any = None, *, query: str = "", session: str | None = None) -> httpx2.Response:
        headers = {"Counterfoil-Clerk": self.session if session is None else session}
        return await self.site.call(self.token, method, path, body, query=query, headers=headers)

    async def ok(self, method: str, path: str, body: Any = None, *, query: str = "", session: str | None = None) -> Any:
        answer = await self.call(method, path, body, query=query, session=session)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, body: Any = None, *, query: str = "", session: str | None = None) -> dict[str, Any]:
        return problem(await self.call(method, path, body, query=query, session=session))

    async def clerk(self, name: str = "Wanjiru", pin: str = "2580", rights: list[str] = RIGHTS) -> str:
        body = {"id": self.fresh(), "name": name, "pin": pin, "rights": rights}
        return str((await self.site.ok(self.shop, "POST", "/v1/clerks", body))["id"])

    async def sign_in(self, clerk: str, pin: str = "2580") -> str:
        return str((await self.ok("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": pin}, session=""))["session"])

    def fresh(self) -> str:
        return id_text(new_id(self.site.scheme.clock))

    def body(self, amount: int = 1250, **changes: Any) -> dict[str, Any]:
        lines = [{"name": "Bread", "price": amount, "quantity": 1}]
        made_at = moment_text(self.site.services.clock.now_ns())
        return {"id": self.fresh(), "lines": lines, "amount": amount, "made_at": made_at} | changes

    async def sell(self, amount: int = 1250, **changes: Any) -> dict[str, Any]:
        sale: dict[str, Any] = await self.ok("POST", "/v1/till/sales", self.body(amount, **changes))
        return sale

    async def sale(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.ok("GET", f"/v1/till/sales/{id}")
        return found

    async def pay(self, payer: Person, sale: dict[str, Any], **changes: Any) -> Any:
        """The payer scans the sale's code and does what it says."""
        code = emv.read(sale["code"])
        assert isinstance(code, emv.Code)
        assert code.amount is not None
        kind = {"kind": OrderKind.HOLD, "timeout_s": 3600} if code.hold else {}
        values = {"reference": code.request, **kind, **changes}
        order = payer.order(code.account, emv.minor(code.amount, 2), **values)
        answer = await self.site.pay(payer.sign(order))
        assert answer.status_code < 300, answer.text
        return answer.json()


@pytest_asyncio.fixture(loop_scope="module")
async def till(site: Site) -> Counter:
    shop = await site.scheme.merchant("Corner Bakery")
    return await paired(site, shop)


async def paired(site: Site, shop: Person) -> Counter:
    site.wait(600)
    added = await site.ok(shop, "POST", "/v1/tills", {"id": id_text(new_id(site.scheme.clock)), "name": "Front"})
    answer = await site.ok(None, "POST", "/v1/tills/pair", {"code": added["pairing_code"], "label": "Tablet"})
    counter = Counter(site, shop, answer["token"])
    counter.session = await counter.sign_in(await counter.clerk())
    return counter


async def test_a_sale_is_paid_by_whoever_scans_its_code(till: Counter) -> None:
    shop = await till.ok("GET", "/v1/till")
    assert shop["merchant"]["name"] == "Corner Bakery"
    assert [clerk["name"] for clerk in shop["clerks"]] == ["Wanjiru"]
    sale = await till.sell(1250)
    assert (sale["state"], sale["number"], sale["payment"]) == ("open", 1, None)
    code = emv.read(sale["code"])
    assert isinstance(code, emv.Code)
    assert emv.is_signed_by(code, till.site.services.payments.acknowledger.public_key)
    assert (code.amount, code.request, code.account) == ("12.50", parse_id(sale["id"]), till.shop.account)

    payer = await till.site.scheme.customer("Amina", funds=5_000)
    receipt = await till.pay(payer, sale)
    paid = await till.sale(sale["id"])
    assert (paid["state"], paid["payment"], paid["payer_name"]) == ("paid", receipt["id"], "Amina")
    assert paid["paid_at"] == receipt["completed_at"]
    assert payer.balance() == 3_750


async def test_a_sale_that_somebody_has_begun_to_pay_is_not_over_while_that_can_go_on(
    till: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hour is over, and the order that has claimed it waits for the ledger: a shop that hears "expired" would keep the goods."""
    services, clock = till.site.services, till.site.scheme.clock
    payer, sale = await till.site.scheme.customer("Amina", funds=5_000), await till.sell(1250)
    expiry_ms = services.clock.now_ns() // 1_000_000 + 86_400_000
    signed = payer.sign(payer.order(till.shop, 1250, reference=parse_id(sale["id"]), expiry_ms=expiry_ms))

    async def away(*_: Any) -> Any:
        raise Unavailable("the ledger does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(services.payments.ledger, "create_transfers", away)
        assert (await till.site.pay(signed)).status_code == 503
    clock.offset_s += SALE_LIFETIME_S + 60  # and not back: the ledger's time would stay ahead, and its day with it
    till.session = await till.sign_in(await till.clerk("Njeri"))
    assert (await till.sale(sale["id"]))["state"] == "open"
    assert (await till.site.pay(signed)).status_code < 300
    assert (await till.sale(sale["id"]))["state"] == "paid"
    assert payer.balance() == 3_750


async def test_a_repeat_of_a_sale_is_the_same_sale_and_another_is_refused(till: Counter) -> None:
    body = till.body(500)
    first = await till.ok("POST", "/v1/till/sales", body)
    assert await till.ok("POST", "/v1/till/sales", body) == first
    assert (await till.refused("POST", "/v1/till/sales", till.body(501, id=body["id"])))["code"] == "id_reused"
    other = await paired(till.site, await till.site.scheme.merchant("Other shop"))
    assert (await other.refused("POST", "/v1/till/sales", other.body(500, id=body["id"])))["code"] == "id_reused"
    assert (await other.refused("GET", f"/v1/till/sales/{body['id']}"))["code"] == "not_found"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 499}, "amount"),
        ({"lines": [{"name": "x" * 61, "price": 500, "quantity": 1}]}, "lines[0].name"),
        ({"lines": [{"name": "Bread\u202e", "price": 500, "quantity": 1}]}, "lines[0].name"),
        ({"lines": [{"name": "Bread", "price": 500, "quantity": 0}]}, "lines[0].quantity"),
        ({"lines": [{"name": "Bread", "price": 500, "quantity": 1, "goods": "x"}]}, "lines[0].goods"),
        ({"lines": []}, "lines"),
        ({"made_at": "2020-01-01T00:00:00Z"}, "made_at"),
        ({"made_at": "2100-01-01T00:00:00Z"}, "made_at"),
    ],
)
async def test_a_sale_that_cannot_be_is_refused_by_its_field(till: Counter, change: dict[str, Any], field: str) -> None:
    refusal = await till.refused("POST", "/v1/till/sales", till.body(500) | change)
    assert (refusal["code"], refusal["facts"]["field"]) == ("malformed", field)


async def test_a_sale_is_paid_once(till: Counter) -> None:
    sale = await till.sell(700)
    first, second = [await till.site.scheme.customer(name, funds=2_000) for name in ("Amina", "Brian")]
    await till.pay(first, sale)
    order = second.order(till.shop, 700, reference=parse_id(sale["id"]))
    assert problem(await till.site.pay(second.sign(order)))["code"] == "not_in_this_state"
    assert second.balance() == 2_000


async def test_a_sale_that_was_taken_back_cannot_be_paid(till: Counter) -> None:
    sale = await till.sell(700)
    assert (await till.ok("POST", f"/v1/till/sales/{sale['id']}/cancel"))["state"] == "cancelled"
    assert (await till.ok("POST", f"/v1/till/sales/{sale['id']}/cancel"))["state"] == "cancelled"
    payer = await till.site.scheme.customer(funds=2_000)
    order = payer.order(till.shop, 700, reference=parse_id(sale["id"]))
    assert problem(await till.site.pay(payer.sign(order)))["code"] == "not_in_this_state"
    paid = await till.sell(300)
    await till.pay(payer, paid)
    assert (await till.refused("POST", f"/v1/till/sales/{paid['id']}/cancel"))["code"] == "not_in_this_state"


async def test_nothing_shows_as_paid_that_the_ledger_refused(till: Counter) -> None:
    sale = await till.sell(700)
    poor = await till.site.scheme.customer(funds=100)
    order = poor.order(till.shop, 700, reference=parse_id(sale["id"]))
    assert problem(await till.site.pay(poor.sign(order)))["code"] == "insufficient_funds"
    assert (await till.sale(sale["id"]))["state"] == "open"
    rich = await till.site.scheme.customer(funds=1_000)
    await till.pay(rich, sale)
    assert (await till.sale(sale["id"]))["state"] == "paid"


async def test_refunds_in_part_and_in_full_keep_who_did_them(till: Counter) -> None:
    sale, payer = await till.sell(1_000), await till.site.scheme.customer(funds=2_000)
    path = f"/v1/till/sales/{sale['id']}/refunds"
    assert (await till.refused("POST", path, {"id": till.fresh(), "amount": 1}))["code"] == "not_in_this_state"
    await till.pay(payer, sale)
    refund = {"id": till.fresh(), "amount": 400, "memo": "one loaf back"}
    part = await till.ok("POST", path, refund)
    assert (part["state"], part["refunded"]) == ("refunded_part", 400)
    assert (await till.ok("POST", path, refund))["refunded"] == 400
    assert (await till.refused("POST", path, refund | {"amount": 401}))["code"] == "id_reused"
    assert (await till.refused("POST", path, {"id": till.fresh(), "amount": 601}))["code"] == "above_original"
    for memo in ("x" * 257, "rice\0"):
        assert (await till.refused("POST", path, {"id": till.fresh(), "amount": 1, "memo": memo}))["facts"]["field"] == "memo"
    assert payer.balance() == 1_400
    await payer.pay(till.shop, 100)  # the scheme's fee is missing in the shop's account
    done = await till.ok("POST", path, {"id": till.fresh(), "amount": 600})
    assert (done["state"], done["refunded"]) == ("refunded", 1_000)
    clerk = (await till.ok("GET", "/v1/till"))["clerks"][0]["id"]
    assert [(each["kind"], each["amount"], each["clerk"]) for each in done["actions"]] == [("refund", 400, clerk), ("refund", 600, clerk)]
    assert payer.balance() == 1_900


async def test_a_hold_is_captured_in_part_then_refunded(till: Counter) -> None:
    sale, payer = await till.sell(6_000, hold=True), await till.site.scheme.customer(funds=10_000)
    capture = f"/v1/till/sales/{sale['id']}/capture"
    assert (await till.refused("POST", capture, {"id": till.fresh(), "amount": 1}))["code"] == "not_in_this_state"
    await till.pay(payer, sale)
    held = await till.sale(sale["id"])
    assert (held["state"], held["captured"], payer.available()) == ("held", 0, 4_000)
    assert (await till.refused("POST", capture, {"id": till.fresh(), "amount": 6_001}))["code"] == "above_hold"
    body = {"id": till.fresh(), "amount": 4_500}
    taken = await till.ok("POST", capture, body)
    assert (taken["state"], taken["captured"]) == ("captured", 4_500)
    assert (await till.ok("POST", capture, body))["captured"] == 4_500
    assert (await till.refused("POST", capture, {"id": till.fresh(), "amount": 1}))["code"] == "hold_not_open"
    assert (payer.balance(), payer.available()) == (5_500, 5_500)
    back = await till.ok("POST", f"/v1/till/sales/{sale['id']}/refunds", {"id": till.fresh(), "amount": 500})
    assert (back["state"], back["captured"], back["refunded"]) == ("refunded_part", 4_500, 500)
    assert [each["kind"] for each in back["actions"]] == ["capture", "refund"]


async def test_a_hold_is_released(till: Counter) -> None:
    sale, payer = await till.sell(6_000, hold=True), await till.site.scheme.customer(funds=10_000)
    await till.pay(payer, sale)
    released = await till.ok("POST", f"/v1/till/sales/{sale['id']}/release", {"id": till.fresh()})
    assert (released["state"], payer.available()) == ("released", 10_000)
    assert (await till.refused("POST", f"/v1/till/sales/{sale['id']}/refunds", {"id": till.fresh(), "amount": 1}))["code"] == (
        "not_in_this_state"
    )


async def test_a_hold_does_not_answer_a_sale_nor_a_payment_a_hold(till: Counter) -> None:
    payer = await till.site.scheme.customer(funds=10_000)
    for hold, kind in ((False, {"kind": OrderKind.HOLD, "timeout_s": 60}), (True, {})):
        sale = await till.sell(500, hold=hold)
        order = payer.order(till.shop, 500, reference=parse_id(sale["id"]), **kind)
        refusal = problem(await till.site.pay(payer.sign(order)))
        assert (refusal["code"], refusal["facts"]["field"]) == ("malformed", "order.kind")
        assert (await till.sale(sale["id"]))["state"] == "open"


async def test_a_sale_made_offline_finds_its_payment(till: Counter) -> None:
    shop = await till.ok("GET", "/v1/till")
    body = till.body(820, made_at=moment_text(till.site.services.clock.now_ns() - 3600 * 10**9))
    text = emv.complete(shop["merchant"]["static_code"], amount="8.20", request=parse_id(body["id"]))
    payer = await till.site.scheme.customer("Amina", funds=5_000)
    stranger = await till.site.scheme.customer("Eve", funds=5_000)
    wrong = stranger.order(till.shop, 1, reference=parse_id(body["id"]))  # somebody else scanned it, and pays another amount
    assert (await till.site.pay(stranger.sign(wrong))).status_code == 200
    receipt = await till.pay(payer, {"code": text})
    again = payer.order(till.shop, 820, reference=parse_id(body["id"]))
    assert problem(await till.site.pay(payer.sign(again)))["code"] == "not_in_this_state"
    sale = await till.ok("POST", "/v1/till/sales", body)
    assert (sale["state"], sale["payment"], sale["payer_name"]) == ("paid", receipt["id"], "Amina")
    assert (await till.ok("POST", "/v1/till/sales", body))["payment"] == receipt["id"]


async def test_a_clerk_may_do_what_the_owner_gave_and_no_more(till: Counter) -> None:
    trainee = await till.sign_in(await till.clerk("Otieno", "1470", ["sell"]), "1470")
    sale = await till.ok("POST", "/v1/till/sales", till.body(500), session=trainee)
    path = f"/v1/till/sales/{sale['id']}"
    asked = [
        ("POST", f"{path}/refunds", {"id": till.fresh(), "amount": 1}),
        ("POST", f"{path}/capture", {"id": till.fresh(), "amount": 1}),
        ("POST", f"{path}/release", {"id": till.fresh()}),
        ("PUT", f"/v1/till/goods/{till.fresh()}", {"name": "Bread", "price": 5}),
        ("POST", "/v1/till/day/close", {"id": till.fresh()}),
        ("GET", "/v1/till/day", None),
    ]
    for method, where, body in asked:
        refusal = await till.refused(method, where, body, session=trainee)
        assert refusal["code"] == "forbidden", where
        assert refusal["facts"]["right"] in RIGHTS, where
    for session in ("", "nonsense"):
        refusal = await till.refused("GET", path, session=session)
        assert (refusal["code"], refusal["facts"]) == ("not_authenticated", {"session": False})


async def test_pins_of_clerks_lock_and_the_owner_unlocks(till: Counter) -> None:
    clerk = await till.clerk("Akinyi", "3690", ["sell"])
    for left in (4, 3, 2, 1, 0):
        refusal = await till.refused("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": "9999"})
        assert (refusal["code"], refusal["facts"]["attempts_left"]) == ("wrong_pin", left)
    assert (await till.refused("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": "3690"}))["code"] == "pin_locked"
    nobody = await till.refused("POST", "/v1/till/sign-in", {"clerk": till.fresh(), "pin": "3690"})
    assert nobody["code"] == "wrong_pin"
    locked = {each["id"]: each["locked_until"] for each in (await till.site.ok(till.shop, "GET", "/v1/clerks"))["clerks"]}
    assert locked.pop(clerk) > moment_text(till.site.services.clock.now_ns())
    assert set(locked.values()) == {None}

    unlocked = await till.site.ok(till.shop, "PATCH", f"/v1/clerks/{clerk}", {"unlock": True})
    assert (unlocked["locked_until"], unlocked["name"], unlocked["rights"]) == (None, "Akinyi", ["sell"])
    assert (await till.refused("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": "9999"}))["facts"]["attempts_left"] == 4
    assert await till.sign_in(clerk, "3690")  # the PIN is the same

    for _ in range(5):
        await till.refused("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": "9999"})
    changed = await till.site.ok(till.shop, "PATCH", f"/v1/clerks/{clerk}", {"pin": "7531", "name": "Akinyi O."})
    assert (changed["locked_until"], changed["name"]) == (None, "Akinyi O.")
    assert await till.sign_in(clerk, "7531")


async def test_rights_that_change_hold_at_once_where_the_clerk_is_signed_in(till: Counter) -> None:
    clerk = await till.clerk("Njoki", "3690", ["sell"])
    session = await till.sign_in(clerk, "3690")
    goods = f"/v1/till/goods/{till.fresh()}", {"name": "Bread", "price": 5}
    assert (await till.refused("PUT", *goods, session=session))["code"] == "forbidden"
    changed = await till.site.ok(till.shop, "PATCH", f"/v1/clerks/{clerk}", {"rights": ["goods"], "name": "Njoki K."})
    assert (changed["name"], changed["rights"]) == ("Njoki K.", ["goods"])
    await till.ok("PUT", *goods, session=session)
    assert (await till.refused("POST", "/v1/till/sales", till.body(500), session=session))["facts"]["right"] == "sell"
    rival = await till.site.scheme.merchant("Rival")
    assert (await till.site.refused(rival, "PATCH", f"/v1/clerks/{clerk}", {"rights": []}))["code"] == "not_found"
    await till.site.ok(till.shop, "DELETE", f"/v1/clerks/{clerk}")
    assert (await till.site.refused(till.shop, "PATCH", f"/v1/clerks/{clerk}", {"unlock": True}))["code"] == "not_in_this_state"


async def test_sessions_end_with_the_clerk_the_pin_time_and_sign_out(till: Counter) -> None:
    clerk = await till.clerk("Njeri", "3690", ["sell"])
    first, second = await till.sign_in(clerk, "3690"), await till.sign_in(clerk, "3690")
    await till.ok("POST", "/v1/till/sign-out", session=first)
    assert (await till.call("GET", "/v1/till/goods", session=first)).status_code == 401
    await till.ok("GET", "/v1/till/goods", session=second)
    clock = till.site.scheme.clock
    try:
        clock.offset_s += 31 * 60
        assert (await till.call("GET", "/v1/till/goods", session=second)).status_code == 401
    finally:
        clock.offset_s -= 31 * 60
    await till.site.ok(till.shop, "PATCH", f"/v1/clerks/{clerk}", {"pin": "7531"})
    assert (await till.call("GET", "/v1/till/goods", session=second)).status_code == 401
    third = await till.sign_in(clerk, "7531")
    await till.site.ok(till.shop, "DELETE", f"/v1/clerks/{clerk}")
    assert (await till.call("GET", "/v1/till/goods", session=third)).status_code == 401
    assert clerk not in [each["id"] for each in (await till.ok("GET", "/v1/till"))["clerks"]]
    assert (await till.refused("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": "7531"}))["code"] == "wrong_pin"


async def test_goods_are_the_shops_own(till: Counter) -> None:
    bread, milk = till.fresh(), till.fresh()
    await till.ok("PUT", f"/v1/till/goods/{bread}", {"name": "Bread", "price": 250, "unit": "loaf", "position": 2})
    await till.ok("PUT", f"/v1/till/goods/{milk}", {"name": "Milk", "price": 120, "position": 1})
    changed = {"name": "Bread", "price": 260, "unit": "loaf", "position": 2, "shown": False}
    await till.ok("PUT", f"/v1/till/goods/{bread}", changed)
    goods = (await till.ok("GET", "/v1/till/goods"))["goods"]
    unmarked = {"barcode": "", "department": "", "tax": 0}
    assert goods == [
        {"id": milk, "name": "Milk", "price": 120, "unit": "", "shown": True, "position": 1} | unmarked,
        {"id": bread} | changed | unmarked,
    ]
    other = await paired(till.site, await till.site.scheme.merchant("Other shop"))
    assert (await other.refused("PUT", f"/v1/till/goods/{bread}", changed))["code"] == "id_reused"
    assert (await other.ok("GET", "/v1/till/goods"))["goods"] == []


# Pairing


async def test_a_code_pairs_once_and_not_after_its_time(site: Site) -> None:
    site.wait(600)
    shop = await site.scheme.merchant("Kiosk")
    till = {"id": id_text(new_id(site.scheme.clock)), "name": "Window"}
    added = await site.ok(shop, "POST", "/v1/tills", till)
    assert re.fullmatch(r"[2-9A-HJ-NP-Z]{8}", added["pairing_code"])
    newer = await site.ok(shop, "POST", f"/v1/tills/{till['id']}/pair")
    code = newer["pairing_code"]
    assert (await site.refused(None, "POST", "/v1/tills/pair", {"code": added["pairing_code"]}))["code"] == "wrong_code"
    paired = await site.ok(None, "POST", "/v1/tills/pair", {"code": f"{code[:4]}-{code[4:].lower()}", "label": "Phone"})
    assert (await site.refused(None, "POST", "/v1/tills/pair", {"code": code}))["code"] == "wrong_code"
    assert [(each["name"], each["label"]) for each in (await site.ok(shop, "GET", "/v1/tills"))["tills"]] == [("Window", "Phone")]
    late = await site.ok(shop, "POST", f"/v1/tills/{till['id']}/pair")
    site.scheme.clock.offset_s += 25 * 3600
    try:
        assert (await site.refused(None, "POST", "/v1/tills/pair", {"code": late["pairing_code"]}))["code"] == "wrong_code"
    finally:
        site.scheme.clock.offset_s -= 25 * 3600
    assert (await site.call(paired["token"], "GET", "/v1/till")).status_code == 200


async def test_pairing_again_and_ending_take_the_old_token_away(site: Site) -> None:
    site.wait(600)
    shop = await site.scheme.merchant("Kiosk")
    till = {"id": id_text(new_id(site.scheme.clock)), "name": "Window"}
    tokens = []
    for _ in range(2):
        code = (await site.ok(shop, "POST", "/v1/tills", till))["pairing_code"]
        tokens.append((await site.ok(None, "POST", "/v1/tills/pair", {"code": code}))["token"])
    assert (await site.refused(tokens[0], "GET", "/v1/till"))["code"] == "wrong_token"
    await site.ok(tokens[1], "GET", "/v1/till")
    await site.ok(shop, "DELETE", f"/v1/tills/{till['id']}")
    assert (await site.refused(tokens[1], "GET", "/v1/till"))["code"] == "wrong_token"
    assert (await site.refused(shop, "POST", f"/v1/tills/{till['id']}/pair"))["code"] == "not_in_this_state"


async def test_guessing_codes_is_slowed_down(site: Site) -> None:
    site.wait(600)
    statuses = [(await site.call(None, "POST", "/v1/tills/pair", {"code": f"AAAA{number:04}"})).status_code for number in range(25)]
    assert set(statuses[:20]) == {401}
    assert statuses[-1] == 429
    site.wait(600)


async def test_a_till_token_only_sells_and_only_merchants_have_tills(till: Counter) -> None:
    site = till.site
    for path in ("/v1/accounts/me", "/v1/history", "/v1/tills", "/v1/clerks", "/v1/requests"):
        assert (await site.refused(till.token, "GET", path))["code"] == "forbidden", path
    customer = await site.scheme.customer()
    new = {"id": till.fresh(), "name": "Mine"}
    assert (await site.refused(customer, "POST", "/v1/tills", new))["code"] == "forbidden"
    for scopes in (["till"], ["payments:read", "till"]):
        body = {"label": "till", "scopes": scopes, "expires_at": site.in_seconds(3_600)}
        refusal = await site.refused(till.shop, "POST", "/v1/tokens", body)
        assert (refusal["code"], refusal["facts"]["field"]) == ("malformed", "scopes")
        assert "pairing" in refusal["facts"]["rule"]
    _, stray = await site.services.acceptance.tills.tokens.create(
        account=till.shop.account,
        device=till.shop.device,
        label="stray",
        scopes=frozenset({Scope.TILL}),
        expires_at=site.services.clock.now_ns() + 3_600 * 10**9,
    )
    assert (await site.refused(stray, "GET", "/v1/till"))["code"] == "forbidden"
    rival = await site.scheme.merchant("Rival")
    mine = (await site.ok(till.shop, "GET", "/v1/tills"))["tills"][0]["id"]
    assert (await site.refused(rival, "DELETE", f"/v1/tills/{mine}"))["code"] == "not_found"
    assert (await site.refused(rival, "POST", f"/v1/tills/{mine}/pair"))["code"] == "not_found"


# The day


async def test_a_day_adds_up_what_the_ledger_has(till: Counter) -> None:
    site = till.site
    payer = await site.scheme.customer(funds=50_000)
    opening = till.shop.balance()
    bread = till.fresh()
    lines = [{"name": "Bread", "price": 250, "quantity": 4, "goods": bread}, {"name": "", "price": 500, "quantity": 1}]
    await till.pay(payer, await till.sell(1_500, lines=lines))
    refunded = await till.sell(2_000, lines=[{"name": "Cake", "price": 2_000, "quantity": 1}])
    await till.pay(payer, refunded)
    await till.ok("POST", f"/v1/till/sales/{refunded['id']}/refunds", {"id": till.fresh(), "amount": 700})
    fuel = await till.sell(
        6_000, hold=True, lines=[{"name": "Petrol", "price": 4_000, "quantity": 1}, {"name": "Oil", "price": 2_000, "quantity": 1}]
    )
    await till.pay(payer, fuel)
    await till.ok("POST", f"/v1/till/sales/{fuel['id']}/capture", {"id": till.fresh(), "amount": 3_000})
    waiting = await till.sell(900, hold=True)
    await till.pay(payer, waiting)
    await till.sell(333)  # never paid
    await payer.pay(till.shop, 450)  # by the poster
    day = await till.ok("GET", "/v1/till/day")
    assert (day["sales"], day["gross"], day["refunds"], day["refunded"]) == (4, 1_500 + 2_000 + 3_000 + 450, 1, 700)
    assert (day["holds_open"], day["unrung"], day["unrung_amount"], day["closed"]) == (1, 1, 450, None)
    assert day["net"] == day["gross"] - day["refunded"] - day["fees"] == till.shop.balance() - opening
    assert day["fees"] > 0
    assert day["available"] == till.shop.available()
    assert [(each["name"], each["count"], each["amount"]) for each in day["by_clerk"]] == [("Wanjiru", 3, 6_500)]
    by_goods = {each["name"]: (each["goods"], each["quantity"], each["amount"]) for each in day["by_goods"]}
    assert by_goods == {"Bread": (bread, 4, 1_000), "": (None, 1, 500), "Petrol": (None, 1, 2_000), "Oil": (None, 1, 1_000)} | {
        "Cake": (None, 1, 2_000)
    }


async def test_a_closing_is_numbered_and_never_changes(till: Counter) -> None:
    payer = await till.site.scheme.customer(funds=50_000)
    await till.pay(payer, await till.sell(1_500))
    body = {"id": till.fresh()}
    before = await till.ok("GET", "/v1/till/day")
    closed = await till.ok("POST", "/v1/till/day/close", body)
    assert closed["closed"]["number"] == 1
    assert {name: value for name, value in closed.items() if name not in ("closed", "until")} == {
        name: value for name, value in before.items() if name not in ("closed", "until")
    }
    await till.pay(payer, await till.sell(800))
    again = await till.ok("POST", "/v1/till/day/close", body)
    assert again == closed | {"available": again["available"]}
    assert (await till.ok("GET", "/v1/till/day"))["gross"] == 1_500
    assert (await till.refused("POST", "/v1/till/day/close", {"id": till.fresh()}))["code"] == "not_in_this_state"
    other = await paired(till.site, await till.site.scheme.merchant("Other shop"))
    assert (await other.refused("POST", "/v1/till/day/close", body))["code"] == "id_reused"


async def test_sales_of_a_day_come_in_pages(till: Counter) -> None:
    for number in range(53):
        await till.sell(100 + number)
    first = await till.ok("GET", "/v1/till/sales")
    assert [sale["number"] for sale in first["sales"]] == list(range(53, 3, -1))
    rest = await till.ok("GET", "/v1/till/sales", query=f"cursor={first['next']}")
    assert ([sale["number"] for sale in rest["sales"]], rest["next"]) == ([3, 2, 1], None)
    assert (await till.ok("GET", "/v1/till/sales", query="day=2001-01-01")) == {"sales": [], "next": None}


async def test_a_page_of_sales_costs_as_many_reads_as_one_sale(till: Counter) -> None:
    payer = await till.site.scheme.customer(funds=90_000)
    await refunded_hold(till, payer)
    one, alone = await counted_page(till)
    for _ in range(5):
        await till.pay(payer, await till.sell(300))
        await till.sell(200)
        await refunded_hold(till, payer)
    page, counted = await counted_page(till)
    assert [sale["state"] for sale in page["sales"]] == [*["refunded_part", "open", "paid"] * 5, "refunded_part"]
    assert page["sales"][-1] == one["sales"][0]
    assert 5 < len(counted) <= len(alone) <= 15, counted
    for sale in page["sales"]:
        assert await till.sale(sale["id"]) == sale


async def counted_page(till: Counter) -> tuple[dict[str, Any], list[str]]:
    """The till's sales, and what was read for them. Followers in the background read now and then as well: the fewest of several counts."""
    found: list[tuple[dict[str, Any], list[str]]] = []
    for _ in range(4):
        with statements_counted() as counted:
            found.append((await till.ok("GET", "/v1/till/sales"), counted))
    return min(found, key=lambda each: len(each[1]))


async def refunded_hold(till: Counter, payer: Person) -> None:
    sale = await till.sell(1_000, hold=True)
    await till.pay(payer, sale)
    await till.ok("POST", f"/v1/till/sales/{sale['id']}/capture", {"id": till.fresh(), "amount": 800})
    await till.ok("POST", f"/v1/till/sales/{sale['id']}/refunds", {"id": till.fresh(), "amount": 100})


@contextmanager
def statements_counted() -> Iterator[list[str]]:
    """What is read meanwhile, as SQL."""
    counted: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            counted.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield counted
    finally:
        event.remove(Engine, "before_cursor_execute", count)


# Events


@asynccontextmanager
async def listening(till: Counter) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with till.site.client.stream("GET", "/v1/till/events", headers={"Authorization": f"Bearer {till.token}"}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

        yield events()


async def test_a_till_hears_of_its_sales_without_asking(till: Counter) -> None:
    payer = await till.site.scheme.customer(funds=20_000)
    sale, held = await till.sell(700), await till.sell(900, hold=True)
    async with asyncio.timeout(60), listening(till) as events:
        await payer.pay(till.shop, 5)  # by the poster: no sale, no event
        await till.pay(payer, sale)
        first = await anext(events)
        assert (first["type"], first["sale"]) == ("sale.paid", sale["id"])
        await till.pay(payer, held)
        assert (await anext(events))["type"] == "sale.held"
        await till.ok("POST", f"/v1/till/sales/{held['id']}/capture", {"id": till.fresh(), "amount": 800})
        await till.ok("POST", f"/v1/till/sales/{held['id']}/refunds", {"id": till.fresh(), "amount": 100})
        heard: set[str] = set()
        while heard != {"sale.captured", "sale.refunded", "sale.changed"}:
            told = await anext(events)
            assert told["sale"] == held["id"]
            heard.add(told["type"])


# Slips


async def test_the_tills_hear_that_the_shop_has_changed_and_one_that_ended_hears_no_more(till: Counter) -> None:
    async with asyncio.timeout(60), listening(till) as events:
        clerk = await till.clerk("Mueni", "3690", ["sell"])
        await till.site.ok(till.shop, "PATCH", f"/v1/clerks/{clerk}", {"rights": ["goods"]})
        await till.ok("PUT", f"/v1/till/goods/{till.fresh()}", {"name": "Bread", "price": 5})
        for _ in range(3):
            heard = await anext(events)
            assert (heard["type"], sorted(heard)) == ("shop.changed", ["at", "type"])
        mine = (await till.site.ok(till.shop, "GET", "/v1/tills"))["tills"][0]["id"]
        await till.site.ok(till.shop, "DELETE", f"/v1/tills/{mine}")
        assert [heard async for heard in events] == []


async def test_a_slip_goes_by_text_message_and_opens(till: Counter) -> None:
    sale, payer = await till.sell(700), await till.site.scheme.customer(funds=2_000)
    path = f"/v1/till/sales/{sale['id']}/slip-sms"
    assert (await till.refused("POST", path, {}))["code"] == "not_in_this_state"
    await till.pay(payer, sale)
    await till.ok("POST", path, {})
    await till.ok("POST", path, {"number": "0712000111"})
    assert (await till.refused("POST", path, {"number": "12"}))["facts"]["field"] == "number"
    sent = [notice for notice in await till.site.services.parties.notices.newest_waiting(10) if notice.kind == "slip"]
    assert [notice.number for notice in sent] == ["+254712000111", payer.address]
    link = sent[0].values["link"]
    assert str(link).endswith(sale["slip"])
    page = await till.site.client.get(str(link))
    assert page.status_code == 200
    assert "7.00" in page.text
    address, _, key = str(link).partition("?k=")
    for wrong in (f"{address}?k={'B' if key[0] == 'A' else 'A'}{key[1:]}", address):
        assert (await till.site.client.get(wrong)).status_code == 404


async def test_the_owners_device_is_no_till(till: Counter) -> None:
    assert (await till.site.refused(till.shop, "GET", "/v1/till"))["code"] == "forbidden"
