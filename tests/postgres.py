"""PostgreSQL for tests: a private cluster in a temporary folder, reached by its Unix socket alone, gone with the test run.

A test that asks for `postgres_url` gets a fresh database on the cluster of its pytest worker; with `postgres_tables_url` the store's
tables are in it. A test that kills or stops the server makes a cluster of its own with `cluster()`. Without PostgreSQL such tests are skipped.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from counterfoil.store.migrations import migrate
from tests.orphans import Watch

START_S_MAX = 120
"""How long a busy machine may take until the server answers."""


class Cluster:
    """A server of its own. Its superuser is `postgres`, without a password; a user `guarded`, once there is one, needs one."""

    def __init__(self, folder: Path, binaries: Path, settings: dict[str, str]) -> None:
        self._folder = folder
        self._binaries = binaries
        self._settings = settings
        self._server: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None
        self._numbers = itertools.count(1)

    @property
    def socket_folder(self) -> Path:
        return self._folder / "socket"

    @property
    def socket(self) -> Path:
        return self.socket_folder / ".s.PGSQL.5432"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._server is not None
        return self._server.pid

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """A libpq URL; SQLAlchemy takes it with "postgresql+psycopg" for its scheme."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.socket_folder), safe='')}"

    def new_database(self, like: str = "template0") -> str:
        """Makes a database, empty or `like` another one to which nobody is connected. Returns its URL."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {like}")
        return self.url(name)

    @functools.cached_property
    def with_tables(self) -> str:
        """The name of a database with the tables of the newest store, and nothing in them."""
        url = self.new_database()
        migrate(url)
        return url.partition("@/")[2].partition("?")[0]

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Runs it, as superuser, with psql. Returns what it prints, without headings."""
        psql, host = str(self._binaries / "psql"), str(self.socket_folder)
        program = [psql, "-h", host, "-U", "postgres", "-d", database, "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        return subprocess.run(program, check=True, capture_output=True, text=True).stdout.strip()

    def start(self) -> None:
        """Starts the server, or starts it again. Returns when it takes connections."""
        assert self._server is None
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", "-k", self.socket_folder, *options],
                stdout=subprocess.DEVNULL, stderr=log, start_new_session=True, **_as_postgres(),
            )  # fmt: skip
        self._watch = Watch(self.pid, self._folder, signal="QUIT")  # which ends all of its processes
        ready, until = [str(self._binaries / "pg_isready"), "-q", "-h", str(self.socket_folder)], time.monotonic() + START_S_MAX
        while subprocess.run(ready, check=False).returncode != 0:
            assert self._server.poll() is None, self.log()
            assert time.monotonic() < until, "PostgreSQL does not start"
            time.sleep(0.02)

    def is_running(self) -> bool:
        """False where it has ended by itself."""
        return self._server is not None and self._server.poll() is None

    def stop(self) -> None:
        """Ends the server in good order, cutting connections. Safe to repeat."""
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                self._server.send_signal(signal.SIGINT)
            self._ended()

    def kill(self) -> None:
        """Ends the postmaster and all its processes with SIGKILL: what a crash leaves is on the disk."""
        assert self._server is not None
        os.kill(self.pid, signal.SIGSTOP)  # it stands still while the others die, or it would tidy up
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        for pid in (*map(int, children.split()), self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._ended()
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def _ended(self) -> None:
        assert self._server is not None
        assert self._watch is not None
        self._server.wait(START_S_MAX)
        self._watch.end()
        self._server = None


@contextlib.contextmanager
def cluster(
    *,
    durable: bool = False,
    place: Path | None = None,
    access: str = "",
    wal_segment_mb: int = 16,
    copied_from: Cluster | None = None,
    **settings: str,
) -> Iterator[Cluster]:
    """A running cluster. `durable`: on a disk, with fsync, for tests of what survives. `settings` are the server's own.

    `place`: the folder for its folder, which its user must be able to reach. `access`: first lines of its pg_hba.conf.
    `copied_from`: begins as a standby of that server, over its Unix socket, under the application name "standby".
    """
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (see debian-packages.txt)")
    with tempfile.TemporaryDirectory(prefix="pg-", dir=place or (os.environ.get("TESTS_DISK") if durable else None)) as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("data", "socket"):
            (folder / part).mkdir(mode=0o700 if part == "data" else 0o755)
            if os.geteuid() == 0:
                shutil.chown(folder / part, "postgres")
        if copied_from is None:
            options = f"-U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions --wal-segsize={wal_segment_mb}"
            command = ["initdb", "-D", str(folder / "data"), *options.split()]
        else:
            there = f"host={copied_from.socket_folder} user=postgres application_name=standby"
            command = ["pg_basebackup", "-D", str(folder / "data"), "-R", "--checkpoint=fast", "--no-sync", "--dbname", there]
        subprocess.run([str(binaries / command[0]), *command[1:]], check=True, stdout=subprocess.DEVNULL, cwd="/", **_as_postgres())
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text(access + "local all guarded scram-sha-256\n" + rules.read_text())  # a user who needs a password
        always = {"listen_addresses": "", "shared_buffers": "64MB", "max_connections": "60", "fsync": "on" if durable else "off"}
        if not durable:
            always |= {"full_page_writes": "off", "autovacuum_naptime": "1h"}
        made = Cluster(folder, binaries, always | settings)
        made.start()
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """The cluster of this pytest worker, for everybody: nobody stops it."""
    with cluster() as made:
        yield made


@pytest.fixture
def postgres_url(postgres: Cluster) -> str:
    """An empty database on it."""
    return postgres.new_database()


@pytest.fixture
def postgres_tables_url(postgres: Cluster) -> str:
    """A database on it for a store, without the time that all migrations take."""
    return postgres.new_database(postgres.with_tables)


@functools.cache
def find_binaries() -> Path | None:
    """The folder with initdb and postgres: on the PATH, else the newest of Debian's."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _as_postgres() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as Debian's user for it."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid}
