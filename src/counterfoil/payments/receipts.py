"""Final receipts: a payment's entry in the log, opened for one holder, with the proof that a witnessed head covers it."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec

from counterfoil.errors import PaymentNotFound, Unavailable
from counterfoil.payments.openings import KeptEntry, Openings
from counterfoil.payments.views import MOVEMENTS, AuditView
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.entry import Role
from counterfoil.tlog.note import Note
from counterfoil.tlog.proof import TlogProof
from counterfoil.tlog.published import PublishedLog


class ProofState(enum.StrEnum):
    WAITING = "waiting"
    """Not in the log so far."""
    LOGGED = "logged"
    """In the log under a head that the operator signed."""
    WITNESSED = "witnessed"
    """Under a head that the policy's quorum of witnesses has cosigned: the receipt is final."""


class ReceiptStatus(msgspec.Struct, frozen=True):
    """How far a payment is on its way to a final receipt. `index`: of its entry in the log, None while it waits."""

    state: ProofState
    index: int | None


class Receipts:
    """Reads the openings and the published log, beside the publisher. A few milliseconds each; has one caller at a time.

    Both may appear later: until then every payment waits.
    """

    def __init__(self, openings: Path, published: PublishedLog) -> None:
        """`openings`: the publisher's file."""
        self._path = openings
        self._published = published
        self._openings: Openings | None = None

    def close(self) -> None:
        """Lets go of the file. Safe to repeat; whoever asks afterwards opens it again."""
        if self._openings is not None:
            self._openings.close()
            self._openings = None

    def status(self, payment_id: int, account: int) -> ReceiptStatus:
        """How far the payment is, for its payer's or payee's account. Raises PaymentNotFound for any other's."""
        entry = self._entry(payment_id, account)
        if entry is None or entry.index >= _size(self._published.checkpoint()):
            return ReceiptStatus(ProofState.WAITING, None)
        witnessed = entry.index < _size(self._published.witnessed())
        return ReceiptStatus(ProofState.WITNESSED if witnessed else ProofState.LOGGED, entry.index)

    def proof(self, payment_id: int, account: int) -> TlogProof | None:
        """The final receipt of the payment for its payer's or payee's account; None while no witnessed head covers it.

        Of a hold: of the moment when it began. Raises PaymentNotFound for an account that it does not concern, Unavailable when
        the key that opens it was erased.
        """
        entry = self._entry(payment_id, account)
        return None if entry is None else self._proof(entry, account)

    def chain(self, account: int, *, before: int | None = None, limit: int = 100) -> list[int]:
        """Indexes of the account's own entries, newest first, at most `limit`; `before` (one of them) goes on from there."""
        openings = self._open()
        if openings is None:
            return []
        return [entry.index for entry in openings.entries_of_account(account, before=before, limit=limit)]

    def entry_proof(self, index: int, account: int) -> TlogProof | None:
        """As `proof`, for any entry of the account's chain: keys, freezes and the account itself, too."""
        openings = self._open()
        entry = openings.entry(index) if openings is not None else None
        if entry is None or role_of(entry, account) is None:
            raise PaymentNotFound("there is no such entry")
        return self._proof(entry, account)

    # Parts

    def _entry(self, payment_id: int, account: int) -> KeptEntry | None:
        """The payment's first entry that the account has a view of; None while there is no entry at all."""
        openings = self._open()
        entries = openings.entries_of_payment(payment_id) if openings is not None else []
        for entry in entries:
            if role_of(entry, account) is not None:
                return entry
        if entries:
            raise PaymentNotFound
        return None

    def _proof(self, entry: KeptEntry, account: int) -> TlogProof | None:
        note, newest = self._published.witnessed(), _size(self._published.checkpoint())
        size = _size(note)
        if note is None or entry.index >= size:
            return None
        role = role_of(entry, account)
        assert role is not None, (entry.index, account)
        assert self._openings is not None
        views = self._openings.views(entry)
        if views is None:
            raise Unavailable("what this entry said was erased")
        hashes = self._published.reader.inclusion_proof(entry.index, size, within=max(newest, size))
        return TlogProof(views.opening(entry.type, role).encode(), entry.index, tuple(hashes), note.encode())

    def _open(self) -> Openings | None:
        if self._openings is None and self._path.exists():
            try:
                self._openings = Openings.reading(self._path)
            except Unavailable:
                return None  # the publisher makes it at this moment
        return self._openings


def role_of(entry: KeptEntry, account: int) -> Role | None:
    """In which role the account sees the entry; None when it does not (it is somebody else's, or only earned the fee)."""
    if entry.type not in MOVEMENTS:
        return Role.PAYER if any(touched == account for touched, _ in entry.accounts) else None
    audit = AuditView.decode(entry.audit)
    principal = audit.legs[audit.principal]
    if account == principal.debit:
        return Role.PAYER
    return Role.PAYEE if account == principal.credit else None


def _size(note: Note | None) -> int:
    return 0 if note is None else Checkpoint.parse(note.text).size
