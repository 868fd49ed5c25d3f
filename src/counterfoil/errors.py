"""Everything that can go wrong at the border, as a closed set of classes.

    CounterfoilError
    ├── Refused                  the answer is no; nothing has changed
    │   ├── Malformed            400  the request itself is wrong: names the field and the rule
    │   ├── NotAuthenticated     401  nobody we know signed this
    │   ├── Forbidden            403  known, but not allowed
    │   ├── NotFound             404  there is no such thing, or it is not yours to see
    │   ├── MethodNotAllowed     405  there is something, but it cannot do that
    │   ├── Conflict             409  it contradicts something that already stands
    │   ├── TooLarge             413  a bound was exceeded
    │   ├── UnsupportedFormat    415  the body is in another format than we read
    │   ├── PaymentRefused       422  well-formed and allowed, but the money does not move
    │   └── TooMany              429  slow down
    └── Unavailable              503  not known: ask again with the same id
        └── InternalError        500  the same, and the fault is a bug of ours

Inside a package an expected outcome is a value (`ledger.types.CreateTransferStatus`); these classes are for the border.
Each class has a `code` (its name in snake case, stable, part of the API), an HTTP `status`, a `retry` advice, and
a first docstring line that is fit to be shown to a person. `facts` carries what a program wants to know.
"""

from __future__ import annotations

import enum
import re
from typing import Any, ClassVar


class Retry(enum.StrEnum):
    """What the caller should do next."""

    NEVER = "never"
    """The same request will be refused again."""
    CHANGE = "change"
    """Change what the error names, then try again with a new id."""
    LATER = "later"
    """Try again later with a new id."""
    SAME_ID = "same_id"
    """The outcome is not known: repeat exactly this request, with the same id. It can never happen twice."""


class CounterfoilError(Exception):
    """Root of the tree. Never raised itself."""

    code: ClassVar[str] = "counterfoil_error"
    status: ClassVar[int] = 500
    retry: ClassVar[Retry] = Retry.NEVER

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, detail: str | None = None, **facts: Any) -> None:
        super().__init__(detail or self.sentence())
        self.facts = facts

    @classmethod
    def sentence(cls) -> str:
        """The first line of the docstring: one sentence for a person."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    @property
    def detail(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls cls(detail), which Malformed does not take: a refusal could not cross a process border.
        return _revive, (type(self), self.detail, self.facts)


def _revive(cls: type[CounterfoilError], detail: str, facts: dict[str, Any]) -> CounterfoilError:
    error = cls.__new__(cls, detail)
    error.facts = facts
    return error


class Refused(CounterfoilError):
    """The answer is no. Nothing has changed."""

    status = 422


class Unavailable(CounterfoilError):
    """We do not know yet whether this was done. Ask again with the same id: it cannot happen twice."""

    status = 503
    retry = Retry.SAME_ID


class InternalError(Unavailable):
    """Something broke on our side, and we do not know whether this was done. Ask again with the same id."""

    status = 500


# 400: the request itself


class Malformed(Refused):
    """The request is not in the form we expect."""

    status = 400
    retry = Retry.CHANGE

    def __init__(self, field: str, rule: str, **facts: Any) -> None:
        super().__init__(f"{field}: {rule}", field=field, rule=rule, **facts)


# 401: who is asking


class NotAuthenticated(Refused):
    """We could not tell who is asking."""

    status = 401


class WrongSignature(NotAuthenticated):
    """The signature does not belong to this request and this device."""


class UnknownDevice(NotAuthenticated):
    """This device is not enrolled, or has been removed."""


class WrongToken(NotAuthenticated):
    """The access token is not known, has expired or was revoked."""


class WrongPin(NotAuthenticated):
    """The PIN is not right."""

    retry = Retry.CHANGE


class WrongCode(NotAuthenticated):
    """The code is not right, or is too old."""

    retry = Retry.CHANGE


class RequestTooOld(NotAuthenticated):
    """The request was signed too long ago, or the clock of the device is wrong."""

    retry = Retry.CHANGE


# 403: known, but not allowed


class Forbidden(Refused):
    """You are not allowed to do this."""

    status = 403


class PinLocked(Forbidden):
    """The PIN is locked after too many wrong attempts."""

    retry = Retry.LATER


class AccountFrozen(Forbidden):
    """This account is frozen. The money in it is safe, and stays yours."""

    retry = Retry.LATER


class PartyClosed(Forbidden):
    """This account has been closed."""


class NotYourAccount(Forbidden):
    """This account belongs to somebody else."""


class PinNotAllowed(Forbidden):
    """This account pays with its own device. Allow payments by PIN there first."""

    retry = Retry.CHANGE


class CardLocked(Forbidden):
    """This card is locked."""


class CardNotHere(Forbidden):
    """This amount needs the card itself on the reader. Put it there, and leave it until the end."""

    retry = Retry.CHANGE


class NeedsSecondPerson(Forbidden):
    """A second person has to approve this; nobody approves their own proposal."""


class MessagesBlocked(Forbidden):
    """One of you has blocked messages between you."""


class WritingStopped(Forbidden):
    """You cannot write to anybody for a while, because of a message that was reported."""

    retry = Retry.LATER


class RecoveryWaiting(Forbidden):
    """A recovery of this account is waiting; until its delay is over only small payments are possible."""

    retry = Retry.LATER


# 404


class NotFound(Refused):
    """There is no such thing, or it is not yours to see."""

    status = 404


class PartyNotFound(NotFound):
    """Nobody has an account under this number, name or code."""

    retry = Retry.CHANGE


class CardUnknown(NotFound):
    """This is no card of this scheme, or it belongs to nobody."""


class PaymentNotFound(NotFound):
    """There is no payment with this id."""


class ProofNotReady(NotFound):
    """The log has no proof of this payment yet. Ask again in a few seconds."""

    retry = Retry.LATER


class MethodNotAllowed(Refused):
    """This address does not offer that method."""

    status = 405


# 409: it contradicts something that stands


class Conflict(Refused):
    """This contradicts something that already stands."""

    status = 409


class IdReused(Conflict):
    """This id was already used for something else. Take a new id."""

    retry = Retry.CHANGE


class AlreadyTaken(Conflict):
    """This number, handle or key is already in use."""

    retry = Retry.CHANGE


class NotInThisState(Conflict):
    """This is no longer possible: it has already been answered, ended or changed."""


class TapUsed(Conflict):
    """This tap of the card was used before, or the card has been tapped again since. Tap it once more."""

    retry = Retry.CHANGE


class CarParkFull(Conflict):
    """All places are taken. Wait until somebody leaves."""

    retry = Retry.LATER


class AlreadyInside(Conflict):
    """Somebody is inside with this plate or card. Let them out first."""

    retry = Retry.CHANGE


class PumpBusy(Conflict):
    """A fill is open at this pump. It has to be ended first."""

    retry = Retry.LATER


class FillOutOfOrder(Conflict):
    """This cannot follow what was reported of this fill before."""


class FillContradicted(Conflict):
    """The volume is not that of the totaliser, or not the one reported before. Read the pump again."""

    retry = Retry.CHANGE


class TooManyCards(Conflict):
    """An account has five cards at most. Take one of them away first."""

    retry = Retry.CHANGE


class TooManyWatchers(Conflict):
    """An account has three watchers at most. Take one of them away first."""

    retry = Retry.CHANGE


class UnknownFormat(Conflict):
    """This file was written by another program, or by a later version of this one."""


# 413, 415, 429


class TooLarge(Refused):
    """The request is larger than we accept."""

    status = 413


class UnsupportedFormat(Refused):
    """The body is in a format that we do not read here."""

    status = 415


class TooMany(Refused):
    """Too many requests. Wait a little."""

    status = 429
    retry = Retry.LATER


# 422: the money does not move


class PaymentRefused(Refused):
    """The payment was not made."""

    status = 422
    retry = Retry.CHANGE


class InsufficientFunds(PaymentRefused):
    """There is not enough money in the account for this payment and its fee."""


class LimitExceeded(PaymentRefused):
    """This payment is above a limit of the account."""


class PayeeLimitExceeded(PaymentRefused):
    """The payee's account cannot hold that much."""


