"""A car park over HTTP: gates at which nobody stands, drivers with a hold, a ticket, a plate or a card; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from counterfoil.acceptance.cards.paying import TAP_LIFETIME_S
from counterfoil.acceptance.parking.parks import CAR_PARKS_MAX
from counterfoil.acceptance.parking.stays import PAGE_SIZE_MAX
from counterfoil.clock import NANOSECONDS
from counterfoil.ids import id_text
from counterfoil.moments import moment_text
from counterfoil.parties.types import StaffRole
from counterfoil.payments.orders import OrderKind
from tests.acceptance.cards.plastic import Plastic
from tests.scheme import Person
from tests.web.site import Site
from tests.web.test_cards import PIN, card_of
from tests.web.test_tills import Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

TARIFF = {"free_minutes": 10, "bands": [{"minutes": 60, "price": 200}, {"minutes": 30, "price": 50}], "day_cap": 1000, "lost_ticket": 700}
TERMS: dict[str, Any] = {"name": "Market", "places": 100, "hold": 500, "grace_minutes": 15, "tariff": TARIFF}


class Gate:
    """A gate of a car park: a paired till with nobody at it. `office` has somebody signed in."""

    def __init__(self, office: Counter, park: str) -> None:
        self.office = office
        self.site = office.site
        self.park = park

    async def call(self, method: str, path: str, body: Any = None, *, query: str = "") -> Any:
        return await self.office.ok(method, path, body, query=query, session="")

    async def refused(self, path: str, body: Any = None, *, session: str = "") -> dict[str, Any]:
        return await self.office.refused("POST", path, body, session=session)

    def entry(self, **changes: Any) -> dict[str, Any]:
        return {"id": self.office.fresh(), "car_park": self.park, "entered_at": self.now()} | changes

    async def enter(self, **changes: Any) -> dict[str, Any]:
        stay: dict[str, Any] = await self.call("POST", "/v1/till/stays", self.entry(**changes))
        return stay

    async def leave(self, stay: dict[str, Any], passage: str = "", **changes: Any) -> dict[str, Any]:
        body = {"passage": passage or self.office.fresh()} | changes
        answer: dict[str, Any] = await self.call("POST", f"/v1/till/stays/{stay['id']}/leave", body)
        return answer

    def now(self) -> str:
        return moment_text(self.site.services.clock.now_ns())

    def wait(self, minutes: int) -> None:
        self.site.scheme.clock.offset_s += minutes * 60


@pytest_asyncio.fixture(loop_scope="module")
async def gate(site: Site) -> Gate:
    office = await paired(site, await site.scheme.merchant("Garage"))
    park = office.fresh()
    await office.ok("PUT", f"/v1/till/car-parks/{park}", TERMS)
    return Gate(office, park)


async def test_a_driver_agrees_at_the_entry_and_only_drives_out(gate: Gate) -> None:
    ada = await gate.site.scheme.customer("Ada", funds=5_000)
    body = gate.entry(plate="KAA 123b", hold=True)
    stay = await gate.call("POST", "/v1/till/stays", body)
    assert await gate.call("POST", "/v1/till/stays", body) == stay
    assert (stay["plate"], stay["hold"]["amount"], stay["hold"]["state"], stay["may_leave"]) == ("KAA123B", 500, "open", False)
    await gate.office.pay(ada, stay["hold"], timeout_s=12 * 3600)
    gate.wait(61)
    found = await gate.call("POST", "/v1/till/stays/find", {"plate": "kaa-123 B"})
    assert (found["id"], found["minutes"], found["fee"], found["due"], found["hold"]["state"]) == (stay["id"], 61, 250, 0, "held")
    passage = gate.office.fresh()
    left = await gate.leave(stay, passage)
    assert (left["may_leave"], left["fee"], left["settled"], left["hold"]["captured"]) == (True, 250, 250, 250)
    assert await gate.leave(stay, passage) == left
    assert ada.available() == 4_750
    assert left["hold"]["actions"][0]["clerk"] is None, "the gate did it by itself"
    refused = await gate.refused(f"/v1/till/stays/{stay['id']}/leave", {"passage": gate.office.fresh()})
    assert refused["code"] == "not_in_this_state"


async def test_a_ticket_is_paid_by_anybody_who_scans_what_is_asked(gate: Gate) -> None:
    ada = await gate.site.scheme.customer("Ada", funds=5_000)
    stay = await gate.enter()
    gate.wait(20)
    asked = await gate.call("POST", f"/v1/till/stays/{stay['id']}/charge")
    assert await gate.call("POST", f"/v1/till/stays/{stay['id']}/charge") == asked
    assert (asked["due"], asked["asked"]["amount"], asked["may_leave"]) == (200, 200, False)
    assert (await gate.leave(stay))["may_leave"] is False
    await gate.office.pay(ada, asked["asked"])
    left = await gate.leave(stay)
    assert (left["may_leave"], left["due"], ada.balance()) == (True, 0, 4_800)


async def test_a_card_comes_in_goes_out_and_pays_with_its_pin(gate: Gate) -> None:
    kofi = await gate.site.scheme.simple_phone(funds=5_000)
    card = await card_of(gate.site, kofi)
    stay = await gate.enter(tap=card.tap())
    assert (stay["plate"], stay["hold"]) == (None, None)
    gate.wait(20)
    tap = {"tap": card.tap()}
    found = await gate.call("POST", "/v1/till/stays/find", tap)
    assert await gate.call("POST", "/v1/till/stays/find", tap) == found
    assert found["id"] == stay["id"]
    waiting = await gate.leave(stay)
    sale = f"/v1/till/sales/{waiting['asked']['id']}/card"
    asked = await gate.office.ok("POST", sale, card.tap())
    await gate.office.ok("POST", f"{sale}/pay", {"tap": asked["tap"], "pin": PIN})
    assert ((await gate.leave(stay))["may_leave"], kofi.balance()) == (True, 4_800)


async def test_a_tap_that_was_overheard_finds_nothing_later(gate: Gate) -> None:
    card = await card_of(gate.site, await gate.site.scheme.simple_phone())
    old, new = card.tap(), card.tap()
    await gate.enter(tap=new)
    assert (await gate.refused("/v1/till/stays/find", {"tap": old}))["code"] == "tap_used"
    assert (await gate.refused("/v1/till/stays", gate.entry(tap=new)))["code"] in ("tap_used", "already_inside")
    gate.site.scheme.clock.offset_s += TAP_LIFETIME_S
    assert (await gate.refused("/v1/till/stays/find", {"tap": new}))["code"] == "tap_used"


async def test_cards_that_are_locked_or_strange_come_not_in(gate: Gate) -> None:
    kofi = await gate.site.scheme.simple_phone()
    card, clerk = await card_of(gate.site, kofi), await gate.site.staff_member(StaffRole.CLERK)
    await gate.site.ok(clerk, "POST", f"/v1/staff/parties/{id_text(kofi.party)}/cards/lock")
    assert (await gate.refused("/v1/till/stays", gate.entry(tap=card.tap())))["code"] == "card_locked"
    assert (await gate.refused("/v1/till/stays", gate.entry(tap=Plastic(gate.site.scheme).tap())))["code"] == "card_unknown"


async def test_a_gate_alone_changes_no_terms_lets_nobody_out_and_loses_no_ticket(gate: Gate) -> None:
    stay = await gate.enter()
    gate.wait(20)
    for path, body in (
        ("let-out", {"passage": gate.office.fresh(), "reason": "Ambulance"}),
        ("lost-ticket", None),
    ):
        assert (await gate.refused(f"/v1/till/stays/{stay['id']}/{path}", body))["status"] == 401
    answer = await gate.office.call("PUT", f"/v1/till/car-parks/{gate.park}", TERMS, session="")
    assert answer.status_code == 401
    seller = await gate.office.sign_in(await gate.office.clerk("Seller", rights=["sell"]))
    let_out = f"/v1/till/stays/{stay['id']}/let-out"
    assert (await gate.refused(let_out, {"passage": gate.office.fresh(), "reason": "Kin"}, session=seller))["status"] == 403
    lost = await gate.office.ok("POST", f"/v1/till/stays/{stay['id']}/lost-ticket", session=seller)
    assert (lost["lost_ticket"], lost["due"]) == (True, 700)
    out = await gate.office.ok("POST", let_out, {"passage": gate.office.fresh(), "reason": "Broken barrier"})
    assert (out["may_leave"], out["unpaid"], out["reason"]) == (True, 700, "Broken barrier")


async def test_who_is_inside_is_listed_by_pages_and_counted(gate: Gate) -> None:
    stays = [await gate.enter() for _ in range(PAGE_SIZE_MAX + 2)]
    query = f"car_park={gate.park}"
    first = await gate.call("GET", "/v1/till/stays", query=query)
    second = await gate.call("GET", "/v1/till/stays", query=f"{query}&cursor={first['next']}")
    assert [line["id"] for line in (*first["stays"], *second["stays"])] == [stay["id"] for stay in stays]
    assert second["next"] is None
    [park] = (await gate.call("GET", "/v1/till/car-parks"))["car_parks"]
    assert (park["taken"], park["tariff"]) == (PAGE_SIZE_MAX + 2, TARIFF)


async def test_fewer_places_let_nobody_else_in(gate: Gate) -> None:
    body = gate.entry(plate="AA 1")
    await gate.call("POST", "/v1/till/stays", body)
    assert (await gate.refused("/v1/till/stays", gate.entry(plate="aa1")))["code"] == "already_inside"
    await gate.office.ok("PUT", f"/v1/till/car-parks/{gate.park}", TERMS | {"places": 1})
    refused = await gate.refused("/v1/till/stays", gate.entry())
    assert (refused["code"], refused["facts"]["places"]) == ("car_park_full", 1)
    await gate.call("POST", "/v1/till/stays", body)  # a lost answer is made up for all the same


async def test_another_merchant_sees_and_moves_nothing(gate: Gate) -> None:
    stay = await gate.enter()
    other = await paired(gate.site, await gate.site.scheme.merchant("Other garage"))
    assert (await other.refused("GET", f"/v1/till/stays/{stay['id']}"))["code"] == "not_found"
    assert (await other.refused("POST", f"/v1/till/stays/{stay['id']}/leave", {"passage": other.fresh()}))["code"] == "not_found"
    assert (await other.refused("POST", "/v1/till/stays", gate.entry()))["code"] == "not_found"
    assert (await other.refused("PUT", f"/v1/till/car-parks/{gate.park}", TERMS))["code"] == "id_reused"
    assert await other.ok("GET", "/v1/till/stays", query=f"car_park={gate.park}") == {"stays": [], "next": None}


async def test_there_are_twenty_car_parks_at_most(gate: Gate) -> None:
    for _ in range(CAR_PARKS_MAX - 1):
        await gate.office.ok("PUT", f"/v1/till/car-parks/{gate.office.fresh()}", TERMS)
    assert (await gate.office.refused("PUT", f"/v1/till/car-parks/{gate.office.fresh()}", TERMS))["code"] == "too_large"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"places": 0}, "places"),
        ({"grace_minutes": 0}, "grace_minutes"),
        ({"grace_minutes": 121}, "grace_minutes"),
        ({"hold": -1}, "hold"),
        ({"name": " "}, "name"),
        ({"name": "M" * 31}, "name"),
        ({"tariff": TARIFF | {"bands": []}}, "tariff.bands"),
        ({"tariff": TARIFF | {"bands": [{"minutes": 0, "price": 1}]}}, "tariff.bands[0].minutes"),
        ({"tariff": TARIFF | {"free_minutes": 1441}}, "tariff.free_minutes"),
    ],
)
async def test_terms_that_are_none_are_refused_by_field(gate: Gate, changes: dict[str, Any], field: str) -> None:
    refused = await gate.office.refused("PUT", f"/v1/till/car-parks/{gate.park}", TERMS | changes)
    assert (refused["code"], refused["facts"]["field"]) == ("malformed", field)


async def test_entries_that_are_none_are_refused_by_field(gate: Gate) -> None:
    now = gate.site.services.clock.now_ns()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"plate": "?"}, "plate"),
        ({"plate": "A"}, "plate"),
        ({"plate": "A" * 13}, "plate"),
        ({"plate": "AA1", "tap": {"e": "00" * 16, "c": "00" * 8}}, "tap"),
        ({"entered_at": moment_text(now + 3_600 * NANOSECONDS)}, "entered_at"),
        ({"entered_at": moment_text(now - 8 * 86_400 * NANOSECONDS)}, "entered_at"),
        ({"id": "x"}, "id"),
    ]
    for changes, field in wrong:
        refused = await gate.refused("/v1/till/stays", gate.entry(**changes))
        assert (refused["code"], refused["facts"]["field"]) == ("malformed", field), refused
    assert (await gate.refused("/v1/till/stays/find", {}))["facts"]["field"] == "plate"
    stay = await gate.enter()
    body = {"passage": gate.office.fresh(), "at": moment_text(now - 3_600 * NANOSECONDS)}
    assert (await gate.refused(f"/v1/till/stays/{stay['id']}/leave", body))["facts"]["field"] == "at"
    again = gate.entry(id=stay["id"], plate="AB 12")
    assert (await gate.refused("/v1/till/stays", again))["code"] == "id_reused"


async def test_a_sale_or_request_of_that_id_is_no_stay(gate: Gate) -> None:
    sale = await gate.office.sell(100)
    refused = await gate.refused("/v1/till/stays", gate.entry(id=sale["id"], hold=True))
    assert refused["code"] == "id_reused"


async def test_a_plate_of_any_script_is_one_plate(gate: Gate) -> None:
    stay = await gate.enter(plate="12가 3456")
    assert (await gate.call("POST", "/v1/till/stays/find", {"plate": "１２가3456"}))["id"] == stay["id"]


async def test_what_a_driver_pays_by_hold_is_no_other_kind_of_order(gate: Gate, site: Site) -> None:
    """The wallet of the driver agrees to a hold; the capture refers to it, and both are in their history."""
    ada: Person = await site.scheme.customer("Ada", funds=5_000)
    stay = await gate.enter(hold=True)
    await gate.office.pay(ada, stay["hold"])
    gate.wait(20)
    left = await gate.leave(stay)
    hold = await site.services.payments.find(int(left["hold"]["payment"].replace("-", ""), 16))
    assert hold is not None
    assert (hold.kind, hold.payer) == (OrderKind.HOLD, ada.account)
