"""Whose order it is, and whether it is within the limits: step 1 of every payment.

Spending is never counted here: what has left an account today is what the ledger says now less what it said when the day
began, plus what is on its way. So a crash forgets nothing and a refused payment uses nothing up. What is on its way is
reserved from the answer until `release()`, so that two orders at once cannot pass a limit together; for the moment between
the ledger's commit and `release()` a payment counts twice, which can refuse too much, never too little.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from zoneinfo import ZoneInfo

from counterfoil.clock import Clock
from counterfoil.errors import (
    AccountFrozen,
    NotYourAccount,
    PartyClosed,
    PartyNotFound,
    PayeeCannotReceive,
    RecoveryWaiting,
    Unavailable,
    UnknownDevice,
    WrongSignature,
)
from counterfoil.ledger.service import Ledger
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties import limits
from counterfoil.parties.directory import Directory
from counterfoil.parties.keys import verify
from counterfoil.parties.periods import Period, period_of
from counterfoil.parties.types import Device, DeviceState, Freeze, Holder, KeyAlgorithm, PartyState

Verify = Callable[[KeyAlgorithm, bytes, bytes, bytes], Awaitable[bool]]
"""Whether a signature is right, as `keys.verify`: algorithm, public key, message, signature."""

PERIODS_MAX = 20_000
"""Accounts whose balances at the start of day and month are kept in memory."""


class Authorisation:
    """Permission for one movement. Hold it (`with`) until the ledger has answered: its amount is reserved until then."""

    __slots__ = ("holder", "device", "_amount", "_in_flight", "_then")

    def __init__(self, holder: Holder, device: Device | None, amount: int, in_flight: dict[int, int]) -> None:
        self.holder = holder
        self.device = device
        self._amount = amount
        self._in_flight = in_flight
        self._then: Callable[[], None] | None = None
        if amount:
            in_flight[holder.account] = in_flight.get(holder.account, 0) + amount

    def then(self, do: Callable[[], None]) -> Authorisation:
        """The same authorisation; `do` is called once, when it is released."""
        assert self._then is None
        self._then = do
        return self

    def release(self) -> None:
        """Gives the reserved amount back: the ledger counts it now, or it never will. Safe to repeat."""
        if self._amount:
            left = self._in_flight[self.holder.account] - self._amount
            assert left >= 0, left
            if left:
                self._in_flight[self.holder.account] = left
            else:
                del self._in_flight[self.holder.account]
            self._amount = 0
        if self._then is not None:
            do, self._then = self._then, None
            do()

    def __enter__(self) -> Authorisation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class Authoriser:
    """Decides on one payment at a time. `recovery_spend_max`: minor units a day while a recovery waits."""

    def __init__(self, directory: Directory, ledger: Ledger, clock: Clock, *, zone: ZoneInfo, recovery_spend_max: int) -> None:
        self.directory = directory
        self.ledger = ledger
        self.clock = clock
        self.zone = zone
        self.recovery_spend_max = recovery_spend_max
        self.verify: Verify = _verify_at_once
        self._in_flight: dict[int, int] = {}
        self._period = Period(0, 0, 0, 0)
        self._spent_before: dict[int, tuple[int, int]] = {}

    async def authorise(
        self, *, account_id: int, device_id: int, message: bytes, signature: bytes, amount: int, fee: int = 0
    ) -> Authorisation:
        """Permission for `amount` and `fee` to leave `account_id`, on the word of a device: its signature over `message`.

        Refusals in this order: UnknownDevice, WrongSignature, NotYourAccount, then those of `admit`. An amount of 0 (a
        request to be paid, a capture) only asks whose account it is. When all is in memory it waits for `verify` alone.
        """
        device = await self._active(device_id)
        if not await self.verify(device.algorithm, device.public_key, message, signature):
            raise WrongSignature
        if self.directory.found_device(device_id) is not device:
            device = await self._active(device_id)  # it may have been revoked while the signature was checked
        holder = self.directory.found_holder(account_id) or await self.directory.holder(account_id)
        if holder is None or holder.party != device.party:
            raise NotYourAccount
        return await self._admit(holder, device, amount, fee)

    async def _active(self, device_id: int) -> Device:
        device = self.directory.found_device(device_id) or await self.directory.device(device_id)
        if device is None or device.state is not DeviceState.ACTIVE:
            raise UnknownDevice
        return device

    async def admit(self, *, account_id: int, amount: int, fee: int = 0) -> Authorisation:
        """As `authorise`, where something else than a device's signature was verified: a PIN, a token, a batch.

        Refusals in this order: PartyNotFound, PartyClosed, AccountFrozen, RecoveryWaiting, LimitExceeded (of one payment,
        the day, the month).
        """
        holder = self.directory.found_holder(account_id) or await self.directory.holder(account_id)
        if holder is None:
            raise PartyNotFound
        return await self._admit(holder, None, amount, fee)

    def period(self, now: int) -> Period:
        """The day and the month that `now` (ns) lies in."""
        if not self._period.day_start <= now < self._period.day_end:
            self._period = period_of(now, self.zone)
            self._spent_before = {}
        return self._period

    async def _admit(self, holder: Holder, device: Device | None, amount: int, fee: int) -> Authorisation:
        assert amount >= 0, amount
        assert fee >= 0, fee
        now, account = self.clock.now_ns(), holder.account
        period = self.period(now)
        before = self._spent_before.get(account)
        if before is None and amount + fee > 0:
            before = await self._load_spent_before(account, period)
            holder = await self.directory.holder(account) or holder  # it may have been frozen while we waited
        # From here to the reservation nothing waits: no other order can come between.
        self._check_state(holder, now)
        if before is None or amount + fee == 0:
            return Authorisation(holder, device, 0, self._in_flight)
        balances = self.ledger.balances_now(account)
        if balances is None:
            raise Unavailable("the ledger does not know this account yet")
        debits_pending, debits_posted, _, _ = balances
        spent = debits_posted + debits_pending + self._in_flight.get(account, 0)
        spent_today, spent_month = spent - before[0], spent - before[1]
        assert 0 <= spent_today <= spent_month, (spent, before)
        if holder.recovery is not None and spent_today + amount + fee > self.recovery_spend_max:
            raise RecoveryWaiting(
                limit_amount=self.recovery_spend_max,
                left=max(self.recovery_spend_max - spent_today, 0),
                effective_at=holder.recovery.effective_at,
            )
        limits.check(
            amount=amount,
            fee=fee,
            spent_today=spent_today,
            spent_month=spent_month,
            limits=holder.limits,
            own=holder.own,
            day_ends_at=period.day_end,
            month_ends_at=period.month_end,
        )
        return Authorisation(holder, device, amount + fee, self._in_flight)

    def check_payee(self, payee: Holder, amount: int) -> None:
        """Refuses (PayeeCannotReceive, PayeeLimitExceeded) what the payee's account may not take.

        Nothing is reserved: payments that arrive in the same instant may together lift a balance a little above its maximum.
        """
        if payee.state is not PartyState.OPEN or (payee.freezes and self._freeze(payee, self.clock.now_ns(), incoming=True)):
            raise PayeeCannotReceive
        if payee.limits.balance_max == AMOUNT_MAX:
            return
        balances = self.ledger.balances_now(payee.account)
        if balances is None:
            raise Unavailable("the ledger does not know the payee's account yet")
        _, debits_posted, credits_pending, credits_posted = balances
        limits.check_balance(amount=amount, balance=credits_posted + credits_pending - debits_posted, limits=payee.limits)

    def check_able(self, holder: Holder) -> None:
        """Refuses (PartyClosed, AccountFrozen) when nothing may leave the account at all."""
        self._check_state(holder, self.clock.now_ns())

    def _check_state(self, holder: Holder, now: int) -> None:
        if holder.state is not PartyState.OPEN:
            raise PartyClosed
        if holder.freezes and (freeze := self._freeze(holder, now, incoming=False)):
            raise AccountFrozen(reason=freeze.reason, expires_at=freeze.expires_at, own=freeze.by == holder.party)

    @staticmethod
    def _freeze(holder: Holder, now: int, *, incoming: bool) -> Freeze | None:
        """The freeze in force, of those the one that lasts longest; None when there is none."""
        in_force = [f for f in holder.freezes if (f.expires_at is None or f.expires_at > now) and (f.incoming or not incoming)]
        return max(in_force, key=lambda freeze: freeze.expires_at or AMOUNT_MAX, default=None)

    async def _load_spent_before(self, account: int, period: Period) -> tuple[int, int]:
        """What had left the account when the day and the month began. The past does not change, so it is asked once."""
        day = await self.ledger.balance_at(account, period.day_start - 1)
        month = await self.ledger.balance_at(account, period.month_start - 1)
        before = (day.debits_posted, month.debits_posted)
        if period is self._period:
            if len(self._spent_before) >= PERIODS_MAX:
                del self._spent_before[next(iter(self._spent_before))]
            self._spent_before[account] = before
        return before


async def _verify_at_once(algorithm: KeyAlgorithm, public_key: bytes, message: bytes, signature: bytes) -> bool:
    return verify(algorithm, public_key, message, signature)
