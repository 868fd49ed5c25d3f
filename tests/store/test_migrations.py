"""Migrating an empty database, or any older one, gives exactly the tables that the program works with."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

import counterfoil
from counterfoil.errors import Unavailable
from counterfoil.store.database import Store
from counterfoil.store.migrations import is_migrated, migrate, newest_revision
from counterfoil.store.schema import metadata


def import_all_tables() -> None:
    """Every module of the program, so that no table can be forgotten."""
    for module in pkgutil.walk_packages(counterfoil.__path__, "counterfoil."):
        if not module.name.endswith(("__main__", "migrations.env")) and ".versions." not in module.name:
            importlib.import_module(module.name)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.sqlite"


def look(url: str, fn: object) -> object:
    store = Store.open(url)
    try:
        with store.writing() as connection:
            return fn(connection)  # type: ignore[operator]
    finally:
        store.close()


def described(connection: Connection) -> dict[str, object]:
    """All that a database says of its tables and that matters to us, CHECKs included."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": sorted((c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)),
            "primary_key": inspector.get_pk_constraint(table)["constrained_columns"],
            "foreign_keys": sorted(
                (f["name"], f["constrained_columns"], f["referred_table"], f["referred_columns"]) for f in inspector.get_foreign_keys(table)
            ),
            "unique": sorted((u["name"], u["column_names"]) for u in inspector.get_unique_constraints(table)),
            "checks": sorted((c["name"], " ".join(c["sqltext"].split())) for c in inspector.get_check_constraints(table)),
            "indexes": sorted((i["name"], i["column_names"], bool(i["unique"])) for i in inspector.get_indexes(table)),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_upgrading_to_the_newest_form_gives_the_tables_of_the_program(url: str, tmp_path: Path) -> None:
    import_all_tables()
    assert len(metadata.tables) > 20
    assert migrate(url) == newest_revision()
    difference = look(url, lambda c: compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), metadata))
    assert difference == []
    fresh = f"sqlite:///{tmp_path}/fresh.sqlite"
    look(fresh, metadata.create_all)
    assert look(url, described) == look(fresh, described)


def test_migrating_twice_changes_nothing(url: str) -> None:
    migrate(url)
    before = look(url, described)
    assert is_migrated(url)
    assert migrate(url) == newest_revision()
    assert look(url, described) == before


def test_the_journal_of_a_folder_that_is_there_keeps_its_order_and_its_numbers(url: str) -> None:
    """Whatever the clock said, and also where a row is missing: the publisher's position is one of these numbers."""
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


def test_a_database_in_use_is_not_migrated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(url).close()
    monkeypatch.setattr("counterfoil.store.database.LOCK_WAIT_S_MAX", 0.1)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        migrate(url)
    other.close()
    migrate(url)
