"""The store's tables over time. `migrate` brings a database to the newest form; `counterfoil migrate` calls it."""

from __future__ import annotations

import functools
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError

from counterfoil.errors import Unavailable, UnknownFormat
from counterfoil.store.database import Store
from counterfoil.store.outages import is_outage, reason


def migrate(store_url: str, revision: str = "head") -> str:
    """Brings the database at `store_url` to the newest form and returns that revision. Does nothing when it is there already.

    All steps happen in one transaction: after a crash the database is in the old form or in the new one. Creates a SQLite
    file that does not exist. Raises Unavailable when the database cannot be opened or is being written to, UnknownFormat when
    a later version of this program has migrated it.
    """
    store = Store.open(store_url)
    try:
        with store.writing() as connection:
            if _form_of(connection) == newest_revision() and revision in ("head", newest_revision()):
                return newest_revision()
            otherwise = _compared_otherwise(connection)
            command.upgrade(configuration(connection), revision)
            _compare_bytes(connection, _compared_otherwise(connection) - otherwise)
            return _form_in(connection) or ""
    except DBAPIError as error:
        advice = "" if is_outage(error) else ": the user of the setting `store` must own the schema (GRANT CREATE ON SCHEMA ... TO ...)"
        raise Unavailable(f"the database cannot be migrated: {reason(error)}{advice}") from error
    finally:
        store.close()


def newest_revision() -> str:
    """The revision that this program's tables have."""
    return _revisions()[0]


@functools.cache
def _revisions() -> list[str]:
    """All forms that this program knows, the newest first. Looking them up loads all migrations, so it is done once a process."""
    return [script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()]


def is_migrated(store_url: str) -> bool:
    """True when the database has exactly this program's tables. Raises Unavailable when it cannot be opened."""
    store = Store.open(store_url)
    try:
        with store.writing() as connection:
            return _form_in(connection) == newest_revision()
    except DBAPIError as error:
        raise Unavailable(f"the database cannot be read: {reason(error)}") from error
    finally:
        store.close()


def _form_in(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _form_of(connection: Connection) -> str | None:
    """The form of a database, None for an empty one. UnknownFormat for one that we do not know: whatever its tables look like."""
    found = _form_in(connection)
    if found is not None and found not in _revisions():
        raise UnknownFormat(
            f"the store has the form {found}, and this version knows none later than {newest_revision()}: "
            "run the version that wrote it, or a later one, or restore a backup from before"
        )
    return found


def _compared_otherwise(connection: Connection) -> set[tuple[str, str, str]]:
    """Text columns (table, column, type) that PostgreSQL compares by some language's rules, which change with its machine's libraries."""
    if connection.dialect.name != "postgresql":
        return set()
    return {(row[0], row[1], row[2]) for row in connection.execute(_OTHERWISE)}


def _compare_bytes(connection: Connection, columns: set[tuple[str, str, str]]) -> None:
    """Makes columns compare and sort byte by byte, as on SQLite."""
    quote = connection.dialect.identifier_preparer.quote
    for table in sorted({table for table, _, _ in columns}):
        changes = [f'ALTER {quote(c)} TYPE {kind} COLLATE "C"' for t, c, kind in sorted(columns) if t == table]
        connection.exec_driver_sql(f"ALTER TABLE {quote(table)} {', '.join(changes)}")


_OTHERWISE = text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation o ON o.oid = a.attcollation
    WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND NOT a.attisdropped AND o.collname <> 'C'
""")


def configuration(connection: Connection | None = None, target: MetaData | None = None) -> Config:
    """Alembic's configuration without a file. `target` is only wanted to write a new migration, or to compare."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["target"] = target
    return config
