"""The server's side of the publisher: starts its process, starts it again when it dies, and lets it finish at the end."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import msgspec
import structlog

from counterfoil.config import Config

RESTART_S = 1.0
"""Seconds before a publisher that died is started again; twice as long after each time that it did not get ready."""
RESTART_S_MAX = 30.0
STOP_S_MAX = 60.0
"""Seconds that it has at the end to publish what is left."""

log = structlog.get_logger(__name__)


class PublisherProcess:
    """`run()` keeps it running; `stop()` ends it once it has published everything.

    Attributes:
        ready: whether it is at work: the log has what it had before, and grows.
    """

    def __init__(self, config: Config) -> None:
        self._settings = msgspec.json.encode(config)
        self._process: asyncio.subprocess.Process | None = None
        self._told_to_stop = asyncio.Event()
        self.ready = False
        self._was_ready = asyncio.Event()

    async def wait_until_ready(self) -> None:
        """Returns once it was ready for the first time, or when it is told to stop."""
        await self._was_ready.wait()

    @property
    def pid(self) -> int | None:
        """Of the process that runs or ran last; None before the first."""
        return self._process.pid if self._process else None

    async def run(self) -> None:
        """Returns after `stop()`. Told to stop before it began, it publishes what there is, and returns."""
        pause_s = RESTART_S
        while True:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "counterfoil.publishing", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.write(self._settings + b"\n")
                await process.stdin.drain()
            if self._told_to_stop.is_set():
                process.stdin.close()
            self.ready = bool(await process.stdout.readline())
            if self.ready:
                self._was_ready.set()
            pause_s = RESTART_S if self.ready else min(pause_s * 2, RESTART_S_MAX)
            code = await process.wait()
            self.ready = False
            if not self._told_to_stop.is_set():
                log.error("publisher_ended", exit_code=code, again_in_s=pause_s)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._told_to_stop.wait()
            if self._told_to_stop.is_set():
                return

    def give_up(self) -> None:
        """It is not started again, and nobody waits for it any more."""
        self._told_to_stop.set()
        self._was_ready.set()

    async def stop(self) -> None:
        """Lets it publish what is committed by now, and waits for its end. Safe to repeat."""
        self.give_up()
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await process.wait()
        except TimeoutError:
            log.exception("publisher_killed", after_s=STOP_S_MAX)
            process.kill()
            await process.wait()
