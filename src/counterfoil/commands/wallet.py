"""A wallet at work: its key, its server, its outbox, and the operator's word checked against the key that was pinned."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterfoil.clock import Clock
from counterfoil.commands import keyfile
from counterfoil.commands.client import Client, ServerRefused
from counterfoil.commands.keyfile import KeyFile, Waiting
from counterfoil.commands.output import WrongUse, plain
from counterfoil.commands.signing import Signer, Terms
from counterfoil.errors import Malformed, Unavailable
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.money import Currency, format_amount, parse_amount
from counterfoil.payments.acknowledgement import Statement, verify
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Acknowledgement, SignedOrder
from counterfoil.web.values import base64_text, parse_base64

TURNED_AWAY = (401, 429)
PAYMENTS, BATCHES, STANDING_ORDERS, REQUESTS = "/v1/payments", "/v1/batches", "/v1/standing-orders", "/v1/requests"


class Wallet:
    """What the commands share. `server` overrides the one in the key file."""

    def __init__(self, path: Path, server: str | None, clock: Clock) -> None:
        self.path = path
        self.key: KeyFile = keyfile.load(path)
        if not self.key.party:
            raise WrongUse(f"the account of {path} is not open yet: run the same `counterfoil wallet create` again")
        self.clock = clock
        self.client = Client(server or self.key.server, self.key, clock)
        self.currency = Currency(code=self.key.currency, digits=self.key.digits, ledger=1)
        self._signer: Signer | None = None

    # Money in words

    def amount(self, text: str, field: str = "amount") -> int:
        """Minor units of what somebody typed. WrongUse when it is no amount, or nothing."""
        try:
            value = parse_amount(text, self.currency, field)
        except Malformed as error:
            raise WrongUse(error.detail) from None
        if value == 0 and field == "amount":
            raise WrongUse("amount: must be above zero")
        return value

    def money(self, amount: int) -> str:
        return f"{format_amount(amount, self.currency)} {self.currency.code}"

    # Signing

    @property
    def account(self) -> int:
        if not self.key.account:
            raise WrongUse("this key belongs to a member of staff, who holds no account")
        return parse_id(self.key.account, "account")

    def signer(self) -> Signer:
        """Signs under the rules that are in force now. Refuses a server that is not the scheme that this wallet was made for."""
        if self._signer is None:
            scheme = self.client.get("/v1/scheme", signed=False)
            if scheme["origin"] != self.key.origin or scheme["operator_key"] != self.key.operator_key:
                raise WrongUse(
                    f"{self.client.server} is not the scheme that this wallet was made for: it says {plain(scheme['origin'])} "
                    f"with key {scheme['operator_key']}, the key file says {self.key.origin} with key {self.key.operator_key}"
                )
            terms = Terms(self.key.origin, self.key.currency, parse_base64(scheme["rules_hash"], "rules_hash"))
            device = parse_id(self.key.device, "device")
            self._signer = Signer(terms=terms, account=self.account, device=device, key=self.key.signing_key)
        return self._signer

    def new_id(self) -> int:
        return new_id(self.clock)

    def now_ms(self) -> int:
        return self.clock.now_ns() // 1_000_000

    # People

    def resolve(self, address: str) -> dict[str, Any]:
        """Whom a number, @handle or merchant code means: account (UUID text), name, kind."""
        return dict(self.client.post("/v1/resolve", {"address": address}))

    # Sending what must happen once

    def order(
        self, kind: OrderKind, other: int, amount: int, *, max_fee: int, reference: int = 0, timeout_s: int = 0, memo: str = ""
    ) -> dict[str, Any]:
        """Signs an order, keeps it, sends it, and checks the operator's word. The receipt, with `verified`."""
        paying = kind not in (OrderKind.CAPTURE, OrderKind.RELEASE)
        with keyfile.outbox(self.path) as box:
            payer_last = box.payer_last if paying else 0
            seen = box.checkpoint_size, parse_base64(box.checkpoint_root, "checkpoint_root")
        order_id = self.new_id()
        signed = self.signer().order(
            kind,
            other,
            amount,
            id=order_id,
            now_ns=self.clock.now_ns(),
            max_fee=max_fee,
            reference=reference,
            timeout_s=timeout_s,
            memo=memo,
            payer_last=payer_last,
            seen=seen,
        )
        what = f"{kind.name.lower()} {self.money(amount)}"
        return self.receipt(self.send_once(order_id, what, PAYMENTS, signed_body(signed)), order=signed.order)

    def send_once(self, id: int, what: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Keeps a request on the disk, then sends it until its outcome is known: however often that is, it happens once."""
        waiting = Waiting(id=id_text(id), what=what, method="POST", path=path, body=json.dumps(body))
        keyfile.keep(self.path, waiting)
        return self.send_waiting(waiting)

    def send_waiting(self, waiting: Waiting, *, resumed: bool = False) -> dict[str, Any]:
        """Sends what is in the outbox, and takes it out once its outcome is known.

        Being turned away at the door (an unknown device, too many requests) says nothing of what an earlier try did: then
        it stays in the outbox. `resumed`: there was one before this process.
        """
        try:
            answer = self.client.call(waiting.method, waiting.path, body=waiting.body.encode(), signed=False)
        except Unavailable as error:
            raise self._not_known(waiting, error.detail) from None
        except ServerRefused as refusal:
            if refusal.status in TURNED_AWAY and (resumed or refusal.after_unknown):
                raise self._not_known(waiting, refusal.detail) from None
            keyfile.settle(self.path, waiting.id)
            raise
        statement = self._statement(answer) if "acknowledgement" in answer else None
        if statement is not None:
            word = answer["acknowledgement"]
            kept = {name: base64.b64encode(parse_base64(word[name], name)).decode() for name in ("statement", "signature")}
            keyfile.keep_word(self.path, waiting.id, kept)
        keyfile.settle(self.path, waiting.id, payer_last=0 if statement is None else statement.completed_at)
        return dict(answer)

    @staticmethod
    def _not_known(waiting: Waiting, why: str) -> Unavailable:
        return Unavailable(
            f"{why.rstrip('.')}. Not known whether it was done; {waiting.what} is kept as {waiting.id}: "
            "`counterfoil wallet pay --resume` asks again, and it cannot happen twice.",
            id=waiting.id,
        )

    # The operator's word

    def receipt(self, receipt: dict[str, Any], *, order: bytes | None = None) -> dict[str, Any]:
        """The receipt with `verified`: whether the operator's key, pinned in the key file, signed what the receipt says.

        With the order's bytes, also whether it is about exactly that order.
        """
        return receipt | {"verified": self._is_operators_word(receipt, order)}

    def _is_operators_word(self, receipt: Mapping[str, Any], order: bytes | None) -> bool:
        statement = self._statement(receipt)
        if statement is None:
            return False
        said = (statement.origin, base64_text(statement.order_hash), id_text(statement.account), statement.amount, statement.fee)
        expected = (self.key.origin, receipt["order_hash"], receipt["account"], receipt["amount"], receipt["fee"])
        if said != expected or statement.balance != receipt["balance"] or receipt["account"] != self.key.account:
            return False
        return order is None or statement.order_hash == hashlib.sha256(order).digest()

    def _statement(self, receipt: Mapping[str, Any]) -> Statement | None:
        """What the acknowledgement says, or None when the pinned key did not sign it."""
        word = receipt["acknowledgement"]
        try:
            statement, signature = parse_base64(word["statement"], "statement"), parse_base64(word["signature"], "signature")
            return verify(Acknowledgement(statement, signature, self.key.pinned_key), key=self.key.pinned_key)
        except Malformed:
            return None


def signed_body(signed: SignedOrder) -> dict[str, Any]:
    """A signed order or form as the API takes it."""
    return {"order": base64_text(signed.order), "device": id_text(signed.device), "signature": base64_text(signed.signature)}
