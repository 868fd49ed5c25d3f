"""Merchant-presented QR codes: reads any EMVCo code strictly, writes and verifies those of a Counterfoil scheme. Pure.

    00 "01"    01 "11" fixed | "12" for one request    26 {00 "org.counterfoil.pay", 01 scheme, 02 account, 03 address}
    52 category    53 currency    54 amount    58 country    59 name    60 city    62 {05 request, 08 "hold" | memo}
    64 {00 language, 01 name in that language}    80 {00 "CF1", 01 signature of the operator}    63 CRC

The operator signs b"counterfoil/qr/v1" || UTF-8 of everything before tag 80, so that nobody's sticker carries another's
account under a name that the scheme confirmed. 54 and 62 may follow tag 80: a till without a network puts them behind
the code that it was given, and then the name is confirmed and the amount is the till's own word.

Source: docs/reference/qr.md, which carries byte-exact examples; what holds for every EMVCo code stands in `emv_objects`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence

import msgspec
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from counterfoil.acceptance.emv_objects import UNSEEN, Object, checksum, joined, parse, wrong
from counterfoil.ids import ID_MAX
from counterfoil.money import AMOUNT_MAX

GUID = "org.counterfoil.pay"
SIGNATURE_GUID = "CF1"
DOMAIN = b"counterfoil/qr/v1"
NAME_SIZE_MAX = 25
"""Characters of tag 59 and of 64-01."""
CITY_SIZE_MAX = 15
MEMO_SIZE_MAX = 25
"""Characters of 62-08."""
HOLD = "hold"
NO_CATEGORY = "0000"
NO_CITY = "-"


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A code of a Counterfoil scheme.

    Attributes:
        scheme: `scheme_mark` of its origin.
        account: who is paid.
        address: merchant code, @handle or +number, for people; not needed to pay.
        name: as the code shows it: 64-01, else 59.
        amount: in major units, with a dot and as many places as the currency has; None when the payer decides.
        currency: ISO 4217 numeric.
        request: that a payment has to name; None for a fixed code.
        hold: whether the request asks for money to be set aside.
        signature: of the operator; None for a code that a holder made.
        signed: the bytes it is over.
        amount_signed: whether amount and request are among them.
    """

    scheme: str
    account: int
    address: str | None = None
    name: str
    amount: str | None = None
    currency: str
    country: str
    category: str = NO_CATEGORY
    city: str = NO_CITY
    request: int | None = None
    hold: bool = False
    memo: str = ""
    signature: bytes | None = None
    signed: bytes = b""
    amount_signed: bool = False

    @property
    def dynamic(self) -> bool:
        return self.request is not None


class Foreign(msgspec.Struct, frozen=True):
    """A well-formed code of another scheme; `scheme` is its name where we know it, else the identifier in the code."""

    scheme: str
    name: str
    amount: str | None
    currency: str
    country: str


def scheme_mark(origin: str) -> str:
    """What stands for a scheme in a code: base64url of the first 6 bytes of SHA-256 of its origin."""
    return _base64url(hashlib.sha256(origin.encode()).digest()[:6])


def read(text: str) -> Code | Foreign:
    """What a scanned code says. Malformed as by `parse`, and for a code of ours that is not exactly in our profile.

    The signature is not checked here (`is_signed_by`), nor whether the scheme is the reader's own.
    """
    objects = parse(text)
    ours = [item for item in objects if "26" <= item.tag <= "51" and item.inner("00") == GUID]
    if not ours:
        return _foreign(objects)
    if len(ours) > 1:
        raise wrong(ours[1].tag, "is a second account of a Counterfoil scheme")
    return _own(text, objects, ours[0])


def is_signed_by(code: Code, key: bytes) -> bool:
    """Whether the operator with the public `key` (Ed25519) confirmed account and name of this code."""
    if code.signature is None:
        return False
    try:
        crypto_sign_open(code.signature + DOMAIN + code.signed, key)
    except BadSignatureError:
        return False
    return True


