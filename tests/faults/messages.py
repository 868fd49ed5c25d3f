"""A proxy between TigerBeetle's client and one server, which loses replies, sends them twice, or holds them back past the next one.

Source: TigerBeetle 0.17 `src/vsr/message_header.zig`: a message begins with 256 bytes, in which are its size and its command.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

_HEADER_SIZE: Final = 256
_SIZE_AT: Final = 96
_COMMAND_AT: Final = 114
_REPLY: Final = 8


class ReplyProxy:
    """Listens on the loopback, for one server there.

    Attributes:
        port: where to connect to.
        faults: what to do with the next replies, one after the other: "pass", "lose", "double" or "swap" (with the next one).
        done: how often each was done.
    """

    def __init__(self, server: int, faults: Iterator[str]) -> None:
        self.faults = faults
        self.done = dict.fromkeys(("pass", "lose", "double", "swap"), 0)
        self._server = server
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for opened in (self._listener, *self._sockets):
            _close(opened)
        for thread in self._threads:
            thread.join(60)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets += [client, server]
                for forward in (self._forward_all, self._forward_messages):
                    thread = threading.Thread(target=forward, args=(client, server), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _forward_all(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                server.sendall(data)
        _close(server)

    def _forward_messages(self, client: socket.socket, server: socket.socket) -> None:
        kept, buffer = b"", bytearray()
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                buffer += data
                while len(buffer) >= _HEADER_SIZE:
                    size = int.from_bytes(buffer[_SIZE_AT : _SIZE_AT + 4], "little")
                    if len(buffer) < size:
                        break
                    message = bytes(buffer[:size])
                    del buffer[:size]
                    if message[_COMMAND_AT] != _REPLY:
                        client.sendall(message)
                        continue
                    with self._lock:
                        fault = next(self.faults)
                        self.done[fault] += 1
                    if fault == "swap" and not kept:
                        kept = message
                    elif fault != "lose":
                        client.sendall(message * (2 if fault == "double" else 1) + kept)
                        kept = b""
        _close(client)


def _close(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()
