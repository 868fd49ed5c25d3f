"""The conversation with the server: what a till may ask, with its token and a clerk's session.

Each call is repeated as it is a few times; then Unavailable says that it is not known whether it was done. ServerRefused is a no.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from counterfoil.commands.client import ATTEMPTS, Client
from counterfoil.commands.terminal.folder import OpenSale
from counterfoil.web.values import base64_text, parse_base64


class Till:
    """A till, known to the server by `token`. `session` is "" while no clerk is signed in."""

    def __init__(self, client: Client, token: str) -> None:
        self.client = client
        self.session = ""
        self._token = token

    def shop(self) -> Any:
        """Whose till it is, who works at it, its currency, and the server's clock. Needs no clerk."""
        return self._call("GET", "/v1/till")

    def sign_in(self, clerk: str, pin: str) -> None:
        """From now on this clerk sells."""
        self.session = self._call("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": pin}, attempts=1)["session"]

    def sign_out(self) -> None:
        self._call("POST", "/v1/till/sign-out", attempts=1)
        self.session = ""

    def sell(self, sale: OpenSale) -> Any:
        """The sale; the same again for a repeat."""
        line = {"name": sale.name, "price": sale.amount, "quantity": 1}
        return self._call("POST", "/v1/till/sales", {"id": sale.id, "lines": [line], "amount": sale.amount, "made_at": sale.made_at})

    def sale(self, id: str) -> Any:
        """How it stands with a sale."""
        return self._call("GET", f"/v1/till/sales/{id}")

    def cancel(self, id: str) -> Any:
        """Nobody can pay it any more."""
        return self._call("POST", f"/v1/till/sales/{id}/cancel")

    def ask(self, id: str, e: str, c: str) -> Any:
        """What the sale will cost whoever holds the card that has said `e` and `c`; the same again for a repeat."""
        return self._call("POST", f"/v1/till/sales/{id}/card", {"e": e, "c": c})

    def prove(self, id: str, tap: str, answers: Sequence[bytes]) -> bytes | None:
        """What the card is given next, after these answers; None once it has proved that it is here."""
        found = self._call("POST", f"/v1/till/sales/{id}/card/prove", {"tap": tap, "answers": [base64_text(each) for each in answers]})
        return None if found["command"] is None else parse_base64(found["command"], "command")

    def pay(self, id: str, tap: str, pin: str) -> Any:
        """The sale, paid. Sent once: a wrong PIN would count each time, so that whoever has no answer looks at the sale first."""
        return self._call("POST", f"/v1/till/sales/{id}/card/pay", {"tap": tap, "pin": pin}, attempts=1)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, attempts: int = ATTEMPTS) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Counterfoil-Clerk": self.session} if self.session else {})
        data = b"" if body is None else json.dumps(body).encode()
        return self.client.call(method, path, body=data, signed=False, headers=headers, attempts=attempts)