def write(code: Code, *, language: str = "en", sign: Callable[[bytes], bytes] | None = None) -> str:
    """The text of `code`, signed by `sign` (64 bytes of Ed25519 over the bytes that it gets) where the operator makes it.

    The name is written as far as EMVCo has room: what is not ASCII or is longer than 25 characters stands in tag 64.
    Malformed, naming the tag, for what does not fit; `signature`, `signed` and `amount_signed` of `code` are not looked at.
    """
    plain, full = _plain_name(code), _short(code.name, NAME_SIZE_MAX)
    account = [("00", GUID), ("01", code.scheme), ("02", _base64url(code.account.to_bytes(16)))]
    if code.address:
        account.append(("03", code.address))
    parts = [
        ("00", "01"),
        ("01", "12" if code.request is not None else "11"),
        ("26", joined(account, "26")),
        ("52", code.category),
        ("53", code.currency),
        *([("54", code.amount)] if code.amount is not None else []),
        ("58", code.country),
        ("59", plain),
        ("60", _short(code.city, CITY_SIZE_MAX) or NO_CITY),
    ]
    if more := _additional(code.request, hold=code.hold, memo=code.memo):
        parts.append(("62", more))
    if full and full != plain:
        parts.append(("64", joined([("00", language[:2].upper()), ("01", full)], "64")))
    text = joined(parts, "")
    if sign is not None:
        text += joined([("80", joined([("00", SIGNATURE_GUID), ("01", _base64url(sign(DOMAIN + text.encode())))], "80"))], "")
    return _checked(text)


def complete(text: str, *, amount: str, request: int | None, hold: bool = False) -> str:
    """A fixed code of ours, signed or not, with `amount` (major units) and the `request` that a payment will name, if any.

    What the operator signed stays as it is, so this needs neither key nor network. Malformed for any other code.
    """
    code = read(text)
    if isinstance(code, Foreign) or code.dynamic or code.amount is not None or code.memo:
        raise wrong("62", "must not stand in the code yet, nor 54")
    more = _additional(request, hold=hold, memo="")
    return _checked(text[:-8] + joined([("54", amount), *([("62", more)] if more else [])], ""))


def major(amount: int, digits: int) -> str:
    """`amount` minor units as tag 54 has it: 1250 with 2 digits is "12.50"."""
    text = f"{amount:0{digits + 1}d}"
    return f"{text[:-digits]}.{text[-digits:]}" if digits else text


def minor(amount: str, digits: int) -> int:
    """Minor units of tag 54 of a code of ours. Malformed when it does not have exactly the currency's places."""
    match = re.fullmatch(rf"(0|[1-9][0-9]*){rf'[.]([0-9]{{{digits}}})' if digits else '()'}", amount, re.ASCII)
    value = int(match[1] + match[2]) if match else 0
    if not 0 < value <= AMOUNT_MAX:
        raise wrong("54", f"must be an amount above zero with {digits} decimal places")
    return value


# Reading


def _own(text: str, objects: Sequence[Object], account: Object) -> Code:
    by_tag = {item.tag: item for item in objects}
    values = {item.tag: item.value for item in objects}
    for tag in ("01", "02"):
        if account.inner(tag) is None:
            raise wrong(f"{account.tag}.{tag}", "is missing")
    scheme = account.inner("01") or ""
    _from_base64url(scheme, 6, f"{account.tag}.01")
    signature: bytes | None = None
    signed, behind = text[:-8], list[str]()
    if "80" in by_tag and by_tag["80"].inner("00") == SIGNATURE_GUID:
        signature = _from_base64url(by_tag["80"].inner("01") or "", 64, "80.01")
        signed, behind = _before(objects, "80")
        if strange := [tag for tag in behind if tag not in ("54", "62", "63")]:
            raise wrong(strange[0], "must not stand behind 80")
    if "54" in values and not re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]{1,4})?", values["54"], re.ASCII):
        raise wrong("54", "must be a plain number")
    more, language = by_tag.get("62"), by_tag.get("64")
    label = more.inner("05") if more else None
    request = None if label is None else _id(label, "62.05")
    if values.get("01") == "12" and request is None:
        raise wrong("62.05", "is missing: a code for one request names it")
    purpose = (more.inner("08") if more else None) or ""
    hold = request is not None and purpose == HOLD
    return Code(
        scheme=scheme,
        account=_id(account.inner("02") or "", f"{account.tag}.02"),
        address=account.inner("03"),
        name=(language.inner("01") if language else None) or values["59"],
        amount=values.get("54"),
        currency=values["53"],
        country=values["58"],
        category=values["52"],
        city=values["60"],
        request=request,
        hold=hold,
        memo="" if hold else purpose,
        signature=signature,
        signed=signed.encode(),
        amount_signed=signature is not None and not {"54", "62"} & set(behind),
    )


