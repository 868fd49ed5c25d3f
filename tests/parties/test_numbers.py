"""Numbers, handles, codes, names and PINs: one normal form, or a refusal that names field and rule."""

from __future__ import annotations

import unicodedata

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.parties import numbers


@pytest.mark.parametrize(
    ("text", "region", "normal"),
    [
        ("0712345678", "KE", "+254712345678"),
        ("+254 712 345678", "FR", "+254712345678"),
        ("+254 (712) 345-678", "KE", "+254712345678"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("010-1234-5678", "KR", "+821012345678"),
        ("00254712345678", "FR", "+254712345678"),
    ],
)
def test_numbers_have_one_form(text: str, region: str, normal: str) -> None:
    assert numbers.parse_number(text, region) == normal


@pytest.mark.parametrize(
    "text",
    ["", "0", "+", "712", "+254", "+999123456789", "+2547123456789012", "0712 34567x", "tel:+254712345678", "0712345678;ext=5", "٠٧١٢٣٤٥٦٧٨", "0" * 1000],
)  # fmt: skip
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        numbers.parse_number(text, "KE", "payee")
    assert caught.value.facts["field"] == "payee"


@pytest.mark.parametrize("region", ["KE", "KR", "FR", "UG", "NG", "IN", "BR", "US"])
def test_the_example_number_of_a_country_is_its_own_normal_form(region: str) -> None:
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    assert example is not None
    normal = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    national = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
    assert numbers.parse_number(normal, "KE") == normal
    assert numbers.parse_number(national, region) == normal
    assert normal[:-3] not in numbers.masked_number(normal)


@pytest.mark.parametrize(("text", "normal"), [("@Amina_7", "amina_7"), ("abc", "abc"), ("a" * 20, "a" * 20), ("ABC", "abc")])
def test_handles_are_lower_case(text: str, normal: str) -> None:
    assert numbers.parse_handle(text) == normal


@pytest.mark.parametrize(
    "text", ["", "@", "ab", "a" * 21, "12345", "___", "amina!", "ami na", "аmina", "ámina", "@@amina", "admin", "ADM1N", "supp0rt", "adrnin", "ß" * 3, "ﬁfi"]
)  # fmt: skip
def test_handles_that_could_mislead_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        numbers.parse_handle(text)


def test_damm_is_damm() -> None:
    assert numbers.check_digit("572") == "4"  # the example of the Wikipedia page and of the thesis


@given(st.integers(100_000, 999_999), st.integers(0, 6), st.integers(0, 9))
def test_a_mistyped_digit_of_a_merchant_code_is_noticed(number: int, position: int, digit: int) -> None:
    code = numbers.merchant_code(number)
    assert numbers.parse_merchant_code(f" {code[:3]}-{code[3:]} ") == code
    wrong = code[:position] + str(digit) + code[position + 1 :]
    if wrong != code:
        with pytest.raises(Malformed):
            numbers.parse_merchant_code(wrong)


@given(st.integers(100_000, 999_999), st.integers(0, 5))
def test_two_exchanged_neighbours_are_noticed(number: int, position: int) -> None:
    code = numbers.merchant_code(number)
    swapped = code[:position] + code[position + 1] + code[position] + code[position + 2 :]
    if swapped != code:
        with pytest.raises(Malformed):
            numbers.parse_merchant_code(swapped)


def test_addresses_tell_their_kind() -> None:
    code = numbers.merchant_code(123_456)
    assert numbers.parse_address(" @Amina ", "KE") == ("handle", "amina")
    assert numbers.parse_address(code, "KE") == ("merchant_code", code)
    assert numbers.parse_address("0712345678", "KE") == ("number", "+254712345678")
    with pytest.raises(Malformed):
        numbers.parse_address("amina", "KE")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Amina", "Amina"),
        ("  아미나   김 ", "아미나 김"),
        ("محمد بن عبد الله", "محمد بن عبد الله"),
        ("שלום", "שלום"),
        ("می‌خواهم", "می‌خواهم"),  # with its zero-width non-joiner
        ("👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️", "👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️"),
        ("Zoe\u0308", "Zoë"),
        ("O'Brien-Smith, Jr. (2)", "O'Brien-Smith, Jr. (2)"),
        ("7", "7"),
        ("A" * 100, "A" * 100),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # a name; screens escape
    ],
)
def test_names_of_any_script_keep_their_look(text: str, normal: str) -> None:
    assert numbers.parse_name(text) == normal


@pytest.mark.parametrize(
    "text",
    ["", "   ", "A" * 101, "A" * 10_000, "a\0b", "a\nb", "a\tb", "\u202eanimA", "a\u2066b\u2069", "a\u200fb", "a\u200bb", "\ufeffa", "a\u00adb",
     "\u200d", "\u3164", "a\u2800", "\ud800",
        "a\ud800",
        "a\u2028b",
        "a\u2029b",
        "a\ue000",
        "a\x85b", "\u2028", "e" + "\u0301" * 50, "\u0301", "\ue000"],
)  # fmt: skip
def test_names_that_could_mislead_are_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        numbers.parse_name(text)
    assert caught.value.facts["field"] == "name"


@given(st.text(max_size=120))
def test_a_name_once_accepted_is_its_own_normal_form(text: str) -> None:
    try:
        name = numbers.parse_name(text)
    except Malformed:
        return
    assert numbers.parse_name(name) == name
    assert name == unicodedata.normalize("NFC", name).strip()
    assert 1 <= len(name) <= 100
    name.encode()


@pytest.mark.parametrize("pin", ["", "123", "123456789", "1234", "4321", "0000", "7890", "0987", "12a4", "١٢٣٤", " 2580", "25 80", "-258"])
def test_poor_pins_are_refused(pin: str) -> None:
    with pytest.raises(Malformed) as caught:
        numbers.parse_pin(pin)
    assert pin == "" or pin not in str(caught.value)


@pytest.mark.parametrize("pin", ["2580", "1357", "12345679", "00001"])
def test_other_pins_are_taken(pin: str) -> None:
    assert numbers.parse_pin(pin) == pin
