"""For those who run it: alive, ready, metrics; and the API's own description."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from counterfoil.assurance.running_check import CheckResult
from counterfoil.clock import Clock
from counterfoil.errors import NotFound, Unavailable
from counterfoil.ledger.service import Ledger
from counterfoil.moments import moment_text
from counterfoil.store.database import Store
from counterfoil.web import problems
from counterfoil.web.access import PUBLIC
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.incoming import Answer
from counterfoil.web.metrics import CONTENT_TYPE, Metrics
from counterfoil.web.values import Moment


class HealthView(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class ReadyView(msgspec.Struct, frozen=True):
    """Payments can be made. `check`: the last conservation check, null before the first."""

    status: str
    ledger_last: Moment
    check_passed: bool | None
    check_at: Moment | None


class KindView(msgspec.Struct, frozen=True):
    """What a kind of error means, and what to do next."""

    type: str
    title: str
    status: int
    code: str
    retry: str


class OperationEndpoints:
    """Health, metrics and descriptions. Never anything about a person."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        metrics: Metrics,
        is_running: Callable[[], bool],
        last_check: Callable[[], CheckResult | None],
    ) -> None:
        self.store = store
        self.ledger = ledger
        self.clock = clock
        self._metrics = metrics
        self.is_running = is_running
        self.last_check = last_check
        self.document = b"{}"
        self._kinds = {cls.code: cls for cls in problems.classes()}

    def endpoints(self) -> list[Endpoint]:
        tag = "operation"
        return [
            Endpoint("GET", "/health", self.health, access=PUBLIC, tag=tag),
            Endpoint("GET", "/ready", self.ready, access=PUBLIC, tag=tag),
            Endpoint("GET", "/metrics", self.metrics, access=PUBLIC, media_type="text/plain", tag=tag),
            Endpoint("GET", "/openapi.json", self.openapi, access=PUBLIC, tag=tag),
            Endpoint("GET", "/problems/{code}", self.problem, access=PUBLIC, tag=tag),
        ]

    async def health(self) -> HealthView:
        """Whether the process is alive. Restart it when this does not answer."""
        return HealthView("alive")

    async def ready(self) -> ReadyView:
        """Whether payments can be made: the writers run, the store answers, the last conservation check passed.

        Send no traffic here while this is 503. A check that failed needs a person: money was made or lost.
        """
        if not self.is_running():
            raise Unavailable("the ledger's or the store's writer is not running")
        await self.store.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())
        check = self.last_check()
        if check is not None and not check.passed:
            raise Unavailable(f"the last conservation check failed: {check.summary}", check_at=moment_text(check.at))
        return ReadyView(
            status="ready",
            ledger_last=moment_text(self.ledger.last_timestamp),
            check_passed=check.passed if check else None,
            check_at=moment_text(check.at) if check else None,
        )

    async def metrics(self) -> Answer:
        """Numbers in Prometheus' text format. Keep this path inside: the numbers are about the scheme, not about anybody."""
        return Answer(self._metrics.render(), media_type=CONTENT_TYPE)

    async def openapi(self) -> Answer:
        """This description: OpenAPI 3.1."""
        return Answer(self.document)

    async def problem(self, code: str) -> KindView:
        """What an error's `type` leads to: what the kind means, and what to do next."""
        kind = self._kinds.get(code)
        if kind is None:
            raise NotFound("there is no such kind of error")
        return KindView(f"/problems/{kind.code}", kind.sentence(), kind.status, kind.code, kind.retry)
