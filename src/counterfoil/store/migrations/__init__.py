"""The store's tables over time. `migrate` brings a database to the newest form; `counterfoil migrate` calls it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import DBAPIError

from counterfoil.errors import Unavailable
from counterfoil.store.database import Store


def migrate(store_url: str, revision: str = "head") -> str:
    """Brings the database at `store_url` to the newest form and returns that revision. Does nothing when it is there already.

    All steps happen in one transaction: after a crash the database is in the old form or in the new one. Creates a SQLite
    file that does not exist. Raises Unavailable when the database cannot be opened or is being written to.
    """
    store = Store.open(store_url)
    try:
        with store.writing() as connection:
            command.upgrade(configuration(connection), revision)
            return MigrationContext.configure(connection).get_current_revision() or ""
    except DBAPIError as error:
        raise Unavailable(f"the database cannot be migrated: {error.orig}") from error
    finally:
        store.close()


def newest_revision() -> str:
    """The revision that this program's tables have."""
    return ScriptDirectory.from_config(configuration()).get_current_head() or ""


def is_migrated(store_url: str) -> bool:
    """True when the database has exactly this program's tables. Raises Unavailable when it cannot be opened."""
    store = Store.open(store_url)
    try:
        with store.writing() as connection:
            return MigrationContext.configure(connection).get_current_revision() == newest_revision()
    except DBAPIError as error:
        raise Unavailable(f"the database cannot be read: {error.orig}") from error
    finally:
        store.close()


def configuration(connection: Connection | None = None, target: MetaData | None = None) -> Config:
    """Alembic's configuration without a file. `target` is only wanted to write a new migration, or to compare."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["target"] = target
    return config
