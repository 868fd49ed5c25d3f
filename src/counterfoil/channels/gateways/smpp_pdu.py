"""What an SMSC sends by SMPP 3.4, read from its bytes: messages, their alphabets, their parts, their receipts. Pure.

Read here and not by the library: of a session number above 127, an empty USSD text, a receipt with a date of another form or a
status of the vendor's own, it makes an error that ends the connection. Source: SMPP 3.4 issue 1.2, §4 and §5; appendix B for
the text of receipts; 3GPP TS 23.038 §4 and TS 23.040 §9.2.3.24 for alphabets and headers.
"""

from __future__ import annotations

import re
import struct
from typing import Final

import msgspec

from counterfoil.channels.sms.encoding import DEFAULT, ESCAPE, EXTENSION
from counterfoil.channels.sms.types import Delivery

HEADER: Final = struct.Struct("!IIII")
"""Length of the whole, command, status, sequence number."""
PDU_SIZE_MAX: Final = 70_000
"""Bytes: the longest message is 64 kB in one option."""
OPTIONS_MAX: Final = 64

RECEIPTED_MESSAGE_ID, MESSAGE_STATE, MESSAGE_PAYLOAD = 0x001E, 0x0427, 0x0424
SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER = 0x020C, 0x020E, 0x020F
USSD_SERVICE_OP, ITS_SESSION_INFO = 0x0501, 0x1383

_DEFAULT_BY_SEPTET = {septet: character for septet, character in enumerate(DEFAULT) if septet != ESCAPE}
_EXTENSION_BY_SEPTET = {septet: character for character, septet in EXTENSION.items()}
_GSM7, _BINARY, _UCS2 = "gsm7", "", "utf-16-be"
_ALPHABETS = {
    0: _GSM7, 1: "ascii", 2: _BINARY, 3: "latin-1", 4: _BINARY, 5: "shift_jis", 6: "iso8859_5", 7: "iso8859_8", 8: _UCS2,
    13: "iso2022_jp", 14: "euc_kr", 15: _GSM7,
}  # fmt: skip
"""Python's names of SMPP's alphabets; 15 is what cell broadcast calls GSM-7, as USSD does."""

_STATES = {
    1: Delivery.ON_ITS_WAY, 2: Delivery.DELIVERED, 3: Delivery.FAILED, 4: Delivery.FAILED, 5: Delivery.FAILED, 6: Delivery.ON_ITS_WAY,
    8: Delivery.FAILED,
}  # fmt: skip
_STATE_WORDS = {"DELIVRD": Delivery.DELIVERED, "EXPIRED": Delivery.FAILED, "DELETED": Delivery.FAILED, "UNDELIV": Delivery.FAILED,
                "REJECTD": Delivery.FAILED}  # fmt: skip


class Garbage(ValueError):
    """These bytes are not what they should be."""


class Pdu(msgspec.Struct, frozen=True):
    """One unit of the protocol, its body still in bytes."""

    command: int
    status: int
    sequence: int
    body: bytes

    def __repr__(self) -> str:
        """For logs and traces: the body may hold a PIN."""
        return f"Pdu({self.command:#x}, status={self.status:#x}, {len(self.body)} bytes)"


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What a deliver_sm says. `content` is the message, from its short or its long field, with its header if it has one."""

    service_type: str
    source: str
    source_ton: int
    source_npi: int
    destination: str
    destination_ton: int
    destination_npi: int
    esm_class: int
    data_coding: int
    content: bytes
    options: dict[int, bytes]

    def __repr__(self) -> str:
        """For logs and traces: neither what is said nor by whom."""
        return f"Delivered(service_type={self.service_type!r}, {len(self.content)} bytes)"


class Part(msgspec.Struct, frozen=True):
    """Which part of a longer text a message is. `reference` is the same in all parts, and begins with how it was told."""

    reference: str
    number: int
    total: int


class Receipt(msgspec.Struct, frozen=True):
    """What became of a text; `id` is the SMSC's, in whatever form it writes ids in receipts."""

    id: str
    delivery: Delivery


def read_delivered(body: bytes) -> Delivered:
    """The fields of a deliver_sm. Raises Garbage."""
    reader = _Reader(body)
    service_type = reader.text(6)
    source_ton, source_npi, source = reader.byte(), reader.byte(), reader.text(65)
    destination_ton, destination_npi, destination = reader.byte(), reader.byte(), reader.text(65)
    esm_class, _, _ = reader.byte(), reader.byte(), reader.byte()
    reader.text(17), reader.text(17)
    _, _, data_coding, _ = reader.byte(), reader.byte(), reader.byte(), reader.byte()
    content = reader.take(reader.byte())
    options: dict[int, bytes] = {}
    while not reader.is_at_its_end:
        tag, size = struct.unpack("!HH", reader.take(4))
        options[tag] = reader.take(size)
        if len(options) > OPTIONS_MAX:
            raise Garbage(f"more than {OPTIONS_MAX} options")
    return Delivered(
        service_type=service_type,
        source=source,
        source_ton=source_ton,
        source_npi=source_npi,
        destination=destination,
        destination_ton=destination_ton,
        destination_npi=destination_npi,
        esm_class=esm_class,
        data_coding=data_coding,
        content=content or options.get(MESSAGE_PAYLOAD, b""),
        options=options,
    )


