"""Migrating an empty database, or any older one, gives exactly the tables that the program works with."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

import counterfoil
from counterfoil.errors import Unavailable, UnknownFormat
from counterfoil.store.database import Store
from counterfoil.store.migrations import _compare_bytes, _compared_otherwise, configuration, is_migrated, migrate, newest_revision
from counterfoil.store.schema import metadata
from tests.postgres import Cluster
from tests.store.conftest import BOTH


def import_all_tables() -> None:
    """Every module of the program, so that no table can be forgotten."""
    for module in pkgutil.walk_packages(counterfoil.__path__, "counterfoil."):
        if not module.name.endswith(("__main__", "migrations.env")) and ".versions." not in module.name:
            importlib.import_module(module.name)


CASTS = re.compile(r"::(text\[\]|text|character varying)")
"""PostgreSQL writes them elsewhere in a CHECK that was there when its column's collation was set, and means the same."""
REVISIONS = tuple(f"{number:04}" for number in range(1, 23))
"""All but the newest."""


@pytest.fixture(params=BOTH)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes empty databases of one kind."""
    if request.param == "sqlite":
        numbers = iter(range(1_000))
        yield lambda: f"sqlite:///{tmp_path}/store-{next(numbers)}.sqlite"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        yield cluster.new_database


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.sqlite"


def look(url: str, fn: object) -> object:
    store = Store.open(url)
    try:
        with store.writing() as connection:
            return fn(connection)  # type: ignore[operator]
    finally:
        store.close()


def create_all(connection: Connection) -> None:
    metadata.create_all(connection)
    _compare_bytes(connection, _compared_otherwise(connection))


def described(connection: Connection) -> dict[str, object]:
    """All that a database says of its tables and that matters to us, CHECKs included."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": sorted(
                (c["name"], str(c["type"]).removesuffix(' COLLATE "C"'), c["nullable"]) for c in inspector.get_columns(table)
            ),
            "primary_key": inspector.get_pk_constraint(table)["constrained_columns"],
            "foreign_keys": sorted(
                (f["name"], f["constrained_columns"], f["referred_table"], f["referred_columns"]) for f in inspector.get_foreign_keys(table)
            ),
            "unique": sorted((u["name"], u["column_names"]) for u in inspector.get_unique_constraints(table)),
            "checks": sorted((c["name"], CASTS.sub("", " ".join(c["sqltext"].split()))) for c in inspector.get_check_constraints(table)),
            "indexes": sorted((i["name"], i["column_names"], bool(i["unique"])) for i in inspector.get_indexes(table)),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_upgrading_to_the_newest_form_gives_the_tables_of_the_program(new_url: Callable[[], str]) -> None:
    import_all_tables()
    assert len(metadata.tables) > 20
    url, fresh = new_url(), new_url()
    assert migrate(url) == newest_revision()
    difference = look(url, lambda c: compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), metadata))
    assert difference == []
    look(fresh, create_all)
    tables = look(url, described)
    assert tables == look(fresh, described)
    older = new_url()
    for revision in REVISIONS:
        assert migrate(older, revision) == revision
        assert not is_migrated(older)
    assert migrate(older) == newest_revision()
    assert look(older, described) == tables, "version by version"


def test_what_waits_for_a_code_by_text_is_kept_when_its_table_is_made_anew(url: str) -> None:
    migrate(url, "0013")
    row = "(decode_id, '+254700000001', 'pay', '4821', decode_id, 1, 2, 'open')".replace("decode_id", "CAST('0123456789abcdef' AS {})")
    kind = "BLOB" if url.startswith("sqlite") else "BYTEA"
    look(url, lambda connection: connection.exec_driver_sql(f"INSERT INTO sms_drafts VALUES {row.format(kind, kind)}"))
    migrate(url)
    query = "SELECT number, kind, code, outcome FROM sms_drafts"
    assert look(url, lambda connection: connection.exec_driver_sql(query).all()) == [("+254700000001", "pay", "4821", "open")]


def test_there_is_no_other_version() -> None:
    assert (*REVISIONS, newest_revision()) == tuple(
        sorted(script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions())
    )


def test_a_database_of_a_later_version_is_refused_and_left_as_it_is(url: str) -> None:
    migrate(url)
    look(url, lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    assert not is_migrated(url)
    with pytest.raises(UnknownFormat, match=f"9999.*{newest_revision()}"):
        migrate(url)
    assert look(url, lambda c: c.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()) == "9999"


def test_text_sorts_and_compares_by_its_bytes_whatever_language_the_server_speaks(postgres: Cluster) -> None:
    """As on SQLite; and no index is spoilt by another version of the server's libraries."""
    postgres.sql("CREATE DATABASE of_words TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'")
    url = postgres.url("of_words")
    migrate(url)

    def names(connection: Connection) -> list[str]:
        for name in ("b", "A", "a", "B", "É", "가", "_"):
            row = f"('{name}', 'k', 1, 1, 1, 1)"
            connection.exec_driver_sql(f"INSERT INTO tiers (name, kind, per_payment, per_day, per_month, balance_max) VALUES {row}")
        return list(connection.exec_driver_sql("SELECT name FROM tiers WHERE name > 'A' ORDER BY name").scalars())

    assert look(url, names) == ["B", "_", "a", "b", "É", "가"]
    assert migrate(url) == newest_revision()
    assert look(url, _compared_otherwise) == set()


def test_migrating_twice_changes_nothing(url: str) -> None:
    migrate(url)
    before = look(url, described)
    assert is_migrated(url)
    assert migrate(url) == newest_revision()
    assert look(url, described) == before


def test_the_journal_of_a_folder_that_is_there_keeps_its_order_and_its_numbers(sqlite_url: str) -> None:
    """Whatever the clock said, and also where a row is missing: the publisher's position is one of these numbers."""
    url = sqlite_url
    migrate(url, "0001")

    def write(connection: Connection) -> None:
        connection.exec_driver_sql(
            "INSERT INTO parties (id, kind, name, language, state, created_at) VALUES (zeroblob(16), 'staff', 'A', 'en', 'open', 1)"
        )
        for event, at in ((9, 300), (4, 100), (7, 200), (1, 50)):
            row = (event.to_bytes(16), bytes(16), "opened", "{}", at)
            connection.exec_driver_sql("INSERT INTO party_events (id, party, kind, facts, at) VALUES (?, ?, ?, ?, ?)", row)
        connection.exec_driver_sql("DELETE FROM party_events WHERE at = 100")

    with contextlib.closing(Store.open(url)) as store, store.writing() as connection:
        write(connection)
    assert migrate(url) == newest_revision()
    rows = look(url, lambda connection: connection.exec_driver_sql("SELECT number, id FROM party_events ORDER BY number").all())
    assert [(number, int.from_bytes(event)) for number, event in rows] == [(1, 9), (3, 7), (4, 1)]  # type: ignore[attr-defined]


def test_an_empty_database_is_not_migrated(url: str) -> None:
    Store.open(url).close()
    assert not is_migrated(url)


def test_a_migration_that_breaks_off_leaves_the_old_form(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look(url, lambda connection: connection.exec_driver_sql("CREATE TABLE tiers (mine INTEGER)"))  # in the way of ours
    with pytest.raises(Unavailable):
        migrate(url)
    assert look(url, lambda connection: inspect(connection).get_table_names()) == ["tiers"]


def test_a_database_in_use_is_not_migrated(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = sqlite_url
    Store.open(url).close()
    monkeypatch.setattr("counterfoil.store.database.LOCK_WAIT_S_MAX", 0.1)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        migrate(url)
    other.close()
    migrate(url)
