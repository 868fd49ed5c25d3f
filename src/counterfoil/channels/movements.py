"""An account's last payments in a few words, for phones with little room: one line a payment, its fee included."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from counterfoil.i18n import Language
from counterfoil.money import Currency
from counterfoil.payments.history import Entry, History
from counterfoil.payments.orders import OrderKind

LATEST = 5
"""Payments that are shown."""
ENTRIES_MAX = 20
"""Entries of the history in which they are looked for: a payment has two with its fee."""


class Movement(msgspec.Struct):
    """What one payment did to an account, its fee included. `set_aside` as in `history.Entry`; `payment` 0 for none of this scheme."""

    payment: int
    at: int
    counterparty: int
    change: int
    set_aside: int


async def latest(history: History, account: int) -> list[Movement]:
    """The last LATEST payments of an account, newest first. What was set aside is left out once it was taken or given back."""
    return _movements(await history.page(account, limit=ENTRIES_MAX))[:LATEST]


def amount_of(movement: Movement, language: Language, currency: Currency) -> str:
    """ "-12.50"; in brackets what was only set aside, or given back."""
    only_aside = not movement.change and movement.set_aside
    moved = -movement.set_aside if only_aside else movement.change
    amount = f"{'+' if moved > 0 else '-'}{language.money(abs(moved), currency)}"
    return f"({amount})" if only_aside else amount


def _movements(entries: Sequence[Entry]) -> list[Movement]:
    """Entries by payments, newest first."""
    found: dict[int, Movement] = {}
    answered: set[int] = set()
    for entry in entries:
        payment = entry.payment
        if payment is not None and payment.kind in (OrderKind.CAPTURE, OrderKind.RELEASE):
            answered.add(payment.reference)
        key = payment.id if payment is not None else -entry.timestamp
        movement = found.setdefault(key, Movement(max(key, 0), entry.timestamp, entry.counterparty, 0, 0))
        movement.change += entry.change
        movement.set_aside += entry.set_aside
        movement.counterparty = entry.counterparty  # a payment's first entry, the last one here, is not its fee
    return [movement for movement in found.values() if movement.payment not in answered]
