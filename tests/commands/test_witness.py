"""`counterfoil witness` as it is run: a process of its own, which may die at any moment and never tells two stories."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from counterfoil.assurance.witness import FILE_NAME, origin_hash
from counterfoil.assurance.witnesses import Witnesses
from counterfoil.channels.peers import Peers
from counterfoil.clock import SystemClock
from counterfoil.commands.demo import witnesses as demo
from counterfoil.commands.demo.witnesses import five_witnesses
from counterfoil.errors import Unavailable
from counterfoil.tlog import cosignature
from counterfoil.tlog.note import Note, Signature, VerifierKey
from counterfoil.tlog.policy import Policy
from tests.assurance.small_log import SmallLog
from tests.commands.desk import run

LOG_KEY = str(SmallLog().signer.vkey)
LISTENS = re.compile(r"listens on (http://\S+)")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.toml"
    assert run("witness", "--new", "witness.example/w", str(path), "--log", LOG_KEY, "--port", "0").code == 0
    return path


@contextlib.contextmanager
def running(file: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The real process, and where it listens. Killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "counterfoil", "witness", str(file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        found = LISTENS.search(process.stdout.readline())
        assert found is not None
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def post(address: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{address}/add-checkpoint", data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        data: bytes = answer.read()
        return data


def vkey_of(file: Path) -> VerifierKey:
    """The key that the page of the running witness names."""
    with running(file) as (_, address):
        found = re.search(r"Its key: (\S+)\n", get(address).decode())
    assert found is not None
    return VerifierKey.parse(found[1])


# Making one


def test_new_writes_a_file_with_a_key_and_prints_the_vkey(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "w.toml"
    told = run("witness", "--new", "witness.example/w", str(path), "--log", LOG_KEY, "--json")
    assert told.code == 0
    answer = json.loads(told.out)
    vkey = VerifierKey.parse(answer["vkey"])
    assert (vkey.name, vkey.algorithm) == ("witness.example/w", 4)
    settings = tomllib.loads(path.read_text("utf-8"))
    assert settings == {
        "name": "witness.example/w",
        "host": "127.0.0.1",
        "port": 8490,
        "data": "w-data",
        "key": "w-data/witness.ed25519",
        "logs": [LOG_KEY],
    }
    assert (path.parent / "w-data" / "witness.ed25519").stat().st_mode & 0o777 == 0o600
    assert (path.parent / "w-data" / FILE_NAME).is_file()
    as_text = run("witness", "--new", "witness.example/v", str(tmp_path / "v.toml"))
    assert re.search(r"^witness\.example/v\+[0-9a-f]{8}\+\S+$", as_text.out, re.MULTILINE)
    assert "Add the keys of the logs" in as_text.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--new", "two words", "w.toml"), "name: must be 1 to 255 bytes without spaces or plus signs"),
        (("--new", "w", "w.toml", "--log", "nonsense"), "logs[0]: must be"),
        (("--new", "w", "w.toml", "--port", "70000"), "port: must be 0 to 65535"),
        (("w.toml",), "there is no file"),
    ],
)
def test_wrong_use_is_said_and_leaves_nothing(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    told = run("witness", *(str(tmp_path / word) if word == "w.toml" else word for word in words))
    assert told.code == 2
    assert said in told.err
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_of_a_witness_that_is_there(file: Path) -> None:
    for words, said in (
        (("--new", "w", str(file)), "is already there"),
        ((str(file), "--log", LOG_KEY), "--log goes with --new"),
        ((str(file), "--port", "-1"), "--port: must be 0 to 65535"),
    ):
        told = run("witness", *words)
        assert told.code == 2, words
        assert said in told.err
    file.write_text(file.read_text() + 'colour = "blue"\n')
    assert "colour" in run("witness", str(file)).err


def test_a_lost_memory_or_a_taken_port_ends_the_start(file: Path) -> None:
    with running(file) as (_, address):
        told = run("witness", str(file), "--port", address.rpartition(":")[2])
        assert told.code == 3
        assert "cannot listen" in told.err
    (file.parent / "w-data" / FILE_NAME).unlink()
    told = run("witness", str(file))
    assert told.code == 3
    assert "must take a new key" in told.err


# Running one


def test_it_runs_until_it_is_told_to_stop(file: Path) -> None:
    log = SmallLog(5)
    with running(file) as (process, address):
        status, line = post(address, log.request(0))
        assert status == 200
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        rest = process.stdout.read()
        assert process.wait(30) == 0
        assert rest.splitlines()[0].startswith("Its key: witness.example/w+")
        assert rest.splitlines()[-1] == "Stopped."
    cosignature.verify(VerifierKey.parse(rest.splitlines()[0].split()[-1]), log.head().text, Signature.parse(line.decode()[:-1]))
    with running(file) as (_, address):
        assert post(address, log.request(0)) == (409, b"5\n")


def test_two_processes_from_one_file(file: Path) -> None:
    """One memory, so one story: what the first cosigned binds the second."""
    log = SmallLog(9)
    with running(file) as (_, one), running(file) as (_, other):
        assert post(one, log.request(0, 5))[0] == 200
        assert post(other, log.request(0, 7)) == (409, b"5\n")
        assert post(other, log.fork(at=3, story="false").request(5))[0] == 422
        assert post(other, log.request(5, 7))[0] == 200
        assert post(one, log.request(5, 9)) == (409, b"7\n")


class Operator(threading.Thread):
    """A dishonest log that uses every crash: it then offers another history, from where the witness was before.

    `got` holds, for every cosignature that it ever received, the history that was cosigned and the line.
    """

    def __init__(self, origin: str, where: list[str], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.origin = origin
        self.where = where
        self.stop = stop
        self.got: list[tuple[SmallLog, bytes]] = []
        self.unexpected: list[tuple[int, bytes]] = []
        self.broken = self.forks_refused = 0

    def run(self) -> None:
        before = last = SmallLog(origin=self.origin)  # what it knows as cosigned: the newest, and the one before
        flying: list[SmallLog] = []  # what it never got an answer to
        number = 0
        while not self.stop.is_set():
            number += 1
            fork = bool(flying) and number % 2 == 0
            base = before if fork else last
            offer = SmallLog(len(base.leaves) + 1 + number % 3, story=str(number), origin=self.origin, leaves=base.leaves)
            try:
                status, answer = post(self.where[0], offer.request(len(base.leaves)))
            except (OSError, HTTPException):
                self.broken += 1
                flying.append(offer)
                time.sleep(0.01)
                continue
            if status == 200:
                self.got.append((offer, answer))
                before, last, flying = last, offer, []
            elif status == 409 and fork:
                self.forks_refused += 1
            elif status == 409:  # one that flew has arrived: which, says the checkpoint that the witness offers
                with contextlib.suppress(OSError, HTTPException):
                    newest = Note.parse(get(f"{self.where[0]}/{origin_hash(self.origin)}/checkpoint")).text
                    arrived = [each for each in flying if newest == each.head().text]
                    if not arrived:
                        self.unexpected.append((status, newest))  # it has forgotten what it cosigned
                        return
                    last, flying = arrived[0], []
            else:
                self.unexpected.append((status, answer))


KILLS = 6


@pytest.mark.slow
def test_killed_at_any_moment_it_never_cosigns_two_histories(file: Path) -> None:
    """SIGKILL under load, again and again, and after each the operators try to make the witness go back."""
    vkey, stop, where = vkey_of(file), threading.Event(), [""]
    origins = [f"log{number}.example/log" for number in range(3)]
    logs = ", ".join(f'"{SmallLog(origin=origin).signer.vkey}"' for origin in origins)
    file.write_text(re.sub(r"logs = \[[^\]]*\]", lambda _: f"logs = [{logs}]", file.read_text("utf-8")), "utf-8")
    operators = [Operator(origin, where, stop) for origin in origins]
    for number in range(KILLS):
        with running(file) as (process, address):
            where[0] = address
            if not number:
                for operator in operators:
                    operator.start()
            before = sum(len(operator.got) for operator in operators)
            deadline = time.monotonic() + 10
            while sum(len(operator.got) for operator in operators) < before + 15 and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(0.001 * number)
            process.kill()
            process.wait(30)
        time.sleep(0.05)
    stop.set()
    for operator in operators:
        operator.join(60)
        assert not operator.is_alive()
        assert operator.unexpected == []
        assert len(operator.got) >= KILLS, "it was under load"
        assert operator.broken > 0, "it was killed in the middle"
        whole = max((log for log, _ in operator.got), key=lambda log: len(log.leaves)).leaves
        for log, line in operator.got:
            cosignature.verify(vkey, log.head().text, Signature.parse(line.decode()[:-1]))
            assert whole[: len(log.leaves)] == log.leaves, "two histories"
    assert sum(operator.forks_refused for operator in operators) > 0, "it was tempted to go back"


# The demo's five


@pytest.mark.slow
async def test_the_five_witness_a_log_and_one_that_dies_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "RESTART_S", 0.05)
    log, peers = SmallLog(4), Peers()
    notes: list[str] = []
    kept: list[Note] = []

    async def keep(note: Note) -> None:
        kept.append(note)

    async with five_witnesses(tmp_path / "five", LOG_KEY, log_url="http://127.0.0.1:8480/log/", on_note=notes.append) as five:
        policy = Policy.parse(five.policy.read_text("utf-8"))
        assert policy.groups["witnesses"].threshold == 4
        assert len({witness.url for witness in policy.witnesses.values()}) == 5
        assert [policy_log.url for policy_log in policy.logs] == ["http://127.0.0.1:8480/log/"]
        clock = SystemClock()
        asker = Witnesses(policy=policy, newest=log.head, consistency=log.consistency, keep=keep, post=peers.post, clock=clock, grace_s=5)
        assert await asker.step() is not None, asker.problem
        assert len(policy.satisfied(kept[0]).times) == 5

        victim = five.witnesses[2]
        assert victim.process is not None
        before = victim.process.pid
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(60):
            while not notes or not victim.listening:
                await asyncio.sleep(0.05)
        assert notes == ["witness w3 ended (exit code -9); it is started again"]
        assert victim.url == policy.witnesses["w3"].url, "on its old port"
        log.grow(9)
        assert await asker.step() is not None, asker.problem
        assert len(policy.satisfied(kept[1]).times) == 5
        processes = [witness.process.pid for witness in five.witnesses if witness.process is not None]
        assert len(processes) == 5
    await peers.close()
    assert not any(alive(pid) for pid in processes)

    vkeys = {name: str(witness.key) for name, witness in policy.witnesses.items()}
    async with five_witnesses(tmp_path / "five", LOG_KEY, on_note=notes.append) as five:
        again = Policy.parse(five.policy.read_text("utf-8"))
        assert {name: str(witness.key) for name, witness in again.witnesses.items()} == vkeys, "the same keys at the next start"
        status, size = await asyncio.to_thread(post, again.witnesses["w1"].url, SmallLog(9).request(0))
        assert (status, size) == (409, b"9\n"), "and the same memory"


@pytest.mark.slow
async def test_one_that_cannot_start_ends_all(tmp_path: Path) -> None:
    five = tmp_path / "five"
    async with five_witnesses(five, LOG_KEY, on_note=print):
        pass
    (five / "w4-data" / FILE_NAME).unlink()
    with pytest.raises(Unavailable, match=r"the witness w4 did not start: see .*w4\.log"):
        async with five_witnesses(five, LOG_KEY, on_note=print):
            raise AssertionError("the block must not run")
    assert "must take a new key" in (five / "w4.log").read_text("utf-8")


@pytest.mark.slow
def test_they_end_with_a_demo_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from counterfoil.commands.demo.witnesses import five_witnesses\n"
        "async def run():\n"
        "    async with five_witnesses(pathlib.Path(sys.argv[1]), sys.argv[2]) as five:\n"
        "        print(*(witness.process.pid for witness in five.witnesses), flush=True)\n"
        "        await asyncio.sleep(300)\n"
        "asyncio.run(run())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "five"), LOG_KEY], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    processes = [int(word) for word in parent.stdout.readline().split()]
    assert len(processes) == 5
    assert all(alive(pid) for pid in processes)
    parent.kill()
    parent.wait(30)
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in processes)


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if status.is_file():
        return not status.read_text().rpartition(") ")[2].startswith("Z")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc").is_dir()
