"""The publisher as a process beside the server: the log follows, also when somebody kills it, and nothing is left out at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from counterfoil.config import Config
from counterfoil.folder import log_folder, openings_path
from counterfoil.payments.openings import Openings
from counterfoil.payments.receipts import ProofState, Receipts
from counterfoil.payments.views import HolderView
from counterfoil.publishing import process
from counterfoil.publishing.__main__ import NICENESS
from counterfoil.publishing.process import PublisherProcess
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.entry import Opening
from counterfoil.tlog.merkle import verify_inclusion
from counterfoil.tlog.note import Note
from counterfoil.tlog.published import PublishedLog
from tests.commands.desk import run
from tests.scheme import Scheme, opened

PATIENCE_S = 60.0


async def until_witnessed(scheme: Scheme, payment: int, account: int) -> None:
    receipts = scheme.services.receipts
    assert receipts is not None
    async with asyncio.timeout(PATIENCE_S):
        while receipts.status(payment, account).state != ProofState.WITNESSED:
            await asyncio.sleep(0.05)


async def test_a_payment_gets_its_receipt_while_the_server_runs(tmp_path: Path) -> None:
    async with opened(tmp_path, publishing=True, witness_interval_s=1) as scheme:
        payer, payee = await scheme.customer(funds=5_000), await scheme.merchant()
        order = payer.order(payee, 1_000)
        receipt = await scheme.services.payments.pay(payer.sign(order))
        await until_witnessed(scheme, order.id, payer.account)
        receipts = scheme.services.receipts
        assert receipts is not None
        for account, direction, balance in ((payer.account, False, 4_000), (payee.account, True, 995)):
            proof = receipts.proof(order.id, account)
            assert proof is not None
            assert proof.extra is not None
            opening = Opening.decode(proof.extra)
            head = Checkpoint.parse(Note.parse(proof.checkpoint).text)
            verify_inclusion(index=proof.index, size=head.size, leaf_hash=opening.leaf_hash(), proof=proof.hashes, root=head.root)
            view = HolderView.decode(opening.payload)
            assert (view.account, view.incoming, view.balance, view.amount) == (account, direction, balance, 1_000)
            assert (view.time, view.order_hash) == (receipt.completed_at, receipt.payment.order_hash)


async def test_what_was_committed_is_in_the_log_when_the_server_has_ended(tmp_path: Path) -> None:
    async with opened(tmp_path, publishing=True) as scheme:
        payer, payee = await scheme.customer(funds=5_000), await scheme.merchant()
        await asyncio.gather(*(payer.pay(payee, 10) for _ in range(200)))
        config = scheme.services.config
    head = PublishedLog(log_folder(config)).checkpoint()
    assert head is not None
    with Openings.reading(openings_path(config)) as openings:
        assert Checkpoint.parse(head.text).size == openings.size > 200
    checked = await asyncio.to_thread(run, "check", "--data", tmp_path, "--json")
    assert checked.code == 0, checked
    assert checked.json["log"]["entries"] == checked.json["log"]["size"] == Checkpoint.parse(head.text).size


async def test_a_log_that_was_not_kept_up_is_taken_up_later(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer(funds=5_000), await scheme.merchant()
        order = payer.order(payee, 10)
        await scheme.services.payments.pay(payer.sign(order))
        receipts = scheme.services.receipts
        assert receipts is not None
        assert receipts.status(order.id, payer.account).state == ProofState.WAITING
    async with opened(tmp_path, publishing=True, witness_interval_s=1) as scheme:
        await until_witnessed(scheme, order.id, payer.account)


async def test_a_log_whose_files_are_lost_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    async with opened(tmp_path, publishing=True) as scheme:
        payer, payee = await scheme.customer(funds=50_000), await scheme.merchant()
        await asyncio.gather(*(payer.pay(payee, 10) for _ in range(300)))
        folder = log_folder(scheme.services.config)
    before = tree(folder / "public")
    assert "tile/entries/000" in before
    shutil.rmtree(folder / "public")
    shutil.rmtree(folder / "state")
    async with opened(tmp_path, publishing=True):
        pass
    after = tree(folder / "public")
    assert {path: after.get(path) for path in before if ".p/" not in path} == {
        path: data for path, data in before.items() if ".p/" not in path
    }


def tree(folder: Path) -> dict[str, bytes]:
    """All files, but for heads that witnesses made new."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "witnessed"}


