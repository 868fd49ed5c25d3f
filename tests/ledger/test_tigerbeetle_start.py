"""What the tigerbeetle engine refuses at its start, and that its words say what to do."""

from __future__ import annotations

import enum
import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.ledger import tigerbeetle_client, types
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine
from counterfoil.ledger.tigerbeetle_client import Session
from counterfoil.ledger.tigerbeetle_records import Operation
from counterfoil.ledger.tigerbeetle_start import Mark
from counterfoil.ledger.types import Account, Transfer
from tests.tigerbeetle import Cluster, cluster

ACCOUNTS = [Account(id=number, ledger=1, code=10) for number in (1, 2)]


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster(number=2**100 + 5) as made:
        made.start()
        yield made


@pytest.fixture
def library() -> Any:
    if importlib.util.find_spec("tigerbeetle") is None:
        pytest.skip("the TigerBeetle client is not installed: counterfoil[tigerbeetle]")
    return tigerbeetle_client.load_library()


# The client


def test_the_installed_client_has_the_records_that_we_write(library: Any) -> None:
    assert tigerbeetle_client.raw_obstacle(library) is None


def test_a_client_with_other_records_is_asked_in_its_own_way(library: Any) -> None:
    bindings = SimpleNamespace(**vars(library.bindings))
    bindings.CTransfer = library.bindings.CQueryFilter
    assert tigerbeetle_client.raw_obstacle(SimpleNamespace(bindings=bindings)) == "CTransfer is not of 128 bytes"
    bindings.CTransfer = library.bindings.CAccount
    assert tigerbeetle_client.raw_obstacle(SimpleNamespace(bindings=bindings)) == "CTransfer.debit_account_id is not at 16"
    bindings = SimpleNamespace(**vars(library.bindings))
    bindings.Operation = OtherOperation
    assert tigerbeetle_client.raw_obstacle(SimpleNamespace(bindings=bindings)) == "CREATE_TRANSFERS is not 147"
    del bindings.tb_client_submit
    assert tigerbeetle_client.raw_obstacle(SimpleNamespace(bindings=bindings)) == "it has no tb_client_submit"


