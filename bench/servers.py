"""PostgreSQL and TigerBeetle for measurements: private servers on the disk, durable, gone afterwards; the tests' own, with more memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import Note
from tests import postgres as tests_postgres
from tests import tigerbeetle as tests_tigerbeetle

NO_POSTGRES = Note("PostgreSQL is not installed (see debian-packages.txt): nothing on it was measured.")
NO_TIGERBEETLE = Note("TIGERBEETLE_BIN does not name a TigerBeetle server: nothing on it was measured.")
CACHE_GRID = "1GiB"
"""TigerBeetle's own default."""
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "400", "checkpoint_timeout": "5min"}


def postgres_binaries() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    return tests_postgres.find_binaries()


def tigerbeetle_program() -> str | None:
    """The server that TIGERBEETLE_BIN names; None where it names none."""
    return tests_tigerbeetle.server_program() if os.environ.get("TIGERBEETLE_BIN") else None


def postgres_version() -> Note:
    binaries = postgres_binaries()
    assert binaries is not None
    said = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    told = ", ".join(f"{name} {value}" for name, value in SETTINGS.items())
    return Note(f"{said}, by a Unix socket, `fsync` and `synchronous_commit` on; {told}.")


def tigerbeetle_version() -> Note:
    return Note(f"{tests_tigerbeetle.server_version()}, one replica on the loopback, --cache-grid={CACHE_GRID}.")


@contextmanager
def postgres() -> Iterator[tests_postgres.Cluster]:
    """A running cluster; what it has answered is on the disk."""
    settings: dict[str, Any] = SETTINGS
    with tests_postgres.cluster(durable=True, **settings) as cluster:
        yield cluster


@contextmanager
def tigerbeetle() -> Iterator[tests_tigerbeetle.Cluster]:
    """A running cluster of one replica."""
    with tests_tigerbeetle.cluster(cache_grid=CACHE_GRID) as cluster:
        cluster.start()
        yield cluster
