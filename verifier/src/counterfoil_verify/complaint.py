"""Complaints: the operator acknowledged a payment and did not log it in time. Anyone can decide on one."""

from __future__ import annotations

import json
import struct
from typing import Any

from counterfoil_verify.note import ed25519, from_base64
from counterfoil_verify.payloads import sized
from counterfoil_verify.policy import Policy
from counterfoil_verify.receipt import open_receipt
from counterfoil_verify.report import Refuted, Report, when

STATEMENT = struct.Struct(">32s16sQQQQI")


def check_complaint(data: bytes, policy: Policy, answer: bytes | None = None) -> Report:
    """Proven: the complaint stands. Refuted: it is false, or `answer` (a receipt) answers it."""
    report = Report()
    try:
        _check(json.loads(data), policy, answer, report)
    except Refuted as problem:
        report.refuted.append(f"the complaint does not stand: {problem}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        report.refuted.append("the complaint does not stand: it is not in the form counterfoil/complaint/v1")
    return report


def _check(content: Any, policy: Policy, answer: bytes | None, report: Report) -> None:
    if content["format"] != "counterfoil/complaint/v1":
        raise Refuted("it is not a complaint")
    statement = from_base64(content["acknowledgement"]["statement"], "the statement")
    signature = from_base64(content["acknowledgement"]["signature"], "the signature")
    head = policy.head(content["checkpoint"].encode())
    begins = b"counterfoil/ack/v1" + sized(head.origin.encode())
    if not statement.startswith(begins) or len(statement) != len(begins) + STATEMENT.size:
        raise Refuted("the acknowledgement is of another scheme, or not in the form counterfoil/ack/v1")
    if not ed25519(head.log.public, statement, signature):
        raise Refuted("the acknowledgement is not signed by the operator")
    order_hash, account, amount, fee, balance, completed_at, delay_s = STATEMENT.unpack_from(statement, len(begins))
    deadline = completed_at + delay_s * 10**9
    late = {name for name, time in head.times.items() if time * 10**9 > deadline}
    if not late or not policy.satisfied(late):
        raise Refuted(f"the time was not over: no quorum signed this head after {when(deadline / 1e9)}")
    report.fields = {"origin": head.origin, "order_hash": order_hash.hex(), "account": account.hex(), "amount": amount, "fee": fee}
    report.fields |= {"balance": balance, "completed_at": completed_at, "deadline": when(deadline / 1e9), "log_size": head.size}
    if answer is not None:
        why = _unanswered(answer, policy, head.size, (order_hash, account, balance, completed_at))
        if why is None:
            raise Refuted("it was answered: the payment is in the log, before the size that the complaint names")
        report.noticed.append(f"what was given as an answer is none: {why}")
    report.proved.append(
        f"the operator acknowledged this payment and had {delay_s} s to log it; {len(late)} witnesses say the time is over"
    )


def _unanswered(answer: bytes, policy: Policy, size: int, wanted: tuple[bytes, bytes, int, int]) -> str | None:
    """Why a receipt answers nothing, or None when it does."""
    try:
        receipt = open_receipt(answer, policy)
        view = receipt.view
    except Refuted as problem:
        return str(problem)
    if view is None or (view.order_hash, view.account, view.balance, view.time) != wanted:
        return "it is about another payment, account, balance or time"
    return None if receipt.index < size else "it stands after the size that the complaint names"
