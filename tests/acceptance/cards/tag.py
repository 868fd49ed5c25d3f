"""A virtual NTAG 424 DNA, as the data sheet describes the chip: nothing of ours is used in it, so that neither is wrong alone.

tag = Tag(uid)
tag.transmit(bytes.fromhex("00A4040007D276000085010100"))    # -> b"\\x90\\x00"

What a command changes is changed whole or not at all, as in the chip (data sheet §8.2.3.4, anti-tearing). `tag.off()` is the
field going away: the selection and the session are lost, all else stays.
"""

from __future__ import annotations

import zlib

from cryptography.hazmat.primitives import cmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

APPLICATION = bytes.fromhex("D2760000850101")


class Tag:
    def __init__(self, uid: bytes) -> None:
        self.uid = uid
        self.keys = [bytes(16)] * 5
        self.versions = [0] * 5
        self.file = bytearray(256)
        self.access = (0xE, 0x0, 0xE, 0xE)  # read and write, change, read, write: as from the factory
        self.mirror: tuple[int, int, int, int, int, int] | None = None
        self.random_id = False
        self.counter = 0
        self.off()

    def off(self) -> None:
        self.selected = False
        self.chosen = 0
        self.count_on_read = False
        self.pending: tuple[str, bytes] | None = None
        self.session: tuple[bytes, bytes, bytes, int] | None = None
        self.number = 0

    def transmit(self, command: bytes) -> bytes:
        pending, self.pending = self.pending, None
        if command[0] == 0x00:
            return self.iso(command)
        if not self.selected or command[0] != 0x90:
            return b"\x6e\x00"
        ins, body = command[1], command[5 : 5 + command[4]] if len(command) > 5 else b""
        if ins == 0xAF and pending is not None:
            return self.go_on(pending, body)
        if ins == 0x60:
            self.pending = ("version", b"\x01")
            return bytes.fromhex("0404023000110591AF")
        if ins == 0x71:
            return self.challenge(body)
        if self.session is None:
            return b"\x91\xae"
        return self.secured(ins, body)

    def iso(self, command: bytes) -> bytes:
        name = command[1], command[2], command[3]
        data = command[5 : 5 + command[4]]
        if name == (0xA4, 0x04, 0x00):
            self.off()
            self.selected = data == APPLICATION
            return b"\x90\x00" if self.selected else b"\x6a\x82"
        if not self.selected:
            return b"\x69\x85"
        if name == (0xA4, 0x00, 0x0C):
            self.session = None
            self.chosen = int.from_bytes(data)
            self.count_on_read = True
            return b"\x90\x00" if self.chosen in (0xE103, 0xE104) else b"\x6a\x82"
        if self.chosen != 0xE104:
            return b"\x69\x85"
        at = command[2] << 8 | command[3]
        if name[0] == 0xB0:
            if 0xE not in (self.access[0], self.access[2]):
                return b"\x69\x82"
            if self.mirror is not None and self.count_on_read and self.counter >= self.mirror[3]:
                return b"\x69\x85"  # the last reading is over
            return bytes(self.shown()[at : at + (command[4] or 256)]) + b"\x90\x00"
        if name[0] == 0xD6:
            if 0xE not in (self.access[0], self.access[3]):
                return b"\x69\x82"
            if at + len(data) > len(self.file):
                return b"\x6a\x84"
            self.file[at : at + len(data)] = data
            return b"\x90\x00"
        return b"\x6d\x00"

    def shown(self) -> bytearray:
        """The file as a reader sees it; the counter rises with the first look."""
        if self.mirror is None:
            return self.file
        e_at, input_at, c_at, _limit, meta, own = self.mirror
        if self.count_on_read:
            self.count_on_read = False
            self.counter += 1
        what = self.uid + self.counter.to_bytes(3, "little")
        picc = aes(self.keys[meta], b"\xc7" + what + bytes(5))
        shown = bytearray(self.file)
        shown[e_at : e_at + 32] = picc.hex().upper().encode()
        key = mac(self.keys[own], bytes.fromhex("3CC300010080") + what)
        shown[c_at : c_at + 16] = mac(key, bytes(shown[input_at:c_at]))[1::2].hex().upper().encode()
        return shown

    def go_on(self, pending: tuple[str, bytes], body: bytes) -> bytes:
        what, state = pending
        if what == "version":
            if state == b"\x01":
                self.pending = ("version", b"\x02")
                return bytes.fromhex("0404020102110591AF")
            uid = bytes(7) if self.random_id else self.uid
            return uid + bytes.fromhex("CF39D4498000") + b"\x20" + b"\x91\x00"
        number, ours = state[0], state[1:]
        key = self.keys[number]
        plain = unaes(key, body)
        theirs, echo = plain[:16], plain[16:]
        if echo != ours[1:] + ours[:1]:
            return b"\x91\xae"
        ti = mac(key, ours + theirs)[:4]
        vector = b"\x00\x01\x00\x80" + theirs[:2] + bytes(a ^ b for a, b in zip(theirs[2:8], ours[:6], strict=True)) + ours[6:] + theirs[8:]
        self.session = ti, mac(key, b"\xa5\x5a" + vector), mac(key, b"\x5a\xa5" + vector), number
        self.number = 0
        return aes(key, ti + theirs[1:] + theirs[:1] + bytes(12)) + b"\x91\x00"

    def challenge(self, body: bytes) -> bytes:
        if body[0] >= len(self.keys):
            return b"\x91\x40"
        self.session = None
        ours = mac(bytes(range(16)), self.uid + self.counter.to_bytes(3, "little") + self.versions_seen())
        self.pending = ("authenticate", body[:1] + ours)
        return aes(self.keys[body[0]], ours) + b"\x91\xaf"

    asked = 0

    def versions_seen(self) -> bytes:
        self.asked += 1
        return bytes(self.versions) + self.asked.to_bytes(4)

    def secured(self, ins: int, body: bytes) -> bytes:
        assert self.session is not None
        ti, encryption, key, opened_by = self.session
        number = self.number.to_bytes(2, "little")
        if mac(key, bytes([ins]) + number + ti + body[:-8])[1::2] != body[-8:]:
            self.session = None
            return b"\x91\x1e"
        header, hidden = body[:1], body[1:-8]
        data = unaes(encryption, hidden, aes(encryption, b"\xa5\x5a" + ti + number + bytes(8))) if hidden else b""
        data = data.rstrip(b"\x00")[:-1]
        status = self.change(ins, header[0], data, opened_by)
        if status != b"\x91\x00":
            self.session = None
            return status
        if ins == 0xC4 and header[0] == opened_by:
            self.session = None
            return status
        self.number += 1
        return mac(key, b"\x00" + self.number.to_bytes(2, "little") + ti)[1::2] + status

    def change(self, ins: int, first: int, data: bytes, opened_by: int) -> bytes:
        if opened_by != 0:
            return b"\x91\x9d"
        if ins == 0x5C and first == 0:
            self.random_id = self.random_id or bool(data[0] & 2)
            return b"\x91\x00"
        if ins == 0xC4:
            if first == 0:
                self.keys[0], self.versions[0] = data[:16], data[16]
                return b"\x91\x00"
            new = bytes(a ^ b for a, b in zip(data[:16], self.keys[first], strict=True))
            if zlib.crc32(new) ^ 0xFFFFFFFF != int.from_bytes(data[17:21], "little"):
                return b"\x91\x1e"
            self.keys[first], self.versions[first] = new, data[16]
            return b"\x91\x00"
        if ins == 0x5F and first == 2:
            option, low, high, mirrors, counted, keys = data[:6]
            places = [int.from_bytes(data[at : at + 3], "little") for at in range(6, len(data), 3)]
            # encrypted UID and counter, a limit, ASCII; nobody reads the counter; nothing else is encrypted
            if option != 0x40 or mirrors != 0xE1 or counted != 0xFF or len(places) != 4:
                return b"\x91\x9e"
            self.access = low >> 4, low & 15, high >> 4, high & 15
            self.mirror = places[0], places[1], places[2], places[3], keys >> 4, keys & 15
            return b"\x91\x00"
        return b"\x91\x1c"


def aes(key: bytes, data: bytes, iv: bytes = bytes(16)) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(data)


def unaes(key: bytes, data: bytes, iv: bytes = bytes(16)) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor().update(data)


def mac(key: bytes, data: bytes) -> bytes:
    made = cmac.CMAC(algorithms.AES(key))
    made.update(data)
    return made.finalize()
