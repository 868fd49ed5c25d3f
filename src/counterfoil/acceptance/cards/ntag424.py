"""What an NTAG 424 DNA says and how it is spoken to: dynamic messages, mutual authentication, secure messaging. Pure.

**Dynamic message.** Each time its file is read, the card writes into it an address with two values that change: `e`, its
UID and a counter encrypted with a key of the whole batch, and `c`, a MAC with a key of this card. They prove that the card
was read once, after every reading with a lower counter. They do not prove that it is here now, and say nothing of an
amount: whoever brushes against a card can keep such an address and use it once, as long as the card is not used again.

**Mutual authentication** (AuthenticateEV2First) proves that it is here now. What stands between us and the card only
carries bytes: the keys stay with us.

**Secure messaging** changes the card's settings and keys, with a MAC over every command and answer, and a counter.

Exchanges are generators: they yield a command APDU, are sent the card's whole answer with its status word, and return what
they found out. Whoever carries the bytes may be far away; an exchange that is left half way has changed nothing on our side.

Source: NXP data sheet NT4H2421Gx rev. 3.0 §8 to §10, and NXP AN12196. Integers on the card are little-endian.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

Found = TypeVar("Found")
Exchange: TypeAlias = Generator[bytes, bytes, Found]

APPLICATION = bytes.fromhex("D2760000850101")
NDEF_FILE = 2
UID_SIZE = 7
KEY_SIZE = 16
COUNTER_MAX = 0xFFFFFF

OK = b"\x91\x00"
ISO_OK = b"\x90\x00"
_MORE = b"\x91\xaf"
_PICC_TAG = 0xC7  # a UID of 7 bytes and a counter follow
_ZEROS = bytes(16)
_MAC_SIZE = 8


class CardError(Exception):
    """A card, or whoever stands before it, answered what a card with these keys does not. `step` says to which command.

    Attributes:
        step: what was asked of the card.
        status: the status word that came, two bytes; OK where the status was good and what came with it was not.
    """

    def __init__(self, step: str, status: bytes) -> None:
        super().__init__(f"{step}: {'not the right answer' if status in (OK, ISO_OK) else f'refused with {status.hex()}'}")
        self.step = step
        self.status = status


class Tap(msgspec.Struct, frozen=True):
    """What a dynamic message proves: this card (7 bytes) was read, and it was its `counter`-th reading, 1 to COUNTER_MAX."""

    uid: bytes
    counter: int


def read_message(e: str, c: str, *, meta_key: bytes, file_key_of: Callable[[bytes], bytes], mac_input: str = "") -> Tap | None:
    """The tap behind the values `e` (32 hexadecimal digits) and `c` (16) of a card's address; None for anything else.

    `meta_key` is the batch's; `file_key_of` gives a card's own key by its UID; `mac_input` is the text that the card's layout
    puts under the MAC besides, which ours leaves empty. Nothing is told of why it is None. That the counter is above every
    one before is the caller's to check, in the transaction that keeps it.
    """
    encrypted, mac = _unhex(e, 16), _unhex(c, _MAC_SIZE)
    if encrypted is None or mac is None:
        return None
    plain = _decrypt(meta_key, encrypted)
    uid, counter = plain[1 : 1 + UID_SIZE], plain[1 + UID_SIZE : 4 + UID_SIZE]
    session = _cmac(file_key_of(uid), b"\x3c\xc3\x00\x01\x00\x80" + uid + counter)
    if not hmac.compare_digest(_truncated(_cmac(session, mac_input.encode())), mac) or plain[0] != _PICC_TAG:
        return None
    return Tap(uid, int.from_bytes(counter, "little"))


class Session:
    """What a mutual authentication has proved, and what is said under it. `ti` is the card's name for it.

    `command` and `answer` come in turn: each answer carries a MAC over its command's number.
    """

    def __init__(self, ti: bytes, encryption_key: bytes, mac_key: bytes, number: int = 0) -> None:
        self.ti = ti
        self.encryption_key = encryption_key
        self.mac_key = mac_key
        self.number = number

    def command(self, ins: int, header: bytes, data: bytes = b"") -> bytes:
        """The APDU for this command: `header` in clear, `data` encrypted, a MAC over both."""
        if data:
            data = _encrypt(self.encryption_key, _padded(data), self._iv(b"\xa5\x5a"))
        body = header + data
        body += self._mac(bytes((ins,)), body)
        return bytes((0x90, ins, 0, 0, len(body))) + body + b"\x00"

    def answer(self, answer: bytes, step: str) -> bytes:
        """The data of a card's answer, decrypted. CardError for another status than OK, and for a wrong MAC."""
        data, status = _split(answer)
        if status != OK:
            raise CardError(step, status)
        self.number += 1
        data, mac = data[:-_MAC_SIZE], data[-_MAC_SIZE:]
        if len(data) % 16 or not hmac.compare_digest(self._mac(status[1:], data), mac):
            raise CardError(step, OK)
        if not data:
            return b""
        return _unpadded(_decrypt(self.encryption_key, data, self._iv(b"\x5a\xa5")), step)

    def _mac(self, what: bytes, data: bytes) -> bytes:
        return _truncated(_cmac(self.mac_key, what + self.number.to_bytes(2, "little") + self.ti + data))

    def _iv(self, purpose: bytes) -> bytes:
        return _encrypt(self.encryption_key, purpose + self.ti + self.number.to_bytes(2, "little") + bytes(8))


