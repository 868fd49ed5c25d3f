"""The ledger read from beside whoever writes it, in this or another process, by the engine that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from counterfoil.config import Config, cluster_of
from counterfoil.folder import ledger_path
from counterfoil.ledger.sqlite_follow import SqliteFollower
from counterfoil.ledger.types import Account, ChangeEvent
from counterfoil.store.database import missing_driver


class LedgerFollower(Protocol):
    """The feed, and accounts as they were opened. Has one caller at a time; every read raises Unavailable when it gets no answer."""

    @property
    def last_event(self) -> int:
        """Timestamp of the newest event, ns; 0 before the first."""
        ...

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]: ...

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def follow(config: Config) -> LedgerFollower:
    """Opens the ledger for reading. Whoever writes it must have made it. Raises Unavailable, UnknownFormat or Refused when it cannot."""
    try:
        if config.ledger.startswith("postgresql://"):
            from counterfoil.ledger.postgres_follow import PostgresFollower

            return PostgresFollower.open(config.ledger)
        if config.ledger:
            from counterfoil.ledger.tigerbeetle_reads import TigerBeetleFollower

            return TigerBeetleFollower.open(*cluster_of(config.ledger))
    except ModuleNotFoundError as error:
        raise missing_driver(error) from None
    return SqliteFollower.open(ledger_path(config))
