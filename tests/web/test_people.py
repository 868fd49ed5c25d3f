"""Opening an account, devices, recovery, PIN and limits over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from nacl.signing import SigningKey

from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.parties import statements
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.web.values import base64_text
from tests.scheme import Person
from tests.web.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def enrolled(site: Site, name: str = "Wanjiru") -> tuple[Person, dict[str, Any]]:
    key = SigningKey.generate()
    body = await site.enrolment(name, key=key)
    opened = await site.ok(None, "POST", "/v1/accounts", body)
    site.wait(30)
    person = Person(
        site.scheme,
        party=parse_id(opened["party"]),
        account=parse_id(opened["account"]),
        device=parse_id(opened["device"]),
        key=key,
        address=body["number"],
    )
    return person, body


def new_key(site: Site, person: Person, key: SigningKey) -> dict[str, Any]:
    """The body that adds `key` for a person: both keys have signed."""
    device, public_key = new_id(site.services.clock), bytes(key.verify_key)
    statement = statements.add_device(
        origin=site.services.config.origin, party=person.party, device=device, algorithm=KeyAlgorithm.ED25519, public_key=public_key
    )
    return {
        "key": {
            "device": id_text(device),
            "algorithm": "ed25519",
            "public_key": base64_text(public_key),
            "possession": base64_text(key.sign(statement).signature),
            "label": "tablet",
        },
        "by_device": id_text(person.device),
        "signature": base64_text(person.key.sign(statement).signature),
    }


async def test_a_person_opens_an_account_and_pays(site: Site) -> None:
    person, body = await enrolled(site)
    assert (await site.ok(person, "GET", "/v1/accounts/me"))["tier"] == "number_only"
    again = await site.ok(None, "POST", "/v1/accounts", body)
    assert parse_id(again["account"]) == person.account
    await site.scheme.fund(person, 500)
    shop = await site.scheme.merchant()
    assert (await site.pay(person.sign(person.order(shop, 300)))).status_code == 200
    assert person.balance() == 200


async def test_a_wrong_code_opens_nothing(site: Site) -> None:
    body = await site.enrolment("Nobody")
    wrong = body | {"code": "000000" if body["code"] != "000000" else "000001"}
    assert (await site.refused(None, "POST", "/v1/accounts", wrong))["code"] == "wrong_code"
    number = await site.refused(await site.scheme.customer(), "POST", "/v1/resolve", {"address": body["number"]})
    assert number["code"] == "party_not_found"
    assert (await site.refused(None, "POST", "/v1/accounts", body | {"pin": "1234"}))["facts"]["field"] == "pin"


async def test_the_code_is_told_in_a_sandbox_and_the_pin_never(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    body = await site.enrolment("Amina") | {"pin": "739155"}
    answer = await site.call(None, "POST", "/v1/accounts", body)
    assert answer.status_code == 201
    assert "739155" not in answer.text
    assert (await site.refused(None, "POST", "/v1/accounts", body | {"pin": "7391aa"}))["code"] == "malformed"
    logged = "".join(capsys.readouterr())
    assert "/v1/accounts" in logged
    for secret in ("739155", "7391aa", body["code"], body["number"], body["number"][1:]):
        assert secret not in logged


async def test_a_further_device_signs_and_a_rotation_ends_the_old_one(site: Site) -> None:
    person, _ = await enrolled(site)
    key = SigningKey.generate()
    body = new_key(site, person, key)
    added = await site.ok(None, "POST", "/v1/devices", body)
    assert await site.ok(None, "POST", "/v1/devices", body) == added
    tablet = Person(site.scheme, party=person.party, account=person.account, device=parse_id(added["id"]), key=key, address="")
    assert [each["label"] for each in (await site.ok(tablet, "GET", "/v1/devices"))["devices"]] == ["phone", "tablet"]
    fresh = SigningKey.generate()
    rotated = await site.ok(None, "POST", "/v1/devices/rotate", new_key(site, person, fresh))
    assert (await site.refused(person, "GET", "/v1/devices"))["code"] == "unknown_device"
    states = {each["id"]: each["state"] for each in (await site.ok(tablet, "GET", "/v1/devices"))["devices"]}
    assert states == {id_text(person.device): "revoked", added["id"]: "active", rotated["id"]: "active"}


async def test_a_device_that_the_old_key_did_not_sign_for_is_refused(site: Site) -> None:
    person, _ = await enrolled(site)
    stranger = SigningKey.generate()
    body = new_key(site, person, stranger)
    forged = body | {"signature": base64_text(stranger.sign(b"let me in").signature)}
    assert (await site.refused(None, "POST", "/v1/devices", forged))["code"] == "wrong_signature"
    assert len((await site.ok(person, "GET", "/v1/devices"))["devices"]) == 1


async def test_a_recovery_waits_and_an_old_device_says_no(site: Site) -> None:
    person, opened = await enrolled(site)
    sent = await site.ok(None, "POST", "/v1/codes", {"number": person.address, "purpose": "recover"})
    key, device = SigningKey.generate(), new_id(site.services.clock)
    statement = statements.recover(
        origin=site.services.config.origin,
        number=person.address,
        device=device,
        algorithm=KeyAlgorithm.ED25519,
        public_key=bytes(key.verify_key),
    )
    body = {
        "number": person.address,
        "code": sent["code"],
        "pin": opened["pin"],
        "key": {
            "device": id_text(device),
            "algorithm": "ed25519",
            "public_key": base64_text(bytes(key.verify_key)),
            "possession": base64_text(key.sign(statement).signature),
        },
    }
    assert (await site.refused(None, "POST", "/v1/recoveries", body | {"pin": "9999"}))["code"] == "wrong_pin"
    begun = await site.ok(None, "POST", "/v1/recoveries", body)
    assert begun["state"] == "waiting"
    assert await site.ok(person, "GET", "/v1/recoveries/mine") == begun
    assert (await site.ok(person, "GET", "/v1/accounts/me"))["recovery"] == begun
    cancel = statements.cancel_recovery(origin=site.services.config.origin, party=person.party, recovery=parse_id(begun["id"]))
    no = {"by_device": id_text(person.device), "signature": base64_text(person.key.sign(cancel).signature)}
    for _ in range(2):
        assert await site.ok(None, "POST", f"/v1/recoveries/{begun['id']}/cancel", no) is None
    assert (await site.refused(person, "GET", "/v1/recoveries/mine"))["code"] == "not_found"


async def test_a_pin_is_changed_on_the_word_of_the_old_one(site: Site) -> None:
    person, opened = await enrolled(site)
    wrong = await site.refused(person, "POST", "/v1/pin", {"old": "0000", "new": "8642"})
    assert (wrong["code"], wrong["facts"]["attempts_left"]) == ("wrong_pin", 4)
    await site.ok(person, "POST", "/v1/pin", {"old": opened["pin"], "new": "8642"})
    limits = await site.ok(person, "POST", "/v1/limits", {"pin": "8642", "per_payment": 100})
    assert (limits["per_payment"], limits["own"]) == (100, ["per_payment"])
    shop = await site.scheme.merchant()
    refused = (await site.pay(person.sign(person.order(shop, 101)))).json()
    assert (refused["code"], refused["facts"]["whose"]) == ("limit_exceeded", "own")


async def test_a_lost_phone_is_frozen_and_lifted_with_the_pin(site: Site) -> None:
    person, opened = await enrolled(site)
    await site.scheme.fund(person, 500)
    shop = await site.scheme.merchant()
    freeze = await site.ok(person, "POST", "/v1/freezes", {"id": id_text(new_id(site.services.clock)), "reason": "lost it"})
    frozen = (await site.pay(person.sign(person.order(shop, 100)))).json()
    assert (frozen["code"], frozen["status"], frozen["facts"]["own"]) == ("account_frozen", 403, True)
    path = f"/v1/freezes/{freeze['id']}/lift"
    assert (await site.refused(person, "POST", path, {"pin": "0000", "reason": "found"}))["code"] == "wrong_pin"
    await site.ok(person, "POST", path, {"pin": opened["pin"], "reason": "found it"})
    assert (await site.pay(person.sign(person.order(shop, 100)))).status_code == 200


async def test_a_handle_is_chosen_once_and_leads_to_its_owner(site: Site) -> None:
    person, _ = await enrolled(site)
    other = await site.scheme.customer()
    assert (await site.ok(person, "POST", "/v1/handle", {"handle": "@Wanjiru_K"}))["handle"] == "wanjiru_k"
    assert (await site.ok(other, "POST", "/v1/resolve", {"address": "@wanjiru_k"}))["account"] == id_text(person.account)
    assert (await site.refused(person, "POST", "/v1/handle", {"handle": "another"}))["code"] == "not_in_this_state"
    assert (await site.refused(other, "POST", "/v1/handle", {"handle": "wanj1ru_k"}))["code"] == "already_taken"
    await site.ok(person, "POST", "/v1/language", {"language": "fr"})
    assert (await site.ok(person, "GET", "/v1/accounts/me"))["language"] == "fr"


async def test_a_device_says_how_much_a_day_a_pin_may_take(site: Site) -> None:
    person, _ = await enrolled(site)
    assert (await site.ok(person, "GET", "/v1/accounts/me"))["pin_per_day"] == 0

    def word(per_day: int, made_at_ms: int) -> dict[str, str]:
        statement = statements.allow_pin(origin=site.services.config.origin, account=person.account, per_day=per_day, made_at_ms=made_at_ms)
        return {
            "statement": base64_text(statement),
            "device": id_text(person.device),
            "signature": base64_text(person.key.sign(statement).signature),
        }

    now_ms = site.services.clock.now_ns() // 1_000_000
    allowed = await site.ok(None, "POST", "/v1/pin-consent", word(700, now_ms))
    assert allowed["pin_per_day"] == 700
    assert await site.ok(None, "POST", "/v1/pin-consent", word(700, now_ms)) == allowed
    assert (await site.ok(person, "GET", "/v1/accounts/me"))["pin_per_day"] == 700
    await site.ok(None, "POST", "/v1/pin-consent", word(0, now_ms + 1))
    assert (await site.ok(person, "GET", "/v1/accounts/me"))["pin_per_day"] == 0
    assert (await site.refused(None, "POST", "/v1/pin-consent", word(700, now_ms)))["code"] == "not_in_this_state"
    forged = word(900, now_ms + 2) | {"signature": base64_text(bytes(64))}
    assert (await site.refused(None, "POST", "/v1/pin-consent", forged))["code"] == "wrong_signature"
