"""Requests to addresses that the operator wrote into a file: witnesses, SMS gateways. Any host is allowed, the loopback too.

Addresses that other people choose go through `outgoing` instead. No redirects: a peer is who the file says; no proxy from
the environment; no cookies; nothing unpacked; a bounded answer. Each is asked once: whether to ask again is for the caller to say.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import msgspec
from yarl import URL

from counterfoil.errors import Unavailable

ANSWER_SIZE_MAX = 65_536
"""Bytes of an answer's body; a longer one is refused whole."""
CONNECTIONS_MAX = 100
REASON_SIZE_MAX = 200
"""Characters of the reason why there was no answer."""


RETRY_AFTER_S_MAX = 86_400
"""Seconds that a peer may ask us to stay away."""


class PeerAnswer(msgspec.Struct, frozen=True):
    """What a peer answered, whatever its status. `retry_after_s`: 0 where it does not say."""

    status: int
    body: bytes
    retry_after_s: int = 0


class Peers:
    """A small HTTP client. Opens nothing until it is used; `close()` at the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Sends `body` once as text; (status, body) of the answer, whatever its status, a redirect as well.

        Raises Unavailable, with a reason fit for a log, when there is no whole answer within `timeout_s`.
        """
        answer = await self.ask("POST", url, timeout_s, body=body, headers={"Content-Type": "text/plain; charset=utf-8"})
        return answer.status, answer.body

    async def ask(
        self, method: str, url: str, timeout_s: float, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> PeerAnswer:
        """Asks once; `url` is sent as it stands, so its query is encoded already.

        Raises as `post`; `perhaps_taken` among the facts is True where the peer may have the request, though it did not answer.
        """
        try:
            async with self._client().request(
                method,
                URL(url, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2),
            ) as response:
                data = b""
                while part := await response.content.read(ANSWER_SIZE_MAX + 1 - len(data)):
                    data += part
                    if len(data) > ANSWER_SIZE_MAX:
                        raise Unavailable(f"the answer is larger than {ANSWER_SIZE_MAX} bytes", perhaps_taken=True)
                return PeerAnswer(response.status, data, _seconds(response.headers.get("Retry-After", "")))
        except TimeoutError as error:
            was_there = not isinstance(error, aiohttp.ConnectionTimeoutError)
            raise Unavailable(f"no answer within {timeout_s:g} s", perhaps_taken=was_there) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: what is no address at all
            was_there = not isinstance(error, (aiohttp.ClientConnectorError, ValueError))
            raise Unavailable((str(error) or type(error).__name__)[:REASON_SIZE_MAX], perhaps_taken=was_there) from error

    async def close(self) -> None:
        """Ends all connections. Safe to repeat."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer must not unpack into a large one
                trust_env=False,
                headers={"User-Agent": "Counterfoil"},
                middlewares=(_once,),
            )
        return self._session


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """By itself aiohttp sends a GET again whose connection ended without an answer: for a text message that is another one."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _NoAnswer(str(error) or type(error).__name__) from error


class _NoAnswer(aiohttp.ClientError):
    """The connection ended before there was an answer."""


def _seconds(retry_after: str) -> int:
    """The seconds of a Retry-After header; 0 for none, and for a date, which nobody of these sends. Source: RFC 9110 §10.2.3."""
    return min(int(retry_after), RETRY_AFTER_S_MAX) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10 else 0
