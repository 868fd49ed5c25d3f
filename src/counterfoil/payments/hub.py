"""Tells people's apps, while they listen, that something happened which is no movement of money.

    message.received   somebody wrote to you
    request.received   somebody asks you for money
    request.changed    a request of yours, or to you, was paid, declined or taken back
    notice             something about your account changed: a device, the PIN, a limit

In this process and in memory only: nothing is kept, nothing is told twice, and whoever was not there asks for the lists
when it connects. A listener that does not read is cut off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection

import msgspec

from counterfoil.clock import Clock
from counterfoil.ids import id_text
from counterfoil.payments.requests import PaymentRequest, RequestState

BUFFER_SIZE_MAX = 64
"""Events that may wait for a listener; one more, and it is cut off."""

MESSAGE_RECEIVED, REQUEST_RECEIVED, REQUEST_CHANGED, NOTICE = "message.received", "request.received", "request.changed", "notice"
TYPES = (MESSAGE_RECEIVED, REQUEST_RECEIVED, REQUEST_CHANGED, NOTICE)


class Told(msgspec.Struct, frozen=True):
    """One thing that happened: what, when (ns), and the ids of what it is about."""

    type: str
    at: int
    ids: dict[str, str]


class Listener:
    """What one app has not read so far. `close()` at the end."""

    def __init__(self, hub: Hub, account: int, types: Collection[str]) -> None:
        self.account = account
        self.types = types
        self._hub = hub
        self._waiting: deque[Told] = deque()
        self._open = True
        self._wake = asyncio.Event()

    def push(self, event: Told) -> None:
        """Never waits. Ends the listener when it has not read for too long."""
        if len(self._waiting) >= BUFFER_SIZE_MAX:
            self.close()
        if self._open:
            self._waiting.append(event)
            self._wake.set()

    async def next(self) -> Told | None:
        """The next event, waited for; None once the listener is closed or was cut off."""
        while self._open:
            if self._waiting:
                return self._waiting.popleft()
            self._wake.clear()
            await self._wake.wait()
        return None

    def close(self) -> None:
        """Ends it; what waits is dropped. Safe to repeat."""
        self._open = False
        self._waiting.clear()
        self._hub.leave(self)
        self._wake.set()


class Hub:
    """Whom to tell. For the event loop's thread only."""

    def __init__(self) -> None:
        self._listeners: dict[int, list[Listener]] = {}

    def publish(self, account: int, event: Told) -> None:
        """Tells all who listen to `account`. Never waits."""
        for listener in list(self._listeners.get(account, ())):
            if event.type in listener.types:
                listener.push(event)

    def subscribe(self, account: int, types: Collection[str] = TYPES) -> Listener:
        """What happens to `account` from now on. How many may listen is the caller's to bound."""
        listener = Listener(self, account, types)
        self._listeners.setdefault(account, []).append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Forgets a listener. Safe to repeat."""
        left = [each for each in self._listeners.get(listener.account, ()) if each is not listener]
        if left:
            self._listeners[listener.account] = left
        else:
            self._listeners.pop(listener.account, None)

    def about_requests(self, clock: Clock) -> Callable[[PaymentRequest], None]:
        """For `payments.requests`: tells the payer of a new request, and both sides of what became of one."""

        def told(request: PaymentRequest) -> None:
            is_new = request.state is RequestState.OPEN
            event = Told(REQUEST_RECEIVED if is_new else REQUEST_CHANGED, clock.now_ns(), {"request": id_text(request.id)})
            for account in (request.payer,) if is_new else (request.payer, request.payee):
                if account is not None:
                    self.publish(account, event)

        return told

    def hears(self, account: int, type: str) -> bool:
        """Whether anybody listens to this type of event of `account` now. NOTICE: an app of its holder, no server with a token."""
        return any(type in listener.types for listener in self._listeners.get(account, ()))

    @property
    def accounts(self) -> Collection[int]:
        """Whose apps listen now."""
        return self._listeners.keys()
