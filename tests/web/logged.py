"""A site whose payments are in a real log, with five witnesses that sign by code of the tests' own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from counterfoil.assurance.audits import Audited
from counterfoil.assurance.witnesses import WitnessStatus
from counterfoil.payments.receipts import Receipts
from counterfoil.tlog.keys import VerifierKey
from counterfoil.tlog.note import Note
from counterfoil.tlog.published import PublishedLog
from counterfoil.web.app import create_app
from counterfoil.web.server import listening
from tests.browser.forge import WITNESSES, Signer
from tests.payments.publish.logbook import KEY, ORIGIN, Logbook
from tests.scheme import Scheme, opened
from tests.web.site import PatientClock, Site


class LoggedSite(Site):
    """A site with its log: nothing is published or witnessed but by these methods."""

    def __init__(self, site: Site, book: Logbook) -> None:
        super().__init__(site.scheme, site.app, site.port, site.client)
        self.book = book
        self.statuses: list[WitnessStatus] = []
        self.audit: Audited | None = None

    @property
    def now_s(self) -> int:
        return self.services.clock.now_ns() // 1_000_000_000

    def publish(self) -> int:
        """Brings all payments into the log; returns its size."""
        return self.book.publish()

    def witness(self, witnesses: Sequence[Signer] = WITNESSES[:4], *, time_s: int | None = None) -> Note:
        """Has the newest head cosigned, and keeps it as the witnessed one."""
        newest = PublishedLog(self.book.folder / "log").checkpoint()
        assert newest is not None
        lines = "".join(witness.line(newest.text.decode(), time_s or self.now_s) for witness in witnesses)
        note = Note.parse(newest.encode() + lines.encode())
        self.book.log.keep_witnessed(note)
        return note

    def settle(self) -> int:
        """Publishes, and has it witnessed; then lets the second pass for which the state is told again."""
        size = self.publish()
        self.witness()
        self.pass_by()
        return size

    def pass_by(self) -> None:
        self.wait(2)


def policy(quorum: int = 4) -> str:
    """The scheme's policy: its log, the five witnesses."""
    lines = [f"log {VerifierKey.of(ORIGIN, bytes(KEY.verify_key))}"]
    lines += [f"witness W{n} {witness.vkey} https://w{n}.example/" for n, witness in enumerate(WITNESSES, 1)]
    return "\n".join([*lines, f"group five {quorum} W1 W2 W3 W4 W5", "quorum five", ""])


@asynccontextmanager
async def logged(folder: Path, **settings: Any) -> AsyncIterator[LoggedSite]:
    """A scheme in `folder` whose log has its policy and, so far, no entries."""
    async with opened(folder, PatientClock(), **settings) as scheme:
        with Logbook.of(scheme) as book:
            book.log.keep_policy(policy())
            async with _serving(scheme, book) as site:
                yield site


@asynccontextmanager
async def _serving(scheme: Scheme, book: Logbook) -> AsyncIterator[LoggedSite]:
    receipts = Receipts(book.folder / "log" / "openings.sqlite", PublishedLog(book.folder / "log"))
    told: list[LoggedSite] = []
    services = msgspec.structs.replace(
        scheme.services, receipts=receipts, witnesses=lambda: told[0].statuses, audited=lambda: told[0].audit
    )
    app = create_app(services)
    async with listening(app, host="127.0.0.1", port=0) as address, httpx2.AsyncClient(base_url=address, timeout=60) as client:
        told.append(LoggedSite(Site(scheme, app, int(address.rpartition(":")[2]), client), book))
        try:
            yield told[0]
        finally:
            receipts.close()
