"""A witness answers as C2SP tlog-witness says, in its order, and never cosigns two heads that contradict each other."""

from __future__ import annotations

import base64
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from counterfoil.assurance import witness as module
from counterfoil.assurance.witness import (
    FILE_NAME,
    PROOF_LINES_MAX,
    REQUEST_SIZE_MAX,
    SIZE,
    TEXT,
    Seen,
    Verdict,
    Witness,
    origin_hash,
    remember,
)
from counterfoil.clock import SystemClock
from counterfoil.errors import Unavailable, UnknownFormat
from counterfoil.tlog import cosignature
from counterfoil.tlog.note import Note, Signature, Signer
from tests.assurance.small_log import ORIGIN, SmallLog, body, hash_pair, key, log_signer, witness_signer

NOW_S = 1_800_000_000


class StillClock(SystemClock):
    """Stands still until it is moved, at the end of a second."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def now_ns(self) -> int:
        return self.now_s * 1_000_000_000 + 999_999_999


def opened(folder: Path, *, logs: list[str] | None = None, clock: SystemClock | None = None, name: str = "witness.example/w1") -> Witness:
    remember(folder)
    keys = [log_signer(origin).vkey for origin in (logs if logs is not None else [ORIGIN])]
    return Witness.open(folder, witness_signer(name), keys, clock or StillClock())


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    one = opened(tmp_path)
    yield one
    one.close()


def signature_in(verdict: Verdict) -> Signature:
    assert verdict.status == 200, verdict
    assert verdict.body.startswith("— ".encode())
    assert verdict.body.endswith(b"\n")
    return Signature.parse(verdict.body.decode()[:-1])


def cosigned_time(verdict: Verdict, head: Note, signer: Signer | None = None) -> int:
    """The time of a cosignature that is there and right."""
    return cosignature.verify((signer or witness_signer()).vkey, head.text, signature_in(verdict))


# What is cosigned


def test_a_head_that_continues_the_last_one_is_cosigned(witness: Witness) -> None:
    log = SmallLog(20)
    for old, size in ((0, 1), (1, 2), (2, 2), (2, 7), (7, 8), (8, 20), (20, 20)):
        verdict = witness.add_checkpoint(log.request(old, size))
        assert cosigned_time(verdict, log.head(size)) == NOW_S, (old, size)
        assert verdict.media_type == TEXT
        assert witness.seen() == [Seen(ORIGIN, size, log.root(size), NOW_S)]


def test_every_pair_of_sizes_up_to_17(tmp_path: Path) -> None:
    pairs = [(old, new) for old in range(1, 18) for new in range(old, 18)]
    logs = {pair: SmallLog(17, origin=f"log-{pair[0]}-{pair[1]}.example") for pair in pairs}
    witness = opened(tmp_path, logs=[log.origin for log in logs.values()])
    for (old, new), log in logs.items():
        assert witness.add_checkpoint(log.request(0, old)).status == 200
        assert witness.add_checkpoint(log.request(old, new)).status == 200, (old, new)
    witness.close()


def test_an_empty_log_is_cosigned_and_may_begin(witness: Witness) -> None:
    log = SmallLog(3)
    cosigned_time(witness.add_checkpoint(log.request(0, 0)), log.head(0))
    cosigned_time(witness.add_checkpoint(log.request(0, 0)), log.head(0))
    cosigned_time(witness.add_checkpoint(log.request(0, 3)), log.head(3))


def test_the_longest_proof_has_63_lines(witness: Witness) -> None:
    """From one entry to 2^63-1: the highest size there is."""
    proof = [key(str(number)).encode() for number in range(PROOF_LINES_MAX)]
    first = new = key("leaf").encode()
    for sibling in proof:
        new = hash_pair(new, sibling)
    one, all_ = head_of(ORIGIN, 1, first), head_of(ORIGIN, 2**63 - 1, new)
    assert witness.add_checkpoint(body(0, [], one)).status == 200
    assert witness.add_checkpoint(body(1, [*proof, proof[0]], all_)).status == 400
    assert witness.add_checkpoint(body(1, proof[:-1], all_)).status == 422
    assert witness.add_checkpoint(body(1, proof, all_)).status == 200
    assert witness.seen()[0].size == 2**63 - 1


def head_of(origin: str, size: object, root: bytes, *, more: str = "", signer: Signer | None = None) -> bytes:
    """A signed checkpoint of which nothing needs to be right but the signature."""
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n{more}".encode()
    return Note(text, ((signer or log_signer()).sign(text),)).encode()


# The table. State: the witness has cosigned 5 entries of the log.


def other_root(size: int) -> bytes:
    return head_of(ORIGIN, size, key("other").encode())


def with_bad_signature(log: SmallLog) -> bytes:
    signature = log.head().signatures[0]
    wrong = Signature(signature.name, signature.key_id, bytes(64))
    return Note(log.head().text, (wrong,)).encode()


LOG = SmallLog(9)
HEAD = LOG.head().encode()
PROOF = LOG.consistency(5, 9)
FOREIGN = Signer("somebody.example/log", key("somebody"))
SAME_NAME = Signer(ORIGIN, key("another key"))
LINES = b"".join(base64.b64encode(node) + b"\n" for node in PROOF)

WRONG_EMPTY = body(0, [], head_of(ORIGIN, 0, key("other").encode()))

TABLE: dict[str, tuple[bytes, int, bytes]] = {
    # 400: not in the form
    "nothing": (b"", 400, b"request: must have an empty line before the checkpoint"),
    "no old line": (LINES + b"\n" + HEAD, 400, b"old: "),
    "another word": (b"new 5\n" + LINES + b"\n" + HEAD, 400, b"old: "),
    "leading zero": (b"old 05\n" + LINES + b"\n" + HEAD, 400, b"old: "),
    "a sign": (b"old +5\n" + LINES + b"\n" + HEAD, 400, b"old: "),
    "negative": (b"old -5\n" + LINES + b"\n" + HEAD, 400, b"old: "),
    "no number": (b"old \n" + LINES + b"\n" + HEAD, 400, b"old: "),
    "two spaces": (b"old  5\n" + LINES + b"\n" + HEAD, 400, b"old: "),
    "space at the end": (b"old 5 \n" + LINES + b"\n" + HEAD, 400, b"old: "),
    "carriage return": (b"old 5\r\n" + LINES + b"\n" + HEAD, 400, b"old: "),
    "other digits": ("old ٥\n".encode() + LINES + b"\n" + HEAD, 400, b"old: "),
    "2^63": (body(2**63, PROOF, HEAD), 400, b"old: "),
    "no empty line": (b"old 5\n" + LINES, 400, b"request: "),
    "64 proof lines": (body(5, [bytes(32)] * 64, HEAD), 400, b"proof: must be at most 63 lines"),
    "short hash": (body(5, [*PROOF[:-1], bytes(31)], HEAD), 400, b"proof line %d: " % len(PROOF)),
    "long hash": (body(5, [*PROOF[:-1], bytes(33)], HEAD), 400, b"proof line %d: " % len(PROOF)),
    "no base64": (b"old 5\n" + b"!" * 44 + b"\n\n" + HEAD, 400, b"proof line 1: "),
    "base64 without padding": (b"old 5\n" + LINES.replace(b"=", b"") + b"\n" + HEAD, 400, b"proof line 1: "),
    "base64 with bits left over": (b"old 5\n" + b"A" * 42 + b"B=\n\n" + HEAD, 400, b"proof line 1: "),
    "bytes that are no text": (b"old 5\n\xff\xfe\n\n" + HEAD, 400, b"proof line 1: "),
    "no checkpoint": (body(5, PROOF, b""), 400, b"note: "),
    "no signature": (body(5, PROOF, LOG.head().text), 400, b"note: "),
    "bytes after the note": (body(5, PROOF, HEAD + b"\n"), 400, b"note"),
    "text after the note": (body(5, PROOF, HEAD + b"and more\n"), 400, b"note"),
    "zero byte after the note": (body(5, PROOF, HEAD + b"\0"), 400, b"note"),
    "cut off": (body(5, PROOF, HEAD[:-1]), 400, b"note"),
    "extension line": (body(5, PROOF, head_of(ORIGIN, 9, LOG.root(9), more="more\n")), 400, b"checkpoint: must be three lines"),
    "size with leading zero": (body(5, PROOF, head_of(ORIGIN, "09", LOG.root(9))), 400, b"checkpoint.size: "),
    "size 2^63": (body(5, PROOF, head_of(ORIGIN, 2**63, LOG.root(9))), 400, b"checkpoint.size: "),
    "short root": (body(5, PROOF, head_of(ORIGIN, 9, bytes(31))), 400, b"checkpoint.root: "),
    "too large": (body(5, PROOF, HEAD).ljust(REQUEST_SIZE_MAX + 1, b"x"), 400, b"request: must be at most 131072 bytes"),
    # 404: not our log
    "unknown origin": (SmallLog(9, origin="other.example/log").request(5), 404, b"this log is not one that we witness\n"),
    "unknown origin, our key": (body(5, [], head_of("other.example/log", 9, LOG.root(9))), 404, b"this log is not"),
    # 403: not signed by our log
    "unknown key": (LOG.request(5, signer=FOREIGN), 403, b"no signature by a key of this log\n"),
    "another key under the log's name": (LOG.request(5, signer=SAME_NAME), 403, b"no signature by a key of this log\n"),
    "a signature that fails": (body(5, PROOF, with_bad_signature(LOG)), 403, b"note.signature: "),
    "one that fails beside one that holds": (
        body(5, PROOF, Note(LOG.head().text, (*LOG.head().signatures, *Note.parse(with_bad_signature(LOG)).signatures)).encode()),
        403,
        b"note.signature: ",
    ),
    # 400: going back
    "old above size": (body(10, [], HEAD), 400, b"old: must not be above the checkpoint's size\n"),
    # 409: not where we are
    "old below the last size": (LOG.request(4), 409, b"5\n"),
    "old above the last size": (LOG.request(6), 409, b"5\n"),
    "old 0": (LOG.request(0), 409, b"5\n"),
    # 422: not the same history
    "no proof": (body(5, [], HEAD), 422, b"the consistency proof is empty\n"),
    "proof too short": (body(5, PROOF[:-1], HEAD), 422, b""),
    "proof too long": (body(5, [*PROOF, bytes(32)], HEAD), 422, b""),
    "wrong hash": (body(5, [*PROOF[:-1], bytes(32)], HEAD), 422, b"the log of 9 entries does not continue the one of 5\n"),
    "another root": (body(5, PROOF, other_root(9)), 422, b"the log of 9 entries does not continue the one of 5\n"),
    "another root of the same size": (body(5, [], other_root(5)), 422, b"another root was cosigned for the same size"),
    "a proof for the same size": (body(5, PROOF, LOG.head(5).encode()), 422, b"the consistency proof must be empty\n"),
}


@pytest.mark.parametrize("case", TABLE)
def test_table(witness: Witness, case: str) -> None:
    request, status, said = TABLE[case]
    assert witness.add_checkpoint(LOG.request(0, 5)).status == 200
    before = witness.seen(), witness.newest(origin_hash(ORIGIN))
    verdict = witness.add_checkpoint(request)
    assert (verdict.status, verdict.media_type) == (status, SIZE if status == 409 else TEXT)
    assert verdict.body == said if said.endswith(b"\n") else verdict.body.startswith(said)
    assert verdict.body.endswith(b"\n")
    assert (witness.seen(), witness.newest(origin_hash(ORIGIN))) == before
    assert witness.add_checkpoint(LOG.request(5)).status == 200, "a refusal leaves the witness as it was"


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        (body(0, PROOF, HEAD), 422),
        (WRONG_EMPTY, 422),
        (body(0, [bytes(32)], SmallLog().head().encode()), 422),
        (body(5, PROOF, HEAD), 409),
        (body(0, [], HEAD), 200),
    ],
    ids=["a proof from nothing", "wrong root of an empty log", "a proof between empty logs", "never cosigned", "the first head"],
)
def test_table_of_a_witness_that_has_seen_nothing(witness: Witness, request_body: bytes, status: int) -> None:
    verdict = witness.add_checkpoint(request_body)
    assert verdict.status == status
    assert (verdict.body == b"0\n") is (status == 409)
    assert (verdict.body == b"a log without entries has another root\n") is (request_body == WRONG_EMPTY)
    assert len(witness.seen()) == (status == 200)


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        (b"old x\n\n" + head_of("other.example/log", 3, bytes(32)), 400),
        (body(9, [bytes(32)], head_of("other.example/log", 3, bytes(32), signer=FOREIGN)), 404),
        (body(9, [bytes(32)], head_of(ORIGIN, 3, bytes(32), signer=FOREIGN)), 403),
        (body(9, [bytes(32)], head_of(ORIGIN, 3, bytes(32))), 400),
        (body(2, [bytes(32)], head_of(ORIGIN, 3, bytes(32))), 409),
        (body(0, [bytes(32)], head_of(ORIGIN, 0, bytes(32))), 409),
        (body(5, [bytes(32)], head_of(ORIGIN, 5, bytes(32))), 422),
    ],
    ids=["form", "origin", "signature", "old above size", "old not the last", "old not the last, before an empty log's root", "proof"],
)
def test_the_first_rule_that_is_broken_decides(witness: Witness, request_body: bytes, status: int) -> None:
    """Each request breaks all later rules that it can break, too."""
    assert witness.add_checkpoint(LOG.request(0, 5)).status == 200
    assert witness.add_checkpoint(request_body).status == status


def test_signatures_of_unknown_kinds_and_keys_are_ignored_and_not_passed_on(witness: Witness) -> None:
    head = LOG.head()
    strange = (
        Signature("future.example/log", b"\1\2\3\4", b"\x06" * 2_428),
        Signature(ORIGIN, b"\0\0\0\0", b"short"),
        cosignature.cosign(head.text, witness_signer("witness.example/w2"), 7),
    )
    note = Note(head.text, (*strange[:2], *head.signatures, strange[2]))
    verdict = witness.add_checkpoint(body(0, [], note.encode()))
    own = signature_in(verdict)
    assert witness.newest(origin_hash(ORIGIN)) == Note(head.text, (*head.signatures, own)).encode()


def test_a_log_may_have_two_keys(tmp_path: Path) -> None:
    """While it changes from one to the other."""
    remember(tmp_path)
    witness = Witness.open(tmp_path, witness_signer(), [LOG.signer.vkey, SAME_NAME.vkey], StillClock())
    assert witness.add_checkpoint(LOG.request(0, 5)).status == 200
    assert witness.add_checkpoint(LOG.request(5, 9, signer=SAME_NAME)).status == 200
    witness.close()


def test_logs_do_not_mix(tmp_path: Path) -> None:
    other = SmallLog(4, origin="other.example/log")
    witness = opened(tmp_path, logs=[ORIGIN, other.origin])
    assert witness.add_checkpoint(LOG.request(0, 5)).status == 200
    assert witness.add_checkpoint(other.request(0)).status == 200
    assert witness.add_checkpoint(LOG.request(5)).status == 200
    assert [(head.origin, head.size) for head in witness.seen()] == [(ORIGIN, 9), (other.origin, 4)]
    witness.close()


def test_the_newest_checkpoint_is_offered_with_both_signatures(witness: Witness) -> None:
    assert witness.newest(origin_hash(ORIGIN)) is None
    verdict = witness.add_checkpoint(LOG.request(0))
    data = witness.newest(origin_hash(ORIGIN))
    assert data is not None
    note = Note.parse(data)
    assert [signed for signed, _ in note.verified_by([LOG.signer.vkey, witness_signer().vkey])] == [LOG.signer.vkey, witness_signer().vkey]
    assert note.signatures[1] == signature_in(verdict)


# Memory


def test_what_was_cosigned_is_known_after_a_restart(tmp_path: Path) -> None:
    witness = opened(tmp_path)
    assert witness.add_checkpoint(LOG.request(0, 5)).status == 200
    witness.close()
    again = opened(tmp_path)
    assert again.add_checkpoint(LOG.request(0)).body == b"5\n"
    fork = LOG.fork(at=4, story="false")
    assert again.add_checkpoint(fork.request(5)).status == 422
    assert again.add_checkpoint(LOG.request(5)).status == 200
    again.close()


def test_a_witness_without_its_memory_does_not_begin_anew(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="must take a new key"):
        Witness.open(tmp_path, witness_signer(), [], StillClock())
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(UnknownFormat):
        Witness.open(tmp_path, witness_signer(), [], StillClock())
    assert (tmp_path / FILE_NAME).stat().st_size == 0


@pytest.mark.parametrize("content", [b"no database at all, but longer than a header would be " * 10, None])
def test_a_memory_that_is_something_else_is_left_alone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / FILE_NAME
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (a)")
        db.close()
    else:
        path.write_bytes(content)
    with pytest.raises((Unavailable, UnknownFormat)):
        Witness.open(tmp_path, witness_signer(), [], StillClock())
    with pytest.raises((Unavailable, UnknownFormat)):
        remember(tmp_path)


def test_remembering_twice_forgets_nothing(tmp_path: Path) -> None:
    witness = opened(tmp_path)
    assert witness.add_checkpoint(LOG.request(0)).status == 200
    remember(tmp_path)
    assert len(witness.seen()) == 1
    witness.close()


def test_commits_wait_for_the_disk(witness: Witness) -> None:
    assert witness._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert witness._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
def test_nothing_is_cosigned_when_it_cannot_be_remembered(tmp_path: Path, when: str) -> None:
    witness = opened(tmp_path)
    assert witness.add_checkpoint(LOG.request(0, 5)).status == 200
    other = sqlite3.connect(tmp_path / FILE_NAME)
    other.execute(f"CREATE TRIGGER broken {when} UPDATE ON heads BEGIN SELECT RAISE(FAIL, 'the disk is full'); END")
    with pytest.raises(Unavailable, match="the disk is full"):
        witness.add_checkpoint(LOG.request(5))
    assert witness.seen()[0].size == 5
    other.execute("DROP TRIGGER broken")
    assert witness.add_checkpoint(LOG.request(5)).status == 200
    other.close()
    witness.close()


def test_a_busy_memory_is_waited_for_and_then_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.1)
    witness = opened(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        witness.add_checkpoint(LOG.request(0))
    other.execute("ROLLBACK")
    assert witness.add_checkpoint(LOG.request(0)).status == 200
    other.close()
    witness.close()


def test_a_closed_witness_says_so(witness: Witness) -> None:
    witness.close()
    with pytest.raises(Unavailable):
        witness.add_checkpoint(LOG.request(0))
    with pytest.raises(Unavailable):
        witness.seen()


# Two at a time

ROUNDS = 40


def test_of_two_requests_at_one_time_one_is_cosigned(tmp_path: Path) -> None:
    """The rollback race of tlog-witness: N and N+K from the same old size, by threads of one process, over one and two connections."""
    log = SmallLog(3 * ROUNDS + 3)
    witness, second = opened(tmp_path), opened(tmp_path)
    size = 0
    for number in range(ROUNDS):
        requests = [log.request(size, size + 1), log.request(size, size + 3)]
        verdicts = together([witness, second if number % 2 else witness], requests)
        assert sorted(verdict.status for verdict in verdicts) == [200, 409]
        won = next(index for index, verdict in enumerate(verdicts) if verdict.status == 200)
        size += (1, 3)[won]
        assert verdicts[1 - won].body == b"%d\n" % size
        assert witness.seen()[0].size == size
    witness.close()
    second.close()


def together(witnesses: list[Witness], requests: list[bytes]) -> list[Verdict]:
    barrier = threading.Barrier(len(requests))
    verdicts: dict[int, Verdict] = {}

    def ask(index: int) -> None:
        barrier.wait(10)
        verdicts[index] = witnesses[index].add_checkpoint(requests[index])

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [verdicts[index] for index in range(len(requests))]


def test_two_heads_that_contradict_each_other_at_one_time(tmp_path: Path) -> None:
    for number in range(10):
        log = SmallLog(8)
        fork = log.fork(at=5, story="false")
        witness, second = opened(tmp_path / str(number)), opened(tmp_path / str(number))
        assert witness.add_checkpoint(log.request(0, 5)).status == 200
        verdicts = together([witness, second], [log.request(5), fork.request(5)])
        assert sorted(verdict.status for verdict in verdicts) == [200, 409]
        witness.close()
        second.close()


def test_the_time_is_that_of_the_transaction(tmp_path: Path) -> None:
    """ "At T this was the largest tree that I had seen": who had to wait for another's larger head does not sign with an earlier time."""
    clock = StillClock()
    witness = opened(tmp_path, clock=clock)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    verdicts: list[Verdict] = []
    waiting = threading.Thread(target=lambda: verdicts.append(witness.add_checkpoint(LOG.request(0))))
    waiting.start()
    waiting.join(0.3)
    assert verdicts == []
    clock.now_s += 100
    other.execute("ROLLBACK")
    waiting.join(30)
    assert cosigned_time(verdicts[0], LOG.head()) == NOW_S + 100
    other.close()
    witness.close()


