"""Who stands at a till that asks, and a sale as a till sees it."""

from __future__ import annotations

from counterfoil.acceptance.service import Acceptance
from counterfoil.acceptance.types import Clerk, Right, Sale, Standing, Till
from counterfoil.errors import AccountFrozen, PartyClosed, PayeeCannotReceive, PayeeLimitExceeded
from counterfoil.parties.service import Parties
from counterfoil.web.access import Principal
from counterfoil.web.incoming import Incoming
from counterfoil.web.till_views import SaleView, sale_view

CLERK_HEADER = "counterfoil-clerk"
ASKING = (PayeeCannotReceive, PayeeLimitExceeded, AccountFrozen, PartyClosed)
"""What refuses a sale that is to be made."""


class Desk:
    """What everything under /v1/till asks first and answers last."""

    def __init__(self, *, acceptance: Acceptance, parties: Parties) -> None:
        self.acceptance = acceptance
        self.parties = parties

    async def at(self, caller: Principal, request: Incoming, right: Right | None = None) -> tuple[Till, Clerk]:
        """The till that asks and the clerk at it, who has to have `right`. NotAuthenticated, Forbidden."""
        till = await self.acceptance.tills.of_token(caller.token)
        return till, await self.acceptance.clerks.at_till(request.header(CLERK_HEADER) or "", till=till.id, right=right)

    async def view(self, sale: Sale, standing: Standing) -> SaleView:
        holder = await self.parties.holder(sale.account)
        payer = await self.parties.holder(standing.payment.payer) if standing.payment else None
        return sale_view(sale, standing, codes=self.acceptance.codes, holder=holder, payer_name=payer.name if payer else None)
