"""Which errors of a database are the machine's trouble, to be waited out, and which are our bugs."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

SQLITE_OUTAGES: Final = frozenset({5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26})
"""SQLite result codes: busy, locked, out of memory, read-only, interrupted, I/O error, corrupt, full, cannot open, lock protocol,
not a database. Source: sqlite.org/rescode.html"""
SQLITE_BUSY: Final = 5

POSTGRES_OUTAGES: Final = ("08", "25006", "25P03", "25P04", "40", "53", "55P03", "57", "58", "XX")
"""How the SQLSTATEs begin: connection lost, read-only (a standby), idle for too long, rolled back by the server, no room or memory
or connection left, lock not free in time, cancelled or shutting down, I/O error, internal. Source: PostgreSQL's manual, appendix A"""


def is_outage(error: DBAPIError) -> bool:
    """True for the machine's trouble (full, locked, gone), false for a statement that is wrong or a constraint that holds."""
    if code := sqlite_code(error):
        return code in SQLITE_OUTAGES
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state.startswith(POSTGRES_OUTAGES)
    # Without a SQLSTATE it is not the server that speaks: the connection was refused, cut or closed.
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))


def sqlite_code(error: DBAPIError) -> int:
    """SQLite's primary result code; 0 for other databases."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


def reason(error: DBAPIError) -> str:
    """The database's own words on one line. They name no user and no password once a connection stands."""
    return " ".join(str(error.orig).split())
