"""The conservation check beside the payments: every balance computed again from the transfers, on a schedule, while the scheme runs."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import structlog

from counterfoil.clock import Clock
from counterfoil.ledger.check import Auditor
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import Account, ChangeEvent, QueryFilter

PAGE_SIZE = 256
"""Events that it reads at a time: some 3 ms of the event loop."""
PAUSE_S = 0.02
"""Seconds that it leaves to payments after each page."""

log = structlog.get_logger(__name__)


class CheckResult(msgspec.Struct, frozen=True):
    """Outcome of the last conservation check inside the server.

    Attributes:
        at: when it ended, ns.
        summary: one line for people.
        transfers, accounts: how many were recomputed.
    """

    passed: bool
    at: int
    summary: str
    transfers: int = 0
    accounts: int = 0


class RunningCheck:
    """Checks the whole ledger every `interval_s` seconds (0: never), a page at a time. `result` is the last outcome, None before the first."""

    def __init__(self, engine: Engine, ledger: Ledger, clock: Clock, *, interval_s: int) -> None:
        self.result: CheckResult | None = None
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._interval_s = interval_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Returns after `stop()`. Raises Unavailable when the ledger cannot be read: the next run begins from the start."""
        while self._interval_s and not self._stopping.is_set():
            await self._check()
            await self._pause(self._interval_s)

    def stop(self) -> None:
        self._stopping.set()

    async def _check(self) -> None:
        beside = _ReadBeside(self._ledger, asyncio.get_running_loop()) if self._engine.waits else None
        auditor = Auditor(beside or self._engine, page_size=PAGE_SIZE)
        while auditor.step() if beside is None else await asyncio.to_thread(auditor.step):
            await self._pause(PAUSE_S)
            if self._stopping.is_set():
                return
        report = auditor.report()
        summary = f"{report.transfers} transfers of {report.accounts} accounts"
        if not report.passed:
            summary = f"{report.findings_count} findings, the first: {report.findings[0].text}"
            log.error("check_failed", findings=report.findings_count, first=report.findings[0].text)
        self.result = CheckResult(
            passed=report.passed,
            at=self._clock.now_ns(),
            summary=summary,
            transfers=report.transfers,
            accounts=report.accounts,
        )

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


class _ReadBeside:
    """An engine that waits, for an auditor in a thread of its own: asked by way of the ledger, which bounds how many read at a time."""

    def __init__(self, ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._loop = loop

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        reading = self._ledger.get_change_events(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit)
        return asyncio.run_coroutine_threadsafe(reading, self._loop).result()

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        return asyncio.run_coroutine_threadsafe(self._ledger.query_accounts(filter), self._loop).result()
