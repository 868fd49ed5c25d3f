"""A merchant's server: a real HTTP server on the loopback that answers as the test wants, and remembers what it was sent."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Request(msgspec.Struct, frozen=True):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)  # type: ignore[no-any-return]


class Receiver:
    """`answer` decides on each request: a status; 0 breaks the connection off; or a callable that answers by itself."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.answer: int | Callable[[Request], int] = 204
        self.headers: dict[str, str] = {}
        self.body = b""
        self.let_go = threading.Event()  # what hangs, hangs until then
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, self.rfile.read(size))
                receiver.requests.append(request)
                status = receiver.answer if isinstance(receiver.answer, int) else receiver.answer(request)
                with contextlib.suppress(OSError):
                    if not status:
                        self.close_connection = True
                        return
                    self.send_response(status)
                    for name, value in receiver.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(receiver.body)))
                    self.end_headers()
                    self.wfile.write(receiver.body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def verify_request(self, request: Any, client_address: Any) -> bool:
                receiver.connections += 1
                return True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that went away

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def hang(self, _: Request) -> int:
        self.let_go.wait(30)
        return 204

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.requests]


@contextlib.contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(tls)
    receiver._thread.start()
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        receiver._server.shutdown()
        receiver._server.server_close()
        receiver._thread.join()
