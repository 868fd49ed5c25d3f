"""Watchers, changes of SIM and guessed PINs over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from counterfoil.ids import id_text, new_id
from counterfoil.parties.pin_brake import WRONG_PER_PLACE
from counterfoil.parties.types import StaffRole
from tests.scheme import Person
from tests.web.site import Site
from tests.web.test_basic import phone

pytestmark = pytest.mark.asyncio(loop_scope="module")

WATCHERS = "/v1/watchers"


async def choose(site: Site, holder: Person, watcher: Person) -> dict[str, Any]:
    view: dict[str, Any] = await site.ok(holder, "POST", WATCHERS, {"watcher": watcher.address})
    return view


async def test_a_holder_chooses_a_watcher_who_accepts_and_leaves(site: Site) -> None:
    holder, watcher = await site.scheme.customer("Ha-eun"), await site.scheme.institution("Union")
    asked = await choose(site, holder, watcher)
    assert {name: asked[name] for name in ("holder", "watcher", "state", "until")} == {
        "holder": "Ha-eun", "watcher": "Union", "state": "asked", "until": None,
    }  # fmt: skip
    assert await choose(site, holder, watcher) == asked
    path = f"{WATCHERS}/{asked['id']}"
    assert (await site.refused(holder, "POST", f"{path}/accept"))["code"] == "not_found"
    watching = await site.ok(watcher, "POST", f"{path}/accept")
    notice_s = site.services.parties.watchers.notice_s
    assert await site.ok(holder, "GET", WATCHERS) == {"watchers": [watching], "watched": [], "notice_s": notice_s}
    assert await site.ok(watcher, "GET", WATCHERS) == {"watchers": [], "watched": [watching], "notice_s": notice_s}
    taken = await site.ok(holder, "POST", f"{path}/take-away")
    assert (taken["state"], taken["until"] is not None) == ("watching", True)
    assert await choose(site, holder, watcher) == watching
    assert (await site.refused(watcher, "POST", f"{path}/decline"))["code"] == "not_in_this_state"
    assert (await site.call(watcher, "POST", f"{path}/leave")).status_code == 204
    assert await site.ok(holder, "GET", WATCHERS) == {"watchers": [], "watched": [], "notice_s": notice_s}
    notices = await site.ok(holder, "GET", "/v1/notices")
    assert [each["kind"] for each in notices["notices"]][:4] == ["watcher_left", "watcher_kept", "watcher_taken_away", "watcher_accepted"]
    assert notices["notices"][0]["facts"] == {"watcher": "Union"}
    assert [each["by"] for each in notices["notices"]][:4] == ["watcher", "self", "self", "watcher"]


async def test_who_was_shown_is_asked_by_account_and_who_was_taken_away_can_be_kept(site: Site) -> None:
    holder, watcher = await site.scheme.customer("Ha-eun"), await site.scheme.institution("Union")
    asked = await site.ok(holder, "POST", WATCHERS, {"account": id_text(watcher.account)})
    assert (asked["watcher"], await choose(site, holder, watcher)) == ("Union", asked)
    path = f"{WATCHERS}/{asked['id']}"
    watching = await site.ok(watcher, "POST", f"{path}/accept")
    for _ in range(2):
        await site.ok(holder, "POST", f"{path}/take-away")
    assert (await site.refused(watcher, "POST", f"{path}/keep"))["code"] == "not_found"
    for _ in range(2):
        assert await site.ok(holder, "POST", f"{path}/keep") == watching
    await site.call(watcher, "POST", f"{path}/leave")
    assert (await site.refused(holder, "POST", f"{path}/keep"))["code"] == "not_in_this_state"
    both = {"account": id_text(watcher.account), "watcher": watcher.address}
    for body in ({}, both, {"account": "1"}):
        assert (await site.refused(holder, "POST", WATCHERS, body))["code"] == "malformed"
    assert (await site.refused(holder, "POST", WATCHERS, {"account": id_text(7)}))["code"] == "party_not_found"


async def test_shops_have_none_and_nobody_watches_over_themselves(site: Site) -> None:
    holder, shop = await site.scheme.customer(), await site.scheme.merchant()
    assert (await site.refused(shop, "POST", WATCHERS, {"watcher": holder.address}))["code"] == "forbidden"
    assert (await site.refused(holder, "POST", WATCHERS, {"watcher": holder.address}))["code"] == "malformed"
    assert (await site.refused(holder, "POST", WATCHERS, {"watcher": "+254799999999"}))["code"] == "party_not_found"
    assert (await site.refused(None, "POST", WATCHERS, {"watcher": shop.address}))["status"] == 401


async def test_at_the_counter_the_holder_types_the_pin(site: Site) -> None:
    holder, union = await site.scheme.simple_phone(), await site.scheme.simple_phone("Union")
    clerk, treasurer = await site.staff_member(StaffRole.CLERK), await site.staff_member(StaffRole.TREASURER)
    path = f"/v1/staff/parties/{id_text(holder.party)}/watchers"
    body = {"watcher": union.address, "pin": "2580"}
    assert (await site.refused(treasurer, "POST", path, body))["code"] == "forbidden"
    assert (await site.refused(clerk, "POST", path, body | {"pin": "1111"}))["code"] == "wrong_pin"
    assert (await site.refused(clerk, "POST", f"/v1/staff/parties/{id_text(7)}/watchers", body))["code"] == "party_not_found"
    assert (await site.ok(clerk, "POST", path, body))["state"] == "asked"


async def test_an_operator_tells_of_a_sim_and_a_device_of_before_lifts_it(site: Site) -> None:
    holder, operator, shop = await site.scheme.customer(), await site.scheme.institution("Telco"), await site.scheme.merchant()
    mine = "/v1/sim-changes/mine"
    body = {"number": holder.address, "reason": "SIM replaced in the shop"}
    assert (await site.refused(await site.token(shop, "sim_changes:write"), "POST", "/v1/sim-changes", body))["code"] == "forbidden"
    assert (await site.refused(holder, "GET", mine))["code"] == "not_found"
    token = await site.token(operator, "sim_changes:write")
    unknown = await site.call(token, "POST", "/v1/sim-changes", body | {"number": "+254799999999"})
    known = await site.call(token, "POST", "/v1/sim-changes", body)
    assert (unknown.status_code, unknown.content) == (known.status_code, known.content) == (204, b"")
    assert (await site.ok(holder, "GET", mine))["source"] == "operator"
    for _ in range(2):
        assert (await site.call(holder, "POST", f"{mine}/lift")).status_code == 204
    assert (await site.refused(holder, "GET", mine))["code"] == "not_found"


async def test_staff_write_a_change_of_sim_down_and_two_of_them_lift_it(site: Site) -> None:
    holder = await site.scheme.simple_phone()
    clerk, supervisor = await site.staff_member(StaffRole.CLERK), await site.staff_member(StaffRole.SUPERVISOR)
    change = await site.ok(clerk, "POST", "/v1/staff/sim-changes", {"number": holder.address, "reason": "they called us"})
    path = f"/v1/staff/parties/{id_text(holder.party)}"
    assert await site.ok(supervisor, "GET", f"{path}/sim-change") == change
    body = {"id": id_text(new_id(site.services.clock)), "party": id_text(holder.party), "reason": "seen with their papers"}
    proposed = await site.ok(clerk, "POST", "/v1/staff/sim-changes/lift", body)
    assert await site.ok(clerk, "POST", "/v1/staff/sim-changes/lift", body) == proposed == {"proposal": body["id"]}
    approve = f"/v1/staff/proposals/{proposed['proposal']}/approve"
    assert (await site.refused(clerk, "POST", approve))["code"] == "needs_second_person"
    assert (await site.ok(supervisor, "POST", approve))["state"] == "executed"
    assert (await site.refused(supervisor, "GET", f"{path}/sim-change"))["code"] == "not_found"
    assert (await site.refused(clerk, "POST", "/v1/staff/sim-changes/lift", body | {"id": id_text(new_id(site.services.clock))}))[
        "code"
    ] == "not_in_this_state"
    release = {"reason": "recycled by the network"}
    assert (await site.refused(clerk, "POST", f"{path}/release-number", release))["code"] == "forbidden"
    assert (await site.refused(supervisor, "POST", f"{path}/release-number", release))["code"] == "not_in_this_state"


async def test_wrong_pins_are_counted_by_channel_and_nobody_is_named(site: Site) -> None:
    brake = site.services.parties.pins.brake
    before = dict(brake.wrong_by_channel)
    holder = await site.scheme.simple_phone()
    async with phone(site) as mine:
        await mine.open("/basic/")
        await mine.post("/basic/sign-in", number=holder.address, pin="1111")
    assert brake.wrong_by_channel.get("web", 0) == before.get("web", 0) + 1
    metrics = (await site.call(None, "GET", "/metrics")).text
    assert f'counterfoil_wrong_pins_total{{channel="web"}} {brake.wrong_by_channel["web"]}.0' in metrics
    assert f"counterfoil_pin_brakes {brake.places_on}.0" in metrics
    assert brake.wrong_by_channel["web"] <= WRONG_PER_PLACE
