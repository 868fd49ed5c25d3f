"""Requests to addresses that other people chose: webhooks, callbacks. They reach the public internet and nothing else.

    https only; no user name in the address; no redirects; no proxy from the environment; no cookies; nothing unpacked
    the socket itself is refused unless its address is public: whatever a name resolves to, and whenever, what was checked
    is what is connected to
    15 seconds for everything; 64 kB of an answer; names are looked up in threads of our own, so that a slow one holds up
    nobody else

In a sandbox the loopback is allowed as well, there also by plain http. Source: Standard Webhooks 1.0.0, "Server side request
forgery"; IANA special-purpose address registries, by Python's `ipaddress`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from counterfoil.errors import Malformed

TIMEOUT_S = 15.0
"""Seconds for one request, from looking up the name to the end of the answer."""
ANSWER_SIZE_MAX = 65_536
"""Bytes read of an answer's body; the rest is not waited for."""
URL_SIZE_MAX = 2_000
"""Characters of an address."""
CONNECTIONS_MAX = 200
LOOKUP_THREADS = 16
REASON_SIZE_MAX = 200
"""Characters of the reason why there was no answer."""
RETRY_AFTER_S_MAX = 86_400

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int, int, int], list[Any]]

_LEADING_ON = tuple(
    ipaddress.ip_network(network)
    for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "192.0.0.0/24", "192.88.99.0/24", "fec0::/10")
)
"""Networks that lead on to other addresses (NAT64, 6to4, Teredo), and special ones that older versions of Python call public."""


class NoAnswer(Exception):
    """Nobody answered, or nobody was asked: the address is not allowed, cannot be found or reached, or took too long."""


class Answer(msgspec.Struct, frozen=True):
    """What came back.

    Attributes:
        status: HTTP status; a redirect is an answer like any other.
        body: at most ANSWER_SIZE_MAX bytes, as they came.
        retry_after_s: seconds that the answer asked us to wait; 0 when it did not.
    """

    status: int
    body: bytes
    retry_after_s: int


class Outgoing:
    """A guarded HTTP client. Opens nothing until it is used; `close()` at the end."""

    def __init__(self, *, sandbox: bool, timeout_s: float = TIMEOUT_S, lookup: Lookup | None = None) -> None:
        self.sandbox = sandbox
        self._timeout_s = timeout_s
        self._lookup = lookup or _lookup
        self._resolver: _Resolver | None = None
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def send(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends `body` once and returns the answer, whatever its status. Raises NoAnswer with a reason fit for a log."""
        try:
            target = self.check_form(url)
            request = self._session(target.scheme).request(method, target, data=body, headers=headers, allow_redirects=False)
            async with request as response:
                data = await _read(response)
                return Answer(response.status, data, _retry_after(response.headers.get("Retry-After", "")))
        except Malformed as error:
            raise NoAnswer(error.detail) from None
        except TimeoutError:
            raise NoAnswer(f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            raise NoAnswer(_reason(error)) from error

    async def check(self, url: str) -> None:
        """Refuses (Malformed, "url") an address that `send` would not reach. What a name resolves to may change, so `send` looks again."""
        target = self.check_form(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._names().resolve(target.host or "", target.port or 443, socket.AF_UNSPEC)
        except (OSError, UnicodeError):  # a timeout is an OSError, too
            raise Malformed("url", "its host cannot be found") from None
        addresses = [_address(entry["host"]) for entry in found]
        if target.scheme == "http" and not all(address.is_loopback for address in addresses):
            raise Malformed("url", "must begin with https://")
        if not all(self._allowed(address, secure=target.scheme == "https") for address in addresses):
            raise Malformed("url", "must not lead into a private network")

    def check_form(self, url: str) -> URL:
        """The parsed address. Refuses (Malformed, "url") what no name server needs to be asked about."""
        schemes = ("https", "http") if self.sandbox else ("https",)
        try:
            target = URL(url)
            port = target.port
        except ValueError:
            raise Malformed("url", "must be an address like https://shop.example/webhooks") from None
        if len(url) > URL_SIZE_MAX or not url.isascii() or not url.isprintable() or " " in url:
            raise Malformed("url", f"must be at most {URL_SIZE_MAX} printable ASCII characters")
        if target.scheme not in schemes or not target.host or not port:
            raise Malformed("url", "must be an address like https://shop.example/webhooks")
        if target.user is not None or target.password is not None or target.fragment:
            raise Malformed("url", "must not contain a user name, a password or a fragment")
        return target

    async def close(self) -> None:
        """Ends all connections. Safe to repeat."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None

    def _names(self) -> _Resolver:
        if self._resolver is None:
            self._resolver = _Resolver(self._lookup)
        return self._resolver

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        if scheme not in self._sessions:
            self._sessions[scheme] = aiohttp.ClientSession(
                connector=self._connector(secure=scheme == "https"),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer must not unpack into a large one
                trust_env=False,
                headers={"User-Agent": "Counterfoil"},
            )
        return self._sessions[scheme]

    def _allowed(self, address: Address, *, secure: bool) -> bool:
        return (secure and is_public(address)) or (self.sandbox and address.is_loopback)

    def _connector(self, *, secure: bool) -> aiohttp.TCPConnector:
        def make_socket(info: Any) -> socket.socket:
            family, kind, protocol, _, where = info
            address = _address(where[0])
            if not self._allowed(address, secure=secure):
                raise PermissionError(errno.EACCES, f"the address {address} is not allowed")
            return socket.socket(family, kind, protocol)

        tls = ssl.create_default_context() if secure else True  # reading the machine's authorities takes some 50 ms
        return aiohttp.TCPConnector(limit=CONNECTIONS_MAX, resolver=self._names(), ssl=tls, socket_factory=make_socket)


def is_public(address: Address) -> bool:
    """True for what anybody on the internet could reach as well: not private, loopback, link-local, multicast or a way to such."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if any(address in network for network in _LEADING_ON):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class _Resolver(AbstractResolver):
    """Looks names up in threads of its own: the event loop's few would be held up by one slow name server."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, "lookup")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._lookup, host, port, family, socket.SOCK_STREAM)
        return [
            ResolveResult(hostname=host, host=where[0], port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST)
            for kind, _, protocol, _, where in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _lookup(host: str, port: int, family: int, kind: int) -> list[Any]:
    return socket.getaddrinfo(host, port, family=family, type=kind, flags=socket.AI_ADDRCONFIG)


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The first part of the body. A status has arrived by now: trouble with the rest does not take it back.

    A connection with the rest still to come is not used again: aiohttp closes it when the answer is let go.
    """
    data = b""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        while len(data) < ANSWER_SIZE_MAX and (part := await response.content.read(ANSWER_SIZE_MAX - len(data))):
            data += part
    return data


def _retry_after(text: str) -> int:
    """Seconds. A date is not honoured: our own schedule waits long enough."""
    return min(int(text), RETRY_AFTER_S_MAX) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:REASON_SIZE_MAX]
