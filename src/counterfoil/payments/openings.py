"""What opens the log's entries: payloads, the keys of the salts, the order in which entries were assigned, and where all chains stand.

    entries   one row per entry: its step, payloads of roles 3 and 4, and for each account the index of the entry before it
    heads     the newest entry of each account       keys     in force, by account       frozen   freezes not lifted
    days      32 random bytes per UTC day, from which all salts of the day follow; deleting them erases what the entries said
    state     up to where ledger and parties were published

One SQLite file, written by the publisher alone: a page of entries, and all that changes with it, is one transaction that is
on the disk before the log hears of it. Others read beside it (`Openings.reading`).
"""

# ruff: noqa: S608 - statements are put together from constants of this module, never from what somebody sent

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import msgspec

from counterfoil import errors
from counterfoil.payments.publish.build import DAY_NS, Row, views_of
from counterfoil.payments.publish.chains import Chains, Changed, FrozenAccounts, Head
from counterfoil.payments.types import AuthorisationClass
from counterfoil.payments.views import KeyChange
from counterfoil.tlog.entry import EntryType, Views

APPLICATION_ID: Final = 0x43464F50  # "CFOP", read by file(1)
VERSION: Final = 1
EXPORT_HEADER: Final = b"counterfoil/openings/v1\n"
_BUSY_TIMEOUT_S: Final = 5.0
_PART: Final = 512
"""Rows in one statement, and in one page of an export."""
_PREVIOUS: Final = struct.Struct(">16sq")

