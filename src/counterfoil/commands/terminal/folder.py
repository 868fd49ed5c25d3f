"""What a desk keeps on its disk: whose till it is, and the one sale that is under way.

    terminal.json   JSON, mode 0600: the server, and the till's token there
    sale.json       JSON, mode 0600: a sale whose outcome the clerk has not been told; on the disk before it is sent

Nothing that a card or its holder has said is ever here.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from counterfoil.commands.pairing import PairedFolder
from counterfoil.commands.terminal.scanned import Scanned


class OpenSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale as it is sent, each time alike. `amount` in minor units, `shown` the same in words; `made_at` by the server's clock.

    Attributes:
        account: of the shop that makes it.
        name: of the goods; "" when the clerk named none.
        lines: goods that were scanned; none for an amount that was typed.
    """

    id: str
    account: str
    amount: int
    shown: str
    name: str
    made_at: str
    lines: list[Scanned] = []


class Folder(PairedFolder):
    """The desk's folder, `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "terminal")
        self._sale = path / "sale.json"

    def left_of(self) -> str | None:
        left = self.sale()
        return None if left is None else left.account

    def sale(self) -> OpenSale | None:
        """The sale that was under way; None when the clerk was told how the last one ended."""
        return self.load(self._sale, OpenSale)

    def keep_sale(self, sale: OpenSale) -> None:
        """On the disk on return. There is one at a time."""
        assert not self._sale.exists(), self._sale
        self.write(self._sale, sale)

    def forget_sale(self) -> None:
        """For when the clerk has been told. A repeat changes nothing."""
        self.forget(self._sale)
