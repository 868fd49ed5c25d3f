"""The follower tells of the ledger's tables what the engine tells of them, from another connection and while they grow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil import errors
from counterfoil.ledger import postgres_follow
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.postgres_follow import PostgresFollower
from counterfoil.ledger.types import Account, AccountFlags, ChangeEventType, Transfer
from tests.ledger.test_sqlite_follow import CLOSING, LINKED, NOW, PENDING, POST, VOID, account
from tests.postgres import Cluster

_schemas = itertools.count()

Opened = tuple[PostgresEngine, Callable[[], PostgresFollower]]


@pytest.fixture(scope="module")
def new_ledger(postgres: Cluster) -> Callable[..., Opened]:
    """A ledger of its own with accounts, and what follows it."""
    url = postgres.url()

    def make(accounts: int = 4) -> Opened:
        schema = f"followed_{next(_schemas)}"
        engine = PostgresEngine.open(url, schema=schema)
        engine.create_accounts(
            [
                Account(
                    id=account(n), ledger=7, code=10, flags=AccountFlags.HISTORY, user_data_128=2**100, user_data_64=2**64 - 1, user_data_32=9
                )
                for n in range(1, accounts + 1)
            ],
            NOW,
        )  # fmt: skip
        return engine, lambda: PostgresFollower.open(url, schema=schema)

    return make


@pytest.fixture
def ledger(new_ledger: Callable[..., Opened]) -> Iterator[tuple[PostgresEngine, PostgresFollower]]:
    engine, follow = new_ledger()
    with follow() as follower:
        yield engine, follower
    engine.close()


def test_tells_every_kind_of_event_as_the_engine_does(ledger: tuple[PostgresEngine, PostgresFollower]) -> None:
    engine, follower = ledger
    assert (follower.last_event, follower.get_change_events(timestamp_min=1, limit=10)) == (0, [])
    transfers = [
        Transfer(1, account(1), account(2), 50, user_data_128=2**127, user_data_64=2**64 - 1, user_data_32=5, ledger=7, code=1),
        Transfer(2, account(1), account(2), 2**70, ledger=7, code=1),  # wider than a bigint
        Transfer(3, account(2), account(3), 30, timeout=10, ledger=7, code=3, flags=PENDING | LINKED),
        Transfer(4, account(2), account(4), 3, timeout=10, ledger=7, code=2, flags=PENDING),
        Transfer(5, account(2), account(3), 20, timeout=10, ledger=7, code=3, flags=PENDING),
        Transfer(6, account(2), account(3), 20, timeout=10, ledger=7, code=3, flags=PENDING),
        Transfer(7, amount=10, pending_id=5, user_data_128=7, flags=POST),
        Transfer(8, pending_id=6, user_data_128=8, flags=VOID),
        Transfer(9, account(4), account(9), 1, ledger=7, code=1),  # refused, and its id burnt
        Transfer(10, account(4), account(1), 0, ledger=7, code=1, flags=PENDING | CLOSING),
    ]
    engine.create_transfers(transfers, NOW)
    engine.expire_pending_transfers(NOW + 11 * 10**9)
    events = engine.get_change_events(timestamp_min=1, limit=100)
    assert {event.type for event in events} == set(ChangeEventType)
    assert any(event.debit_account.flags & AccountFlags.CLOSED for event in events)
    assert follower.get_change_events(timestamp_min=1, limit=100) == events
    assert follower.last_event == events[-1].timestamp
    middle = events[4].timestamp
    assert follower.get_change_events(timestamp_min=middle, limit=3) == events[4:7]
    assert follower.get_change_events(timestamp_min=1, timestamp_max=middle, limit=100) == events[:5]
    assert follower.get_change_events(timestamp_min=1, limit=0) == []


def test_accounts_are_as_they_were_opened(ledger: tuple[PostgresEngine, PostgresFollower]) -> None:
    engine, follower = ledger
    ids = [account(3), account(9), account(1)]
    assert follower.lookup_accounts(ids) == engine.lookup_accounts(ids)
    assert [found.id for found in follower.lookup_accounts(ids)] == [account(3), account(1)]
    assert follower.lookup_accounts([]) == []


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**65)), max_size=60), st.integers(1, 7))
def test_random_feeds_in_pages_with_hardly_any_memory(
    new_ledger: Callable[..., Opened], moves: list[tuple[int, int, int]], limit: int
) -> None:
    engine, follow = new_ledger(40)
    with pytest.MonkeyPatch.context() as patch, follow() as follower:
        patch.setattr(postgres_follow, "ACCOUNTS_MAX", 5)
        seen, after = [], 0
        for number, (debit, credit, amount) in enumerate(moves, 1):
            engine.create_transfers([Transfer(number, account(debit), account(credit), amount, ledger=7, code=1)], NOW)
            page = follower.get_change_events(timestamp_min=after + 1, limit=limit)
            seen += page
            after = page[-1].timestamp if page else after
        assert seen == engine.get_change_events(timestamp_min=1, limit=100)
    engine.close()


def test_only_a_ledger_is_followed(postgres: Cluster, postgres_url: str, ledger: tuple[PostgresEngine, PostgresFollower]) -> None:
    with pytest.raises(errors.UnknownFormat, match="no ledger in schema"):
        PostgresFollower.open(postgres_url)
    with pytest.raises(errors.Unavailable, match="does not exist"):
        PostgresFollower.open(postgres.url("nowhere"))
    _, follower = ledger
    schema = follower._connector.schema
    postgres.sql(f"UPDATE {schema}.counterfoil_ledger SET version = 2")
    with pytest.raises(errors.UnknownFormat, match="not of version 1"):
        PostgresFollower.open(postgres.url(), schema=schema)


def test_nothing_is_ever_written(ledger: tuple[PostgresEngine, PostgresFollower]) -> None:
    _, follower = ledger
    assert follower._db is not None
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        follower._db.execute("DELETE FROM accounts")


def test_a_connection_that_is_lost_is_unavailable_once(postgres: Cluster, ledger: tuple[PostgresEngine, PostgresFollower]) -> None:
    _, follower = ledger
    assert follower._db is not None
    postgres.sql(f"SELECT pg_terminate_backend({follower._db.info.backend_pid}, 10000)")
    with pytest.raises(errors.Unavailable):
        follower.get_change_events(timestamp_min=1, limit=1)
    assert follower.get_change_events(timestamp_min=1, limit=1) == []
