"""The log's side: collects cosignatures, believes none that is not the witness's own, and goes on without those who are away."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from counterfoil.assurance import witnesses as module
from counterfoil.assurance.witnesses import Witnesses, refusal_words, request, skew_words
from counterfoil.errors import Conflict, Unavailable
from counterfoil.tlog import cosignature
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.note import Note, Signature, Signer
from counterfoil.tlog.types import NotProven
from tests.assurance.network import NOW_S, HandClock, Network, Publishing, key_name, policy_of
from tests.assurance.small_log import SmallLog, body, key, witness_signer

POLICY = policy_of(5, 4)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    one = Network(tmp_path, 5)
    yield one
    one.close()


def problems(asker: Witnesses) -> list[str | None]:
    return [status.problem for status in asker.status()]


# When all goes well


async def test_a_head_that_all_cosign_is_published_with_all_cosignatures(network: Network) -> None:
    publishing = Publishing(network, POLICY, SmallLog(7))
    note = await publishing.asker.step()
    assert note is not None
    assert publishing.kept == [note]
    quorum = POLICY.satisfied(note)
    assert quorum.names == ("w1", "w2", "w3", "w4", "w5")
    assert set(quorum.times.values()) == {NOW_S}
    assert quorum.checkpoint == Checkpoint(publishing.log.origin, 7, publishing.log.root(7))
    assert publishing.asker.problem is None
    for number, status in enumerate(publishing.asker.status(), 1):
        assert (status.name, status.url) == (key_name(number), f"https://w{number}.example/sub/")
        assert (status.size, status.cosigned_at, status.succeeded_at) == (7, NOW_S * 10**9, NOW_S * 10**9)
        assert (status.problem, status.remark, status.skew_s) == (None, None, 0)


async def test_what_is_sent_is_what_the_specification_says(network: Network) -> None:
    publishing = Publishing(network, POLICY, SmallLog(3))
    await publishing.asker.step()
    publishing.log.grow(7)
    await publishing.asker.step()
    assert [sent for name, sent in network.asked if name == "w1"] == [publishing.log.request(0, 3), publishing.log.request(3, 7)]
    assert request(3, publishing.log.consistency(3, 7), publishing.log.head()) == publishing.log.request(3, 7)


async def test_a_head_that_has_not_grown_is_cosigned_anew(network: Network) -> None:
    publishing = Publishing(network, POLICY, SmallLog(3))
    await publishing.asker.step()
    for clock in network.clocks:
        clock.pass_s(10)
    note = await publishing.asker.step()
    assert note is not None
    assert set(POLICY.satisfied(note).times.values()) == {NOW_S + 10}
    assert [name for name, _ in network.asked].count("w1") == 2, "without a 409 in between"


async def test_a_log_that_grows_is_followed(network: Network) -> None:
    publishing = Publishing(network, POLICY, SmallLog(1))
    for size in (1, 2, 5, 5, 17, 40):
        publishing.log.grow(size)
        note = await publishing.asker.step()
        assert note is not None
        assert POLICY.satisfied(note).checkpoint.size == size
    assert len(network.asked) == 6 * 5


async def test_before_the_first_head_nobody_is_asked(network: Network) -> None:
    publishing = Publishing(network, POLICY, SmallLog())
    assert await publishing.asker.step() is None
    assert publishing.asker.problem == "the log has not signed a head yet"
    assert network.asked == []


async def test_a_witness_without_an_address_is_not_asked(network: Network) -> None:
    policy = policy_of(5, 4, without_url=1)
    publishing = Publishing(network, policy, SmallLog(3))
    note = await publishing.asker.step()
    assert note is not None
    assert policy.satisfied(note).names == ("w1", "w2", "w3", "w4")
    assert len(publishing.asker.status()) == 4


# 409


async def test_who_starts_anew_learns_the_size_from_the_witness(network: Network) -> None:
    log = SmallLog(5)
    await Publishing(network, POLICY, log).asker.step()
    log.grow(9)
    again = Publishing(network, POLICY, log)
    network.asked.clear()
    assert await again.asker.step() is not None
    assert [sent for name, sent in network.asked if name == "w1"] == [log.request(0), log.request(5)]


@pytest.mark.parametrize("text", [b"", b"5", b"5\n\n", b"05\n", b"-5\n", b"5 \n", b"five\n", b"\xff\n", b"9" * 20 + b"\n", b"<html>"])
async def test_a_409_without_a_size_is_said_in_words(network: Network, text: bytes) -> None:
    network.break_("w1", 409, text)
    publishing = Publishing(network, POLICY, SmallLog(7))
    assert await publishing.asker.step() is not None
    assert problems(publishing.asker)[0] == "it answered 409 without the size that it cosigned last"


async def test_a_witness_that_names_a_larger_size_is_asked_anew_later(network: Network) -> None:
    """It may be wrong; or the log has lost what it published, and then the sentence matters."""
    network.break_("w1", 409, b"1000\n")
    publishing = Publishing(network, POLICY, SmallLog(7))
    assert await publishing.asker.step() is not None
    assert problems(publishing.asker)[0] == "it says that it cosigned 1000 entries, and our newest head has 7"
    del network.answers["w1"]
    await publishing.asker.step()
    assert problems(publishing.asker)[0] is None


async def test_a_witness_that_never_agrees_on_a_size_is_not_asked_for_ever(network: Network) -> None:
    sizes = iter(range(1, 100))

    async def answer(_: bytes) -> tuple[int, bytes]:
        return 409, b"%d\n" % (next(sizes) % 7)

    network.answers["w1"] = answer
    network.break_("w2", 409, b"0\n")
    publishing = Publishing(network, policy_of(5, 3), SmallLog(7))
    assert await publishing.asker.step() is not None
    assert problems(publishing.asker)[:2] == ["it named another size 3 times in a row", "it refuses the size 0, and names the same one"]
    assert [name for name, _ in network.asked].count("w1") == 3


# Answers that do not count

HEAD = SmallLog(7).head()


def line(signer: Signer, text: bytes = HEAD.text, time_s: int = NOW_S) -> bytes:
    return cosignature.cosign(text, signer, time_s).line()


def flipped(data: bytes) -> bytes:
    own = Signature.parse(data.decode()[:-1])
    return Signature(own.name, own.key_id, own.signature[:-1] + bytes([own.signature[-1] ^ 1])).line()


OWN = witness_signer(key_name(1))
OTHER = witness_signer(key_name(2))
SAME_NAME = Signer(key_name(1), key("thief"), 4)
ANSWERS: dict[str, tuple[int, bytes, str]] = {
    "nothing": (200, b"", "its answer is not made of signature lines"),
    "garbage": (200, b"<html>welcome</html>\n", "its answer is not made of signature lines"),
    "bytes": (200, b"\xff\x00\xfe", "its answer is not made of signature lines"),
    "no newline": (200, line(OWN)[:-1], "its answer is not made of signature lines"),
    "text after it": (200, line(OWN) + b"and more\n", "its answer is not made of signature lines"),
    "an empty line before": (200, b"hello\n\n" + line(OWN), "its answer has empty lines"),
    "an empty line after": (200, line(OWN) + b"\n", "its answer"),
    "101 lines": (200, line(OTHER) * 100 + line(OWN), "its answer is not made of signature lines"),
    "another witness's": (200, line(OTHER), "its answer has no signature by the key that the policy names"),
    "another key under its name": (200, line(SAME_NAME), "its answer has no signature by the key that the policy names"),
    "the log's own": (200, HEAD.signatures[0].line(), "its answer has no signature by the key that the policy names"),
    "of another head": (200, line(OWN, SmallLog(6).head().text), "its cosignature is not valid"),
    "of another history": (200, line(OWN, SmallLog(7, story="false").head().text), "its cosignature is not valid"),
    "one bit wrong": (200, flipped(line(OWN)), "its cosignature is not valid"),
    "too short": (200, Signature(OWN.name, OWN.vkey.key_id, bytes(71)).line(), "its cosignature is not valid"),
    "without a time": (200, line(OWN, time_s=0), "its cosignature has no time"),
    "too large": (200, line(OWN) + b"x" * 70_000, "it answered 200 with more than 65536 bytes"),
    "a redirect": (302, b"moved", "it answered 302: a redirect, and those are not followed"),
    "a permanent redirect": (308, b"", "it answered 308: a redirect, and those are not followed"),
    "not known": (404, b"this log is not one that we witness\n", "it answered 404: this log is not one that we witness"),
    "forbidden": (403, b"", "it answered 403"),
    "refused": (422, b"the log has two histories\n", "it answered 422: the log has two histories"),
    "broken": (500, b"\x1b[31mred\x07", "it answered 500: \ufffd[31mred\ufffd"),
    "busy": (503, b"x" * 1_000, f"it answered 503: {'x' * 200}"),
    "created": (201, line(OWN), "it answered 201"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_that_is_no_cosignature_does_not_count(network: Network, case: str) -> None:
    status, answer, said = ANSWERS[case]
    network.break_("w1", status, answer)
    publishing = Publishing(network, POLICY, SmallLog(7))
    note = await publishing.asker.step()
    assert note is not None, "four of five are enough"
    assert POLICY.satisfied(note).names == ("w2", "w3", "w4", "w5")
    problem = problems(publishing.asker)[0]
    assert problem is not None
    assert problem.startswith(said)
    assert publishing.asker.status()[0].size == 0
    assert publishing.asker.status()[0].asked_at == NOW_S * 10**9
    network.cut("w2")
    assert await publishing.asker.step() is None, "and three are not"
    assert len(publishing.kept) == 1
    assert "not reached" in (publishing.asker.problem or "")


async def test_lines_of_others_beside_its_own_are_ignored(network: Network) -> None:
    strange = Signature("future.example/w", b"\1\2\3\4", b"\x06" * 2_428).line()
    network.break_("w1", 200, strange + line(OTHER) + line(OWN) + HEAD.signatures[0].line())
    publishing = Publishing(network, POLICY, SmallLog(7))
    note = await publishing.asker.step()
    assert note is not None
    assert [signature.name for signature in note.signatures] == [publishing.log.origin, *(key_name(number) for number in range(1, 6))]


# Away, slow, back


async def test_one_away_is_no_matter_and_is_said(network: Network) -> None:
    network.cut("w3")
    publishing = Publishing(network, POLICY, SmallLog(7))
    note = await publishing.asker.step()
    assert note is not None
    assert POLICY.satisfied(note).names == ("w1", "w2", "w4", "w5")
    assert problems(publishing.asker) == [None, None, "Cannot connect to host", None, None]
    assert publishing.asker.problem is None


async def test_two_away_and_nothing_is_published_until_one_is_back(network: Network) -> None:
    network.cut("w3")
    network.cut("w5")
    publishing = Publishing(network, POLICY, SmallLog(7))
    assert await publishing.asker.step() is None
    assert publishing.kept == []
    assert publishing.asker.problem == (
        "the head of 7 entries is not witnessed: the quorum all-of-them is not reached: cosigned by w1, w2, w4; "
        "body3.example/witness: Cannot connect to host; body5.example/witness: Cannot connect to host"
    )
    publishing.log.grow(9)
    network.answers.clear()
    note = await publishing.asker.step()
    assert note is not None
    assert POLICY.satisfied(note).checkpoint.size == 9
    assert publishing.asker.problem is None
    assert problems(publishing.asker) == [None] * 5


async def test_a_slow_witness_holds_up_nobody(network: Network) -> None:
    """The head is published when the quorum is reached, and the slow one is given up at its time-out."""
    network.hang("w2")
    publishing = Publishing(network, POLICY, SmallLog(7), timeout_s=3, grace_s=0.05)
    begun = time.monotonic()
    kept_after: list[float] = []
    publishing.asker._keep = lambda note: _note(kept_after, begun)
    assert await publishing.asker.step() is not None
    assert kept_after[0] < 2.5
    assert problems(publishing.asker)[1] == "no cosignature within 3 s"
    assert time.monotonic() - begun < 60


async def _note(times: list[float], begun: float) -> None:
    times.append(time.monotonic() - begun)


async def test_one_that_answers_within_the_grace_is_still_in_the_note(network: Network) -> None:
    async def late(sent: bytes) -> tuple[int, bytes]:
        await asyncio.sleep(0.1)
        return await network.real("w5", sent)

    network.answers["w5"] = late
    publishing = Publishing(network, POLICY, SmallLog(7), grace_s=5)
    note = await publishing.asker.step()
    assert note is not None
    assert len(POLICY.satisfied(note).times) == 5


async def test_the_time_out_covers_all_requests_of_a_round(network: Network) -> None:
    async def slow(sent: bytes) -> tuple[int, bytes]:
        await asyncio.sleep(0.2)
        return 409, b"%d\n" % len(network.asked)

    network.answers["w1"] = slow
    publishing = Publishing(network, POLICY, SmallLog(70), timeout_s=0.3)
    assert await publishing.asker.step() is not None
    assert problems(publishing.asker)[0] == "no cosignature within 0.3 s"


async def test_one_that_stays_away_is_asked_less_often_and_back_within_a_minute(network: Network) -> None:
    network.cut("w1")
    publishing = Publishing(network, POLICY, SmallLog(7))
    asked_at = []
    for _ in range(60):
        before = sum(name == "w1" for name, _ in network.asked)
        await publishing.asker.step()
        if sum(name == "w1" for name, _ in network.asked) > before:
            asked_at.append(int(network.clock.passed_s))
        network.clock.pass_s(10)
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert gaps[:4] == [10, 10, 20, 40]
    assert set(gaps[4:]) == {60}
    del network.answers["w1"]
    for _ in range(6):
        await publishing.asker.step()
        network.clock.pass_s(10)
    assert problems(publishing.asker)[0] is None
    before = len(network.asked)
    await publishing.asker.step()
    assert len(network.asked) == before + 5, "asked each time again"


async def test_an_answer_that_was_lost_costs_one_more_request(network: Network) -> None:
    """The witness has cosigned, and its answer never arrived."""

    async def lost(sent: bytes) -> tuple[int, bytes]:
        await network.real("w1", sent)
        raise Unavailable("the connection broke")

    network.answers["w1"] = lost
    publishing = Publishing(network, POLICY, SmallLog(7))
    await publishing.asker.step()
    publishing.log.grow(9)
    network.answers.clear()
    note = await publishing.asker.step()
    assert note is not None
    assert len(POLICY.satisfied(note).times) == 5


# Clocks


@pytest.mark.parametrize(
    ("offset_s", "words"),
    [
        (60, None),
        (-60, None),
        (61, "its clock is 1 min 1 s ahead of ours; the time in its cosignatures is its own"),
        (-3 * 3600, "its clock is 3 h 0 min behind ours; the time in its cosignatures is its own"),
        (26 * 3600 + 90, "its clock is 26 h 1 min ahead of ours; the time in its cosignatures is its own"),
    ],
)
async def test_a_wrong_clock_counts_and_is_remarked_upon(network: Network, offset_s: int, words: str | None) -> None:
    network.clocks[1].now_s += offset_s
    publishing = Publishing(network, POLICY, SmallLog(7))
    note = await publishing.asker.step()
    assert note is not None
    times = POLICY.satisfied(note).times
    assert times == {"w1": NOW_S, "w2": NOW_S + offset_s, "w3": NOW_S, "w4": NOW_S, "w5": NOW_S}, "as the witness says, not as we think"
    status = publishing.asker.status()[1]
    assert (status.remark, status.problem, status.skew_s) == (words, None, offset_s)
    assert (status.cosigned_at, status.succeeded_at) == ((NOW_S + offset_s) * 10**9, NOW_S * 10**9)
    assert skew_words(offset_s) == words
    network.clocks[1].now_s = NOW_S
    await publishing.asker.step()
    assert publishing.asker.status()[1].remark is None


@pytest.mark.parametrize("days", [8, 400_000_000])
async def test_a_time_in_the_far_future_does_not_count(network: Network, days: int) -> None:
    """It would stand in the log's files for good, and one witness could stop the log with a time that no calendar has."""
    network.clocks[1].now_s += days * 86_400
    publishing = Publishing(network, POLICY, SmallLog(7))
    note = await publishing.asker.step()
    assert note is not None
    assert POLICY.satisfied(note).names == ("w1", "w3", "w4", "w5")
    assert problems(publishing.asker)[1] == f"its cosignature is not used: its clock is {days} days ahead of ours"


