"""The public log and its proofs: what a payment's place in the log is, for those it concerns, and how the log stands, for all."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import segno

from counterfoil.assurance.audits import Audited
from counterfoil.assurance.witnesses import WitnessStatus
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import NotFound, OrderExpired, PaymentNotFound, PaymentRefused, ProofNotReady
from counterfoil.moments import moment_text
from counterfoil.parties.tokens import Scope
from counterfoil.payments.receipts import ProofState, Receipts
from counterfoil.payments.service import Payments
from counterfoil.tlog.proof import QR_SIZE_MAX, TlogProof, pack, qr_text
from counterfoil.web.accept import preferred
from counterfoil.web.access import PUBLIC, Principal, holder_or
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.incoming import Answer, Incoming
from counterfoil.web.public_log import Head, LogState, PublicLog
from counterfoil.web.values import AmountOrZero, Moment, UuidText, base64_text, uuid_text

JSON, TEXT, SVG = "application/json", "text/plain", "image/svg+xml"
QR_QUIET_ZONE = 4
"""Modules of white around the code. Source: ISO/IEC 18004."""

Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1, description="entries of the log")]
Hash = Annotated[str, msgspec.Meta(max_length=43, description="32 bytes in base64url")]


class ProofView(msgspec.Struct, frozen=True):
    """A payment's proof, for one of those it concerns.

    Attributes:
        account: whose view of the payment the proof opens.
        state: waiting: not in the log yet; logged: in it, and the witnesses have not cosigned that far; witnessed: proven.
        index: of the entry; null while it waits.
        proof: the receipt, c2sp.org/tlog-proof@v1; null until witnessed.
        qr: the same, packed, as the text of one QR code; null until witnessed, and where it does not fit in one.
    """

    id: UuidText
    account: UuidText
    state: ProofState
    index: Size | None
    proof: str | None
    qr: str | None


class HeadView(msgspec.Struct, frozen=True):
    """A head of the log. `checkpoint` is the signed note itself."""

    size: Size
    root: Hash
    checkpoint: str


class CosignatureView(msgspec.Struct, frozen=True):
    """Who cosigned, and when by its own clock."""

    name: str
    at: Moment


class WitnessView(msgspec.Struct, frozen=True):
    """How it stands with one witness. `size`: of the newest head that it cosigned; `problem`: why the last request failed."""

    name: str
    url: str
    size: Size
    cosigned_at: Moment | None
    asked_at: Moment | None
    problem: str | None


class AuditView(msgspec.Struct, frozen=True):
    """An auditor's newest word: all rules held in every entry below `size`."""

    size: Size
    at: Moment
    name: str


class LogView(msgspec.Struct, frozen=True):
    """How the public log stands. All but `origin` is empty before it has started.

    Attributes:
        newest: the head that the log signed last.
        witnessed: the newest head that reached the quorum; `cosignatures` are those under it.
        issued, withdrawn: totals of the log's public entries below the newest head.
        audit: null where no auditor has replayed the log.
    """

    origin: str
    newest: HeadView | None
    witnessed: HeadView | None
    cosignatures: list[CosignatureView]
    witnesses: list[WitnessView]
    issued: AmountOrZero
    withdrawn: AmountOrZero
    audit: AuditView | None