def _before(objects: Sequence[Object], tag: str) -> tuple[str, list[str]]:
    """What stands before `tag`, as text, and the tags behind it."""
    tags = [item.tag for item in objects]
    at = tags.index(tag)
    return "".join(f"{item.tag}{len(item.value):02}{item.value}" for item in objects[:at]), tags[at + 1 :]


_SCHEMES = {
    "br.gov.bcb.pix": "PIX", "hk.com.hkicl": "FPS", "sg.paynow": "PayNow", "id.co.qris.www": "QRIS", "com.p2pqrpay": "QR Ph",
    "a000000677010111": "PromptPay", "a000000677010112": "PromptPay", "a000000727": "VietQR", "a000000615": "DuitNow",
    "a000000524": "Bharat QR",
}  # fmt: skip
_CARDS = {("02", "03"): "Visa", ("04", "05"): "Mastercard", ("09", "10"): "Discover", ("11", "12"): "American Express",
          ("13", "14"): "JCB", ("15", "16"): "UnionPay"}  # fmt: skip
_KHQR_CURRENCIES = ("116", "840")


def _foreign(objects: Sequence[Object]) -> Foreign:
    values = {item.tag: item.value for item in objects}
    identifiers = [item.inner("00") or "" for item in objects if "26" <= item.tag <= "51"]
    bakong = any(item.tag in ("29", "30") and "@" in (item.inner("00") or "") for item in objects)
    if bakong and values["58"] == "KH":
        if values["53"] not in _KHQR_CURRENCIES:
            raise wrong("53", "must be 116 or 840 in a KHQR code")
        scheme = "KHQR"
    else:
        known = [name for guid in identifiers for start, name in _SCHEMES.items() if guid.lower().startswith(start)]
        cards = [name for tags, name in _CARDS.items() if any(tag in values for tag in tags)]
        scheme = (*known, *cards, *identifiers, "?")[0]
    return Foreign(scheme=scheme, name=values["59"], amount=values.get("54"), currency=values["53"], country=values["58"])


def _id(text: str, path: str) -> int:
    value = int.from_bytes(_from_base64url(text, 16, path))
    if not 0 < value <= ID_MAX:
        raise wrong(path, "must be an id other than zero")
    return value


def _from_base64url(text: str, size: int, path: str) -> bytes:
    length = (size * 8 + 5) // 6
    if re.fullmatch(rf"[A-Za-z0-9_-]{{{length}}}", text, re.ASCII):
        data = base64.urlsafe_b64decode(text + "=" * (-length % 4))
        if _base64url(data) == text:
            return data
    raise wrong(path, f"must be {size} bytes in base64url")


# Writing


def _checked(text: str) -> str:
    text += "6304"
    text += checksum(text)
    read(text)  # whoever writes hears at once what a reader would refuse
    return text


def _additional(request: int | None, *, hold: bool, memo: str) -> str:
    assert request is not None or not hold
    short = _short(memo, MEMO_SIZE_MAX)
    purpose = HOLD if hold else "" if request is not None and short == HOLD else short
    parts = [("05", _base64url(request.to_bytes(16)))] if request is not None else []
    return joined([*parts, *([("08", purpose)] if purpose else [])], "62")


def _plain_name(code: Code) -> str:
    """The name in ASCII: accents dropped; for other scripts the address, which is what a foreign reader can type."""
    folded = unicodedata.normalize("NFKD", code.name)
    kept = "".join(character for character in folded if " " <= character <= "~")
    letters = sum(character.isalnum() for character in folded)
    if 2 * sum(character.isalnum() for character in kept) < letters or not kept.strip():
        kept = code.address or ""
    return _short(kept, NAME_SIZE_MAX) or "-"


def _short(text: str, size: int) -> str:
    """As much of `text` as fits, without what a code cannot carry."""
    plain = "".join(character for character in text if ord(character) <= 0xFFFF and not UNSEEN.match(character))
    return plain.strip()[:size].strip()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
