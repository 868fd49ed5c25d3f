"""Wallet commands about the public log: fetch the receipt of a payment, and complain when there is none in time.

The receipt is checked here, too, against the key that the wallet has pinned; whoever wants to trust neither the operator
nor this program gives the file to `counterfoil-verify`.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

from counterfoil.commands import keyfile
from counterfoil.commands.output import DONE, UNAVAILABLE, Answer, Failure, WrongUse, pairs
from counterfoil.commands.pay import checked_id
from counterfoil.commands.wallet import Wallet
from counterfoil.errors import Malformed
from counterfoil.ids import id_text
from counterfoil.moments import moment_text
from counterfoil.payments.acknowledgement import Statement, verify
from counterfoil.payments.types import Acknowledgement
from counterfoil.payments.views import HolderView
from counterfoil.tlog.checkpoint import Checkpoint, open_checkpoint
from counterfoil.tlog.cosignature import time_of
from counterfoil.tlog.entry import Opening
from counterfoil.tlog.keys import ED25519, VerifierKey
from counterfoil.tlog.merkle import verify_consistency, verify_inclusion
from counterfoil.tlog.note import Note
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.proof import TlogProof
from counterfoil.tlog.tiles import TileReader
from counterfoil.tlog.types import NotProven
from counterfoil.web.values import parse_base64

WAIT_S = 60
PAUSE_S = 1.0
COMPLAINT = "counterfoil/complaint/v1"


def proof(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Fetches the receipt of a payment once the log has it and enough witnesses have cosigned, checks it, and keeps it as a file."""
    payment = _payment(wallet, arguments.id)
    found = _await(wallet, payment, arguments.wait)
    if found["proof"] is None:
        words = "not in the log yet" if found["state"] == "waiting" else "in the log, and not enough witnesses have cosigned that far"
        return Answer(found, [f"No receipt so far: the payment is {words}. Ask again in a few seconds."], UNAVAILABLE)
    receipt = TlogProof.decode(found["proof"].encode())
    view, checkpoint, cosigned = _check(wallet, payment, receipt, _policy(arguments.policy))
    path = arguments.out or Path(f"{payment.replace('-', '')}.tlog-proof")
    path.write_bytes(receipt.encode())
    rows = [
        ("Receipt", str(path)),
        ("Payment", payment),
        ("Amount", f"{wallet.money(view.amount)} {'received' if view.incoming else 'paid'}"),
        ("Fee", wallet.money(abs(view.fee)) if view.fee else "none"),
        ("Balance after", wallet.money(view.balance)),
        ("Your entry", f"number {view.seq} of your account, {receipt.index} of the log"),
        ("Log", f"{checkpoint.size} entries, cosigned by {cosigned}"),
    ]
    lines = [*pairs(rows), "", f"Check it without us: counterfoil-verify receipt {path} --policy POLICY"]
    data = found | {"file": str(path), "amount": view.amount, "fee": view.fee, "balance": view.balance, "seq": view.seq}
    return Answer(data, lines, DONE)


