"""Parties as the rest of the house sees them: who stands behind an account, and what they may do.

`Parties.authorise` is step 1 of every payment. Opening, keys, recovery, PINs, staff and notices each have their part:

    parties.enrolment   open_customer, open_by_number, open_by_staff, open_first_staff, send_code, set_handle, set_number
    parties.devices     add, rotate, revoke, of
    parties.recoveries  begin, cancel, complete_due
    parties.pins        check, set, change
    parties.pin_payments  authorise, allow
    parties.staff       freeze, unfreeze, change_tier, set_own_limits, give_role, close
    parties.notices     waiting, delivered
    parties.watchers    choose, accept, decline, leave, take_away, of, watched_by
    parties.sim_changes  tell, lift, standing, release_number
"""

from __future__ import annotations

import asyncio
from zoneinfo import ZoneInfo

from argon2 import PasswordHasher

from counterfoil.clock import Clock
from counterfoil.errors import Malformed, PartyNotFound, Unavailable
from counterfoil.ledger.service import Ledger
from counterfoil.parties.authorisation import Authorisation, Authoriser, Verify
from counterfoil.parties.codes import Codes
from counterfoil.parties.context import Context, NewKey
from counterfoil.parties.devices import Devices, Recoveries
from counterfoil.parties.directory import HOLDERS_MAX, Directory
from counterfoil.parties.enrolment import Enrolment, NewParty
from counterfoil.parties.notices import Notices
from counterfoil.parties.pin_payments import PinLimits, PinPayments
from counterfoil.parties.pins import Pins
from counterfoil.parties.sim_changes import SimChanges
from counterfoil.parties.staff import Staff
from counterfoil.parties.tiers import add_missing
from counterfoil.parties.types import Device, Holder, Party
from counterfoil.parties.watchers import Watchers
from counterfoil.store.database import Store

PULSE_S = 10.0
"""Seconds between two looks for recoveries that are due."""

__all__ = ["Authorisation", "NewKey", "NewParty", "Parties", "PinLimits"]


class Parties:
    """Who takes part. `prepare()` once at the start, then `run()` beside the server.

    Args:
        origin: the scheme's name, in everything that devices sign.
        region: country of phone numbers without country code, such as "KE".
        languages: languages that we speak.
        currency_ledger, currency_digits: the ledger of the accounts that are opened, and the currency's decimal places.
        sandbox: tell enrolment codes to the caller. Never with real money.
        recovery_delay_s: seconds before a recovery takes effect.
        recovery_spend_max: minor units a day that may leave while a recovery waits, and by PIN after a change of SIM.
        watcher_notice_s: seconds for which a watcher who was taken away is still told everything.
        pin_limits: what PINs may take from an account, in one payment and in a day.
        time_zone: whose days and months the limits count, such as "Africa/Nairobi".
        hasher: for tests that want quick PINs.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        *,
        origin: str,
        region: str,
        languages: tuple[str, ...],
        currency_ledger: int,
        currency_digits: int = 2,
        sandbox: bool = False,
        recovery_delay_s: int = 72 * 3600,
        recovery_spend_max: int = 2_000,
        watcher_notice_s: int = 72 * 3600,
        pin_limits: PinLimits | None = None,
        time_zone: str = "UTC",
        holders_max: int = HOLDERS_MAX,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.currency_digits = currency_digits
        self.directory = Directory(store, region=region, holders_max=holders_max)
        self.pins = Pins(store, clock, hasher=hasher)
        self._context = Context(
            store=store,
            ledger=ledger,
            clock=clock,
            directory=self.directory,
            pins=self.pins,
            codes=Codes(store, clock, sandbox=sandbox),
            origin=origin,
            region=region,
            languages=languages,
            currency_ledger=currency_ledger,
            recovery_delay_s=recovery_delay_s,
        )
        self.enrolment = Enrolment(self._context)
        self.devices = Devices(self._context)
        self.recoveries = Recoveries(self._context)
        self.staff = Staff(self._context)
        self.notices = Notices(store, clock)
        self._authoriser = Authoriser(self.directory, ledger, clock, zone=_zone(time_zone), recovery_spend_max=recovery_spend_max)
        self.watchers = Watchers(self._context, notice_s=watcher_notice_s)
        self.sim_changes = SimChanges(self._context, spend_max=recovery_spend_max)
        self.pin_payments = PinPayments(self._context, self._authoriser, pin_limits or PinLimits(), self.sim_changes)
        # The hot path's own names, so that a payment pays for no further call.
        self.found_holder = self.directory.found_holder
        self.authorise = self._authoriser.authorise
        self.admit = self._authoriser.admit
        self.check_payee = self._authoriser.check_payee
        self.authorise_by_pin = self.pin_payments.authorise
        self._stopping = asyncio.Event()

    async def resolve(self, address: str) -> Holder:
        """Whom an address means: a phone number, `@handle` or merchant code. PartyNotFound, or Malformed when it is none of them."""
        holder = await self.directory.resolve(address)
        if holder is None:
            raise PartyNotFound
        return holder

    async def holder(self, account: int) -> Holder:
        """The holder of a ledger account, or PartyNotFound."""
        holder = self.directory.found_holder(account) or await self.directory.holder(account)
        if holder is None:
            raise PartyNotFound
        return holder

    async def holder_of_party(self, party: int) -> Holder:
        """The holder by party id, or PartyNotFound (also for staff, who hold no account)."""
        return await self.directory.holder_of_party(party)

    async def party(self, party: int) -> Party:
        """The party by its id, or PartyNotFound."""
        return await self._context.party(party)

    async def device(self, device: int) -> Device | None:
        """The device, in whatever state, or None."""
        return await self.directory.device(device)

    async def sign_in(self, address: str, pin: str) -> Party:
        """The party behind a number, handle or code and its PIN: WrongPin whether the address or the PIN is wrong, in the same time."""
        party = await self.directory.party_at(address)
        await self.pins.check(party, pin, address=self.directory.spelled(address))
        assert party is not None, "nobody's PIN is never right"
        return await self.party(party)

    def verify_by(self, verify: Verify) -> None:
        """Lets `verify` check the signatures of orders from now on: for a server whose signatures are checked elsewhere."""
        self._authoriser.verify = verify

    async def prepare(self) -> None:
        """Adds the default tiers that are missing."""
        await self.store.write(lambda connection: add_missing(connection, self.currency_digits))

    async def run(self) -> None:
        """Lets what is due take effect (recoveries, watchers taken away) and clears old attempts, until `stop()`. Unavailable is waited out."""
        while not self._stopping.is_set():
            try:
                await self.recoveries.complete_due()
                await self.watchers.end_due()
                await self.pins.forget_old_attempts()
            except Unavailable:
                pass  # the store says so itself; the next pulse tries again
            try:
                async with asyncio.timeout(PULSE_S):
                    await self._stopping.wait()
            except TimeoutError:
                continue
        self.close()

    async def stop(self) -> None:
        """Ends `run()`. Safe to repeat."""
        self._stopping.set()

    def close(self) -> None:
        """Lets go of the PIN threads. Safe to repeat."""
        self.pins.close()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise Malformed("time_zone", "must be a time zone such as Africa/Nairobi") from error
