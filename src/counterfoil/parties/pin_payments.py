"""Payments by PIN: for phones without a key of their own, and for holders whose own device has allowed it.

A PIN can be seen over a shoulder, and a server that is told it could use it again. So there is a limit of the scheme for
what PINs may take, and whoever has a device is debited by PIN only as far as that device has said in writing
(`statements.allow_pin`): so much a day, 0 for never again. Auditors hold the operator to that word.

As with every limit, what was taken is what the ledger says: the transfers of the day that carry the mark of this class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Row, select

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import (
    LimitExceeded,
    NotInThisState,
    NotYourAccount,
    PinNotAllowed,
    RequestTooOld,
    TooMany,
    UnknownDevice,
    WrongSignature,
)
from counterfoil.ledger.types import AccountFilter, AccountFilterFlags
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties import statements
from counterfoil.parties.authorisation import Authorisation, Authoriser
from counterfoil.parties.context import Context
from counterfoil.parties.journal import record, tell_everywhere
from counterfoil.parties.keys import verify
from counterfoil.parties.periods import Period
from counterfoil.parties.sim_changes import SimChanges
from counterfoil.parties.tables import devices, events
from counterfoil.parties.types import DeviceState, Holder

MARK = 2
"""What transfers authorised by PIN carry in user_data_32: `payments.types.AuthorisationClass.PIN`."""
ALLOWED_KIND = "pin_allowed"
"""The kind of the journal's rows that keep a consent."""
STATEMENT_AGE_S_MAX = 7 * 24 * 3600
"""A consent may be on its way as long as an order."""
STATEMENT_AHEAD_S_MAX = 300
"""A phone whose clock is further ahead could not take its word back until that day."""
PAYMENTS_PER_DAY_MAX = 500
"""Transfers by PIN of one account in one day."""


class PinLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The scheme's limits for payments by PIN, minor units: one payment without its fee, and a day with fees."""

    per_payment: int = AMOUNT_MAX
    per_day: int = AMOUNT_MAX


class PinConsent(msgspec.Struct, frozen=True):
    """What a device said: a PIN may take `per_day` minor units a day. `made_at_ms` by the device's clock."""

    per_day: int
    made_at_ms: int


