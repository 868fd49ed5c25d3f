"""Batch payments: wages, aid. One signature over a whole file, one payment per line, one result per line.

The file is CSV with the header `to,amount,memo`: a number, @handle or merchant code; an amount in major units ("12.50");
a memo that may be empty. Its SHA-256, the count and the total are in the signed form, so not a letter can change. Each
line's payment id follows from the batch's id and the line's number: however often a batch is taken up again after a
crash, no line is paid twice.
"""

from __future__ import annotations

import asyncio
import csv
import enum
import hashlib
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select, update

from counterfoil.clock import Clock
from counterfoil.errors import IdReused, Malformed, NotFound, OrderExpired, Refused, Unavailable, WrongScheme
from counterfoil.ids import leg_id
from counterfoil.money import AMOUNT_MAX, parse_amount
from counterfoil.payments import forms
from counterfoil.payments.orders import EMPTY_LOG_ROOT, Order, OrderKind, parse_memo
from counterfoil.payments.service import MANDATE_EXPIRY_MS, Mandate, Payments
from counterfoil.payments.tables import batch_lines, batches
from counterfoil.payments.types import AuthorisationClass, SignedOrder

LINES_MAX = 100_000
"""Lines of one batch."""
CONCURRENCY = 100
"""Lines of one batch under way at once: enough to fill the ledger's batches, few enough to leave room for others."""
PAGE_SIZE_MAX = 1_000
HEADER = ["to", "amount", "memo"]
COMPLETED = "completed"


class BatchState(enum.StrEnum):
    RUNNING = "running"
    DONE = "done"


class BatchLine(msgspec.Struct, frozen=True):
    """A line of the file, from 1. `outcome` is "completed", a refusal's code, or None while it waits."""

    line: int
    address: str
    amount: int
    memo: str
    payment: int
    outcome: str | None
    detail: str


class BatchStatus(msgspec.Struct, frozen=True):
    """How far a batch is. Amounts in minor units."""

    id: int
    payer: int
    state: BatchState
    count: int
    total: int
    completed: int
    completed_amount: int
    refused: int
    memo: str
    created_at: int


