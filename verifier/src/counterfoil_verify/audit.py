"""The auditor's replay: the whole ledger from its first entry, given the openings.

Memory grows with accounts, open holds and what holders sign ahead (batches, standing orders), not with payments.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import IO

from counterfoil_verify.book import FEES, HOLDERS, ISSUANCE, Account, Book, Leg
from counterfoil_verify.law import Law, Payment
from counterfoil_verify.log import Files, bundles
from counterfoil_verify.merkle import Frontier
from counterfoil_verify.payloads import ACCOUNT, CLASSES, FREEZE, HOLDER, ISSUE, KEY, REDEEM, RULES, TRANSFER, VIEW, canonical
from counterfoil_verify.policy import Head
from counterfoil_verify.report import Refuted, Report
from counterfoil_verify.rules import Rules

MAGIC = b"counterfoil/openings/v1\n"
HEAD, LEG = struct.Struct(">BBBB16s32sQB"), struct.Struct(">16s16s16sQ16sIIHH")
TOUCHED, TAIL = struct.Struct(">16sQ32sqQ"), struct.Struct(">B16sH")
EXPIRED = 4
HEAD_SIZE, LEG_SIZE, TOUCHED_SIZE, TAIL_SIZE = HEAD.size, LEG.size, TOUCHED.size, TAIL.size
STARTS = [bytes((1, each)) for each in range(256)]
"""The first two bytes of an entry of each type."""
TYPE_OF, EVENT_OF = (1, 1, 1, 1, 1, 1, 1, 2, 3), (0, 0, 1, 2, 3, 0, 0, 0, 0)
"""The type and the event of an order's kind."""
NOT_REPLAYED = (
    "whether a refund or a reversal is within the payment that it gives back: that would need memory of every payment",
    "whether a recovery waited its time and its holder was told: the log does not say when it was asked for",
    "who agreed that a key is revoked, the scheme's own limits for PINs and recoveries, and the files behind batches",
)
Record = tuple[int, int, bytes, bytes, bytes]
"""Index, type, four salts, audit payload, public payload."""
ROLE1, ROLE2, ROLE3, ROLE4 = (VIEW + bytes([role]) for role in (1, 2, 3, 4))


class Replay:
    """Feed it entry by entry, then `book.settle`. Raises Refuted at the first that cannot be; a false signature may be found later."""

    def __init__(self, origin: str, rules: list[Rules]) -> None:
        self.rules = {each.index: each for each in rules}
        self.book = Book(origin)
        self.law = Law(self.book)
        self.time, self.leaf = 0, b""  # of the entry before: when (ns), and its hash as a leaf of the log

    def entry(self, index: int, type: int, salts: bytes, audit: bytes, public: bytes) -> bytes:
        """The 34 bytes that must stand in the log, once everything about the entry holds."""
        payer = payee = b""
        touched: list[Account] = []
        if type in (TRANSFER, ISSUE, REDEEM):
            payer, payee, touched = self._payment(index, type, audit, public)
        elif type in (KEY, FREEZE, ACCOUNT):
            payer = audit
            touched = self.book.event(type, audit, public)
        elif type != RULES or audit:
            raise Refuted(f"its type {type} is reserved, or it is a rules entry with a private part")
        else:
            self.law.learn(self.rules[index])
            if self.rules[index].hash != sha256(public).digest():
                raise Refuted("its rules are not those that were published")
        view1 = sha256(b"\0" + sha256(ROLE1 + salts[:32] + payer).digest()).digest()
        view2 = sha256(b"\0" + sha256(ROLE2 + salts[32:64] + payee).digest()).digest()
        view3 = sha256(b"\0" + sha256(ROLE3 + salts[64:96] + audit).digest()).digest()
        view4 = sha256(b"\0" + sha256(ROLE4 + salts[96:] + public).digest()).digest()
        left, right = sha256(b"\1" + view1 + view2).digest(), sha256(b"\1" + view3 + view4).digest()
        entry = STARTS[type] + sha256(b"\1" + left + right).digest()
        self.leaf = leaf = sha256(b"\0" + entry).digest()
        for account in touched:
            account.head = leaf
        return entry

    def _payment(self, index: int, type: int, audit: bytes, public: bytes) -> tuple[bytes, bytes, list[Account]]:
        event, kind, way, service, payment, order_hash, time, count = HEAD.unpack_from(audit)
        at = HEAD_SIZE + LEG_SIZE * count
        legs: list[Leg] = list(LEG.iter_unpack(audit[HEAD_SIZE:at]))
        rows_end = at + 1 + TOUCHED_SIZE * audit[at]
        rows = list(TOUCHED.iter_unpack(audit[at + 1 : rows_end]))
        principal, device, size = TAIL.unpack_from(audit, rows_end)
        at, end = rows_end + TAIL_SIZE, rows_end + TAIL_SIZE + size
        signature = audit[at:end]
        at, end = end + 2, end + 2 + int.from_bytes(audit[end : end + 2])
        order = audit[at:end]
        at, end = end + 2, end + 2 + int.from_bytes(audit[end : end + 2])
        document = audit[at:end]
        if end != len(audit):
            raise Refuted("its audit payload is cut short or has bytes after its end")
        if principal >= count or kind > 8 or type != TYPE_OF[kind] or (event != EVENT_OF[kind] and event != EXPIRED):
            raise Refuted("its event, kind and type do not fit together")
        if time <= self.time:
            raise Refuted("it is dated before the payment that stands before it")
        self.time = time
        hold = self.book.move(event, kind, time, legs, principal)
        leg, touched = legs[principal], self.book.touched(legs, rows)
        fees: dict[bytes, int] = {}
        if count > 1 and event in (0, 1, 2):
            for other in legs:
                if other is not leg:
                    fees[other[1]], fees[other[2]] = fees.get(other[1], 0) - other[3], fees.get(other[2], 0) + other[3]
        if event != EXPIRED:
            it = Payment(index, kind, way, service, payment, order_hash, time, leg, fees, hold, device, signature, order, document)
            self.law.judge(it)
        if type != TRANSFER:
            if canonical({"amount": leg[3], "asset": self.law.asset, "at": time, "payment": payment.hex()}) != public:
                raise Refuted("what was published about the money issued or withdrawn is not what happened")
        elif public:
            raise Refuted("a transfer has a public part")
        _, debited, credited, amount, *_ = leg
        out, into = rows if count == 1 else [next(row for row in rows if row[0] == name) for name in (debited, credited)]
        _, seq, prev, balance, held = out
        fee = fees.get(debited, 0)
        payer = HOLDER.pack(event, kind, way, debited, 0, credited, payment, order_hash, amount, fee, balance, held, time, seq, prev)
        _, seq, prev, balance, held = into
        fee = fees.get(credited, 0)
        payee = HOLDER.pack(event, kind, way, credited, 1, debited, payment, order_hash, amount, fee, balance, held, time, seq, prev)
        return payer, payee, touched

    def check(self, index: int, record: Record, entry: bytes) -> None:
        """One record of the openings beside one entry of the log."""
        if record[0] != index or self.entry(*record) != entry:
            raise Refuted("its opening is another's, or it does not open the commitment in the log")


