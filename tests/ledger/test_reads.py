"""Reading: order, bounds, limits and filters, on every engine."""

from __future__ import annotations

import pytest

from counterfoil.ledger.engine import Engine
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    U128_MAX,
    Account,
    AccountFilter,
    AccountFilterFlags,
    AccountFlags,
    ChangeEventType,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
    TransferFlags,
)

NOW = 1_000_000_000_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def books(engine: Engine) -> Engine:
    """Account 2 keeps its history. Transfers 1 to 6 have timestamps NOW + 4 to NOW + 9; the pending 3 expires after them."""
    accounts = [Account(id=number, ledger=1, code=number, flags=AccountFlags.HISTORY if number == 2 else 0) for number in (1, 2, 3)]
    engine.create_accounts(accounts, NOW + 3)
    transfers = [
        Transfer(1, 1, 2, 100, ledger=1, code=1),
        Transfer(2, 2, 3, 10, ledger=1, code=2, user_data_64=7),
        Transfer(3, 2, 3, 20, ledger=1, code=1, flags=TransferFlags.PENDING, timeout=1),
        Transfer(4, 3, 2, 1, ledger=1, code=1, user_data_32=8),
        Transfer(5, 1, 3, 5, ledger=1, code=1, user_data_128=9),
        Transfer(6, 2, 1, 2, ledger=1, code=1),
    ]
    assert [result.timestamp for result in engine.create_transfers(transfers, NOW)] == [NOW + n for n in range(4, 10)]
    assert engine.expire_pending_transfers(NOW + 2 * SECOND) == 1
    return engine


def ids(transfers: list[Transfer]) -> list[int]:
    return [transfer.id for transfer in transfers]


def test_lookups_answer_in_the_order_asked_and_leave_out_the_missing(books: Engine) -> None:
    assert [account.id for account in books.lookup_accounts([3, 9, 1, 0, U128_MAX])] == [3, 1]
    assert ids(books.lookup_transfers([4, 99, 2, 1, 0, U128_MAX])) == [4, 2, 1]
    assert books.lookup_accounts([]) == []
    assert books.lookup_transfers([]) == []


def test_record_is_read_as_it_was_sent_with_its_timestamp(engine: Engine) -> None:
    greatest = {"user_data_128": U128_MAX, "user_data_64": 2**64 - 1, "user_data_32": 2**32 - 1, "ledger": 2**32 - 1, "code": 2**16 - 1}
    account = Account(id=U128_MAX - 1, flags=AccountFlags.HISTORY, **greatest)
    other = Account(id=2**64, ledger=2**32 - 1, code=1)
    engine.create_accounts([account, other], NOW)
    [found, _] = engine.lookup_accounts([account.id, other.id])
    assert found == Account(id=U128_MAX - 1, flags=8, timestamp=NOW - 1, **greatest)

    sent = Transfer(U128_MAX - 1, account.id, other.id, U128_MAX, timeout=2**32 - 1, flags=TransferFlags.PENDING, **greatest)
    engine.create_transfers([sent], NOW + 1)
    assert engine.lookup_transfers([sent.id]) == [
        Transfer(U128_MAX - 1, account.id, other.id, U128_MAX, 0, U128_MAX, 2**64 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**16 - 1, 2, NOW + 1)
    ]  # fmt: skip
    assert engine.lookup_accounts([account.id])[0].debits_pending == U128_MAX


def test_transfers_of_an_account_are_chosen_by_side(books: Engine) -> None:
    assert ids(books.get_account_transfers(AccountFilter(account_id=2, limit=10))) == [1, 2, 3, 4, 6]
    assert ids(books.get_account_transfers(AccountFilter(account_id=2, limit=10, flags=AccountFilterFlags.DEBITS))) == [2, 3, 6]
    assert ids(books.get_account_transfers(AccountFilter(account_id=2, limit=10, flags=AccountFilterFlags.CREDITS))) == [1, 4]
    assert ids(books.get_account_transfers(AccountFilter(account_id=9, limit=10))) == []


def test_newest_come_first_when_reversed_and_the_limit_cuts_after_that(books: Engine) -> None:
    both = AccountFilterFlags.DEBITS | AccountFilterFlags.CREDITS
    assert ids(books.get_account_transfers(AccountFilter(account_id=2, limit=2))) == [1, 2]
    assert ids(books.get_account_transfers(AccountFilter(account_id=2, limit=2, flags=both | AccountFilterFlags.REVERSED))) == [6, 4]
    assert ids(books.query_transfers(QueryFilter(limit=3, flags=QueryFilterFlags.REVERSED))) == [6, 5, 4]
    assert [a.id for a in books.query_accounts(QueryFilter(limit=2, flags=QueryFilterFlags.REVERSED))] == [3, 2]


