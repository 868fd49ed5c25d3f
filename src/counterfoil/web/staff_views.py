"""What the staff pages show, read from the services and put into words. Reads only."""

from __future__ import annotations

from typing import Any

import msgspec

from counterfoil.channels.announcements import KIND as ANNOUNCEMENT
from counterfoil.errors import NotFound
from counterfoil.i18n import Language
from counterfoil.ids import id_text, parse_id
from counterfoil.ledger.chart import AccountCode, TransferCode
from counterfoil.ledger.types import Account, QueryFilter, QueryFilterFlags, Transfer, TransferFlags
from counterfoil.parties.numbers import masked_number
from counterfoil.parties.sim_changes import KIND as SIM_CHANGE_LIFT
from counterfoil.parties.types import Notice, Proposal, ProposalState
from counterfoil.payments.history import Entry
from counterfoil.payments.types import AuthorisationClass, Payment
from counterfoil.web.services import Services

PAGE_SIZE = 50
LATEST = 15
"""Transfers on the overview."""
LEGS_MAX = 20


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


ACCOUNT_KINDS = {
    AccountCode.ISSUANCE: N_("issuance"),
    AccountCode.CUSTOMER: N_("customer"),
    AccountCode.MERCHANT: N_("merchant"),
    AccountCode.AGENT: N_("agent"),
    AccountCode.INSTITUTION: N_("institution"),
    AccountCode.FEES: N_("fees"),
    AccountCode.ROUNDING: N_("rounding of imported books"),
    AccountCode.IMPORT_BOOK: N_("imported account"),
    AccountCode.IMPORT_CASH: N_("cash of an imported book"),
    AccountCode.IMPORT_BANKS: N_("other banks of an imported book"),
    AccountCode.IMPORT_INTEREST: N_("interest of an imported book"),
    AccountCode.IMPORT_OTHER: N_("other side of an imported book"),
}
TRANSFER_KINDS = {
    TransferCode.PAYMENT: N_("payment"),
    TransferCode.FEE: N_("fee"),
    TransferCode.HOLD: N_("hold"),
    TransferCode.REFUND: N_("refund"),
    TransferCode.REVERSAL: N_("reversal"),
    TransferCode.CASH_IN: N_("cash in"),
    TransferCode.CASH_OUT: N_("cash out"),
    TransferCode.ISSUE: N_("issue"),
    TransferCode.WITHDRAWAL: N_("withdrawal"),
    TransferCode.BATCH_PAYMENT: N_("batch payment"),
    TransferCode.STANDING_ORDER: N_("standing order"),
    TransferCode.FEE_REFUND: N_("fee given back"),
    TransferCode.IMPORT: N_("imported entry"),
    TransferCode.IMPORT_ROUNDING: N_("rounding of an imported entry"),
}
AUTHORISATIONS = {
    AuthorisationClass.DEVICE: N_("the holder's device"),
    AuthorisationClass.PIN: N_("the holder's PIN"),
    AuthorisationClass.CARD: N_("the holder's card"),
    AuthorisationClass.STAFF: N_("two members of staff"),
    AuthorisationClass.SYSTEM: N_("a mandate of the holder"),
    AuthorisationClass.TOKEN: N_("the merchant's server"),
}
PROPOSAL_KINDS = {
    "issue": N_("issue of money"),
    "withdrawal": N_("withdrawal of money"),
    "reversal": N_("reversal of a payment"),
    ANNOUNCEMENT: N_("message to many"),
    SIM_CHANGE_LIFT: N_("lifting of a change of SIM"),
}
PROPOSAL_STATES = {
    ProposalState.PROPOSED: (N_("waits for a second person"), "wait"),
    ProposalState.APPROVED: (N_("approved, being carried out"), "wait"),
    ProposalState.EXECUTED: (N_("carried out"), "good"),
    ProposalState.FAILED: (N_("approved, but refused"), "bad"),
    ProposalState.REJECTED: (N_("rejected"), ""),
    ProposalState.EXPIRED: (N_("expired"), ""),
}
NOTICE_KINDS = {
    "code": N_("code"),
    "frozen": N_("account frozen"),
    "unfrozen": N_("account no longer frozen"),
    "closed": N_("account closed"),
    "number_changed": N_("number changed"),
    "welcome": N_("welcome"),
    "device_added": N_("device added"),
    "pin_allowed": N_("payments by PIN allowed or stopped"),
    "card_added": N_("card added"),
    "device_revoked": N_("device taken away"),
    "recovery_started": N_("recovery started"),
    "recovery_done": N_("recovery done"),
    "recovery_cancelled": N_("recovery cancelled"),
    "announcement": N_("message to many"),
    "announcement_security": N_("message to many"),
    "message": N_("message"),
    "sim_changed": N_("SIM changed"),
    "sim_change_lifted": N_("lifting of a change of SIM"),
    "number_released": N_("number given free"),
}
_HOLDERS = (AccountCode.CUSTOMER, AccountCode.MERCHANT, AccountCode.AGENT, AccountCode.INSTITUTION)
_OPENED_BY_IMPORT = (AccountCode.IMPORT_CASH, AccountCode.IMPORT_BANKS, AccountCode.IMPORT_INTEREST, AccountCode.IMPORT_OTHER)


