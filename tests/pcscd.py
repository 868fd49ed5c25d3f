"""A real card service (pcscd) with a virtual reader (vsmartcard's vpcd), in a network and mounts of its own: runs can go beside each other.

done = bench([Insert(uid), Run(["card", "make", ...])])

The reader listens on a fixed port and the service on a fixed socket, both written into them when they were built; so everything
that speaks to them runs inside, in a process of this module, which is told the steps and tells what became of them.

Without them, or where the kernel refuses namespaces, such tests are skipped, and say so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from tests.acceptance.cards.tag import Tag

DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
READER = "Virtual PCD 00 00"
"""There are two, for vpcd makes two slots."""
PORT = 35_963
ATR = bytes.fromhex("3B8B8001434F554E544552464F494C52")
"""Of a card that is tapped: ISO 14443-4, historical bytes "COUNTERFOIL"."""
PORT_INSIDE = 8_480
"""Where the server seems to be, in a network that has nobody else."""
GONE_S = 1.0
"""A reader looks for a card every 0.4 s; one that comes back sooner was never seen to leave."""
START_S_MAX = 60.0
REFUSED = "unshare failed"
"""What unshare says, and we where a mount is refused."""
ROOT = Path(__file__).resolve().parents[1]


class Insert(msgspec.Struct, frozen=True, tag=True):
    """A card is put on the reader: a new one of this UID (hexadecimal), or the one with it that was there before."""

    uid: str


class Remove(msgspec.Struct, frozen=True, tag=True):
    """It is taken away."""


class Run(msgspec.Struct, frozen=True, tag=True):
    """The `counterfoil` command with these arguments.

    Attributes:
        tear_at: before which APDU the card is taken away, from 0; None never.
        heard: whether it has carried that one out, and only its answer is lost.
        next: UID of the card that is put on when the command asks for the next one.
    """

    arguments: list[str]
    tear_at: int | None = None
    heard: bool = False
    next: str = ""


class Typed(msgspec.Struct, frozen=True):
    """When `after` was read on the terminal since the last one, this is typed, and what is on the reader changes.

    Attributes:
        text: a line, its end left out; None types nothing.
        insert: UID of the card that is put on.
        remove: whether the card is taken away.
    """

    after: str
    text: str | None = None
    insert: str = ""
    remove: bool = False


class Sit(msgspec.Struct, frozen=True, tag=True):
    """The `counterfoil` command on a terminal of its own, with somebody who types. Ends with the end of the input.

    Attributes:
        server: path of a socket; what is said to 127.0.0.1:PORT_INSIDE in here goes there.
        tear_at: as of a `Run`.
    """

    arguments: list[str]
    typed: list[Typed]
    server: str
    tear_at: int | None = None


Step: TypeAlias = Insert | Remove | Run | Sit


class Done(msgspec.Struct, frozen=True):
    """What became of a `Run` or a `Sit`. `apdus`: how many the card was sent."""

    code: int
    out: str
    err: str
    apdus: int


class Card(msgspec.Struct, frozen=True):
    """A virtual card at the end, bytes hexadecimal."""

    uid: str
    keys: list[str]
    file: str
    counter: int
    random_id: bool


class Ended(msgspec.Struct, frozen=True):
    done: list[Done]
    cards: list[Card]


def bench(steps: Sequence[Step], *, timeout_s: float = 280) -> Ended:
    """Carries the steps out, one after the other."""
    if shutil.which("pcscd") is None or not DRIVER.exists():
        pytest.skip("pcscd and vsmartcard-vpcd are not installed: see debian-packages.txt")
    inside = ["unshare", "--net", "--mount", "--fork", "--kill-child", sys.executable, "-m", "tests.pcscd"]
    told = subprocess.run(inside, cwd=ROOT, input=msgspec.json.encode(steps), capture_output=True, timeout=timeout_s, check=False)
    if REFUSED.encode() in told.stderr:
        pytest.skip(f"The kernel refuses a reader of its own: {told.stderr.decode().strip()}")
    assert told.returncode == 0, told.stderr.decode()
    return msgspec.json.decode(told.stdout, type=Ended)


# Inside


class Field:
    """The reader's field, and the card that lies in it or does not."""

    def __init__(self) -> None:
        self.tag: Tag | None = None
        self.apdus = 0
        self.tear_at: int | None = None
        self.heard = False
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def insert(self, tag: Tag) -> None:
        self.remove()
        self.tag = tag
        self._socket = _connected()
        self._thread = threading.Thread(target=self._serve, args=(self._socket, tag), daemon=True)
        self._thread.start()

    def remove(self) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        assert self._thread is not None
        self._thread.join()
        self._socket = None
        time.sleep(GONE_S)

    def _serve(self, connection: socket.socket, tag: Tag) -> None:
        with connection, contextlib.suppress(ConnectionError, OSError):
            while (frame := _frame(connection)) is not None:
                answer = self._answer(tag, frame)
                if answer is None:
                    break
                if answer:
                    connection.sendall(len(answer).to_bytes(2) + answer)
        tag.off()

    def _answer(self, tag: Tag, frame: bytes) -> bytes | None:
        """b"" says nothing; None: the card is gone."""
        if len(frame) == 1:
            if frame[0] != 4:
                tag.off()
            return ATR if frame[0] == 4 else b""
        if self.apdus == self.tear_at:
            self.tear_at = None
            if self.heard:
                tag.transmit(frame)
            return None
        self.apdus += 1
        return tag.transmit(frame)


