"""Receipts: one entry, opened for its holder, under a head that a quorum of witnesses signed. Checked offline.

Source: C2SP tlog-proof@v1 (C2SP/C2SP@5ba5ee8); base45: RFC 9285.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from counterfoil_verify.merkle import check_inclusion, leaf_hash
from counterfoil_verify.note import from_base64
from counterfoil_verify.payloads import KEY, HolderView, Opening, Reader, decode_event, told
from counterfoil_verify.policy import Head, Policy, odd_clocks
from counterfoil_verify.report import Refuted, Report, when

HEADER = "c2sp.org/tlog-proof@v1"
BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
RECEIPT_SIZE_MAX = 1_000_000


@dataclass(frozen=True)
class Receipt:
    """A receipt that was checked: everything in it is authenticated."""

    index: int
    opening: Opening
    leaf: bytes
    head: Head

    @property
    def view(self) -> HolderView | None:
        return HolderView.decode(self.opening.payload) if self.opening.type <= 3 and self.opening.role <= 2 else None

    @property
    def chain(self) -> tuple[bytes, int, bytes] | None:
        """Account, seq and prev; None for what is on no account's chain."""
        if view := self.view:
            return view.account, view.seq, view.prev
        if self.opening.type < KEY or self.opening.role != 1:
            return None
        fields = decode_event(self.opening.type, self.opening.payload)
        return fields["account"], fields["seq"], fields["prev"]


def open_receipt(data: bytes, policy: Policy) -> Receipt:
    """Quorum, then the leaf from the own opening, then inclusion; Refuted at the first that fails. Accepts both forms."""
    if len(data) > RECEIPT_SIZE_MAX:
        raise Refuted("a receipt is at most a megabyte")
    extra, index, hashes, note = _unpack(data, policy) if data.startswith(b"CF1:") else _parse(data)
    head = policy.head(note)
    opening = Opening.decode(extra)
    leaf = leaf_hash(opening.entry())
    check_inclusion(index=index, size=head.size, leaf=leaf, proof=hashes, root=head.root)
    return Receipt(index, opening, leaf, head)


def _parse(data: bytes) -> tuple[bytes, int, list[bytes], bytes]:
    text, _, note = data.partition(b"\n\n")
    lines = text.decode("latin-1").split("\n")
    begins = len(lines) > 2 and lines[0] == HEADER and lines[1].startswith("extra ")
    if not begins or not re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[2]):
        raise Refuted(f"a receipt must begin with the lines {HEADER}, extra ..., index ...")
    opening = from_base64(lines[1][6:], "the opening")
    return opening, int(lines[2][6:]), [from_base64(line, "a hash of the proof") for line in lines[3:]], note


def _unpack(data: bytes, policy: Policy) -> tuple[bytes, int, list[bytes], bytes]:
    reader = Reader(_from_base45(data[4:].removesuffix(b"\n").decode("latin-1")), "the packed receipt")
    if reader.number(1) != 1:
        raise Refuted("the packed receipt is of an unknown version")
    extra, index, size, root = reader.sized(), reader.number(8), reader.number(8), reader.take(32)
    hashes = [reader.take(32) for _ in range(reader.number(1))]
    origin, signed = reader.sized().decode(errors="replace"), [reader.take(68)]
    cosigned = [reader.take(76) for _ in range(reader.number(1))]
    reader.end()
    names = {key.id: key.name for key in policy.witnesses.values()}
    lines = [(origin, part) for part in signed] + [(names[part[:4]], part) for part in cosigned if part[:4] in names]
    signatures = "".join(f"— {name} {base64.b64encode(part).decode()}\n" for name, part in lines)
    return extra, index, hashes, f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n\n{signatures}".encode()


def _from_base45(text: str) -> bytes:
    out = bytearray()
    for at in range(0, len(text), 3):
        digits = [BASE45.find(character) for character in text[at : at + 3]]
        value, size = sum(digit * 45**power for power, digit in enumerate(digits)), len(digits) - 1
        if size == 0 or min(digits) < 0 or value >= 256**size:
            raise Refuted("the packed receipt is not base45")
        out += value.to_bytes(size)
    return bytes(out)


def check_receipt(data: bytes, policy: Policy, previous: bytes | None = None) -> Report:
    """Everything a holder can check by themselves. `previous`: an older receipt of the same account, best the one just before."""
    report = Report()
    try:
        receipt = open_receipt(data, policy)
        head = receipt.head
        report.fields = told(receipt.opening.type, receipt.opening.role, receipt.opening.payload) | {"index": receipt.index}
        if "time" in report.fields:
            report.fields["when"] = when(report.fields["time"] / 1e9)
        report.fields |= {"origin": head.origin, "log_size": head.size, "witnesses": {w: when(t) for w, t in head.times.items()}}
        report.proved.append(f"{', '.join(head.times) or 'the log alone'} signed the log's head of {head.size} entries: the quorum holds")
        report.proved.append(f"this opening is entry {receipt.index} of that log")
        report.noticed += [sentence for sentence in [odd_clocks(head)] if sentence]
        report.noticed += [f"ignored: a signature by {name}, whom the policy does not know" for name in head.strangers]
        if previous is not None:
            _continue(receipt, open_receipt(previous, policy), report)
        elif receipt.chain:
            report.noticed.append(
                "no earlier receipt was given: that the entry continues your own chain, and the balance, were not checked"
            )
    except Refuted as problem:
        report.refuted.append(f"{problem}.")
    return report


def _continue(receipt: Receipt, older: Receipt, report: Report) -> None:
    """Steps 4 and 5: seq and prev continue the chain, and the balance follows from the one before."""
    new, old = receipt.chain, older.chain
    if receipt.head.size == older.head.size and receipt.head.root != older.head.root:
        raise Refuted(f"the two receipts show two different logs of {older.head.size} entries: the log was forked")
    if not new or not old or new[0] != old[0]:
        report.unchecked.append("the earlier receipt is of another account")
        return
    if (new[1] == old[1] and receipt.leaf != older.leaf) or ((new[1] > old[1]) != (receipt.index > older.index) and new[1] != old[1]):
        raise Refuted(f"entries {older.index} and {receipt.index} do not stand in one chain: the account's history was forked")
    if new[1] != old[1] + 1:
        gap = f"the earlier receipt has number {old[1]}, this one {new[1]}: entries between them were not shown, so chain and balance were not checked"
        report.noticed.append(gap if new[1] > old[1] else "the receipt given as earlier is not: chain and balance were not checked")
        return
    if new[2] != older.leaf:
        raise Refuted(f"the entry continues another chain than yours: your entry number {old[1]} is not the one it names as the one before")
    report.proved.append(f"it is number {new[1]} of your account's chain and follows number {old[1]}: nothing was hidden between them")
    view, before = receipt.view, older.view
    if view is None or before is None:
        report.noticed.append("one of the two entries has no balance: the balance was not checked")
        return
    moved = ((view.amount if view.direction else -view.amount) + view.fee) if view.event in (0, 2) else 0
    if view.balance != before.balance + moved or view.time <= before.time:
        raise Refuted(f"the balance does not add up: {before.balance} and {moved:+d} is not {view.balance}, or the time goes backwards")
    report.proved.append(f"the balance adds up: {before.balance} {moved:+d} = {view.balance}")