async def test_a_killed_publisher_is_started_again_and_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer(funds=50_000), await scheme.merchant()
        config = scheme.services.config
        publisher = PublisherProcess(config)
        running = asyncio.create_task(publisher.run())
        killed: set[int] = set()
        for _ in range(3):
            async with asyncio.timeout(PATIENCE_S):
                while not (publisher.ready and publisher.pid is not None and publisher.pid not in killed):
                    await asyncio.sleep(0.02)
            assert publisher.pid is not None
            assert os.getpriority(os.PRIO_PROCESS, publisher.pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
            await asyncio.gather(*(payer.pay(payee, 10) for _ in range(50)))
            os.kill(publisher.pid, signal.SIGKILL)
            killed.add(publisher.pid)
        await publisher.stop()
        await running
    checked = await asyncio.to_thread(run, "check", "--data", tmp_path, "--json")
    assert checked.code == 0, checked
    assert checked.json["log"]["entries"] >= checked.json["log"]["size"] > 0  # what was kept and not signed is signed the next time
    async with opened(tmp_path, publishing=True):
        pass
    checked = await asyncio.to_thread(run, "check", "--data", tmp_path, "--json")
    assert checked.code == 0, checked
    with Openings.reading(openings_path(config)) as openings:
        assert checked.json["log"]["entries"] == openings.size > 150


def test_a_publisher_ends_when_nobody_holds_its_standard_input(tmp_path: Path) -> None:
    async def make() -> Config:
        async with opened(tmp_path) as scheme:
            return scheme.services.config

    config = asyncio.run(make())
    command = [sys.executable, "-m", "counterfoil.publishing"]
    ended = subprocess.run(command, input=msgspec.json.encode(config) + b"\n", capture_output=True, timeout=PATIENCE_S, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"ready\n"), ended.stderr


def test_a_publisher_whose_server_ends_before_it_has_said_what_to_do_ends_quietly() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "counterfoil.publishing"], input=b'{"data": ', capture_output=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"")


def test_a_publisher_that_cannot_work_says_why_and_no_more(tmp_path: Path) -> None:
    settings = msgspec.json.encode(Config(data=str(tmp_path / "nothing")))
    with subprocess.Popen(
        [sys.executable, "-m", "counterfoil.publishing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as publisher:
        assert publisher.stdin is not None
        publisher.stdin.write(settings + b"\n")
        publisher.stdin.flush()  # and it stays open, as a server's does
        assert publisher.wait(60) == 1
        assert publisher.stdout is not None
        assert publisher.stderr is not None
        said = (publisher.stdout.read() + publisher.stderr.read()).decode()
    assert "publisher_cannot_work" in said
    assert "Fatal" not in said
    assert "Traceback" not in said


async def test_a_publisher_that_cannot_work_is_tried_again_and_can_be_stopped(tmp_path: Path) -> None:
    """Its folder holds no scheme, so it never gets ready."""
    publisher = PublisherProcess(Config(data=str(tmp_path / "nothing")))
    running = asyncio.create_task(publisher.run())
    async with asyncio.timeout(PATIENCE_S):
        first: int | None = None
        while first is None or publisher.pid in (None, first):
            first = first or publisher.pid
            await asyncio.sleep(0.02)
    assert not publisher.ready
    await publisher.stop()
    async with asyncio.timeout(process.STOP_S_MAX):
        await running


def test_receipts_of_a_scheme_without_a_log_wait(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "openings.sqlite", PublishedLog(tmp_path))
    assert receipts.status(1, 2).state == ProofState.WAITING
    assert receipts.proof(1, 2) is None
