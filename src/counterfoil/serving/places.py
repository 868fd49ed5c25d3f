"""Where the house hears its workers: two Unix sockets in the data folder, which the parent makes and nobody but its user opens.

    serving/lock     held by the parent
    serving/orders   frames (see `frames`)
    serving/http     HTTP, for everything else

The parent keeps them open, so they outlive a house: whoever connects while there is none is heard by the next.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from counterfoil.errors import Unavailable

FOLDER = "serving"
ORDERS = "orders"
HTTP = "http"
BACKLOG = 2_048
"""Connections that may wait to be accepted."""


@contextmanager
def address_of(folder: Path, name: str) -> Iterator[str]:
    """What to bind or connect to. A socket's address has 107 bytes at most, which folders may exceed: so by the folder's descriptor."""
    descriptor = os.open(folder / FOLDER, os.O_RDONLY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{descriptor}"
        yield f"{short}/{name}" if Path(short).exists() else str(folder / FOLDER / name)
    finally:
        os.close(descriptor)


def bind(folder: Path, name: str) -> socket.socket:
    """A listening socket under `name`, for this user alone; one that an earlier parent has left is replaced."""
    (folder / FOLDER / name).unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with address_of(folder, name) as address:
            bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise Unavailable(f"{folder / FOLDER / name} cannot be made: {error.strerror}") from error
    finally:
        os.umask(mask)
    bound.setblocking(False)
    return bound