class PinPayments:
    """Who may be debited by PIN, and the debit's authorisation."""

    def __init__(self, context: Context, authoriser: Authoriser, limits: PinLimits, sim_changes: SimChanges) -> None:
        self.limits = limits
        self._sim_changes = sim_changes
        self._context = context
        self._authoriser = authoriser
        self._turns = _Turns()

    async def authorise(self, *, account_id: int, pin: str, amount: int, fee: int = 0) -> Authorisation:
        """Permission for `amount` and `fee` to leave `account_id`, on the word of a PIN.

        Refusals in this order: PinLocked, WrongPin (also when nobody has this account), PinNotAllowed, LimitExceeded (of
        payments by PIN: `pin_per_payment`, then `pin_per_day`, lower after a change of SIM), then those of `Authoriser.admit`.
        Payments by PIN of one account wait for each other until the authorisation is released, so that two at once cannot pass
        a limit together.
        """
        directory = self._context.directory
        holder = await directory.holder(account_id)
        await self._context.pins.check(None if holder is None else holder.party, pin, address=str(account_id))
        leave = await self._turns.take(account_id)
        try:
            spent = await self._spent_today(account_id)
            holder = await directory.holder(account_id)
            assert holder is not None, account_id
            held_back = await self._sim_changes.standing(holder.party) is not None
            holder = directory.found_holder(account_id) or holder
            self._check(holder, amount=amount, fee=fee, spent=spent, held_back=held_back)
            authorisation = await self._authoriser.admit(account_id=account_id, amount=amount, fee=fee)
        except BaseException:
            leave()
            raise
        return authorisation.then(leave)

    async def allow(self, statement: bytes, *, device: int, signature: bytes) -> PinConsent:
        """Keeps what a device says about payments by PIN from its holder's account. All devices and the number are told.

        The newest word counts; a repeat of it changes nothing. Refusals in this order: Malformed, UnknownDevice,
        WrongSignature, NotYourAccount, NotInThisState (a newer word stands), RequestTooOld (or a clock that is ahead).
        """
        context = self._context
        account, per_day, made_at_ms = statements.read_allow_pin(statement, origin=context.origin)
        signer = await context.directory.device(device)
        if signer is None or signer.state is not DeviceState.ACTIVE:
            raise UnknownDevice
        if not verify(signer.algorithm, signer.public_key, statement, signature):
            raise WrongSignature
        holder = await context.directory.holder(account)
        if holder is None or holder.party != signer.party:
            raise NotYourAccount

        def write(connection: Connection) -> PinConsent:
            now = context.clock.now_ns()
            made = PinConsent(per_day, made_at_ms)
            last = _last(connection, signer.party)
            if last is not None and made_at_ms <= last[1].made_at_ms:
                if last[0] == statement:
                    return made
                raise NotInThisState("A newer word about payments by PIN stands.")
            age_s = now // NANOSECONDS - made_at_ms // 1_000
            if not -STATEMENT_AHEAD_S_MAX <= age_s <= STATEMENT_AGE_S_MAX:
                raise RequestTooOld(server_time_s=now // NANOSECONDS, age_max_s=STATEMENT_AGE_S_MAX)
            if connection.execute(select(devices.c.state).where(devices.c.id == device)).scalar_one() != DeviceState.ACTIVE:
                raise UnknownDevice  # revoked in the same moment
            tell_everywhere(connection, context.clock, signer.party, ALLOWED_KIND, per_day=per_day)
            record(
                connection, context.clock, signer.party, ALLOWED_KIND, by=device, device=str(device), account=str(account),
                per_day=per_day, made_at_ms=made_at_ms, statement=statement.hex(), signature=signature.hex(),
            )  # fmt: skip
            return made

        return await context.change(write, signer.party)

    async def _spent_today(self, account: int) -> int:
        """Minor units that PINs have taken since the day began, fees and what is set aside included."""
        chosen = AccountFilter(
            account_id=account,
            limit=PAYMENTS_PER_DAY_MAX,
            flags=AccountFilterFlags.DEBITS,
            user_data_32=MARK,
            timestamp_min=self._today().day_start,
        )
        transfers = await self._context.ledger.get_account_transfers(chosen)
        if len(transfers) == PAYMENTS_PER_DAY_MAX:
            raise TooMany
        return sum(transfer.amount for transfer in transfers)

    def _today(self) -> Period:
        return self._authoriser.period(self._context.clock.now_ns())

    def _check(self, holder: Holder, *, amount: int, fee: int, spent: int, held_back: bool) -> None:
        allowed = min(self.limits.per_day, self._sim_changes.spend_max) if held_back else self.limits.per_day
        if holder.pin_per_day is not None:
            if holder.pin_per_day == 0:
                raise PinNotAllowed
            allowed = min(allowed, holder.pin_per_day)
        if amount > self.limits.per_payment:
            _refuse("pin_per_payment", self.limits.per_payment, self.limits.per_payment, None, "tier")
        if spent + amount + fee > allowed:
            whose = "own" if allowed == holder.pin_per_day else "tier"
            _refuse("pin_per_day", allowed, max(allowed - spent, 0), self._today().day_end, whose)


def _refuse(name: str, limit: int, left: int, resets_at: int | None, whose: str) -> None:
    sentence = "one payment by PIN" if name == "pin_per_payment" else "payments by PIN in one day"
    raise LimitExceeded(
        f"This payment is above {'your own limit' if whose == 'own' else 'the limit'} for {sentence}.",
        limit=name, limit_amount=limit, left=left, resets_at=resets_at, whose=whose,
    )  # fmt: skip


def _last(connection: Connection, party: int) -> tuple[bytes, PinConsent] | None:
    """The newest consent of a party: its exact statement, and what it says."""
    query = select(events.c.facts).where(events.c.party == party, events.c.kind == ALLOWED_KIND).order_by(events.c.number.desc()).limit(1)
    row: Row[tuple[str]] | None = connection.execute(query).one_or_none()
    if row is None:
        return None
    facts = msgspec.json.decode(row.facts)
    return bytes.fromhex(facts["statement"]), PinConsent(facts["per_day"], facts["made_at_ms"])


class _Turns:
    """One at a time for each account."""

    def __init__(self) -> None:
        self._locks: dict[int, asyncio.Lock] = {}
        self._users: dict[int, int] = {}

    async def take(self, account: int) -> Callable[[], None]:
        """Waits for the account's turn; answers what gives it back, to be called once."""
        lock = self._locks.setdefault(account, asyncio.Lock())
        self._users[account] = self._users.get(account, 0) + 1
        try:
            await lock.acquire()
        except BaseException:
            self._leave(account)
            raise

        def give_back() -> None:
            lock.release()
            self._leave(account)

        return give_back

    def _leave(self, account: int) -> None:
        self._users[account] -= 1
        if self._users[account] == 0:
            del self._users[account], self._locks[account]
