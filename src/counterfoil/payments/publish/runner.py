"""The publisher at work: looks for what is new, publishes it, signs it; every second under load, and at once when it is quiet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import structlog

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Unavailable
from counterfoil.payments.publish.service import Publisher

LOOK_INTERVAL_S: Final = 0.1
"""Seconds between two looks while nothing happens."""
PAGE_INTERVAL_S: Final = 0.25
"""Seconds between two pages under load: fewer, larger transactions."""
SIGN_INTERVAL_S: Final = 1.0
"""Seconds between two heads under load."""
SIGN_INTERVAL_MIN_S: Final = 0.25
"""Seconds between two heads at least, however quiet it is."""
RETRY_S: Final = 1.0
"""Seconds before it is tried again when ledger, store or disk did not answer."""

log = structlog.get_logger(__name__)


class Stop(Protocol):
    """When to end: a `threading.Event` or a `multiprocessing.Event`."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float) -> bool: ...


def run_publisher(
    publisher: Publisher,
    clock: Clock,
    *,
    stop: Stop,
    on_ready: Callable[[], None] = lambda: None,
    on_round: Callable[[], None] = lambda: None,
) -> None:
    """Publishes until `stop` is set, then what was committed until then, and returns.

    `on_ready` is called when the log has what it had before; `on_round` some times a second, in between: for whoever else has
    something to do with the log, such as keeping a witnessed head. Unavailable is waited out; anything else that is raised is a bug
    or a log that does not belong to its openings (`LogMismatch`), and ends this.
    """
    publisher.start()
    publisher.publish()
    on_ready()
    signed_at = clock.monotonic_ns()
    while not stop.is_set():
        try:
            added = publisher.step()
            since_s = (clock.monotonic_ns() - signed_at) / NANOSECONDS
            quiet = added == 0 and since_s >= SIGN_INTERVAL_MIN_S
            on_round()
            if publisher.unsigned and (quiet or since_s >= SIGN_INTERVAL_S):
                publisher.publish()
                signed_at = clock.monotonic_ns()
        except Unavailable as error:
            log.warning("publisher_waits", error=error.detail)
            stop.wait(RETRY_S)
            continue
        if not publisher.behind:
            stop.wait(PAGE_INTERVAL_S if added else LOOK_INTERVAL_S)
    drain(publisher)


def drain(publisher: Publisher) -> None:
    """Publishes all that is committed now, and signs it."""
    while publisher.step() or publisher.behind:
        continue
    publisher.publish()
