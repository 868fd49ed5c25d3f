"""A real Kannel on the loopback: bearerbox, smsbox and its fake SMSC, each a process in the foreground with free ports.

Its configuration is the how-to's, word by word, with other ports, folders and secrets.

Without Kannel such tests are skipped, and say so.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import msgspec
import pytest

from tests.orphans import Watch

FAKE_SMSC = Path("/usr/lib/kannel/test/fakesmsc")
USER, PASSWORD, SENDER = "counterfoil", "kannel-password-of-the-tests", "4567"
START_S_MAX = 60.0
QUIET_LOOKS = 10
"""In a row, 20 ms apart."""
_LISTENS = "0A"
_TAKEN = b"smsc_fake: new message received"
_GOT = re.compile(r"Got message \d+: <(.*)>")
_MESSAGE = re.compile(r"(\S+) (\+?[0-9]+) (text|ucs-2|udh (\S+) data|data) (.*)")

HOW_TO = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "connect-an-sms-gateway.md"
NETWORK = """
group = smsc
smsc = fake
smsc-id = fake
port = {port}
connect-allow-ip = 127.0.0.1
"""


class Shown(msgspec.Struct, frozen=True):
    """A message as the fake SMSC has it: one text, or one part of it. `place`: which part, from 1, of `parts` with this `reference`."""

    sender: str
    number: str
    text: str
    place: int = 0
    parts: int = 1
    reference: int = 0

    @property
    def is_part(self) -> bool:
        return self.place > 0


class Kannel:
    """Its processes, each of which a test may kill and start again. `callback`: where reports and texts go, without a query."""

    def __init__(self, folder: Path, callback: str) -> None:
        self.folder = folder
        self._callback = callback
        ports = _free_ports(4)
        self._smsc, self._boxes, self._sendsms, admin = ports
        self._processes: dict[str, tuple[subprocess.Popen[bytes], Watch]] = {}
        self._phones = 0
        self._configuration = folder / "kannel.conf"
        configuration = _how_to()
        for theirs, ours in {
            "13000": admin, "13001": self._boxes, "13013": self._sendsms, "CHANGE-ME": PASSWORD, "THE-SAME-AS-ABOVE": PASSWORD,
            "/var/spool/kannel-dlr": _new(folder / "reports"), "/var/spool/kannel": _new(folder / "store"),
            "http://127.0.0.1:8480/sms/main/SECRET": callback, "/var/log/kannel": _new(folder / "log"),
        }.items():  # fmt: skip
            assert theirs in configuration, theirs
            configuration = configuration.replace(theirs, str(ours))
        self._configuration.write_text(
            configuration.replace("group = smsbox", f"{NETWORK.format(port=self._smsc)}\ngroup = smsbox", 1), "utf-8"
        )

    @property
    def network_port(self) -> int:
        """Where the network connects."""
        return self._smsc

    def call(self, callback: str) -> None:
        """Where reports and texts go from the next start on."""
        written = self._configuration.read_text("utf-8").replace(self._callback, callback)
        self._configuration.write_text(written, "utf-8")
        self._callback = callback

    @property
    def url(self) -> str:
        """Where smsbox takes texts."""
        return f"http://127.0.0.1:{self._sendsms}/cgi-bin/sendsms"

    def start(self) -> None:
        self.start_bearerbox()
        self.start_smsbox()

    def start_bearerbox(self) -> None:
        self._start("bearerbox", ["/usr/sbin/bearerbox", str(self._configuration)])
        _wait_for_port(self._boxes)
        _wait_for_port(self._smsc)

    def start_smsbox(self) -> None:
        self._start("smsbox", ["/usr/sbin/smsbox", str(self._configuration)])
        _wait_for_port(self._sendsms)

    def start_network(self, *texts: str, through: int = 0) -> None:
        """The fake SMSC connects, takes what waits, and gives `texts`, each like "254700000001 4567 text BAL", to Kannel.

        `through`: a port of somebody who stands in between.
        """
        self._phones += 1
        command = [str(FAKE_SMSC), "-H", "127.0.0.1", "-r", str(through or self._smsc), "-i", "0.05", "-m", str(len(texts))]
        self._start(f"network-{self._phones}", [*command, *(texts or ("1 2 text x",))])

    def take(self, text: str) -> None:
        """One phone's text, such as "254700000001 4567 text BAL", until bearerbox has it. Only while no network is connected."""
        log = self._log("bearerbox")
        before = log.read_bytes().count(_TAKEN)
        self.start_network(text)
        until = time.monotonic() + START_S_MAX
        while log.read_bytes().count(_TAKEN) == before:
            assert time.monotonic() < until, "bearerbox does not take the text"
            time.sleep(0.02)
        self.end_network()

    def end_network(self) -> None:
        self.kill(f"network-{self._phones}")

    def kill(self, name: str) -> None:
        """As by a power cut."""
        process, watch = self._processes.pop(name)
        process.kill()
        process.wait()
        watch.end()

    def kill_and_start(self, box: str) -> None:
        """One of "smsbox", "bearerbox" and "network", while the others go on. The network ends with its bearerbox, by itself.

        The network dies in a moment in which nothing is on its way to it: the fake SMSC's protocol acknowledges nothing, so that texts in
        its socket would be lost, and Kannel would call them delivered. smsbox stands still until then, with what it was given.
        """
        if box == "network":
            smsbox = self._processes["smsbox"][0]
            smsbox.send_signal(signal.SIGSTOP)
            self._wait_until_still("bearerbox", ports=(self._smsc,))
            self.end_network()
            smsbox.send_signal(signal.SIGCONT)
            self.start_network()
            return
        self.kill(box)
        if box == "smsbox":
            self.start_smsbox()
            return
        self._processes[f"network-{self._phones}"][0].wait(START_S_MAX)  # once it has read what its bearerbox had written
        self.end_network()
        self.start_bearerbox()
        self.start_network()

    def keep_up(self) -> None:
        """Starts smsbox again where it has ended by itself, as it may when its bearerbox dies: whoever runs a Kannel has this done."""
        if self._processes["smsbox"][0].poll() is not None:
            self.kill("smsbox")
            self.start_smsbox()

    def rest(self) -> None:
        """Returns when both boxes have come to the end of all that they were given so far, and the network has it."""
        self._wait_until_still("bearerbox", "smsbox", ports=(self._smsc, self._boxes, self._sendsms))

    def _wait_until_still(self, *boxes: str, ports: tuple[int, ...]) -> None:
        """Until these neither do nor write anything, and nothing lies in the sockets of `ports`."""
        seen, looks = -1, 0
        processes = [Path(f"/proc/{self._processes[box][0].pid}/task") for box in boxes]
        until = time.monotonic() + START_S_MAX
        while looks < QUIET_LOOKS:
            assert time.monotonic() < until, f"{boxes} do not come to rest"
            time.sleep(0.02)
            size = sum(self._log(box).stat().st_size for box in boxes)
            is_still = all(_is_asleep(task) for process in processes for task in process.iterdir())
            looks = looks + 1 if size == seen and is_still and _is_read(ports) else 0
            seen = size

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)

    def shown(self) -> list[Shown]:
        """Every message that the network was given so far, each part for itself, in order."""
        return list(itertools.chain.from_iterable(self.shown_by_life()))

    def shown_by_life(self) -> list[list[Shown]]:
        """The same, of each network that was started."""
        return [self._shown_in(number) for number in range(1, self._phones + 1)]

    def _shown_in(self, number: int) -> list[Shown]:
        found: list[Shown] = []
        log = self._log(f"network-{number}").read_text("utf-8", errors="replace")
        for got in _GOT.finditer(log):
            message = _MESSAGE.fullmatch(got[1])
            if message is None:  # its lines are messages, so a text's second line looks like another one
                found[-1] = msgspec.structs.replace(found[-1], text=f"{found[-1].text}\n{got[1]}")
                continue
            sender, phone, kind, header, content = message.groups()
            _, _, _, reference, parts, place = unquote_to_bytes(header) if header else (0, 0, 0, 0, 1, 0)
            found.append(Shown(sender, phone, _content(kind, content), place, parts, reference))
        return found

    def logs(self) -> str:
        """What both boxes wrote into their logs, as the how-to has them."""
        return "".join((self.folder / "log" / f"{box}.log").read_text("utf-8", errors="replace") for box in ("bearerbox", "smsbox"))

    def everything(self) -> str:
        """What both boxes print while they leave out nothing: their own default on a terminal."""
        return "".join(self._log(box).read_text("utf-8", errors="replace") for box in ("bearerbox", "smsbox"))

    def _start(self, name: str, command: list[str]) -> None:
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        self._processes[name] = (process, Watch(process.pid, self.folder))

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.out"


