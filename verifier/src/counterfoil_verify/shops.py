"""Payments by PIN to shops, and which of them the shop's own key has countersigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from counterfoil_verify.report import Refuted

NS, DAY_NS = 10**9, 86_400 * 10**9
REMEMBERED_NS, TOLD_MAX = 31 * DAY_NS, 20
Claim = tuple[bytes, bytes, int, int]
"""Payee, hash of the order, amount, ledger time (ns)."""


class Shops:
    """Memory grows with the payments of the last month that are not countersigned, and with nothing else."""

    def __init__(self) -> None:
        self.open: dict[bytes, Claim] = {}  # by payment, in the order of the ledger: not countersigned so far
        self.early: dict[bytes, Claim] = {}  # countersigned already; the payment's own entry is still to come
        self.sums = {name: [0, 0] for name in ("purchases", "countersigned", "no_key", "no_word")}
        self.holds = {name: [0, 0] for name in ("cash_signed", "purchases_signed", "purchases_by_token")}
        self.named: list[str] = []  # of no_word
        self.time = 0

    def paid(self, payment: bytes, claim: Claim, accounts: Mapping[bytes, Any]) -> None:
        """A purchase by PIN that was done at once."""
        self.time = claim[3]
        self._count(self.sums["purchases"], claim)
        before = self.early.pop(payment, None)
        if before is not None:
            self._agree(before, claim)
        else:
            self.open[payment] = claim
        while self.open and (oldest := next(iter(self.open))) and self.open[oldest][3] + REMEMBERED_NS < self.time:
            self._give_up(oldest, self.open.pop(oldest), accounts)

    def countersigned(self, payment: bytes, said: Claim) -> None:
        """A key of the payee has signed for it. Such an entry may stand before the payment's own, when both are of one moment."""
        claim = self.open.pop(payment, None)
        if claim is not None:
            self._agree(said, claim)
        elif said[3] <= self.time or payment in self.early:
            raise Refuted("what is countersigned is no purchase by PIN of the last month, or was countersigned before")
        else:
            self.early[payment] = said

    def captured(self, amount: int, *, cash: bool, signed: bool) -> None:
        """Money that a PIN has set aside is taken: by the payee's signed order, or by a token."""
        sums = self.holds["cash_signed" if cash else "purchases_signed" if signed else "purchases_by_token"]
        sums[0], sums[1] = sums[0] + 1, sums[1] + amount

    def dropped(self, time: int) -> str | None:
        """What is wrong when the log ends at ledger time `time`: a payment that a shop has signed for, and that is not in it."""
        for payment, said in self.early.items():
            if said[3] <= time:
                return f"a shop has countersigned payment {payment.hex()} of {said[2]}, and the log does not have it"
        return None

    def told(self, accounts: Mapping[bytes, Any], time: int) -> dict[str, dict[str, int]]:
        """Counts and sums (minor units), for a report."""
        sums = {name: [*each] for name, each in (self.sums | self.holds).items()} | {"waiting": [0, 0]}
        for claim in self.open.values():
            name = "no_key" if not _has_key(accounts, claim) else "waiting" if claim[3] + DAY_NS >= time else "no_word"
            self._count(sums[name], claim)
        return {name: {"count": count, "sum": total} for name, (count, total) in sums.items()}

    def unsigned(self, accounts: Mapping[bytes, Any], time: int) -> list[str]:
        """The payments to shops that have a key, which has said nothing of them for a day: how many, and which."""
        late = [payment.hex() for payment, claim in self.open.items() if _has_key(accounts, claim) and claim[3] + DAY_NS < time]
        count, total = self.told(accounts, time)["no_word"].values()
        if not count:
            return []
        named = [*self.named, *late][:TOLD_MAX]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        return [f"{count} payments by PIN, {total} in all, to shops whose own key has not countersigned them: {', '.join(named)}{more}"]

    def _agree(self, said: Claim, claim: Claim) -> None:
        if said != claim:
            raise Refuted(f"the shop has countersigned {said[2]}, and the entry moves {claim[2]}, or it is about another payment")
        self._count(self.sums["countersigned"], claim)

    def _give_up(self, payment: bytes, claim: Claim, accounts: Mapping[bytes, Any]) -> None:
        has_key = _has_key(accounts, claim)
        self._count(self.sums["no_word" if has_key else "no_key"], claim)
        if has_key and len(self.named) < TOLD_MAX:
            self.named.append(payment.hex())

    @staticmethod
    def _count(sums: list[int], claim: Claim) -> None:
        sums[0], sums[1] = sums[0] + 1, sums[1] + claim[2]


def _has_key(accounts: Mapping[bytes, Any], claim: Claim) -> bool:
    """Whether the payee has a key that was not revoked."""
    return any(key[2] is None for key in accounts[claim[0]].keys.values())
