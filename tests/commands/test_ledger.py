"""`counterfoil ledger move`: the scheme goes on, its public log is the same, and what cannot be is said in words, before anything changes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from counterfoil.commands import settings_file
from counterfoil.commands.output import WrongUse
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.types import Account, Transfer
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import PaymentState
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.published import PublishedLog
from tests import tigerbeetle
from tests.commands.desk import Ran, run
from tests.postgres import Cluster
from tests.scheme import opened

SETTINGS = """\
# Settings of a test
region = "KE"  # a country
 ledger=''   # a file, for now
# ledger = "not this line"
sandbox = true
"""


def move(data: Path, to: str, *more: str) -> Ran:
    return run("ledger", "move", "--data", data, "--to", to, "--json", *more)


def log_size(data: Path) -> int:
    note = PublishedLog(data / "log").checkpoint()
    assert note is not None
    return Checkpoint.parse(note.text).size


async def scheme_moved(data: Path, target: str) -> None:
    """A scheme that works, is moved away, works, is moved back, and works; each time its log is what its books yield."""
    data.mkdir()
    (data / "counterfoil.toml").write_text(SETTINGS)
    async with opened(data, publishing=True) as scheme:
        amina, kofi = await scheme.customer("Amina", funds=1_000), await scheme.customer("Kofi")
        shop = await scheme.merchant()
        first = await amina.pay(kofi, 5)
        held = await amina.hold(shop, 60)
        await shop.answer(OrderKind.CAPTURE, held, 40)
    sizes = [log_size(data)]
    for to in (target, "sqlite", target):
        tried = await asyncio.to_thread(move, data, to, "--dry-run")
        assert tried.code == 0, tried
        assert not tried.json["moved"]
        done = await asyncio.to_thread(move, data, to)
        assert done.code == 0, done
        assert done.json["moved"]
        assert done.json["copied"] == tried.json["to_copy"] > 0
        again = await asyncio.to_thread(move, data, to)
        assert again.code == 0, again
        assert not again.json["moved"]
        ledger = "" if to == "sqlite" else to
        assert (data / "counterfoil.toml").read_text() == SETTINGS.replace("''", f'"{ledger}"')
        checked = await asyncio.to_thread(run, "check", "--data", data, "--json")
        assert checked.code == 0, checked
        assert (checked.json["log"]["entries"], checked.json["log"]["difference"]) == (sizes[-1], None)
        async with opened(data, scheme.clock, publishing=True, ledger=ledger) as again_opened:
            amina.scheme = kofi.scheme = shop.scheme = again_opened
            kept = await again_opened.services.payments.receipt(first.payment.id, amina.account)
            assert kept.acknowledgement == first.acknowledgement
            assert (await amina.pay(kofi, 7)).state is PaymentState.COMPLETED
            assert (await shop.answer(OrderKind.CAPTURE, await amina.hold(shop, 9), 9)).state is PaymentState.COMPLETED
        sizes.append(log_size(data))
    assert sizes == sorted(set(sizes))
    checked = await asyncio.to_thread(run, "check", "--data", data, "--json")
    assert checked.code == 0, checked


async def test_a_scheme_goes_on_where_its_ledger_was_moved(tmp_path: Path, postgres_url: str) -> None:
    await scheme_moved(tmp_path / "data", postgres_url)


async def test_a_scheme_goes_on_at_servers_and_back(tmp_path: Path) -> None:
    with tigerbeetle.cluster() as servers:
        servers.start()
        await scheme_moved(tmp_path / "data", f"tigerbeetle://{servers.addresses}?cluster={servers.number}")


def test_what_cannot_be_is_said_and_nothing_changes(
    tmp_path: Path, postgres: Cluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    monkeypatch.delenv("COUNTERFOIL_LEDGER", raising=False)
    for folder, id_first in ((data, 1), (other, 2)):
        a_ledger(folder, id_first, 3)
        (folder / "counterfoil.toml").write_text(SETTINGS)
    assert move(other, postgres_url).code == 0

    def fails(code: int, words: str, to: str, *, folder: Path = data) -> None:
        ran = move(folder, to)
        assert (ran.code, words in ran.json["detail"]) == (code, True), ran
        assert folder is not data or (data / "counterfoil.toml").read_text() == SETTINGS

    fails(1, "holds other books", postgres_url)
    fails(2, "must be empty, or begin with", "mysql://ledger")
    fails(2, "there is no ledger", postgres_url, folder=tmp_path / "nothing")
    fails(3, "Create the database first", postgres.url("nowhere"))
    fails(3, "Check the user in its URL", postgres.url(user="stranger"))
    with monkeypatch.context() as environment:
        environment.setenv("COUNTERFOIL_LEDGER", "")
        fails(2, "would overrule", postgres_url)
    (data / "counterfoil.toml").write_text('ledger = """\n"""\n')
    assert "cannot be changed safely" in move(data, postgres_url).json["detail"]
    (data / "counterfoil.toml").write_text(SETTINGS)
    with closing(SqliteEngine.open(data / "ledger.sqlite")) as engine:
        assert len(engine.get_change_events(timestamp_min=0, limit=10)) == 3


def test_servers_that_do_not_answer_are_waited_for_and_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tigerbeetle")
    from counterfoil.ledger import tigerbeetle_move

    monkeypatch.setattr(tigerbeetle_move, "START_DEADLINE_S", 0.2)
    a_ledger(tmp_path / "data", 1, 3)
    ran = move(tmp_path / "data", "tigerbeetle://127.0.0.1:9?cluster=1")
    assert (ran.code, "Nobody listens" in ran.json["detail"]) == (3, True), ran
    assert not (tmp_path / "data" / "counterfoil.toml").exists()


async def test_a_scheme_that_serves_is_not_moved(tmp_path: Path, postgres_url: str) -> None:
    async with opened(tmp_path / "data"):
        ran = await asyncio.to_thread(move, tmp_path / "data", postgres_url)
    assert (ran.code, "in use by another process" in ran.json["detail"]) == (3, True)
    assert not (tmp_path / "data" / "counterfoil.toml").exists()


def a_ledger(folder: Path, id_first: int, count: int) -> None:
    folder.mkdir()
    with closing(SqliteEngine.open(folder / "ledger.sqlite")) as engine:
        engine.create_accounts([Account(id=number, ledger=1, code=1) for number in (1, 2)], 10**18)
        for start in range(0, count, 8_000):
            ids = range(id_first + start, id_first + min(start + 8_000, count))
            engine.create_transfers([Transfer(number, 1, 2, 5, ledger=1, code=1) for number in ids], 10**18)


def program(data: Path, to: str) -> list[str]:
    return [sys.executable, "-m", "counterfoil", "ledger", "move", "--data", str(data), "--to", to, "--json", "--progress"]


def test_a_move_that_is_killed_or_has_no_room_left_is_gone_on_with(tmp_path: Path, postgres_url: str) -> None:
    data = tmp_path / "data"
    a_ledger(data, 1, 20_000)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}

    killed = subprocess.Popen(program(data, postgres_url), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    assert killed.stderr is not None
    seen = [line for line in iter(killed.stderr.readline, "") if kill_at(line, "copied: 4", killed.kill)]
    assert killed.wait(60) == -9, seen
    killed.stderr.close()
    assert not (data / "counterfoil.toml").exists()
    done = move(data, postgres_url)
    assert done.code == 0, done
    assert 0 < done.json["copied"] < 20_002
    assert (data / "counterfoil.toml").read_text() == f'ledger = "{postgres_url}"\n'

    (data / "ledger.sqlite").unlink()

    little_room = ["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh"]  # of 512 or 1,024 bytes, for each file
    full = subprocess.run([*little_room, *program(data, "sqlite")], capture_output=True, text=True, env=environment, check=False)
    assert full.returncode == 3, full
    assert "Traceback" not in full.stderr
    assert (data / "counterfoil.toml").read_text() == f'ledger = "{postgres_url}"\n'
    back = move(data, "sqlite")
    assert (back.code, back.json["books"]) == (0, done.json["books"]), back
    assert (data / "counterfoil.toml").read_text() == 'ledger = ""\n'


def kill_at(line: str, sign: str, kill: Callable[[], None]) -> bool:
    if line.startswith(sign):
        kill()
    return True


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'ledger = "new"\n'),
        ("port = 1", 'port = 1\nledger = "new"\n'),
        ('ledger = "a \\" # b" # c\nport = 1\n', 'ledger = "new" # c\nport = 1\n'),
        ("\tledger\t=\t'a'\r\nport = 1\r\n", '\tledger\t=\t"new"\r\nport = 1\r\n'),
        ('"ledger" = "a"\n', '"ledger" = "new"\n'),
        ('origin = """\nledger = "a"\n"""\nledger = "b"\n', 'origin = """\nledger = "a"\n"""\nledger = "new"\n'),
        ('ledger = "new"# kept\n', 'ledger = "new"# kept\n'),
    ],
)
def test_one_line_of_the_settings_is_changed(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "counterfoil.toml"
    if before:
        path.write_bytes(before.encode())
        path.chmod(0o640)
    settings_file.write(path, settings_file.changed(path, "ledger", "new"))
    assert path.read_bytes() == after.encode()
    assert not before or path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["counterfoil.toml"]


@pytest.mark.parametrize("text", ['ledger = """a"""\n', "ledger = [\n]\n", "[table]\nport = 1\n"])
def test_settings_in_another_form_are_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "counterfoil.toml"
    path.write_text(text)
    with pytest.raises(WrongUse, match="cannot be changed safely"):
        settings_file.changed(path, "ledger", "new")


def test_a_link_to_the_settings_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "etc.toml", tmp_path / "counterfoil.toml"
    real.write_text("ledger = ''\n")
    link.symlink_to(real)
    settings_file.write(link, settings_file.changed(link, "ledger", "new"))
    assert link.is_symlink()
    assert real.read_text() == 'ledger = "new"\n'
