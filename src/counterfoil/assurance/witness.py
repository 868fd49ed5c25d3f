"""A witness: cosigns a log's heads, and never two that contradict each other. Source: C2SP tlog-witness v1.0.0, tlog-cosignature.

    request    "old <size>\\n", up to 63 proof lines, an empty line, the checkpoint
    checks     in this order:
        400    the request is not in that form
        404    the checkpoint's origin is not one of our logs
        403    no signature by a key of that log, or one that fails
        400    the old size is above the checkpoint's
        409    the old size is not the last one cosigned: the body is that size
        422    the checkpoint does not continue what was cosigned before
        200    the body is the cosignature

Comparing with the last head and replacing it is one transaction of a SQLite file that is on the disk before the answer
leaves: whatever dies in between, and however many threads or processes share the file, a later head continues every
earlier one. The cosignature's time is taken within the transaction, so that "at T this was the largest tree that I had
seen" holds among requests that arrive together.

The file is the witness's memory. With the key and without the memory a witness could be made to cosign a second history,
so `open` makes memory and key together and refuses a key whose memory is missing.

A checkpoint with extension lines is refused (400): nobody audits them.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Malformed, Unavailable, UnknownFormat
from counterfoil.tlog.cosignature import cosign
from counterfoil.tlog.merkle import EMPTY_ROOT, verify_consistency
from counterfoil.tlog.note import Note, Signature, Signer, VerifierKey
from counterfoil.tlog.text import decode_utf8, parse_decimal, parse_hash
from counterfoil.tlog.types import NotProven

FILE_NAME = "heads.sqlite"
PROOF_LINES_MAX = 63
"""Lines of a consistency proof: enough for 2^63 entries."""
REQUEST_SIZE_MAX = 131_072
"""Bytes of a request: a full proof and a checkpoint with 25 signatures of the largest kind in use (ML-DSA-44)."""
BUSY_TIMEOUT_S = 10.0
"""Seconds that a request waits for another process that holds the file."""
APPLICATION_ID = 0x43465754
VERSION = 1

TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"

_OLD = re.compile(rb"old (0|[1-9][0-9]{0,18})", re.ASCII)
_TABLE = """
CREATE TABLE heads (
    origin TEXT PRIMARY KEY,
    origin_hash TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB NOT NULL CHECK (length(root) = 32),
    time_s INTEGER NOT NULL,
    note BLOB NOT NULL
) STRICT
"""


class Verdict(msgspec.Struct, frozen=True):
    """The answer to a request: an HTTP status and a body."""

    status: int
    body: bytes
    media_type: str = TEXT


class Seen(msgspec.Struct, frozen=True):
    """The largest head cosigned of one log.

    Attributes:
        origin: the log.
        size: its entries; `root` is their Merkle root.
        time_s: seconds since 1970, of the newest cosignature.
    """

    origin: str
    size: int
    root: bytes
    time_s: int


class Request(msgspec.Struct, frozen=True):
    """A request, parsed and not yet believed: the size cosigned last, the proof, and the note with what it says."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note
    origin: str
    size: int
    root: bytes


