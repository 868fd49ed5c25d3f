"""The command line as somebody at a desk uses it: real commands, a real server over HTTP, key files on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from counterfoil.__main__ import main
from counterfoil.commands import keyfile
from counterfoil.commands.keyfile import KeyFile
from counterfoil.ids import id_text
from counterfoil.web.values import base64_text
from tests.scheme import Person
from tests.web.site import Site


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def run(*argv: str | Path) -> Ran:
    """Runs one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in argv])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


class Desk:
    """Runs wallet commands against one server, which lives in this event loop; the commands run in a thread."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.server = f"http://127.0.0.1:{site.port}"

    async def run(self, *argv: str | Path) -> Ran:
        return await asyncio.to_thread(run, *argv)

    async def wallet(self, key: Path, *argv: str, server: str | None = None) -> Ran:
        """A wallet command that must print one JSON object, whatever comes of it."""
        action, *rest = argv
        ran = await self.run("wallet", action, *rest, "--key", key, "--json", *(("--server", server) if server else ()))
        assert ran.code == 2 or ran.json is not None
        return ran

    def key(self, person: Person, name: str, **changes: str) -> Path:
        """A key file for somebody whom the scheme already knows."""
        services = self.site.services
        values = {
            "server": self.server,
            "origin": services.config.origin,
            "currency": services.config.currency_code,
            "digits": services.config.currency_digits,
            "operator_key": base64_text(services.payments.acknowledger.public_key),
            "party": id_text(person.party),
            "account": id_text(person.account) if person.account else "",
            "device": id_text(person.device),
            "seed": base64_text(person.key.encode()),
            "name": name,
            "number": "",
        }
        path = self.folder / f"{name}.key"
        keyfile.save(path, KeyFile(**(values | changes)))  # type: ignore[arg-type]
        return path


class Cutting:
    """A network that loses answers: hangs up on whoever POSTs to `path`, after passing it on to the server or not."""

    def __init__(self, port: int, *, passes_on: bool, path: str = "/v1/payments") -> None:
        self.passes_on = passes_on
        self.path = path
        self.cut = 0
        self._port = port

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        body = await reader.readexactly(length)
        cutting = head.startswith(f"POST {self.path} ".encode())
        if not cutting or self.passes_on:
            answer = await self._ask(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
            if not cutting:
                writer.write(answer)
        self.cut += cutting
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer
