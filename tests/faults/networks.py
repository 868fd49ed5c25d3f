"""A network of its own for a test: places with an address each, joined by a switch, whose cables can be pulled.

Each place is a thread in a network namespace of its own. What is called there, the processes and threads that it starts included,
has no other network; and all of it is gone with the thread and those processes. Needs `ip`, and root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

import pytest

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x40000000
_REFUSALS: Final = ("not permitted", "not supported", "Unknown device type")
"""What `ip` says where the kernel does not let us, or was built without bridges or pairs of cables."""
_libc = ctypes.CDLL(None, use_errno=True)


class Place:
    """A machine of the network.

    Attributes:
        address: its own, IPv4.
    """

    def __init__(self, number: int, switch: Place | None) -> None:
        self.address = f"10.77.0.{number}"
        self._cable = f"cable{number}"
        self._switch = switch
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"place-{number}")
        self._task: int = self.call(_leave)
        self.call(_ip, "link set lo up")
        if switch is not None:
            switch.call(_ip, f"link add {self._cable} type veth peer name eth0 netns {self._task}")
            switch.call(_ip, f"link set {self._cable} master switch up")
            self.call(_ip, f"address add {self.address}/24 dev eth0")
            self.call(_ip, "link set eth0 up")

    def call(self, fn: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """What `fn` returns, called there. One call at a time."""
        return self.begin(fn, *arguments, **named).result()

    def begin(self, fn: Callable[..., T], *arguments: Any, **named: Any) -> Future[T]:
        """As `call`, for whoever waits later."""
        return self._thread.submit(fn, *arguments, **named)

    def cut(self) -> None:
        """Pulls its cable: nothing comes, nothing leaves, and nobody is told."""
        assert self._switch is not None
        self._switch.call(_ip, f"link set {self._cable} down")

    def heal(self) -> None:
        assert self._switch is not None
        self._switch.call(_ip, f"link set {self._cable} up")

    def close(self) -> None:
        self._thread.shutdown()


@contextlib.contextmanager
def network(count: int) -> Iterator[list[Place]]:
    """So many places that reach each other. Skips the test where the kernel refuses."""
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed (iproute2, see debian-packages.txt)")
    with contextlib.ExitStack() as stack:
        switch = Place(254, None)
        stack.callback(switch.close)
        switch.call(_ip, "link add switch type bridge")
        switch.call(_ip, "link set switch up")
        places = []
        for number in range(1, count + 1):
            places.append(Place(number, switch))
            stack.callback(places[-1].close)
        yield places


def _leave() -> int:
    """Takes this thread into a new network without anybody. Returns the thread's number."""
    if _libc.unshare(_CLONE_NEWNET) != 0:
        pytest.skip(f"The kernel refuses a network namespace: {os.strerror(ctypes.get_errno())}")
    return threading.get_native_id()


def _ip(command: str) -> None:
    done = subprocess.run(["ip", *command.split()], check=False, capture_output=True, text=True)
    if any(refusal in done.stderr for refusal in _REFUSALS):
        pytest.skip(f"The kernel refuses a network namespace: {done.stderr.strip()}")
    assert done.returncode == 0, (command, done.stderr)
