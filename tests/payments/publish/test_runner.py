"""The publisher at work, in a process of its own beside the running scheme."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from pathlib import Path

import pytest

from counterfoil.clock import SystemClock
from counterfoil.errors import Unavailable
from counterfoil.payments.publish import runner
from counterfoil.payments.publish.runner import run_publisher
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.published import PublishedLog
from tests.payments.publish.logbook import Logbook
from tests.scheme import opened


def publish_in(folder: Path, rules: bytes, ready: threading.Event, stop: threading.Event) -> None:
    """What the process does."""
    with Logbook(folder, rules=lambda: rules) as book:
        run_publisher(book.publisher, SystemClock(), stop=stop, on_ready=ready.set)


def signed(folder: Path) -> int:
    note = PublishedLog(folder / "log").checkpoint()
    return 0 if note is None else Checkpoint.parse(note.text).size


async def reached(folder: Path, size: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while signed(folder) < size:
            await asyncio.sleep(0.01)


async def test_a_process_of_its_own_follows_the_running_scheme(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer(funds=100_000), await scheme.customer("Bob")
        process = context.Process(target=publish_in, args=(tmp_path, scheme.services.payments.rules.document, ready, stop))
        process.start()
        try:
            assert await asyncio.to_thread(ready.wait, 60)
            await reached(tmp_path, 1, 30)
            for _ in range(3):  # one payment in the quiet is in the log almost at once
                await asyncio.sleep(0.4)
                before = signed(tmp_path)
                await payer.pay(payee, 10)
                await reached(tmp_path, before + 1, 5)
            await asyncio.gather(*(payer.pay(payee, 1) for _ in range(200)))
            last = await payer.pay(payee, 7)
        finally:
            stop.set()
            await asyncio.to_thread(process.join, 60)
        assert process.exitcode == 0
        with Logbook.of(scheme) as book:
            assert book.log.head.size == book.openings.size, "what was committed when it was told to stop is signed"
            assert book.movements()[-1].payment == last.payment.id
            assert book.publisher.step() == 0
            book.check_laws()
            assert book.rebuild().difference is None


async def test_it_waits_out_a_database_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RETRY_S", 0.01)
    async with opened(tmp_path) as scheme:
        await scheme.customer()
        stop, rounds = threading.Event(), []
        with Logbook.of(scheme) as book:
            (tmp_path / "store.sqlite").rename(tmp_path / "away.sqlite")

            def publish() -> None:
                try:
                    run_publisher(book.publisher, SystemClock(), stop=stop, on_round=lambda: rounds.append(1))
                except Unavailable as error:
                    failures.append(error)

            failures: list[Unavailable] = []
            thread = threading.Thread(target=publish)
            thread.start()
            await asyncio.sleep(0.3)
            assert (rounds, failures, book.log.head.size) == ([], [], 0)
            (tmp_path / "away.sqlite").rename(tmp_path / "store.sqlite")
            await reached(tmp_path, 1, 10)
            stop.set()
            await asyncio.to_thread(thread.join, 10)
            assert not failures
            assert rounds
            book.check_laws()
