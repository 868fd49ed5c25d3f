"""The signed codes and payment links of a scheme's merchants."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from counterfoil.acceptance import emv
from counterfoil.acceptance.types import Sale
from counterfoil.ids import id_text, parse_id
from counterfoil.money import Currency, parse_amount
from counterfoil.parties.types import Holder


class Codes:
    """Writes codes in the operator's name. `sign` is Ed25519 with the operator's key: 64 bytes over what it is given."""

    def __init__(self, *, origin: str, currency: Currency, region: str, sign: Callable[[bytes], bytes]) -> None:
        self.mark = emv.scheme_mark(origin)
        self.currency = currency
        self.region = region
        self._sign = sign

    @property
    def numeric(self) -> str:
        """ISO 4217 numeric of the scheme's currency, which its ledger is numbered by."""
        return f"{self.currency.ledger:03d}"[-3:]

    def fixed(self, holder: Holder) -> str:
        """The code that stands for a holder, for a poster: the payer says how much."""
        return self._write(holder)

    def of_sale(self, sale: Sale, holder: Holder) -> str:
        """The code of one sale, with its amount."""
        return self._write(holder, amount=emv.major(sale.amount, self.currency.digits), request=sale.id, hold=sale.hold)

    def asking(self, holder: Holder, amount: str | None, request: str | None, *, hold: bool) -> str:
        """The code of a payment link: `amount` in major units, `request` as UUID text.

        The operator signs the holder's name only: the rest is the word of whoever wrote the link. Without an amount it is the
        fixed code.
        """
        if amount is None:
            return self.fixed(holder)
        written = emv.major(parse_amount(amount, self.currency), self.currency.digits)
        named = None if request is None else parse_id(request, "request")
        return emv.complete(self.fixed(holder), amount=written, request=named, hold=hold)

    def link(self, sale: Sale, holder: Holder) -> str:
        """Path and query of the payment link of a sale."""
        amount = emv.major(sale.amount, self.currency.digits)
        return f"/pay/{quote(address_of(holder), safe='@+')}?amount={amount}&request={id_text(sale.id)}" + ("&hold=1" if sale.hold else "")

    def _write(self, holder: Holder, *, amount: str | None = None, request: int | None = None, hold: bool = False) -> str:
        code = emv.Code(
            scheme=self.mark,
            account=holder.account,
            address=address_of(holder) or None,
            name=holder.name,
            amount=amount,
            currency=self.numeric,
            country=self.region,
            request=request,
            hold=hold,
        )
        return emv.write(code, language=holder.language, sign=self._sign)


def address_of(holder: Holder) -> str:
    """What people type to pay a holder: merchant code, else handle, else number; "" for none."""
    return holder.merchant_code or (f"@{holder.handle}" if holder.handle else "") or holder.number or ""