def test_a_client_of_another_version_is_refused(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("0.16.70", "0.17.8", "0.18.0", "1.0"):
        monkeypatch.setattr(tigerbeetle_client, "version", lambda version=version: version)
        with pytest.raises(errors.UnknownFormat, match=rf"The TigerBeetle client is {version}: we know 0.17.9 and later, below 0.18"):
            tigerbeetle_client.load_library()


def test_a_client_with_other_statuses_is_refused(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "TransferFlags", enum.IntFlag("TransferFlags", {"LINKED": 2}))
    with pytest.raises(errors.UnknownFormat, match="other numbers than ours for TransferFlags"):
        tigerbeetle_client.load_library()


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tigerbeetle", None)
    with pytest.raises(errors.UnknownFormat, match=r"install counterfoil\[tigerbeetle\]"):
        TigerBeetleEngine.open("127.0.0.1:1", 0)


def test_addresses_that_are_none_are_named(library: Any) -> None:
    for raw in (True, False):
        with pytest.raises(errors.Unavailable, match="the addresses must be like"):
            TigerBeetleEngine.open("nonsense:nonsense", 0, raw=raw)
    with pytest.raises(errors.Unavailable, match="at most six"):
        TigerBeetleEngine.open(",".join(f"127.0.0.1:{port}" for port in range(1000, 1007)), 0)
    with pytest.raises(errors.Malformed, match="cluster"):
        TigerBeetleEngine.open("127.0.0.1:1", 2**128)


NO_IO_URING = """
import ctypes, struct, sys
from counterfoil import errors
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine

# A seccomp filter as containers have it: system call 425, io_uring_setup, is not permitted; everything else is.
program = b"".join(struct.pack("<HBBI", *line) for line in [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)])
kept = ctypes.create_string_buffer(program)
filter = struct.pack("<HxxxxxxQ", 4, ctypes.addressof(kept))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.create_string_buffer(filter), 0, 0) == 0, ctypes.get_errno()
try:
    TigerBeetleEngine.open("127.0.0.1:1", 0, start_deadline_s=5)
except errors.Unavailable as error:
    sys.stdout.write(error.detail)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="TIGERBEETLE needs io_uring on Linux alone")
def test_a_system_without_io_uring_is_named(library: Any) -> None:
    done = subprocess.run([sys.executable, "-c", NO_IO_URING], check=False, capture_output=True, text=True, timeout=120)
    assert "io_uring" in done.stdout, (done.stdout, done.stderr)
    assert "seccomp" in done.stdout


# The servers


def test_when_nobody_listens_it_says_where(library: Any) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # ours, and not listening
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(errors.Unavailable, match=f"Nobody listens at {address}: start the ledger's servers"):
            TigerBeetleEngine.open(address, 0, start_deadline_s=1)


@pytest.mark.parametrize("raw", [True, False])
def test_servers_of_another_cluster_are_silent_and_that_is_said(server: Cluster, raw: bool) -> None:
    with pytest.raises(errors.Unavailable, match=r"can be reached, but nothing has answered as cluster 8 within 2 s.*another number"):
        TigerBeetleEngine.open(server.addresses, 8, start_deadline_s=2, raw=raw)


def test_servers_in_development_mode_take_too_little(library: Any) -> None:
    with cluster(options=("--development",)) as made:
        made.start()
        with pytest.raises(errors.Conflict, match="start them without --development"):
            TigerBeetleEngine.open(made.addresses, made.number)


@pytest.mark.parametrize(
    ("status", "words"),
    [(4, "older than our TigerBeetle client.*upgrade the servers first"), (3, "too new.*newer version of this program")],
)
def test_servers_of_another_release_are_told_apart(status: int, words: str) -> None:
    session = Session(lambda: Ending(status), deadline_s=5)
    with pytest.raises(errors.UnknownFormat, match=words):
        session.ask(Operation.LOOKUP_ACCOUNTS, b"", lambda reply: reply)


def test_a_session_that_ends_later_is_unavailable_and_begins_anew() -> None:
    made: list[Ending] = []

    def connect() -> Ending:
        made.append(Ending(0))
        return made[-1]

    session = Session(connect, deadline_s=5)
    assert session.ask(Operation.LOOKUP_ACCOUNTS, b"one", lambda reply: reply.data) == b"one"
    for status in (2, 3, 4, 5):
        made[-1].status = status
        with pytest.raises(errors.Unavailable):
            session.ask(Operation.LOOKUP_ACCOUNTS, b"two", lambda reply: reply.data)
        assert made[-1].closed
        assert session.ask(Operation.LOOKUP_ACCOUNTS, b"three", lambda reply: reply.data) == b"three"
    assert session.lost == 4


class OtherOperation(enum.IntEnum):
    CREATE_TRANSFERS = 139


class Ending:
    """A transport whose requests end at once, as a session ends that a server of another release or a crowd of clients has ended."""

    kind = "raw"

    def __init__(self, status: int) -> None:
        self.status = status
        self.closed = False

    def send(self, operation: Operation, data: bytes, done: tigerbeetle_client.Done) -> None:
        done(self.status, data, 7)

    def close(self) -> None:
        self.closed = True


# Books that have lost something


def test_books_from_an_old_backup_are_refused(server: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "ledger.mark"
    engine = TigerBeetleEngine.open(server.addresses, server.number, mark=mark)
    engine.create_accounts(ACCOUNTS, 0)
    [result] = engine.create_transfers([Transfer(id=1, debit_account_id=1, credit_account_id=2, amount=1, ledger=1, code=1)], 0)
    engine.create_transfers([Transfer(id=2, debit_account_id=1, credit_account_id=1, amount=1, ledger=1, code=1)], 0)  # refused
    engine.close()
    assert json.loads(mark.read_bytes()) == {"cluster": str(server.number), "last": result.timestamp}

    TigerBeetleEngine.open(server.addresses, server.number, mark=mark, last_known=result.timestamp).close()
    with pytest.raises(errors.Conflict, match=f"{result.timestamp + 1} was acknowledged.*old backup"):
        TigerBeetleEngine.open(server.addresses, server.number, last_known=result.timestamp + 1)
    mark.write_text(json.dumps({"cluster": str(server.number), "last": result.timestamp + 1}))
    with pytest.raises(errors.Conflict, match="old backup"):
        TigerBeetleEngine.open(server.addresses, server.number, mark=mark)


def test_the_mark_is_kept_while_payments_go_on(server: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "ledger.mark"
    engine = TigerBeetleEngine.open(server.addresses, server.number, mark=mark)
    try:
        [result] = engine.create_accounts([Account(id=77, ledger=1, code=10)], 0)
        for _ in range(8):
            engine.expire_pending_transfers(0)
        assert Mark.open(mark, server.number).last == result.timestamp
    finally:
        engine.close()


def test_a_mark_of_another_cluster_or_another_file_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "ledger.mark"
    Mark.open(mark, 5).keep(9)
    assert Mark.open(mark, 5).last == 9
    with pytest.raises(errors.Conflict, match="is of cluster 5, and cluster 6 is asked for"):
        Mark.open(mark, 6)
    mark.write_text("no JSON")
    with pytest.raises(errors.UnknownFormat):
        Mark.open(mark, 5)


def test_a_mark_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    mark = Mark.open(tmp_path / "no folder" / "ledger.mark", 5)
    mark.keep(9)
    assert mark.last == 0
