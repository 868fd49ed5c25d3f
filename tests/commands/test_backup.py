"""The drill: a copy made while people pay is a scheme that agrees with itself, has all that was acknowledged, and goes on."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from pathlib import Path

import pytest

from counterfoil.commands import backup
from counterfoil.payments.types import PaymentState, Receipt
from tests.commands.desk import run
from tests.scheme import Person, Scheme, opened


async def paying(scheme: Scheme, payer: Person, payee: Person, done: list[Receipt], stop: asyncio.Event) -> None:
    while not stop.is_set():
        done.append(await payer.pay(payee, 1))
        await asyncio.sleep(0)


@pytest.mark.parametrize("publishing", [True, False])
async def test_a_copy_made_while_people_pay_has_all_that_was_acknowledged_and_goes_on(
    tmp_path: Path, publishing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    done: list[Receipt] = []
    before: list[Receipt] = []
    copy_database = backup._copy_database

    def while_people_pay(source: Path, target: Path) -> None:
        """Between two databases somebody has always paid."""
        enough, until = len(done) + 5, time.monotonic() + 60
        while len(done) < enough:
            assert time.monotonic() < until, "nobody pays"
            time.sleep(0.001)
        before[:] = before if source.name == "store.sqlite" else done
        copy_database(source, target)

    monkeypatch.setattr(backup, "_copy_database", while_people_pay)
    async with opened(data, publishing=publishing) as scheme:
        amina, kofi = await scheme.customer("Amina", funds=1_000_000), await scheme.customer("Kofi")
        stop = asyncio.Event()
        busy = asyncio.create_task(paying(scheme, amina, kofi, done, stop))
        made = await asyncio.to_thread(run, "backup", "--data", data, "--to", copy, "--json")
        stop.set()
        await busy
    assert made.code == 0, made.err
    assert made.json["left_out"] == []
    assert not copy.with_name("copy.draft").exists()

    checked = run("check", "--data", copy, "--json")
    assert (checked.code, checked.json["passed"]) == (0, True), checked.out
    assert (copy / "keys").stat().st_mode & 0o077 == 0
    assert (copy / "store.sqlite").stat().st_mode & 0o077 == 0
    (copy / "staffed").touch()
    async with opened(copy, scheme.clock, publishing=publishing) as again:
        for receipt in before:
            kept = await again.services.payments.receipt(receipt.payment.id, amina.account)
            assert (kept.state, kept.acknowledgement) == (PaymentState.COMPLETED, receipt.acknowledgement)
        amina.scheme = again
        assert (await amina.pay(kofi, 5)).state is PaymentState.COMPLETED
    checked = run("check", "--data", copy, "--json")
    assert (checked.code, checked.json["passed"]) == (0, True), checked.out


async def test_a_backup_is_whole_or_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    async with opened(data):
        pass
    assert run("backup", "--data", tmp_path / "nothing", "--to", copy).code == 2
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as broken:
        broken.setattr(backup, "_copy_database", lambda *_: (_ for _ in ()).throw(full))
        failed = run("backup", "--data", data, "--to", copy, "--json")
    assert failed.code == 3
    assert "No space left" in failed.json["detail"]
    assert not copy.exists()
    assert run("backup", "--data", data, "--to", copy).code == 0  # what was left of the first try is in nobody's way
    assert run("backup", "--data", data, "--to", copy).code == 2
    assert "exists" in run("backup", "--data", data, "--to", copy).err


def test_what_changes_while_it_is_copied_is_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, copy = tmp_path / "log", tmp_path / "copy"
    (log / "public" / "tile").mkdir(parents=True)
    (log / "state").mkdir()
    (log / "state" / "head").write_bytes(b"head 0")
    (log / "public" / "tile" / "gone").write_bytes(b"partial")
    (log / "public" / "checkpoint").write_bytes(b"head 0")
    rounds = itertools.count(1)
    copyfile = shutil.copyfile

    def publishes(source: Path, target: Path) -> None:
        copyfile(source, target)
        if source.name == "checkpoint" and (number := next(rounds)) < 4:  # same size, replaced as it is copied
            for name in ("public/checkpoint", "state/head"):
                draft = log / "draft"
                draft.write_bytes(b"head %d" % number)
                draft.replace(log / name)
            (log / "public" / "tile" / "gone").unlink(missing_ok=True)

    monkeypatch.setattr(backup, "ROUND_PAUSE_S", 0)
    monkeypatch.setattr(shutil, "copyfile", publishes)
    backup._copy_log(log, copy)
    assert {path.relative_to(copy).as_posix(): path.read_bytes() for path in copy.rglob("*") if path.is_file()} == {
        "public/checkpoint": b"head 3",
        "state/head": b"head 3",
    }