def _frame(connection: socket.socket) -> bytes | None:
    """The next frame; None when the reader has hung up."""
    size = _exactly(connection, 2)
    return None if size is None else _exactly(connection, int.from_bytes(size))


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    found = b""
    while len(found) < count:
        # vpcd sends length and body apart: without this, each answer waits 40 ms for the other half.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        part = connection.recv(count - len(found))
        if not part:
            return None
        found += part
    return found


def _connected() -> socket.socket:
    give_up = time.monotonic() + START_S_MAX
    while True:
        try:
            return socket.create_connection(("127.0.0.1", PORT))
        except ConnectionRefusedError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _may_be_refused(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{REFUSED}: {done.stderr.strip()}")


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[None]:
    _may_be_refused("ip", "link", "set", "lo", "up")
    _may_be_refused("mkdir", "-p", "/run/pcscd")
    _may_be_refused("mount", "-t", "tmpfs", "tmpfs", "/run/pcscd")
    reader = f'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:{PORT:#x}\nLIBPATH {DRIVER}\nCHANNELID {PORT:#x}\n'
    (folder / "vpcd").write_text(reader)
    with (folder / "pcscd.log").open("wb") as log:
        process = subprocess.Popen(["pcscd", "--foreground", "--config", str(folder)], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def _run(step: Run, field: Field, tags: dict[str, Tag]) -> Done:
    field.apdus, field.tear_at, field.heard = 0, step.tear_at, step.heard
    command = [sys.executable, "-m", "counterfoil", *step.arguments]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if step.next and "take it away" in line:
                field.insert(tags.setdefault(step.next, Tag(bytes.fromhex(step.next))))
        code = process.wait()
        errors.seek(0)
        return Done(code, "".join(lines), errors.read(), field.apdus)


def _sit(step: Sit, field: Field, tags: dict[str, Tag]) -> Done:
    field.apdus, field.tear_at, field.heard = 0, step.tear_at, False
    ours, theirs = os.openpty()

    def own_terminal() -> None:
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)  # whoever starts tests in the background may have had them ignored
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    command = [sys.executable, "-m", "counterfoil", *step.arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=own_terminal) as process:
        os.close(theirs)
        seen, read = "", 0
        for typed in step.typed:
            while typed.after not in seen[read:]:
                part = _part(ours)
                if not part:
                    process.kill()  # if it is there still, it says nothing any more
                    return Done(process.wait(), seen, f"it did not say: {typed.after}", field.apdus)
                seen += part
            read = seen.index(typed.after, read) + len(typed.after)
            if typed.remove:
                field.remove()
            if typed.insert:
                field.insert(tags.setdefault(typed.insert, Tag(bytes.fromhex(typed.insert))))
            if typed.text is not None:
                os.write(ours, typed.text.encode() + b"\n")
        os.write(ours, b"\x04")
        while part := _part(ours):
            seen += part
    os.close(ours)
    return Done(process.returncode, seen, "", field.apdus)


def _part(terminal: int) -> str:
    """What was written since; "" at the end, and when nothing comes for long."""
    if not select.select([terminal], [], [], START_S_MAX)[0]:
        return ""
    try:
        return os.read(terminal, 65_536).decode(errors="replace")
    except OSError:  # the last one on the other side has hung up
        return ""


def _forward(path: str) -> None:
    """From a port in here to a socket out there, which the other network reaches by its name; as long as this process lives."""
    server = socket.create_server(("127.0.0.1", PORT_INSIDE))

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        while True:
            near, _ = server.accept()
            far = socket.socket(socket.AF_UNIX)
            far.connect(path)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=carry, args=(source, target), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def main() -> None:
    steps = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Step])
    field, tags, done = Field(), dict[str, Tag](), list[Done]()
    with tempfile.TemporaryDirectory() as folder, _service(Path(folder)):
        _connected().close()
        for path in {step.server for step in steps if isinstance(step, Sit)}:
            _forward(path)
        for step in steps:
            if isinstance(step, Insert):
                field.insert(tags.setdefault(step.uid, Tag(bytes.fromhex(step.uid))))
            elif isinstance(step, Remove):
                field.remove()
            elif isinstance(step, Sit):
                done.append(_sit(step, field, tags))
            else:
                done.append(_run(step, field, tags))
        field.remove()
    cards = [Card(uid, [key.hex() for key in tag.keys], bytes(tag.file).hex(), tag.counter, tag.random_id) for uid, tag in tags.items()]
    sys.stdout.buffer.write(msgspec.json.encode(Ended(done, cards)))


if __name__ == "__main__":
    main()