def complain(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Turns an acknowledgement that the log never showed into a complaint that anybody can verify."""
    payment = checked_id(arguments.id)
    word = keyfile.load_word(wallet.path, payment)
    statement = _statement(wallet, word)
    checkpoint = wallet.client.text("/log/witnessed")
    note = Note.parse(checkpoint)
    _open(wallet, checkpoint)
    deadline = statement.completed_at + statement.delay_max_s * 1_000_000_000
    times = [time for each in note.signatures if (time := time_of(each)) is not None]
    if not times or min(times) * 1_000_000_000 <= deadline:
        raise Failure(
            f"the witnesses' clocks have not passed {moment_text(deadline)[:19]}Z yet: until then the operator is in time",
            code="too_early",
            retry="later",
        )
    complaint = {"acknowledgement": word, "checkpoint": checkpoint.decode(), "format": COMPLAINT}
    path = arguments.out or Path(f"{payment.replace('-', '')}.complaint")
    path.write_text(json.dumps(complaint, indent=1, sort_keys=True) + "\n", "utf-8")
    lines = [
        f"Written to {path}. It says: the operator signed that this payment was carried out, its time to log it is over,",
        "and only a receipt of the same payment answers it. Anybody can check that:",
        f"  counterfoil-verify complaint {path} --policy POLICY",
    ]
    return Answer(complaint | {"file": str(path)}, lines)


def _policy(path: Path | None) -> Policy | None:
    if path is None:
        return None
    try:
        return Policy.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, Malformed) as error:
        raise WrongUse(f"{path} is not a policy: {error}") from None


def _payment(wallet: Wallet, given: str | None) -> str:
    """The payment asked for; without one, the newest of the account."""
    if given is not None:
        return checked_id(given)
    for entry in wallet.client.get("/v1/history", limit=20)["entries"]:
        if entry["payment"]:
            return str(entry["payment"])
    raise WrongUse("the account has no payment yet: name one")


def _await(wallet: Wallet, payment: str, wait_s: int) -> dict[str, Any]:
    deadline = wallet.clock.monotonic_ns() + wait_s * 1_000_000_000
    while True:
        found: dict[str, Any] = wallet.client.get(f"/v1/payments/{payment}/proof")
        if found["proof"] is not None or wallet.clock.monotonic_ns() >= deadline:
            return found
        wallet.client.pause(PAUSE_S)


def _check(wallet: Wallet, payment: str, receipt: TlogProof, policy: Policy | None) -> tuple[HolderView, Checkpoint, str]:
    """What the receipt proves. Failure, in words, when it proves nothing: then it is kept nowhere."""
    try:
        view, checkpoint = _opened(wallet, payment, receipt)
        if policy is not None:
            policy.satisfied(Note.parse(receipt.checkpoint))
        _remember(wallet, checkpoint)
    except (Malformed, NotProven) as error:
        words = f"this receipt proves nothing: {error}. Keep what you have, and show it to others"
        raise Failure(words, code="not_proven", retry="never") from None
    names = [each.name for each in Note.parse(receipt.checkpoint).signatures if time_of(each) is not None]
    return view, checkpoint, ", ".join(names) or "nobody"


def _opened(wallet: Wallet, payment: str, receipt: TlogProof) -> tuple[HolderView, Checkpoint]:
    if receipt.extra is None:
        raise NotProven("it opens nothing")
    opening = Opening.decode(receipt.extra)
    checkpoint = _open(wallet, receipt.checkpoint)
    verify_inclusion(index=receipt.index, size=checkpoint.size, leaf_hash=opening.leaf_hash(), proof=receipt.hashes, root=checkpoint.root)
    view = HolderView.decode(opening.payload)
    if (id_text(view.payment), view.account) != (payment, wallet.account):
        raise NotProven("it is the receipt of something else")
    if keyfile.has_word(wallet.path, payment):
        said = _statement(wallet, keyfile.load_word(wallet.path, payment))
        if (said.order_hash, said.balance, said.completed_at) != (view.order_hash, view.balance, view.time):
            raise NotProven("the operator's acknowledgement, which this wallet has kept, says something else")
    return view, checkpoint


def _open(wallet: Wallet, checkpoint: bytes) -> Checkpoint:
    """The head, if the operator's pinned key signed it."""
    key = VerifierKey.of(wallet.key.origin, wallet.key.pinned_key, ED25519)
    opened, _ = open_checkpoint(checkpoint, key)
    return opened


def _remember(wallet: Wallet, new: Checkpoint) -> None:
    """Keeps the head that was seen, once the log is shown to have grown from the one seen before. The next order names it."""
    with keyfile.outbox(wallet.path) as box:
        seen = Checkpoint(new.origin, box.checkpoint_size, parse_base64(box.checkpoint_root, "checkpoint_root"))
        old, young = sorted((seen, new), key=lambda head: head.size)
        if old.size:
            newest = _open(wallet, wallet.client.text("/log/checkpoint"))
            reader = TileReader(lambda path: wallet.client.text(f"/log/{path}"))
            hashes = reader.consistency_proof(old.size, young.size, within=max(newest.size, young.size))
            verify_consistency(old_size=old.size, new_size=young.size, proof=hashes, old_root=old.root, new_root=young.root)
        if new.size > seen.size:
            box.see(new.size, new.root)


def _statement(wallet: Wallet, word: dict[str, str]) -> Statement:
    try:
        acknowledgement = Acknowledgement(
            base64.b64decode(word["statement"], validate=True), base64.b64decode(word["signature"], validate=True), wallet.key.pinned_key
        )
        return verify(acknowledgement, key=wallet.key.pinned_key)
    except (KeyError, ValueError, Malformed):
        raise WrongUse("what was kept of this payment is not signed by the operator") from None