async def test_witnesses_whose_clocks_are_all_wrong_still_make_a_quorum(network: Network) -> None:
    for hours, clock in zip((-30, -2, 1, 5, 48), network.clocks, strict=True):
        clock.now_s += hours * 3600
    publishing = Publishing(network, POLICY, SmallLog(7))
    note = await publishing.asker.step()
    assert note is not None
    assert [(at - NOW_S) // 3600 for at in POLICY.satisfied(note).times.values()] == [-30, -2, 1, 5, 48]


async def test_our_own_clock_jumping_does_not_change_whom_we_ask(network: Network) -> None:
    network.cut("w1")
    publishing = Publishing(network, POLICY, SmallLog(7))
    for _ in range(5):
        await publishing.asker.step()
        network.clock.pass_s(10)
    asked = len(network.asked)
    network.clock.now_s -= 7 * 24 * 3600
    await publishing.asker.step()
    network.clock.pass_s(60)
    await publishing.asker.step()
    assert [name for name, _ in network.asked[asked:]].count("w1") == 1


# The operator's other histories


async def test_a_fork_is_refused_by_those_who_saw_the_other_history(network: Network) -> None:
    log = SmallLog(7)
    await Publishing(network, POLICY, log).asker.step()
    publishing = Publishing(network, POLICY, log.fork(at=3, story="false"))
    publishing.log.grow(9)
    assert await publishing.asker.step() is None
    assert publishing.kept == []
    assert problems(publishing.asker) == ["it answered 422: the log of 9 entries does not continue the one of 7"] * 5


async def test_a_log_that_shrank_is_noticed(network: Network) -> None:
    log = SmallLog(7)
    await Publishing(network, POLICY, log).asker.step()
    publishing = Publishing(network, POLICY, SmallLog(5))
    assert await publishing.asker.step() is None
    assert problems(publishing.asker) == ["it says that it cosigned 7 entries, and our newest head has 5"] * 5
    assert "not witnessed" in (publishing.asker.problem or "")


# Running


async def test_it_runs_until_it_is_stopped(network: Network) -> None:
    publishing = Publishing(network, POLICY, SmallLog(7))
    publishing.asker._interval_s = 0.01
    running = asyncio.create_task(publishing.asker.run())
    async with asyncio.timeout(60):
        while len(publishing.kept) < 3:
            await asyncio.sleep(0.01)
        publishing.asker.stop()
        await running


async def test_stopping_breaks_off_a_witness_that_hangs(network: Network) -> None:
    network.hang("w1")
    network.hang("w2")
    publishing = Publishing(network, POLICY, SmallLog(7), timeout_s=60)
    running = asyncio.create_task(publishing.asker.run())
    async with asyncio.timeout(30):
        while len(network.asked) < 5:
            await asyncio.sleep(0.01)
        publishing.asker.stop()
        await running
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_trouble_with_the_disk_ends_a_round_and_not_the_rounds(network: Network) -> None:
    publishing = Publishing(network, POLICY, SmallLog(7))
    publishing.asker._interval_s = 0.01
    trouble: list[Exception] = [
        OSError(28, "No space left on device"),
        Conflict("the log is busy"),
        NotProven("a step back"),
    ]
    seen: list[str | None] = []

    async def keep(note: Note) -> None:
        seen.append(publishing.asker.problem)
        if trouble:
            raise trouble.pop(0)
        publishing.kept.append(note)

    publishing.asker._keep = keep
    running = asyncio.create_task(publishing.asker.run())
    async with asyncio.timeout(60):
        while not publishing.kept:
            await asyncio.sleep(0.01)
        publishing.asker.stop()
        await running
    assert seen[:4] == [
        None,
        "the round did not come to its end: [Errno 28] No space left on device",
        "the round did not come to its end: the log is busy",
        "the round did not come to its end: a step back",
    ]


async def test_a_bug_ends_it_with_the_bug(network: Network) -> None:
    publishing = Publishing(network, POLICY, SmallLog(7))

    async def broken(_: bytes) -> tuple[int, bytes]:
        raise ZeroDivisionError

    network.answers["w1"] = broken
    with pytest.raises(ZeroDivisionError):
        await publishing.asker.run()


async def test_trouble_with_our_own_files_is_not_the_witnesses_fault(network: Network) -> None:
    log = SmallLog(5)
    publishing = Publishing(network, POLICY, log)
    await publishing.asker.step()
    log.grow(9)

    def missing(old: int, new: int) -> list[bytes]:
        raise FileNotFoundError("tile/0/000.p/5")

    publishing.asker._consistency = missing
    asked = len(network.asked)
    for _ in range(3):
        assert await publishing.asker.step() is None
    assert len(network.asked) == asked
    assert problems(publishing.asker) == ["it could not be asked: the files of our own log cannot be read (tile/0/000.p/5)"] * 5
    publishing.asker._consistency = log.consistency
    note = await publishing.asker.step()
    assert note is not None, "asked again at once"
    assert len(POLICY.satisfied(note).times) == 5


async def test_reading_the_log_is_one_call_at_a_time(network: Network) -> None:
    log = SmallLog(5)
    await Publishing(network, POLICY, log).asker.step()
    log.grow(9)
    publishing = Publishing(network, POLICY, log)
    inside, most = 0, 0

    def consistency(old: int, new: int) -> list[bytes]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return log.consistency(old, new)

    publishing.asker._consistency = consistency
    assert await publishing.asker.step() is not None
    assert most == 1


def test_words_of_refusals() -> None:
    assert refusal_words(500, b"one\ntwo\n") == "it answered 500: one"
    assert refusal_words(500, b"\xff") == "it answered 500: \ufffd"


def test_the_numbers_fit_each_other() -> None:
    assert module.TIMEOUT_S + module.GRACE_S < module.INTERVAL_S, "a round ends before the next begins"
    assert HandClock().now_ns() == NOW_S * 10**9
    assert body(0, [], b"x") == b"old 0\n\nx"