def select() -> Exchange[None]:
    """Opens the card's application, where every other exchange begins."""
    yield from _iso("select", bytes((0x00, 0xA4, 0x04, 0x00, len(APPLICATION))) + APPLICATION + b"\x00")


def read_file(size_max: int = 256) -> Exchange[bytes]:
    """The NDEF message of the card, its length left out. Reading raises the card's counter, once."""
    yield from _iso("select the file", bytes.fromhex("00A4000C02E104"))
    size = int.from_bytes((yield from _iso("read the length", bytes.fromhex("00B0000002"))))
    if size > size_max - 2:
        raise CardError("read the length", ISO_OK)
    found = b""
    while len(found) < size:
        part = yield from _iso("read", bytes((0x00, 0xB0, 0x00, 2 + len(found), min(59, size - len(found)))))
        if not part:
            raise CardError("read", ISO_OK)
        found += part
    return found


def write_file(message: bytes) -> Exchange[None]:
    """Writes an NDEF message into a card whose file anybody may still write: as it comes from the factory."""
    yield from _iso("select the file", bytes.fromhex("00A4000C02E104"))
    data = len(message).to_bytes(2) + message
    for at in range(0, len(data), 59):
        part = data[at : at + 59]
        yield from _iso("write", bytes((0x00, 0xD6, 0x00, at, len(part))) + part)


def uid_in_clear() -> Exchange[bytes]:
    """The UID of a card that still shows it: as it comes from the factory. Zeros once it shows a random one."""
    command = bytes.fromhex("9060000000")
    for _ in range(2):
        answer = yield command
        if _split(answer)[1] != _MORE:
            raise CardError("read the version", _split(answer)[1])
        command = bytes.fromhex("90AF000000")
    return (yield from _native("read the version", command))[:UID_SIZE]


