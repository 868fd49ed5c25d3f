"""The scheme's published rules: what a payment costs, what an account may do, and from when on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from counterfoil_verify.policy import Head
from counterfoil_verify.report import Refuted, when

NOTICE_S = 30 * 86_400
"""A document that costs holders more, or allows them less, is in force only so long after witnesses first covered it."""
SERVICES = ("none", "transfer", "purchase", "cash_in", "cash_out", "disbursement", "refund", "internal")
AMOUNT_MAX = 2**63 - 1


@dataclass
class Rules:
    """One rules entry. `covered`: by when a quorum had seen it (s). `from_index`: entries from here on may be under it; None: none yet."""

    index: int
    hash: bytes
    content: dict[str, Any]
    tighter: list[str]
    covered: int | None = None
    from_index: int | None = None

    @classmethod
    def parse(cls, document: bytes, index: int, origin: str, earlier: list[Rules]) -> Rules:
        content = json.loads(document)
        if content["origin"] != origin:
            raise Refuted("holds the rules of another scheme")
        lines = {line["service"]: line for line in content["tariff"]["lines"]}
        content |= {"lines": lines, "asset": content["currency"]["code"], "ledger": content["currency"]["ledger"]}
        known = [rules for rules in earlier if rules.from_index is not None]
        rules = cls(index, sha256(document).digest(), content, tightened(known[-1].content, content) if known else [])
        if not rules.tighter:
            rules.from_index = index
        return rules

    def seen(self, head: Head, *, before: int) -> None:
        """Takes note of a head that covers this entry; `before` is the size of the head before."""
        if self.index >= head.size or head.known_by is None or head.known_at is None:
            return
        if self.covered is None:
            self.covered = head.known_by
        elif self.from_index is None and head.known_at - self.covered >= NOTICE_S:
            self.from_index = before

    def told(self) -> dict[str, Any]:
        notice = f"tightens {', '.join(self.tighter)}: 30 days' notice" if self.tighter else "in force at once"
        covered = None if self.covered is None else when(self.covered)
        return {"index": self.index, "hash": self.hash.hex(), "covered": covered, "notice": notice, "in_force_from_entry": self.from_index}

    def fee(self, service: int, amount: int) -> tuple[int, bool]:
        """(minor units, whether the payee pays): flat + amount x rate (1/100 %), fractions dropped, within minimum and maximum."""
        line = self.content["lines"].get(SERVICES[service])
        if line is None:
            return 0, False
        terms = line
        for band in line.get("bands", ()):
            if amount <= band["up_to"]:
                terms = band
                break
        charge = terms.get("flat", 0) + amount * terms.get("rate_basis_points", 0) // 10_000
        charge = min(max(charge, line.get("minimum", 0)), line.get("maximum", AMOUNT_MAX))
        payee = line.get("paid_by", "payer") == "payee"
        charge = min(charge, amount) if payee else charge
        return charge, payee and charge > 0


def tightened(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What may cost a holder more or allow less; anything that cannot be compared counts."""
    found = [name for name in old.keys() | new.keys() if name not in ("tariff", "limits", "lines") and old.get(name) != new.get(name)]
    found += [f"limits of {tier}" for tier, limits in old["limits"].items() if _above(limits, new["limits"].get(tier, {}), AMOUNT_MAX)]
    for service, line in new["lines"].items():
        before = old["lines"].get(service, {"bands": [], "paid_by": line.get("paid_by"), "maximum": 0})
        pairs = list(zip([before, *before.get("bands", ())], [line, *line.get("bands", ())], strict=False))
        same = [band["up_to"] for band in before.get("bands", ())] == [band["up_to"] for band in line.get("bands", ())]
        dearer = any(after.get(name, 0) > first.get(name, 0) for first, after in pairs for name in ("flat", "rate_basis_points", "minimum"))
        higher = line.get("maximum", AMOUNT_MAX) > before.get("maximum", AMOUNT_MAX)
        if not same or dearer or higher or line.get("paid_by") != before.get("paid_by"):
            found.append(f"fee of {service}")
    return sorted(found)


def _above(old: dict[str, int], new: dict[str, int], none: int) -> bool:
    return any(new.get(name, none if new else -1) < old.get(name, none) for name in (*old, *new))
