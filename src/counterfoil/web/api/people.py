"""Opening an account, devices, recovery, PIN. What binds or removes a key is signed by a key, not by the request."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.errors import (
    AlreadyTaken,
    Conflict,
    Forbidden,
    NotFound,
    NotInThisState,
    NotYourAccount,
    PartyClosed,
    PinLocked,
    RequestTooOld,
    TooMany,
    UnknownDevice,
    WrongCode,
    WrongPin,
    WrongSignature,
)
from counterfoil.moments import moment_text
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.context import LABEL_DEFAULT, NewKey
from counterfoil.parties.pin_brake import asked_from
from counterfoil.parties.service import Parties
from counterfoil.parties.types import Device, DeviceState, KeyAlgorithm, Limits
from counterfoil.web.access import HOLDER, PUBLIC, Principal
from counterfoil.web.api.account import FreezeView, LimitsView, RecoveryView, freeze_view, limits_view
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.guesses import Guesses
from counterfoil.web.incoming import Incoming
from counterfoil.web.values import (
    AmountOrZero,
    Base64Url,
    Moment,
    PinText,
    Signature,
    Text,
    UuidText,
    base64_text,
    parse_base64,
    parse_signature,
    parse_uuid,
    uuid_text,
)


class CodeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Send a code to a number. `purpose`: enrol, recover (a lost device) or number (move to another number)."""

    number: Text
    purpose: Annotated[str, msgspec.Meta(pattern="^(enrol|recover|number)$")] = "enrol"


class CodeView(msgspec.Struct, frozen=True):
    """A code is on its way. `code` is told in a sandbox only; `number` is in full (E.164), as it is to be signed."""

    expires_at: Moment
    code: str | None
    number: str


class KeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be enrolled.

    Attributes:
        device: id that the device made for itself.
        public_key: 32 bytes for ed25519; 65 bytes (04, x, y) for es256.
        possession: the key's own signature over the statement in question.
        label: what its owner calls the device.
    """

    device: UuidText
    algorithm: KeyAlgorithm
    public_key: Base64Url
    possession: Signature
    label: Text = LABEL_DEFAULT

    def key(self) -> NewKey:
        return NewKey(
            device=parse_uuid(self.device, "key.device"),
            algorithm=self.algorithm,
            public_key=parse_base64(self.public_key, "key.public_key"),
            possession=parse_signature(self.possession, "key.possession"),
            label=self.label,
        )


class EnrolBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open a customer's account: the number and its code, and the first device's key, which signs `counterfoil/enrol/v1`."""

    number: Text
    code: Text
    name: Text
    language: Text
    pin: PinText
    key: KeyBody


class EnrolledView(msgspec.Struct, frozen=True):
    """The account that was opened."""

    account: UuidText
    party: UuidText
    device: UuidText
    name: str
    tier: str


class DeviceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further device, or a new key for an old one: the new key and `by_device` both sign `counterfoil/add-device/v1`."""

    key: KeyBody
    by_device: UuidText
    signature: Signature


class RevokeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take a device away for good: `by_device` signs `counterfoil/revoke-device/v1`."""

    by_device: UuidText
    signature: Signature


class DeviceView(msgspec.Struct, frozen=True):
    """A device that may sign, or might."""

    id: UuidText
    algorithm: KeyAlgorithm
    public_key: Base64Url
    label: str
    state: DeviceState
    created_at: Moment


class DevicesView(msgspec.Struct, frozen=True):
    """All devices of the party, oldest first; revoked ones too."""

    devices: list[DeviceView]


class RecoverBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for a new key when all devices are lost: code, PIN, and the new key, which signs `counterfoil/recover/v1`."""

    number: Text
    code: Text
    pin: PinText
    key: KeyBody


class CancelRecoveryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say "that was not me": `by_device` signs `counterfoil/cancel-recovery/v1`."""

    by_device: UuidText
    signature: Signature


class PinBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new PIN on the word of the old one."""

    old: PinText
    new: PinText


class PinConsentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Allow payments by PIN up to an amount a day, or stop them: `device` signs `counterfoil/allow-pin/v1`.

    Attributes:
        statement: the exact bytes that were signed.
    """

    statement: Base64Url
    device: UuidText
    signature: Signature


class PinConsentView(msgspec.Struct, frozen=True):
    """What a PIN may take a day, minor units; 0 is nothing. `made_at`: when the device said so."""

    pin_per_day: AmountOrZero
    made_at: Moment


class HandleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A handle, without or with the @; chosen once."""

    handle: Text


class HandleView(msgspec.Struct, frozen=True):
    """The handle in its one normal form."""

    handle: str


class NumberBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Move to another number, on the proof of a code sent to it (purpose "number")."""

    number: Text
    code: Text


class LanguageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The language that we speak to the caller."""

    language: Text


class OwnLimitsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The holder's own limits below the tier's, minor units; null is no limit of one's own."""

    pin: PinText
    per_payment: AmountOrZero | None = None
    per_day: AmountOrZero | None = None
    per_month: AmountOrZero | None = None


class OwnFreezeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Freeze one's own account: a lost phone. `id` is made by the caller. Lifted again with the PIN."""

    id: UuidText
    reason: Text


class UnfreezeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lift one's own freeze."""

    pin: PinText
    reason: Text


class PeopleEndpoints:
    """People and their keys."""

    def __init__(self, *, parties: Parties, guesses: Guesses) -> None:
        self.parties = parties
        self.guesses = guesses

    def endpoints(self) -> list[Endpoint]:
        pin = (WrongPin, PinLocked, TooMany)
        consent = (WrongSignature, UnknownDevice, NotYourAccount, NotInThisState, RequestTooOld)
        bind = (AlreadyTaken, WrongSignature, UnknownDevice, TooMany, PartyClosed)
        return [
            Endpoint("POST", "/v1/codes", self.send_code, access=PUBLIC, errors=(TooMany,), status=202, tag="people"),
            Endpoint(
                "POST",
                "/v1/accounts",
                self.enrol,
                access=PUBLIC,
                errors=(WrongSignature, AlreadyTaken, WrongCode, TooMany),
                status=201,
                tag="people",
            ),
            Endpoint("GET", "/v1/devices", self.devices, access=HOLDER, tag="people"),
            Endpoint("POST", "/v1/devices", self.add_device, access=PUBLIC, errors=bind, status=201, tag="people", own_signature=True),
            Endpoint(
                "POST", "/v1/devices/rotate", self.rotate_device, access=PUBLIC, errors=bind, status=201, tag="people", own_signature=True
            ),
            Endpoint("POST", "/v1/devices/{id}/revoke", self.revoke_device, access=PUBLIC, status=204, tag="people", own_signature=True),
            Endpoint(
                "POST",
                "/v1/recoveries",
                self.recover,
                access=PUBLIC,
                errors=(WrongSignature, WrongCode, *pin, NotInThisState, AlreadyTaken, PartyClosed, Forbidden),
                status=202,
                tag="people",
            ),
            Endpoint("GET", "/v1/recoveries/mine", self.recovery, access=HOLDER, errors=(NotFound,), tag="people"),
            Endpoint(
                "POST",
                "/v1/recoveries/{id}/cancel",
                self.cancel_recovery,
                access=PUBLIC,
                errors=(NotInThisState,),
                status=204,
                tag="people",
                own_signature=True,
            ),
            Endpoint("POST", "/v1/pin", self.change_pin, access=HOLDER, errors=pin, status=204, tag="people"),
            Endpoint("POST", "/v1/pin-consent", self.allow_pin, access=PUBLIC, errors=consent, tag="people", own_signature=True),
            Endpoint("POST", "/v1/handle", self.set_handle, access=HOLDER, errors=(AlreadyTaken, NotInThisState), tag="people"),
            Endpoint("POST", "/v1/number", self.set_number, access=HOLDER, errors=(AlreadyTaken, WrongCode), status=204, tag="people"),
            Endpoint("POST", "/v1/language", self.set_language, access=HOLDER, status=204, tag="people"),
            Endpoint("POST", "/v1/limits", self.set_limits, access=HOLDER, errors=pin, tag="people"),
            Endpoint("POST", "/v1/freezes", self.freeze, access=HOLDER, errors=(Conflict,), status=201, tag="people"),
            Endpoint("POST", "/v1/freezes/{id}/lift", self.unfreeze, access=HOLDER, errors=pin, status=204, tag="people"),
        ]

    async def send_code(self, request: Incoming, body: CodeBody) -> CodeView:
        """Send a code that proves a number. The answer is the same whether or not somebody has it."""
        self.guesses.enrolments.spend(request.counted_as)
        sent = await self.parties.enrolment.send_code(body.number, body.purpose)
        return CodeView(moment_text(sent.expires_at), sent.code, sent.number)

    async def enrol(self, request: Incoming, body: EnrolBody) -> EnrolledView:
        """Open a customer's account with its first device. A repeat by the same device answers the same account."""
        self.guesses.enrolments.spend(request.counted_as)
        holder = await self.parties.enrolment.open_customer(
            number=body.number, code=body.code, name=body.name, language=body.language, pin=body.pin, key=body.key.key()
        )
        return EnrolledView(uuid_text(holder.account), uuid_text(holder.party), body.key.device, holder.name, holder.tier)

    async def devices(self, caller: Principal) -> DevicesView:
        """The caller's devices."""
        return DevicesView([device_view(device) for device in await self.parties.devices.of(caller.party)])

    async def add_device(self, body: DeviceBody) -> DeviceView:
        """Enrol a further device. All devices and the number are told. A repeat answers the same device."""
        return device_view(
            await self.parties.devices.add(
                body.key.key(), by_device=parse_uuid(body.by_device, "by_device"), signature=parse_signature(body.signature, "signature")
            )
        )

    async def rotate_device(self, body: DeviceBody) -> DeviceView:
        """Enrol a new key and revoke the one that signs for it, in one moment. A repeat answers the same device."""
        return device_view(
            await self.parties.devices.rotate(
                body.key.key(), by_device=parse_uuid(body.by_device, "by_device"), signature=parse_signature(body.signature, "signature")
            )
        )

    async def revoke_device(self, id: int, body: RevokeBody) -> None:
        """Take a device away for good. A repeat changes nothing."""
        await self.parties.devices.revoke(
            id, by_device=parse_uuid(body.by_device, "by_device"), signature=parse_signature(body.signature, "signature")
        )

    async def recover(self, request: Incoming, body: RecoverBody) -> RecoveryView:
        """Ask for a new key when all devices are lost. It takes effect after a delay in which everybody is told."""
        self.guesses.enrolments.spend(request.counted_as)
        with asked_from("web", request.counted_as):
            recovery = await self.parties.recoveries.begin(number=body.number, code=body.code, pin=body.pin, key=body.key.key())
        return RecoveryView(uuid_text(recovery.id), uuid_text(recovery.device), recovery.state, moment_text(recovery.effective_at))

    async def recovery(self, caller: Principal) -> RecoveryView:
        """The recovery of the caller's account that waits, as a device that is still there sees it."""
        waiting = (await self.parties.holder(caller.account)).recovery
        if waiting is None:
            raise NotFound("no recovery is waiting")
        return RecoveryView(uuid_text(waiting.id), uuid_text(waiting.device), waiting.state, moment_text(waiting.effective_at))

    async def cancel_recovery(self, id: int, body: CancelRecoveryBody) -> None:
        """End a recovery that its owner did not ask for. A repeat changes nothing."""
        await self.parties.recoveries.cancel(
            id, by_device=parse_uuid(body.by_device, "by_device"), signature=parse_signature(body.signature, "signature")
        )

    async def change_pin(self, caller: Principal, body: PinBody) -> None:
        """Set a new PIN on the word of the old one."""
        await self.parties.pins.change(caller.party, body.old, body.new)

    async def allow_pin(self, body: PinConsentBody) -> PinConsentView:
        """Say how much a day may be paid by PIN from an account that has a device. All devices are told. The newest word counts."""
        consent = await self.parties.pin_payments.allow(
            parse_base64(body.statement, "statement"),
            device=parse_uuid(body.device, "device"),
            signature=parse_signature(body.signature, "signature"),
        )
        return PinConsentView(consent.per_day, moment_text(consent.made_at_ms * 1_000_000))

    async def set_handle(self, caller: Principal, body: HandleBody) -> HandleView:
        """Take a handle, once: others must be able to rely on it."""
        party = await self.parties.enrolment.set_handle(caller.party, body.handle)
        return HandleView(party.handle or "")

    async def set_number(self, caller: Principal, body: NumberBody) -> None:
        """Move to another number. The old number is told."""
        await self.parties.enrolment.set_number(caller.party, body.number, body.code)

    async def set_language(self, caller: Principal, body: LanguageBody) -> None:
        """Choose the language that we speak to the caller."""
        await self.parties.enrolment.set_language(caller.party, body.language)

    async def set_limits(self, caller: Principal, body: OwnLimitsBody) -> LimitsView:
        """Set one's own limits below the tier's, with the PIN."""
        await self.parties.pins.check(caller.party, body.pin)
        given = {name: value for name in ("per_payment", "per_day", "per_month") if (value := getattr(body, name)) is not None}
        await self.parties.staff.set_own_limits(caller.party, Limits(**{"per_payment": AMOUNT_MAX, **given}))
        return limits_view(await self.parties.holder(caller.account))

    async def freeze(self, caller: Principal, body: OwnFreezeBody) -> FreezeView:
        """Freeze one's own account at once, until it is lifted with the PIN. A repeat answers the same."""
        freeze_id = parse_uuid(body.id, "id")
        return freeze_view(await self.parties.staff.freeze(freeze_id, caller.party, reason=body.reason, by=caller.party))

    async def unfreeze(self, caller: Principal, id: int, body: UnfreezeBody) -> None:
        """Lift one's own freeze, with the PIN. A repeat changes nothing."""
        await self.parties.pins.check(caller.party, body.pin)
        await self.parties.staff.unfreeze(id, reason=body.reason, by=caller.party)


def device_view(device: Device) -> DeviceView:
    return DeviceView(
        uuid_text(device.id), device.algorithm, base64_text(device.public_key), device.label, device.state, moment_text(device.created_at)
    )
