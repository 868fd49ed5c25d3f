"""TigerBeetle's official client, asked with deadlines of our own: `Session.ask(operation, bytes)`.

Two ways lead to the same library. *Raw* hands it the 128-byte records as they are: several times faster, but by its bindings,
which are not its documented interface. So they are compared with ours first (version, sizes, places of the fields, numbers),
and where they differ, or on request, the *stock* client is used, which makes an object of each record.

The library waits for ever for a server. A request that is past its deadline raises Unavailable here and stays alive there:
it may still be carried out. No other is sent before it has ended, and what it did is then taken in first.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import ModuleType
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import structlog

from counterfoil import errors
from counterfoil.ledger import types
from counterfoil.ledger.tigerbeetle_records import CHANGE_EVENT_SIZE, CHANGE_EVENTS_FILTER_SIZE, Operation

log = structlog.get_logger()

T = TypeVar("T")

VERSION_MIN: Final = (0, 17, 9)
VERSION_END: Final = (0, 18)
"""Versions of the client that were tried: from the first, and below the second."""

# How a request ended: the library's `PacketStatus`.
OK: Final = 0
TOO_MUCH_DATA: Final = 1
CLIENT_EVICTED: Final = 2
CLIENT_RELEASE_TOO_LOW: Final = 3
CLIENT_RELEASE_TOO_HIGH: Final = 4
CLIENT_SHUTDOWN: Final = 5

_FIELDS: Final = {
    "CTransfer": "128 id 0 debit_account_id 16 credit_account_id 32 amount 48 pending_id 64 user_data_128 80 user_data_64 96 "
    "user_data_32 104 timeout 108 ledger 112 code 116 flags 118 timestamp 120",
    "CAccount": "128 id 0 debits_pending 16 debits_posted 32 credits_pending 48 credits_posted 64 user_data_128 80 user_data_64 96 "
    "user_data_32 104 reserved 108 ledger 112 code 116 flags 118 timestamp 120",
    "CAccountBalance": "128 debits_pending 0 debits_posted 16 credits_pending 32 credits_posted 48 timestamp 64",
    "CAccountFilter": "128 account_id 0 user_data_128 16 user_data_64 32 user_data_32 40 code 44 timestamp_min 104 timestamp_max 112 "
    "limit 120 flags 124",
    "CQueryFilter": "64 user_data_128 0 user_data_64 16 user_data_32 24 ledger 28 code 32 timestamp_min 40 timestamp_max 48 "
    "limit 56 flags 60",
    "CCreateAccountResult": "16 timestamp 0 status 8",
    "CCreateTransferResult": "16 timestamp 0 status 8",
}
"""Each record's size and where its fields begin, in bytes."""

_ENUMS: Final = ("CreateAccountStatus", "CreateTransferStatus", "AccountFlags", "TransferFlags", "AccountFilterFlags", "QueryFilterFlags")

_INIT_ADVICE: Final = {
    "OUT_OF_MEMORY": "there is not enough memory",
    "ADDRESS_INVALID": "the addresses must be like 10.0.0.1:3000,10.0.0.2:3000,10.0.0.3:3000",
    "ADDRESS_LIMIT_EXCEEDED": "a cluster has at most six replicas",
    "SYSTEM_RESOURCES": "the system does not give it enough: raise the limits of locked memory (ulimit -l) and of open files (ulimit -n)",
}


_WORDS: Final = {
    CLIENT_EVICTED: ("The ledger's servers have ended our session, as they do when too many clients connect.", False),
    CLIENT_RELEASE_TOO_LOW: (
        "The ledger's servers are too new for our TigerBeetle client, {version}: install a newer version of this program.", True,
    ),
    CLIENT_RELEASE_TOO_HIGH: (
        "The ledger's servers are older than our TigerBeetle client, {version}: upgrade the servers first, then this program.", True,
    ),
    CLIENT_SHUTDOWN: ("The connection to the ledger's servers has been closed.", False),
}  # fmt: skip
"""What to say of a session that has ended, and whether it can only be seen at its start."""


class Reply(NamedTuple):
    """`timestamp`: the ledger's time when the request was carried out, ns; 0 where the stock client does not tell."""

    data: bytes
    timestamp: int


Done = Callable[[int, bytes, int], None]
"""Told once how a request ended, what it answered, and when; on a thread of the library."""


