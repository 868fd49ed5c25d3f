"""What a pump's controller keeps on its disk: whose till it is, and the one fill that is under way.

pump.json   JSON, mode 0600: the server, and the till's token there
fill.json   JSON, mode 0600: a fill that is not over; on the disk before it is sent
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from counterfoil.commands.pairing import PairedFolder


class OpenFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as it is asked for, each time alike. `amount` in minor units, None for a full tank; `totaliser` before, in millilitres."""

    id: str
    account: str
    pump: str
    product: str
    amount: int | None
    totaliser: int


class Folder(PairedFolder):
    """The controller's folder, `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "pump")
        self._fill = path / "fill.json"

    def left_of(self) -> str | None:
        left = self.fill()
        return None if left is None else left.account

    def fill(self) -> OpenFill | None:
        """The fill that is under way; None when the last one is over."""
        return self.load(self._fill, OpenFill)

    def keep_fill(self, fill: OpenFill) -> None:
        """On the disk on return. There is one at a time."""
        assert not self._fill.exists(), self._fill
        self.write(self._fill, fill)

    def forget_fill(self) -> None:
        """For when it is over, and was told. A repeat changes nothing."""
        self.forget(self._fill)
