"""What any EMVCo merchant-presented code is made of, and the rules that EMVCo has for all of them. Pure.

    code   = object ... object                       00 first, 63 last, no tag twice
    object = tag (2 digits) || length (2 digits, characters) || value
    value  = text, or objects again in 26-51, 62, 64 and 80-99

Source: EMVCo QR Code Specification for Payment Systems, Merchant-Presented Mode 1.1. Lengths count characters. EMVCo leaves
open of which kind: UTF-16 units and code points differ beyond the basic multilingual plane, so nothing beyond it is read or
written.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence

import msgspec

from counterfoil.errors import Malformed

CODE_SIZE_MAX = 512
"""Characters of a code. Source: EMVCo MPM 1.1 §3.3."""
VALUE_SIZE_MAX = 99

Nested = tuple[tuple[str, str], ...]


class Object(msgspec.Struct, frozen=True):
    """One object of a code; `nested` are the objects in its value, empty where the tag has none."""

    tag: str
    value: str
    nested: Nested = ()

    def inner(self, tag: str) -> str | None:
        return next((value for name, value in self.nested if name == tag), None)


def checksum(text: str) -> str:
    """CRC-16/CCITT-FALSE over the UTF-8 of `text`, as four capital hexadecimal digits. "123456789" yields 29B1."""
    return f"{binascii.crc_hqx(text.encode(), 0xFFFF):04X}"


def parse(text: str) -> list[Object]:
    """The objects of an EMVCo code, in their order, after everything that EMVCo asks of any code was checked.

    Malformed otherwise, with the tag in `field` ("qr.54", "qr.62.05") and `kind`: not_a_code (this is something else),
    checksum (damaged), field (against the rules).
    """
    if not text.startswith("000201"):
        raise Malformed("qr", "must begin with 000201", kind="not_a_code")
    if len(text) > CODE_SIZE_MAX:
        raise wrong("", f"must be at most {CODE_SIZE_MAX} characters")
    for character in text:
        if ord(character) > 0xFFFF or 0xD800 <= ord(character) <= 0xDFFF:
            raise wrong("", "must not contain characters beyond U+FFFF")
        if UNSEEN.match(character):
            raise wrong("", f"must not contain U+{ord(character):04X}")
    if re.fullmatch(r"6304[0-9A-Fa-f]{4}", text[-8:], re.ASCII) and checksum(text[:-4]) != text[-4:].upper():
        raise Malformed("qr.63", "is not the checksum of what stands before it", kind="checksum")
    objects = [Object(tag, value, _nested(tag, value)) for tag, value in _objects(text, "")]
    if objects[-1].tag != "63":
        raise wrong("63", "must be the last object")
    if not re.fullmatch(r"[0-9A-Fa-f]{4}", objects[-1].value, re.ASCII):
        raise wrong("63", "must be four hexadecimal digits")
    _check_common(objects)
    return objects


def joined(parts: Sequence[tuple[str, str]], path: str) -> str:
    """The text of objects; `path` is the tag that they stand in, "" for none. Malformed for a value that has no room."""
    for tag, value in parts:
        here = f"{path}.{tag}" if path else tag
        if not 0 < len(value) <= VALUE_SIZE_MAX:
            raise wrong(here, f"must be 1 to {VALUE_SIZE_MAX} characters")
    return "".join(f"{tag}{len(value):02}{value}" for tag, value in parts)


def wrong(path: str, rule: str) -> Malformed:
    """What to raise for a code that breaks `rule` at a tag such as "62.05"."""
    return Malformed(f"qr.{path}" if path else "qr", rule, kind="field")


def _objects(text: str, path: str) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        tag, size = text[at : at + 2], text[at + 2 : at + 4]
        if not re.fullmatch(r"[0-9]{2}", tag, re.ASCII):
            raise wrong(path, f"must have a tag of two digits at character {at + 1}")
        here = f"{path}.{tag}" if path else tag
        if not re.fullmatch(r"[0-9]{2}", size, re.ASCII):
            raise wrong(here, "must have a length of two digits")
        value = text[at + 4 : at + 4 + int(size)]
        if not int(size):
            raise wrong(here, "must not be empty")
        if len(value) < int(size):
            raise wrong(here, f"ends after {len(value)} of {int(size)} characters")
        if tag in found:
            raise wrong(here, "must not stand twice")
        found[tag] = value
        at += 4 + int(size)
    return list(found.items())


def _nested(tag: str, value: str) -> Nested:
    return tuple(_objects(value, tag)) if "26" <= tag <= "51" or tag in ("62", "64") or tag >= "80" else ()


UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Controls, and what turns the direction of a text around: a name must look like what it is."""

_RULES: dict[str, tuple[str, str]] = {
    "00": (r"01", "must be 01"),
    "01": (r"11|12", "must be 11 or 12"),
    "52": (r"[0-9]{4}", "must be four digits"),
    "53": (r"[0-9]{3}", "must be three digits"),
    "54": (r"(?=.{1,13}\Z)[0-9]+(\.[0-9]*)?", "must be a number of at most 13 characters, with a dot"),
    "55": (r"0[123]", "must be 01, 02 or 03"),
    "58": (r"[A-Z]{2}", "must be two capital letters"),
    "59": (r".{1,25}", "must be 1 to 25 characters"),
    "60": (r".{1,15}", "must be 1 to 15 characters"),
    "61": (r".{1,10}", "must be 1 to 10 characters"),
}
_REQUIRED = ("52", "53", "58", "59", "60")


def _check_common(objects: Sequence[Object]) -> None:
    by_tag = {item.tag: item for item in objects}
    for tag, (pattern, rule) in _RULES.items():
        if tag in by_tag and not re.fullmatch(pattern, by_tag[tag].value, re.ASCII):
            raise wrong(tag, rule)
    for tag in _REQUIRED:
        if tag not in by_tag:
            raise wrong(tag, "is missing")
    if not any("02" <= tag <= "51" for tag in by_tag):
        raise wrong("26", "is missing: no account is named in 02 to 51")
    for item in objects:
        if ("26" <= item.tag <= "51" or item.tag >= "80") and item.nested[0][0] != "00":
            raise wrong(f"{item.tag}.00", "must be the first object of its template")
    if language := by_tag.get("64"):
        for tag in ("00", "01"):
            if language.inner(tag) is None:
                raise wrong(f"64.{tag}", "is missing")
