"""What is one entry, and what comes before what."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.ledger.types import Account, ChangeEvent, ChangeEventType, Transfer, TransferFlags
from counterfoil.parties.changes import PartyChange, Word
from counterfoil.payments.publish.facts import OrderFacts
from counterfoil.payments.publish.steps import Group, grouped, merged
from counterfoil.payments.views import LEGS_MAX

A, B = Account(id=1, ledger=1, code=10), Account(id=2, ledger=1, code=10)
DONE, EXPIRED = ChangeEventType.SINGLE_PHASE, ChangeEventType.TWO_PHASE_EXPIRED


def event(at: int, payment: int, *, linked: bool = False, kind: ChangeEventType = DONE) -> ChangeEvent:
    flags = int(TransferFlags.LINKED) if linked else 0
    return ChangeEvent(at, kind, Transfer(id=at, user_data_128=payment, flags=flags, timestamp=at), A, B)


def change(at: int, kind: str, **more: Any) -> PartyChange:
    return PartyChange(number=at, id=at, kind=kind, by=0, at=at, **more)


def by(device: int, way: int = 1) -> OrderFacts:
    return OrderFacts(1, way, 0, bytes(32), device, b"", b"")


def times(groups: list[Group]) -> list[list[int]]:
    return [[each.timestamp for each in group.events] for group in groups]


def test_a_chain_with_one_payment_id_is_one_entry() -> None:
    events = [event(1, 7, linked=True), event(2, 7), event(3, 8), event(4, 8), event(5, 9, linked=True), event(6, 10)]
    assert times(grouped(events, complete=True)) == [[1, 2], [3], [4], [5], [6]]


def test_links_without_a_payment_id_stand_alone() -> None:
    assert times(grouped([event(1, 0, linked=True), event(2, 0)], complete=True)) == [[1], [2]]


def test_each_expiry_stands_alone_though_the_hold_was_linked() -> None:
    events = [event(1, 7, linked=True, kind=EXPIRED), event(2, 7, kind=EXPIRED)]
    assert times(grouped(events, complete=True)) == [[1], [2]]
    assert times(grouped(events[:1], complete=False)) == [[1]]


def test_a_chain_that_may_go_on_waits_for_the_next_page() -> None:
    events = [event(1, 6), event(2, 7, linked=True)]
    assert times(grouped(events, complete=False)) == [[1]]
    assert times(grouped(events, complete=True)) == [[1], [2]]


def test_no_entry_has_more_legs_than_it_can_say() -> None:
    events = [event(at, 7, linked=True) for at in range(1, 2 * LEGS_MAX + 2)]
    assert [len(group.events) for group in grouped(events, complete=True)] == [LEGS_MAX, LEGS_MAX, 1]


def test_a_change_comes_before_the_movements_of_its_time_and_later() -> None:
    groups = grouped([event(10, 1), event(20, 2), event(30, 3)], complete=True)
    steps = merged(groups, [change(20, "frozen"), change(31, "closed")], {})
    assert [step.at for step in steps] == [10, 20, 20, 30, 31]
    assert isinstance(steps[1], PartyChange)


def test_a_key_comes_before_the_first_movement_that_it_signed_whatever_the_clocks_said() -> None:
    groups = grouped([event(10, 1), event(20, 2), event(30, 3)], complete=True)
    changes = [change(15, "frozen"), change(99, "device_added", device=77), change(16, "device_revoked")]
    assert [step.at for step in merged(groups, changes, {2: by(77)})] == [10, 15, 99, 16, 20, 30]
    assert [step.at for step in merged(groups, changes[:2], {1: by(78), 3: by(77)})] == [10, 15, 20, 99, 30]
    assert [step.at for step in merged(groups, changes[:2], {})] == [10, 15, 20, 30, 99]


def test_an_account_and_a_word_about_pins_come_before_their_first_movement() -> None:
    groups = grouped([event(10, 1), event(20, 2)], complete=True)
    assert [step.at for step in merged(groups, [change(99, "opened", accounts=(2,))], {})] == [99, 10, 20]
    word = change(99, "pin_allowed", pin_word=Word(1, b"", b""))
    assert [step.at for step in merged(groups, [word], {2: by(0, way=2)})] == [10, 99, 20]


def test_what_is_granted_to_one_pulls_no_revocation_of_another_before_the_payments_that_it_follows() -> None:
    """A publisher that was away for minutes reads all of it at once; the auditor must find it in its order."""
    groups = grouped([event(10, 1), event(500, 2)], complete=True)
    changes = [change(300, "device_revoked", device=5), change(400, "device_added", device=6)]
    assert [step.at for step in merged(groups, changes, {1: by(5), 2: by(6)})] == [10, 300, 400, 500]


@given(
    st.lists(st.integers(1, 60), unique=True, max_size=12).map(sorted),
    st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["opened", "frozen", "device_revoked", "recovery_done", "closed"])), max_size=12
    ),
)
def test_laws_of_merging(moments: list[int], kinds: list[tuple[int, str]]) -> None:
    groups = grouped([event(at, at) for at in moments], complete=True)
    changes = [PartyChange(number=n, id=n, kind=kind, by=0, at=at) for n, (at, kind) in enumerate(kinds, 1)]
    steps = merged(groups, changes, {})
    assert [step for step in steps if isinstance(step, Group)] == groups
    assert [step for step in steps if isinstance(step, PartyChange)] == changes
    for place, step in enumerate(steps):
        for later in steps[place + 1 :]:
            if isinstance(step, Group) and isinstance(later, PartyChange):
                assert later.at > step.at or any(
                    isinstance(between, PartyChange) and between.at > step.at for between in steps[place + 1 : steps.index(later)]
                )