class Transport(Protocol):
    """One connection to a cluster. Thread-safe."""

    kind: str

    def send(self, operation: Operation, data: bytes, done: Done) -> None: ...

    def close(self) -> None:
        """Ends what is under way with CLIENT_SHUTDOWN."""
        ...


class RawTransport:
    """The library itself."""

    kind = "raw"

    def __init__(self, library: Any, addresses: str, cluster: int) -> None:
        bindings = library.bindings
        self._bindings = bindings
        self._keys = itertools.count(1)
        self._sent: dict[int, tuple[Any, bytes, Done]] = {}  # keeps packet and data where they are until the callback
        self._client = bindings.CClient()
        self._callback = bindings.OnCompletion(self._complete)
        number = (ctypes.c_uint8 * 16).from_buffer_copy(cluster.to_bytes(16, "little"))
        encoded = addresses.encode("ascii")
        status = bindings.tb_client_init(ctypes.byref(self._client), ctypes.byref(number), encoded, len(encoded), None, self._callback)
        if status != bindings.InitStatus.SUCCESS:
            raise _not_started(bindings.InitStatus(status).name)

    def send(self, operation: Operation, data: bytes, done: Done) -> None:
        key = next(self._keys)
        packet = self._bindings.CPacket()
        packet.user_data = key
        packet.user_tag = 0
        packet.operation = int(operation)
        packet.status = OK
        packet.data_size = len(data)
        packet.data = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)
        self._sent[key] = (packet, data, done)
        if self._bindings.tb_client_submit(ctypes.byref(self._client), ctypes.byref(packet)) != self._bindings.ClientStatus.OK:
            del self._sent[key]
            done(CLIENT_SHUTDOWN, b"", 0)

    def close(self) -> None:
        self._bindings.tb_client_deinit(ctypes.byref(self._client))

    def _complete(self, context: int | None, packet: Any, timestamp: int, data: int | None, size: int) -> None:
        status = packet[0].status
        done = self._sent.pop(packet[0].user_data)[2]
        done(status, ctypes.string_at(data, size) if status == OK and data else b"", timestamp)


class _Filter(ctypes.Structure):
    """The stock client has no method for the feed, but a way to ask for whatever it lacks: a filter of bytes,"""

    _fields_ = (("data", ctypes.c_uint8 * CHANGE_EVENTS_FILTER_SIZE),)

    @classmethod
    def from_param(cls, data: bytes) -> _Filter:
        return cls.from_buffer_copy(data)


class _ChangeEvent(ctypes.Structure):
    """and events of bytes."""

    _fields_ = (("data", ctypes.c_uint8 * CHANGE_EVENT_SIZE),)

    def to_python(self) -> bytes:
        return bytes(self)


