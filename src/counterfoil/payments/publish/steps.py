"""What is to be published, in which order: movements of the ledger and changes of parties, merged. Pure.

ledger    a linked chain with one payment id is one group; everything else, expiries too, stands alone
parties   in the order of commits; what happened up to a movement's time comes before it, and whatever grants something
          (an account opened, a key bound) before the first movement that needs it, whatever the clocks said
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from counterfoil.ledger.types import ChangeEvent, ChangeEventType, TransferFlags
from counterfoil.parties.changes import PartyChange
from counterfoil.payments.publish.facts import OrderFacts
from counterfoil.payments.types import AuthorisationClass
from counterfoil.payments.views import LEGS_MAX

_LINKED: Final = int(TransferFlags.LINKED)


class Rules(msgspec.Struct, frozen=True):
    """A rules document comes into the log. `at`: when, ns."""

    document: bytes
    at: int


class Group(msgspec.Struct, frozen=True, gc=False):
    """Ledger events that are one entry, in order."""

    events: tuple[ChangeEvent, ...]

    @property
    def at(self) -> int:
        """Ledger time of the last one: the entry's."""
        return self.events[-1].timestamp

    @property
    def payment(self) -> int:
        """The payment's id that the events carry; 0 for none."""
        return self.events[0].transfer.user_data_128


Step = Rules | Group | PartyChange


def source_of(step: Step) -> bytes:
    """The name of a step, by which it is found again: for a group the ledger time of its first event."""
    if isinstance(step, Group):
        return b"L" + step.events[0].timestamp.to_bytes(8)
    if isinstance(step, PartyChange):
        return b"P" + step.id.to_bytes(16)
    return b"R"


def grouped(events: Sequence[ChangeEvent], *, complete: bool) -> list[Group]:
    """The groups of `events`, which begin at a group's beginning. Unless `complete`, a chain that may go on is left out."""
    groups: list[Group] = []
    chain: list[ChangeEvent] = []
    for event in events:
        if chain and not _goes_on(chain, event):
            groups.append(Group(tuple(chain)))
            chain = []
        chain.append(event)
    if chain and (complete or not _may_go_on(chain)):
        groups.append(Group(tuple(chain)))
    return groups


def _may_go_on(chain: list[ChangeEvent]) -> bool:
    last = chain[-1]
    return (
        bool(last.transfer.flags & _LINKED)
        and last.type is not ChangeEventType.TWO_PHASE_EXPIRED
        and last.transfer.user_data_128 != 0
        and len(chain) < LEGS_MAX
    )


def _goes_on(chain: list[ChangeEvent], event: ChangeEvent) -> bool:
    return _may_go_on(chain) and event.transfer.user_data_128 == chain[-1].transfer.user_data_128


def merged(groups: Sequence[Group], changes: Sequence[PartyChange], orders: Mapping[int, OrderFacts]) -> list[Step]:
    """All of both, each in its own order. `orders`: those behind the movements, by payment id."""
    used = _first_used(groups, orders)
    latest = [0] * len(changes)  # a change comes before every movement from this time on
    bound = 2**64
    for place in range(len(changes) - 1, -1, -1):
        change = changes[place]
        bound = min(bound, change.at, *(used.get(each, bound) for each in _granted(change)))
        latest[place] = bound
    steps: list[Step] = []
    place = 0
    for group in groups:
        while place < len(changes) and latest[place] <= group.at:
            steps.append(changes[place])
            place += 1
        steps.append(group)
    steps += changes[place:]
    return steps


def _granted(change: PartyChange) -> Sequence[int]:
    """What a movement can need of a change: accounts, devices, and, as the complement of its account, the right to pay by PIN."""
    if change.kind == "opened":
        return (*change.accounts, *change.enrolled)
    if change.kind in ("device_added", "recovery_done"):
        return (change.device,)
    return (~change.pin_word.account,) if change.pin_word else ()


def _first_used(groups: Sequence[Group], orders: Mapping[int, OrderFacts]) -> dict[int, int]:
    """When (ledger time) each thing that can be granted is first used by a movement."""
    used: dict[int, int] = {}
    for group in groups:
        order = orders.get(group.payment)
        if order is not None and order.device:
            used.setdefault(order.device, group.at)
        for event in group.events:
            used.setdefault(event.debit_account.id, group.at)
            used.setdefault(event.credit_account.id, group.at)
            if order is not None and order.authorisation == AuthorisationClass.PIN:
                used.setdefault(~event.debit_account.id, group.at)
    return used
