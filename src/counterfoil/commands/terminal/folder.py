"""What a desk keeps on its disk: whose till it is, and the one sale that is under way.

    terminal.json   JSON, mode 0600: the server, and the till's token there
    sale.json       JSON, mode 0600: a sale whose outcome the clerk has not been told; on the disk before it is sent

Nothing that a card or its holder has said is ever here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from counterfoil.commands import private_file
from counterfoil.commands.output import WrongUse
from counterfoil.folder import only_process

Kept = TypeVar("Kept")


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """Whose till this desk is. `token` is its right to ask; whoever has it and a clerk's PIN can sell as this till."""

    server: str
    token: str
    till: str
    till_name: str
    account: str
    merchant: str


class OpenSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale as it is sent, each time alike. `amount` in minor units, `shown` the same in words; `made_at` by the server's clock.

    Attributes:
        account: of the shop that makes it.
        name: of the goods; "" when the clerk named none.
    """

    id: str
    account: str
    amount: int
    shown: str
    name: str
    made_at: str


class Folder:
    """The desk's folder, `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pairing = path / "terminal.json"
        self._sale = path / "sale.json"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Makes the folder if it is not there, and keeps other desks out of it. Unavailable while another one is in it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with only_process(self.path):
            yield

    def pairing(self) -> Pairing | None:
        """Whose till it is; None before it was paired. WrongUse when others can read it, or it is no such file."""
        return self._load(self._pairing, Pairing)

    def keep_pairing(self, pairing: Pairing) -> None:
        """On the disk on return, in place of any before."""
        self._write(self._pairing, pairing)

    def sale(self) -> OpenSale | None:
        """The sale that was under way; None when the clerk was told how the last one ended."""
        return self._load(self._sale, OpenSale)

    def keep_sale(self, sale: OpenSale) -> None:
        """On the disk on return. There is one at a time."""
        assert not self._sale.exists(), self._sale
        self._write(self._sale, sale)

    def forget_sale(self) -> None:
        """For when the clerk has been told. A repeat changes nothing."""
        self._sale.unlink(missing_ok=True)
        private_file.sync_folder(self.path)

    def _load(self, path: Path, kind: type[Kept]) -> Kept | None:
        try:
            mode, data = path.stat().st_mode, path.read_bytes()
        except FileNotFoundError:
            return None
        if mode & 0o077:
            raise WrongUse(f"others can read {path}: chmod 600 {path}")
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError as error:
            raise WrongUse(f"{path} cannot be read ({error}): do not delete it unseen") from None

    def _write(self, path: Path, kept: msgspec.Struct) -> None:
        private_file.write(path, msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