_TABLES: Final = (
    """
    CREATE TABLE entries (
        number INTEGER PRIMARY KEY CHECK (number >= 0),
        type INTEGER NOT NULL CHECK (type BETWEEN 1 AND 10),
        time INTEGER NOT NULL CHECK (time >= 0),
        source BLOB NOT NULL,
        payment BLOB CHECK (length(payment) = 16),
        accounts BLOB NOT NULL CHECK (length(accounts) % 24 = 0),
        audit BLOB NOT NULL,
        public BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX entries_payment ON entries (payment) WHERE payment IS NOT NULL",
    "CREATE INDEX entries_rules ON entries (number) WHERE type = 5",
    """
    CREATE TABLE heads (
        account BLOB PRIMARY KEY CHECK (length(account) = 16),
        seq INTEGER NOT NULL CHECK (seq > 0),
        leaf BLOB NOT NULL CHECK (length(leaf) = 32),
        number INTEGER NOT NULL,
        balance INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE keys (
        account BLOB NOT NULL, place INTEGER NOT NULL, device BLOB NOT NULL CHECK (length(device) = 16), PRIMARY KEY (account, place)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE frozen (freeze BLOB PRIMARY KEY, accounts BLOB NOT NULL, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE days (day INTEGER PRIMARY KEY, key BLOB NOT NULL CHECK (length(key) = 32)) STRICT",
    """
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        ledger INTEGER NOT NULL CHECK (ledger >= 0),
        parties INTEGER NOT NULL CHECK (parties >= 0)
    ) STRICT
    """,
    "INSERT INTO state VALUES (1, 0, 0)",
)
_ENTRY: Final = "number, type, time, source, payment, accounts, audit, public"


class Position(msgspec.Struct, frozen=True):
    """Up to where was published: ledger time (ns), and number of the parties' journal."""

    ledger: int = 0
    parties: int = 0


def refuse_older(last_timestamp: int, path: Path) -> None:
    """Raises Conflict where the log, whose openings are at `path`, has movements later than the ledger's `last_timestamp`, ns."""
    if not path.exists():
        return
    with Openings.reading(path) as openings:
        published = openings.position.ledger
    if published > last_timestamp:
        raise errors.Conflict(
            f"The ledger knows nothing after {last_timestamp}, but the public log has a movement of {published}: it seems that the ledger "
            "was restored from an old backup, or that it is another scheme's. Restore the newest one."
        )


class KeptEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry as it was published; fields as in `publish.build.Row`."""

    index: int
    type: EntryType
    time: int
    source: bytes
    payment: int
    accounts: tuple[tuple[int, int], ...]
    audit: bytes
    public: bytes


class Openings:
    """The file. Has one caller at a time; raises Unavailable when the file cannot be read or written at the moment."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    def writing(cls, path: Path) -> Openings:
        """For the publisher: makes the file, readable by its owner only, if there is none. UnknownFormat for another program's."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise errors.Unavailable(f"{path} cannot be written: {error.strerror}") from error
        return cls._open(path, write=True)

    @classmethod
    def reading(cls, path: Path) -> Openings:
        """For everybody else. Raises Unavailable when there is no such file."""
        return cls._open(path, write=False)

    @classmethod
    def _open(cls, path: Path, *, write: bool) -> Openings:
        try:
            db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
            )
            try:
                openings = cls(db)
                openings._prepare(path, write=write)
            except BaseException:
                db.close()
                raise
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise errors.UnknownFormat(f"{path} is not a file of openings.") from error
            raise errors.Unavailable(f"{path} cannot be opened: {error}.") from error
        return openings

    def _prepare(self, path: Path, *, write: bool) -> None:
        db = self._db
        if write:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # before the log hears of an entry, its opening is on the disk
            db.execute("PRAGMA fullfsync = ON")
            with self._transaction():
                if db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                    for statement in _TABLES:
                        db.execute(statement)
                    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    db.execute(f"PRAGMA user_version = {VERSION}")
        else:
            db.execute("PRAGMA query_only = ON")
        (application_id,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if (application_id, version) == (0, 0):
            raise errors.Unavailable(f"{path} is being made at this moment")
        if (application_id, version) != (APPLICATION_ID, VERSION):
            raise errors.UnknownFormat(f"{path} is not a file of openings of version {VERSION}", version=version)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Writing

    def keep(self, rows: Sequence[Row], changed: Changed, chains: Chains, days: Mapping[int, bytes], position: Position) -> None:
        """A page: all of it durable on return, or none of it. `days`: keys that are new with this page."""
        entries = [
            (
                row.index, row.type, row.time, row.source, row.payment.to_bytes(16) if row.payment else None,
                b"".join([_PREVIOUS.pack(account.to_bytes(16), before) for account, before in row.accounts]), row.audit, row.public,
            )
            for row in rows
        ]  # fmt: skip
        heads = []
        for account in changed.heads:
            head = chains.head(account)
            assert head is not None, account
            heads.append((account.to_bytes(16), head.seq, head.leaf, head.index, head.balance))
        with self._transaction():
            db = self._db
            db.executemany("INSERT INTO days VALUES (?, ?)", days.items())
            db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", entries)
            db.executemany("REPLACE INTO heads VALUES (?, ?, ?, ?, ?)", sorted(heads))
            for account, devices in changed.keys.items():
                key = account.to_bytes(16)
                db.execute("DELETE FROM keys WHERE account = ?", (key,))
                db.executemany("INSERT INTO keys VALUES (?, ?, ?)", [(key, n, device.to_bytes(16)) for n, device in enumerate(devices)])
            for freeze, terms in changed.frozen.items():
                db.execute("DELETE FROM frozen WHERE freeze = ?", (freeze.to_bytes(16),))
                if terms is not None:
                    accounts = b"".join([account.to_bytes(16) for account in terms.accounts])
                    db.execute("INSERT INTO frozen VALUES (?, ?, ?)", (freeze.to_bytes(16), accounts, terms.expires_at))
            db.execute("UPDATE state SET ledger = ?, parties = ?", (position.ledger, position.parties))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            raise errors.Unavailable(f"The openings cannot be written at the moment: {error}.") from error

    # Reading

    @property
    def size(self) -> int:
        """Entries kept: their indexes are 0 to `size` - 1."""
        return int(self._one("SELECT coalesce(max(number) + 1, 0) FROM entries")[0])

    @property
    def position(self) -> Position:
        return Position(*self._one("SELECT ledger, parties FROM state"))

    def rules(self) -> bytes | None:
        """The newest rules document of the log; None before the first entry."""
        found = self._all("SELECT public FROM entries WHERE type = 5 ORDER BY number DESC LIMIT 1")
        return None if not found else bytes(found[0][0])

    def entries(self, first: int, limit: int = _PART) -> list[KeptEntry]:
        """Entries from index `first` on, in order, at most `limit`."""
        return [_kept(row) for row in self._all(f"SELECT {_ENTRY} FROM entries WHERE number >= ? ORDER BY number LIMIT ?", (first, limit))]

    def entry(self, index: int) -> KeptEntry | None:
        found = self._all(f"SELECT {_ENTRY} FROM entries WHERE number = ?", (index,))
        return _kept(found[0]) if found else None

    def entries_of_payment(self, payment: int) -> list[KeptEntry]:
        """The entries of one payment, oldest first: mostly one; a hold that expired has more."""
        return [_kept(row) for row in self._all(f"SELECT {_ENTRY} FROM entries WHERE payment = ? ORDER BY number", (payment.to_bytes(16),))]

    def entries_of_account(self, account: int, *, before: int | None = None, limit: int = 100) -> list[KeptEntry]:
        """The account's chain backwards: its newest entries, or those before index `before` (one of its own), at most `limit`."""
        index = -1
        if before is not None:
            entry = self.entry(before)
            index = dict(entry.accounts).get(account, -1) if entry is not None else -1
        elif head := self.heads([account]).get(account):
            index = head.index
        found: list[KeptEntry] = []
        while index >= 0 and len(found) < limit:
            entry = self.entry(index)
            assert entry is not None, index
            found.append(entry)
            index = dict(entry.accounts)[account]
        return found

    def by_pin(self, first: int, end: int, limit: int) -> list[KeptEntry]:
        """What was done or set aside by PIN, and countersignatures of it, from index `first` to before `end`, in order."""
        debits = f"type = 1 AND substr(audit, 1, 1) <= x'01' AND substr(audit, 3, 1) = x'{AuthorisationClass.PIN:02x}'"
        words = f"type = 4 AND substr(audit, 1, 1) = x'{KeyChange.COUNTERSIGNED:02x}'"
        query = f"SELECT {_ENTRY} FROM entries WHERE number >= ? AND number < ? AND ({debits} OR {words}) ORDER BY number LIMIT ?"
        return [_kept(row) for row in self._all(query, (first, end, limit))]

    def first_since(self, time: int) -> int:
        """The index of the first entry at `time` (ns) or later, or the next one's. Where times go back, one that is not far from it."""
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            found = self._all("SELECT time FROM entries WHERE number = ?", (middle,))
            low, high = (middle + 1, high) if found[0][0] < time else (low, middle)
        return low

    def views(self, entry: KeptEntry) -> Views | None:
        """The four views of an entry; None when the key of its day was erased."""
        key = self.day_key(entry.time // DAY_NS)
        return None if key is None else views_of(key, entry.index, entry.type, entry.audit, entry.public)

    def day_key(self, day: int) -> bytes | None:
        """The key of a UTC day (days since 1970), if the day has entries and its key was not erased."""
        found = self._all("SELECT key FROM days WHERE day = ?", (day,))
        return bytes(found[0][0]) if found else None

    def heads(self, accounts: Collection[int]) -> dict[int, Head]:
        """The newest entries of those `accounts` that have one."""
        found = {}
        keys = sorted([account.to_bytes(16) for account in accounts])
        for start in range(0, len(keys), _PART):
            part = keys[start : start + _PART]
            part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))  # few different statements, so that they stay prepared
            query = f"SELECT account, seq, leaf, number, balance FROM heads WHERE account IN ({', '.join('?' * len(part))})"
            for account, *head in self._all(query, part):
                found[int.from_bytes(account)] = Head(*head)
        return found

    def keys(self, account: int) -> list[int]:
        """Devices whose keys are in force, in the order in which they were bound."""
        rows = self._all("SELECT device FROM keys WHERE account = ? ORDER BY place", (account.to_bytes(16),))
        return [int.from_bytes(device) for (device,) in rows]

    def frozen(self) -> dict[int, FrozenAccounts]:
        """Freezes that were not lifted, by id."""
        found = {}
        for freeze, data, expires_at in self._all("SELECT freeze, accounts, expires_at FROM frozen"):
            accounts = tuple([int.from_bytes(data[at : at + 16]) for at in range(0, len(data), 16)])
            found[int.from_bytes(freeze)] = FrozenAccounts(accounts, expires_at)
        return found

    def _one(self, query: str) -> tuple[Any, ...]:
        (row,) = self._all(query)
        return row

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            raise errors.Unavailable(f"The openings cannot be read at the moment: {error}.") from error


def _kept(row: tuple[Any, ...]) -> KeptEntry:
    index, type, time, source, payment, data, audit, public = row  # noqa: A001
    accounts = tuple([(int.from_bytes(account), before) for account, before in _PREVIOUS.iter_unpack(data)])
    return KeptEntry(index, EntryType(type), time, source, int.from_bytes(payment or b""), accounts, audit, public)


def export_openings(openings: Openings, file: BinaryIO, first: int = 0, *, size: int | None = None) -> int:
    """Writes the openings from index `first` up to `size` (default: all there are) for an auditor; returns how many.

    The stream of docs/reference/log.md, "Auditor's openings". Memory does not grow with it. Malformed when `first` is beyond
    the end; Unavailable when the key of an entry's day was erased.
    """
    end = openings.size if size is None else size
    if not 0 <= first <= end <= openings.size:
        raise errors.Malformed("first", f"must be 0 to {openings.size}")
    file.write(EXPORT_HEADER)
    index = first
    while index < end:
        page = openings.entries(index, min(_PART, end - index))
        for entry in page:
            views = openings.views(entry)
            if views is None:
                raise errors.Unavailable(f"the key that opens entry {entry.index} was erased")
            record = b"".join((
                entry.index.to_bytes(8), entry.type.to_bytes(1), *views.salts, len(entry.audit).to_bytes(4), entry.audit, entry.public,
            ))  # fmt: skip
            file.write(len(record).to_bytes(4) + record)
        index += len(page)
    return end - first
