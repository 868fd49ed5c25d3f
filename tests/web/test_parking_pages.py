"""A ticket on a telephone: what it says as the stay goes on, in every language, and where its button leads."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from httpx2 import Response

from counterfoil.ids import id_text
from tests.web.site import Site
from tests.web.test_pages import check_form
from tests.web.test_parking import TERMS, Gate
from tests.web.test_tills import paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def gate(site: Site) -> Gate:
    office = await paired(site, await site.scheme.merchant("Garage"))
    park = office.fresh()
    await office.ok("PUT", f"/v1/till/car-parks/{park}", TERMS)
    return Gate(office, park)


async def opened(gate: Gate, stay: dict[str, Any], language: str = "en") -> str:
    answer = await gate.site.client.get(f"/parking/{stay['id']}", headers={"Accept-Language": language})
    assert (answer.status_code, answer.headers["content-language"]) == (200, language), answer.text
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    check_form(answer.text)
    return answer.text


async def pressed(gate: Gate, stay: dict[str, Any], **headers: str) -> Response:
    return await gate.site.client.post(f"/parking/{stay['id']}", headers=headers)


async def test_a_ticket_is_paid_where_its_button_leads_and_then_opens_the_barrier(gate: Gate) -> None:
    ada = await gate.site.scheme.customer("Ada", funds=5_000)
    stay = await gate.enter(plate="KAA 123")
    assert "KAA123" in await opened(gate, stay)
    assert "Nothing to pay so far" in await opened(gate, stay)
    gate.wait(20)
    for language, words in (("en", "Pay 2.00 USD now"), ("ko", "2.00 USD 결제하기"), ("fr", "Payer 2,00 USD maintenant")):
        assert words in (await opened(gate, stay, language)).replace("\N{NO-BREAK SPACE}", " ")
    answers = [await pressed(gate, stay) for _ in range(2)]
    asked = await gate.call("GET", f"/v1/till/stays/{stay['id']}")
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {(303, asked["asked"]["link"])}
    await gate.office.pay(ada, asked["asked"])
    assert "The barrier opens until" in await opened(gate, stay)
    assert (await pressed(gate, stay)).headers["location"] == f"/parking/{stay['id']}", "nothing more is asked for"
    await gate.leave(stay)
    left = await opened(gate, stay)
    assert "You left" in left
    assert "<form" not in left.partition("<main")[2].partition("</main")[0]


async def test_a_driver_is_asked_to_set_money_aside_and_then_only_drives(gate: Gate) -> None:
    ada = await gate.site.scheme.customer("Ada", funds=5_000)
    stay = await gate.enter(hold=True)
    assert stay["hold"]["link"].replace("&", "&amp;") in await opened(gate, stay)
    await gate.office.pay(ada, stay["hold"])
    gate.wait(20)
    for language, words in (("en", "the rest goes back"), ("ko", "나머지는 돌려드려요"), ("fr", "le reste vous revient")):
        page = await opened(gate, stay, language)
        assert words in page
        assert stay["hold"]["link"].replace("&", "&amp;") not in page


async def test_a_driver_who_stays_longer_sets_more_aside_where_the_other_button_leads(gate: Gate) -> None:
    ada = await gate.site.scheme.customer("Ada", funds=5_000)
    stay = await gate.enter(hold=True)
    await gate.office.pay(ada, stay["hold"])
    held = await gate.call("GET", f"/v1/till/stays/{stay['id']}")
    assert (held["held"], held["wanted"]) == (500, None)
    assert held["covered_until"] > stay["covered_until"] > stay["entered_at"]
    for language, words in (("en", "Set 5.00 USD more aside"), ("ko", "5.00 USD 더 잡아 두기"), ("fr", "Réserver 5,00 USD de plus")):
        page = (await opened(gate, stay, language)).replace("\N{NO-BREAK SPACE}", " ")
        assert words in page
        assert f'action="/parking/{stay["id"]}/more"' in page
    answers = [await gate.site.client.post(f"/parking/{stay['id']}/more") for _ in range(2)]
    wanted = (await gate.call("POST", f"/v1/till/stays/{stay['id']}/extend"))["wanted"]
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {(303, wanted["link"])}
    assert wanted["link"].replace("&", "&amp;") in await opened(gate, stay)
    await gate.office.pay(ada, wanted)
    longer = await gate.call("GET", f"/v1/till/stays/{stay['id']}")
    assert longer["held"] == 1_000
    assert longer["covered_until"] > held["covered_until"]
    gate.wait(20)
    assert (await gate.leave(stay))["settled"] == 200
    assert ada.available() == 4_800
    late = await gate.site.client.post(f"/parking/{stay['id']}/more")
    assert late.status_code == 409
    foreign = await gate.site.client.post(f"/parking/{stay['id']}/more", headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert (await gate.refused(f"/v1/till/stays/{stay['id']}/extend"))["code"] == "not_in_this_state"


async def test_a_lost_ticket_says_so(gate: Gate) -> None:
    stay = await gate.enter()
    await gate.office.ok("POST", f"/v1/till/stays/{stay['id']}/lost-ticket")
    page = await opened(gate, stay)
    assert "The ticket was lost" in page
    assert "7.00" in page


async def test_what_is_no_ticket_is_a_page_that_says_so(gate: Gate) -> None:
    nobodys = id_text(int(gate.office.fresh().replace("-", ""), 16))
    for path in (f"/parking/{nobodys}", "/parking/x", "/parking/"):
        answer = await gate.site.client.get(path)
        assert answer.status_code == 404, path
        check_form(answer.text)
    assert (await pressed(gate, {"id": nobodys})).status_code == 404


async def test_another_site_s_page_asks_for_nothing(gate: Gate) -> None:
    stay = await gate.enter()
    gate.wait(20)
    assert (await pressed(gate, stay, **{"Sec-Fetch-Site": "cross-site"})).status_code == 403
    assert (await gate.call("GET", f"/v1/till/stays/{stay['id']}"))["asked"] is None