class ProofEndpoints:
    """The log's own chapter. `receipts` is None where no log is kept: every proof waits."""

    def __init__(
        self,
        *,
        payments: Payments,
        receipts: Receipts | None,
        log: PublicLog,
        witnesses: Callable[[], Sequence[WitnessStatus]],
        audited: Callable[[], Audited | None],
    ) -> None:
        self.payments = payments
        self.receipts = receipts
        self.public_log = log
        self.witnesses = witnesses
        self.audited = audited

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/v1/payments/{id}/proof",
                self.proof,
                access=holder_or(Scope.PAYMENTS_READ),
                errors=(PaymentNotFound, OrderExpired, PaymentRefused, ProofNotReady),
                other_media_types=(TEXT, SVG),
                tag="log",
            ),
            Endpoint("GET", "/v1/log", self.log, access=PUBLIC, tag="log"),
        ]

    async def proof(self, caller: Principal, id: int, request: Incoming) -> ProofView | Answer:
        """The log's proof of a payment, for its payer and its payee.

        With `Accept: text/plain` the receipt itself, a .tlog-proof file; with `Accept: image/svg+xml` its QR code: both are
        404 `proof_not_ready` until the witnesses have cosigned, some ten seconds after the payment.
        """
        form = preferred(request.header("accept"), (JSON, TEXT, SVG))
        await self.payments.receipt(id, caller.account)  # whom it does not concern hears that there is none
        proof = self.receipts.proof(id, caller.account) if self.receipts else None
        if form == JSON:
            return self._view(id, caller.account, proof)
        if proof is None:
            raise ProofNotReady
        vary = (b"vary", b"Accept")
        if form == SVG:
            if (text := qr_text_of(proof)) is None:
                raise NotFound("this receipt is too large for one QR code")
            return Answer(await asyncio.to_thread(_qr_image, text), media_type=SVG, headers=(vary,))
        name = f'attachment; filename="{id:032x}.tlog-proof"'.encode()
        return Answer(proof.encode(), media_type=f"{TEXT}; charset=utf-8", headers=(vary, (b"content-disposition", name)))

    def _view(self, id: int, account: int, proof: TlogProof | None) -> ProofView:
        text, code, state, index = None, None, ProofState.WAITING, None
        if proof is not None:
            text, code, state, index = proof.encode().decode(), qr_text_of(proof), ProofState.WITNESSED, proof.index
        elif self.receipts is not None:
            status = self.receipts.status(id, account)
            # Witnessed in this very moment: the proof comes with the next request.
            state, index = (ProofState.LOGGED if status.state is ProofState.WITNESSED else status.state), status.index
        return ProofView(id=uuid_text(id), account=uuid_text(account), state=state, index=index, proof=text, qr=code)

    async def log(self) -> LogView:
        """How the public log stands: heads, who cosigned and when, its witnesses, totals, and the auditors' newest word."""
        state, audit = await self.public_log.state(), self.audited()
        return LogView(
            origin=self.payments.rules.origin,
            newest=_head_view(state.newest),
            witnessed=_head_view(state.witnessed),
            cosignatures=[CosignatureView(each.name, moment_text(each.time_s * NANOSECONDS)) for each in state.cosigned],
            witnesses=[witness_view(status) for status in self._witnesses(state)],
            issued=state.issued,
            withdrawn=state.withdrawn,
            audit=AuditView(audit.size, moment_text(audit.at), audit.name) if audit else None,
        )

    def _witnesses(self, state: LogState) -> Sequence[WitnessStatus]:
        return self.witnesses() or [WitnessStatus(name=name, url="") for name in state.witnesses]


def witness_view(status: WitnessStatus) -> WitnessView:
    return WitnessView(
        name=status.name,
        url=status.url,
        size=status.size,
        cosigned_at=_moment(status.cosigned_at),
        asked_at=_moment(status.asked_at),
        problem=status.problem,
    )


def _moment(at: int | None) -> Moment | None:
    return None if at is None else moment_text(at)


def _head_view(head: Head | None) -> HeadView | None:
    return HeadView(head.checkpoint.size, base64_text(head.checkpoint.root), head.text) if head else None


def qr_text_of(proof: TlogProof) -> str | None:
    """The text of a receipt's QR code; None when it fits in no QR code."""
    text = qr_text(pack(proof))
    return text if len(text) <= QR_SIZE_MAX else None


def _qr_image(text: str) -> bytes:
    """The receipt's QR code. Error correction is the lowest: on a screen the size of the squares matters more."""
    image = io.BytesIO()
    code = segno.make_qr(text, error="l", mode="alphanumeric", boost_error=False)
    code.save(image, kind="svg", border=QR_QUIET_ZONE, dark="#000", light="#fff", omitsize=True, xmldecl=False, nl=False)
    return image.getvalue()
