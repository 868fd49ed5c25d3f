"""Who guesses is slowed down: wrong signatures by device and address, unknown devices and unauthenticated calls by address."""

from __future__ import annotations

from counterfoil.clock import Clock
from counterfoil.errors import UnknownDevice
from counterfoil.web.throttle import Throttle

WRONG_SIGNATURES_PER_MINUTE = 10
"""For one device from one address: nobody who knows a device's id can lock its owner out from elsewhere."""
UNKNOWN_PER_MINUTE = 120
"""Unknown devices and tokens from one address, which many phones may share."""
ENROLMENTS_PER_MINUTE = 20
"""Codes, accounts and recoveries asked for from one address. For one number, parties has a bound of its own."""
LOOK_UPS_PER_MINUTE = 60
"""Addresses that one party may look up: enough to pay, too few to copy the directory."""


class Guesses:
    """All the throttles of the API."""

    def __init__(self, clock: Clock, *, enrolments_per_minute: int = ENROLMENTS_PER_MINUTE) -> None:
        self._signatures = Throttle(clock, burst=WRONG_SIGNATURES_PER_MINUTE, per_minute=WRONG_SIGNATURES_PER_MINUTE)
        self._unknown = Throttle(clock, burst=UNKNOWN_PER_MINUTE, per_minute=UNKNOWN_PER_MINUTE)
        self.enrolments = Throttle(clock, burst=enrolments_per_minute, per_minute=enrolments_per_minute)
        self.look_ups = Throttle(clock, burst=LOOK_UPS_PER_MINUTE, per_minute=LOOK_UPS_PER_MINUTE)

    def check(self, ip: str, device: str) -> None:
        """Raises TooMany while this address has used up its wrong tries, with this device or with unknown ones."""
        if self._signatures:
            self._signatures.check((ip, device))
        if self._unknown:
            self._unknown.check(ip)

    def count(self, ip: str, device: str, refusal: Exception) -> None:
        """Counts a refusal against the address: an unknown device or token, or a wrong signature of `device`."""
        if isinstance(refusal, UnknownDevice) or not device:
            self._unknown.spend(ip)
        else:
            self._signatures.spend((ip, device))