def records(stream: IO[bytes]) -> Iterator[Record]:
    """What opens each entry of an openings file."""
    if stream.read(len(MAGIC)) != MAGIC:
        raise Refuted("the openings do not begin with counterfoil/openings/v1")
    while size := stream.read(4):
        record = stream.read(int.from_bytes(size))
        end = 141 + int.from_bytes(record[137:141])
        if len(size) < 4 or len(record) != int.from_bytes(size) or end > len(record):
            raise Refuted("the openings are cut short")
        yield int.from_bytes(record[:8]), record[8], record[9:137], record[141:end], record[end:]


def replay(files: Files, head: Head, rules: list[Rules], openings: IO[bytes], report: Report) -> None:
    """Replays `head.size` entries. The log itself was checked before (`LogCheck`)."""
    run, frontier = Replay(head.origin, rules), Frontier()
    book, law = run.book, run.law
    try:
        try:
            logged = (entry for _, bundle in bundles(files, head.size) for entry in bundle)
            for entry, record in zip(logged, records(openings), strict=False):
                run.check(frontier.size, record, entry)
                frontier.append(run.leaf)
                book.entry = frontier.size
        finally:
            book.settle()  # a signature further up that is false comes first
    except (Refuted, struct.error, IndexError, KeyError, ValueError, TypeError) as problem:
        words = str(problem) if isinstance(problem, Refuted) else "its audit payload is cut short or malformed"
        report.refuted.append(f"entry {book.entry}: {words}")
        return
    if frontier.size < head.size:
        report.unchecked.append(f"the openings end before entry {frontier.size} of {head.size}")
        return
    if frontier.root() != head.root:
        report.refuted.append("the entries that were replayed do not give the root that the witnesses signed")
        return
    held = sum(account.balance for account in book.accounts.values() if account.code in (*HOLDERS, FEES))
    issued = -sum(account.balance for account in book.accounts.values() if account.code == ISSUANCE)
    if held != issued:
        report.refuted.append(f"holders have {held}, and {issued} were issued")
    count = len(book.accounts)
    report.proved.append(f"all {head.size} entries open, and {count} accounts follow from them; holders have {held}, as much as was issued")
    report.proved.append("every debit carries a valid order of a key in force, or is one of the exceptions counted here")
    if dropped := book.shops.dropped(run.time):
        report.refuted.append(dropped)
    report.unchecked += [f"{what} ({count})" for what, count in book.unchecked.items()]
    ways = {CLASSES[way]: {"count": count, "sum": law.sums[way]} for way, count in enumerate(law.counts) if count}
    report.fields |= {"replayed": frontier.size, "accounts": len(book.accounts), "open_holds": len(book.holds), "authorisations": ways}
    report.fields |= {"balances": held, "recoveries": book.recoveries, "to_shops_by_pin": book.shops.told(book.accounts, run.time)}
    report.noticed += book.shops.unsigned(book.accounts, run.time)
    report.noticed += [f"not replayed: {what}" for what in NOT_REPLAYED]
