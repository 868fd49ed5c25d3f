"""The accounts of a TigerBeetle ledger as they stand, in the memory of the one process that writes there.

A payment asks for codes and balances several times, and a request to the servers takes a millisecond and waits for the batch
that is under way. Plain transfers and reservations move the balances here by the same sums as there; whatever else changes
an account is read anew. Numbers lie in flat arrays: about 250 bytes an account, most of them its id's place in a dictionary.

A batch becomes visible at once: the balances that it changed are laid over the array in one step, and written into it later,
while the servers work on the next one. So is everything else that can be worked out before a batch is answered (`ahead`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from counterfoil.ledger.types import U64_MAX, Account, AccountFlags, Transfer, TransferFlags

Sums = dict[int, int]
"""Balances in minor units, by place: four for each account, debits pending and posted, credits pending and posted."""

_PENDING: Final = int(TransferFlags.PENDING)
_UNPLAIN: Final = int(
    TransferFlags.POST_PENDING_TRANSFER
    | TransferFlags.VOID_PENDING_TRANSFER
    | TransferFlags.BALANCING_DEBIT
    | TransferFlags.BALANCING_CREDIT
    | TransferFlags.CLOSING_DEBIT
    | TransferFlags.CLOSING_CREDIT
)
"""These take amounts from other transfers or from balances, or change flags: their accounts are read anew."""
_CLOSED: Final = int(AccountFlags.CLOSED)


class Ahead(NamedTuple):
    """What a batch comes to if none of it is refused.

    Attributes:
        sums: the balances afterwards.
        unplain: transfers whose accounts have to be read anew instead.
        timed: indexes of the transfers that have a timeout.
        version: of the mirror from which it was worked out. No other batch may come between.
    """

    sums: Sums
    unplain: list[Transfer]
    timed: list[int]
    version: int


class Mirror:
    """Written by one thread at a time; read by any thread at any time, without waiting."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._balances = array("Q")  # four for each slot
        self._wide: Sums = {}  # balances beyond 64 bits, by place
        self._over: Sums = {}  # balances on their way into the two, by place; never changed, only replaced
        self._version = 0
        self._codes = array("H")
        self._flags = array("H")
        self._ledgers = array("I")
        self._timestamps = array("Q")
        self._user_data: dict[int, tuple[int, int, int]] = {}  # of slots that have any

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, id: int) -> bool:
        return id in self._slots

    # Quick reads

    def code(self, id: int) -> int:
        """The account's code; 0 if there is no such account."""
        slot = self._slots.get(id)
        return 0 if slot is None else self._codes[slot]

    def balances(self, id: int) -> tuple[int, int, int, int] | None:
        """Debits pending and posted, credits pending and posted; None if there is no such account."""
        slot = self._slots.get(id)
        return None if slot is None else self._four(slot)

    def account(self, id: int) -> Account | None:
        slot = self._slots.get(id)
        if slot is None:
            return None
        debits_pending, debits_posted, credits_pending, credits_posted = self._four(slot)
        user_data_128, user_data_64, user_data_32 = self._user_data.get(slot, (0, 0, 0))
        return Account(
            id=id,
            ledger=self._ledgers[slot],
            code=self._codes[slot],
            flags=self._flags[slot],
            debits_pending=debits_pending,
            debits_posted=debits_posted,
            credits_pending=credits_pending,
            credits_posted=credits_posted,
            user_data_128=user_data_128,
            user_data_64=user_data_64,
            user_data_32=user_data_32,
            timestamp=self._timestamps[slot],
        )

    def may_change_by_itself(self) -> bool:
        """Whether an account has something reserved, or is closed: its release or reopening may come at any time."""
        self._settle()
        balances = self._balances
        return any(balances[0::4]) or any(balances[2::4]) or bool(self._wide) or any(flags & _CLOSED for flags in self._flags)

    # Changes

    def put(self, accounts: Iterable[Account], sums: Sums | None = None) -> None:
        """The accounts as the servers have them, new or known, and of others the `sums`: all at once."""
        added: dict[int, int] = {}
        sums = {} if sums is None else sums
        self._settle()
        for account in accounts:
            slot = self._slots.get(account.id)
            if slot is None:
                slot = added.setdefault(account.id, len(self._codes))
            if slot == len(self._codes):
                self._codes.append(account.code)
                self._flags.append(account.flags)
                self._ledgers.append(account.ledger)
                self._timestamps.append(account.timestamp)
                self._balances.extend((0, 0, 0, 0))
                if account.user_data_128 or account.user_data_64 or account.user_data_32:
                    self._user_data[slot] = (account.user_data_128, account.user_data_64, account.user_data_32)
            self._flags[slot] = account.flags
            place = 4 * slot
            sums[place] = account.debits_pending
            sums[place + 1] = account.debits_posted
            sums[place + 2] = account.credits_pending
            sums[place + 3] = account.credits_posted
        self.show(sums)
        self._slots.update(added)

    def show(self, sums: Sums) -> None:
        """Makes these balances visible, all at once."""
        self._settle()
        self._version += 1
        self._over = sums

    def ahead(self, transfers: Sequence[Transfer]) -> Ahead:
        """Works out what `take` then needs no time for."""
        sums, unplain = self.moved(transfers)
        timed = [index for index, transfer in enumerate(transfers) if transfer.timeout]
        return Ahead(sums, unplain, timed, self._version)

    def take(self, ahead: Ahead) -> bool:
        """Shows what was worked out, all at once, unless some of it has to be read anew: then it changes nothing."""
        assert ahead.version == self._version, (ahead.version, self._version)
        if ahead.unplain:
            return False
        self.show(ahead.sums)
        return True

    def moved(self, transfers: Iterable[Transfer]) -> tuple[Sums, list[Transfer]]:
        """The balances that `transfers` change, after them; and those transfers whose accounts have to be read anew instead."""
        self._settle()
        slots, balances, wide, unplain = self._slots, self._balances, self._wide, list[Transfer]()
        sums: Sums = wide.copy()
        get = sums.get
        for transfer in transfers:
            flags = +transfer.flags
            debit = slots.get(transfer.debit_account_id)
            credit = slots.get(transfer.credit_account_id)
            if flags & _UNPLAIN or debit is None or credit is None:
                unplain.append(transfer)
                continue
            amount = transfer.amount
            place = 4 * debit if flags & _PENDING else 4 * debit + 1
            before = get(place)
            sums[place] = (balances[place] if before is None else before) + amount
            place = 4 * credit + 2 if flags & _PENDING else 4 * credit + 3
            before = get(place)
            sums[place] = (balances[place] if before is None else before) + amount
        return sums, unplain

    def _settle(self) -> None:
        """Writes what is on its way to its place."""
        balances, wide, over = self._balances, self._wide, self._over
        try:
            for place, balance in over.items():
                balances[place] = balance
        except OverflowError:
            pass
        else:
            if not wide:
                self._over = {}
                return
        for place, balance in over.items():
            if balance > U64_MAX:
                wide[place] = balance
            else:
                balances[place] = balance
                wide.pop(place, None)
        self._over = {}

    def _four(self, slot: int) -> tuple[int, int, int, int]:
        place = 4 * slot
        while True:
            over = self._over
            four: Sequence[int] = self._balances[place : place + 4]
            if self._wide:
                four = [self._wide.get(place + each, four[each]) for each in range(4)]
            if over:
                four = [over.get(place + each, four[each]) for each in range(4)]
            if over is self._over:  # else a batch began or ended meanwhile, and this may be a mixture
                return (four[0], four[1], four[2], four[3])
