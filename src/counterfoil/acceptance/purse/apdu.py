"""Commands to the purse and its status words: short APDUs, byte by byte. Pure.

    SELECT     00 A4 04 00 Lc AID           80 30 00 00    GET STATE
    PAY        80 32 00 00 2B payment       80 34 00 00    GET LAST
    PUT CERT   80 38 00 00 Lc certificate   80 36 00 00    GET CERT

An Le of 00 may follow, and `command` writes it: readers ask for it where an answer is expected.

Source: ISO/IEC 7816-4:2020 §5.2-§5.6; docs/reference/purse.md "Commands".
"""

from __future__ import annotations

import enum

import msgspec

from counterfoil.errors import Malformed

AID = b"\xf0COUNTERFOIL\x01"
"""Name of the application on the card: proprietary (F0), and the version of this protocol."""
COMMAND_SIZE_MAX = 261
HEADER_SIZE = 4


class Instruction(enum.IntEnum):
    """The second byte of a command."""

    GET_STATE = 0x30
    PAY = 0x32
    GET_LAST = 0x34
    GET_CERT = 0x36
    PUT_CERT = 0x38
    SELECT = 0xA4


class Status(enum.IntEnum):
    """How a card ends its answer."""

    DONE = 0x9000
    WRONG_LENGTH = 0x6700
    CERTIFICATE_REFUSED = 0x6982
    ABOVE_LIMIT = 0x6984
    NOT_NOW = 0x6985
    """Not selected, empty or blocked."""
    BAD_FIELD = 0x6A80
    UNKNOWN_AID = 0x6A82
    BAD_PARAMETERS = 0x6A86
    NOTHING_STORED = 0x6A88
    NOT_KEPT = 0x6581
    """The memory failed and no signature leaves. Whether the payment was made is not known before SELECT has read what was kept."""
    UNKNOWN_INSTRUCTION = 0x6D00
    UNKNOWN_CLASS = 0x6E00


class Refusal(Exception):
    """The answer is a status word and nothing else."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


def command(instruction: Instruction, data: bytes = b"") -> bytes:
    """The command with Le 00. `data`: up to 255 bytes."""
    assert len(data) <= 255, len(data)
    header = bytes([0x00, instruction, 0x04, 0x00] if instruction is Instruction.SELECT else [0x80, instruction, 0x00, 0x00])
    return header + (bytes([len(data)]) + data if data else b"") + b"\x00"


def parse(data: bytes) -> tuple[Instruction, bytes]:
    """Instruction and data of a command, as a card reads it; Refusal with 6E00, 6D00, 6A86 or 6700, looked at in that order."""
    if len(data) < HEADER_SIZE:
        raise Refusal(Status.WRONG_LENGTH)
    class_, number, p1, p2 = data[:HEADER_SIZE]
    if class_ not in (0x00, 0x80):
        raise Refusal(Status.UNKNOWN_CLASS)
    if number not in list(Instruction) or (class_ == 0x00) != (number == Instruction.SELECT):
        raise Refusal(Status.UNKNOWN_INSTRUCTION)
    instruction = Instruction(number)
    if (p1, p2) != ((0x04, 0x00) if instruction is Instruction.SELECT else (0x00, 0x00)):
        raise Refusal(Status.BAD_PARAMETERS)
    rest = data[HEADER_SIZE:]
    if rest in (b"", b"\x00"):
        return instruction, b""
    size, body = rest[0], rest[1:]
    if size == 0 or (len(body) != size and body[size:] != b"\x00"):
        raise Refusal(Status.WRONG_LENGTH)
    return instruction, body[:size]


class Answer(msgspec.Struct, frozen=True):
    """What a card answered: data, and a status word, which may be one that is not in `Status`."""

    data: bytes
    status: int


def parse_answer(data: bytes) -> Answer:
    """Data and status word; Malformed when there is no whole status word, which says nothing about what the card did."""
    if len(data) < 2:
        raise Malformed("answer", "must end in a status word")
    return Answer(data[:-2], int.from_bytes(data[-2:]))
