"""The ledger of a scheme on the engine that its settings name: the only module that knows the engines by name.

open_newest     for the server: refuses a ledger that has lost what its log knows
open_engine     for commands that hold the folder
open_movable    for a move from one engine to another
follow_ledger   for reading beside whoever writes it
"""

from __future__ import annotations

from counterfoil.config import Config, cluster_of
from counterfoil.folder import ledger_path, newest_path, openings_path
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.movable import Movable
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.payments.openings import refuse_older
from counterfoil.publishing.ledger import LedgerFollower, follow
from counterfoil.store.database import missing_driver


def open_engine(config: Config) -> Engine:
    """The ledger of the scheme, on the engine that the settings name. Only for the process that holds the folder.

    Raises Unavailable when it cannot be reached or another process writes it, Refused when it cannot be worked with.
    """
    try:
        if config.ledger.startswith("postgresql://"):
            from counterfoil.ledger.postgres import PostgresEngine

            return PostgresEngine.open(config.ledger)
        if config.ledger:
            from counterfoil.ledger.tigerbeetle import TigerBeetleEngine

            return TigerBeetleEngine.open(*cluster_of(config.ledger), mark=newest_path(config))
    except ModuleNotFoundError as error:
        raise missing_driver(error) from None
    return SqliteEngine.open(ledger_path(config))


def open_newest(config: Config) -> Engine:
    """As `open_engine`; Conflict where the log has movements that the ledger does not know."""
    engine = open_engine(config)
    try:
        refuse_older(engine.last_timestamp, openings_path(config))
    except BaseException:
        engine.close()
        raise
    return engine


def open_movable(config: Config, *, in_use: bool) -> Movable:
    """The ledger of the scheme for a move. Opens, and raises, as `open_engine` does. `in_use`: it is the scheme's, so it may not have lost anything."""
    try:
        if config.ledger.startswith("postgresql://"):
            from counterfoil.ledger.postgres import PostgresEngine

            return PostgresEngine.open(config.ledger)
        if config.ledger:
            from counterfoil.ledger.tigerbeetle_move import TigerBeetlePlace

            return TigerBeetlePlace.open(*cluster_of(config.ledger), mark=newest_path(config) if in_use else None)
    except ModuleNotFoundError as error:
        raise missing_driver(error) from None
    return SqliteEngine.open(ledger_path(config))


def follow_ledger(config: Config) -> LedgerFollower:
    """The ledger of the scheme, for reading beside whoever writes it."""
    return follow(config)
