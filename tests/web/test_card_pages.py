"""The page that a telephone opens when a card is held to it: the same for every card, and it takes nothing."""

from __future__ import annotations

import json
import re

import pytest
import structlog
from httpx2 import AsyncClient, Response

from counterfoil.web import card_pages
from tests.acceptance.cards.plastic import Plastic
from tests.web.site import Site
from tests.web.test_cards import NOBODYS
from tests.web.test_pages import check_form

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def opened(client: AsyncClient, said: dict[str, str], language: str = "en") -> Response:
    answer = await client.get("/t", params=said, headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    check_form(answer.text)
    return answer


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Add this card to my account"),
        ("ko", "이 카드를 내 계좌에 추가"),
        ("fr", "Ajouter cette carte à mon compte"),
    ],
)
async def test_it_says_what_the_card_is_and_hands_the_tap_to_the_wallet_alone(site: Site, language: str, words: str) -> None:
    said = Plastic(site.scheme).tap()
    answer = await opened(site.client, said, language)
    assert answer.headers["content-language"] == language
    assert f'href="/wallet/#/cards?e={said["e"]}&amp;c={said["c"]}">{words}</a>' in answer.text
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert "script-src" not in answer.headers["content-security-policy"]


async def test_it_is_the_same_page_for_every_card_and_takes_no_tap(site: Site) -> None:
    amina = await site.scheme.customer("Amina")
    card, locked = Plastic(site.scheme), Plastic(site.scheme)
    known = await site.ok(amina, "POST", "/v1/cards", locked.tap())
    await site.ok(amina, "POST", f"/v1/cards/{known['id']}/lock")
    before, fresh = await site.ok(amina, "GET", "/v1/cards"), card.tap()
    pages = set()
    for said in (fresh, locked.tap(), dict(zip("ec", NOBODYS, strict=True)), {"e": "F" * 32, "c": "a" * 16}):
        for _ in range(2):
            text = (await opened(site.client, said)).text
            pages.add(text.replace(said["e"], "E").replace(said["c"], "C"))
    assert len(pages) == 1
    assert "Amina" not in pages.pop()
    assert await site.ok(amina, "GET", "/v1/cards") == before
    assert (await site.ok(amina, "POST", "/v1/cards", fresh))["label"] == card.label


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"e": "0" * 32},
        {"c": "0" * 16},
        {"e": "0" * 31, "c": "0" * 17},
        {"e": "0" * 33, "c": "0" * 16},
        {"e": "0" * 32, "c": "0" * 15 + "g"},
        {"e": "0" * 32, "c": "0" * 16 + "\n"},
        {"e": "٠" * 32, "c": "0" * 16},
        {"e": "0" * 32, "c": '"><b>hello</b>'},
    ],
    ids=json.dumps,
)
async def test_what_no_card_says_gets_the_page_without_the_link(site: Site, said: dict[str, str]) -> None:
    text = (await opened(site.client, said)).text
    assert "Add this card" not in text
    assert re.findall(r'href="(/wallet/[^"]*)"', text) == ["/wallet/#/cards"]
    assert "<b>" not in text


async def test_no_other_address_and_no_other_method_is_the_pages(site: Site) -> None:
    said = Plastic(site.scheme).tap()
    assert (await site.client.post("/t", params=said)).status_code == 404
    assert (await site.client.get("/t/", params=said)).status_code == 404
    assert (await site.client.head("/t", params=said)).status_code == 200


async def test_no_log_has_what_a_card_said_not_even_when_the_page_breaks(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: str) -> bool:
        raise ZeroDivisionError

    said = Plastic(site.scheme).tap()
    with structlog.testing.capture_logs() as logged, monkeypatch.context() as patched:
        await opened(site.client, said)
        patched.setattr(card_pages, "has_form", broken)
        assert (await site.client.get("/t", params=said)).status_code == 500
    assert [(line["event"], line["path"]) for line in logged if line["log_level"] == "error"] == [("page_failed", "/t")]
    told = str(logged) + "".join(capfd.readouterr())
    assert not any(value in told for value in said.values())