def test_timestamps_are_inclusive_on_both_sides(books: Engine) -> None:
    for low, high, expected in [(6, 7, [3, 4]), (4, 4, [1]), (0, 5, [1, 2]), (9, 0, [6]), (10, 0, []), (0, 3, [])]:
        bounds = {"timestamp_min": low and NOW + low, "timestamp_max": high and NOW + high}
        assert ids(books.get_account_transfers(AccountFilter(account_id=2, limit=10, **bounds))) == [i for i in expected if i != 5]
        assert ids(books.query_transfers(QueryFilter(limit=10, **bounds))) == expected
    assert [a.id for a in books.query_accounts(QueryFilter(limit=10, timestamp_min=NOW + 2, timestamp_max=NOW + 2))] == [2]


def test_fields_of_a_filter_are_combined(books: Engine) -> None:
    assert ids(books.query_transfers(QueryFilter(limit=10, code=2))) == [2]
    assert ids(books.query_transfers(QueryFilter(limit=10, code=2, user_data_64=7))) == [2]
    assert ids(books.query_transfers(QueryFilter(limit=10, code=1, user_data_64=7))) == []
    assert ids(books.query_transfers(QueryFilter(limit=10, user_data_128=9))) == [5]
    assert ids(books.query_transfers(QueryFilter(limit=10, user_data_32=8, ledger=1))) == [4]
    assert ids(books.query_transfers(QueryFilter(limit=10, ledger=2))) == []
    assert ids(books.get_account_transfers(AccountFilter(account_id=2, limit=10, code=2))) == [2]
    assert ids(books.get_account_transfers(AccountFilter(account_id=3, limit=10, user_data_128=9))) == [5]
    assert [a.id for a in books.query_accounts(QueryFilter(limit=10, code=3))] == [3]


def test_balances_of_an_account_with_history_follow_its_transfers(books: Engine) -> None:
    balances = books.get_account_balances(AccountFilter(account_id=2, limit=10))
    rows = [(b.timestamp - NOW, b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted) for b in balances]
    # The expiry made no transfer, so it has no row, but what comes after it shows it.
    assert rows == [(4, 0, 0, 0, 100), (5, 0, 10, 0, 100), (6, 20, 10, 0, 100), (7, 20, 10, 0, 101), (9, 20, 12, 0, 101)]
    books.create_transfers([Transfer(7, 2, 1, 1, ledger=1, code=1)], NOW)
    newest = AccountFilter(account_id=2, limit=1, flags=7)
    assert [(b.debits_pending, b.debits_posted) for b in books.get_account_balances(newest)] == [(0, 13)]


def test_account_without_history_has_no_balances_to_show(books: Engine) -> None:
    assert books.get_account_balances(AccountFilter(account_id=1, limit=10)) == []
    assert books.get_account_balances(AccountFilter(account_id=9, limit=10)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": 0},
        {"flags": 0},
        {"flags": 4},
        {"flags": 11},
        {"account_id": 0},
        {"account_id": U128_MAX},
        {"timestamp_min": NOW + 9, "timestamp_max": NOW + 8},
        {"timestamp_min": TIMESTAMP_MAX + 1},
        {"timestamp_max": TIMESTAMP_MAX + 1},
    ],
)
def test_invalid_account_filter_selects_nothing(books: Engine, changes: dict[str, int]) -> None:
    filter = AccountFilter(**{"account_id": 2, "limit": 10, **changes})  # noqa: A001
    assert books.get_account_transfers(filter) == []
    assert books.get_account_balances(filter) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": 0},
        {"flags": 2},
        {"flags": 3},
        {"timestamp_min": NOW + 9, "timestamp_max": NOW + 8},
        {"timestamp_min": TIMESTAMP_MAX + 1},
        {"timestamp_max": TIMESTAMP_MAX + 1},
    ],
)
def test_invalid_query_filter_selects_nothing(books: Engine, changes: dict[str, int]) -> None:
    filter = QueryFilter(**{"limit": 10, **changes})  # noqa: A001
    assert books.query_transfers(filter) == []
    assert books.query_accounts(filter) == []


