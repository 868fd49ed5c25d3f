"""Two devices of one holder meet: who may, what passes between them, and when it is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from nacl.signing import SigningKey

from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.parties import statements
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.web.api import links
from counterfoil.web.values import base64_text
from tests.scheme import Person
from tests.web.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


class NewPhone:
    """A phone without an account: what it shows, asks and signs."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.device = new_id(site.services.clock)
        self.key = SigningKey.generate()
        self.path = f"/v1/device-links/{id_text(self.device)}"

    def possession(self, party: str) -> str:
        statement = statements.add_device(
            origin=self.site.services.config.origin,
            party=parse_id(party),
            device=self.device,
            algorithm=KeyAlgorithm.ED25519,
            public_key=bytes(self.key.verify_key),
        )
        return base64_text(self.key.sign(statement).signature)

    async def is_read_by(self, person: Person) -> dict[str, Any]:
        """What the old phone hears once it has read this one's code."""
        found: dict[str, Any] = await self.site.ok(person, "POST", self.path)
        return found

    async def asks(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.site.ok(None, "GET", self.path)
        return found

    async def signs(self, possession: str) -> None:
        assert await self.site.ok(None, "POST", f"{self.path}/possession", {"possession": possession}) is None

    async def finds_nobody(self) -> bool:
        answer = await self.site.call(None, "GET", self.path)
        return answer.status_code == 404


async def test_a_new_phone_learns_whose_it_is_and_the_old_one_gets_its_signature(site: Site) -> None:
    person = await site.scheme.customer("Rose <b>", funds=500)
    phone = NewPhone(site)
    met = await phone.is_read_by(person)
    assert met == {"party": id_text(person.party), "name": "Rose <b>", "possession": None}
    assert await phone.asks() == met
    signature = phone.possession(met["party"])
    for _ in range(2):
        await phone.signs(signature)
    met = await phone.is_read_by(person)
    assert met["possession"] == signature
    statement = statements.add_device(
        origin=site.services.config.origin, party=person.party, device=phone.device, algorithm=KeyAlgorithm.ED25519,
        public_key=bytes(phone.key.verify_key),
    )  # fmt: skip
    key = {
        "device": id_text(phone.device), "algorithm": "ed25519", "public_key": base64_text(bytes(phone.key.verify_key)),
        "possession": met["possession"], "label": "tablet",
    }  # fmt: skip
    body = {"key": key, "by_device": id_text(person.device), "signature": base64_text(person.key.sign(statement).signature)}
    await site.ok(None, "POST", "/v1/devices", body)
    linked = Person(site.scheme, party=person.party, account=person.account, device=phone.device, key=phone.key, address="")
    assert (await site.ok(linked, "GET", "/v1/accounts/me"))["account"] == id_text(person.account)
    assert (await site.pay(linked.sign(linked.order(await site.scheme.merchant(), 300)))).status_code == 200
    assert person.balance() == 200


async def test_nobody_is_there_before_the_old_phone_has_read_the_code(site: Site) -> None:
    phone = NewPhone(site)
    assert (await site.refused(None, "GET", phone.path))["code"] == "not_found"
    body = {"possession": phone.possession(id_text(7))}
    assert (await site.refused(None, "POST", f"{phone.path}/possession", body))["code"] == "not_found"


async def test_only_a_holder_meets_a_phone(site: Site) -> None:
    phone = NewPhone(site)
    assert (await site.refused(None, "POST", phone.path))["code"] == "not_authenticated"
    token = await site.token(await site.scheme.merchant(), "payments:read")
    assert (await site.refused(token, "POST", phone.path))["code"] == "forbidden"
    assert await phone.finds_nobody()


async def test_another_account_cannot_take_over_a_phone_that_was_met(site: Site) -> None:
    person, other = await site.scheme.customer("Rose"), await site.scheme.customer("Mallory")
    phone = NewPhone(site)
    await phone.is_read_by(person)
    assert (await site.refused(other, "POST", phone.path))["code"] == "conflict"
    assert (await phone.asks())["name"] == "Rose"


async def test_a_second_signature_does_not_replace_the_first(site: Site) -> None:
    person, phone = await site.scheme.customer(), NewPhone(site)
    met = await phone.is_read_by(person)
    first = phone.possession(met["party"])
    await phone.signs(first)
    other = base64_text(SigningKey.generate().sign(b"me").signature)
    assert (await site.refused(None, "POST", f"{phone.path}/possession", {"possession": other}))["code"] == "conflict"
    assert (await phone.is_read_by(person))["possession"] == first


async def test_phones_that_met_are_forgotten_after_ten_minutes(site: Site) -> None:
    person, other = await site.scheme.customer(), await site.scheme.customer("Ines")
    phone = NewPhone(site)
    met = await phone.is_read_by(person)
    await phone.signs(phone.possession(met["party"]))
    site.wait(links.LIFETIME_S)
    assert await phone.finds_nobody()
    assert await phone.is_read_by(other) == {"party": id_text(other.party), "name": "Ines", "possession": None}


async def test_who_reads_more_codes_than_allowed_loses_their_own_oldest_and_nobody_elses(site: Site) -> None:
    person, greedy = await site.scheme.customer(), await site.scheme.customer()
    theirs = NewPhone(site)
    await theirs.is_read_by(person)
    phones = [NewPhone(site) for _ in range(links.MEETINGS_PER_PARTY_MAX + 1)]
    for phone in phones:
        await phone.is_read_by(greedy)
        await phone.is_read_by(greedy)  # a repeat is not another one
    assert [await phone.finds_nobody() for phone in phones] == [True] + [False] * links.MEETINGS_PER_PARTY_MAX
    assert not await theirs.finds_nobody()


async def test_a_server_that_knows_enough_phones_says_when_to_come_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.wait(links.LIFETIME_S)
    monkeypatch.setattr(links, "MEETINGS_MAX", 2)
    people = [await site.scheme.customer() for _ in range(3)]
    phones = [NewPhone(site) for _ in people]
    await phones[0].is_read_by(people[0])
    await phones[1].is_read_by(people[1])
    refused = await site.refused(people[2], "POST", phones[2].path)
    assert (refused["code"], refused["facts"]["retry_after_s"]) == ("too_many", links.LIFETIME_S)
    assert (await phones[1].is_read_by(people[1]))["possession"] is None, "who is there already stays"
    site.wait(links.LIFETIME_S)
    await phones[2].is_read_by(people[2])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "possession"),
        ({"possession": None}, "possession"),
        ({"possession": "A" * 85}, "possession"),
        ({"possession": "!" * 86}, "possession"),
        ({"possession": "A" * 86, "label": "x"}, "label"),
    ],
)
async def test_what_is_no_signature_is_told_by_its_field(site: Site, body: dict[str, Any], field: str) -> None:
    person, phone = await site.scheme.customer(), NewPhone(site)
    await phone.is_read_by(person)
    refused = await site.refused(None, "POST", f"{phone.path}/possession", body)
    assert (refused["code"], refused["facts"].get("field")) == ("malformed", field)
    assert (await phone.asks())["possession"] is None


@pytest.mark.parametrize("device", ["1", "x" * 36, "00000000-0000-0000-0000-00000000000g"])
async def test_what_is_no_device_is_refused(site: Site, device: str) -> None:
    person = await site.scheme.customer()
    for who, method in ((person, "POST"), (None, "GET")):
        assert (await site.refused(who, method, f"/v1/device-links/{device}"))["code"] in {"malformed", "not_found"}
