"""Random histories of payments: every account's chain against a recomputation that shares nothing with the publisher."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.payments.fees import PaidBy
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Payment
from tests.payments.books import ALICE, BANK, BOB, FEES, ISSUANCE, SHOP, Books, ShiftedClock, books_in
from tests.payments.publish.logbook import Logbook

HOLDERS = (ALICE, BOB, SHOP, BANK)


class Seen(NamedTuple):
    """What a holder should be shown of one movement."""

    event: int
    kind: int
    incoming: bool
    counterparty: int
    payment: int
    amount: int
    fee: int
    balance: int
    held: int


class Model:
    """Balances by hand: one dictionary, and a list of what everybody saw."""

    def __init__(self) -> None:
        self.balance = dict.fromkeys((*HOLDERS, ISSUANCE, FEES), 0)
        self.held = dict.fromkeys(self.balance, 0)
        self.seen: dict[int, list[Seen]] = {account: [] for account in self.balance}

    def show(self, event: int, payment: Payment, amount: int, fee: int, payer: int, payee: int, id: int = 0) -> None:
        """`fee`: what it costs the payer if positive, the payee if negative."""
        for own, other, incoming, cost in ((payer, payee, False, max(fee, 0)), (payee, payer, True, max(-fee, 0))):
            self.seen[own].append(
                Seen(event, payment.kind, incoming, other, id or payment.id, amount, -cost, self.balance[own], self.held[own])
            )

    def move(self, payer: int, payee: int, amount: int) -> None:
        self.balance[payer] -= amount
        self.balance[payee] += amount


class Move(NamedTuple):
    """One step of a history; numbers are taken modulo what there is."""

    what: str
    payer: int
    payee: int
    amount: int
    fee: int
    by_payee: bool


MOVES = st.builds(
    Move,
    what=st.sampled_from(["pay", "pay", "hold", "capture", "release", "expire", "refund", "issue", "publish"]),
    payer=st.integers(0, 3),
    payee=st.integers(1, 3),
    amount=st.integers(1, 5_000),
    fee=st.sampled_from([0, 0, 7, 40]),
    by_payee=st.booleans(),
)


async def play(books: Books, book: Logbook, model: Model, moves: list[Move]) -> None:
    holds: list[Payment] = []
    for move in moves:
        payer, payee = HOLDERS[move.payer], HOLDERS[(move.payer + move.payee) % 4]
        free = model.balance[payer] - model.held[payer]
        if move.what == "publish":
            book.publish()
        elif move.what == "issue":
            paid = await books.pay(ISSUANCE, BANK, move.amount, kind=OrderKind.ISSUE)
            model.move(ISSUANCE, BANK, move.amount)
            model.show(0, paid, move.amount, 0, ISSUANCE, BANK)
        elif move.what in ("pay", "refund") and free >= move.amount + move.fee and (not move.by_payee or move.fee <= move.amount):
            kind = OrderKind.PAY if move.what == "pay" else OrderKind.REFUND
            fee = move.fee if kind is OrderKind.PAY else 0
            by = PaidBy.PAYEE if move.by_payee else PaidBy.PAYER
            paid = await books.pay(payer, payee, move.amount, kind=kind, fee=fee, paid_by=by)
            model.move(payer, payee, move.amount)
            model.move(payee if move.by_payee else payer, FEES, fee)
            model.show(0, paid, move.amount, -fee if move.by_payee else fee, payer, payee)
        elif move.what == "hold" and free >= move.amount + move.fee:
            hold = await books.pay(payer, payee, move.amount, kind=OrderKind.HOLD, fee=move.fee, timeout_s=1_000)
            holds.append(hold)
            model.held[payer] += move.amount + move.fee
            model.show(1, hold, move.amount, move.fee, payer, payee)
        elif move.what == "capture" and holds:
            hold = holds.pop(move.amount % len(holds))
            amount = 1 + move.amount % hold.amount
            fee = hold.fee // 2
            taken = await books.pay(hold.payer, hold.payee, amount, kind=OrderKind.CAPTURE, fee=fee, earlier=hold)
            model.held[hold.payer] -= hold.amount + hold.fee
            model.move(hold.payer, hold.payee, amount)
            model.move(hold.payer, FEES, fee)
            model.show(2, taken, amount, fee, hold.payer, hold.payee)
        elif move.what == "release" and holds:
            hold = holds.pop(move.amount % len(holds))
            given_back = await books.pay(hold.payer, hold.payee, hold.amount, kind=OrderKind.RELEASE, earlier=hold)
            model.held[hold.payer] -= hold.amount + hold.fee
            model.show(3, given_back, hold.amount, 0, hold.payer, hold.payee)
        elif move.what == "expire" and holds:
            books.clock.forward(1_001)
            books.engine.expire_pending_transfers(books.clock.now_ns())
            for hold in holds:
                model.held[hold.payer] -= hold.amount
                model.show(4, hold, hold.amount, 0, hold.payer, hold.payee)
                if hold.fee:
                    model.held[hold.payer] -= hold.fee
                    model.show(4, hold, hold.fee, 0, hold.payer, FEES)
            holds.clear()


@settings(max_examples=25)
@given(st.lists(MOVES, min_size=1, max_size=40), st.sampled_from([33, 2_048]))
async def test_every_account_is_shown_what_happened_to_it_and_nothing_else(moves: list[Move], page_size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = SqliteEngine.open(folder / "ledger.sqlite")
        clock = ShiftedClock()
        async with books_in(folder, engine, clock=clock, follow=False) as books:
            model = Model()
            model.move(ISSUANCE, BANK, 1_000_000)
            model.move(BANK, ALICE, 500_000)
            with Logbook(folder, page_size=page_size) as book:
                await play(books, book, model, moves)
                book.publish()
                shown = book.check_laws()
                for account in model.balance:
                    views = [
                        Seen(
                            view.event, view.kind, view.incoming, view.counterparty, view.payment, view.amount, view.fee, view.balance,
                            view.held,
                        )
                        for view in shown.get(account, [])
                    ]  # fmt: skip
                    if account == ISSUANCE:
                        views = views[1:]
                    elif account == BANK:
                        views = views[2:]
                    elif account == ALICE:
                        views = views[1:]
                    assert views == model.seen[account], account
                assert book.rebuild().difference is None
            live = Logbook(folder, ledger=engine, page_size=page_size)  # beside the server, in its own process
            assert live.rebuild().difference is None
            live.close()
        engine.close()
