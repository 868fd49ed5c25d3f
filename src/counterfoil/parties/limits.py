"""Whether an amount may leave an account, and whether it may come in. Pure."""

from __future__ import annotations

from collections.abc import Set

from counterfoil.errors import LimitExceeded, PayeeLimitExceeded
from counterfoil.parties.types import Limits


def check(
    *,
    amount: int,
    fee: int,
    spent_today: int,
    spent_month: int,
    limits: Limits,
    own: Set[str],
    day_ends_at: int,
    month_ends_at: int,
) -> None:
    """Refuses (LimitExceeded) a payment above a limit: of one payment first, then of the day, then of the month.

    `spent_*` are minor units that have left or are on their way, without this payment. `own` names the limits that the
    holder chose. The facts say which limit it is, its value, what is left of it, when it starts anew (ns) and whose it is.
    """
    outgoing = amount + fee
    if amount > limits.per_payment:
        _refuse("per_payment", limits.per_payment, limits.per_payment, None, own)
    if spent_today + outgoing > limits.per_day:
        _refuse("per_day", limits.per_day, limits.per_day - spent_today, day_ends_at, own)
    if spent_month + outgoing > limits.per_month:
        _refuse("per_month", limits.per_month, limits.per_month - spent_month, month_ends_at, own)


def check_balance(*, amount: int, balance: int, limits: Limits) -> None:
    """Refuses (PayeeLimitExceeded) what would lift `balance` (holds on their way in included) above the account's maximum.

    Says nothing of the payee's balance to the payer.
    """
    if balance + amount > limits.balance_max:
        raise PayeeLimitExceeded


def lower(tier: Limits, own: Limits) -> tuple[Limits, frozenset[str]]:
    """The lower of both for each limit, and the names of those where the holder's own is the lower one."""
    names = frozenset(name for name in Limits.__struct_fields__ if getattr(own, name) < getattr(tier, name))
    return Limits(**{name: getattr(own if name in names else tier, name) for name in Limits.__struct_fields__}), names


_SENTENCES = {
    "per_payment": "one payment",
    "per_day": "one day",
    "per_month": "one month",
}


def _refuse(name: str, limit: int, left: int, resets_at: int | None, own: Set[str]) -> None:
    whose = "own" if name in own else "tier"
    raise LimitExceeded(
        f"This payment is above {'your own limit' if whose == 'own' else 'the limit of the account'} for {_SENTENCES[name]}.",
        limit=name,
        limit_amount=limit,
        left=max(left, 0),
        resets_at=resets_at,
        whose=whose,
    )
