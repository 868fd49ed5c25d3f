"""What is checked before a TigerBeetle ledger is opened, and what its operator is told when it cannot be."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from counterfoil import errors
from counterfoil.ledger.tigerbeetle_client import Session, Transport
from counterfoil.ledger.tigerbeetle_records import Operation, encode_ids
from counterfoil.ledger.types import BATCH_SIZE_MAX, U128_MAX

log = structlog.get_logger()

PORT: Final = 3001
"""TigerBeetle's, where an address names none."""
PROBE_TIMEOUT_S: Final = 1.0

_IO_URING_SETUP: Final = 425
"""The system call, the same number on every architecture that has a client."""
_IO_URING_PARAMS_SIZE: Final = 120
_IO_URING_ADVICE: Final = "TigerBeetle needs Linux 5.6 or later with /proc/sys/kernel/io_uring_disabled at 0, and a container needs a seccomp profile that allows it"


def first_answer(connect: Callable[[], Transport], addresses: str, cluster: int, deadline_s: float) -> Session:
    """A session that has been answered. Raises Unavailable, Conflict or UnknownFormat in words that say what to do."""
    obstacle = io_uring_obstacle()
    if obstacle is not None:
        raise errors.Unavailable(f"The TigerBeetle client does not start: {obstacle}.")
    session = Session(connect, deadline_s=deadline_s)
    try:
        # As many ids of nobody as there may be: servers in development mode take fewer.
        session.ask(Operation.LOOKUP_ACCOUNTS, encode_ids([U128_MAX] * BATCH_SIZE_MAX), lambda reply: reply)
    except errors.Unavailable as error:
        session.close()
        raise errors.Unavailable(_no_answer(addresses, cluster, deadline_s, error)) from error
    except BaseException:
        session.close()
        raise
    return session


def _no_answer(addresses: str, cluster: int, deadline_s: float, error: errors.Unavailable) -> str:
    listening = [address for address in addresses.split(",") if _listens(address.strip())]
    if not listening:
        return f"Nobody listens at {addresses}: start the ledger's servers, or correct their addresses. ({error.detail})"
    return (
        f"{', '.join(listening)} can be reached, but nothing has answered as cluster {cluster} within {deadline_s:g} s. Either the cluster "
        "has another number (servers are silent to clients of another cluster; their logs say so), or fewer than a majority of its servers "
        "are running, or they are still starting."
    )


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host:  # TigerBeetle takes a port alone, or a host alone
        host, port = ("127.0.0.1", port) if port.isdigit() else (port, str(PORT))
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False


def io_uring_obstacle() -> str | None:
    """Why the client could not use io_uring here, or None. It ends the whole process where it cannot, so we look first."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.syscall(ctypes.c_long(_IO_URING_SETUP), ctypes.c_uint(1), ctypes.create_string_buffer(_IO_URING_PARAMS_SIZE))
    if made >= 0:
        os.close(made)
        return None
    number = ctypes.get_errno()
    advice = "raise the limit of locked memory (ulimit -l)" if number == errno.ENOMEM else _IO_URING_ADVICE
    return f"io_uring does not work here ({os.strerror(number)}): {advice}"


class _Kept(msgspec.Struct, frozen=True):
    cluster: str  # a 128-bit number is too large for some readers of JSON
    last: int


class Mark:
    """A small file beside the program: which cluster its ledger is, and a moment up to which that has acknowledged.

    It may be somewhat older than the ledger, never newer. Books that are older than it have lost something.
    """

    def __init__(self, path: Path, cluster: int, last: int) -> None:
        self.last = last
        self._path = path
        self._cluster = cluster

    @classmethod
    def open(cls, path: Path, cluster: int) -> Mark:
        """The mark at `path`; a new one if there is none. Raises Conflict for that of another cluster, UnknownFormat for another file."""
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return cls(path, cluster, 0)
        except msgspec.DecodeError as error:
            raise errors.UnknownFormat(f"{path} is not the mark of a ledger.") from error
        if kept.cluster != str(cluster):
            raise errors.Conflict(
                f"{path} is of cluster {kept.cluster}, and cluster {cluster} is asked for: correct the number, or take a folder of its own."
            )
        return cls(path, cluster, kept.last)

    def keep(self, last: int) -> None:
        """Notes that the ledger has acknowledged up to `last`, ns. A disk that refuses is logged: the note before it is true, too."""
        if last <= self.last:
            return
        beside = self._path.with_name(self._path.name + ".new")
        try:
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(_Kept(str(self._cluster), last)))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            log.warning("tigerbeetle_mark_not_kept", error=str(error))
            with contextlib.suppress(OSError):
                beside.unlink()
            return
        self.last = last
