"""Codes: those of others byte by byte, our own as `codes.json` has them for readers in every language, and what must not pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from counterfoil.acceptance import emv, emv_objects
from counterfoil.errors import Malformed

OWN: dict[str, Any] = json.loads(Path(__file__).with_name("codes.json").read_text("utf-8"))
KEY = SigningKey(bytes(range(32)))
POSITIVE = [(name, place) for name, count in (("emvco_qr", 3), ("khqr", 8), ("pix_brcode", 5)) for place in range(count)]
SCHEMES = {"emvco_qr": {"D15600000000"}, "khqr": {"KHQR"}, "pix_brcode": {"PIX"}}


def sign(message: bytes) -> bytes:
    return KEY.sign(message).signature


@pytest.fixture(scope="module")
def others(vectors: Path) -> Callable[[str], dict[str, Any]]:
    def read(name: str) -> dict[str, Any]:
        return json.loads((vectors / "vectors" / "channels" / f"{name}.json").read_text("utf-8"))  # type: ignore[no-any-return]

    return read


def shape(objects: list[emv_objects.Object]) -> list[list[Any]]:
    return [[item.tag, item.value, *([[list(pair) for pair in item.nested]] if item.nested else [])] for item in objects]


# Codes of others


def test_every_vector_is_there(others: Callable[[str], dict[str, Any]]) -> None:
    for name in SCHEMES:
        assert len(others(name)["vectors"]) >= len([place for each, place in POSITIVE if each == name])


@pytest.mark.parametrize(("name", "place"), POSITIVE)
def test_codes_of_other_schemes_are_read_object_by_object(others: Callable[[str], dict[str, Any]], name: str, place: int) -> None:
    vector = others(name)["vectors"][place]
    objects = emv_objects.parse(vector["payload"])
    if vector["objects"] is not None:
        assert shape(objects) == vector["objects"]
    found = emv.read(vector["payload"])
    assert isinstance(found, emv.Foreign)
    assert found.scheme in SCHEMES[name]


@pytest.mark.parametrize(("name", "count"), [("emvco_qr", 5), ("khqr", 7)])
def test_codes_that_break_a_rule_are_refused(others: Callable[[str], dict[str, Any]], name: str, count: int) -> None:
    negative = others(name)["negative"]
    assert len(negative) >= count
    kinds = {}
    for vector in negative:
        with pytest.raises(Malformed) as refused:
            emv.read(vector["payload"])
        kinds[vector["id"]] = refused.value.facts["kind"], refused.value.facts["field"]
    expected = {
        "crc-one-digit": ("checksum", "qr.63"),
        "truncated": ("field", "qr.91"),
        "length-not-digits": ("field", "qr"),
        "length-past-end": ("field", "qr.59"),
        "amount-tampered": ("checksum", "qr.63"),
        "no-currency": ("field", "qr.53"),
        "no-mcc": ("field", "qr.52"),
        "no-account-template": ("field", "qr.26"),
        "no-merchant-name": ("field", "qr.59"),
        "currency-not-khr-usd": ("field", "qr.53"),
        "empty-terminal-label": ("field", "qr.62.07"),
        "template-cut-short": ("field", "qr.30"),
    }
    assert {name: found for name, found in kinds.items() if found != expected[name]} == {}


def test_the_checksum_is_the_published_one() -> None:
    assert emv_objects.checksum("123456789") == "29B1"


# Our own


@pytest.mark.parametrize("entry", OWN["codes"], ids=lambda entry: entry["id"])
def test_our_codes_are_read_as_written_down(entry: dict[str, Any]) -> None:
    code, expected = emv.read(entry["text"]), entry["read"]
    assert isinstance(code, emv.Code)
    assert {name: getattr(code, name) for name in ("scheme", "address", "name", "amount", "currency", "country", "category", "city")} == {
        name: expected[name] for name in ("scheme", "address", "name", "amount", "currency", "country", "category", "city")
    }
    assert f"{code.account:032x}" == expected["account"]
    assert (None if code.request is None else f"{code.request:032x}") == expected["request"]
    assert (code.hold, code.memo, code.amount_signed) == (expected["hold"], expected["memo"], expected["amount_signed"])
    assert (None if code.signature is None else code.signature.hex()) == expected["signature"]
    assert code.signed.decode() == expected["signed_utf8"]
    assert emv.is_signed_by(code, bytes.fromhex(OWN["operator_key"])) is expected["confirmed"]
    assert (None if code.amount is None else emv.minor(code.amount, entry["digits"])) == expected["amount_minor"]


@pytest.mark.parametrize("entry", [entry for entry in OWN["codes"] if "write" in entry], ids=lambda entry: entry["id"])
def test_our_codes_are_written_byte_by_byte(entry: dict[str, Any]) -> None:
    said, how = entry["read"], entry["write"]
    code = emv.Code(
        scheme=emv.scheme_mark(OWN["origin"]),
        account=int(said["account"], 16),
        address=said["address"],
        name=how["name"],
        amount=said["amount"],
        currency=said["currency"],
        country=said["country"],
        category=said["category"],
        city=how["city"],
        request=int(said["request"], 16) if said["request"] else None,
        hold=said["hold"],
        memo=said["memo"],
    )
    assert emv.write(code, language=how["language"], sign=sign if how["signed"] else None) == entry["text"]


@pytest.mark.parametrize("entry", [entry for entry in OWN["codes"] if "completes" in entry], ids=lambda entry: entry["id"])
def test_a_till_without_a_network_completes_its_code(entry: dict[str, Any]) -> None:
    how = entry["completes"]
    fixed = next(each["text"] for each in OWN["codes"] if each["id"] == how["of"])
    text = emv.complete(fixed, amount=how["amount"], request=int(how["request"], 16), hold=how["hold"])
    assert text == entry["text"]
    with pytest.raises(Malformed):
        emv.complete(text, amount="1.00", request=1)


@pytest.mark.parametrize("entry", OWN["negative"], ids=lambda entry: entry["id"])
def test_what_is_no_code_of_ours_is_refused_with_tag_and_rule(entry: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as refused:
        emv.read(entry["text"])
    facts = refused.value.facts
    assert (facts["kind"], facts["field"], facts["rule"]) == (entry["kind"], entry["field"], entry["rule"])


def test_the_list_of_codes_has_every_kind_of_case() -> None:
    assert {entry["read"]["confirmed"] for entry in OWN["codes"]} == {True, False}
    assert {entry["kind"] for entry in OWN["negative"]} == {"not_a_code", "checksum", "field"}


def test_a_sticker_with_another_account_is_not_confirmed() -> None:
    swapped = next(emv.read(entry["text"]) for entry in OWN["codes"] if entry["id"] == "sticker-swap")
    assert isinstance(swapped, emv.Code)
    assert swapped.name == "Corner Bakery"
    assert not emv.is_signed_by(swapped, bytes(KEY.verify_key))


# In general


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
ids = st.integers(1, 2**128 - 2)


@given(
    account=ids,
    name=names,
    amount=st.none() | st.integers(1, 10**11),
    request=st.none() | ids,
    hold=st.booleans(),
    memo=st.text(max_size=30),
    signed=st.booleans(),
)
@example(account=1, name="🙂🙂", amount=None, request=None, hold=False, memo="hold", signed=True)
@example(account=1, name="a", amount=1, request=7, hold=False, memo="hold", signed=False)
def test_whatever_is_written_is_read_again(
    account: int, name: str, amount: int | None, request: int | None, hold: bool, memo: str, signed: bool
) -> None:
    hold = hold and request is not None
    written = emv.Code(
        scheme=emv.scheme_mark("x/log"),
        account=account,
        address="1042733",
        name=name,
        amount=None if amount is None else emv.major(amount, 2),
        currency="840",
        country="KE",
        request=request,
        hold=hold,
        memo=memo,
    )
    code = emv.read(emv.write(written, sign=sign if signed else None))
    assert isinstance(code, emv.Code)
    assert (code.account, code.request, code.hold, code.currency) == (account, request, hold, "840")
    assert (None if code.amount is None else emv.minor(code.amount, 2)) == amount
    assert emv.is_signed_by(code, bytes(KEY.verify_key)) is signed
    assert len(code.name) <= 25


@given(st.integers(0, 400), st.characters(exclude_categories=["Cs"]))
def test_one_changed_character_is_never_read_as_another_code(place: int, character: str) -> None:
    text: str = OWN["codes"][1]["text"]
    place %= len(text)
    changed = text[:place] + character + text[place + 1 :]
    try:
        found = emv.read(changed)
    except Malformed as refused:
        assert refused.facts["kind"] in ("not_a_code", "checksum", "field")
    else:
        assert found == emv.read(text)


@given(st.text(max_size=200) | st.text("0123456789AB", max_size=80).map("000201".__add__))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(Malformed):
        emv.read(text)


@pytest.mark.parametrize(
    ("amount", "digits"), [("12.5", 2), ("012.50", 2), ("12.50", 0), ("12", 2), ("0.00", 2), ("1.000", 2), ("99999999999999999999", 0)]
)
def test_amounts_have_the_places_of_the_currency(amount: str, digits: int) -> None:
    with pytest.raises(Malformed, match=r"qr\.54"):
        emv.minor(amount, digits)


@pytest.mark.parametrize(("amount", "digits", "text"), [(1250, 2, "12.50"), (5, 2, "0.05"), (7, 0, "7"), (7125, 3, "7.125")])
def test_amounts_are_told_in_major_units(amount: int, digits: int, text: str) -> None:
    assert emv.major(amount, digits) == text
    assert emv.minor(text, digits) == amount


def test_the_reference_shows_codes_of_the_list() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "qr.md").read_text("utf-8")
    shown = re.findall(r"```text\n(.+)\n```", page)
    texts = {entry["id"]: entry["text"] for entry in OWN["codes"]}
    assert shown == [texts["fixed-signed"], texts["one-request"], texts["completed-offline"]]
    assert f"`{OWN['scheme']}`" in page
