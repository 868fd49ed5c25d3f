"""HTTP for the command line: one server, requests signed by the wallet's key, the server's no as an exception.

Standard library only. Signing is the server's own (`web.signatures`), so there is one profile and one implementation.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from counterfoil.clock import Clock
from counterfoil.commands.keyfile import KeyFile
from counterfoil.commands.output import Failure, WrongUse
from counterfoil.errors import Retry, Unavailable
from counterfoil.ids import parse_id
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.web import signatures

TIMEOUT_S = 30.0
"""Seconds to wait for the server; then the outcome is not known."""
ATTEMPTS = 4
"""How often something without a known outcome is sent, always with the same id, before giving the word back."""
PAUSES_S = (0.2, 0.6, 1.5)
ANSWER_SIZE_MAX = 16 * 2**20


class ServerRefused(Failure):
    """The server's answer is no.

    Attributes:
        status: the HTTP status.
        after_unknown: an earlier try of the same call had no answer, so that this no need not be about that one.
    """

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(
            str(problem.get("detail", "the server refused without a reason")),
            code=str(problem.get("code", "refused")),
            retry=str(problem.get("retry", Retry.NEVER)),
            facts=dict(problem.get("facts") or {}),
        )
        self.status = int(problem.get("status", 0))
        self.after_unknown = False


class Client:
    """Talks to `server`. `key` signs what needs a signature; None for what does not."""

    def __init__(self, server: str, key: KeyFile | None, clock: Clock) -> None:
        address = urlsplit(server if "://" in server else f"http://{server}")
        if address.scheme not in ("http", "https") or not address.hostname or address.query or address.path.strip("/"):
            raise WrongUse(f"{server} is not a server's address, such as http://127.0.0.1:8480")
        self.server = f"{address.scheme}://{address.netloc}"
        self._address = address
        self._key = key
        self._clock = clock

    def get(self, path: str, *, signed: bool = True, **query: object) -> Any:
        """What is at `path`; query parameters that are None are left out."""
        return self.call("GET", path, query={name: value for name, value in query.items() if value is not None}, signed=signed)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, signed: bool = True) -> Any:
        return self.call("POST", path, body=b"" if body is None else json.dumps(body).encode(), signed=signed)

    def file(self, path: str, *, accept: str, **query: object) -> bytes:
        """What is at `path` for this wallet's eyes, as a file of the media type `accept`. Refusals as in `call`."""
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        target = f"{path}?{asked}" if asked else path
        status, data = self._exchange("GET", target, b"", {"Accept": accept} | self._signature("GET", path, asked, b""))
        if status == 200:
            return data
        raise self._no(status, self._parsed(status, data))

    def text(self, path: str) -> bytes:
        """A public file of the log, as it is. FileNotFoundError when there is none; Unavailable when the server does not answer."""
        status, data = self._exchange("GET", path, b"", {})
        if status == 404:
            raise FileNotFoundError(path)
        if status != 200:
            raise Unavailable(f"{self.server} does not give {path} (status {status})")
        return data

    def pause(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: bytes = b"",
        signed: bool = True,
        headers: Mapping[str, str] | None = None,
        attempts: int = ATTEMPTS,
    ) -> Any:
        """One request, repeated as it is while its outcome is not known. `headers` go with it, such as a token.

        Raises ServerRefused for a no, Unavailable when it is still not known after so many attempts, 1 to ATTEMPTS.
        """
        for tried, pause in enumerate((*PAUSES_S[: attempts - 1], None)):
            try:
                return self._once(method, path, urlencode(query or {}), body, signed, headers or {})
            except ServerRefused as refusal:
                refusal.after_unknown = tried > 0
                raise
            except Unavailable:
                if pause is None:
                    raise
                self.pause(pause)
        raise AssertionError(path)

    def _once(self, method: str, path: str, query: str, body: bytes, signed: bool, more: Mapping[str, str]) -> Any:
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {}) | dict(more)
        if signed:
            headers |= self._signature(method, path, query, body)
        status, data = self._exchange(method, f"{path}?{query}" if query else path, body, headers)
        if status == 204:
            return None
        answer = self._parsed(status, data)
        if status < 400:
            return answer
        raise self._no(status, answer)

    def _signature(self, method: str, path: str, query: str, body: bytes) -> dict[str, str]:
        assert self._key is not None, path
        key = self._key.signing_key
        return signatures.headers(
            method=method,
            path=path,
            query=query,
            body=body,
            device=parse_id(self._key.device, "device"),
            algorithm=KeyAlgorithm.ED25519,
            sign=lambda message: key.sign(message).signature,
            now_ns=self._clock.now_ns(),
        )

    def _parsed(self, status: int, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            raise Unavailable(f"{self.server} did not answer in JSON (status {status})") from None

    @staticmethod
    def _no(status: int, answer: Any) -> Exception:
        """The exception for an answer that is no success."""
        if status >= 500 or not isinstance(answer, dict) or answer.get("retry") == Retry.SAME_ID:
            detail = answer.get("detail") if isinstance(answer, dict) else None
            return Unavailable(f"{detail or 'the server is in trouble'} (status {status})")
        return ServerRefused(answer)

    def _exchange(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        host, port = self._address.hostname, self._address.port
        assert host is not None
        if self._address.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            connection.request(method, target, body or None, headers)
            answer = connection.getresponse()
            data = answer.read(ANSWER_SIZE_MAX + 1)
            if len(data) > ANSWER_SIZE_MAX:
                raise Unavailable(f"{self.server} answered more than {ANSWER_SIZE_MAX} bytes")
            return answer.status, data
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{self.server} does not answer: {str(error) or type(error).__name__}") from None
        finally:
            connection.close()
