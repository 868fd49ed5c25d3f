"""The attendant's pages: a telephone is paired, a clerk signs in, cars come and go, a pump is read; and what is refused."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import pytest_asyncio

from counterfoil.acceptance.clerks import IDLE_S_MAX
from counterfoil.acceptance.parking.stays import PAGE_SIZE_MAX
from counterfoil.ids import id_text, new_id
from counterfoil.web.guesses import ENROLMENTS_PER_MINUTE
from tests.scheme import Person
from tests.web.forms import Forms
from tests.web.site import Site
from tests.web.test_fuel import BEFORE, PUMP, Station
from tests.web.test_parking import TERMS, Gate
from tests.web.test_tills import RIGHTS, Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "2580"


class Handheld:
    """An attendant's telephone: one browser that keeps cookies, shows pages and sends forms."""

    def __init__(self, site: Site, client: httpx2.AsyncClient) -> None:
        self.site = site
        self.client = client
        self.language = "en"
        self.answer: httpx2.Response
        self.text = ""

    async def open(self, address: str, status: int = 200) -> str:
        return await self._show(await self.client.get(address, headers={"Accept-Language": self.language}), status)

    async def send(self, begins: str, *, status: int = 200, **values: str) -> str:
        """Fills in the form of this page whose address begins so, sends it, and shows what comes after all redirections."""
        action, fields = Forms(self.text).to(begins)
        return await self._show(await self.client.post(action, data=fields | values, headers={"Accept-Language": self.language}), status)

    async def let_in(self, *, status: int = 200, **values: str) -> str:
        """Sends the form that lets a car in, which comes after the one that searches."""
        action, fields = self.entry()
        return await self._show(await self.client.post(action, data=fields | values, headers={"Accept-Language": self.language}), status)

    def entry(self) -> tuple[str, dict[str, str]]:
        return next((action, fields) for action, fields in Forms(self.text).found if "ticket" in fields)

    async def _show(self, answer: httpx2.Response, status: int) -> str:
        while answer.status_code == 303:
            answer = await self.client.get(answer.headers["location"], headers={"Accept-Language": self.language})
        assert answer.status_code == status, answer.text
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert "script-src" not in answer.headers["content-security-policy"]
        self.answer, self.text = answer, answer.text
        Forms(self.text)
        return self.words

    @property
    def words(self) -> str:
        """The page as it is read: without tags."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.text)))

    @property
    def address(self) -> str:
        return str(self.answer.url.raw_path.decode())

    async def pair(self, shop: Person) -> None:
        body = {"id": id_text(new_id(self.site.scheme.clock)), "name": "Handheld"}
        added = await self.site.ok(shop, "POST", "/v1/tills", body)
        await self.open("/attend/")
        await self.send("/attend/pair", code=added["pairing_code"], label="Mine")

    async def sign_in(self, clerk: str, pin: str = PIN) -> str:
        return await self.send("/attend/sign-in", clerk=clerk, pin=pin)


class Shop:
    """A shop with a car park and a pump, a gate and a station as they are elsewhere, and an attendant."""

    def __init__(self, office: Counter, park: str, pump: str) -> None:
        self.office = office
        self.site = office.site
        self.park = f"/attend/car-parks/{park}"
        self.gate = Gate(office, park)
        self.station = Station(office, pump)

    @asynccontextmanager
    async def handheld(self, rights: list[str] = RIGHTS) -> AsyncIterator[Handheld]:
        """Paired, with a clerk of its own signed in."""
        clerk = await self.office.clerk("Njeri", rights=rights)
        async with browser(self.site) as found:
            await found.pair(self.office.shop)
            await found.sign_in(clerk)
            yield found


@asynccontextmanager
async def browser(site: Site) -> AsyncIterator[Handheld]:
    site.wait(600)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{site.port}", timeout=60) as client:
        yield Handheld(site, client)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(site: Site) -> Shop:
    office = await paired(site, await site.scheme.merchant("Garage"))
    park, pump = office.fresh(), office.fresh()
    await office.ok("PUT", f"/v1/till/car-parks/{park}", TERMS)
    await office.ok("PUT", f"/v1/till/pumps/{pump}", PUMP)
    return Shop(office, park, pump)


# Who


async def test_a_telephone_is_paired_once_and_a_clerk_signs_in_and_out(shop: Shop) -> None:
    clerk = await shop.office.clerk("Njeri")
    async with browser(shop.site) as mine:
        assert "Code of the till" in await mine.open("/attend/")
        assert "Code of the till" in await mine.send("/attend/pair", code="nonsense", status=401)
        assert "The code is not right" in mine.words
        await mine.send("/attend/pair", code="nonsense", label="a\u202eb", status=400)
        assert 'id="label-says"' in mine.text
        await mine.pair(shop.office.shop)
        assert "Garage" in mine.words
        assert "The PIN is not right" in await mine.send("/attend/sign-in", clerk=clerk, pin="1111", status=401)
        assert "Market" in await mine.sign_in(clerk)
        kept = {cookie.name: cookie for cookie in mine.client.cookies.jar}
        assert {name: cookie.path for name, cookie in kept.items()} == dict.fromkeys(
            ("counterfoil_till", "counterfoil_clerk", "counterfoil_form"), "/attend"
        )
        assert all("HttpOnly" in cookie._rest for cookie in kept.values())  # type: ignore[attr-defined]
        assert "Who are you?" in await mine.send("/attend/sign-out")
        assert "Who are you?" in await mine.open(shop.park)
        assert "Free places" in await mine.sign_in(clerk), "back to where they wanted to go"


async def test_a_session_that_is_over_asks_for_the_pin_and_comes_back(shop: Shop) -> None:
    async with shop.handheld() as mine:
        await mine.open(shop.park)
        page = mine.text
        shop.site.scheme.clock.offset_s += IDLE_S_MAX + 1
        mine.text = page
        told = await mine.let_in(plate="AA 1")
        assert "Who are you?" in told
        assert "What you sent was not done: you had been signed out." in told
        assert "Nobody." in await _inside(shop)
        assert "Free places" in await mine.sign_in(await shop.office.clerk("Njeri")), "back to where it was sent from"


@pytest.mark.parametrize("then", ["https://elsewhere.example/", "//elsewhere.example/attend/", "/staff", "/attended"])
async def test_signing_in_leads_nowhere_else(shop: Shop, then: str) -> None:
    clerk = await shop.office.clerk("Njeri")
    async with browser(shop.site) as mine:
        await mine.pair(shop.office.shop)
        await mine.open(f"/attend/?then={quote(then)}")
        action, fields = Forms(mine.text).to("/attend/sign-in")
        for data in (fields, fields | {"then": then}):
            answer = await mine.client.post(action, data=data | {"clerk": clerk, "pin": PIN})
            assert (answer.status_code, answer.headers["location"]) == (303, "/attend/")


async def test_codes_cannot_be_tried_one_after_the_other(shop: Shop) -> None:
    async with browser(shop.site) as mine:
        await mine.open("/attend/")
        for _ in range(ENROLMENTS_PER_MINUTE):
            await mine.send("/attend/pair", code="NONSENSE", status=401)
        await mine.send("/attend/pair", code="NONSENSE", status=429)


async def test_a_till_that_was_ended_looks_after_nothing(shop: Shop) -> None:
    async with shop.handheld() as mine:
        tills = (await shop.site.ok(shop.office.shop, "GET", "/v1/tills"))["tills"]
        handheld = next(till["id"] for till in tills if till["label"] == "Mine")
        await shop.site.ok(shop.office.shop, "DELETE", f"/v1/tills/{handheld}")
        assert "Code of the till" in await mine.open(shop.park)


async def test_another_sites_form_does_nothing(shop: Shop) -> None:
    async with shop.handheld() as mine:
        await mine.open(shop.park)
        action, fields = mine.entry()
        for wrong, headers in (({"t": "guessed"}, {}), ({"t": ""}, {}), ({}, {"Sec-Fetch-Site": "cross-site"})):
            answer = await mine.client.post(action, data=fields | {"plate": "AA 1"} | wrong, headers=headers)
            assert answer.status_code == 403
        assert "Nobody." in await _inside(shop)
        mine.client.cookies.delete("counterfoil_form")
        answer = await mine.client.post(action, data=fields | {"plate": "AA 1"})
        assert (answer.status_code, "That page was too old" in answer.text) == (403, True)
        assert "Nobody." in await _inside(shop)


async def _inside(shop: Shop) -> str:
    async with shop.handheld() as other:
        return await other.open(shop.park)


async def test_another_shops_things_are_not_found(shop: Shop, site: Site) -> None:
    stay = await shop.gate.enter(plate="AA 1")
    fill = await shop.station.ask()
    office = await paired(site, await site.scheme.merchant("Other"))
    async with Shop(office, shop.gate.park, shop.station.pump).handheld() as theirs:
        await theirs.open("/attend/")
        form = Forms(theirs.text).to("/attend/sign-out")[1]
        for path in (shop.park, f"/attend/stays/{stay['id']}", f"/attend/fills/{fill['id']}", "/attend/stays/x", "/attend/fills/"):
            await theirs.open(path, status=404)
        for path in (shop.park, f"/attend/stays/{stay['id']}/leave", f"/attend/stays/{stay['id']}/let-out", f"/attend/fills/{fill['id']}"):
            data = form | {
                "ticket": office.fresh(),
                "passage": office.fresh(),
                "reason": "x",
                "totaliser": "1000",
                "sure": "1",
                "plate": "BB 2",
            }
            assert (await theirs.client.post(path, data=data)).status_code == 404
    assert (await shop.gate.call("GET", f"/v1/till/stays/{stay['id']}"))["left_at"] is None


# Cars


async def test_a_car_comes_in_pays_and_leaves(shop: Shop) -> None:
    ada = await shop.site.scheme.customer("Ada", funds=5_000)
    async with shop.handheld() as mine:
        assert "0/100" in await mine.open("/attend/")
        await mine.open(shop.park)
        form = mine.entry()
        first = await mine.client.post(form[0], data=form[1] | {"plate": "가 12-b", "hold": ""})
        again = await mine.client.post(form[0], data=form[1] | {"plate": "가 12-b", "hold": ""})
        assert first.headers["location"] == again.headers["location"], "a double tap is one car"
        assert "1/100" in await mine.open("/attend/")
        assert "가12B" in await mine.open(f"{shop.park}?find=가12b")
        stay = mine.address.removeprefix("/attend/stays/")
        shop.gate.wait(20)
        assert "2.00 USD to pay before it leaves" in await mine.open(mine.address)
        assert "Scan for the ticket" in mine.words
        await mine.send(f"/attend/stays/{stay}/leave")
        asked = (await shop.gate.call("GET", f"/v1/till/stays/{stay}"))["asked"]
        assert asked["link"].replace("&", "&amp;") in mine.text
        assert "Scan to pay" in mine.words
        await shop.office.pay(ada, asked)
        await mine.open(mine.address)
        assert "Nothing is to be paid now." in mine.words
        await mine.send(f"/attend/stays/{stay}/leave")
        assert "Open. It has left." in mine.words
        assert ada.balance() == 4_800
        assert "It leaves" not in mine.words


async def test_a_driver_sets_money_aside_and_only_drives_out(shop: Shop) -> None:
    ada = await shop.site.scheme.customer("Ada", funds=5_000)
    async with shop.handheld() as mine:
        await mine.open(shop.park)
        await mine.let_in(plate="AA 1")
        assert "Scan to set money aside" in mine.words
        stay = await shop.gate.call("GET", f"/v1/till/stays/{mine.address.removeprefix('/attend/stays/')}")
        await shop.office.pay(ada, stay["hold"], timeout_s=12 * 3600)
        shop.gate.wait(20)
        assert "Set aside" in await mine.open(mine.address)
        await mine.send(f"{mine.address}/leave")
        assert ("Open. It has left." in mine.words, ada.available()) == (True, 4_800)


async def test_what_is_wrong_is_said_at_the_field_and_kept(shop: Shop) -> None:
    async with shop.handheld() as mine:
        await mine.open(shop.park)
        ticket = mine.entry()[1]["ticket"]
        await mine.let_in(plate="!", status=400)
        assert "A plate has 2 to 12 letters and digits." in mine.words
        assert (mine.entry()[1]["plate"], mine.entry()[1]["ticket"]) == ("!", ticket)
        await mine.let_in(plate="AA 1")
        assert mine.address == f"/attend/stays/{ticket}"
        await mine.open(shop.park)
        await mine.let_in(plate="aa1", status=409)
        assert "Somebody is inside with this plate or card" in mine.words
        assert "Nobody is inside with this plate or ticket." in await mine.open(f"{shop.park}?find=BB 2")
        assert "AA1" in await mine.open(f"{shop.park}?find=https://x/parking/{ticket}")
        assert "Say why" in await mine.send(f"/attend/stays/{ticket}/let-out", reason="  ", status=400)


async def test_a_lost_ticket_and_letting_out_unpaid_need_their_rights(shop: Shop) -> None:
    stay = await shop.gate.enter(plate="AA 1")
    address = f"/attend/stays/{stay['id']}"
    shop.gate.wait(20)
    async with shop.handheld(["see_takings"]) as weak:
        await weak.open(address)
        leave = Forms(weak.text).to(f"{address}/leave")[1]
        assert [action for action, _ in Forms(weak.text).found] == [f"{address}/leave", "/attend/sign-out"]
        for what in ("lost", "let-out"):
            assert (await weak.client.post(f"{address}/{what}", data=leave | {"reason": "x"})).status_code == 403
    assert (await shop.gate.call("GET", f"/v1/till/stays/{stay['id']}"))["lost_ticket"] is False
    async with shop.handheld() as mine:
        await mine.open(address)
        assert "7.00 USD to pay" in await mine.send(f"{address}/lost")
        await mine.send(f"{address}/let-out", reason="An ambulance")
        assert "Open. It has left." in mine.words
        assert re.search(r"Unpaid 7\.00 USD Because An ambulance", mine.words)


async def test_who_is_inside_has_pages(shop: Shop) -> None:
    for number in range(PAGE_SIZE_MAX + 1):
        await shop.gate.enter(plate=f"AA {number:03}")
    async with shop.handheld() as mine:
        await mine.open(shop.park)
        more = re.search(r'href="(\?after=[^"]+)"', mine.text)
        assert more is not None
        assert f"AA{PAGE_SIZE_MAX:03}" not in mine.words
        assert f"AA{PAGE_SIZE_MAX:03}" in await mine.open(shop.park + more[1])
        for wrong in ("9" * 39, "x", "%00"):
            await mine.open(f"{shop.park}?after={wrong}", status=400)


# Pumps


async def test_a_pump_whose_controller_is_gone_is_read_by_somebody(shop: Shop) -> None:
    ada, station = await shop.site.scheme.customer("Ada", funds=20_000), shop.station
    fill = await station.ask()
    await shop.office.pay(ada, fill["sale"], timeout_s=12 * 3_600)
    await station.permit(fill)
    await station.report(fill, "started")
    address = f"/attend/fills/{fill['id']}"
    async with shop.handheld() as mine:
        assert "Pump 1, Diesel" in await mine.open("/attend/")
        await mine.open(address)
        for wrong in ("", "12,3456", "-1", "one"):
            assert "Type what the pump shows" in await mine.send(address, totaliser=wrong, read="x", status=400)
        assert "Read the pump again" in await mine.send(address, totaliser="999.999", status=409)
        assert "2.500 L" in await mine.send(address, totaliser="1002,5")
        assert re.search(r"Costs 44\.98 USD", mine.words)
        assert (ada.balance(), "Is this what the pump shows?" in mine.words) == (20_000, True), "nothing is taken before somebody agrees"
        action, fields = Forms(mine.text).to(address)
        for _ in range(2):
            assert (await mine.client.post(action, data=fields)).status_code == 303
        assert "Done" in await mine.open(address)
        assert (ada.balance(), ada.available()) == (20_000 - 4_498, 20_000 - 4_498)
        assert "No fill is under way." in await mine.open("/attend/")


async def test_a_pump_that_ran_although_nobody_has_told_that_it_started(shop: Shop) -> None:
    ada, station = await shop.site.scheme.customer("Ada", funds=20_000), shop.station
    fill = await station.ask()
    await shop.office.pay(ada, fill["sale"], timeout_s=12 * 3_600)
    await station.permit(fill)
    async with shop.handheld() as mine:
        await mine.open(f"/attend/fills/{fill['id']}")
        await mine.send("/attend/fills/", totaliser=f"{BEFORE // 1000 + 1}")
        await mine.send("/attend/fills/")
        assert ("Done" in mine.words, ada.available()) == (True, 20_000 - 1_799)


async def test_a_pump_from_which_nothing_ran_gives_all_back(shop: Shop) -> None:
    ada, station = await shop.site.scheme.customer("Ada", funds=20_000), shop.station
    fill = await station.ask()
    await shop.office.pay(ada, fill["sale"], timeout_s=12 * 3_600)
    await station.permit(fill)
    async with shop.handheld() as mine:
        await mine.open(f"/attend/fills/{fill['id']}")
        await mine.send("/attend/fills/", totaliser=str(BEFORE // 1000))
        await mine.send("/attend/fills/")
        assert ("Nothing ran" in mine.words, ada.available()) == (True, 20_000)


async def test_reading_a_pump_needs_the_right_to_take(shop: Shop) -> None:
    fill = await shop.station.ask()
    async with shop.handheld(["sell"]) as weak:
        await weak.open(f"/attend/fills/{fill['id']}")
        form: dict[str, Any] = Forms(weak.text).to("/attend/sign-out")[1]
        assert "totaliser" not in weak.text
        data = form | {"totaliser": "1000", "sure": "1"}
        assert (await weak.client.post(f"/attend/fills/{fill['id']}", data=data)).status_code == 403


@pytest.mark.parametrize(("language", "words"), [("ko", ("빈자리", "차가 들어와요")), ("fr", ("Places libres", "Une voiture entre"))])
async def test_the_pages_speak(shop: Shop, language: str, words: tuple[str, ...]) -> None:
    async with shop.handheld() as mine:
        mine.language = language
        await mine.open(shop.park)
        assert all(word in mine.words for word in words)
