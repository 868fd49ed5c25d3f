"""A scheme with people, prepared in its folder, and then `counterfoil serve` over it: real processes on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from counterfoil.ids import new_id
from counterfoil.parties import statements
from counterfoil.parties.service import NewKey
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments.orders import encode
from counterfoil.payments.types import SignedOrder
from counterfoil.web import signatures
from tests.scheme import Person, Scheme, opened
from tests.web.site import signed_body

WAIT_S = 120
"""Seconds for anything that has to happen: a busy machine is ten times slower."""
FUNDS = 50_000


class Town:
    """People whose accounts are in a folder that nobody has open at the moment."""

    def __init__(self, folder: Path, scheme: Scheme, people: list[Person], browser: tuple[int, ec.EllipticCurvePrivateKey]) -> None:
        self.folder = folder
        self.scheme = scheme
        self.people = people
        self._browser = browser

    @classmethod
    async def built(cls, folder: Path, count: int) -> Town:
        async with opened(folder) as scheme:
            people = [await scheme.customer(f"Person {number}", funds=FUNDS) for number in range(count)]
            browser = new_id(scheme.clock), ec.generate_private_key(ec.SECP256R1())
            await _add_browser(scheme, people[0], *browser)
        return cls(folder, scheme, people, browser)

    def order_by_browser(self, to: Person, amount: int) -> SignedOrder:
        """An order of the first person's, signed on a second device, whose key is of P-256."""
        data = encode(self.people[0].order(to, amount))
        return SignedOrder(data, self._browser[0], _sign_p256(self._browser[1], data))

    async def balances(self) -> list[int]:
        """What each of the people has, as the ledger says when nobody serves."""
        async with opened(self.folder) as scheme:
            accounts = await scheme.services.ledger.lookup_accounts([person.account for person in self.people])
            return [account.credits_posted - account.debits_posted for account in accounts]

    def signature(self, who: Person, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """The headers with which a person's device signs a request."""
        return signatures.headers(
            method=method,
            path=path,
            query="",
            body=body,
            device=who.device,
            algorithm=KeyAlgorithm.ED25519,
            sign=lambda message: who.key.sign(message).signature,
            now_ns=self.scheme.clock.now_ns(),
        )

    def order(self, by: Person, to: Person, amount: int, **changes: Any) -> SignedOrder:
        return by.sign(by.order(to, amount, **changes))

    def stranger(self) -> Person:
        """Somebody with a key that nobody knows."""
        one = self.people[0]
        return Person(
            self.scheme, party=0, account=one.account, device=new_id(self.scheme.clock), key=SigningKey.generate(), address=""
        )  # fmt: skip


async def _add_browser(scheme: Scheme, owner: Person, device: int, key: ec.EllipticCurvePrivateKey) -> None:
    public_key = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    statement = statements.add_device(
        origin=scheme.services.config.origin, party=owner.party, device=device, algorithm=KeyAlgorithm.ES256, public_key=public_key
    )
    new_key = NewKey(device=device, algorithm=KeyAlgorithm.ES256, public_key=public_key, possession=_sign_p256(key, statement))
    await scheme.services.parties.devices.add(new_key, by_device=owner.device, signature=owner.key.sign(statement).signature)


def _sign_p256(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


class Served:
    """`counterfoil serve` at work."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def house(self) -> int:
        """The process that has store and ledger."""
        (pid,) = self._children("counterfoil.commands.serve")
        return pid

    def workers(self) -> list[int]:
        return self._children("counterfoil.serving")

    def _children(self, module: str) -> list[int]:
        found = []
        for pid in _children_of(self.process.pid):
            with contextlib.suppress(OSError):
                if module in Path(f"/proc/{pid}/cmdline").read_text("ascii").split("\0") and not _is_dead(pid):
                    found.append(pid)
        return sorted(found)

    async def wait_for(self, what: Any) -> None:
        async with asyncio.timeout(WAIT_S):
            while not what():
                await asyncio.sleep(0.02)


def _children_of(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text("ascii").split()]


def _is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"


@asynccontextmanager
async def served(folder: Path, workers: int, *, exit_code: int = 0, **settings: object) -> AsyncIterator[Served]:
    """Runs the command until the block ends, which it must do by itself when told, with `exit_code`."""
    names = {f"COUNTERFOIL_{name.upper()}": str(value) for name, value in settings.items()}
    environment = os.environ | {"COUNTERFOIL_SANDBOX": "true", "COUNTERFOIL_CHECK_INTERVAL_S": "0"} | names
    command = [sys.executable, "-m", "counterfoil", "serve", "--data", str(folder), "--port", "0", "--workers", str(workers)]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    loop = asyncio.get_running_loop()
    told: asyncio.Task[tuple[str, str]] | None = None
    try:
        async with asyncio.timeout(WAIT_S):
            line = await loop.run_in_executor(None, process.stdout.readline)
        assert " listens on http://127.0.0.1:" in line, line
        assert process.stderr is not None
        told = asyncio.create_task(asyncio.to_thread(_read_all, process))
        yield Served(process, int(line.rpartition(":")[2]))
    finally:
        process.terminate()
        async with asyncio.timeout(WAIT_S):
            out, error = await told if told is not None else ("", "")
            await loop.run_in_executor(None, process.wait)
    assert process.returncode == exit_code, error
    assert out == ("" if exit_code else "Stopped.\n"), out
    assert "Traceback" not in error, error


def _read_all(process: subprocess.Popen[str]) -> tuple[str, str]:
    return process.communicate()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing for a while: it is there, and does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while (state := Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) != "T":
            assert state in "RSD", state
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Answer:
    """A whole answer, as it came over the wire."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A connection on which bytes are sent as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, served: Served) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", served.port))

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.02)  # most likely, each piece is read by itself

    async def answer(self, *, head_only: bool = False) -> Answer:
        """Raises asyncio.IncompleteReadError or ConnectionError when the connection ends first."""
        async with asyncio.timeout(WAIT_S):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines[1:] if line)]
            found = Answer(int(lines[0].split()[1]), headers, b"")
            if head_only:
                return found
            if (size := found.header("content-length")) is not None:
                found.body = await self.reader.readexactly(int(size))
            elif found.header("transfer-encoding") == "chunked":
                while size_read := int(await self.reader.readuntil(b"\r\n"), 16):
                    found.body += (await self.reader.readexactly(size_read + 2))[:-2]
                await self.reader.readexactly(2)
        return found

    async def ask(self, *pieces: bytes, head_only: bool = False) -> Answer:
        await self.send(*pieces)
        return await self.answer(head_only=head_only)

    async def is_closed(self) -> bool:
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def wire(served: Served) -> AsyncIterator[Wire]:
    found = await Wire.connect(served)
    try:
        yield found
    finally:
        found.close()


def request(method: str, target: str, body: bytes = b"", *, headers: dict[str, str] | None = None, version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: test"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def payment(signed: SignedOrder | bytes, **headers: str) -> bytes:
    body = signed if isinstance(signed, bytes) else json.dumps(signed_body(signed)).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request("POST", "/v1/payments", body, headers={"Content-Type": "application/json"} | named)