class AccountView(msgspec.Struct, frozen=True):
    """An account in a list, or as one side of a transfer. `balance` and `held` in minor units."""

    id: str
    name: str
    kind: str
    balance: int = 0
    held: int = 0


class TransferView(msgspec.Struct, frozen=True):
    """A transfer in words; `pending` is the id of the hold that it ends, or ""."""

    id: str
    timestamp: int
    debit: AccountView
    credit: AccountView
    amount: int
    what: str
    authorised_by: str
    pending: str


class StaffViews:
    """Each method is one page's content, in `language`."""

    def __init__(self, services: Services, language: Language) -> None:
        self.services = services
        self.language = language

    async def overview(self) -> dict[str, Any]:
        services = self.services
        system = await services.ledger.query_accounts(QueryFilter(limit=10, code=AccountCode.ISSUANCE))
        fees = await services.ledger.query_accounts(QueryFilter(limit=10, code=AccountCode.FEES))
        return {
            "check": services.last_check(),
            "circulation": sum(account.debits_posted - account.credits_posted for account in system),
            "fees": sum(account.credits_posted - account.debits_posted for account in fees),
            "last_timestamp": services.ledger.last_timestamp,
            "waiting": services.ledger.waiting,
            "waiting_max": services.config.queue_size_max,
            "proposals_waiting": len(await services.approvals.find_all(ProposalState.PROPOSED)),
            "transfers": await self._latest(LATEST, 0),
        }

    async def accounts(self, kind: str, after: int) -> dict[str, Any]:
        """A page of accounts of one kind (its name in the chart, lower case) or of all, in the order of their opening."""
        codes = {code.name.lower(): code for code in AccountCode}
        if kind and kind not in codes:
            raise NotFound
        chosen = QueryFilter(limit=PAGE_SIZE + 1, code=codes[kind] if kind else 0, timestamp_min=after + 1 if after else 0)
        found = await self.services.ledger.query_accounts(chosen)
        shown = found[:PAGE_SIZE]
        text = self.language.text
        kinds = [("/staff/accounts", text("all"), not kind)]
        kinds += [(f"/staff/accounts?kind={code.name.lower()}", text(ACCOUNT_KINDS[code]), codes.get(kind) is code) for code in _HOLDERS]
        more = f"/staff/accounts?kind={kind}&after={shown[-1].timestamp}" if len(found) > PAGE_SIZE else ""
        return {"accounts": [await self._account_view(account) for account in shown], "kinds": kinds, "more": more}

    async def account(self, id: str, before: int) -> dict[str, Any]:
        """One account with its holder and a page of its history."""
        found = await self.services.ledger.lookup_accounts([parse_id(id)])
        if not found:
            raise NotFound
        account = found[0]
        entries = await self.services.history.page(account.id, before=before, limit=PAGE_SIZE)
        return {
            "account": await self._account_view(account),
            "particulars": await self._particulars(account.id),
            "entries": [await self._entry(entry) for entry in entries],
            "older": entries[-1].timestamp if len(entries) == PAGE_SIZE else 0,
        }

    async def transfers(self, before: int) -> dict[str, Any]:
        """A page of transfers older than `before` (ledger time), or the newest."""
        found = await self._latest(PAGE_SIZE, before)
        return {"transfers": found, "older": found[-1].timestamp if len(found) == PAGE_SIZE else 0, "paged": bool(before)}

    async def transfer(self, id: str) -> dict[str, Any]:
        """One transfer with its payment and the payment's other transfers."""
        found = await self.services.ledger.lookup_transfers([parse_id(id)])
        if not found:
            raise NotFound
        transfer = found[0]
        payment = await self.services.payments.find(transfer.user_data_128) if transfer.user_data_128 else None
        legs = []
        if payment is not None:
            same = QueryFilter(limit=LEGS_MAX, user_data_128=payment.id)
            legs = [await self._transfer_view(leg) for leg in await self.services.ledger.query_transfers(same)]
        return {
            "transfer": await self._transfer_view(transfer),
            "payment": None if payment is None else await self._payment(payment),
            "legs": legs if len(legs) > 1 else [],
        }

    async def proposals(self) -> dict[str, Any]:
        return {"proposals": [await self._proposal(proposal) for proposal in await self.services.approvals.find_all()]}

    async def messages(self) -> dict[str, Any]:
        """The newest notices that wait. Codes are shown in a sandbox only, numbers by their last three digits elsewhere."""
        waiting = await self.services.parties.notices.newest_waiting(PAGE_SIZE)
        return {"messages": [self._notice(notice) for notice in waiting]}

    async def _latest(self, limit: int, before: int) -> list[TransferView]:
        chosen = QueryFilter(limit=limit, flags=QueryFilterFlags.REVERSED, timestamp_max=max(before - 1, 0))
        if before == 1:
            return []
        return [await self._transfer_view(transfer) for transfer in await self.services.ledger.query_transfers(chosen)]

    async def _transfer_view(self, transfer: Transfer) -> TransferView:
        what = self.language.text(TRANSFER_KINDS[TransferCode(transfer.code)])
        if transfer.flags & TransferFlags.VOID_PENDING_TRANSFER:
            what = self.language.text("released")
        elif transfer.flags & TransferFlags.POST_PENDING_TRANSFER:
            what = self.language.text("captured")
        classes = {int(cls): text for cls, text in AUTHORISATIONS.items()}
        authorised_by = classes.get(transfer.user_data_32)
        return TransferView(
            id=id_text(transfer.id),
            timestamp=transfer.timestamp,
            debit=await self._side(transfer.debit_account_id),
            credit=await self._side(transfer.credit_account_id),
            amount=transfer.amount,
            what=what,
            authorised_by=self.language.text(authorised_by) if authorised_by else "",
            pending=id_text(transfer.pending_id) if transfer.pending_id else "",
        )

    async def _side(self, account: int) -> AccountView:
        holder = await self.services.parties.directory.holder(account)
        if holder is not None:
            return AccountView(id_text(account), holder.name, holder.kind)
        found = self.services.ledger.account_now(account)
        kind = "" if found is None else self.language.text(ACCOUNT_KINDS[AccountCode(found.code)])
        return AccountView(id_text(account), self._system_name(kind), kind)

    async def _account_view(self, account: Account) -> AccountView:
        code = AccountCode(account.code)
        kind = self.language.text(ACCOUNT_KINDS[code])
        holder = await self.services.parties.directory.holder(account.id)
        balance, held = account.credits_posted - account.debits_posted, account.debits_pending
        if code is AccountCode.ISSUANCE or code in _OPENED_BY_IMPORT:
            balance, held = -balance, account.credits_pending
        return AccountView(id_text(account.id), self._system_name(kind) if holder is None else holder.name, kind, balance, held)

    def _system_name(self, kind: str) -> str:
        return self.language.text("The scheme: %(account)s", account=kind)

    async def _particulars(self, account: int) -> list[tuple[str, str]]:
        """What is known of the holder, as (label, value)."""
        holder = await self.services.parties.directory.holder(account)
        if holder is None:
            return []
        text = self.language.text
        number = holder.number if self.services.config.sandbox or not holder.number else masked_number(holder.number)
        found = [
            (text("Number"), number or ""),
            (text("Handle"), f"@{holder.handle}" if holder.handle else ""),
            (text("Merchant code"), holder.merchant_code or ""),
            (text("Tier"), holder.tier),
            (text("Frozen"), "; ".join(freeze.reason for freeze in holder.freezes)),
        ]
        return [(label, value) for label, value in found if value]

    async def _entry(self, entry: Entry) -> dict[str, Any]:
        return {
            "transfer": id_text(entry.transfer.id),
            "timestamp": entry.timestamp,
            "counterparty": await self._side(entry.counterparty),
            "what": self.language.text(TRANSFER_KINDS[entry.code]),
            "memo": entry.payment.memo if entry.payment else "",
            "change": entry.change,
            "balance": entry.balance,
        }

    async def _payment(self, payment: Payment) -> dict[str, Any]:
        return {
            "id": id_text(payment.id),
            "payer": await self._side(payment.payer),
            "payee": await self._side(payment.payee),
            "amount": payment.amount,
            "fee": payment.fee,
            "memo": payment.memo,
            "created_at": payment.created_at,
            "order_hash": payment.order_hash.hex(),
        }

    async def _proposal(self, proposal: Proposal) -> dict[str, Any]:
        state, tone = PROPOSAL_STATES[proposal.state]
        particulars = msgspec.json.decode(proposal.payload)
        what = self.language.text(PROPOSAL_KINDS.get(proposal.kind, proposal.kind))
        if isinstance(particulars.get("amount"), int):
            currency = self.services.config.currency
            what = f"{what}: {self.language.money(particulars['amount'], currency)} {currency.code}"
        return {
            "id": id_text(proposal.id),
            "created_at": proposal.created_at,
            "waits": proposal.state is ProposalState.PROPOSED,
            "link": f"/staff/announcements/{id_text(proposal.id)}" if proposal.kind == ANNOUNCEMENT else "",
            "what": what,
            "reason": proposal.reason,
            "proposer": (await self.services.parties.party(proposal.proposer)).name,
            "state": self.language.text(state),
            "tone": tone,
        }

    def _notice(self, notice: Notice) -> dict[str, Any]:
        sandbox = self.services.config.sandbox
        to = notice.number or ""
        return {
            "created_at": notice.created_at,
            "to": to if sandbox or not to else masked_number(to),
            "what": self.language.text(
                N_("to or about a watcher") if notice.kind.startswith("watch") else NOTICE_KINDS.get(notice.kind, notice.kind)
            ),
            "code": notice.values.get("code", "") if sandbox else "",
        }
