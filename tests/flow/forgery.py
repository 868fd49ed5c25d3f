"""A log as its operator would like it to be: entries made from the openings, changed, chained and salted anew, signed with the log's own key.

All that an operator has is here, and nothing else: the openings with the keys of all days, and the key that signs heads. Of
the witnesses it has only what they answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from counterfoil.assurance.witness import Verdict, Witness, remember
from counterfoil.clock import Clock
from counterfoil.payments.openings import EXPORT_HEADER, Openings
from counterfoil.payments.publish.build import DAY_NS, views_of
from counterfoil.payments.views import MOVEMENTS, NO_PREVIOUS, AccountView, AuditView, Event, FreezeView, KeyChange, KeyView, Leg
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.cosignature import cosign
from counterfoil.tlog.entry import EntryType, Opening, Role, Views, encode_entry
from counterfoil.tlog.keys import Signer
from counterfoil.tlog.log import Log
from counterfoil.tlog.merkle import leaf_hash
from counterfoil.tlog.note import Note, Signature
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.proof import TlogProof
from counterfoil.tlog.text import base64_text
from counterfoil.tlog.types import NotProven
from tests.assurance.small_log import witness_signer
from tests.payments.publish.logbook import KEY, ORIGIN

SIGNER = Signer(ORIGIN, KEY)
WITNESSES = 5
THRESHOLD = 4
_DECODERS: dict[int, Callable[[bytes], KeyView | FreezeView | AccountView]] = {
    EntryType.KEY: KeyView.decode,
    EntryType.FREEZE: FreezeView.decode,
    EntryType.ACCOUNT: AccountView.decode,
}


class Draft(msgspec.Struct):
    """An entry before it has a place.

    Attributes:
        view: what it says in role 3; None for rules.
        logged: False for money that moves in the ledger alone: balances change, and no entry says so.
        hidden_from: accounts whose later entries go on as if this one were not there.
    """

    type: EntryType
    time: int
    view: AuditView | KeyView | FreezeView | AccountView | None
    public: bytes = b""
    logged: bool = True
    hidden_from: frozenset[int] = frozenset()


class Sealed(msgspec.Struct, frozen=True):
    """An entry with its place: `entry` are the 34 bytes, `views` all that opens them."""

    index: int
    type: EntryType
    view: AuditView | KeyView | FreezeView | AccountView | None
    views: Views
    entry: bytes

    def opening(self, role: Role) -> Opening:
        return self.views.opening(self.type, role)


class _Place(msgspec.Struct, frozen=True):
    seq: int = 0
    leaf: bytes = NO_PREVIOUS
    balance: int = 0


class History:
    """Drafts in the order in which they shall stand in the log."""

    def __init__(self, drafts: Sequence[Draft], day_key: Callable[[int], bytes]) -> None:
        self.drafts = list(drafts)
        self._day_key = day_key

    @classmethod
    def of(cls, openings: Openings) -> History:
        """What was published, as it was. The keys of all its days are remembered; the next ones too, if somebody dates an entry there."""
        drafts = []
        for kept in openings.entries(0, 10_000):
            view: AuditView | KeyView | FreezeView | AccountView | None = None
            if kept.type in MOVEMENTS:
                view = AuditView.decode(kept.audit)
            elif kept.type in _DECODERS:
                view = _DECODERS[kept.type](kept.audit)
            drafts.append(Draft(kept.type, kept.time, view, kept.public))
        keys = {draft.time // DAY_NS: openings.day_key(draft.time // DAY_NS) for draft in drafts}
        return cls(drafts, lambda day: keys.get(day) or bytes(32))

    def copy(self) -> History:
        return History([msgspec.structs.replace(draft) for draft in self.drafts], self._day_key)

    def of_payment(self, payment: int) -> int:
        """The place of the first draft of a payment."""
        return next(at for at, draft in enumerate(self.drafts) if isinstance(draft.view, AuditView) and draft.view.payment == payment)

    def seal(self) -> list[Sealed]:
        """The entries: numbers, chains and balances follow from the drafts, as the publisher would have it."""
        places: dict[int, _Place] = {}
        sealed: list[Sealed] = []
        for draft in self.drafts:
            before = dict(places)
            view = draft.view
            if isinstance(view, AuditView):
                for leg in view.legs if view.event in (Event.DONE, Event.CAPTURED) else ():
                    _add(places, leg.debit, -leg.amount)
                    _add(places, leg.credit, leg.amount)
                view = _placed(view, places)
            elif view is not None and not _is_countersignature(view):
                place = places.get(view.account, _Place())
                view = msgspec.structs.replace(view, seq=place.seq + 1, prev=place.leaf)
            if draft.logged:
                audit = view.encode() if view is not None else b""
                views = views_of(self._day_key(draft.time // DAY_NS), len(sealed), draft.type, audit, draft.public)
                entry = encode_entry(draft.type, views.commitment())
                for account in _touched(view):
                    place = places.get(account, _Place())
                    places[account] = _Place(place.seq + 1, leaf_hash(entry), place.balance)
                sealed.append(Sealed(len(sealed), draft.type, view, views, entry))
            for account in draft.hidden_from:
                places[account] = before[account]
        return sealed


def _add(places: dict[int, _Place], account: int, amount: int) -> None:
    place = places.get(account, _Place())
    places[account] = msgspec.structs.replace(place, balance=place.balance + amount)


def _placed(view: AuditView, places: dict[int, _Place]) -> AuditView:
    """The movement with the numbers, chains and balances that its accounts have in this history."""
    rows = {row.account: row for row in view.accounts}
    accounts = [
        msgspec.structs.replace(rows[account], seq=places[account].seq + 1, prev=places[account].leaf, balance=places[account].balance)
        for account in rows
    ]
    return msgspec.structs.replace(view, accounts=tuple(accounts))


def _is_countersignature(view: AuditView | KeyView | FreezeView | AccountView) -> bool:
    """Which takes no place in its account's chain."""
    return isinstance(view, KeyView) and view.what == KeyChange.COUNTERSIGNED


