"""The goods of a shop as they look in JSON. Prices in minor units, tax included; rates in hundredths of a percent."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from counterfoil.acceptance.goods.barcode import BARCODE_SIZE_MAX
from counterfoil.acceptance.goods.catalogue import PAGE_SIZE_MAX
from counterfoil.acceptance.goods.rules import FIELDS, POSITION_MAX
from counterfoil.acceptance.tax import RATE_MAX
from counterfoil.acceptance.types import Goods
from counterfoil.web.values import AmountOrZero, Cursor, Text, UuidText, uuid_text

Rate = Annotated[int, msgspec.Meta(ge=0, le=RATE_MAX, description="hundredths of a percent, contained in the price", examples=[1600])]
Barcode = Annotated[
    str,
    msgspec.Meta(
        max_length=BARCODE_SIZE_MAX,
        description="a GTIN, with its check digit, or 1 to 20 letters and digits of the shop's own; empty for none",
        examples=["4006381333931"],
    ),
]
Department = Annotated[str, msgspec.Meta(max_length=100, description="empty for none")]


class GoodsView(msgspec.Struct, frozen=True):
    """Something that the shop sells; `shown` on the till's grid, by `position`."""

    id: UuidText
    name: str
    price: AmountOrZero
    unit: str
    shown: bool
    position: Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)]
    barcode: Barcode
    department: Department
    tax: Rate


class GoodsListView(msgspec.Struct, frozen=True):
    """Goods as they were asked for. `next` is the cursor of the following page; null at the end, and where there are no pages."""

    goods: Annotated[list[GoodsView], msgspec.Meta(description=f"at most {PAGE_SIZE_MAX}")]
    next: Cursor | None


class GoodsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which goods: those that the tills list, in the order of the grid; or others.

    Attributes:
        list: `all` for all goods of the shop, page by page; `cursor` from the page before.
        barcode: the goods with this barcode, one or none.
    """

    list: Literal["till", "all"] = "till"
    cursor: Cursor | None = None
    barcode: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class ImportedView(msgspec.Struct, frozen=True):
    """How many goods a price list added and changed, and how many were like that already."""

    added: int
    changed: int
    unchanged: int


class GoodsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the goods shall be from now on. `price` includes tax. Barcode, department and tax stay as they are where they are null."""

    name: Text
    price: AmountOrZero
    unit: Annotated[str, msgspec.Meta(max_length=100)] = ""
    shown: bool = True
    position: Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)] = 0
    barcode: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    department: Department | None = None
    tax: Rate | None = None


def goods_view(goods: Goods) -> GoodsView:
    return GoodsView(id=uuid_text(goods.id), **{field: getattr(goods, field) for field in FIELDS})
