"""The conversation with the server: what a till may ask, with its token and a clerk's session. Outcomes as in `pairing.Caller`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from counterfoil.commands.pairing import Caller
from counterfoil.commands.terminal.folder import OpenSale
from counterfoil.commands.terminal.scanned import Scanned
from counterfoil.web.values import base64_text, parse_base64


class Till(Caller):
    """A till at which a clerk sells."""

    def sign_in(self, clerk: str, pin: str) -> None:
        """From now on this clerk sells."""
        self.session = self.call("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": pin}, attempts=1)["session"]

    def sign_out(self) -> None:
        self.call("POST", "/v1/till/sign-out", attempts=1)
        self.session = ""

    def sell(self, sale: OpenSale) -> Any:
        """The sale; the same again for a repeat."""
        lines = [msgspec.structs.asdict(line) for line in sale.lines] or [{"name": sale.name, "price": sale.amount, "quantity": 1}]
        return self.call("POST", "/v1/till/sales", {"id": sale.id, "lines": lines, "amount": sale.amount, "made_at": sale.made_at})

    def goods(self, barcode: str) -> Scanned | None:
        """The shop's goods with this barcode, once; None where it has none."""
        found = self.call("GET", "/v1/till/goods", query={"barcode": barcode})["goods"]
        return Scanned(goods=found[0]["id"], name=found[0]["name"], price=found[0]["price"]) if found else None

    def sale(self, id: str) -> Any:
        """How it stands with a sale."""
        return self.call("GET", f"/v1/till/sales/{id}")

    def cancel(self, id: str) -> Any:
        """Nobody can pay it any more."""
        return self.call("POST", f"/v1/till/sales/{id}/cancel")

    def ask(self, id: str, e: str, c: str) -> Any:
        """What the sale will cost whoever holds the card that has said `e` and `c`; the same again for a repeat."""
        return self.call("POST", f"/v1/till/sales/{id}/card", {"e": e, "c": c})

    def prove(self, id: str, tap: str, answers: Sequence[bytes]) -> bytes | None:
        """What the card is given next, after these answers; None once it has proved that it is here."""
        found = self.call("POST", f"/v1/till/sales/{id}/card/prove", {"tap": tap, "answers": [base64_text(each) for each in answers]})
        return None if found["command"] is None else parse_base64(found["command"], "command")

    def pay(self, id: str, tap: str, pin: str) -> Any:
        """The sale, paid. Sent once: a wrong PIN would count each time, so that whoever has no answer looks at the sale first."""
        return self.call("POST", f"/v1/till/sales/{id}/card/pay", {"tap": tap, "pin": pin}, attempts=1)