class Batches:
    """Takes batches in, carries them out in the background, tells the result of each line."""

    def __init__(self, payments: Payments, clock: Clock) -> None:
        self.payments = payments
        self.store = payments.store
        self.clock = clock
        self._wake = asyncio.Event()
        self._stopping = False

    async def create(self, signed: SignedOrder, file: str) -> BatchStatus:
        """Keeps a batch that the payer's device signed (`forms.Batch`) with its file, whole or not at all.

        Refuses (Malformed, naming line and rule) a file that is not what was signed. A repeat answers the same batch.
        """
        form = forms.decode(signed.order, forms.Batch)
        with await self.payments.parties.authorise(
            account_id=form.payer, device_id=signed.device, message=signed.order, signature=signed.signature, amount=0
        ):
            kept = await self.store.read(lambda connection: _find(connection, form.id))
            if kept is None:
                lines = self._check(form, file)
                kept = await self.store.write(lambda connection: self._insert(connection, form, signed, lines))
            if kept.order_bytes != signed.order:
                raise IdReused
        self._wake.set()
        return await self.status(form.id, form.payer)

    def _check(self, form: forms.Batch, file: str) -> list[tuple[str, int, str]]:
        rules = self.payments.rules
        if form.origin != rules.origin or form.asset != rules.currency.code:
            raise WrongScheme
        if form.expiry_ms * 1_000_000 <= self.clock.now_ns():
            raise OrderExpired
        if hashlib.sha256(file.encode()).digest() != form.lines_hash:
            raise Malformed("batch.lines_hash", "is not the SHA-256 of the file")
        lines = self.parse(file)
        if len(lines) != form.count:
            raise Malformed("batch.count", f"the file has {len(lines)} lines")
        if (total := sum(amount for _, amount, _ in lines)) != form.total:
            raise Malformed("batch.total", f"the lines add up to {total}")
        return lines

    def parse(self, file: str) -> list[tuple[str, int, str]]:
        """(address, minor units, memo) of each line after the header. Refuses naming the line, counted from 1 at the header."""
        reader = csv.reader(file.splitlines(), strict=True)
        lines: list[tuple[str, int, str]] = []
        try:
            if next(reader, None) != HEADER:
                raise Malformed("file, line 1", f"must be the header {','.join(HEADER)}")
            for row in reader:
                where = f"file, line {reader.line_num}"
                if len(row) != len(HEADER):
                    raise Malformed(where, f"must have {len(HEADER)} fields")
                memo = parse_memo(row[2].encode(), f"{where}, memo")
                amount = parse_amount(row[1], self.payments.rules.currency, f"{where}, amount")
                if amount == 0:
                    raise Malformed(f"{where}, amount", "must be above zero")
                lines.append((row[0], amount, memo))
                if len(lines) > LINES_MAX:
                    raise Malformed("file", f"must have at most {LINES_MAX} lines")
        except csv.Error as error:
            raise Malformed(f"file, line {reader.line_num}", str(error)) from error
        if not lines:
            raise Malformed("file", "must have at least one line after the header")
        return lines

    def _insert(self, connection: Connection, form: forms.Batch, signed: SignedOrder, lines: list[tuple[str, int, str]]) -> Row[Any]:
        if (kept := _find(connection, form.id)) is not None:
            return kept
        connection.execute(
            batches.insert().values(
                id=form.id,
                payer=form.payer,
                order_bytes=signed.order,
                signature=signed.signature,
                device=signed.device,
                lines_hash=form.lines_hash,
                line_count=form.count,
                total=form.total,
                max_fee=form.max_fee,
                state=BatchState.RUNNING,
                created_at=self.clock.now_ns(),
                expires_at=min(form.expiry_ms * 1_000_000, AMOUNT_MAX),
            )
        )
        connection.execute(
            batch_lines.insert(),
            [
                dict(batch=form.id, line=n, address=to, amount=amount, memo=memo, payment=leg_id(form.id, n), outcome=None, detail="")
                for n, (to, amount, memo) in enumerate(lines, 1)
            ],
        )
        kept = _find(connection, form.id)
        assert kept is not None, form.id
        return kept

    async def run(self) -> None:
        """Carries out what waits, also what an earlier process left unfinished, until `stop()`."""
        while not self._stopping:
            self._wake.clear()
            running = await self.store.read(
                lambda connection: connection.execute(
                    select(batches).where(batches.c.state == BatchState.RUNNING).order_by(batches.c.id)
                ).all()
            )
            for batch in running:
                await self._carry_out(batch)
            if not self._stopping:
                await self._wake.wait()

    def stop(self) -> None:
        """Ends `run` after the lines under way. What is left is taken up by the next process."""
        self._stopping = True
        self._wake.set()

    async def _carry_out(self, batch: Row[Any]) -> None:
        waiting = batch_lines.select().where(batch_lines.c.batch == batch.id, batch_lines.c.outcome.is_(None))
        waiting = waiting.order_by(batch_lines.c.line).limit(CONCURRENCY)
        while not self._stopping:
            lines = await self.store.read(lambda connection: connection.execute(waiting).all())
            if not lines:
                await self.store.write(lambda connection: _finish(connection, batch.id))
                return
            outcomes = await asyncio.gather(*(self._pay(batch, line) for line in lines))
            told = [(line.line, *outcome) for line, outcome in zip(lines, outcomes, strict=True) if outcome is not None]
            await self.store.write(partial(_tell, batch=batch.id, told=told))
            if len(told) < len(lines):
                await asyncio.sleep(1)  # Unavailable: the same lines again, with the same ids

    async def _pay(self, batch: Row[Any], line: Row[Any]) -> tuple[str, str] | None:
        """(outcome, detail) of a line, or None when it is not known and must be repeated."""
        rules = self.payments.rules
        try:
            payee = await self.payments.parties.resolve(line.address)
            order = Order(
                origin=rules.origin,
                asset=rules.currency.code,
                payer=batch.payer,
                payee=payee.account,
                amount=line.amount,
                max_fee=batch.max_fee,
                id=line.payment,
                expiry_ms=MANDATE_EXPIRY_MS,
                rules_hash=bytes(32),
                kind=OrderKind.PAY,
                memo=line.memo,
                checkpoint_root=EMPTY_LOG_ROOT,
            )
            await self.payments.pay_under_mandate(order, Mandate(batch.id, AuthorisationClass.SYSTEM))
        except Unavailable:
            return None
        except Refused as refusal:
            return refusal.code, refusal.detail
        return COMPLETED, ""

    async def status(self, id: int, account: int) -> BatchStatus:
        """How far the batch is, for its payer."""

        def read(connection: Connection) -> tuple[Row[Any], dict[str, tuple[int, int]]] | None:
            row = _find(connection, id)
            if row is None or row.payer != account:
                return None
            sums = select(batch_lines.c.outcome, func.count(), func.coalesce(func.sum(batch_lines.c.amount), 0))
            sums = sums.where(batch_lines.c.batch == id, batch_lines.c.outcome.is_not(None)).group_by(batch_lines.c.outcome)
            return row, {outcome: (count, int(amount)) for outcome, count, amount in connection.execute(sums)}

        found = await self.store.read(read)
        if found is None:
            raise NotFound("there is no batch with this id")
        row, sums = found
        completed, completed_amount = sums.pop(COMPLETED, (0, 0))
        return BatchStatus(
            id=row.id,
            payer=row.payer,
            state=BatchState(row.state),
            count=row.line_count,
            total=row.total,
            completed=completed,
            completed_amount=completed_amount,
            refused=sum(count for count, _ in sums.values()),
            memo=forms.decode(row.order_bytes, forms.Batch).memo,
            created_at=row.created_at,
        )

    async def lines(self, id: int, account: int, *, after: int = 0, limit: int = PAGE_SIZE_MAX) -> list[BatchLine]:
        """Lines after number `after`, in order, with their results."""
        await self.status(id, account)
        statement = select(batch_lines).where(batch_lines.c.batch == id, batch_lines.c.line > after)
        statement = statement.order_by(batch_lines.c.line).limit(min(limit, PAGE_SIZE_MAX))
        rows = await self.store.read(lambda connection: connection.execute(statement).all())
        return [BatchLine(row.line, row.address, row.amount, row.memo, row.payment, row.outcome, row.detail) for row in rows]


def _find(connection: Connection, id: int) -> Row[Any] | None:
    return connection.execute(select(batches).where(batches.c.id == id)).first()


def _finish(connection: Connection, batch: int) -> None:
    connection.execute(update(batches).where(batches.c.id == batch).values(state=BatchState.DONE))


def _tell(connection: Connection, batch: int, told: list[tuple[int, str, str]]) -> None:
    for line, outcome, detail in told:
        where = (batch_lines.c.batch == batch) & (batch_lines.c.line == line)
        connection.execute(update(batch_lines).where(where).values(outcome=outcome, detail=detail))
