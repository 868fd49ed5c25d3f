"""What is one entry, and what comes before what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.ledger.types import Account, ChangeEvent, ChangeEventType, Transfer, TransferFlags
from counterfoil.parties.changes import PartyChange
from counterfoil.payments.publish.steps import GRANTING, Group, grouped, merged
from counterfoil.payments.views import LEGS_MAX

A, B = Account(id=1, ledger=1, code=10), Account(id=2, ledger=1, code=10)
DONE, EXPIRED = ChangeEventType.SINGLE_PHASE, ChangeEventType.TWO_PHASE_EXPIRED


def event(at: int, payment: int, *, linked: bool = False, kind: ChangeEventType = DONE) -> ChangeEvent:
    flags = int(TransferFlags.LINKED) if linked else 0
    return ChangeEvent(at, kind, Transfer(id=at, user_data_128=payment, flags=flags, timestamp=at), A, B)


def change(at: int, kind: str) -> PartyChange:
    return PartyChange(number=at, id=at, kind=kind, by=0, at=at)


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
    steps = merged(groups, [change(20, "frozen"), change(31, "closed")])
    assert [step.at for step in steps] == [10, 20, 20, 30, 31]
    assert isinstance(steps[1], PartyChange)


def test_what_grants_something_comes_first_with_all_that_came_before_it() -> None:
    groups = grouped([event(10, 1), event(20, 2)], complete=True)
    steps = merged(groups, [change(15, "frozen"), change(99, "device_added"), change(16, "device_revoked")])
    assert [step.at for step in steps] == [15, 99, 10, 16, 20]


@given(
    st.lists(st.integers(1, 60), unique=True, max_size=12).map(sorted),
    st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["opened", "frozen", "device_revoked", "recovery_done", "closed"])), max_size=12
    ),
)
def test_laws_of_merging(moments: list[int], kinds: list[tuple[int, str]]) -> None:
    groups = grouped([event(at, at) for at in moments], complete=True)
    changes = [PartyChange(number=n, id=n, kind=kind, by=0, at=at) for n, (at, kind) in enumerate(kinds, 1)]
    steps = merged(groups, changes)
    assert [step for step in steps if isinstance(step, Group)] == groups
    assert [step for step in steps if isinstance(step, PartyChange)] == changes
    for place, step in enumerate(steps):
        for later in steps[place + 1 :]:
            if isinstance(step, Group) and isinstance(later, PartyChange):
                assert later.kind not in GRANTING
                assert later.at > step.at or any(
                    isinstance(between, PartyChange) and between.at > step.at for between in steps[place + 1 : steps.index(later)]
                )
