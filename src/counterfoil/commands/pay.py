"""Wallet commands that move money: quote, pay, hold, capture, release, refund, accept, cash-out, and --resume."""

from __future__ import annotations

import argparse
from typing import Any

from counterfoil.commands import keyfile
from counterfoil.commands.client import ServerRefused
from counterfoil.commands.output import DONE, REFUSED, UNAVAILABLE, Answer, WrongUse, pairs, plain
from counterfoil.commands.wallet import PAYMENTS, Wallet
from counterfoil.errors import Malformed, Unavailable
from counterfoil.ids import parse_id
from counterfoil.payments.orders import MEMO_SIZE_MAX, OrderKind

CASH_OUT_TIMEOUT_S = 1_800
HOLD_MINUTES_MAX = 31 * 24 * 60
_DONE = {
    "pay": "Paid",
    "hold": "Set aside",
    "capture": "Taken",
    "release": "Given back",
    "refund": "Given back",
}


def quote(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """What a payment would cost."""
    payee, amount = wallet.resolve(arguments.payee), wallet.amount(arguments.amount)
    found = wallet.client.get("/v1/quote", payee=payee["account"], amount=amount)
    who = "you pay" if found["fee_paid_by"] == "payer" else "the payee pays"
    lines = pairs(
        [
            ("To", plain(found["payee_name"])),
            ("Amount", wallet.money(amount)),
            ("Fee", f"{wallet.money(found['fee'])} ({who} it)" if found["fee"] else "none"),
            ("You pay", wallet.money(found["total"])),
            ("They get", wallet.money(found["received"])),
        ]
    )
    return Answer(found, lines)


def pay(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Pays somebody, answers a request, or sends again what has no answer yet."""
    if arguments.resume:
        return resume(wallet)
    if arguments.request:
        return accept(wallet, _with(arguments, id=arguments.request))
    if arguments.payee is None or arguments.amount is None:
        raise WrongUse("say whom to pay and how much, or --request ID, or --resume")
    payee, amount = wallet.resolve(arguments.payee), wallet.amount(arguments.amount)
    return _move(wallet, OrderKind.PAY, payee["account"], amount, arguments)


def resume(wallet: Wallet) -> Answer:
    """Sends again whatever has no answer yet, each with the id that it has. Exit code 3 while one has none."""
    with keyfile.outbox(wallet.path) as box:
        waiting = list(box.waiting)
    outcomes: list[dict[str, Any]] = []
    lines: list[str] = []
    exit_code = DONE
    for request in waiting:
        outcome: dict[str, Any] = {"id": request.id, "what": request.what}
        try:
            answer = wallet.send_waiting(request, resumed=True)
        except ServerRefused as refusal:
            outcome |= {"outcome": refusal.code, "detail": refusal.detail}
            lines.append(f"{request.what}: refused. {plain(refusal.detail)}")
            exit_code = max(exit_code, REFUSED)
        except Unavailable as error:
            outcome |= {"outcome": "unknown", "detail": error.detail}
            lines.append(f"{request.what}: {plain(error.detail)}")
            exit_code = UNAVAILABLE
        else:
            verified = wallet.receipt(answer)["verified"] if request.path == PAYMENTS else None
            outcome |= {"outcome": "done", "verified": verified}
            word = {True: ", receipt signed by the operator", False: ", receipt NOT signed by the operator's key", None: ""}[verified]
            lines.append(f"{request.what}: done{word}")
            exit_code = max(exit_code, REFUSED if verified is False else DONE)
        outcomes.append(outcome)
    return Answer({"resumed": outcomes}, lines or ["Nothing waits for an answer."], exit_code)


def accept(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Pays a request. An agent who accepts a cash-in has taken the cash."""
    request = wallet.client.get(f"/v1/requests/{checked_id(arguments.id)}")
    if request["amount"] is None and arguments.amount is None:
        raise WrongUse("the request leaves the amount to you: say it with --amount")
    amount = request["amount"] if arguments.amount is None else wallet.amount(arguments.amount)
    memo = arguments.memo or request["memo"]
    return _move(wallet, OrderKind.PAY, request["payee"], amount, _with(arguments, memo=memo), reference=request["id"])


def hold(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Sets money aside for a merchant."""
    if not 0 < arguments.minutes <= HOLD_MINUTES_MAX:
        raise WrongUse(f"--minutes: must be 1 to {HOLD_MINUTES_MAX}")
    payee, amount = wallet.resolve(arguments.payee), wallet.amount(arguments.amount)
    return _move(wallet, OrderKind.HOLD, payee["account"], amount, arguments, timeout_s=arguments.minutes * 60)


def cash_out(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Sets money aside for an agent, who captures it when handing over the cash."""
    agent, amount = wallet.resolve(arguments.agent), wallet.amount(arguments.amount)
    if agent["kind"] != "agent":
        raise WrongUse(f"{plain(agent['name'])} is not an agent")
    answer = _move(wallet, OrderKind.HOLD, agent["account"], amount, arguments, timeout_s=CASH_OUT_TIMEOUT_S)
    return Answer(
        answer.data, [*answer.lines, f"The agent takes it with: counterfoil wallet capture {answer.data['id']}"], answer.exit_code
    )


def capture(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Takes what was set aside."""
    held = wallet.client.get(f"{PAYMENTS}/{checked_id(arguments.id)}")
    amount = held["amount"] if arguments.amount is None else wallet.amount(arguments.amount)
    return _move(wallet, OrderKind.CAPTURE, held["payer"], amount, arguments, reference=held["id"])


def release(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Gives the whole hold back."""
    held = wallet.client.get(f"{PAYMENTS}/{checked_id(arguments.id)}")
    return _move(wallet, OrderKind.RELEASE, held["payer"], held["amount"], _with(arguments, max_fee="0"), reference=held["id"])


def refund(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Gives a payment back."""
    paid = wallet.client.get(f"{PAYMENTS}/{checked_id(arguments.id)}")
    amount = paid["amount"] if arguments.amount is None else wallet.amount(arguments.amount)
    return _move(wallet, OrderKind.REFUND, paid["payer"], amount, arguments, reference=paid["id"])


def show_receipt(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """What became of a payment."""
    return _told(wallet, wallet.receipt(wallet.client.get(f"{PAYMENTS}/{checked_id(arguments.id)}")))


def _move(
    wallet: Wallet, kind: OrderKind, other: str, amount: int, arguments: argparse.Namespace, *, reference: str = "", timeout_s: int = 0
) -> Answer:
    """Quotes, signs, sends, and tells what came of it. Without --max-fee the signer agrees to the fee that is quoted now."""
    if len(arguments.memo.encode()) > MEMO_SIZE_MAX:
        raise WrongUse(f"--memo: must be at most {MEMO_SIZE_MAX} bytes")
    if arguments.max_fee is not None:
        max_fee = wallet.amount(arguments.max_fee, "--max-fee")
    else:
        quoted = wallet.client.get("/v1/quote", payee=other, amount=amount, kind=kind.name.lower(), reference=reference or None)
        max_fee = quoted["fee"]
    receipt = wallet.order(
        kind,
        parse_id(other, "account"),
        amount,
        max_fee=max_fee,
        reference=parse_id(reference, "reference") if reference else 0,
        timeout_s=timeout_s,
        memo=arguments.memo,
    )
    return _told(wallet, receipt)


def _told(wallet: Wallet, receipt: dict[str, Any]) -> Answer:
    """A receipt for a person. One that the operator has not signed is no receipt: exit code 1."""
    lines = pairs(
        [
            (_DONE.get(receipt["kind"], receipt["kind"]), wallet.money(receipt["amount"])),
            ("Fee", f"{wallet.money(receipt['fee'])} (paid by the {receipt['fee_paid_by']})" if receipt["fee"] else "none"),
            ("State", receipt["state"]),
            *([("Memo", plain(receipt["memo"]))] if receipt["memo"] else []),
            ("Balance", _balance(wallet, receipt)),
            ("Time", receipt["completed_at"]),
            ("Payment", receipt["id"]),
            ("Receipt", "signed by the operator" if receipt["verified"] else "NOT signed by the operator's key: keep it, and complain"),
        ]
    )
    return Answer(receipt, lines, DONE if receipt["verified"] else REFUSED)


def _balance(wallet: Wallet, receipt: dict[str, Any]) -> str:
    balance, available = receipt["balance"], receipt["available"]
    return wallet.money(balance) + (f", of which {wallet.money(balance - available)} set aside" if available != balance else "")


def checked_id(text: str) -> str:
    """`text` when it is an id; else WrongUse."""
    try:
        parse_id(text, "id")
    except Malformed as error:
        raise WrongUse(error.detail) from None
    return text


def _with(arguments: argparse.Namespace, **values: object) -> argparse.Namespace:
    return argparse.Namespace(**(vars(arguments) | values))
