"""A proxy between a client and PostgreSQL's Unix socket: it cuts connections, holds them up, loses replies or sends them twice."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote


class CuttingProxy:
    """Listens in `folder` as a server would. Everything passes, until a cut is armed.

    Attributes:
        passed: bytes since then: [from the client, from the server].
        cuts: connections cut so far.
    """

    def __init__(self, server: Path, folder: Path) -> None:
        self.passed = [0, 0]
        self.cuts = 0
        self._server = server
        self._folder = folder
        self._limits: list[int | None] = [None, None]
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._open = (threading.Event(), threading.Event())
        self._losing = False
        self._doubling = False
        self.release()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen(50)
        self._start(self._accept)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder), safe='')}"

    def arm(self, *, from_client: int | None = None, from_server: int | None = None) -> None:
        """Cuts the connection that is the first to bring so many bytes of this direction, before the byte after them."""
        with self._lock:
            self.passed = [0, 0]
            self._limits = [from_client, from_server]

    def hold(self, *, replies_only: bool = False) -> None:
        """Lets nothing pass any more, and cuts nothing: a network that swallows everything. What was held passes after `release`."""
        for opened in self._open[1:] if replies_only else self._open:
            opened.clear()

    def lose_replies(self) -> None:
        """What the server says from now on never comes."""
        self._losing = True

    def double_a_reply(self) -> None:
        """The next thing that the server says comes once more: together with what it says after it."""
        self._doubling = True

    def release(self) -> None:
        self._losing = False
        for opened in self._open:
            opened.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
        for opened in (self._listener, *self._sockets):
            _close(opened)
        for thread in self._threads:
            thread.join(60)

    def _start(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                try:
                    server.connect(str(self._server))
                except OSError:
                    _close(client)
                    continue
                self._start(self._forward, client, server, 0)
                self._start(self._forward, server, client, 1)

    def _forward(self, source: socket.socket, sink: socket.socket, direction: int) -> None:
        again = b""
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._open[direction].wait()
                if direction == 1 and self._losing:
                    continue
                allowed = self._count(direction, len(data))
                sink.sendall(again + data[:allowed])
                again = b""
                if direction == 1 and self._doubling:
                    self._doubling = False
                    again = data[:allowed]
                if allowed < len(data):
                    break
        _close(source)
        _close(sink)

    def _count(self, direction: int, size: int) -> int:
        """How many of these bytes may pass."""
        with self._lock:
            limit = self._limits[direction]
            if limit is not None and self.passed[direction] + size > limit:
                size = limit - self.passed[direction]
                self._limits = [None, None]
                self.cuts += 1
                return size
            self.passed[direction] += size
            return size


def _close(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()
