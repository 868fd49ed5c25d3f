"""One listener to one account: first what was missed, then what happens, in order, each once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

from counterfoil.errors import Unavailable
from counterfoil.payments.events import AccountEvent

BUFFER_SIZE_MAX = 256
"""Events that may wait for a listener; one more, and it is cut off."""
REPLAY_PAGE_SIZE = 200


class Replay(Protocol):
    """`Feed.replay`."""

    def __call__(self, account: int, *, after: int, limit: int) -> Coroutine[Any, Any, list[AccountEvent]]: ...


class Subscription:
    """An asynchronous iterator of AccountEvents. Ends when closed; raises Unavailable (`resume_after`) when cut off.

    Attributes:
        account: whose events these are.
        position: ledger time of the last event handed out: what to resume after.
    """

    def __init__(self, account: int, *, position: int, behind: bool, replay: Replay, leave: Callable[[Subscription], None]) -> None:
        self.account = account
        self.position = position
        self._behind = behind
        self._replay = replay
        self._leave = leave
        self._page: deque[AccountEvent] = deque()
        self._buffer: deque[AccountEvent] = deque()
        self._overflowed = False
        self._closed = False
        self._wake = asyncio.Event()

    def push(self, event: AccountEvent) -> None:
        """Called by the feed for each event that happens. Never waits."""
        if event.timestamp <= self.position or self._overflowed:
            return
        if len(self._buffer) < BUFFER_SIZE_MAX:
            self._buffer.append(event)
        else:
            self._overflowed = True
            if not self._behind:
                self._leave(self)
        self._wake.set()

    def close(self) -> None:
        """Ends it; what waits is dropped. Safe to repeat."""
        self._closed = True
        self._leave(self)
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AccountEvent:
        while not self._closed:
            if self._page:
                return self._hand_out(self._page.popleft())
            if self._behind:
                await self._read_page()
            elif self._buffer:
                event = self._buffer.popleft()
                if event.timestamp > self.position:  # else it was replayed as well: once is enough
                    return self._hand_out(event)
            elif self._overflowed:
                raise Unavailable(
                    "you read more slowly than things happen; resume after the last event you saw", resume_after=self.position
                )
            else:
                self._wake.clear()
                await self._wake.wait()
        raise StopAsyncIteration

    def _hand_out(self, event: AccountEvent) -> AccountEvent:
        assert event.timestamp > self.position, (event.timestamp, self.position)
        self.position = event.timestamp
        return event

    async def _read_page(self) -> None:
        """The next part of what was missed. What happens meanwhile waits in the buffer; if that is too small, we stay behind."""
        self._buffer.clear()
        self._overflowed = False
        page = await self._replay(self.account, after=self.position, limit=REPLAY_PAGE_SIZE)
        self._page.extend(page)
        self._behind = len(page) == REPLAY_PAGE_SIZE or self._overflowed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
