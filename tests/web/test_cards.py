"""Cards over HTTP: added by a tap, tapped at a till and paid with the PIN; replayed, locked, lost, of others, at once, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil.acceptance.cards.keys import BatchKeys
from counterfoil.acceptance.cards.paying import TAP_LIFETIME_S
from counterfoil.acceptance.cards.registry import CARDS_MAX
from counterfoil.ids import id_text
from counterfoil.parties.types import StaffRole
from counterfoil.payments.types import AuthorisationClass
from counterfoil.web.values import base64_text, parse_base64
from tests.acceptance.cards.plastic import Plastic, uids
from tests.acceptance.cards.tag import Tag
from tests.acceptance.cards.test_personalise import make, tapped
from tests.scheme import Person
from tests.web.site import Site
from tests.web.test_tills import Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "2580"
UNPROVED_MAX = 2_000
NOBODYS = "00" * 16, "00" * 8


@pytest_asyncio.fixture(loop_scope="module")
async def till(site: Site) -> Counter:
    return await paired(site, await site.scheme.merchant("Corner Bakery"))


async def card_of(site: Site, person: Person) -> Plastic:
    """A new card that pays from the account of somebody with a simple phone: a clerk has added it, with the PIN."""
    card, clerk = Plastic(site.scheme), await site.staff_member(StaffRole.CLERK)
    await site.ok(clerk, "POST", f"/v1/staff/parties/{id_text(person.party)}/cards", card.tap() | {"pin": PIN})
    return card


async def asked(till: Counter, sale: dict[str, Any], card: Plastic) -> dict[str, Any]:
    found: dict[str, Any] = await till.ok("POST", f"/v1/till/sales/{sale['id']}/card", card.tap())
    return found


async def test_a_card_and_its_pin_pay_a_sale_once_however_often_they_are_sent(till: Counter) -> None:
    kofi = await till.site.scheme.simple_phone(funds=5_000)
    card = await card_of(till.site, kofi)
    sale = await till.sell(1_250)
    place, said = f"/v1/till/sales/{sale['id']}/card", card.tap()
    first = await till.ok("POST", place, said)
    assert await till.ok("POST", place, said) == first
    assert (first["card"], first["amount"], first["fee"], first["total"]) == (card.label, 1_250, 0, 1_250)
    assert kofi.balance() == 5_000, "a tap alone moves nothing"

    wrong = await till.refused("POST", f"{place}/pay", {"tap": first["tap"], "pin": "1111"})
    assert (wrong["code"], kofi.balance()) == ("wrong_pin", 5_000)
    body = {"tap": first["tap"], "pin": PIN}
    answers = await asyncio.gather(*(till.call("POST", f"{place}/pay", body) for _ in range(3)))
    assert {answer.status_code for answer in answers} <= {200, 503}, [answer.text for answer in answers]
    paid = await till.ok("POST", f"{place}/pay", body)
    assert (paid["state"], paid["payment"], paid["payer_name"]) == ("paid", first["tap"], "Kofi")
    assert kofi.balance() == 3_750
    payment = await till.site.services.payments.find(int(first["tap"].replace("-", ""), 16))
    assert payment is not None
    assert payment.authorisation is AuthorisationClass.PIN


async def test_the_tap_that_added_a_card_pays_nothing(till: Counter) -> None:
    site = till.site
    amina, card = await site.scheme.customer("Amina", funds=5_000), Plastic(site.scheme)
    said, sale = card.tap(), await till.sell(100)
    first = await site.ok(amina, "POST", "/v1/cards", said)
    assert await site.ok(amina, "POST", "/v1/cards", said) == first
    assert (await till.refused("POST", f"/v1/till/sales/{sale['id']}/card", said))["code"] == "tap_used"


async def test_a_hold_is_set_aside_by_card_and_captured(till: Counter) -> None:
    kofi = await till.site.scheme.simple_phone(funds=5_000)
    card = await card_of(till.site, kofi)
    sale = await till.sell(2_000, hold=True)
    tap = await asked(till, sale, card)
    held = await till.ok("POST", f"/v1/till/sales/{sale['id']}/card/pay", {"tap": tap["tap"], "pin": PIN})
    assert (held["state"], kofi.balance(), kofi.available()) == ("held", 5_000, 3_000)
    captured = await till.ok("POST", f"/v1/till/sales/{sale['id']}/capture", {"id": till.fresh(), "amount": 1_500})
    assert (captured["state"], kofi.available()) == ("captured", 3_500)


async def test_a_tap_is_good_for_one_sale_and_an_older_one_for_none(till: Counter) -> None:
    kofi = await till.site.scheme.simple_phone(funds=5_000)
    card = await card_of(till.site, kofi)
    one, other = await till.sell(100), await till.sell(200)
    older, newer = card.tap(), card.tap()
    await till.ok("POST", f"/v1/till/sales/{one['id']}/card", newer)
    for said in (newer, older):
        assert (await till.refused("POST", f"/v1/till/sales/{other['id']}/card", said))["code"] == "tap_used"
    assert (await till.refused("POST", f"/v1/till/sales/{one['id']}/card", older))["code"] == "tap_used"
    await till.ok("POST", f"/v1/till/sales/{other['id']}/card", card.tap())


async def test_two_tills_that_race_for_one_tap_do_not_both_get_it(till: Counter) -> None:
    kofi = await till.site.scheme.simple_phone(funds=5_000)
    card = await card_of(till.site, kofi)
    sales, said = [await till.sell(100) for _ in range(4)], card.tap()
    answers = await asyncio.gather(*(till.call("POST", f"/v1/till/sales/{sale['id']}/card", said) for sale in sales))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


async def test_what_no_card_of_ours_has_said_is_unknown(till: Counter) -> None:
    site, sale = till.site, await till.sell(100)
    place = f"/v1/till/sales/{sale['id']}/card"
    stranger = Tag(b"\x04" + next(uids).to_bytes(6))
    make(stranger, BatchKeys(bytes(16)))
    said = Plastic(site.scheme).tap()
    e, c = tapped(stranger)
    for body in (
        {"e": e, "c": c},
        {"e": NOBODYS[0], "c": NOBODYS[1]},
        said,  # made, but nobody's yet
        said | {"c": said["c"][:-1] + ("0" if said["c"][-1] != "0" else "1")},
        {"e": "", "c": ""},
        {"e": "x" * 32, "c": "y" * 16},
    ):
        assert (await till.refused("POST", place, body))["code"] == "card_unknown", body
    assert (await till.refused("POST", place, {"e": "0" * 33, "c": ""}))["facts"]["field"] == "e"


async def test_a_locked_card_pays_nothing_and_only_its_holder_unlocks_it(till: Counter) -> None:
    site = till.site
    amina = await site.scheme.customer("Amina", funds=5_000)
    await site.services.parties.pins.set(amina.party, PIN, by=None)
    card = Plastic(site.scheme)
    mine = await site.ok(amina, "POST", "/v1/cards", card.tap())
    assert (mine["label"], mine["state"]) == (card.label, "active")
    sale, other = await till.sell(100), await till.sell(100)
    tap = await asked(till, sale, card)
    pay = f"/v1/till/sales/{sale['id']}/card/pay"
    body = {"tap": tap["tap"], "pin": PIN}
    assert (await till.refused("POST", pay, body))["code"] == "pin_not_allowed", "she pays with her phone, and has not allowed PINs"
    await amina.allow_pin(1_000)

    assert (await site.ok(amina, "POST", f"/v1/cards/{mine['id']}/lock"))["state"] == "locked"
    assert (await site.ok(amina, "POST", f"/v1/cards/{mine['id']}/lock"))["state"] == "locked"
    assert (await till.refused("POST", pay, body))["code"] == "card_locked"
    assert (await till.refused("POST", f"/v1/till/sales/{other['id']}/card", card.tap()))["code"] == "card_locked"
    stranger = await site.scheme.customer("Bo")
    assert (await site.refused(stranger, "POST", f"/v1/cards/{mine['id']}/unlock"))["code"] == "not_found"
    await site.ok(amina, "POST", f"/v1/cards/{mine['id']}/unlock")
    assert (await till.ok("POST", pay, body))["state"] == "paid"
    clerk = await site.staff_member(StaffRole.CLERK)
    assert await site.ok(clerk, "POST", f"/v1/staff/parties/{id_text(amina.party)}/cards/lock") == {"locked": 1}
    assert await site.ok(clerk, "POST", f"/v1/staff/parties/{id_text(amina.party)}/cards/lock") == {"locked": 0}
    assert (await till.ok("POST", pay, body))["state"] == "paid", "what was paid before stays so, and is answered"
    assert amina.balance() == 4_900

    assert [each["state"] for each in (await site.ok(amina, "GET", "/v1/cards"))["cards"]] == ["locked"]
    for _ in range(2):
        await site.ok(amina, "DELETE", f"/v1/cards/{mine['id']}")
    assert (await site.ok(amina, "GET", "/v1/cards"))["cards"] == []
    assert (await till.refused("POST", f"/v1/till/sales/{other['id']}/card", card.tap()))["code"] == "card_unknown"
    assert (await site.refused(amina, "POST", f"/v1/cards/{mine['id']}/unlock"))["code"] == "not_in_this_state"
    for who in (amina, stranger):
        assert (await site.refused(who, "POST", "/v1/cards", card.tap()))["code"] == "already_taken"
    kinds = [each["kind"] for each in (await site.ok(amina, "GET", "/v1/notices"))["notices"]]
    assert [kind for kind in reversed(kinds) if kind.startswith("card_")] == [
        "card_added",
        "card_locked",
        "card_unlocked",
        "card_locked",
        "card_ended",
    ]


async def test_a_card_has_one_holder_who_is_told_and_nobody_has_six(till: Counter) -> None:
    site = till.site
    kofi, bo = await site.scheme.simple_phone(), await site.scheme.customer("Bo")
    card = await card_of(site, kofi)
    assert (await site.refused(bo, "POST", "/v1/cards", card.tap()))["code"] == "already_taken"
    told = await site.services.parties.notices.newest_waiting()
    assert [notice.kind for notice in told if notice.number == kofi.address].count("card_added") == 1
    for _ in range(CARDS_MAX - 1):
        await card_of(site, kofi)
    clerk = await site.staff_member(StaffRole.CLERK)
    place = f"/v1/staff/parties/{id_text(kofi.party)}/cards"
    assert (await site.refused(clerk, "POST", place, Plastic(site.scheme).tap() | {"pin": PIN}))["code"] == "too_many_cards"
    assert (await site.refused(clerk, "POST", place, Plastic(site.scheme).tap() | {"pin": "1111"}))["code"] == "wrong_pin"
    treasurer = await site.staff_member(StaffRole.TREASURER)
    assert (await site.refused(treasurer, "POST", place, Plastic(site.scheme).tap() | {"pin": PIN}))["code"] == "forbidden"


async def test_the_pin_comes_within_minutes_of_the_tap(till: Counter) -> None:
    kofi = await till.site.scheme.simple_phone(funds=5_000)
    card = await card_of(till.site, kofi)
    sale = await till.sell(100)
    tap = await asked(till, sale, card)
    pay, clock = f"/v1/till/sales/{sale['id']}/card/pay", till.site.scheme.clock
    clock.offset_s += TAP_LIFETIME_S
    try:
        prove = await till.refused("POST", f"/v1/till/sales/{sale['id']}/card/prove", {"tap": tap["tap"], "answers": []})
        assert prove["code"] == "order_expired"
        assert (await till.refused("POST", pay, {"tap": tap["tap"], "pin": PIN}))["code"] == "order_expired"
    finally:
        clock.offset_s -= TAP_LIFETIME_S
    sale = await till.sell(100)
    pay = f"/v1/till/sales/{sale['id']}/card/pay"
    again = await asked(till, sale, card)
    assert (await till.ok("POST", pay, {"tap": again["tap"], "pin": PIN}))["state"] == "paid"


async def test_a_sale_is_paid_once_by_whichever_card_is_quicker(till: Counter) -> None:
    one, two = await till.site.scheme.simple_phone("Kofi", funds=500), await till.site.scheme.simple_phone("Abena", funds=500)
    sale = await till.sell(300)
    taps = [await asked(till, sale, await card_of(till.site, each)) for each in (one, two)]
    pay = f"/v1/till/sales/{sale['id']}/card/pay"
    answers = await asyncio.gather(*(till.call("POST", pay, {"tap": tap["tap"], "pin": PIN}) for tap in taps))
    assert sum(answer.status_code == 200 for answer in answers) == 1, [answer.text for answer in answers]
    assert sorted((one.balance(), two.balance())) == [200, 500]
    late = await card_of(till.site, one)
    assert (await till.refused("POST", f"/v1/till/sales/{sale['id']}/card", late.tap()))["code"] == "not_in_this_state"


async def test_a_tap_pays_the_sale_that_it_was_for_at_the_shop_that_asked(till: Counter) -> None:
    kofi = await till.site.scheme.simple_phone(funds=5_000)
    card = await card_of(till.site, kofi)
    sale, other = await till.sell(100), await till.sell(4_000)
    tap = await asked(till, sale, card)
    elsewhere = await paired(till.site, await till.site.scheme.merchant("Another shop"))
    body = {"tap": tap["tap"], "pin": PIN}
    assert (await till.refused("POST", f"/v1/till/sales/{other['id']}/card/pay", body))["code"] == "not_found"
    assert (await elsewhere.refused("POST", f"/v1/till/sales/{sale['id']}/card/pay", body))["code"] == "not_found"
    assert (await till.refused("POST", f"/v1/till/sales/{sale['id']}/card/pay", body | {"tap": till.fresh()}))["code"] == "not_found"
    assert (await till.refused("POST", f"/v1/till/sales/{sale['id']}/card/pay", body, session=""))["code"] == "not_authenticated"
    assert kofi.balance() == 5_000


async def proof(till: Counter, sale: dict[str, Any], tap: dict[str, Any], transmit: Callable[[bytes], bytes]) -> list[str]:
    """What a reader does: carries bytes until there are no more; what the card answered."""
    answers: list[str] = []
    while True:
        said = await till.ok("POST", f"/v1/till/sales/{sale['id']}/card/prove", {"tap": tap["tap"], "answers": answers})
        if said["command"] is None:
            return answers
        answers.append(base64_text(transmit(parse_base64(said["command"], "command"))))


async def test_a_larger_amount_needs_the_card_itself_on_a_reader(till: Counter) -> None:
    kofi = await till.site.scheme.simple_phone(funds=9_000)
    card, other = await card_of(till.site, kofi), await card_of(till.site, kofi)
    sale, small = await till.sell(UNPROVED_MAX + 1), await till.sell(UNPROVED_MAX)
    assert (await asked(till, small, card))["needs_proof"] is False
    tap = await asked(till, sale, card)
    assert tap["needs_proof"] is True
    place, body = f"/v1/till/sales/{sale['id']}/card", {"tap": tap["tap"], "pin": PIN}
    assert (await till.refused("POST", f"{place}/pay", body))["code"] == "card_not_here"

    heard = await proof(till, sale, tap, card.tag.transmit)
    assert (await till.ok("POST", f"{place}/prove", {"tap": tap["tap"], "answers": heard}))["command"] is None, "a repeat"
    again = await asked(till, sale, card)
    assert again["needs_proof"] is True, "what one tap has proved, the next has not"
    refused = await till.refused("POST", f"{place}/prove", {"tap": again["tap"], "answers": heard})
    assert refused["code"] == "card_not_here", "the same words to another challenge"
    for answers in (["AA"], ["", ""], [heard[0], heard[0]]):
        assert (await till.refused("POST", f"{place}/prove", {"tap": again["tap"], "answers": answers}))["code"] == "card_not_here"
    assert (await till.refused("POST", f"{place}/prove", {"tap": again["tap"], "answers": ["A"]}))["facts"]["field"] == "answers[0]"
    assert (await till.refused("POST", f"{place}/prove", {"tap": again["tap"], "answers": [*heard, ""]}))["code"] == "malformed"
    other.tap()  # its application is chosen
    with pytest.raises(AssertionError, match="card_not_here"):
        await proof(till, sale, again, other.tag.transmit)
    assert (await till.refused("POST", f"{place}/pay", body | {"tap": again["tap"]}))["code"] == "card_not_here"
    assert kofi.balance() == 9_000
    assert (await till.ok("POST", f"{place}/pay", body))["state"] == "paid"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, 7), min_size=1, max_size=12))
async def test_taps_in_any_order_are_taken_only_upwards(till: Counter, order: list[int]) -> None:
    """Of words that a card has said, in whichever order and however often they come, each is another sale's."""
    kofi = await till.site.scheme.simple_phone()
    card = await card_of(till.site, kofi)
    said, newest = [card.tap() for _ in range(8)], -1
    for place in order:
        answer = await till.call("POST", f"/v1/till/sales/{(await till.sell(100))['id']}/card", said[place])
        assert answer.status_code == (200 if place > newest else 409), answer.text
        newest = max(newest, place)
