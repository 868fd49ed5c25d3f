"""The composition root: the only module that knows every other, and the only one that knows the engines by name.

`running(config)` opens a scheme's data folder and runs everything that works in the background; leaving it drains what
waits and lets go of the folder. One process per folder: the writer of a ledger has no second.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import structlog
import uvloop
from nacl.signing import SigningKey

from counterfoil.channels.outgoing import Outgoing
from counterfoil.channels.webhooks import Webhooks
from counterfoil.clock import Clock, SystemClock
from counterfoil.config import Config
from counterfoil.errors import Unavailable
from counterfoil.ledger.chart import ACCOUNT_FLAGS, AccountCode, Chart
from counterfoil.ledger.check import Auditor
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.types import Account, CreateAccountStatus
from counterfoil.parties.approvals import CIRCULATION, REVERSAL, Approvals, Executor, Kind
from counterfoil.parties.service import Parties
from counterfoil.parties.tiers import add_missing, all_tiers
from counterfoil.parties.tokens import Tokens
from counterfoil.parties.types import Permission
from counterfoil.payments.acknowledgement import Acknowledger
from counterfoil.payments.batches import Batches
from counterfoil.payments.feed import Feed
from counterfoil.payments.history import History
from counterfoil.payments.recovery import Recovery
from counterfoil.payments.requests import Requests
from counterfoil.payments.rules import DEFAULT_TARIFF, SchemeRules, publish
from counterfoil.payments.service import Payments
from counterfoil.payments.staff import StaffPayments
from counterfoil.payments.standing import StandingOrders
from counterfoil.store.database import Store
from counterfoil.store.migrations import migrate
from counterfoil.web.app import create_app
from counterfoil.web.server import listening, told_to_stop
from counterfoil.web.services import CheckResult, Services

log = structlog.get_logger(__name__)

CHECK_PAGE_SIZE = 256
"""Events that the running conservation check reads at a time: some 3 ms of the event loop."""
CHECK_PAUSE_S = 0.02
"""Seconds that it leaves to payments after each page."""


class SystemAccounts(msgspec.Struct, frozen=True):
    """The scheme's own accounts in one currency; their ids follow from the ledger's number."""

    issuance: int
    fees: int

    @classmethod
    def of(cls, ledger: int) -> SystemAccounts:
        return cls(issuance=ledger << 16 | AccountCode.ISSUANCE, fees=ledger << 16 | AccountCode.FEES)


def serve(config: Config, *, on_ready: Callable[[str], None] = print) -> None:
    """Runs the scheme and its server until SIGTERM or SIGINT. `on_ready` hears the address."""

    async def run() -> None:
        async with running(config) as services, listening(create_app(services), host=config.host, port=config.port) as address:
            collect_garbage_rarely()
            on_ready(address)
            await told_to_stop()

    uvloop.run(run())


def collect_garbage_rarely() -> None:
    """For a process that serves from now on: what is there stays, and cycles are looked for after 50,000 new objects, not 700.

    The hot path makes next to no cycles. Measured under load: a tenth less CPU for each payment, and p99 without its longest pauses.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@asynccontextmanager
async def running(config: Config, clock: Clock | None = None) -> AsyncIterator[Services]:
    """The scheme in `config.data`, working. A new folder becomes a new scheme; an older one is migrated.

    Raises Unavailable when another process has the folder or its files cannot be opened. If anything in the background
    dies of a bug, the body is cancelled and the bug is raised: nothing goes on half alive.
    """
    clock = clock or SystemClock()
    with only_process(config.folder):
        migrate(store_url(config))
        scheme = _Scheme(config, clock)
        try:
            async with asyncio.TaskGroup() as group:
                scheme.start(group)
                try:
                    await scheme.prepare()
                    yield scheme.services
                finally:
                    await scheme.stop()
        except BaseExceptionGroup as errors:
            if len(errors.exceptions) == 1:
                raise errors.exceptions[0] from None  # the reason itself, such as Unavailable
            raise


