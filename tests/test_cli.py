"""The command line itself: help with examples that parse, exit codes, --json, and the commands of whoever runs a scheme."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from counterfoil.commands import arguments
from tests.commands.desk import run

BOOK = Path(__file__).parent.parent / "src/counterfoil/institutions/book/examples/village-bank.csv"


def leaves(parser: argparse.ArgumentParser, name: str = "counterfoil") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, with its full name."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield name, parser
    for group in groups:
        for word, command in group.choices.items():
            yield from leaves(command, f"{name} {word}")


COMMANDS = dict(leaves(arguments.parser()))


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COUNTERFOIL_KEY", "COUNTERFOIL_SERVER", "COUNTERFOIL_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with the example book in it."""
    assert run("import", "book", BOOK, "--mapping", "plain", "--tolerance", "0.05", "--data", tmp_path / "data").code in (0, 1)
    return tmp_path / "data"


def test_all_commands_are_there() -> None:
    names = {name.removeprefix("counterfoil ") for name in COMMANDS}
    assert {"serve", "demo", "migrate", "check", "import book", "keys show", "wallet create", "wallet pay", "staff login"} <= names
    assert len(names) > 35


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_parses(name: str) -> None:
    ran = run(*name.split()[1:], "--help")
    assert ran.code == 0
    examples = [line.strip() for line in ran.out.partition("Examples:")[2].splitlines() if line.strip()]
    assert examples, ran.out
    for example in examples:
        program, *argv = shlex.split(example)
        assert program == "counterfoil"
        parsed = arguments.parser().parse_args(argv)
        assert parsed.command == name.split()[1]


@pytest.mark.parametrize(
    "name", sorted(set(COMMANDS) - {"counterfoil witness"})
)  # its file names its folder: memory and key belong together
def test_every_command_takes_json_and_its_folder(name: str) -> None:
    assert {"--json", "--data"} <= set(COMMANDS[name]._option_string_actions)


def test_help_is_instant() -> None:
    """It loads nothing of the house but the grammar."""
    script = "import sys; from counterfoil.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for heavy in ("sqlalchemy", "starlette", "uvicorn", "phonenumbers", "nacl", "counterfoil.app"):
        assert f"'{heavy}'" not in loaded, heavy


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("pay",),
        ("wallet",),
        ("wallet", "pay"),
        ("wallet", "balance", "--key", "/nowhere/no.key"),
        ("check", "--data", "/nowhere"),
        ("import", "book", "/nowhere/book.csv"),
        ("demo", "--pace", "fast"),
    ],
)
def test_wrong_use_ends_with_2_and_no_trace(argv: tuple[str, ...]) -> None:
    ran = run(*argv)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert "Traceback" not in ran.err


def test_a_setting_that_is_not_right_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COUNTERFOIL_QUEUE_SIZE_MAX", "many")
    ran = run("migrate", "--data", tmp_path, "--json")
    assert (ran.code, ran.json["code"]) == (2, "wrong_use")
    assert "COUNTERFOIL_QUEUE_SIZE_MAX" in ran.err


def test_a_book_is_imported_and_the_check_passes(data: Path) -> None:
    again = run("import", "book", BOOK, "--mapping", "plain", "--tolerance", "0.05", "--data", data, "--json")
    assert set(again.json) == {
        "accounts", "transactions", "exact", "rounded", "rounding_entries", "rounding_net", "failed", "closing_total",
    }  # fmt: skip
    assert again.code == (1 if again.json["failed"] else 0)
    checked = run("check", "--data", data, "--json")
    assert (checked.code, checked.json["passed"], checked.json["findings"]) == (0, True, [])
    assert checked.json["transfers"] >= again.json["transactions"]
    assert "The books add up" in run("check", "--data", data).out


def test_an_account_that_does_not_reconcile_ends_with_1(tmp_path: Path) -> None:
    ran = run("import", "book", BOOK, "--mapping", "plain", "--data", tmp_path / "strict", "--json")
    assert ran.code == (1 if ran.json["failed"] else 0)
    lines = BOOK.read_text("utf-8").splitlines()
    cut = tmp_path / "cut.csv"
    cut.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][: len(lines[-1]) // 2], "utf-8")
    refused = run("import", "book", cut, "--mapping", "plain", "--tolerance", "0.05", "--data", tmp_path / "cut", "--json")
    assert (refused.code, refused.json["code"]) == (1, "malformed")
    assert str(len(lines)) in refused.json["detail"]


def test_an_amount_that_was_changed_behind_our_back_ends_the_check_with_1(data: Path) -> None:
    with sqlite3.connect(data / "ledger.sqlite") as books:
        changed = books.execute("UPDATE events SET amount = amount + 1 WHERE timestamp = (SELECT max(timestamp) FROM events)")
        assert changed.rowcount == 1
    checked = run("check", "--data", data, "--json")
    assert (checked.code, checked.json["passed"]) == (1, False)
    assert "do NOT add up" in run("check", "--data", data).out


def test_a_folder_in_use_is_unavailable(data: Path) -> None:
    from counterfoil.folder import only_process

    with only_process(data):
        ran = run("check", "--data", data, "--json")
    assert (ran.code, ran.json["code"], ran.json["retry"]) == (3, "unavailable", "same_id")


def test_the_operators_key_is_made_once(tmp_path: Path) -> None:
    assert run("keys", "show", "--data", tmp_path).code == 2
    made = run("keys", "create", "--data", tmp_path, "--json")
    assert made.code == 0
    assert run("keys", "create", "--data", tmp_path, "--json").json == made.json
    assert run("keys", "show", "--data", tmp_path, "--json").json == made.json
    assert (tmp_path / "keys" / "operator.ed25519").stat().st_mode & 0o777 == 0o600


def test_the_folder_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COUNTERFOIL_DATA", str(tmp_path / "here"))
    assert run("migrate").code == 0
    assert run("migrate").code == 0
    assert (tmp_path / "here" / "store.sqlite").is_file()


def test_a_demo_takes_no_folder_that_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine", "utf-8")
    ran = run("demo", "--data", tmp_path, "--json")
    assert (ran.code, ran.json["code"]) == (2, "wrong_use")
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_serve_says_where_it_listens_and_stops_when_told(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "counterfoil", "serve", "--data", tmp_path, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    assert address.startswith("Counterfoil listens on http://127.0.0.1:")
    again = subprocess.run(
        [sys.executable, "-m", "counterfoil", "serve", "--data", tmp_path, "--port", "0", "--json"], capture_output=True, text=True
    )
    assert (again.returncode, json.loads(again.stdout)["code"]) == (3, "unavailable")
    server.terminate()
    rest, _ = server.communicate(timeout=120)
    assert (server.returncode, rest) == (0, "Stopped.\n")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_serve_tells_the_service_manager_when_it_listens(tmp_path: Path, workers: str) -> None:
    """As systemd hears it with Type=notify: from the process that it has started, and not before others can connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(120)
        server = subprocess.Popen(
            [sys.executable, "-m", "counterfoil", "serve", "--data", tmp_path / "data", "--port", "0", "--workers", workers],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        try:
            said, ancillary, _, _ = manager.recvmsg(64, socket.CMSG_SPACE(12))
            assert said == b"READY=1"
            sender, _, _ = struct.unpack("3i", ancillary[0][2])
            assert sender == server.pid
            assert server.stdout is not None
            port = int(server.stdout.readline().strip().rpartition(":")[2])
            socket.create_connection(("127.0.0.1", port), timeout=120).close()
        finally:
            server.terminate()
            server.communicate(timeout=120)
