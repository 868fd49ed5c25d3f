"""A publisher on real books and a real log, and the laws that every log of payments obeys, checked from the openings alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from nacl.signing import SigningKey

from counterfoil.clock import Clock, SystemClock
from counterfoil.ledger.sqlite_follow import SqliteFollower
from counterfoil.payments.openings import KeptEntry, Openings
from counterfoil.payments.publish.rebuild import Rebuild, Rebuilt
from counterfoil.payments.publish.runner import drain
from counterfoil.payments.publish.service import LedgerFeed, Publisher
from counterfoil.payments.views import AccountView, AuditView, Event, FreezeView, HolderView, KeyChange, KeyView
from counterfoil.store.reader import StoreReader
from counterfoil.tlog.entry import EntryType, Opening, Role
from counterfoil.tlog.keys import Signer
from counterfoil.tlog.log import Log
from counterfoil.tlog.published import PublishedLog
from counterfoil_verify.audit import Replay
from counterfoil_verify.rules import Rules
from tests.scheme import Scheme

ORIGIN = "counterfoil.localhost/log"
KEY = SigningKey(bytes(range(32)))


class Logbook:
    """A log in `folder`/log that follows the store and the ledger there (or `ledger`), as a process of its own would."""

    def __init__(
        self,
        folder: Path,
        *,
        ledger: LedgerFeed | None = None,
        rules: Callable[[], bytes] = lambda: b"{}",
        clock: Clock | None = None,
        on_step: Callable[[str], None] = lambda step: None,
        page_size: int = 2_048,
    ) -> None:
        self.folder = folder
        self._follower = SqliteFollower.open(folder / "ledger.sqlite") if ledger is None else None
        self.ledger: LedgerFeed = ledger or self._follower  # type: ignore[assignment]
        self.store = StoreReader(f"sqlite:///{folder}/store.sqlite")
        self.openings = Openings.writing(folder / "log" / "openings.sqlite")
        self.log = Log.open(folder / "log", Signer(ORIGIN, KEY), on_step=on_step)
        try:
            self.publisher = Publisher(
                openings=self.openings, log=self.log, ledger=self.ledger, store=self.store, rules=rules, asset="USD",
                clock=clock or SystemClock(), on_step=on_step, page_size=page_size,
            )  # fmt: skip
            self.publisher.start()
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, scheme: Scheme, **options: Any) -> Logbook:
        config = scheme.services.config
        rules = scheme.services.payments.rules
        return cls(config.folder, clock=scheme.clock, **({"rules": lambda: rules.document} | options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.log.close()
        self.openings.close()
        self.store.close()
        if self._follower is not None:
            self._follower.close()

    def publish(self) -> int:
        """Publishes all there is; returns the entries of the log."""
        drain(self.publisher)
        assert self.log.head.size == self.openings.size
        return self.log.head.size

    def rebuild(self) -> Rebuilt:
        return Rebuild(
            openings=self.openings, ledger=self.ledger, store=self.store, asset="USD", log=self.log.reader, signed=self.log.head.size
        ).run()

    def entries(self) -> list[KeptEntry]:
        return self.openings.entries(0, 10_000)

    def bytes_of_log(self) -> list[bytes]:
        size = self.log.head.size
        return self.log.reader.entries(0, size, size)

    def opening(self, entry: KeptEntry, role: Role) -> Opening:
        views = self.openings.views(entry)
        assert views is not None
        return views.opening(entry.type, role)

    def movements(self) -> list[AuditView]:
        return [AuditView.decode(entry.audit) for entry in self.entries() if entry.type <= EntryType.REDEEM]

    def about(self, account: int, *types: EntryType) -> list[KeyView | FreezeView | AccountView]:
        """Entries of these types about one account, oldest first, decoded."""
        decoders: dict[int, Callable[[bytes], Any]] = {
            EntryType.KEY: KeyView.decode, EntryType.FREEZE: FreezeView.decode, EntryType.ACCOUNT: AccountView.decode,
        }  # fmt: skip
        chosen = [decoders[entry.type](entry.audit) for entry in self.entries() if entry.type in types]
        return [view for view in chosen if view.account == account]

    def replayed(self, scheme: Scheme) -> int:
        """Every entry through the auditor's program, with its bytes; how many they were. Raises Refuted."""
        rules: list[Rules] = []
        origin, entries = scheme.services.config.origin, self.entries()
        for entry in entries:
            if entry.type is EntryType.RULES:
                rules.append(Rules.parse(entry.public, entry.index, origin, rules))
        replay = Replay(origin, rules)
        for entry, data in zip(entries, self.bytes_of_log(), strict=True):
            views = self.openings.views(entry)
            assert views is not None
            assert replay.entry(entry.index, entry.type, b"".join(views.salts), entry.audit, entry.public) == data, entry.index
        replay.book.settle()
        assert not replay.book.unchecked, replay.book.unchecked
        return len(entries)

    def check_laws(self) -> dict[int, list[HolderView]]:
        """Checks every law of the log as holders and auditors would; returns what each account was shown, in order."""
        leaves = self.log.reader.leaf_hashes(0, self.log.head.size, self.log.head.size)
        chains: dict[int, tuple[int, bytes]] = {}
        shown: dict[int, list[HolderView]] = {}
        assert self.entries()[0].type is EntryType.RULES
        for entry, leaf in zip(self.entries(), leaves, strict=True):
            openings = {role: Opening.decode(self.opening(entry, role).encode()) for role in Role}
            assert all(opening.leaf_hash() == leaf for opening in openings.values()), entry.index
            published = openings[Role.PUBLIC].encode() if entry.public else None
            assert PublishedLog(self.folder / "log").public(entry.index) == published, entry.index
            assert bool(entry.public) == (entry.type in (EntryType.ISSUE, EntryType.REDEEM, EntryType.RULES, EntryType.FREEZE))
            if entry.type is EntryType.RULES:
                continue
            places: list[tuple[int, int, bytes]]
            if entry.type in (EntryType.KEY, EntryType.FREEZE, EntryType.ACCOUNT):
                assert openings[Role.PAYER].payload == openings[Role.AUDIT].payload
                assert openings[Role.PAYEE].payload == b""
                about = {EntryType.KEY: KeyView, EntryType.FREEZE: FreezeView}.get(entry.type, AccountView).decode(entry.audit)  # type: ignore[attr-defined]
                places = [(about.account, about.seq, about.prev)]
                if entry.type is EntryType.KEY and about.what == KeyChange.COUNTERSIGNED:
                    assert (about.seq, about.prev) == (0, bytes(32)), "no place in the chain: receipts follow one another as before"
                    places = []
            else:
                audit = AuditView.decode(openings[Role.AUDIT].payload)
                places = [(each.account, each.seq, each.prev) for each in audit.accounts]
                for role in (Role.PAYER, Role.PAYEE):
                    view = HolderView.decode(openings[role].payload)
                    assert view.incoming == (role is Role.PAYEE)
                    check_arithmetic(view, audit)
                    shown.setdefault(view.account, []).append(view)
            for account, seq, prev in places:
                before = chains.get(account, (0, bytes(32)))
                assert (seq, prev) == (before[0] + 1, before[1]), (entry.index, seq, before)
                if seq == 1:
                    assert entry.type is EntryType.ACCOUNT
                    assert entry.audit[0] == 1
                chains[account] = (seq, leaf)
        return shown


def check_arithmetic(view: HolderView, audit: AuditView) -> None:
    """What the holder is shown agrees with what the auditor sees, leg by leg, worked out on its own."""
    principal = audit.legs[audit.principal]
    assert view.account == (principal.credit if view.incoming else principal.debit)
    assert view.counterparty == (principal.debit if view.incoming else principal.credit)
    own = [leg for place, leg in enumerate(audit.legs) if place != audit.principal and view.account in (leg.debit, leg.credit)]
    moved = sum(leg.amount if leg.credit == view.account else -leg.amount for leg in own)
    assert view.fee == (0 if audit.event in (Event.RELEASED, Event.EXPIRED) else moved)
    assert (view.payment, view.order_hash, view.time, view.amount) == (audit.payment, audit.order_hash, audit.time, principal.amount)


def balances_follow(views: list[HolderView]) -> None:
    """The law that a holder checks from receipt to receipt. For accounts whose every movement is in a view of their own."""
    balance = 0
    for view in views:
        if view.event in (Event.DONE, Event.CAPTURED):
            balance += (view.amount if view.incoming else -view.amount) + view.fee
        assert view.balance == balance, msgspec.structs.asdict(view)
