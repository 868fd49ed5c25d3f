"""What may go back of the lines of a sale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, select

from counterfoil.acceptance.standing import lines_back
from counterfoil.acceptance.tables import sale_actions
from counterfoil.acceptance.types import Back, Line, Sale
from counterfoil.errors import AboveOriginal, Malformed
from counterfoil.payments import records


def worth(sold: Sequence[Line], lines: Sequence[Back]) -> int:
    """What these lines cost, minor units. Malformed for lines that were not `sold`, or that cost nothing."""
    for number, each in enumerate(lines):
        if not 0 <= each.line < len(sold):
            raise Malformed(f"lines[{number}].line", f"must be 0 to {len(sold) - 1}")
        if each.quantity < 1:
            raise Malformed(f"lines[{number}].quantity", "must be at least 1")
    if len({each.line for each in lines}) != len(lines):
        raise Malformed("lines", "must name each line once")
    amount = sum(sold[each.line].price * each.quantity for each in lines)
    if not amount:
        raise Malformed("lines", "must have cost something")
    return amount


def check_lines(connection: Connection, sale: Sale, lines: Sequence[Back], *, original: int, refund: int) -> None:
    """Raises AboveOriginal when more of a line would go back than was sold, in the caller's transaction.

    Every other refund counts that was carried out, or may still be; one that was refused does not, and is looked at again before it is
    tried again. A `refund` that counts already is a repeat.
    """
    counts = {answer.id for answer in records.answers_to(connection, original)}
    if refund in counts:
        return
    back: Counter[int] = Counter()
    query = select(sale_actions.c.lines).where(sale_actions.c.sale == sale.id, sale_actions.c.payment.in_(counts))
    for text in connection.execute(query).scalars():
        for each in lines_back(text):
            back[each.line] += each.quantity
    for each in lines:
        left = sale.lines[each.line].quantity - back[each.line]
        if each.quantity > left:
            raise AboveOriginal(f"of line {each.line}, {left} are left", line=each.line, left=left)
