"""What we ask of an SMSC by SMPP 3.4: a submit_sm for each part of a text, or for a screen; and what its answer means. Pure.

GSM-7 goes as the SMSC's default alphabet with one septet in each byte, everything else as UCS-2: what nearly all SMSCs expect.
Source: SMPP 3.4 issue 1.2, §4.4 and §5.1.3.
"""

from __future__ import annotations

from typing import Final

from aiosmpplib import NPI, TON, OptionalParam, PhoneNumber, SmppCommand, SmppCommandStatus, SubmitSm

from counterfoil.channels.gateways.smpp_pdu import SAR_NUMBER, SAR_REFERENCE, SAR_TOTAL, Delivered, Pdu
from counterfoil.channels.gateways.smpp_ussd import SERVICE_TYPE
from counterfoil.channels.sms.encoding import is_gsm7, septets, split
from counterfoil.channels.sms.types import Outbound
from counterfoil.channels.ussd.types import Screen
from counterfoil.errors import Refused, Unavailable

THROTTLED_S: Final = 5
"""Seconds to wait when the SMSC says that it is too much."""
ADDRESS_SIZE_MAX: Final = 20
"""Characters of a number or a name."""
_HEADER_FOLLOWS: Final = 0x40

_THROTTLED = frozenset({SmppCommandStatus.ESME_RTHROTTLED, SmppCommandStatus.ESME_RMSGQFUL})
_NEVER_TAKEN = frozenset(
    {
        SmppCommandStatus.ESME_RINVMSGLEN,
        SmppCommandStatus.ESME_RINVSRCADR,
        SmppCommandStatus.ESME_RINVDSTADR,
        SmppCommandStatus.ESME_RINVSERTYP,
        SmppCommandStatus.ESME_RINVESMCLASS,
        SmppCommandStatus.ESME_RINVSRCTON,
        SmppCommandStatus.ESME_RINVSRCNPI,
        SmppCommandStatus.ESME_RINVDSTTON,
        SmppCommandStatus.ESME_RINVDSTNPI,
        SmppCommandStatus.ESME_RX_P_APPN,
        SmppCommandStatus.ESME_RX_R_APPN,
        SmppCommandStatus.ESME_ROPTPARNOTALLWD,
    }
)


def submits(text: Outbound, sender: str, *, in_options: bool) -> list[SubmitSm]:
    """A submit_sm for each part; only the last asks for a receipt. The same text is the same bytes each time.

    `in_options`: which part it is stands in sar options instead of a header. Refuses (Refused) what SMPP cannot carry.
    """
    source, destination = _address(sender), _address(text.number)
    parts, plain = split(text.text), is_gsm7(text.text)
    total, found = len(parts), []
    if total > 255:
        raise Refused("the text has more than 255 parts")
    for number, part in enumerate(parts, 1):
        header = bytes([5, 0, 3, text.id & 0xFF, total, number]) if total > 1 and not in_options else b""
        message = _submit(source, destination, header + _encoded(part, plain=plain), plain=plain)
        message.esm_class = _HEADER_FOLLOWS if header else 0
        message.registered_delivery = int(number == total)
        if total > 1 and in_options:
            told = ((SAR_REFERENCE, text.id & 0xFFFF), (SAR_TOTAL, total), (SAR_NUMBER, number))
            message.optional_params = [OptionalParam(tag, value) for tag, value in told]
        found.append(message)
    return found


def submit_of_screen(message: Delivered, screen: Screen) -> SubmitSm:
    """The submit_sm that shows a screen to whoever sent `message`, without the options that say which session it is."""
    plain = is_gsm7(screen.text)
    source = PhoneNumber(message.destination, _ton(message.destination_ton), _npi(message.destination_npi))
    destination = PhoneNumber(message.source, _ton(message.source_ton), _npi(message.source_npi))
    submit = _submit(source, destination, _encoded(screen.text, plain=plain), plain=plain)
    submit.service_type = SERVICE_TYPE
    submit.registered_delivery = 0
    return submit


def check_taken(answer: Pdu) -> None:
    """Raises for every status but success: Refused when the text never will be taken, Unavailable for anything else."""
    if answer.command == SmppCommand.SUBMIT_SM_RESP and answer.status == SmppCommandStatus.ESME_ROK:
        return
    detail = f"the SMSC did not take the text: {words(answer.status)}"
    if answer.status in _THROTTLED:
        raise Unavailable(detail, retry_after_s=THROTTLED_S)
    if answer.status in _NEVER_TAKEN:
        raise Refused(detail)
    raise Unavailable(detail)


def words(status: int) -> str:
    """A status for a log: SMPP's words, or the vendor's number."""
    try:
        return str(SmppCommandStatus(status).description)
    except ValueError:
        return f"status {status:#010x}"


def _submit(source: PhoneNumber, destination: PhoneNumber, content: bytes, *, plain: bool) -> SubmitSm:
    # The library wants a text, although the content is encoded already.
    message = SubmitSm(short_message=" ", source=source, destination=destination, encoding=None if plain else "ucs2")
    message.set_encoded_message(content or b" ")
    return message


def _encoded(text: str, *, plain: bool) -> bytes:
    return septets(text) if plain else text.encode("utf-16-be", errors="replace")


def _address(text: str) -> PhoneNumber:
    """A number or a name, as SMPP wants it; "" is the SMSC's own choice."""
    if text.startswith("+") and text[1:].isascii() and text[1:].isdigit() and len(text) <= 16:
        return PhoneNumber(text[1:], TON.INTERNATIONAL, NPI.ISDN)
    if not text:
        return PhoneNumber("", TON.UNKNOWN, NPI.UNKNOWN)
    if text.isascii() and text.isdigit() and len(text) <= ADDRESS_SIZE_MAX:
        return PhoneNumber(text, TON.NETWORK_SPECIFIC if len(text) <= 8 else TON.UNKNOWN, NPI.UNKNOWN)
    if text.isascii() and text.isprintable() and len(text) <= 11:
        return PhoneNumber(text, TON.ALPHANUMERIC, NPI.UNKNOWN)
    raise Refused("the number or the sender is none that SMPP can carry")


def _ton(value: int) -> TON:
    return TON(value) if value in TON._value2member_map_ else TON.UNKNOWN


def _npi(value: int) -> NPI:
    return NPI(value) if value in NPI._value2member_map_ else NPI.UNKNOWN