def climb_in_a_process(
    folder: Path, story: str, size: int, barrier: Barrier, results: multiprocessing.SimpleQueue[list[tuple[int, bytes]]]
) -> None:
    """Pushes one history as far as the witness lets it; every cosignature it got."""
    log = SmallLog(4, story="true")
    log = SmallLog(size, story=story, leaves=log.leaves)
    witness = opened(folder)
    got: list[tuple[int, bytes]] = []
    at = 0
    barrier.wait(60)
    for _ in range(4 * size):
        verdict = witness.add_checkpoint(log.request(at, min(at + 1, size)))
        if verdict.status == 200:
            at = min(at + 1, size)
            got.append((at, log.root(at)))
        elif verdict.status == 409:
            at = min(int(verdict.body), size)
    witness.close()
    results.put(got)


def test_two_processes_on_one_folder_never_cosign_two_histories(tmp_path: Path) -> None:
    remember(tmp_path)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.SimpleQueue()
    size = 40
    stories = ("true", "false")  # they agree on the first four entries
    processes = [context.Process(target=climb_in_a_process, args=(tmp_path, story, size, barrier, results)) for story in stories]
    for process in processes:
        process.start()
    got = [results.get() for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    roots = {entry for each in got for entry in each}
    sizes = [entry[0] for entry in roots]
    assert len(sizes) == len(set(sizes)), "two roots of one size"
    first = SmallLog(4)
    histories = [SmallLog(size, story=story, leaves=first.leaves) for story in stories]
    whole = [all(root == history.root(at) for at, root in roots) for history in histories]
    assert sorted(whole) == [False, True], "every cosignature is of one and the same history"
    assert max(sizes) == size
