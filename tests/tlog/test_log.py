"""The sequencer: what is signed is durable and right, and whatever stops it, it never contradicts itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from counterfoil.errors import Conflict, Malformed
from counterfoil.tlog.check import verify_folder
from counterfoil.tlog.checkpoint import Checkpoint, open_checkpoint, sign
from counterfoil.tlog.entry import EntryType, Role
from counterfoil.tlog.head import decode_head, encode_head
from counterfoil.tlog.keys import Signature, Signer
from counterfoil.tlog.log import Log, PublishedLog
from counterfoil.tlog.merkle import EMPTY_ROOT, leaf_hash, root_of
from counterfoil.tlog.note import Note
from counterfoil.tlog.types import NotProven
from tests.tlog import logs
from tests.tlog.logs import LOG_KEY, MIDNIGHT_S, ORIGIN, POLICY, SIGNER, RecordingSigner, append, entry, head_note, tree, witnessed

Action = tuple[str, int]
PLAN: list[Action] = [
    ("publish", 3),
    ("witness", 0),
    ("publish", 257),
    ("publish", 300),
    ("witness", 10),
    ("publish", 513),
    ("witness", 10),
]
"""Sizes to publish; seconds after the last one before midnight to witness."""


def act(log: Log, action: Action, flavour: bytes = b"") -> None:
    what, value = action
    if what == "witness":
        log.keep_witnessed(witnessed(head_note(log), MIDNIGHT_S - 10 + value))
    elif log.appended < value:
        append(log, value, flavour)
        log.publish()


def no_faults(folder: Path) -> None:
    assert verify_folder(folder / "public", key=SIGNER.vkey).faults == ()


# Publishing


def test_a_new_log_is_empty_and_says_so_signed(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        assert (log.appended, log.head) == (0, Checkpoint(ORIGIN, 0, EMPTY_ROOT))
        assert log.publish() is None
    data = (tmp_path / "public/checkpoint").read_bytes()
    assert open_checkpoint(data, SIGNER.vkey)[0] == log.head
    assert PublishedLog(tmp_path).witnessed() is None


def test_what_is_published_is_what_was_appended(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        for size in (1, 2, 255, 256, 257, 1_000):
            append(log, size)
            assert (log.appended, log.head.size < size) == (size, True)
            note = log.publish()
            assert note is not None
            assert (
                Checkpoint.parse(note.text)
                == log.head
                == Checkpoint(ORIGIN, size, root_of([leaf_hash(entry(index)) for index in range(size)]))
            )
            published = PublishedLog(tmp_path)
            assert published.checkpoint() == note
            assert published.reader.root(size) == log.head.root
            assert published.reader.entries(0, size, size) == [entry(index) for index in range(size)]
        assert log.publish() is None
    assert PublishedLog(tmp_path).public(5) == logs.views(5)[1].opening(EntryType.RULES, Role.PUBLIC).encode()
    assert PublishedLog(tmp_path).public(6) is None
    no_faults(tmp_path)


def test_what_was_not_published_is_gone_after_closing(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        append(log, 3)
        log.publish()
        append(log, 5)
    with Log.open(tmp_path, SIGNER) as log:
        assert (log.appended, log.head.size) == (3, 3)
        append(log, 5)
        log.publish()
    no_faults(tmp_path)


@pytest.mark.parametrize(
    ("entries", "public"),
    [
        ([b""], {}),
        ([bytes(65_536)], {}),
        ([entry(0)], {0: b"\5\4" + bytes(96)}),
        ([entry(0)], {1: b"\5\4" + bytes(96)}),
        ([entry(0)], {0: logs.views(0)[1].opening(EntryType.RULES, Role.AUDIT).encode()}),
        ([entry(5)], {0: logs.views(0)[1].opening(EntryType.RULES, Role.PUBLIC).encode()}),
    ],
)
def test_what_cannot_be_an_entry_is_refused_and_nothing_is_taken(tmp_path: Path, entries: list[bytes], public: dict[int, bytes]) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        with pytest.raises(Malformed):
            log.append([entry(1), *entries] if not public else entries, public)
        assert (log.appended, log.publish()) == (0, None)


def test_a_log_is_open_once(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER), pytest.raises(Conflict, match="another process"):
        Log.open(tmp_path, SIGNER)
    Log.open(tmp_path, SIGNER).close()


def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = Log.open(tmp_path, SIGNER)
    log.close()
    log.close()
    for call in (lambda: log.append([entry(0)]), log.publish, lambda: log.keep_witnessed(head_note(log)), lambda: log.keep_policy(POLICY)):
        with pytest.raises(Conflict):
            call()


def test_two_bytes_wrong_on_the_disk_are_never_signed(tmp_path: Path) -> None:
    """One bit that flips between writing and signing, in each file in turn: nothing is signed, and a new start mends it."""
    paths = ["tile/entries/000.p/7", "tile/0/000.p/7", "public/5"]
    for number, path in enumerate(paths):
        folder, signer = tmp_path / str(number), RecordingSigner()

        def flip(step: str, folder: Path = folder, path: str = path) -> None:
            if step == "sync folders" and (place := folder / "public" / path).exists():
                data = place.read_bytes()
                place.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

        with Log.open(folder, signer, on_step=flip) as log:
            append(log, 7)
            with pytest.raises((NotProven, Malformed)):
                log.publish()
            with pytest.raises(Conflict, match="open it anew"):
                log.publish()
        assert [head.size for head in signer.signed] == [0]
        with Log.open(folder, signer) as log:
            assert log.appended == 0
            append(log, 7)
            log.publish()
        no_faults(folder)


def test_a_wrong_tile_above_or_an_old_part_that_changed_is_never_signed(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        append(log, 600)
        log.publish()
    for path, size in (("tile/0/002.p/88", 601), ("tile/1/000.p/2", 770), ("tile/0/000", 601)):
        folder, signer = tmp_path / f"copy-{size}-{path[5]}{path[7:10]}", RecordingSigner()
        shutil.copytree(tmp_path / "public", folder / "public")
        shutil.copytree(tmp_path / "state", folder / "state")
        log = Log.open(folder, signer)
        append(log, size)

        def flip(step: str, folder: Path = folder) -> None:
            if step == "sync folders":
                for place in (folder / "public/tile").glob("[01]/*.p/*"):
                    data = place.read_bytes()
                    place.write_bytes(bytes([data[0] ^ 1]) + data[1:])

        log._files._on_step = flip
        with pytest.raises(NotProven, match=r"nothing was signed|does not continue"):
            log.publish()
        log.close()
        assert {head.size for head in signer.signed} == {600}


def test_a_head_moved_by_somebody_else_stops_the_log(tmp_path: Path) -> None:
    signer = RecordingSigner()
    with Log.open(tmp_path, signer) as log:
        append(log, 3)
        (tmp_path / "state/head").write_bytes(encode_head(Checkpoint(ORIGIN, 2, bytes(32))))
        with pytest.raises(Conflict, match="moved"):
            log.publish()
    assert [head.size for head in signer.signed] == [0]


# Opening what is not right


def test_a_lost_or_damaged_head_is_never_begun_anew(tmp_path: Path) -> None:
    logs.make(tmp_path, 5)
    head = (tmp_path / "state/head").read_bytes()
    (tmp_path / "state/head").unlink()
    with pytest.raises(Conflict, match="restore it"):
        Log.open(tmp_path, SIGNER)
    for at in range(len(head)):
        (tmp_path / "state/head").write_bytes(head[:at] + bytes([head[at] ^ 1]) + head[at + 1 :])
        with pytest.raises(Malformed):
            Log.open(tmp_path, SIGNER)
    for damaged in (b"", head[:-1], head + b"\n"):
        (tmp_path / "state/head").write_bytes(damaged)
        with pytest.raises(Malformed):
            Log.open(tmp_path, SIGNER)
    (tmp_path / "state/head").write_bytes(head)
    assert decode_head(head).size == 5
    Log.open(tmp_path, SIGNER).close()


def test_a_head_set_back_to_an_older_one_is_noticed(tmp_path: Path) -> None:
    logs.make(tmp_path, 5)
    older = (tmp_path / "state/head").read_bytes()
    with Log.open(tmp_path, SIGNER) as log:
        append(log, 9)
        log.publish()
        (tmp_path / "state/head").write_bytes(older)
    with pytest.raises(Conflict, match="older than what was published"):
        Log.open(tmp_path, SIGNER)
    (tmp_path / "public/checkpoint").unlink()  # still there: nothing else names it, and 5 entries are witnessed
    with Log.open(tmp_path, SIGNER) as log:
        assert log.appended == 5


def test_a_head_older_than_what_is_witnessed_is_noticed(tmp_path: Path) -> None:
    logs.make(tmp_path, 5)
    older = (tmp_path / "state/head").read_bytes()
    logs.make(tmp_path, 9)
    (tmp_path / "state/head").write_bytes(older)
    (tmp_path / "public/checkpoint").unlink()
    with pytest.raises(Conflict, match="witnessed"):
        Log.open(tmp_path, SIGNER)


def test_another_origin_is_refused(tmp_path: Path) -> None:
    logs.make(tmp_path, 5)
    with pytest.raises(Conflict, match=r"this is the log example\.org/log"):
        Log.open(tmp_path, Signer("example.org/other", LOG_KEY))


@pytest.mark.parametrize("path", ["tile/entries/002.p/8", "tile/0/002.p/8", "tile/1/000.p/2"])
def test_a_signed_edge_that_changed_is_refused(tmp_path: Path, path: str) -> None:
    logs.make(tmp_path, 520)
    place = tmp_path / "public" / path
    data = place.read_bytes()
    for changed in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], b"", None):
        if changed is None:
            place.unlink()
        else:
            place.write_bytes(changed)
        with pytest.raises((NotProven, Malformed, FileNotFoundError)):
            Log.open(tmp_path, SIGNER)
    place.write_bytes(data)
    Log.open(tmp_path, SIGNER).close()


# Witnessed heads


def test_witnessed_heads_are_kept_by_day(tmp_path: Path) -> None:
    logs.make(tmp_path, 6, 17, 18)
    published = PublishedLog(tmp_path)
    assert published.days() == ["2026-09-24", "2026-09-25"]
    heads = list(published.heads())
    assert [Checkpoint.parse(note.text).size for note in heads] == [6, 17, 18]
    assert published.witnessed() == heads[-1]


def test_the_same_head_with_newer_cosignatures_is_kept_and_the_same_note_only_once(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        append(log, 3)
        note = log.publish()
        assert note is not None
        for time_s in (5, 5, 7, 7):
            log.keep_witnessed(witnessed(note, time_s))
    assert list(PublishedLog(tmp_path).heads()) == [witnessed(note, 5), witnessed(note, 7)]
    assert PublishedLog(tmp_path).witnessed() == witnessed(note, 7)


def test_a_head_that_is_not_this_logs_is_never_witnessed(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        append(log, 3)
        old = log.publish()
        append(log, 5)
        new = log.publish()
        assert old is not None
        assert new is not None
        log.keep_witnessed(witnessed(new, 1))
        wrong = [
            witnessed(old, 2),  # a step back
            witnessed(sign(Checkpoint(ORIGIN, 5, bytes(32)), SIGNER), 2),
            witnessed(sign(Checkpoint(ORIGIN, 6, bytes(32)), SIGNER), 2),
            witnessed(sign(Checkpoint("example.org/other", 5, log.head.root), Signer("example.org/other", LOG_KEY)), 2),
            witnessed(Note(new.text, ()), 2),
            witnessed(new, 2**62),
        ]
        for note in wrong:
            with pytest.raises((NotProven, Malformed)):
                log.keep_witnessed(note)
        assert PublishedLog(tmp_path).witnessed() == witnessed(new, 1)
        log.keep_witnessed(witnessed(new, 3))
    no_faults(tmp_path)


def test_under_a_policy_without_witnesses_a_head_is_witnessed_and_in_no_day(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        append(log, 3)
        note = log.publish()
        assert note is not None
        log.keep_witnessed(note)
    assert (PublishedLog(tmp_path).witnessed(), PublishedLog(tmp_path).days()) == (note, [])
    Log.open(tmp_path, SIGNER).close()
    no_faults(tmp_path)


def test_partial_files_stay_until_the_witnessed_head_is_past_them(tmp_path: Path) -> None:
    def partials() -> set[str]:
        return {path for path in tree(tmp_path) if ".p/" in path and "/1/" not in path and "entries" not in path}

    with Log.open(tmp_path, SIGNER) as log:
        for size in (10, 20, 300):
            append(log, size)
            log.publish()
            if size == 20:
                log.keep_witnessed(witnessed(head_note(log), 1))
        first = {"public/tile/0/000.p/10", "public/tile/0/000.p/20"}
        assert partials() == first | {"public/tile/0/001.p/44"}
        log.keep_witnessed(witnessed(head_note(log), 2))
        assert partials() == {"public/tile/0/001.p/44"}
    no_faults(tmp_path)


def test_a_policy_is_published_when_it_is_one(tmp_path: Path) -> None:
    with Log.open(tmp_path, SIGNER) as log:
        with pytest.raises(Malformed):
            log.keep_policy("quorum nobody\n")
        log.keep_policy(POLICY)
    assert (tmp_path / "public/policy").read_text() == POLICY


# Crashes


class Crash(BaseException):
    """The world stops here."""


class Power:
    """Counts steps, stops the world after one of them, and knows what was not yet durable then."""

    def __init__(self, folder: Path, stop_at: int) -> None:
        self.folder = folder
        self.left = stop_at
        self.seen: dict[str, bytes] = tree(folder)
        self.before: dict[str, bytes | None] = {}
        """What stood at each path that may be lost, before it was touched."""
        self.renamed: set[str] = set()
        self.synced: set[str] = set()

    def step(self, step: str) -> None:
        verb, _, path = step.partition(" ")
        if verb in ("write", "rename", "remove", "cut"):
            self.before.setdefault(path, self.seen.get(path))
            self.synced.discard(path)
            (self.renamed.add if verb == "rename" else self.renamed.discard)(path)
            place = self.folder / path
            self.seen.pop(path, None)
            if place.exists():
                self.seen[path] = place.read_bytes()
        elif step == "sync folders":
            for each in self.synced:
                self.before.pop(each, None)
        elif path in self.renamed:
            self.before.pop(path, None)
        else:
            self.synced.add(path)
        if self.left == 0:
            raise Crash
        self.left -= 1

    def lose(self, how: str) -> None:
        """The power fails: what was not durable is as before, or (files, not renames) torn."""
        for path, before in self.before.items():
            place = self.folder / path
            now = place.read_bytes() if place.exists() else None
            if path in self.renamed or now is None or how == "lost":
                torn = before
            else:
                durable = before if before and now.startswith(before) else b""  # of an append only what was added can be torn
                tail = now[len(durable) :]
                torn = durable + (tail[: len(tail) // 2] if how == "cut" else bytes(len(tail)))
            if torn is None:
                place.unlink(missing_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(torn)


def live(folder: Path, signer: Signer, stops: Iterator[int], *, loss: str = "", flavours: Iterator[bytes] | None = None) -> int:
    """Lives through PLAN, starting again after each of `stops` (steps until the crash); the number of crashes."""
    at = crashes = 0
    while True:
        power = Power(folder, next(stops, sys.maxsize))
        flavour = next(flavours, b"") if flavours else b""
        try:
            with Log.open(folder, signer, on_step=power.step) as log:
                while at < len(PLAN):
                    act(log, PLAN[at], flavour)
                    at += 1
            return crashes
        except Crash:
            crashes += 1
            if loss:
                power.lose(loss)


@pytest.fixture
def simulated_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is durable is decided by `Power`, from the steps announced; the real disk need not be waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_everything_is_synced_before_the_head_moves_and_before_anything_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real calls: each file and folder of a publish has been given to fsync when its head is written."""
    synced: set[int] = set()
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    class Checking(RecordingSigner):
        def sign(self, text: bytes) -> Signature:
            if checking:
                assert decode_head((tmp_path / "state/head").read_bytes()).text() == text
                assert {(tmp_path / "state/head").stat().st_ino, (tmp_path / "state").stat().st_ino} <= synced
                checked.append("sign")
            return super().sign(text)

    def step(step: str) -> None:
        if checking and step == "write state/head.draft":
            places = [path for path in (tmp_path / "public").rglob("*") if path.stat().st_ino not in old and path.name != "checkpoint"]
            assert len(places) > 8
            assert {each.stat().st_ino for path in places for each in (path, *path.parents[: path.parts[::-1].index("public")])} <= synced
            checked.append("head")

    checking = False
    checked: list[str] = []
    with Log.open(tmp_path, Checking(), on_step=step) as log:
        append(log, 3)
        log.publish()
        old = {path.stat().st_ino for path in (tmp_path / "public").rglob("*")}
        monkeypatch.setattr(os, "fsync", record)
        checking = True
        append(log, 300)
        log.publish()
    assert checked == ["head", "sign"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert live(folder, SIGNER, iter(())) == 0
    no_faults(folder)
    return tree(folder)


def steps_of(tmp_path: Path) -> int:
    power = Power(tmp_path / "count", sys.maxsize)
    with Log.open(tmp_path / "count", SIGNER, on_step=power.step) as log:
        for action in PLAN:
            act(log, action)
    return sys.maxsize - power.left


def check_heads(signer: RecordingSigner, folder: Path) -> None:
    """Every head that was ever signed is one that the log as it is now went through."""
    log = PublishedLog(folder)
    newest = log.checkpoint()
    assert newest is not None
    size = Checkpoint.parse(newest.text).size
    for head in signer.signed:
        assert log.reader.root(head.size, within=size) == head.root, head


@pytest.mark.usefixtures("simulated_disk")
def test_a_crash_after_any_step_changes_nothing_in_the_end(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    steps = steps_of(tmp_path)
    assert steps > 90
    for stop in range(steps):
        folder, signer = tmp_path / str(stop), RecordingSigner()
        assert live(folder, signer, iter([stop])) == 1
        assert tree(folder) == undisturbed, stop
        check_heads(signer, folder)
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("simulated_disk")
@pytest.mark.parametrize("loss", ["lost", "cut", "zeros"])
def test_a_power_cut_after_any_step_changes_nothing_in_the_end(tmp_path: Path, undisturbed: dict[str, bytes], loss: str) -> None:
    for stop in range(steps_of(tmp_path)):
        folder, signer = tmp_path / str(stop), RecordingSigner()
        assert live(folder, signer, iter([stop]), loss=loss) == 1
        found = tree(folder)
        assert {path: found.get(path) for path in undisturbed} == undisturbed, stop
        more = found.keys() - undisturbed.keys()
        assert all(".p/" in path for path in more), more  # the beginnings of full tiles, whose removal was lost
        no_faults(folder)
        check_heads(signer, folder)
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("simulated_disk")
def test_a_crash_in_the_middle_of_recovery_changes_nothing_in_the_end(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    for stop in range(0, steps_of(tmp_path), 3):
        folder, signer = tmp_path / str(stop), RecordingSigner()
        assert live(folder, signer, iter([stop, 0, 1, 2, 3, 5, 8]), loss="lost" if stop % 2 else "") >= 5
        found = tree(folder)
        assert {path: found.get(path) for path in undisturbed} == undisturbed, stop
        no_faults(folder)
        check_heads(signer, folder)
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("simulated_disk")
def test_other_entries_after_a_crash_never_contradict_what_was_signed(tmp_path: Path) -> None:
    """Whoever appends should give the same entries again. If they do not, heads that were signed still all belong to one log."""
    for stop in range(0, steps_of(tmp_path), 2):
        folder, signer = tmp_path / str(stop), RecordingSigner()
        live(folder, signer, iter([stop]), flavours=iter([b"", b"other"]), loss="lost" if stop % 4 else "")
        check_heads(signer, folder)
        no_faults(folder)
        shutil.rmtree(folder)


KILLED = """
import os, signal, sys
from pathlib import Path
from counterfoil.tlog.log import Log
from tests.tlog import test_log
left = int(sys.argv[2])
def step(_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
with Log.open(Path(sys.argv[1]), test_log.SIGNER, on_step=step) as log:
    for action in test_log.PLAN:
        if action[0] == "witness" or log.appended < action[1]:
            test_log.act(log, action)
"""


@pytest.mark.parametrize("stop", [2, 12, 29, 45])
def test_a_process_killed_leaves_a_log_that_goes_on(tmp_path: Path, undisturbed: dict[str, bytes], stop: int) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(stop)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    signed = PublishedLog(tmp_path).checkpoint()
    live_on(tmp_path)
    assert tree(tmp_path) == undisturbed
    if signed:
        head = Checkpoint.parse(signed.text)
        assert PublishedLog(tmp_path).reader.root(head.size, within=513) == head.root


def live_on(folder: Path) -> None:
    with Log.open(folder, SIGNER) as log:
        before = PublishedLog(folder).witnessed()
        done = Checkpoint.parse(before.text).size if before else 0
        at = 0
        for action in PLAN:
            at = action[1] if action[0] == "publish" else at
            if (action[0] == "publish" and log.appended < at) or (action[0] == "witness" and done < at):
                act(log, action)


@pytest.mark.parametrize("verb", ["write", "sync", "rename"])
def test_a_disk_that_fails_signs_nothing_more_and_the_log_opens_again(tmp_path: Path, verb: str) -> None:
    def fails(step: str) -> None:
        if armed and step.startswith(verb):
            raise OSError(28, "No space left on device")

    armed: list[Callable[[], None]] = []
    signer = RecordingSigner()
    log = Log.open(tmp_path, signer, on_step=fails)
    append(log, 3)
    armed.append(log.close)
    with pytest.raises(OSError, match="No space"):
        log.publish()
    with pytest.raises(Conflict, match="open it anew"):
        log.append([entry(3)])
    log.close()
    armed.clear()
    assert [head.size for head in signer.signed] == [0]
    with Log.open(tmp_path, signer) as log:
        append(log, 4)
        log.publish()
    no_faults(tmp_path)
    check_heads(signer, tmp_path)
