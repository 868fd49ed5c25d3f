"""The parties' journal as others follow it: in the order of commits, whatever the clock says, and the same every time."""

from __future__ import annotations

from pathlib import Path

from counterfoil.ids import new_id
from counterfoil.parties.changes import PartyChange, read_changes
from tests.scheme import Scheme, opened


async def changes_of(scheme: Scheme, *, after: int = 0, limit: int = 10_000) -> list[PartyChange]:
    return await scheme.services.store.read(lambda connection: read_changes(connection, after=after, limit=limit))


async def test_pages_follow_each_other_without_gap_or_repeat(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        for number in range(5):
            await scheme.customer(f"Person {number}")
            scheme.clock.offset_s -= 100  # each later one is earlier by the clock
        everything = await changes_of(scheme)
        assert [change.number for change in everything] == sorted({change.number for change in everything})
        moments = [change.at for change in everything if change.accounts]
        assert moments == sorted(moments, reverse=True)
        paged, after = [], 0
        while page := await changes_of(scheme, after=after, limit=2):
            paged += page
            after = page[-1].number
        assert paged == everything


async def test_what_is_told_of_the_past_stays_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        staff = scheme.services.parties.staff
        person = await scheme.customer(tier="number_only")
        (opening,) = [change for change in await changes_of(scheme) if change.accounts]
        assert (opening.kind, opening.tier, opening.accounts) == ("opened", "number_only", (person.account,))
        assert opening.enrolled == (person.device,)
        assert opening.keys[person.device].public_key == bytes(person.key.verify_key)
        freeze = new_id(scheme.clock)
        await staff.change_tier(person.party, "identity_seen", reason="papers", by=scheme.supervisors[0])
        await staff.change_tier(person.party, "identity_verified", reason="papers", by=scheme.supervisors[0])
        await staff.freeze(freeze, person.party, reason="lost", by=scheme.supervisors[0], lifetime_s=60)
        await staff.unfreeze(freeze, reason="found", by=scheme.supervisors[0])
        before = await changes_of(scheme)
        first, *rest = [change for change in before if change.accounts]
        assert first == opening
        assert [(change.kind, change.tier) for change in rest] == [
            ("tier_changed", "identity_seen"),
            ("tier_changed", "identity_verified"),
            ("frozen", ""),
            ("unfrozen", ""),
        ]
        frozen, lifted = rest[2].freeze, rest[3].freeze
        assert frozen is not None
        assert lifted is not None
        assert (frozen.id, frozen.accounts, frozen.reason, lifted.reason) == (freeze, (person.account,), "lost", "found")
        assert (frozen.incoming, frozen.expires_at) == (lifted.incoming, lifted.expires_at)
        await staff.close(person.party, reason="gone", by=scheme.supervisors[0])
        after = await changes_of(scheme)
        assert after[: len(before)] == before
        assert [change.kind for change in after[len(before) :]] == ["closed"]


async def test_staff_have_no_accounts(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        assert {change.accounts for change in await changes_of(scheme)} == {()}
        assert {change.kind for change in await changes_of(scheme)} == {"opened"}