class SamePayerAndPayee(PaymentRefused):
    """Payer and payee are the same account."""


class PayeeCannotReceive(PaymentRefused):
    """The payee cannot receive money at the moment."""


class OrderExpired(PaymentRefused):
    """The order has expired and will never be carried out."""


class FeeAboveMaximum(PaymentRefused):
    """The fee is higher than the highest fee that the payer agreed to."""


class RulesChanged(PaymentRefused):
    """The order was signed under other scheme rules. Look at the fee again and sign anew."""


class WrongScheme(PaymentRefused):
    """The order was signed for another scheme or currency."""


class HoldNotOpen(PaymentRefused):
    """The hold is no longer open: it was captured, released or has expired."""

    retry = Retry.NEVER


class AboveHold(PaymentRefused):
    """More than the amount that was held."""


class AboveOriginal(PaymentRefused):
    """The refunds of a payment cannot exceed the payment."""


class TransferNotDeclared(PaymentRefused):
    """The chart of accounts does not allow this movement."""

    retry = Retry.NEVER


class CustomerMustAsk(PaymentRefused):
    """An agent pays money in only when the customer has asked for it: both sides sign."""


class AgentMustConfirm(PaymentRefused):
    """Cash is taken out by a hold that the agent captures when handing over the cash: both sides sign."""


class IdAlreadyFailed(PaymentRefused):
    """A payment with this id was refused before. Take a new id."""


def refusal_by_code(code: str, facts: dict[str, Any]) -> Refused:
    """The refusal that was kept as its `code` and `facts`, so that a repeat hears the same answer.

    An unknown code (kept by a newer version) is answered with the general class.
    """
    waiting: list[type[Refused]] = [PaymentRefused]
    for cls in waiting:
        if cls.code == code:
            return cls(**facts)
        waiting.extend(cls.__subclasses__())
    return PaymentRefused(**facts)
