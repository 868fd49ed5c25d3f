"""A fuel station over HTTP: a till behind the pumps at which nobody stands, drivers, the slip that they get, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from counterfoil.acceptance.fuel.fills import PAGE_SIZE_MAX
from counterfoil.acceptance.fuel.pumps import PUMPS_MAX
from tests.web.site import Site
from tests.web.test_cards import PIN, card_of
from tests.web.test_tills import Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUMP: dict[str, Any] = {"number": 1, "products": [{"name": "Diesel", "price": 1_799}], "full_tank": 9_000}
BEFORE = 1_000_000


class Station:
    """A pump and the till behind it. `office` has somebody signed in."""

    def __init__(self, office: Counter, pump: str) -> None:
        self.office = office
        self.site = office.site
        self.pump = pump
        self.totaliser = BEFORE

    async def call(self, method: str, path: str, body: Any = None, *, query: str = "") -> Any:
        return await self.office.ok(method, path, body, query=query, session="")

    async def refused(self, path: str, body: Any = None) -> dict[str, Any]:
        return await self.office.refused("POST", path, body, session="")

    def body(self, **changes: Any) -> dict[str, Any]:
        return {"id": self.office.fresh(), "pump": self.pump, "product": "Diesel", "totaliser": self.totaliser} | changes

    async def ask(self, **changes: Any) -> dict[str, Any]:
        fill: dict[str, Any] = await self.call("POST", "/v1/till/fills", self.body(**changes))
        return fill

    async def report(self, fill: dict[str, Any], event: str, **more: int) -> dict[str, Any]:
        answer: dict[str, Any] = await self.call("POST", f"/v1/till/fills/{fill['id']}/report", {"event": event, **more})
        return answer

    async def permit(self, fill: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self.call("POST", f"/v1/till/fills/{fill['id']}/permit")
        return answer

    async def done(self, fill: dict[str, Any], millilitres: int) -> dict[str, Any]:
        self.totaliser += millilitres
        return await self.report(fill, "done", millilitres=millilitres, totaliser=self.totaliser)


@pytest_asyncio.fixture(loop_scope="module")
async def station(site: Site) -> Station:
    office = await paired(site, await site.scheme.merchant("Station"))
    pump = office.fresh()
    await office.ok("PUT", f"/v1/till/pumps/{pump}", PUMP)
    return Station(office, pump)


async def test_a_driver_agrees_fills_up_and_pays_for_exactly_that(station: Station) -> None:
    ada = await station.site.scheme.customer("Ada", funds=20_000)
    body = station.body()
    fill = await station.call("POST", "/v1/till/fills", body)
    assert await station.call("POST", "/v1/till/fills", body) == fill
    assert (fill["state"], fill["amount"], fill["millilitres_max"], fill["price"]) == ("idle", 9_000, 5_003, 1_799)
    assert (await station.refused(f"/v1/till/fills/{fill['id']}/permit"))["code"] == "not_in_this_state"
    await station.office.pay(ada, fill["sale"], timeout_s=12 * 3_600)
    allowed = await station.permit(fill)
    assert (allowed["state"], allowed["sale"]["state"], await station.permit(fill)) == ("authorised", "held", allowed)
    await station.report(fill, "started")
    assert (await station.report(fill, "progress", millilitres=700))["millilitres"] == 700
    ended = await station.done(fill, 2_500)
    assert (ended["state"], ended["charge"], ended["unpaid"], ended["sale"]["captured"]) == ("done", 4_498, 0, 4_498)
    assert await station.report(fill, "done", millilitres=2_500, totaliser=BEFORE + 2_500) == ended
    assert await station.call("GET", f"/v1/till/fills/{fill['id']}") == ended
    assert (ada.balance(), ada.available()) == (15_502, 15_502)

    slip = await station.site.call(None, "GET", ended["sale"]["slip"].split("?")[0], query=ended["sale"]["slip"].split("?")[1])
    assert "2.500 L × 17.99/L" in slip.text
    assert "44.98" in slip.text


async def test_reports_that_do_not_fit_are_refused_and_change_nothing(station: Station) -> None:
    ada = await station.site.scheme.customer("Ada", funds=20_000)
    fill = await station.ask(amount=2_000)
    place = f"/v1/till/fills/{fill['id']}/report"
    assert (await station.refused(place, {"event": "started"}))["code"] == "fill_out_of_order"
    assert (await station.refused("/v1/till/fills", station.body()))["code"] == "pump_busy"
    await station.office.pay(ada, fill["sale"])
    await station.permit(fill)
    assert (await station.refused(place, {"event": "aborted"}))["facts"]["field"] == "totaliser"
    assert (await station.refused(place, {"event": "aborted", "totaliser": station.totaliser + 1}))["code"] == "fill_contradicted"
    assert (await station.refused(place, {"event": "authorised"}))["code"] == "malformed"
    await station.report(fill, "started")
    wrong = {"event": "done", "millilitres": 500, "totaliser": station.totaliser + 501}
    assert (await station.refused(place, wrong))["code"] == "fill_contradicted"
    assert (await station.report(fill, "silent"))["state"] == "timed_out"
    assert [each["id"] for each in (await station.call("GET", "/v1/till/fills", query="state=open"))["fills"]] == [fill["id"]]
    assert ada.available() == 18_000
    assert (await station.done(fill, 500))["charge"] == 900
    assert (await station.refused(place, {"event": "aborted", "totaliser": BEFORE}))["code"] == "fill_out_of_order"
    assert ada.available() == 19_100
    assert (await station.call("GET", "/v1/till/fills", query="state=open"))["fills"] == []


async def test_what_ran_above_the_limit_is_asked_for_and_paid(station: Station) -> None:
    ada = await station.site.scheme.customer("Ada", funds=20_000)
    fill = await station.ask(amount=2_000)
    place = f"/v1/till/fills/{fill['id']}/ask-rest"
    assert (await station.refused(place))["code"] == "fill_out_of_order"
    await station.office.pay(ada, fill["sale"])
    await station.permit(fill)
    await station.report(fill, "started")
    ended = await station.done(fill, 2_000)
    assert (ended["unpaid"], ended["rest"]) == (1_598, None)
    asked = await station.call("POST", place)
    assert await station.call("POST", place) == asked
    assert (asked["unpaid"], asked["rest"]["amount"], asked["rest"]["state"]) == (1_598, 1_598, "open")
    await station.office.pay(ada, asked["rest"])
    paid = await station.call("POST", place)
    assert (paid["unpaid"], paid["rest"]["state"], ada.balance()) == (0, "paid", 16_402)


async def test_a_card_sets_the_money_aside(station: Station) -> None:
    kofi = await station.site.scheme.simple_phone(funds=5_000)
    fill, card = await station.ask(amount=2_000), await card_of(station.site, kofi)
    sale = f"/v1/till/sales/{fill['sale']['id']}/card"
    tap = await station.office.ok("POST", sale, card.tap())
    await station.office.ok("POST", f"{sale}/pay", {"tap": tap["tap"], "pin": PIN})
    await station.permit(fill)
    assert (await station.report(fill, "aborted", totaliser=station.totaliser))["sale"]["state"] == "released"
    assert kofi.available() == 5_000


async def test_prices_are_set_by_who_may_and_a_station_sees_its_own(station: Station) -> None:
    office, place = station.office, f"/v1/till/pumps/{station.pump}"
    assert (await office.refused("PUT", place, PUMP, session=""))["code"] == "not_authenticated"
    seller = await office.sign_in(await office.clerk("Kim", "1379", ["sell"]), "1379")
    assert (await office.refused("PUT", place, PUMP, session=seller))["code"] == "forbidden"
    dearer = PUMP | {"products": [{"name": "Diesel", "price": 1_899}]}
    await office.ok("PUT", place, dearer)
    assert (await station.call("GET", "/v1/till/pumps"))["pumps"] == [dearer | {"id": station.pump}]
    assert (await office.refused("PUT", f"/v1/till/pumps/{office.fresh()}", PUMP))["code"] == "already_taken"

    fill = await station.ask()
    other = await paired(station.site, await station.site.scheme.merchant("Another station"))
    assert (await other.refused("PUT", place, PUMP))["code"] == "id_reused"
    assert (await other.refused("GET", f"/v1/till/fills/{fill['id']}"))["code"] == "not_found"
    assert (await other.refused("POST", f"/v1/till/fills/{fill['id']}/report", {"event": "aborted"}))["code"] == "not_found"
    assert (await other.refused("POST", "/v1/till/fills", station.body()))["code"] == "not_found"


async def test_lists_have_pages_and_pumps_an_end(station: Station) -> None:
    for _ in range(PAGE_SIZE_MAX + 1):
        await station.report(await station.ask(), "aborted")
    page = await station.call("GET", "/v1/till/fills")
    rest = await station.call("GET", "/v1/till/fills", query=f"cursor={page['next']}")
    assert (len(page["fills"]), len(rest["fills"]), rest["next"]) == (PAGE_SIZE_MAX, 1, None)
    for number in range(2, PUMPS_MAX + 1):
        await station.office.ok("PUT", f"/v1/till/pumps/{station.office.fresh()}", PUMP | {"number": number})
    over = await station.office.refused("PUT", f"/v1/till/pumps/{station.office.fresh()}", PUMP | {"number": PUMPS_MAX + 1})
    assert over["code"] == "too_large"