def part_of(message: Delivered) -> tuple[Part | None, bytes]:
    """(which part it is, None for a whole text; its content without the header). Raises Garbage."""
    content, part = message.content, None
    if message.esm_class & 0x40:
        if not content or len(content) < content[0] + 1:
            raise Garbage("the header is longer than the message")
        header, content = content[1 : content[0] + 1], content[content[0] + 1 :]
        part = _part_of_header(header)
    if part is None and all(tag in message.options for tag in (SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER)):
        reference, total, number = (int.from_bytes(message.options[tag], "big") for tag in (SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER))
        part = Part(f"sar{reference}", number, total)
    if part is None or part.total == 1:
        return None, content
    if not 1 <= part.number <= part.total <= 255:
        raise Garbage("there is no such part")
    return part, content


def _part_of_header(header: bytes) -> Part | None:
    """Elements of a header, one after the other: kind, length, value. Kinds 0 and 8 are concatenation."""
    at = 0
    while at < len(header):
        if at + 2 > len(header) or at + 2 + header[at + 1] > len(header):
            raise Garbage("an element is longer than the header")
        kind, value = header[at], header[at + 2 : at + 2 + header[at + 1]]
        if kind == 0x00 and len(value) == 3:
            return Part(f"short{value[0]}", value[2], value[1])
        if kind == 0x08 and len(value) == 4:
            return Part(f"long{int.from_bytes(value[:2], 'big')}", value[3], value[2])
        at += 2 + len(value)
    return None


def text_of(content: bytes, data_coding: int) -> str | None:
    """The text in its alphabet, with U+FFFD for what is none; None for content that is no text at all."""
    if data_coding < 0x10:
        alphabet = _ALPHABETS.get(data_coding, _BINARY)
    elif data_coding >= 0xF0:
        alphabet = _BINARY if data_coding & 0x04 else _GSM7
    else:
        alphabet = (_GSM7, _BINARY, _UCS2, _BINARY)[data_coding >> 2 & 3]
    if alphabet == _GSM7:
        return _from_septets(content)
    return content.decode(alphabet, errors="replace") if alphabet else None


def _from_septets(content: bytes) -> str:
    """GSM-7 with one septet in each byte. An unknown extension is shown as the default alphabet's character, as phones do."""
    found, escaped = [], False
    for septet in content:
        if septet == ESCAPE and not escaped:
            escaped = True
            continue
        character = _EXTENSION_BY_SEPTET.get(septet) if escaped else None
        found.append(character or _DEFAULT_BY_SEPTET.get(septet, "\ufffd"))
        escaped = False
    return "".join(found)


def receipt_of(message: Delivered) -> Receipt | None:
    """The delivery receipt that a message is, by its options or by its text; None for one that is none. An id that is missing is ""."""
    kind = message.esm_class & 0x3C
    told = message.options.get(RECEIPTED_MESSAGE_ID, b"").rstrip(b"\x00").decode("ascii", errors="replace")
    state = message.options.get(MESSAGE_STATE, b"")
    if kind not in (0x04, 0x20) and not (told and state):
        return None
    text = message.content.decode("latin-1")
    found = re.search(r"(?:^|\s)id:\s*(\S+)", text, re.IGNORECASE)
    word = re.search(r"(?:^|\s)stat:\s*([A-Za-z]+)", text, re.IGNORECASE)
    if state:
        delivery = _STATES.get(state[0], Delivery.ON_ITS_WAY)
    else:
        delivery = _STATE_WORDS.get(word[1].upper()[:7] if word else "", Delivery.ON_ITS_WAY)
    return Receipt(told or (found[1] if found else ""), delivery)


class _Reader:
    """Fields of a body, one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def is_at_its_end(self) -> bool:
        return self._at == len(self._body)

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._body):
            raise Garbage("the message ends in the middle of a field")
        self._at += size
        return self._body[self._at - size : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def text(self, size_max: int) -> str:
        """A text that ends with a zero, of at most `size_max` bytes with it."""
        end = self._body.find(b"\x00", self._at, self._at + size_max)
        if end < 0:
            raise Garbage("a text does not end where it should")
        found = self.take(end - self._at)
        self.take(1)
        try:
            return found.decode("ascii")
        except UnicodeDecodeError:
            raise Garbage("a text is not ASCII") from None
