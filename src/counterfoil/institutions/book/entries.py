"""Pure: what a reconciled account becomes in the ledger. Same file, same entries, whenever and wherever it is run.

A customer's account at the institution is a liability, so money paid in credits it. The other side of each line is one
of four counter accounts of the book. A difference of the old system's rounding is a second transfer, against the book's
rounding account; where it is in the customer's favour it goes first, so that an account whose stated balances never go
below zero does not do so between the two either.

Ids: an account's is a hash of (book, old account number). A transfer's has the event time in its upper 48 bits and a
hash of (book, old account number, old transaction number) in the others. The transfer's id is the payment id of both legs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from counterfoil.ids import ID_MAX, leg_id
from counterfoil.institutions.book.reconcile import roundings
from counterfoil.institutions.book.types import Counter, Line
from counterfoil.ledger.chart import AccountCode, TransferCode
from counterfoil.ledger.types import Account, AccountFlags, Transfer, TransferFlags
from counterfoil.money import Currency

CHAIN_SIZE_MAX = 8_000
"""Transfers of one account that are booked together or not at all; the ledger takes 8,189."""

COUNTER_CODES = {
    Counter.CASH: AccountCode.IMPORT_CASH,
    Counter.BANKS: AccountCode.IMPORT_BANKS,
    Counter.INTEREST: AccountCode.IMPORT_INTEREST,
    Counter.OTHER: AccountCode.IMPORT_OTHER,
}

AUTHORISED_BY_SYSTEM = 5
"""`user_data_32`: nobody signed these, the old system had."""


def account_id(book: str, account: str) -> int:
    """The ledger's id of an old account number."""
    return _hash_id("account", book, account)


def book_id(book: str) -> int:
    """What all accounts of a book carry in `user_data_128`."""
    return _hash_id("book", book)


def counter_accounts(book: str, currency: Currency) -> list[Account]:
    """The book's own accounts: cash, banks, interest, other, rounding. None has a limit: they say where money came from.

    Only the rounding account keeps its history: it is small, and somebody will ask how it came about.
    """
    flags = {**dict.fromkeys(COUNTER_CODES.values(), 0), AccountCode.ROUNDING: int(AccountFlags.HISTORY)}
    return [
        Account(id=_counter_id(book, code), ledger=currency.ledger, code=code, flags=flag, user_data_128=book_id(book))
        for code, flag in flags.items()
    ]


def book_account(book: str, currency: Currency, account: str, *, overdrawn: bool) -> Account:
    """The account of an old account number; it may be overdrawn only if the old system stated a balance below zero."""
    flags = AccountFlags.HISTORY if overdrawn else AccountFlags.HISTORY | AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
    return Account(
        id=account_id(book, account),
        ledger=currency.ledger,
        code=AccountCode.IMPORT_BOOK,
        flags=flags,
        user_data_128=book_id(book),
    )


def book_transfers(book: str, currency: Currency, account: str, ordered: Sequence[Line]) -> list[Transfer]:
    """All transfers of an account, in the order found. After each line the account stands at the balance that it states."""
    own = account_id(book, account)
    counters = {counter: _counter_id(book, code) for counter, code in COUNTER_CODES.items()}
    rounding_account = _counter_id(book, AccountCode.ROUNDING)
    transfers = []
    for line, rounding in roundings(ordered):
        payment = transfer_id(line)
        entry = _transfer(payment, payment, own, counters[Counter(line.counter)], line.amount, line, currency, TransferCode.IMPORT)
        if rounding == 0:
            transfers.append(entry)
            continue
        correction = _transfer(leg_id(payment, 1), payment, own, rounding_account, rounding, line, currency, TransferCode.IMPORT_ROUNDING)
        transfers += (correction, entry) if rounding > 0 else (entry, correction)
    assert len({transfer.id for transfer in transfers}) == len(transfers), account
    return transfers


def transfer_id(line: Line) -> int:
    """48 bits of milliseconds since 1970, then the line's key."""
    return (line.moment * 1000 & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(line.key)


def chains(transfers: Sequence[Transfer]) -> Iterator[list[Transfer]]:
    """Linked chains of at most CHAIN_SIZE_MAX transfers, in order: each is booked whole or not at all."""
    for start in range(0, len(transfers), CHAIN_SIZE_MAX):
        chain = transfers[start : start + CHAIN_SIZE_MAX]
        yield [*(msgspec.structs.replace(transfer, flags=TransferFlags.LINKED) for transfer in chain[:-1]), chain[-1]]


def _transfer(id: int, payment: int, own: int, other: int, signed: int, line: Line, currency: Currency, code: TransferCode) -> Transfer:
    return Transfer(
        id=id,
        debit_account_id=other if signed >= 0 else own,
        credit_account_id=own if signed >= 0 else other,
        amount=abs(signed),
        user_data_128=payment,
        user_data_64=line.event_time,
        user_data_32=AUTHORISED_BY_SYSTEM,
        ledger=currency.ledger,
        code=code,
    )


def _counter_id(book: str, code: AccountCode) -> int:
    return _hash_id("counter", book, code.name)


def _hash_id(kind: str, *names: str) -> int:
    digest = hashlib.sha256(f"counterfoil/book/{kind}/v1".encode())
    for name in names:
        data = name.encode()
        digest.update(len(data).to_bytes(4) + data)
    value = int.from_bytes(digest.digest()[:16])
    assert 0 < value <= ID_MAX, names
    return value
