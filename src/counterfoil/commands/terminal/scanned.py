"""What a scanner types at the desk: barcodes, and the goods that they ring up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from counterfoil.acceptance.goods.barcode import parse_barcode
from counterfoil.errors import Malformed

LINES_MAX: Final = 100
QUANTITY_MAX: Final = 9_999
"""What the server takes of a sale."""


class Scanned(msgspec.Struct, frozen=True, kw_only=True):
    """Goods of the shop that were scanned `quantity` times. `price`: minor units each. `goods`: their id as UUID text."""

    goods: str
    name: str
    price: int
    quantity: int = 1


def is_scan(text: str) -> bool:
    """Whether this can be a barcode rather than an amount: a GTIN with its check digit, or a shop's own code with a letter in it."""
    try:
        barcode = parse_barcode(text)
    except Malformed:
        return False
    return len(barcode) >= 8 if barcode.isdigit() else bool(barcode)


def one_more(lines: Sequence[Scanned], found: Scanned) -> list[Scanned]:
    """`lines` with `found` once more: at the same price it is one line."""
    same = next((line for line in lines if (line.goods, line.price) == (found.goods, found.price)), None)
    if same is None:
        return [*lines, found]
    more = msgspec.structs.replace(same, quantity=same.quantity + 1)
    return [*(line for line in lines if line is not same), more]


def one_less(lines: Sequence[Scanned]) -> list[Scanned]:
    """`lines` without one of what was scanned last."""
    *before, last = lines
    return [*before, msgspec.structs.replace(last, quantity=last.quantity - 1)] if last.quantity > 1 else before


def fits(lines: Sequence[Scanned]) -> bool:
    """Whether the server takes so many lines, and so much of each."""
    return len(lines) <= LINES_MAX and all(line.quantity <= QUANTITY_MAX for line in lines)


def total(lines: Sequence[Scanned]) -> int:
    """Minor units."""
    return sum(line.price * line.quantity for line in lines)
