"""What goods may be. Pure."""

from __future__ import annotations

import msgspec

from counterfoil.acceptance.goods.barcode import parse_barcode
from counterfoil.acceptance.tax import RATE_MAX
from counterfoil.acceptance.types import Goods
from counterfoil.errors import Malformed
from counterfoil.money import check_amount
from counterfoil.parties.numbers import parse_name

GOODS_MAX = 10_000
"""Goods of one account."""
TILL_GOODS_MAX = 500
"""Of these, the ones that its tills list: all that are shown, and the hidden ones that have a place."""
NAME_SIZE_MAX = 60
UNIT_SIZE_MAX = 16
DEPARTMENT_SIZE_MAX = 60
POSITION_MAX = 9_999
OFF_TILL = POSITION_MAX
"""Goods that are hidden at this position are on no till's list: they are found by their barcode."""
FIELDS = ("name", "price", "unit", "shown", "position", "barcode", "department", "tax")
"""All that goods have besides their id."""


def checked(wanted: Goods) -> Goods:
    """`wanted` with its texts tidied, or Malformed, naming the field."""
    name = parse_name(wanted.name)
    if len(name) > NAME_SIZE_MAX:
        raise Malformed("name", f"must be at most {NAME_SIZE_MAX} characters")
    unit = parse_name(wanted.unit, "unit") if wanted.unit.strip() else ""
    if len(unit) > UNIT_SIZE_MAX:
        raise Malformed("unit", f"must be at most {UNIT_SIZE_MAX} characters")
    if not 0 <= wanted.position <= POSITION_MAX:
        raise Malformed("position", f"must be 0 to {POSITION_MAX}")
    check_amount(wanted.price, "price", minimum=0)
    barcode, department = parse_barcode(wanted.barcode), parse_department(wanted.department)
    if not 0 <= wanted.tax <= RATE_MAX:
        raise Malformed("tax", f"must be 0 to {RATE_MAX}")
    return msgspec.structs.replace(wanted, name=name, unit=unit, barcode=barcode, department=department)


def parse_department(text: str, field: str = "department") -> str:
    """The name of a department, "" for none. Malformed."""
    name = parse_name(text, field) if text.strip() else ""
    if len(name) > DEPARTMENT_SIZE_MAX:
        raise Malformed(field, f"must be at most {DEPARTMENT_SIZE_MAX} characters")
    return name