class StockTransport:
    """The documented client. It does not tell when a request was carried out, and knows no reserved fields."""

    kind = "stock"

    def __init__(self, library: Any, addresses: str, cluster: int) -> None:
        self._library = library
        bindings = library.bindings
        u128 = dict(bindings.CAccount._fields_)["id"]
        account_filter, query = bindings.CAccountFilter, bindings.CQueryFilter
        self._ways: dict[Operation, tuple[Any, Any, bool]] = {  # what goes in, what comes out, whether many go in
            Operation.LOOKUP_ACCOUNTS: (u128, bindings.CAccount, True),
            Operation.LOOKUP_TRANSFERS: (u128, bindings.CTransfer, True),
            Operation.GET_ACCOUNT_TRANSFERS: (account_filter, bindings.CTransfer, False),
            Operation.GET_ACCOUNT_BALANCES: (account_filter, bindings.CAccountBalance, False),
            Operation.QUERY_ACCOUNTS: (query, bindings.CAccount, False),
            Operation.QUERY_TRANSFERS: (query, bindings.CTransfer, False),
            Operation.CREATE_ACCOUNTS: (bindings.CAccount, bindings.CCreateAccountResult, True),
            Operation.CREATE_TRANSFERS: (bindings.CTransfer, bindings.CCreateTransferResult, True),
        }
        try:
            self._client = library.ClientSync(cluster_id=cluster, replica_addresses=addresses)
        except library.client.InitError as error:
            raise _not_started(library.InitStatus(error.args[0]).name) from error
        self._endings = {
            library.TooMuchDataError: TOO_MUCH_DATA,
            library.ClientEvictedError: CLIENT_EVICTED,
            library.ClientReleaseTooLowError: CLIENT_RELEASE_TOO_LOW,
            library.ClientReleaseTooHighError: CLIENT_RELEASE_TOO_HIGH,
            library.ClientClosedError: CLIENT_SHUTDOWN,
        }
        self._queue: SimpleQueue[tuple[Operation, bytes, Done] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="tigerbeetle", daemon=True).start()

    def send(self, operation: Operation, data: bytes, done: Done) -> None:
        self._queue.put((operation, data, done))

    def close(self) -> None:
        self._queue.put(None)
        self._library.bindings.tb_client_deinit(ctypes.byref(self._client._client))  # noqa: SLF001 - its own `close` wants nothing under way

    def _run(self) -> None:
        while (request := self._queue.get()) is not None:
            operation, data, done = request
            try:
                done(OK, self._ask(operation, data), 0)
            except tuple(self._endings) as error:
                done(self._endings[type(error)], b"", 0)

    def _ask(self, operation: Operation, data: bytes) -> bytes:
        if operation is Operation.GET_CHANGE_EVENTS:
            number = self._library.bindings.Operation(operation)
            return b"".join(self._client._submit(number, [data], _Filter, _ChangeEvent))  # noqa: SLF001 - it has no method for the feed
        sent, answered, many = self._ways[operation]
        events = [each.to_python() for each in (sent * (len(data) // ctypes.sizeof(sent))).from_buffer_copy(data)]
        replies = getattr(self._client, operation.name.lower())(events if many else events[0])
        return b"".join(bytes(answered.from_param(reply)) for reply in replies)


class _Request:
    """One that was sent: how it ended, once `ended` is set, and what is to be done then."""

    def __init__(self, then: Callable[[Reply], Any]) -> None:
        self.then = then
        self.status = OK
        self.reply = Reply(b"", 0)
        self.ended = threading.Event()

    def end(self, status: int, data: bytes, timestamp: int) -> None:
        self.status = status
        self.reply = Reply(data, timestamp)
        self.ended.set()


class Session:
    """One request at a time, as the library does anyway; whoever asks meanwhile waits. Thread-safe.

    Attributes:
        kind: "raw" or "stock".
        lost: how many requests ended without an answer, so that nobody knows what became of them.
    """

    def __init__(self, connect: Callable[[], Transport], *, deadline_s: float) -> None:
        """`deadline_s`: how long a request may wait for those before it, and then for its own answer."""
        self.lost = 0
        self.deadline_s = deadline_s
        self._connect = connect
        self._transport: Transport | None = connect()
        self.kind = self._transport.kind
        self._lock = threading.RLock()
        self._overdue: _Request | None = None
        self._answered = False
        self._closed = False

    def ask(self, operation: Operation, data: bytes, then: Callable[[Reply], T], meanwhile: Callable[[], None] | None = None) -> T:
        """What `then` makes of the reply; it may ask further, and no other request comes between. `meanwhile` is done while we wait.

        Raises Unavailable when there is no answer in time. If it comes later, `then` is called before the next request is sent.
        """
        with self.alone():
            if self._transport is None:
                self._transport = self._connect()
            request = _Request(then)
            self._transport.send(operation, data, request.end)
            if meanwhile is not None:
                meanwhile()
            if not request.ended.wait(self.deadline_s):
                self._overdue = request
                raise self._no_answer()
            return self._result(request)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Until this ends, no other thread's request is sent, and none of ours is still under way. Raises Unavailable."""
        if not self._lock.acquire(timeout=self.deadline_s):
            raise errors.Unavailable("The ledger's servers are still busy with an earlier request. Ask again with the same id.")
        try:
            if self._closed:
                raise errors.Unavailable("The ledger is closed.")
            self._settle()
            yield
        finally:
            self._lock.release()

    def close(self) -> None:
        """Lets go of the connection; what was under way may still be carried out. Safe to repeat."""
        with self._lock:
            self._closed = True
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()

    def _settle(self) -> None:
        """Ends the request that was past its deadline: what it did comes before whatever is asked now."""
        overdue = self._overdue
        if overdue is None:
            return
        if not overdue.ended.wait(self.deadline_s):
            raise self._no_answer()
        self._overdue = None
        self._result(overdue)

    def _no_answer(self) -> errors.Unavailable:
        return errors.Unavailable(f"The ledger's servers have not answered within {self.deadline_s:g} s. Ask again with the same id.")

    def _result(self, request: _Request) -> Any:
        if request.status == OK:
            self._answered = True
            return request.then(request.reply)
        if request.status == TOO_MUCH_DATA:
            raise errors.Conflict(
                f"The ledger's servers take smaller requests than {types.BATCH_SIZE_MAX} transfers: start them without --development."
            )
        self.lost += 1
        transport, self._transport = self._transport, None  # it never answers again; the next request connects anew
        if transport is not None:
            transport.close()
        words, seen_at_start = _WORDS[request.status]
        if seen_at_start and not self._answered:
            raise errors.UnknownFormat(words.format(version=version()))
        raise errors.Unavailable(words.format(version=version()) + " Ask again with the same id.")


def connector(addresses: str, cluster: int, *, raw: bool = True) -> Callable[[], Transport]:
    """Connects to the cluster of that number each time it is called. Without `raw` it takes the stock client: for tests, and to measure.

    Raises UnknownFormat when the client is not installed or of another version than those that were tried.
    """
    library = load_library()
    if raw and (obstacle := raw_obstacle(library)):
        log.warning("tigerbeetle_stock_client", reason=obstacle)
        raw = False
    return lambda: (RawTransport if raw else StockTransport)(library, addresses, cluster)


def load_library() -> ModuleType:
    """The client's package. Raises UnknownFormat when it is not one that we know."""
    try:
        library = importlib.import_module("tigerbeetle")
    except ImportError as error:
        raise errors.UnknownFormat(
            "The ledger is on TigerBeetle, whose client is not installed: install counterfoil[tigerbeetle]."
        ) from error
    numbers = tuple(int(part) for part in re.findall(r"\d+", version())[:3])
    if not VERSION_MIN <= numbers < VERSION_END:
        wanted = ".".join(map(str, VERSION_MIN))
        raise errors.UnknownFormat(
            f"The TigerBeetle client is {version()}: we know {wanted} and later, below {'.'.join(map(str, VERSION_END))}."
        )
    for name in _ENUMS:
        ours = {member.name: int(member) for member in getattr(types, name)}
        theirs = {member.name: int(member) for member in getattr(library, name)}
        if any(theirs.get(member) != number for member, number in ours.items()):
            raise errors.UnknownFormat(f"The TigerBeetle client {version()} has other numbers than ours for {name}.")
    return library


def raw_obstacle(library: Any) -> str | None:
    """Why records cannot be handed to the library as they are, or None."""
    bindings = library.bindings
    for name in ("tb_client_init", "tb_client_submit", "tb_client_deinit", "CPacket", "CClient", "OnCompletion", "PacketStatus"):
        if not hasattr(bindings, name):
            return f"it has no {name}"
    for name, places in _FIELDS.items():
        record = getattr(bindings, name, None)
        size, *words = places.split()
        if record is None or ctypes.sizeof(record) != int(size):
            return f"{name} is not of {size} bytes"
        for field, place in zip(words[::2], words[1::2], strict=True):
            if getattr(getattr(record, field, None), "offset", None) != int(place):
                return f"{name}.{field} is not at {place}"
    theirs = {member.name: int(member) for member in bindings.Operation}
    for operation in Operation:
        if theirs.get(operation.name, int(operation)) != operation:
            return f"{operation.name} is not {int(operation)}"
    statuses = {member.name: int(member) for member in bindings.PacketStatus}
    ours = ["OK", "TOO_MUCH_DATA", "CLIENT_EVICTED", "CLIENT_RELEASE_TOO_LOW", "CLIENT_RELEASE_TOO_HIGH", "CLIENT_SHUTDOWN"]
    if any(statuses.get(name) != number for number, name in enumerate(ours)):
        return "PacketStatus has other numbers"
    return None


def version() -> str:
    """The installed client's version."""
    return importlib.metadata.version("tigerbeetle")


def _not_started(reason: str) -> errors.Unavailable:
    return errors.Unavailable(f"The TigerBeetle client does not start ({reason.lower()}): {_INIT_ADVICE.get(reason, 'see its log')}.")