@contextlib.contextmanager
def kannel(folder: Path, callback: str) -> Iterator[Kannel]:
    """A Kannel in `folder`, not started. Skips the test where it is not installed."""
    if shutil.which("bearerbox", path="/usr/sbin") is None or not FAKE_SMSC.is_file():
        pytest.skip("Kannel is not installed (see debian-packages.txt)")
    folder.mkdir(exist_ok=True)
    one = Kannel(folder, callback)
    try:
        yield one
    finally:
        one.close()


def _content(kind: str, said: str) -> str:
    """What fakesmsc prints: UTF-8 for text, percent-encoded bytes for everything else; of parts, it does not say in which alphabet."""
    if kind == "text":
        return said
    data = unquote_to_bytes(said.replace("+", " "))
    if kind != "ucs-2" and b"\0" not in data:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode()
    return data.decode("utf-16-be")


def _how_to() -> str:
    """The configuration that operators are told to write."""
    (found,) = re.findall(r"```\n(group = core\n.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    return str(found)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for_port(port: int) -> None:
    """Until somebody listens. Asks nobody: whoever connects to the fake SMSC's port is given texts, and these would be lost."""
    until = time.monotonic() + START_S_MAX
    while not any(row[1].endswith(f":{port:04X}") and row[3] == _LISTENS for row in _sockets()):
        assert time.monotonic() < until, f"nobody listens on {port}"
        time.sleep(0.02)


def _is_asleep(task: Path) -> bool:
    """A thread, until something happens; one that has just ended is not."""
    with contextlib.suppress(OSError):
        return (task / "stat").read_text().rpartition(")")[2].split()[0] == "S"
    return False


def _is_read(ports: tuple[int, ...]) -> bool:
    """Nothing lies in the sockets of these, on either side."""
    ours = {f":{port:04X}" for port in ports}
    return not any(ours & {row[1][-5:], row[2][-5:]} and row[4] != "00000000:00000000" for row in _sockets())


def _sockets() -> list[list[str]]:
    """Of IPv4, each the columns of `/proc/net/tcp`."""
    return [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
