"""Which filters are valid. An invalid one selects nothing, without an error, on every engine.

Pure. Source: TigerBeetle 0.17 `src/state_machine.zig` (commit 52ad553), `get_scan_from_account_filter` and its siblings.
"""

from __future__ import annotations

from typing import Final

from counterfoil.ledger.types import TIMESTAMP_MAX, U128_MAX, AccountFilter, AccountFilterFlags, QueryFilter, QueryFilterFlags

_SIDES: Final = int(AccountFilterFlags.DEBITS | AccountFilterFlags.CREDITS)
_ACCOUNT_FILTER_FLAGS_UNKNOWN: Final = ~(_SIDES | int(AccountFilterFlags.REVERSED))
_QUERY_FILTER_FLAGS_UNKNOWN: Final = ~int(QueryFilterFlags.REVERSED)


def account_filter_valid(filter: AccountFilter) -> bool:
    """An account, at least one side, a limit above 0, bounds in order, no unknown flag."""
    flags = int(filter.flags)
    return (
        0 < filter.account_id < U128_MAX
        and bool(flags & _SIDES)
        and not flags & _ACCOUNT_FILTER_FLAGS_UNKNOWN
        and selection_valid(timestamp_min=filter.timestamp_min, timestamp_max=filter.timestamp_max, limit=filter.limit)
    )


def query_filter_valid(filter: QueryFilter) -> bool:
    """A limit above 0, bounds in order, no unknown flag."""
    return not int(filter.flags) & _QUERY_FILTER_FLAGS_UNKNOWN and selection_valid(
        timestamp_min=filter.timestamp_min, timestamp_max=filter.timestamp_max, limit=filter.limit
    )


def selection_valid(*, timestamp_min: int, timestamp_max: int, limit: int) -> bool:
    """Bounds in ns, both inclusive, 0 for none; a limit above 0 (more than an answer holds is cut, not refused)."""
    return (
        0 <= timestamp_min <= TIMESTAMP_MAX
        and 0 <= timestamp_max <= TIMESTAMP_MAX
        and (timestamp_max == 0 or timestamp_min <= timestamp_max)
        and limit > 0
    )