def authenticate(key_number: int, key: bytes, *, random: bytes) -> Exchange[Session]:
    """Proves that a card which has `key` (16 bytes) as its `key_number` is at the other end, now.

    `random`: 16 bytes that were never used before; whoever has seen them answered once can answer again.
    """
    step = "authenticate"
    theirs, status = _split((yield bytes((0x90, 0x71, 0x00, 0x00, 0x02, key_number, 0x00, 0x00))))
    if status != _MORE or len(theirs) != 16:
        raise CardError(step, status if status != _MORE else OK)
    theirs = _decrypt(key, theirs)
    proof = _encrypt(key, random + _rotated(theirs))
    answer = yield from _native(step, b"\x90\xaf\x00\x00\x20" + proof + b"\x00")
    if len(answer) != 32:
        raise CardError(step, OK)
    plain = _decrypt(key, answer)
    if not hmac.compare_digest(plain[4:20], _rotated(random)):
        raise CardError(step, OK)
    mixed = bytes(a ^ b for a, b in zip(random[2:8], theirs[:6], strict=True))
    vector = b"\x00\x01\x00\x80" + random[:2] + mixed + theirs[6:] + random[8:]
    return Session(plain[:4], _cmac(key, b"\xa5\x5a" + vector), _cmac(key, b"\x5a\xa5" + vector))


def change_settings(session: Session, *, e_at: int, c_at: int, counter_limit: int, meta_key: int, file_key: int) -> Exchange[None]:
    """From now on anybody can read the file, key 0 alone changes it, and the two values stand at these offsets of it.

    `counter_limit`: after so many readings the card says nothing more. `meta_key` and `file_key`: numbers of keys.
    """
    mirrors = b"".join(value.to_bytes(3, "little") for value in (e_at, c_at, c_at, counter_limit))
    settings = bytes((0x40, 0x00, 0xE0, 0xE1, 0xFF, meta_key << 4 | file_key)) + mirrors
    session.answer((yield session.command(0x5F, bytes((NDEF_FILE,)), settings)), "change the settings")


def change_key(session: Session, number: int, *, old: bytes, new: bytes, version: int) -> Exchange[None]:
    """Gives the card another key, under a session of key 0. The session ends when key 0 is the one that changes."""
    if number == 0:
        data = new + bytes((version,))
    else:
        check = binascii.crc32(new) ^ 0xFFFFFFFF
        data = bytes(a ^ b for a, b in zip(new, old, strict=True)) + bytes((version,)) + check.to_bytes(4, "little")
    answer = yield session.command(0xC4, bytes((number,)), data)
    if number == 0:
        if answer != OK:
            raise CardError("change key 0", _split(answer)[1])
        return
    session.answer(answer, f"change key {number}")


def hide_uid(session: Session) -> Exchange[None]:
    """From now on the card shows readers a random UID, another each time. It cannot be undone."""
    session.answer((yield session.command(0x5C, b"\x00", b"\x02")), "hide the UID")


def _iso(step: str, command: bytes) -> Exchange[bytes]:
    data, status = _split((yield command))
    if status != ISO_OK:
        raise CardError(step, status)
    return data


def _native(step: str, command: bytes) -> Exchange[bytes]:
    data, status = _split((yield command))
    if status != OK:
        raise CardError(step, status)
    return data


def _split(answer: bytes) -> tuple[bytes, bytes]:
    """The data and the status word. What is too short to have one counts as the status of a card that says nothing."""
    return (answer[:-2], answer[-2:]) if len(answer) >= 2 else (b"", b"\x00\x00")


def _unhex(text: str, size: int) -> bytes | None:
    """The bytes that exactly 2 * size hexadecimal digits mean."""
    if len(text) != 2 * size or not text.isascii() or not text.isalnum():
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _encrypt(key: bytes, data: bytes, iv: bytes = _ZEROS) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _decrypt(key: bytes, data: bytes, iv: bytes = _ZEROS) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def _cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def _truncated(mac: bytes) -> bytes:
    return mac[1::2]


def _rotated(data: bytes) -> bytes:
    return data[1:] + data[:1]


def _padded(data: bytes) -> bytes:
    return data + b"\x80" + bytes(-(len(data) + 1) % 16)


def _unpadded(data: bytes, step: str) -> bytes:
    stripped = data.rstrip(b"\x00")
    if not stripped.endswith(b"\x80"):
        raise CardError(step, OK)
    return stripped[:-1]
