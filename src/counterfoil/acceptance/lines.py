"""Lines of a sale: what they may be, what of them makes a sale the same sale, and what the shop's goods add to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from counterfoil.acceptance.goods.rules import NAME_SIZE_MAX, parse_department
from counterfoil.acceptance.tables import goods
from counterfoil.acceptance.tax import RATE_MAX
from counterfoil.acceptance.types import Line
from counterfoil.errors import Malformed
from counterfoil.ids import parse_id
from counterfoil.money import check_amount
from counterfoil.parties.numbers import parse_name

LINES_MAX = 100
QUANTITY_MAX = 9_999


def checked(lines: Sequence[Line], amount: int) -> list[Line]:
    """`lines` with their names tidied, or Malformed, naming the line and its field. `amount` has to be their sum."""
    check_amount(amount)
    if not 0 < len(lines) <= LINES_MAX:
        raise Malformed("lines", f"must be 1 to {LINES_MAX}")
    found = [_checked(line, f"lines[{number}]") for number, line in enumerate(lines)]
    if sum(line.price * line.quantity for line in lines) != amount:
        raise Malformed("amount", "must be the sum of the lines")
    return found


def content_of(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines as they were sent: department and tax only where the caller named them, so that older callers' repeats stay repeats."""
    content = []
    for line in lines:
        said = {name: value for name, value in (("department", line.department), ("tax", line.tax)) if value is not None}
        content.append({"name": line.name, "price": line.price, "quantity": line.quantity, "goods": line.goods} | said)
    return content


def with_marks(connection: Connection, account: int, lines: Sequence[Line]) -> list[Line]:
    """`lines` with department and tax where they name none: those that their goods have now; "" and 0 for what is not the shop's goods."""
    wanted = {parse_id(line.goods) for line in lines if line.goods is not None and None in (line.department, line.tax)}
    query = select(goods.c.id, goods.c.department, goods.c.tax).where(goods.c.id.in_(sorted(wanted)), goods.c.account == account)
    marks = {row.id: (row.department, row.tax) for row in connection.execute(query)} if wanted else {}
    return [_marked(line, *marks.get(parse_id(line.goods) if line.goods is not None else 0, ("", 0))) for line in lines]


def _marked(line: Line, department: str, tax: int) -> Line:
    return msgspec.structs.replace(
        line,
        department=department if line.department is None else line.department,
        tax=tax if line.tax is None else line.tax,
    )


def _checked(line: Line, field: str) -> Line:
    name = parse_name(line.name, f"{field}.name") if line.name.strip() else ""
    if len(name) > NAME_SIZE_MAX:
        raise Malformed(f"{field}.name", f"must be at most {NAME_SIZE_MAX} characters")
    check_amount(line.price, f"{field}.price", minimum=0)
    if not 0 < line.quantity <= QUANTITY_MAX:
        raise Malformed(f"{field}.quantity", f"must be 1 to {QUANTITY_MAX}")
    if line.goods is not None:
        parse_id(line.goods, f"{field}.goods")
    department = None if line.department is None else parse_department(line.department, f"{field}.department")
    if line.tax is not None and not 0 <= line.tax <= RATE_MAX:
        raise Malformed(f"{field}.tax", f"must be 0 to {RATE_MAX}")
    return Line(name, line.price, line.quantity, line.goods, department, line.tax)
