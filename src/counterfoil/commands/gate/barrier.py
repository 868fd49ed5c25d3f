"""How a barrier is told to open: one signed POST to its controller, again until that has answered.

    POST URL
    webhook-id: <passage>                   the same however often it is sent: open once for each
    webhook-timestamp, webhook-signature    as in `channels.signatures`, with the secret that the controller was given
    {"event": "open", "way": "in", "passage": UUID, "stay": UUID, "plate": "KAA123B"}

Any 2xx says that the barrier opens. A controller without a secret cannot know who asks: it must be reached from the lane alone.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Final, Protocol
from urllib.parse import urlsplit

from counterfoil.channels.signatures import sign
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.commands.gate.folder import Passage
from counterfoil.commands.output import WrongUse

TIMEOUT_S: Final = 3.0
ATTEMPTS: Final = 4
"""How often it is told, before somebody has to open it by hand."""
PAUSE_S: Final = 1.0


class Pause(Protocol):
    def __call__(self, seconds: float) -> None: ...


class Barrier:
    """The barrier whose controller is at `url`. `secret` as the controller has it, "whsec_..."; None to sign nothing."""

    def __init__(self, url: str, secret: str | None, *, clock: Clock, pause: Pause) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname or address.username or address.fragment:
            raise WrongUse(f"{url} is not the address of a barrier's controller, such as http://127.0.0.1:8090/open")
        self._address = address
        self._secret = secret
        self._clock = clock
        self._pause = pause

    def open(self, passage: Passage, plate: str) -> bool:
        """Whether the controller says that it opens; `plate` as the server has it, or "". A repeat for the same passage opens nothing more."""
        told = {"event": "open", "way": passage.way, "passage": passage.id, "stay": passage.stay, "plate": plate}
        body = json.dumps(told, ensure_ascii=False).encode()
        for tried in range(ATTEMPTS):
            if tried:
                self._pause(PAUSE_S)
            if self._told(passage.id, body):
                return True
        return False

    def _told(self, id: str, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "webhook-id": id}
        if self._secret is not None:
            headers |= sign([self._secret], message_id=id, timestamp_s=self._clock.now_ns() // NANOSECONDS, body=body)
        connection = self._connection()
        try:
            target = (self._address.path or "/") + (f"?{self._address.query}" if self._address.query else "")
            connection.request("POST", target, body, headers)
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
