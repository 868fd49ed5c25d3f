"""What a lane keeps on its disk: whose till it is, and the one passage that is under way.

gate.json       JSON, mode 0600: the server, and the till's token there
passage.json    JSON, mode 0600: a car whose passage has not been told; on the disk before it is sent
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from counterfoil.commands.pairing import PairedFolder


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A car at the barrier, as it is sent, each time alike.

    Attributes:
        id: the passage: of a car that comes in also its stay, and its ticket.
        account: of the merchant whose car park it is.
        car_park: where it comes in; "" for one that goes out.
        entered_at: by the server's clock; "" for one that goes out.
        plate: as it was read; "" where none was.
    """

    way: Literal["in", "out"]
    id: str
    account: str
    stay: str
    car_park: str = ""
    entered_at: str = ""
    plate: str = ""
    hold: bool = False


class Folder(PairedFolder):
    """The lane's folder, `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "gate")
        self._passage = path / "passage.json"

    def left_of(self) -> str | None:
        left = self.passage()
        return None if left is None else left.account

    def passage(self) -> Passage | None:
        """The passage that was under way; None when the last one was told."""
        return self.load(self._passage, Passage)

    def keep_passage(self, passage: Passage) -> None:
        """On the disk on return. There is one at a time."""
        assert not self._passage.exists(), self._passage
        self.write(self._passage, passage)

    def forget_passage(self) -> None:
        """For when it was told how it ended. A repeat changes nothing."""
        self.forget(self._passage)
