"""The real log and real witnesses: what is published as witnessed, while the log grows under the asking."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from counterfoil.assurance.witnesses import Witnesses, consistency_of
from counterfoil.tlog.log import Log
from counterfoil.tlog.note import Note
from counterfoil.tlog.published import PublishedLog
from tests.assurance.network import NOW_S, Network, policy_of
from tests.assurance.small_log import log_signer

POLICY = policy_of(5, 4)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "log", log_signer()) as one:
        yield one


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    one = Network(tmp_path, 5)
    yield one
    one.close()


def grow(log: Log, count: int) -> None:
    begin = log.appended
    log.append([b"entry %d" % number for number in range(begin, begin + count)])
    log.publish()


def asking(log: Log, folder: Path, network: Network) -> Witnesses:
    published = PublishedLog(folder / "log")

    async def keep(note: Note) -> None:
        log.keep_witnessed(note)

    return Witnesses(
        policy=POLICY,
        newest=published.checkpoint,
        consistency=consistency_of(published),
        keep=keep,
        post=network.post,
        clock=network.clock,
        grace_s=5,
    )


async def test_what_reached_the_quorum_is_published(tmp_path: Path, log: Log, network: Network) -> None:
    asker, published = asking(log, tmp_path, network), PublishedLog(tmp_path / "log")
    sizes = []
    for count in (0, 1, 2, 250, 10, 300, 0, 700):
        grow(log, count)
        for clock in network.clocks:
            clock.pass_s(10)
        note = await asker.step()
        assert note is not None, asker.problem
        assert published.witnessed() == note
        quorum = POLICY.satisfied(note)
        assert quorum.checkpoint == log.head
        assert len(quorum.times) == 5
        sizes.append(log.head.size)
    heads = list(published.heads())
    assert [POLICY.satisfied(head).checkpoint.size for head in heads] == sizes
    assert [max(POLICY.satisfied(head).times.values()) for head in heads] == [NOW_S + 10 * number for number in range(1, 9)]


async def test_the_log_grows_while_the_witnesses_are_asked(tmp_path: Path, log: Log, network: Network) -> None:
    """Partial tiles of the head that is being asked about are gone by then; the proof is made from the larger ones."""
    asker = asking(log, tmp_path, network)
    grow(log, 100)
    assert await asker.step() is not None
    grow(log, 3)
    gone: list[bool] = []

    async def slowly(body: bytes) -> tuple[int, bytes]:
        grow(log, 20)
        gone.append(True)
        return 409, b"50\n"  # so that a proof is needed for which nothing was read yet

    network.answers["w1"] = slowly
    note = await asker.step()
    assert note is not None
    assert POLICY.satisfied(note).checkpoint.size == 103, "the head that they were asked about"
    assert len(gone) == 2
    assert asker.status()[0].problem == "it refuses the size 50, and names the same one"
    network.answers.clear()
    note = await asker.step()
    assert note is not None
    assert POLICY.satisfied(note).checkpoint == log.head


async def test_who_starts_anew_after_the_log_has_grown_a_lot(tmp_path: Path, log: Log, network: Network) -> None:
    grow(log, 7)
    assert await asking(log, tmp_path, network).step() is not None
    for _ in range(5):
        grow(log, 333)
    again = asking(log, tmp_path, network)
    note = await again.step()
    assert note is not None, again.problem
    assert POLICY.satisfied(note).checkpoint.size == 7 + 5 * 333


async def test_missing_tiles_are_said_and_nobody_waits_for_them(tmp_path: Path, log: Log, network: Network) -> None:
    grow(log, 300)
    assert await asking(log, tmp_path, network).step() is not None
    grow(log, 300)
    shutil.rmtree(tmp_path / "log" / "public" / "tile" / "0")
    again = asking(log, tmp_path, network)
    async with asyncio.timeout(30):
        assert await again.step() is None
    assert all("the files of our own log cannot be read" in (status.problem or "") for status in again.status())