class _Scheme:
    """A scheme's parts and the order in which they start and stop."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        system = SystemAccounts.of(config.currency_ledger)
        self.store = Store.open(store_url(config))
        self.engine = open_engine(config)
        self.ledger = Ledger(self.engine, Chart(), clock, queue_size_max=config.queue_size_max)
        self.parties = Parties(
            self.store,
            self.ledger,
            clock,
            origin=config.origin,
            region=config.region,
            languages=config.languages,
            currency_ledger=config.currency_ledger,
            currency_digits=config.currency_digits,
            sandbox=config.sandbox,
            recovery_delay_s=config.recovery_delay_s,
            recovery_spend_max=config.recovery_spend_max,
            time_zone=config.time_zone,
        )
        self.payments = Payments(
            store=self.store,
            ledger=self.ledger,
            parties=self.parties,
            clock=clock,
            rules=_rules(config, self.store),
            acknowledger=Acknowledger(origin=config.origin, key=operator_key(config.folder, clock)),
            fees_account=system.fees,
        )
        self.staff = StaffPayments(self.payments, issuance_account=system.issuance)
        self.approvals = Approvals(self.store, clock, _kinds(self.staff))
        self.requests = Requests(store=self.store, parties=self.parties, clock=clock, rules=self.payments.rules)
        self.batches = Batches(self.payments, clock)
        self.standing = StandingOrders(self.payments, clock)
        self.recovery = Recovery(self.payments, clock)
        self.feed = Feed(ledger=self.ledger, store=self.store, clock=clock)
        self.webhooks = Webhooks(store=self.store, feed=self.feed, clock=clock, outgoing=Outgoing(sandbox=config.sandbox))
        self._check = _RunningCheck(self.engine, clock, interval_s=config.check_interval_s)
        self._system = system
        self._writers: list[asyncio.Task[None]] = []
        self.services = Services(
            config=config,
            clock=clock,
            store=self.store,
            ledger=self.ledger,
            parties=self.parties,
            tokens=Tokens(self.store, self.parties.directory, clock),
            approvals=self.approvals,
            payments=self.payments,
            requests=self.requests,
            batches=self.batches,
            standing=self.standing,
            staff=self.staff,
            history=History(ledger=self.ledger, store=self.store),
            feed=self.feed,
            webhooks=self.webhooks,
            is_running=self._is_running,
            last_check=lambda: self._check.result,
        )

    def start(self, group: asyncio.TaskGroup) -> None:
        self._writers = [group.create_task(self.store.run()), group.create_task(self.ledger.run())]

        async def after_preparing() -> None:
            await self._prepared.wait()
            async with asyncio.TaskGroup() as followers:
                for part in (self.parties, self.batches, self.standing, self.recovery, self.feed, self.webhooks, self._check):
                    followers.create_task(part.run())

        self._prepared = asyncio.Event()
        self._followers = group.create_task(after_preparing())

    async def prepare(self) -> None:
        """What must be there before the first payment: the scheme's own accounts, and what staff approved before."""
        await self._open_system_accounts()
        await self.approvals.resume()
        self._prepared.set()

    async def stop(self) -> None:
        """Followers first, then the ledger, which drains what waits, and the store last."""
        if not self._prepared.is_set():
            self._followers.cancel()
        await self.parties.stop()
        for part in (self.batches, self.standing, self.recovery, self.feed, self.webhooks, self._check):
            part.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self._followers, return_exceptions=True)
        await self.ledger.stop()
        await self.store.stop()
        self.engine.close()

    def _is_running(self) -> bool:
        return bool(self._writers) and not any(task.done() for task in self._writers)

    async def _open_system_accounts(self) -> None:
        ledger = self.config.currency_ledger
        accounts = [
            Account(id=self._system.issuance, ledger=ledger, code=AccountCode.ISSUANCE, flags=ACCOUNT_FLAGS[AccountCode.ISSUANCE][0]),
            Account(id=self._system.fees, ledger=ledger, code=AccountCode.FEES, flags=ACCOUNT_FLAGS[AccountCode.FEES][0]),
        ]
        for result in await self.ledger.create_accounts(accounts):
            assert result.status in (CreateAccountStatus.CREATED, CreateAccountStatus.EXISTS), result


class _RunningCheck:
    """The conservation check on a schedule: the whole ledger, a page at a time, while payments go on."""

    def __init__(self, engine: SqliteEngine, clock: Clock, *, interval_s: int) -> None:
        self.result: CheckResult | None = None
        self._engine = engine
        self._clock = clock
        self._interval_s = interval_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while self._interval_s and not self._stopping.is_set():
            await self._check()
            await self._pause(self._interval_s)

    def stop(self) -> None:
        self._stopping.set()

    async def _check(self) -> None:
        auditor = Auditor(self._engine, page_size=CHECK_PAGE_SIZE)
        while auditor.step():
            await self._pause(CHECK_PAUSE_S)
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


def _kinds(staff: StaffPayments) -> dict[str, Kind]:
    """What staff can propose, and how it is done once a second person agrees."""

    def kind(permissions: tuple[Permission, Permission], execute: Executor) -> Kind:
        propose, approve = permissions
        return Kind(propose=propose, approve=approve, execute=execute, check=staff.check)

    return {
        "issue": kind(CIRCULATION, staff.issue),
        "withdrawal": kind(CIRCULATION, staff.withdraw),
        "reversal": kind(REVERSAL, staff.reverse),
    }


def _rules(config: Config, store: Store) -> SchemeRules:
    """The rules in force: the tariff, and the tiers' limits as the store has them."""
    with store.writing() as connection:
        add_missing(connection, config.currency_digits)
        limits = {tier.name: tier.limits for tier in all_tiers(connection)}
    return publish(origin=config.origin, currency=config.currency, tariff=DEFAULT_TARIFF, limits=limits)


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Holds the folder for this process alone. Raises Unavailable while another process has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(f"{folder} is in use by another process") from None
        yield
    finally:
        os.close(descriptor)


def operator_key(folder: Path, clock: Clock) -> SigningKey:
    """The operator's signing key, made at the first start: 32 bytes in DATA/keys/operator.ed25519, for the owner's eyes only."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = keys / "operator.ed25519"
    if not path.exists():
        draft = keys / "operator.ed25519.draft"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(clock.random_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        folder_descriptor = os.open(keys, os.O_RDONLY)
        try:
            os.fsync(folder_descriptor)  # the name must last as long as the first receipt that it signs
        finally:
            os.close(folder_descriptor)
    return SigningKey(path.read_bytes())


def open_engine(config: Config) -> SqliteEngine:
    """The ledger of the scheme. Only for the process that holds the folder."""
    return SqliteEngine.open(config.folder / "ledger.sqlite")


def store_url(config: Config) -> str:
    """Where the general database is."""
    return f"sqlite:///{(config.folder / 'store.sqlite').absolute()}"
