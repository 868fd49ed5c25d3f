"""What the web needs of the house: one struct that `app` fills in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from counterfoil.acceptance.service import Acceptance
from counterfoil.assurance.audits import Audited
from counterfoil.assurance.running_check import CheckResult
from counterfoil.assurance.witnesses import WitnessStatus
from counterfoil.channels.announcements import Announcements
from counterfoil.channels.conversations import Conversations
from counterfoil.channels.push.service import Push
from counterfoil.channels.reports import Reports
from counterfoil.channels.sms.inbound import Inbox
from counterfoil.channels.sms.service import Sms
from counterfoil.channels.ussd.service import Ussd
from counterfoil.channels.webhooks import Webhooks
from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.ledger.service import Ledger
from counterfoil.parties.approvals import Approvals
from counterfoil.parties.happenings import Happenings
from counterfoil.parties.service import Parties
from counterfoil.parties.tokens import Tokens
from counterfoil.payments.batches import Batches
from counterfoil.payments.countersigning import Countersigning
from counterfoil.payments.feed import Feed
from counterfoil.payments.history import History
from counterfoil.payments.hub import Hub
from counterfoil.payments.receipt_codes import ReceiptCodes
from counterfoil.payments.receipts import Receipts
from counterfoil.payments.requests import Requests
from counterfoil.payments.service import Payments
from counterfoil.payments.staff import StaffPayments
from counterfoil.payments.standing import StandingOrders
from counterfoil.store.database import Store


def no_check() -> CheckResult | None:
    """Before the first check, and where none is scheduled."""
    return None


def no_audit() -> Audited | None:
    """Where no auditor has replayed the log."""
    return None


def no_witnesses() -> Sequence[WitnessStatus]:
    """Where no witness is asked."""
    return ()


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """A scheme's running parts, as the web uses them.

    Attributes:
        is_running: whether the writers of ledger and store are alive; asked by /ready.
        last_check: the outcome of the last conservation check.
        receipts: proofs from the log; None where no log is kept.
        witnesses: how it stands with each witness.
        audited: the newest word of an auditor.
    """

    config: Config
    clock: Clock
    store: Store
    ledger: Ledger
    parties: Parties
    tokens: Tokens
    approvals: Approvals
    payments: Payments
    countersigning: Countersigning
    requests: Requests
    batches: Batches
    standing: StandingOrders
    staff: StaffPayments
    history: History
    feed: Feed
    webhooks: Webhooks
    push: Push
    hub: Hub
    conversations: Conversations
    announcements: Announcements
    reports: Reports
    ussd: Ussd
    inbox: Inbox
    sms: Sms
    happenings: Happenings
    acceptance: Acceptance
    receipt_codes: ReceiptCodes
    is_running: Callable[[], bool]
    last_check: Callable[[], CheckResult | None] = no_check
    receipts: Receipts | None = None
    witnesses: Callable[[], Sequence[WitnessStatus]] = no_witnesses
    audited: Callable[[], Audited | None] = no_audit