class Witness:
    """Made by `open`. Threads may share one, and processes may share its folder."""

    def __init__(self, db: sqlite3.Connection, signer: Signer, logs: Sequence[VerifierKey], clock: Clock) -> None:
        self.signer = signer
        self.logs = tuple(logs)
        self._db = db
        self._clock = clock
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path, signer: Signer, logs: Sequence[VerifierKey], clock: Clock) -> Witness:
        """The witness whose memory is in `folder` (`remember` made it). `logs`: the keys to believe; a key's name is its log's origin.

        Raises Unavailable when the memory is missing or cannot be opened, UnknownFormat when the file is something else.
        """
        if not (folder / FILE_NAME).is_file():
            raise Unavailable(f"{folder / FILE_NAME} is missing: a witness that has forgotten what it cosigned must take a new key")
        try:
            return cls(_open(folder / FILE_NAME, new=False), signer, logs, clock)
        except sqlite3.Error as error:
            raise Unavailable(f"{folder / FILE_NAME} cannot be opened: {error}") from error

    @property
    def vkey(self) -> str:
        """The public key that others pin."""
        return str(self.signer.vkey)

    def add_checkpoint(self, body: bytes) -> Verdict:
        """Checks a request, remembers its checkpoint and cosigns it, or says why not. Safe to repeat.

        Raises Unavailable when the memory cannot be read or written: then nothing was cosigned.
        """
        try:
            request = parse_request(body)
        except Malformed as error:
            return _refused(400, error.detail)
        keys = [key for key in self.logs if key.name == request.origin]
        if not keys:
            return _refused(404, "this log is not one that we witness")
        try:
            signatures = [signature for _, signature in request.note.verified_by(keys)]
        except NotProven:
            return _refused(403, "no signature by a key of this log")
        except Malformed as error:
            return _refused(403, error.detail)
        if request.old_size > request.size:
            return _refused(400, "old: must not be above the checkpoint's size")
        try:
            return self._advance(request, signatures)
        except sqlite3.Error as error:
            raise Unavailable(f"the witness's memory cannot be used: {error}") from error

    def _advance(self, request: Request, signatures: Sequence[Signature]) -> Verdict:
        with self._transaction() as db:
            row = db.execute("SELECT size, root FROM heads WHERE origin = ?", (request.origin,)).fetchone()
            size, root = row or (0, EMPTY_ROOT)
            if request.old_size != size:
                return Verdict(409, b"%d\n" % size, SIZE)
            try:
                check_continues(size, root, request)
            except NotProven as error:
                return _refused(422, str(error))
            # After this point the head is cosigned.
            time_s = self._clock.now_ns() // NANOSECONDS
            cosignature = cosign(request.note.text, self.signer, time_s)
            note = Note(request.note.text, (*signatures, cosignature))
            db.execute(
                "INSERT INTO heads (origin, origin_hash, size, root, time_s, note) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root, time_s = excluded.time_s, note = excluded.note",
                (request.origin, origin_hash(request.origin), request.size, request.root, time_s, note.encode()),
            )
        return Verdict(200, cosignature.line())

    def seen(self) -> list[Seen]:
        """The largest head cosigned of each log, by origin. Raises Unavailable."""
        rows = self._read("SELECT origin, size, root, time_s FROM heads ORDER BY origin", ())
        return [Seen(*row) for row in rows]

    def newest(self, hash: str) -> bytes | None:
        """The newest cosigned checkpoint of the log whose `origin_hash` is `hash`, with log signature and cosignature; None when there is none."""
        rows = self._read("SELECT note FROM heads WHERE origin_hash = ?", (hash,))
        return bytes(rows[0][0]) if rows else None

    def close(self) -> None:
        """Lets go of the file. Safe to repeat."""
        with self._lock:
            self._db.close()

    def _read(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the witness's memory cannot be used: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The file to ourselves, from the first read to what is on the disk at the end."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")  # a reader that wanted to write later could have read what is no longer so
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")


def parse_request(body: bytes) -> Request:
    """The parts of a request. Raises Malformed naming the part and the rule."""
    if len(body) > REQUEST_SIZE_MAX:
        raise Malformed("request", f"must be at most {REQUEST_SIZE_MAX} bytes")
    head, separator, rest = body.partition(b"\n\n")
    if not separator:
        raise Malformed("request", "must have an empty line before the checkpoint")
    first, *lines = head.split(b"\n")
    old = _OLD.fullmatch(first)
    if old is None or int(old[1]) >= 2**63:
        raise Malformed("old", "the first line must be `old` and the size cosigned last, in decimal")
    if len(lines) > PROOF_LINES_MAX:
        raise Malformed("proof", f"must be at most {PROOF_LINES_MAX} lines")
    proof = tuple(parse_hash(line.decode("latin-1"), f"proof line {number}") for number, line in enumerate(lines, 1))
    note = Note.parse(rest)
    said = decode_utf8(note.text, "checkpoint").split("\n")
    if said.pop() or len(said) != 3:
        raise Malformed("checkpoint", "must be three lines: origin, size, root; extension lines are not cosigned")
    # The root of an empty log is judged later (422), so Checkpoint.parse would be too strict here.
    size, root = parse_decimal(said[1], "checkpoint.size"), parse_hash(said[2], "checkpoint.root")
    return Request(int(old[1]), proof, note, said[0], size, root)


def check_continues(size: int, root: bytes, request: Request) -> None:
    """That the request's head continues a log whose last head was (`size`, `root`); size 0 is none. Raises NotProven."""
    if request.size == 0 and request.root != EMPTY_ROOT:
        raise NotProven("a log without entries has another root")
    if size == request.size and root != request.root:
        raise NotProven("another root was cosigned for the same size: the log has two histories")
    verify_consistency(old_size=size, new_size=request.size, proof=request.proof, old_root=root, new_root=request.root)


def origin_hash(origin: str) -> str:
    """SHA-256 of the origin in hex: names the log in the address under which its newest checkpoint is offered."""
    return hashlib.sha256(origin.encode()).hexdigest()


def remember(folder: Path) -> None:
    """Makes an empty memory in `folder`, on the disk when it returns; leaves one that is there. Raises Unavailable, UnknownFormat."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _open(folder / FILE_NAME, new=True).close()
        descriptor = os.open(folder, os.O_RDONLY)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"{folder / FILE_NAME} cannot be made: {error}") from error
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path, *, new: bool) -> sqlite3.Connection:
    """The memory at `path`. Only with `new` may it be made: an empty file has forgotten."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S)
    try:
        empty = _is_empty(db, path, allowed=new)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # what was cosigned is remembered, also after a power cut
        db.execute("PRAGMA fullfsync = ON")  # macOS: its fsync alone does not reach the medium; elsewhere without effect
        if empty:
            db.execute("BEGIN IMMEDIATE")
            try:
                if _is_empty(db, path, allowed=True):  # nobody else was quicker
                    db.execute(_TABLE)
                    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    db.execute(f"PRAGMA user_version = {VERSION}")
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
        return db
    except BaseException:
        db.close()
        raise


def _is_empty(db: sqlite3.Connection, path: Path, *, allowed: bool) -> bool:
    """True for a database without anything in it if that is `allowed`, False for a memory.

    Raises UnknownFormat for all else, which is left as it is.
    """
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (application_id, version) == (APPLICATION_ID, VERSION):
        return False
    if (application_id, version, tables) == (0, 0, 0):
        if allowed:
            return True
        raise UnknownFormat(f"{path} is empty: a witness that has forgotten what it cosigned must take a new key")
    raise UnknownFormat(f"{path} is not a witness's memory of version {VERSION}", version=version)


def _refused(status: int, why: str) -> Verdict:
    return Verdict(status, f"{why}\n".encode())
