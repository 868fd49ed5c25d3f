"""Brings a price list into a shop's goods: all of it or nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from counterfoil.acceptance.goods.catalogue import goods_of
from counterfoil.acceptance.goods.price_file import PriceFile, Wrong, read_price_file, refusal
from counterfoil.acceptance.goods.rules import FIELDS, GOODS_MAX
from counterfoil.acceptance.tables import goods
from counterfoil.acceptance.types import Goods
from counterfoil.clock import Clock
from counterfoil.errors import TooLarge
from counterfoil.ids import new_id
from counterfoil.money import Currency
from counterfoil.store.database import Store

IDS_AT_ONCE = 500


class Imported(msgspec.Struct, frozen=True):
    """How many goods a file added and changed, and how many were like that already."""

    added: int
    changed: int
    unchanged: int


class PriceLists:
    """Takes price lists in. `tell` hears of each account whose goods changed."""

    def __init__(self, *, store: Store, clock: Clock, currency: Currency, tell: Callable[[int], None]) -> None:
        self.store = store
        self.clock = clock
        self.currency = currency
        self._tell = tell

    async def take(self, account: int, content: bytes) -> Imported:
        """Adds and changes the goods in a file; others stay. A repeat changes nothing.

        Goods that it adds are not on the tills' grid. Malformed names each wrong line (`price_file.refusal`); TooLarge for more goods
        than a shop can have. Nothing is changed then.
        """
        file = await asyncio.to_thread(read_price_file, content, self.currency)  # ten thousand lines take half a second
        new_ids = {each.line: new_id(self.clock) for each in file.wanted}
        outcome = await self.store.write(lambda connection: self._write(connection, account, file, new_ids))
        if outcome.added or outcome.changed:
            self._tell(account)
        return outcome

    def _write(self, connection: Connection, account: int, file: PriceFile, new_ids: Mapping[int, int]) -> Imported:
        kept = {each.id: each for each in goods_of(connection, account)}
        added, changed = _plan(connection, account, file, kept, new_ids)
        if len(kept) + len(added) > GOODS_MAX:
            raise TooLarge(f"a shop has at most {GOODS_MAX} goods", goods_max=GOODS_MAX)
        now = self.clock.now_ns()
        this = goods.c.id == bindparam("this")
        renumbered = [{"this": each.id} for each in changed if each.barcode != kept[each.id].barcode]
        if renumbered:  # first, so that two goods may change barcodes with each other
            connection.execute(update(goods).where(this).values(barcode=""), renumbered)
        if changed:
            values: dict[str, Any] = {field: bindparam(f"new_{field}") for field in FIELDS} | {"changed_at": now}
            connection.execute(update(goods).where(this).values(values), [_values(each, "new_") | {"this": each.id} for each in changed])
        if added:
            more = {"account": account, "changed_at": now}
            connection.execute(insert(goods), [_values(each) | more | {"id": each.id} for each in added])
        return Imported(len(added), len(changed), len(file.wanted) - len(added) - len(changed))


def _plan(
    connection: Connection, account: int, file: PriceFile, kept: Mapping[int, Goods], new_ids: Mapping[int, int]
) -> tuple[list[Goods], list[Goods]]:
    """What is added and what is changed; raises for every line that cannot be."""
    by_barcode = {each.barcode: each.id for each in kept.values() if each.barcode}
    foreign = _of_others(connection, account, [each.goods.id for each in file.wanted if each.goods.id])
    after, lines = dict(kept), dict[int, int]()
    wrong: list[Wrong] = []
    for line, wanted in ((each.line, each.goods) for each in file.wanted):
        which = wanted.id or by_barcode.get(wanted.barcode) or new_ids[line]
        if which in foreign:
            wrong.append(Wrong(line, "id", "must not be that of another shop's goods"))
        elif which in lines:
            wrong.append(Wrong(line, "barcode", f"is that of the goods of line {lines[which]}"))
        else:
            lines[which] = line
            said = {field: getattr(wanted, field) for field in file.fields}
            after[which] = msgspec.structs.replace(kept[which], **said) if which in kept else msgspec.structs.replace(wanted, id=which)
    owners = Counter(each.barcode for each in after.values() if each.barcode)
    taken = [line for which, line in lines.items() if owners[after[which].barcode] > 1]
    wrong += [Wrong(line, "barcode", "is that of other goods of the shop") for line in taken]
    if wrong:
        raise refusal(wrong)
    changed = [after[which] for which in lines if which in kept and after[which] != kept[which]]
    return [after[which] for which in lines if which not in kept], changed


def _values(each: Goods, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{field}": getattr(each, field) for field in FIELDS}


def _of_others(connection: Connection, account: int, ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for at in range(0, len(ids), IDS_AT_ONCE):
        query = select(goods.c.id).where(goods.c.id.in_(ids[at : at + IDS_AT_ONCE]), goods.c.account != account)
        found |= set(connection.execute(query).scalars())
    return found