def test_feed_tells_everything_in_order_with_both_accounts_as_they_stood(books: Engine) -> None:
    books.create_transfers([Transfer(8, 1, 2, 50, ledger=1, code=1, flags=TransferFlags.PENDING)], NOW)
    books.create_transfers([Transfer(9, amount=20, pending_id=8, flags=TransferFlags.POST_PENDING_TRANSFER)], NOW)
    events = books.get_change_events(timestamp_min=0, limit=100)
    assert [(event.transfer.id, event.type) for event in events] == [
        (1, ChangeEventType.SINGLE_PHASE),
        (2, ChangeEventType.SINGLE_PHASE),
        (3, ChangeEventType.TWO_PHASE_PENDING),
        (4, ChangeEventType.SINGLE_PHASE),
        (5, ChangeEventType.SINGLE_PHASE),
        (6, ChangeEventType.SINGLE_PHASE),
        (3, ChangeEventType.TWO_PHASE_EXPIRED),
        (8, ChangeEventType.TWO_PHASE_PENDING),
        (9, ChangeEventType.TWO_PHASE_POSTED),
    ]
    expiry = events[6]
    assert expiry.timestamp == NOW + 2 * SECOND + 1
    assert expiry.transfer.timestamp == NOW + 6
    assert expiry.debit_account == Account(id=2, ledger=1, code=2, flags=8, debits_posted=12, credits_posted=101, timestamp=NOW + 2)
    assert events[0].debit_account == Account(id=1, ledger=1, code=1, debits_posted=100, timestamp=NOW + 1)
    assert events[0].credit_account == Account(id=2, ledger=1, code=2, flags=8, credits_posted=100, timestamp=NOW + 2)
    after = books.get_change_events(timestamp_min=expiry.timestamp, timestamp_max=expiry.timestamp, limit=100)
    assert after == [expiry]
    assert books.get_change_events(timestamp_min=expiry.timestamp + 1, limit=1) == events[7:8]
    assert books.get_change_events(timestamp_min=0, limit=0) == []
    assert books.get_change_events(timestamp_min=NOW + 9, timestamp_max=NOW + 8, limit=10) == []


def test_one_answer_and_one_pulse_hold_at_most_a_batch(engine: Engine) -> None:
    engine.create_accounts([Account(id=1, ledger=1, code=1), Account(id=2, ledger=1, code=1, flags=AccountFlags.HISTORY)], NOW)
    for start in (1, 1 + BATCH_SIZE_MAX):
        batch = range(start, start + BATCH_SIZE_MAX)
        engine.create_transfers([Transfer(n, 1, 2, 1, flags=TransferFlags.PENDING, timeout=1, ledger=1, code=1) for n in batch], NOW)
    assert len(engine.query_transfers(QueryFilter(limit=10_000))) == BATCH_SIZE_MAX
    assert len(engine.get_account_transfers(AccountFilter(account_id=1, limit=10_000))) == BATCH_SIZE_MAX
    assert len(engine.get_account_balances(AccountFilter(account_id=2, limit=10_000))) == BATCH_SIZE_MAX
    assert len(engine.get_change_events(timestamp_min=0, limit=10_000)) == BATCH_SIZE_MAX
    newest = engine.get_account_transfers(AccountFilter(account_id=1, limit=10_000, flags=7))
    assert (newest[0].id, newest[-1].id) == (2 * BATCH_SIZE_MAX, BATCH_SIZE_MAX + 1)

    [result] = engine.create_transfers([Transfer(2**65, 1, 2, 5, ledger=1, code=1)], NOW + 9 * SECOND)
    assert result.status.name == "CREATED"
    assert engine.lookup_accounts([1])[0].debits_pending == BATCH_SIZE_MAX
    assert engine.expire_pending_transfers(NOW + 9 * SECOND) == BATCH_SIZE_MAX
    assert engine.expire_pending_transfers(NOW + 9 * SECOND) == 0
    assert engine.lookup_accounts([1])[0].debits_pending == 0
    events = engine.get_change_events(timestamp_min=NOW + 9 * SECOND, limit=10_000)
    assert [e.transfer.id for e in events if e.type == ChangeEventType.TWO_PHASE_EXPIRED][:3] == [1, 2, 3]


def test_batch_beyond_the_most_is_the_callers_bug(engine: Engine) -> None:
    with pytest.raises(AssertionError):
        engine.create_transfers([Transfer(n) for n in range(BATCH_SIZE_MAX + 1)], NOW)
    with pytest.raises(AssertionError):
        engine.create_accounts([Account(id=n, ledger=1, code=1) for n in range(BATCH_SIZE_MAX + 1)], NOW)


def test_empty_batch_is_nothing(engine: Engine) -> None:
    assert engine.create_accounts([], NOW) == []
    assert engine.create_transfers([], NOW) == []
    assert engine.get_change_events(timestamp_min=0, limit=10) == []