def _touched(view: AuditView | KeyView | FreezeView | AccountView | None) -> list[int]:
    if view is None or _is_countersignature(view):
        return []
    return [row.account for row in view.accounts] if isinstance(view, AuditView) else [view.account]


def export(sealed: Iterable[Sealed], path: Path) -> None:
    """What the operator hands to an auditor: these openings, in the form of `counterfoil openings`."""
    with path.open("wb") as file:
        file.write(EXPORT_HEADER)
        for each in sealed:
            audit, public = each.views.payloads[2:]
            head = each.index.to_bytes(8) + each.type.to_bytes(1) + b"".join(each.views.salts)
            record = head + len(audit).to_bytes(4) + audit + public
            file.write(len(record).to_bytes(4) + record)


class Town:
    """Five witnesses, of which 4 make a quorum. The first `colluding` are the operator's own: they cosign whatever it brings."""

    def __init__(self, folder: Path, clock: Clock, *, colluding: int = 0) -> None:
        signers = [witness_signer(f"body{number}.example/witness") for number in range(1, WITNESSES + 1)]
        self.clock = clock
        self.cheats = signers[:colluding]
        self.honest: list[Witness] = []
        for number, signer in enumerate(signers[colluding:], colluding + 1):
            remember(folder / f"w{number}")
            self.honest.append(Witness.open(folder / f"w{number}", signer, [SIGNER.vkey], clock))

    def ask(self, book: Log, head: Note, *, honest: Sequence[Witness] | None = None) -> tuple[Note, list[Verdict]]:
        """The head with every cosignature that can be had for it, and what the honest ones answered."""
        lines = [cosign(head.text, cheat, self.clock.now_ns() // 1_000_000_000) for cheat in self.cheats]
        verdicts = []
        for witness in self.honest if honest is None else honest:
            verdict = witness.add_checkpoint(request(book, head, next((seen.size for seen in witness.seen()), 0)))
            verdicts.append(verdict)
            if verdict.status == 200:
                lines.append(Signature.parse(verdict.body.decode()[:-1]))
        return head.with_signatures(lines), verdicts

    def close(self) -> None:
        for witness in self.honest:
            witness.close()


def request(book: Log, head: Note, old: int) -> bytes:
    """The body of add-checkpoint: `old` is what the witness cosigned last, whether or not it is of this history."""
    size = Checkpoint.parse(head.text).size
    hashes = book.reader.consistency_proof(old, size, within=book.head.size) if 0 < old < size else []
    return b"".join([b"old %d\n" % old, *(f"{base64_text(each)}\n".encode() for each in hashes), b"\n", head.encode()])


def policy_text() -> str:
    """What holders and auditors have in their own files."""
    names = [f"w{number}" for number in range(1, WITNESSES + 1)]
    keys = [witness_signer(f"body{number}.example/witness").vkey for number in range(1, WITNESSES + 1)]
    lines = [f"log {SIGNER.vkey}", *(f"witness {name} {key}" for name, key in zip(names, keys, strict=True))]
    return "\n".join([*lines, f"group bodies {THRESHOLD} {' '.join(names)}", "quorum bodies", ""])


POLICY = Policy.parse(policy_text())


class Forged:
    """A log in a folder of the operator's own, and the witnesses that it asks. Everything is signed with the log's real key."""

    def __init__(self, folder: Path, log: Log, town: Town) -> None:
        self.folder = folder
        self.public = folder / "log" / "public"
        self.log = log
        self.town = town
        self.sealed: list[Sealed] = []
        self.verdicts: list[Verdict] = []

    def grow(self, sealed: Sequence[Sealed], *, witnessed: bool = True, honest: Sequence[Witness] | None = None) -> Note:
        """Appends what is new in `sealed`, signs, and asks the witnesses; what reaches the quorum is published."""
        new = sealed[len(self.sealed) :]
        public = {each.index: each.opening(Role.PUBLIC).encode() for each in new if each.views.payloads[3]}
        self.log.append([each.entry for each in new], public)
        self.sealed += new
        head = self.log.publish()
        assert head is not None
        if witnessed:
            head, self.verdicts = self.town.ask(self.log, head, honest=honest)
            if believed(head):
                self.log.keep_witnessed(head)
        return head

    def receipt(self, index: int, role: Role, head: Note, path: Path) -> None:
        """Writes the receipt of one entry under `head` for whoever has that role."""
        size = Checkpoint.parse(head.text).size
        hashes = self.log.reader.inclusion_proof(index, size, within=self.log.head.size)
        path.write_bytes(TlogProof(self.sealed[index].opening(role).encode(), index, tuple(hashes), head.encode()).encode())


def believed(head: Note) -> bool:
    """Whether the quorum of the policy stands under a head."""
    try:
        POLICY.satisfied(head)
    except NotProven:
        return False
    return True


def movement(like: AuditView, *, payer: int, payee: int, amount: int, id: int, time: int) -> AuditView:
    """A movement of its own without fee, of the kind of `like`, and with no order."""
    leg: Leg = msgspec.structs.replace(like.legs[0], transfer=id, debit=payer, credit=payee, amount=amount)
    rows = {row.account: row for row in like.accounts}
    blank = like.accounts[0]
    accounts = tuple([rows.get(account, msgspec.structs.replace(blank, account=account)) for account in (payer, payee)])
    return msgspec.structs.replace(
        like, payment=id, time=time, legs=(leg,), accounts=accounts, principal=0, signature=bytes(64), order=b"", order_hash=bytes(32)
    )
