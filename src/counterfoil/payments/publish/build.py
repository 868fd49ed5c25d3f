"""From steps to entries: payloads, places in the accounts' chains, commitments. Pure but for the chains that it moves on.

The same steps, facts and day keys yield the same bytes, whenever and wherever they are built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from counterfoil.ledger.types import Account, AccountFlags, ChangeEventType
from counterfoil.parties.changes import BoundKey, PartyChange, Word, reason_hash
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.publish.chains import Chains, Head
from counterfoil.payments.publish.facts import Facts, OrderFacts
from counterfoil.payments.publish.steps import Group, Rules, Step, source_of
from counterfoil.payments.views import (
    NO_PREVIOUS,
    AccountChange,
    AccountView,
    AuditView,
    Event,
    FreezeChange,
    FreezeView,
    KeyChange,
    KeyReason,
    KeyView,
    Leg,
    Touched,
    payloads_of,
    public_circulation,
    public_freeze,
    touched_accounts,
)
from counterfoil.tlog.entry import VIEW_DOMAIN, EntryType, Role, Views, encode_entry
from counterfoil.tlog.merkle import leaf_hash

DAY_NS: Final = 86_400 * 1_000_000_000
_OWN_FLAGS: Final = int(AccountFlags.LINKED | AccountFlags.CLOSED)
"""Flags that say something of a moment, not of the account."""
_EVENTS: Final = {
    ChangeEventType.SINGLE_PHASE: Event.DONE,
    ChangeEventType.TWO_PHASE_PENDING: Event.HELD,
    ChangeEventType.TWO_PHASE_POSTED: Event.CAPTURED,
    ChangeEventType.TWO_PHASE_VOIDED: Event.RELEASED,
    ChangeEventType.TWO_PHASE_EXPIRED: Event.EXPIRED,
}
_TYPES: Final[dict[int, EntryType]] = {OrderKind.ISSUE: EntryType.ISSUE, OrderKind.WITHDRAWAL: EntryType.REDEEM}
_ALGORITHMS: Final = {KeyAlgorithm.ED25519: 1, KeyAlgorithm.ES256: 2}
_NO_ORDER: Final = OrderFacts(0, 0, 0, bytes(32), 0, b"", b"")
_INNER_PAD: Final = bytes(each ^ 0x36 for each in range(256))
_OUTER_PAD: Final = bytes(each ^ 0x5C for each in range(256))
"""The two paddings of HMAC. Source: RFC 2104 §2."""
_PAYER, _PAYEE, _AUDIT, _PUBLIC = (VIEW_DOMAIN + bytes((role,)) for role in Role)
_Place = tuple[int, bytes]


class Row(msgspec.Struct, frozen=True, gc=False):
    """An entry with all that opens it.

    Attributes:
        time: ns; decides under which day's key the views are salted.
        source: the step that it comes from, see `steps.source_of`.
        payment: the payment's id, 0 for entries that are not of a payment.
        accounts: those it touches, each with the index of the entry before it in the account's chain, -1 for the first.
        audit, public: payloads of roles 3 and 4; the others follow (`views.payloads_of`).
        entry: the 34 bytes.
        opening: of role 4, for entries with a public part; else empty.
    """

    index: int
    type: EntryType
    time: int
    source: bytes
    payment: int
    accounts: tuple[tuple[int, int], ...]
    audit: bytes
    public: bytes
    entry: bytes
    opening: bytes


def views_of(day_key: bytes, index: int, type: EntryType, audit: bytes, public: bytes) -> Views:
    """The four salted views of an entry, from its payloads of roles 3 and 4."""
    payer, payee, _, _ = payloads_of(type, audit, public)
    return Views.of(day_key, index, payer=payer, payee=payee, audit=audit, public=public)


def public_opening(type: EntryType, views: Views) -> bytes:
    """The bytes that are published beside the log; none for an entry without a public part."""
    return views.opening(type, Role.PUBLIC).encode() if views.payloads[Role.PUBLIC - 1] else b""


class Salter:
    """The salts under one day's key: `tlog.entry.salt` with the key hashed in beforehand, which is three times as quick."""

    def __init__(self, day_key: bytes) -> None:
        assert len(day_key) == 32, len(day_key)
        padded = day_key.ljust(64, b"\0")
        self._inner = sha256(padded.translate(_INNER_PAD))
        self._outer = sha256(padded.translate(_OUTER_PAD))

    def salts(self, index: int) -> tuple[bytes, bytes, bytes, bytes]:
        """The salts of entry `index`, by role."""
        start, salt = index.to_bytes(8), self._salt
        return salt(start + b"\1"), salt(start + b"\2"), salt(start + b"\3"), salt(start + b"\4")

    def _salt(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


def commitment(salts: Sequence[bytes], payer: bytes, payee: bytes, audit: bytes, public: bytes) -> bytes:
    """C of these four views: `tlog.entry.Views.commitment` without its intermediate values."""
    one, two, three, four = salts
    left = sha256(
        b"\1"
        + sha256(b"\0" + sha256(_PAYER + one + payer).digest()).digest()
        + sha256(b"\0" + sha256(_PAYEE + two + payee).digest()).digest()
    ).digest()
    right = sha256(
        b"\1"
        + sha256(b"\0" + sha256(_AUDIT + three + audit).digest()).digest()
        + sha256(b"\0" + sha256(_PUBLIC + four + public).digest()).digest()
    ).digest()
    return sha256(b"\1" + left + right).digest()


class Builder:
    """Builds entries from `next_index` on.

    `day_key(day)`: the 32 secret bytes for a UTC day (days since 1970). `asset`: the currency's ISO 4217 code.
    """

    def __init__(self, chains: Chains, day_key: Callable[[int], bytes], *, asset: str, next_index: int) -> None:
        self.next_index = next_index
        self._chains = chains
        self._day_key = day_key
        self._asset = asset
        self._rows: list[Row] = []
        self._source = b""
        self._day, self._day_salter = -1, Salter(bytes(32))

    def build(self, step: Step, facts: Facts) -> list[Row]:
        """The entries of one step, in order: often one, none for what concerns no account."""
        self._rows = []
        self._source = source_of(step)
        if isinstance(step, Group):
            self._movement(step, facts)
        elif isinstance(step, Rules):
            self._append(EntryType.RULES, step.at, public=step.document)
        else:
            self._party(step, facts)
        return self._rows

    # Movements

    def _movement(self, group: Group, facts: Facts) -> None:
        legs, latest = [], {}
        for event in group.events:
            transfer = event.transfer
            legs.append(
                Leg(
                    transfer.id, transfer.debit_account_id, transfer.credit_account_id, transfer.amount, transfer.pending_id,
                    transfer.timeout, transfer.ledger, transfer.code, transfer.flags,
                )
            )  # fmt: skip
            latest[transfer.debit_account_id] = event.debit_account
            latest[transfer.credit_account_id] = event.credit_account
        payment = group.payment
        principal = next((place for place, leg in enumerate(legs) if leg.transfer == payment), 0)
        order = facts.orders.get(payment)
        if order is None:
            order, payment = _NO_ORDER, legs[principal].transfer
        places = {account: self._place(account, latest[account]) for account in touched_accounts(legs)}
        accounts = tuple([
            Touched(account, *places[account], after.credits_posted - after.debits_posted, after.debits_pending)
            for account, after in ((account, latest[account]) for account in places)
        ])  # fmt: skip
        view = AuditView(
            _EVENTS[group.events[principal].type], order.kind, order.authorisation, order.service, payment, order.order_hash, group.at,
            tuple(legs), accounts, principal, order.device, order.signature, order.order, order.document,
        )  # fmt: skip
        kind = _TYPES.get(order.kind, EntryType.TRANSFER)
        public = b"" if kind is EntryType.TRANSFER else public_circulation(view, self._asset)
        balances = {each.account: each.balance for each in accounts}
        self._append(kind, group.at, view.encode(), public, touched=balances, payment=payment, view=view)

    # Parties

    def _party(self, change: PartyChange, facts: Facts) -> None:
        for account in change.accounts:
            ledger_account = facts.accounts.get(account)
            if ledger_account is None:
                continue  # kept without its account: nothing can ever move there
            if change.kind == "opened":
                self._open(ledger_account, change.tier)
                for device in change.enrolled:
                    self._bind(change, ledger_account, change.keys[device], KeyReason.ENROLMENT)
            elif change.kind == "device_added":
                self._bind(change, ledger_account, change.keys[change.device], KeyReason.FURTHER_DEVICE)
            elif change.kind == "device_revoked":
                self._revoke(change, ledger_account, [change.device], KeyReason.REVOKED)
            elif change.kind == "recovery_done":
                self._revoke(change, ledger_account, self._chains.keys(account), KeyReason.RECOVERY)
                self._bind(change, ledger_account, change.keys[change.device], KeyReason.RECOVERY)
            elif change.pin_word is not None and account == change.pin_word.account:
                self._allow_pin(change, ledger_account, change.pin_word)
            elif change.countersigned is not None and account == change.countersigned.account:
                self._countersign(change, change.countersigned)
            elif change.kind == "closed":
                self._revoke(change, ledger_account, self._chains.keys(account), KeyReason.REVOKED)
                self._account(AccountChange.CLOSED, ledger_account, change.at, "")
            elif change.kind == "tier_changed":
                self._account(AccountChange.TIER_CHANGED, ledger_account, change.at, change.tier)
            elif change.freeze is not None and account in change.freeze.accounts:
                self._freeze(change, ledger_account)

    def _open(self, account: Account, tier: str) -> None:
        if self._chains.head(account.id) is None:
            self._append_account(AccountChange.OPENED, account, account.timestamp, tier, (1, NO_PREVIOUS))

    def _account(self, what: AccountChange, account: Account, at: int, tier: str) -> None:
        self._append_account(what, account, at, tier, self._place(account.id, account))

    def _append_account(self, what: AccountChange, account: Account, at: int, tier: str, place: _Place) -> None:
        flags = account.flags & ~_OWN_FLAGS
        view = AccountView(what, account.id, *place, at, account.code, account.ledger, flags, tier)
        self._append(EntryType.ACCOUNT, at, view.encode(), touched={account.id: self._balance(account.id)})

    def _bind(self, change: PartyChange, account: Account, key: BoundKey, reason: KeyReason) -> None:
        view = KeyView(
            KeyChange.BOUND, account.id, *self._place(account.id, account), change.at, key.device, _ALGORITHMS[key.algorithm],
            key.public_key, key.by, reason, key.statement, key.possession, key.consent,
        )  # fmt: skip
        self._chains.bind(account.id, key.device)
        self._append(EntryType.KEY, change.at, view.encode(), touched={account.id: self._balance(account.id)})

    def _revoke(self, change: PartyChange, account: Account, devices: list[int], reason: KeyReason) -> None:
        """A key that waited for its recovery was never in force: nobody has to be told that it is gone."""
        for device in [device for device in devices if device in self._chains.keys(account.id)]:
            key = change.keys[device]
            view = KeyView(
                KeyChange.REVOKED, account.id, *self._place(account.id, account), change.at, device, _ALGORITHMS[key.algorithm],
                key.public_key, change.by, reason,
            )  # fmt: skip
            self._chains.revoke(account.id, device)
            self._append(EntryType.KEY, change.at, view.encode(), touched={account.id: self._balance(account.id)})

    def _allow_pin(self, change: PartyChange, account: Account, word: Word) -> None:
        key = change.keys[change.device]
        view = KeyView(
            KeyChange.PIN_ALLOWED, account.id, *self._place(account.id, account), change.at, key.device, _ALGORITHMS[key.algorithm],
            key.public_key, 0, KeyReason.PIN_CONSENT, word.statement, word.signature,
        )  # fmt: skip
        self._append(EntryType.KEY, change.at, view.encode(), touched={account.id: self._balance(account.id)})

    def _countersign(self, change: PartyChange, word: Word) -> None:
        """About a payment that has its place in the chain, so it takes none itself: a holder's receipts follow one another as before."""
        key = change.keys[change.device]
        view = KeyView(
            KeyChange.COUNTERSIGNED, word.account, 0, NO_PREVIOUS, change.at, key.device, _ALGORITHMS[key.algorithm],
            key.public_key, 0, KeyReason.COUNTERSIGNATURE, word.statement, word.signature,
        )  # fmt: skip
        self._append(EntryType.KEY, change.at, view.encode(), payment=word.payment)

    def _freeze(self, change: PartyChange, account: Account) -> None:
        freeze = change.freeze
        assert freeze is not None, change.id
        what = FreezeChange.FROZEN if change.kind == "frozen" else FreezeChange.UNFROZEN
        place = self._place(account.id, account)
        view = FreezeView(what, account.id, *place, change.at, freeze.id, freeze.incoming, freeze.expires_at, reason_hash(freeze))
        if what is FreezeChange.FROZEN:
            self._chains.freeze(freeze.id, freeze.accounts, freeze.expires_at)
        else:
            self._chains.unfreeze(freeze.id)
        frozen = self._chains.frozen_at(change.at)
        public = public_freeze(view, accounts=len(frozen), total=sum(map(self._balance, frozen)))
        self._append(EntryType.FREEZE, change.at, view.encode(), public, touched={account.id: self._balance(account.id)})

    def _salter(self, day: int) -> Salter:
        if day != self._day:
            self._day, self._day_salter = day, Salter(self._day_key(day))
        return self._day_salter

    # Chains

    def _place(self, id: int, account: Account) -> _Place:
        """The account's next `seq` and `prev`. An account that was never met is opened first."""
        head = self._chains.head(id)
        if head is None:
            self._open(account, "")
            head = self._chains.head(id)
            assert head is not None, id
        return head.seq + 1, head.leaf

    def _balance(self, account: int) -> int:
        head = self._chains.head(account)
        return 0 if head is None else head.balance

    def _append(
        self,
        type: EntryType,
        time: int,
        audit: bytes = b"",
        public: bytes = b"",
        *,
        touched: dict[int, int] | None = None,
        payment: int = 0,
        view: AuditView | None = None,
    ) -> None:
        """One entry; `touched`: the accounts concerned with their balances after it."""
        index, before = self.next_index, []
        payer, payee, _, _ = payloads_of(type, audit, public, view=view)
        salts = self._salter(time // DAY_NS).salts(index)
        entry = encode_entry(type, commitment(salts, payer, payee, audit, public))
        opening = public_opening(type, Views(salts, (payer, payee, audit, public))) if public else b""
        if touched:
            leaf = leaf_hash(entry)
            for account, balance in touched.items():
                head = self._chains.head(account)
                before.append((account, -1 if head is None else head.index))
                self._chains.set_head(account, Head(1 if head is None else head.seq + 1, leaf, index, balance))
        self.next_index += 1
        self._rows.append(Row(index, type, time, self._source, payment, tuple(before), audit, public, entry, opening))
