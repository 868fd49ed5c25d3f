"""A publisher that is stopped between any two of its steps, and started again, writes the same log; also when it is stopped again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterfoil.errors import Unavailable
from counterfoil.ids import new_id
from counterfoil.payments.orders import OrderKind
from tests.payments.publish.logbook import Logbook
from tests.scheme import Scheme, opened


class Stopped(Exception):
    """The world ends here."""


class StopAt:
    """Hears of every step, of the publisher and of the log's files, and stops the world at number `at`, counted from 1; 0 never."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if len(self.steps) == self.at:
            raise Stopped(step)


async def trade(scheme: Scheme) -> None:
    """A bit of everything."""
    payer, shop = await scheme.customer(funds=100_000), await scheme.merchant(funds=10_000)
    hold = await payer.hold(shop, 5_000)
    await shop.answer(OrderKind.CAPTURE, hold, 3_000)
    await payer.pay(shop, 20_000)
    await scheme.services.parties.staff.freeze(new_id(scheme.clock), payer.party, reason="lost", by=scheme.supervisors[0])


def run_until_stopped(scheme: Scheme, stop: StopAt) -> bool:
    """True when the world ended."""
    try:
        with Logbook.of(scheme, on_step=stop, page_size=33) as book:
            book.publish()
    except Stopped:
        return True
    return False


@pytest.mark.parametrize("twice", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_stopped_anywhere_and_started_again_gives_one_and_the_same_log(tmp_path: Path, twice: bool) -> None:
    async with opened(tmp_path) as scheme:
        await trade(scheme)
        with Logbook.of(scheme) as book:  # so that there is a head to go on from
            book.publish()
        await trade(scheme)
        log, spare, names = tmp_path / "log", tmp_path / "spare", set()
        copy(log, spare)
        for at in range(1, 10_000):
            remove(log)
            copy(spare, log)
            stop = StopAt(at)
            if not run_until_stopped(scheme, stop):
                break
            names.add(stop.steps[-1].split(" ")[0])
            with Logbook.of(scheme, on_step=lambda step: None) as book:  # what was assigned stays as it was
                assigned = [(entry.index, entry.source, entry.audit) for entry in book.entries()]
                before = [book.opening(entry, role).leaf_hash() for entry in book.entries() for role in (1, 4)]  # type: ignore[arg-type]
            if twice:
                run_until_stopped(scheme, StopAt(at // 2 + 1))
            with Logbook.of(scheme) as book:
                book.publish()
                entries = book.entries()
                assert [(entry.index, entry.source, entry.audit) for entry in entries][: len(assigned)] == assigned, stop.steps[-1]
                after = [book.opening(entry, role).leaf_hash() for entry in entries for role in (1, 4)]  # type: ignore[arg-type]
                assert after[: len(before)] == before, stop.steps[-1]
                book.check_laws()
                assert book.rebuild().difference is None, stop.steps[-1]
                sources = [entry.source for entry in entries if entry.source[:1] == b"L" and entry.type < 4]
                assert len(sources) == len(set(sources)) == 14, "each movement once"
        assert names >= {"read", "keep", "append", "publish", "write", "sync", "rename"}


def copy(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("where", ["read", "keep", "kept", "append"])
async def test_the_same_publisher_goes_on_after_a_page_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Wherever the page failed, also when it was kept and nobody heard of it, everything comes once and in its place."""
    async with opened(tmp_path) as scheme:
        await trade(scheme)
        failing = [False]

        def fail(step: str) -> None:
            if failing[0] and step == where:
                failing[0] = False
                raise Unavailable(step)

        with Logbook.of(scheme, on_step=fail) as book:
            keep = book.openings.keep

            def keep_and_fail(*arguments: Any) -> None:
                keep(*arguments)
                fail("kept")  # the commit reached the disk, its answer did not reach us

            monkeypatch.setattr(book.openings, "keep", keep_and_fail)
            for _ in range(3):
                failing[0] = True
                with pytest.raises(Unavailable):
                    book.publisher.step()
                book.publish()
                await trade(scheme)
            book.publish()
            sources = [entry.source for entry in book.entries() if entry.source[:1] == b"L" and entry.type < 4]
            assert len(sources) == len(set(sources)) == 4 * 7
            book.check_laws()
            assert book.rebuild().difference is None
