"""A ledger that was restored from an old backup is refused at the start, in words that say what to do."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest

from counterfoil import errors
from counterfoil.payments.openings import Openings
from tests.faults.paying import WAIT_S_MAX
from tests.postgres import Cluster
from tests.scheme import Person, Scheme, opened


async def paid_and_published(scheme: Scheme, folder: Path, people: list[Person]) -> None:
    """Returns when the log has the newest payment."""
    people += [] if people else [await scheme.customer(funds=1_000), await scheme.customer()]
    payer, payee = people
    payer.scheme = scheme
    paid = await payer.pay(payee, 10)
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            with contextlib.suppress(errors.Unavailable), Openings.reading(folder / "log" / "openings.sqlite") as openings:
                if openings.position.ledger >= paid.completed_at:
                    return
            await asyncio.sleep(0.02)


async def test_an_old_file_in_place_of_the_ledger_is_refused(tmp_path: Path) -> None:
    folder, old, people = tmp_path / "data", tmp_path / "old.sqlite", list[Person]()
    async with opened(folder, publishing=True) as scheme:
        await paid_and_published(scheme, folder, people)
    shutil.copy(folder / "ledger.sqlite", old)
    async with opened(folder, publishing=True) as scheme:
        await paid_and_published(scheme, folder, people)
    newest = tmp_path / "newest.sqlite"
    shutil.move(folder / "ledger.sqlite", newest)
    shutil.copy(old, folder / "ledger.sqlite")
    for _ in range(2):
        with pytest.raises(errors.Conflict, match=r"the public log has a movement of \d+: .*old backup.* Restore the newest one"):
            async with opened(folder):
                pass
    shutil.move(newest, folder / "ledger.sqlite")
    async with opened(folder, publishing=True) as scheme:
        await paid_and_published(scheme, folder, people)


async def test_an_old_database_in_place_of_the_ledger_is_refused(postgres: Cluster, postgres_url: str, tmp_path: Path) -> None:
    people: list[Person] = []
    old, restored = postgres.new_database(), postgres.new_database()
    names = [url.partition("@/")[2].partition("?")[0] for url in (postgres_url, old, restored)]

    def copied(source: str, to: str) -> None:
        postgres.sql(f"DROP DATABASE {to}")
        postgres.sql(f"CREATE DATABASE {to} TEMPLATE {source}")

    async with opened(tmp_path, ledger=postgres_url, publishing=True) as scheme:
        await paid_and_published(scheme, tmp_path, people)
    await asyncio.to_thread(copied, names[0], names[1])
    async with opened(tmp_path, ledger=postgres_url, publishing=True) as scheme:
        await paid_and_published(scheme, tmp_path, people)
    await asyncio.to_thread(copied, names[1], names[2])
    with pytest.raises(errors.Conflict, match="old backup"):
        async with opened(tmp_path, ledger=restored):
            pass
    async with opened(tmp_path, ledger=postgres_url, publishing=True) as scheme:
        await paid_and_published(scheme, tmp_path, people)
