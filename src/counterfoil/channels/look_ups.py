"""Names are shown to whoever is about to pay: a few for everybody, so that nobody copies the list of customers by phone.

Counted by account, whether it asks by USSD or by text, and by gateway: one that was broken into can speak for many numbers. In
memory, like the look-ups of the web: whoever waits for a restart gains one more burst.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol

from counterfoil.parties.pin_brake import place

BURST: Final = 30
"""Look-ups of one account at once, the misspelt ones included."""
PER_MINUTE: Final = 1
"""Look-ups of one account in the long run: enough to pay suppliers all day, while 100,000 numbers take ten weeks."""
GATEWAY_BURST: Final = 3_000
GATEWAY_PER_MINUTE: Final = 2_400
"""Of all that come through one gateway: as many as there can be payments, at 200 hops a second and five for each payment."""


class Bound(Protocol):
    """So many events for each key: `web.throttle.Throttle`."""

    def check(self, key: Hashable) -> None:
        """Raises TooMany when there is none left; counts nothing."""
        ...

    def spend(self, key: Hashable) -> None:
        """Counts one. Raises TooMany when there is none left, and then counts nothing."""
        ...


class LookUps:
    """For the event loop's thread only."""

    def __init__(self, accounts: Bound, gateways: Bound) -> None:
        self._accounts = accounts
        self._gateways = gateways

    def spend(self, account: int) -> None:
        """Counts one look-up by `account`, through the place that `asked_from` names. Raises TooMany, and then counts nothing."""
        through = place()
        self._accounts.check(account)
        if through is not None:
            self._gateways.spend(through)
        self._accounts.spend(account)
