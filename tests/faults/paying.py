"""Somebody who pays all the time while things break, and knows afterwards what was acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from counterfoil import errors
from counterfoil.clock import SystemClock
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.types import BATCH_SIZE_MAX, Account, AccountFlags, CreateTransferStatus, Transfer

T = TypeVar("T")

WAIT_S_MAX: Final = 240
"""For anything that has to happen: a busy machine is ten times slower."""
BATCH_SIZE: Final = 5
_DONE: Final = {CreateTransferStatus.CREATED, CreateTransferStatus.EXISTS}


def transfer(id: int) -> Transfer:
    """1 unit from account 1 to account 2."""
    return Transfer(id=id, debit_account_id=1, credit_account_id=2, amount=1, ledger=1, code=1)


def transfers(first: int, count: int) -> list[Transfer]:
    return [transfer(id_new) for id_new in range(first, first + count)]


def insisted(call: Callable[[], T]) -> T:
    """What a caller does: the same again until there is an answer."""
    until = time.monotonic() + WAIT_S_MAX
    while True:
        try:
            return call()
        except errors.Unavailable:
            assert time.monotonic() < until, "it does not go on"
            time.sleep(0.02)


def until_unavailable(call: Callable[[], object]) -> errors.Unavailable:
    """Repeats the call until it is refused with Unavailable."""
    until = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < until:
        try:
            call()
        except errors.Unavailable as error:
            return error
    raise AssertionError("nothing was ever unavailable")


def open_accounts(engine: Engine) -> None:
    accounts = [Account(id=number, ledger=1, code=10, flags=AccountFlags.HISTORY) for number in (1, 2)]
    results = insisted(lambda: engine.create_accounts(accounts, now()))
    assert {result.status.name for result in results} <= {"CREATED", "EXISTS"}, results


def now() -> int:
    return SystemClock().now_ns()


class Payer(threading.Thread):
    """Pays a few in a batch, and repeats what was not answered. Keeps what was acknowledged.

    Attributes:
        unavailable: how often it heard that.
    """

    def __init__(self, engine: Engine, *, batch_size: int = BATCH_SIZE) -> None:
        super().__init__(daemon=True)
        self.engine = engine
        self.unavailable = 0
        self.acknowledged = 0  # transfers 1 to this one
        self._batch_size = batch_size
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            batch = transfers(self.acknowledged + 1, self._batch_size)
            results = insisted(lambda: self._pay(batch))  # noqa: B023 - called at once
            assert {result.status for result in results} <= _DONE, results
            self.acknowledged += self._batch_size

    def wait_for_more(self) -> None:
        """Until a batch that began after now has been acknowledged."""
        enough = self.acknowledged + 2 * self._batch_size
        self._wait(lambda: self.acknowledged >= enough)

    def wait_until_unavailable(self) -> None:
        before = self.unavailable
        self._wait(lambda: self.unavailable > before)

    def end(self) -> None:
        """It has its last answer."""
        self._stopping.set()
        self.join(WAIT_S_MAX)
        assert not self.is_alive()

    def check(self) -> None:
        """Every acknowledged transfer is there, once, and nothing else is."""
        engine, count = self.engine, self.acknowledged
        for first in range(1, count + 1, BATCH_SIZE_MAX):
            ids = range(first, min(first + BATCH_SIZE_MAX, count + 1))
            assert [found.id for found in insisted(lambda: engine.lookup_transfers(ids))] == list(ids)  # noqa: B023
        insisted(lambda: engine.expire_pending_transfers(now()))
        found = insisted(lambda: engine.lookup_accounts([1, 2]))
        assert [(each.debits_posted, each.credits_posted) for each in found] == [(count, 0), (0, count)]
        assert [engine.balances_now(number) for number in (1, 2)] == [(0, count, 0, 0), (0, 0, 0, count)]

    def _pay(self, batch: Sequence[Transfer]) -> list[Any]:
        try:
            return list(self.engine.create_transfers(batch, now()))
        except errors.Unavailable:
            self.unavailable += 1
            raise

    def _wait(self, happened: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT_S_MAX
        while not happened():
            assert self.is_alive(), "the payer has heard what it must not hear"
            assert time.monotonic() < until, "nothing happens any more"
            time.sleep(0.01)
