"""Roles, freezes, tiers and closing: who may, what is written down, and what a repeat does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from counterfoil.errors import AccountFrozen, Forbidden, IdReused, LimitExceeded, Malformed, NotFound, NotInThisState, PartyNotFound
from counterfoil.ledger.types import TransferFlags
from counterfoil.parties import tables
from counterfoil.parties.tiers import TIERS, scaled
from counterfoil.parties.types import ROLE_PERMISSIONS, PartyState, Permission, StaffRole
from tests.parties.conftest import Scheme


async def events(scheme: Scheme, party: int) -> list[tuple[str, int | None, dict[str, Any]]]:
    query = select(tables.events).where(tables.events.c.party == party).order_by(tables.events.c.at)
    rows = await scheme.store.read(lambda connection: connection.execute(query).all())
    return [(row.kind, row.by, msgspec.json.decode(row.facts)) for row in rows]


async def test_every_change_is_written_down_with_who_and_why(scheme: Scheme) -> None:
    _, supervisor = await scheme.team()
    holder = await scheme.customer(scheme.phone())
    freeze = scheme.new_id()
    await scheme.parties.staff.freeze(freeze, holder.party, reason="court order 17", by=supervisor.id)
    await scheme.parties.staff.unfreeze(freeze, reason="order lifted", by=supervisor.id)
    await scheme.parties.staff.change_tier(holder.party, "identity_seen", reason="saw the passport", by=supervisor.id)
    kinds = [(kind, by) for kind, by, _ in await events(scheme, holder.party)]
    assert kinds == [("opened", None), ("frozen", supervisor.id), ("unfrozen", supervisor.id), ("tier_changed", supervisor.id)]
    facts = (await events(scheme, holder.party))[-1][2]
    assert facts == {"reason": "saw the passport", "before": "number_only", "after": "identity_seen"}


async def test_a_freeze_is_lifted_by_staff_and_a_repeat_changes_nothing(scheme: Scheme) -> None:
    administrator, supervisor = await scheme.team()
    holder = await scheme.customer(scheme.phone())
    freeze_id = scheme.new_id()
    first = await scheme.parties.staff.freeze(freeze_id, holder.party, reason="court order 17", by=supervisor.id, lifetime_s=60)
    assert await scheme.parties.staff.freeze(freeze_id, holder.party, reason="court order 17", by=supervisor.id) == first
    with pytest.raises(IdReused):
        await scheme.parties.staff.freeze(freeze_id, holder.party, reason="another reason", by=supervisor.id)
    with pytest.raises(AccountFrozen):
        await scheme.parties.admit(account_id=holder.account, amount=0)
    for by in (administrator.id, holder.party):
        with pytest.raises(Forbidden):
            await scheme.parties.staff.unfreeze(freeze_id, reason="please", by=by)
    for _ in range(2):
        await scheme.parties.staff.unfreeze(freeze_id, reason="order lifted", by=supervisor.id)
    (await scheme.parties.admit(account_id=holder.account, amount=0)).release()
    assert [kind for kind, _, _ in await events(scheme, holder.party)].count("unfrozen") == 1
    with pytest.raises(NotFound):
        await scheme.parties.staff.unfreeze(77, reason="no such thing", by=supervisor.id)


async def test_two_freezes_hold_until_both_are_gone(scheme: Scheme) -> None:
    _, supervisor = await scheme.team()
    holder = await scheme.customer(scheme.phone())
    first, second = scheme.new_id(), scheme.new_id()
    await scheme.parties.staff.freeze(first, holder.party, reason="court order 17", by=supervisor.id)
    await scheme.parties.staff.freeze(second, holder.party, reason="fraud case 3", by=supervisor.id, account=holder.account)
    await scheme.parties.staff.unfreeze(first, reason="order lifted", by=supervisor.id)
    with pytest.raises(AccountFrozen) as caught:
        await scheme.parties.admit(account_id=holder.account, amount=0)
    assert caught.value.facts["reason"] == "fraud case 3"


async def test_a_holder_freezes_a_lost_phone_and_lifts_only_that(scheme: Scheme) -> None:
    _, supervisor = await scheme.team()
    holder, other = await scheme.customer(scheme.phone()), await scheme.customer(scheme.phone())
    own, courts = scheme.new_id(), scheme.new_id()
    with pytest.raises(Forbidden):
        await scheme.parties.staff.freeze(own, other.party, reason="not my account", by=holder.party)
    await scheme.parties.staff.freeze(own, holder.party, reason="lost my phone", by=holder.party)
    with pytest.raises(AccountFrozen) as caught:
        await scheme.parties.admit(account_id=holder.account, amount=0)
    assert caught.value.facts["own"] is True
    await scheme.parties.staff.freeze(courts, holder.party, reason="court order 17", by=supervisor.id)
    await scheme.parties.staff.unfreeze(own, reason="found it again", by=holder.party)
    with pytest.raises(Forbidden):
        await scheme.parties.staff.unfreeze(courts, reason="found it again", by=holder.party)


@pytest.mark.parametrize(
    ("field", "change"),
    [("reason", {"reason": ""}), ("reason", {"reason": "x" * 501}), ("reason", {"reason": "a\nb lines"}), ("lifetime_s", {"lifetime_s": 0}), ("lifetime_s", {"lifetime_s": 10**12}), ("account", {"account": 77})],
)  # fmt: skip
async def test_a_freeze_that_makes_no_sense_is_refused(scheme: Scheme, field: str, change: dict[str, Any]) -> None:
    _, supervisor = await scheme.team()
    holder = await scheme.customer(scheme.phone())
    arguments: dict[str, Any] = {"reason": "court order", "by": supervisor.id} | change
    with pytest.raises(Malformed) as caught:
        await scheme.parties.staff.freeze(scheme.new_id(), holder.party, **arguments)
    assert caught.value.facts["field"] == field
    with pytest.raises(PartyNotFound):
        await scheme.parties.staff.freeze(scheme.new_id(), 77, reason="court order", by=supervisor.id)


async def test_a_tier_counts_from_the_next_payment_on(scheme: Scheme) -> None:
    _, supervisor = await scheme.team()
    holder = await scheme.customer(scheme.phone())
    await scheme.fund(holder.account, 10)
    with pytest.raises(LimitExceeded):
        await scheme.parties.admit(account_id=holder.account, amount=10_001)
    with pytest.raises(Malformed):
        await scheme.parties.staff.change_tier(holder.party, "merchant", reason="saw the passport", by=supervisor.id)
    await scheme.parties.staff.change_tier(holder.party, "identity_seen", reason="saw the passport", by=supervisor.id)
    (await scheme.parties.admit(account_id=holder.account, amount=10_001)).release()


async def test_nobody_changes_their_own_roles_and_only_administrators_those_of_others(scheme: Scheme) -> None:
    administrator, supervisor = await scheme.team()
    clerk = await scheme.staff(StaffRole.CLERK, by=administrator.id)
    customer = await scheme.customer(scheme.phone())
    for staff, by in ((administrator, administrator.id), (clerk, supervisor.id), (clerk, clerk.id), (clerk, customer.party)):
        with pytest.raises(Forbidden):
            await scheme.parties.staff.give_role(staff.id, StaffRole.TREASURER, by=by)
    with pytest.raises(Malformed):
        await scheme.parties.staff.give_role(customer.party, StaffRole.CLERK, by=administrator.id)
    for _ in range(2):
        await scheme.parties.staff.give_role(clerk.id, StaffRole.AUDITOR, by=administrator.id)
    assert await scheme.parties.staff.roles(clerk.id) == {StaffRole.CLERK, StaffRole.AUDITOR}
    for _ in range(2):
        await scheme.parties.staff.take_role(clerk.id, StaffRole.CLERK, by=administrator.id)
    assert await scheme.parties.staff.roles(clerk.id) == {StaffRole.AUDITOR}
    with pytest.raises(Forbidden):
        await scheme.parties.staff.require(clerk.id, Permission.OPEN_PARTY)


async def test_who_has_left_may_do_nothing(scheme: Scheme) -> None:
    administrator, supervisor = await scheme.team()
    clerk = await scheme.staff(StaffRole.CLERK, by=administrator.id)
    await scheme.parties.staff.require(clerk.id, Permission.OPEN_PARTY)
    await scheme.parties.staff.close(clerk.id, reason="has left us", by=supervisor.id)
    with pytest.raises(Forbidden):
        await scheme.parties.staff.require(clerk.id, Permission.OPEN_PARTY)


def test_no_single_role_both_rules_people_and_moves_money() -> None:
    moving = {Permission.PROPOSE_CIRCULATION, Permission.APPROVE_CIRCULATION, Permission.APPROVE_REVERSAL}
    for role, permissions in ROLE_PERMISSIONS.items():
        assert not (Permission.MANAGE_STAFF in permissions and permissions & moving), role
    assert ROLE_PERMISSIONS[StaffRole.AUDITOR] == {Permission.READ}
    assert set(ROLE_PERMISSIONS) == set(StaffRole)


async def test_an_account_with_money_or_a_hold_is_not_closed(scheme: Scheme) -> None:
    _, supervisor = await scheme.team()
    holder, other = await scheme.customer(scheme.phone()), await scheme.customer(scheme.phone())
    await scheme.fund(holder.account, 10)
    with pytest.raises(NotInThisState):
        await scheme.parties.staff.close(holder.party, reason="wants to go", by=holder.party)
    hold = await scheme.transfer(holder.account, other.account, 10, flags=TransferFlags.PENDING)
    with pytest.raises(NotInThisState):
        await scheme.parties.staff.close(other.party, reason="wants to go", by=other.party)
    with pytest.raises(Forbidden):
        await scheme.parties.staff.close(holder.party, reason="not mine", by=other.party)
    await scheme.void(hold)
    await scheme.transfer(holder.account, other.account, 10)
    number = holder.number or ""
    for by in (holder.party, supervisor.id):
        assert (await scheme.parties.staff.close(holder.party, reason="wants to go", by=by)).state is PartyState.CLOSED
    with pytest.raises(PartyNotFound):
        await scheme.parties.resolve(number)
    again = await scheme.customer(scheme.phone(), number, "Somebody else")  # numbers are given to others
    assert (await scheme.parties.resolve(number)).account == again.account != holder.account


def test_tiers_scale_with_the_currency() -> None:
    number_only = TIERS[0]
    assert scaled(number_only, 2) == number_only
    assert scaled(number_only, 0).limits.per_payment == 100
    assert scaled(number_only, 3).limits.per_payment == 100_000
    assert scaled(TIERS[-1], 0) == TIERS[-1]  # no limit stays no limit
