"""One step of a soak: an open loop of orders, whose client keeps a book of its own.

python -m bench.soak_load PORT PEOPLE_FILE SEED COUNT CONNECTIONS RATE

Makes everything beforehand, says "ready", and begins when a line arrives, so that the next step can be made while this one
runs. The book is what the client meant and was told: an order that was acknowledged has moved its amount and the fee that its
receipt names, once, however often it was sent. Prints one line of JSON.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.payments_load import Caller, Load, requests
from counterfoil.ids import id_text
from counterfoil.payments.orders import Order, decode

PAID, REFUSED = b"200", b"422"
NICENESS = 10
"""While it makes the orders, and reads the answers: the step under way comes first."""


class Told(msgspec.Struct):
    """What the book needs of a receipt."""

    id: str
    state: str
    amount: int
    fee: int
    fee_paid_by: str


class Sent(msgspec.Struct):
    """What the book needs of a request."""

    order: str


class Book:
    """Who has paid whom, as the client knows it."""

    def __init__(self) -> None:
        self.moved: Counter[int] = Counter()
        self.fees = 0
        self.outcomes: dict[int, bytes] = {}
        self.repeats = 0
        self.faults: list[str] = []
        self._sent = msgspec.json.Decoder(Sent)
        self._told = msgspec.json.Decoder(Told)

    def note(self, request: bytes, status: bytes, answer: bytes) -> None:
        """An order was answered."""
        if status not in (PAID, REFUSED):
            self.faults.append(f"{status.decode()}: {answer[:200]!r}")
            return
        order = self._order(request)
        if (earlier := self.outcomes.get(order.id)) is not None:
            self.repeats += 1
            if earlier != status:
                self.faults.append(f"order {id_text(order.id)}: first {earlier.decode()}, then {status.decode()}")
            return
        self.outcomes[order.id] = status
        if status == PAID:
            self._paid(order, self._told.decode(answer))

    def _paid(self, order: Order, told: Told) -> None:
        if (told.id, told.state, told.amount) != (id_text(order.id), "completed", order.amount):
            self.faults.append(f"order {id_text(order.id)}: told {told}")
        by_payer = told.fee_paid_by == "payer"
        self.moved[order.payer] -= order.amount + (told.fee if by_payer else 0)
        self.moved[order.payee] += order.amount - (0 if by_payer else told.fee)
        self.fees += told.fee

    def _order(self, request: bytes) -> Order:
        text = self._sent.decode(request[request.index(b"\r\n\r\n") + 4 :]).order
        return decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class BookedLoad(Load):
    """A load whose answers are kept, to be read when the clock does not run any more."""

    def __init__(self, made: list[bytes], callers: list[Caller]) -> None:
        super().__init__(made, callers)
        self.answers: list[tuple[bytes, bytes, bytes]] = []

    def _answered(self, timeout: float) -> Iterator[Caller]:
        for caller in super()._answered(timeout):
            self.answers.append((caller.request, self.newest, caller.answer))
            yield caller


def main(port: int, known: dict[str, Any], seed: int, count: int, connections: int, rate: float) -> None:
    os.nice(NICENESS)
    made = requests(known, count, seed)
    print("ready", flush=True)
    sys.stdin.readline()
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    load = BookedLoad(made, [Caller(port) for _ in range(connections)])
    gc.disable()
    began = time.perf_counter()
    load.open(rate, seed)
    elapsed = time.perf_counter() - began
    latencies = sorted(load.latencies)
    print(
        json.dumps(
            {
                "rate": count / elapsed,
                "p50_ms": latencies[count // 2] * 1_000,
                "p99_ms": latencies[count * 99 // 100] * 1_000,
                "max_ms": latencies[-1] * 1_000,
                "statuses": {status.decode(): number for status, number in load.statuses.items()},
            }
        ),
        flush=True,
    )
    os.nice(NICENESS)
    book = Book()
    for request, status, answer in load.answers:
        book.note(request, status, answer)
    print(
        json.dumps(
            {
                "paid": sum(status == PAID for status in book.outcomes.values()),
                "repeats": book.repeats,
                "fees": book.fees,
                "moved": {f"{account:x}": amount for account, amount in book.moved.items()},
                "faults": book.faults[:20],
                "faults_count": len(book.faults),
            }
        )
    )


if __name__ == "__main__":
    _, port_, people_, seed_, count_, connections_, rate_ = sys.argv
    main(int(port_), json.loads(Path(people_).read_text("utf-8")), int(seed_), int(count_), int(connections_), float(rate_))
