"""Cards as bytes: NXP's published examples, a virtual tag, and what must not pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.cards import ntag424
from counterfoil.acceptance.cards.keys import BatchKeys, KeyNumber, diversified
from counterfoil.acceptance.cards.ntag424 import CardError, Session, Tap, read_message
from tests.acceptance.cards.drive import drive, script

KEYS = BatchKeys(bytes(range(16)))


@pytest.fixture(scope="module")
def sun(vectors: Path) -> dict[str, Any]:
    return json.loads((vectors / "vectors" / "channels" / "ntag424_sun.json").read_text("utf-8"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def ev2(vectors: Path) -> dict[str, Any]:
    return json.loads((vectors / "vectors" / "channels" / "ntag424_ev2first.json").read_text("utf-8"))  # type: ignore[no-any-return]


def read(vector: dict[str, Any], **changed: str) -> Tap | None:
    values = vector | changed
    key = bytes.fromhex(values["k_file"])
    meta_key = bytes.fromhex(values["k_meta"])
    return read_message(
        values["picc_enc"], values["sdmmac"], meta_key=meta_key, file_key_of=lambda _uid: key, mac_input=values["mac_input_ascii"]
    )


# The dynamic message


def test_published_messages_are_read(sun: dict[str, Any]) -> None:
    assert len(sun["encrypted_picc"]) >= 3
    for vector in sun["encrypted_picc"]:
        expected = Tap(bytes.fromhex(vector["expect"]["uid"]), vector["expect"]["read_ctr"])
        assert read(vector) == expected, vector["id"]
        assert read(vector, picc_enc=vector["picc_enc"].upper(), sdmmac=vector["sdmmac"].upper()) == expected


def test_published_forgeries_are_not(sun: dict[str, Any]) -> None:
    by_id = {vector["id"]: vector for vector in sun["encrypted_picc"]}
    seen = 0
    for vector in sun["negative"]:
        if vector.get("base") in by_id:
            changed = {
                name: value for name, value in vector.items() if name in ("k_meta", "k_file", "picc_enc", "sdmmac", "mac_input_ascii")
            }
            assert read(by_id[vector["base"]], **changed) is None, vector["id"]
            seen += 1
    assert seen >= 2


def test_exchanged_keys_are_noticed(sun: dict[str, Any]) -> None:
    vector = next(each for each in sun["encrypted_picc"] if each["k_meta"] != each["k_file"])
    assert read(vector, k_meta=vector["k_file"], k_file=vector["k_meta"]) is None


@given(st.integers(0, 47), st.integers(1, 15))
def test_no_digit_can_be_another(place: int, by: int) -> None:
    e, c = "EF963FF7828658A599F3041510671E88", "94EED9EE65337086"  # NXP AN12196, tables 2 and 4
    text = e + c
    text = text[:place] + f"{int(text[place], 16) ^ by:X}" + text[place + 1 :]
    assert read_message(text[:32], text[32:], meta_key=bytes(16), file_key_of=lambda _uid: bytes(16)) is None


@pytest.mark.parametrize(
    "e", ["", "00", "0" * 31, "0" * 33, "0" * 64, "g" * 32, " " + "0" * 31, "00 " * 10 + "00", "٠" * 32, "0" * 31 + "\n"]
)
def test_what_is_no_message_is_none(e: str) -> None:
    read = KEYS.read(e, "0" * 16)
    assert read is None
    assert KEYS.read("0" * 32, e[:16]) is None


def test_a_card_without_a_uid_in_its_message_is_none_of_ours() -> None:
    """Its first byte says what follows; with a MAC that is right, only that byte is wrong."""

    def said(first: int) -> Tap | None:
        plain = bytes((first,)) + bytes(range(1, 8)) + b"\x05\x00\x00" + bytes(5)
        session = ntag424._cmac(bytes(16), b"\x3c\xc3\x00\x01\x00\x80" + plain[1:11])
        e, c = ntag424._encrypt(bytes(16), plain), ntag424._truncated(ntag424._cmac(session, b""))
        return read_message(e.hex(), c.hex(), meta_key=bytes(16), file_key_of=lambda _uid: bytes(16))

    assert [said(first) for first in (0x47, 0x87, 0xC4, 0x00)] == [None] * 4
    assert said(0xC7) == Tap(bytes(range(1, 8)), 5)


# Keys


def test_keys_are_diversified_as_nxp_does() -> None:
    """Source: NXP AN10922 §2.2.1, the example of AES-128: its input is UID, application and system name."""
    secret = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
    who = bytes.fromhex("04782E21801D80" + "3042F5" + "4E585020416275")
    assert diversified(secret, who).hex().upper() == "A8DD63A3B89D54B37CA802473FDA9175"


def test_every_card_and_every_purpose_has_a_key_of_its_own_but_for_the_batch_s() -> None:
    uids = [bytes((4, n, 0, 0, 0, 0, 1)) for n in range(5)]
    made = {KEYS.of(number, uid) for uid in uids for number in KeyNumber}
    assert len(made) == 3 * len(uids) + 1
    assert KEYS.of(KeyNumber.META, uids[0]) == KEYS.of(KeyNumber.META, uids[1])
    assert made.isdisjoint({BatchKeys(bytes(16)).of(number, uid) for uid in uids for number in KeyNumber})
    assert "0102" not in repr(KEYS)


# Mutual authentication


def test_published_authentications(ev2: dict[str, Any]) -> None:
    assert len(ev2["vectors"]) >= 3
    for vector in ev2["vectors"]:
        values = {
            name: bytes.fromhex(value) for name, value in vector.items() if name in ("key", "rnd_a", "cmd1", "resp1", "cmd2", "resp2")
        }
        exchange = ntag424.authenticate(vector["key_no"], values["key"], random=values["rnd_a"])
        session = script(exchange, [(values["cmd1"], values["resp1"]), (values["cmd2"], values["resp2"])])
        expected = vector["expect"]
        found = session.ti.hex(), session.encryption_key.hex(), session.mac_key.hex()
        assert found == (expected["ti"], expected["k_ses_auth_enc"], expected["k_ses_auth_mac"]), vector["id"]


def test_an_authentication_that_answers_another_challenge_proves_nothing(ev2: dict[str, Any]) -> None:
    by_id = {vector["id"]: vector for vector in ev2["vectors"]}
    for wrong in ev2["negative"]:
        vector = by_id[wrong["base"]] | wrong
        exchange = ntag424.authenticate(vector["key_no"], bytes.fromhex(vector["key"]), random=bytes.fromhex(vector["rnd_a"]))
        next(exchange)
        exchange.send(bytes.fromhex(vector["resp1"]))
        with pytest.raises(CardError):
            exchange.send(bytes.fromhex(vector["resp2"]))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_whatever_answers_without_the_key_is_an_error_and_nothing_else(first: bytes, second: bytes) -> None:
    exchange = ntag424.authenticate(1, bytes(range(16)), random=bytes(16))
    with pytest.raises(CardError):
        drive(exchange, iter([first, second]).__next__)


# Secure messaging: NXP AN12196, the sections that are named; keys are those of its examples


def test_settings_are_changed_as_nxp_does() -> None:
    """AN12196 §6.9: the second command of its session."""
    enc, mac = "1309C877509E5A215007FF0ED19CA564", "4C6626F5E72EA694202139295C7A7FC7"
    session = Session(bytes.fromhex("9D00C4DF"), bytes.fromhex(enc), bytes.fromhex(mac), number=1)
    command = session.command(0x5F, b"\x02", bytes.fromhex("4000E0C1F121200000430000430000"))
    assert command.hex().upper() == "905F0000190261B6D97903566E84C3AE5274467E89EAD799B7C1A0EF7A0400"


def test_a_key_is_changed_as_nxp_does() -> None:
    """AN12196 §6.16.1: key 2, from zeros, in the third command of its session."""
    enc, mac = "4CF3CB41A22583A61E89B158D252FC53", "5529860B2FC5FB6154B7F28361D30BF9"
    session = Session(bytes.fromhex("7614281A"), bytes.fromhex(enc), bytes.fromhex(mac), number=2)
    new = bytes.fromhex("F3847D627727ED3BC9C4CC050489B966")
    command = next(ntag424.change_key(session, 2, old=bytes(16), new=new, version=1))
    assert (
        command.hex().upper()
        == "90C400002902" + "2CF362B7BF4311FF3BE1DAA295E8C68DE09050560D19B9E16C2393AE9CD1FAC7" + "5D0CE20BCD1D06E6" + "00"
    )


def test_answers_are_read_as_nxp_writes_them() -> None:
    """AN12196 §5.4 (a MAC alone) and §7.3 (a UID, encrypted)."""
    enc, mac = "1309C877509E5A215007FF0ED19CA564", "4C6626F5E72EA694202139295C7A7FC7"
    session = Session(bytes.fromhex("9D00C4DF"), bytes.fromhex(enc), bytes.fromhex(mac))
    assert session.answer(bytes.fromhex("FC222E5F7A5424529100"), "write") == b""
    enc, mac = "2B4D963C014DC36F24F69A50A394F875", "379D32130CE61705DD5FD8C36B95D764"
    session = Session(bytes.fromhex("DF055522"), bytes.fromhex(enc), bytes.fromhex(mac))
    assert session.command(0x51, b"").hex().upper() == "90510000088E2C155ADDA99BE300"
    answer = bytes.fromhex("70756055688505B52A5E26E59E329CD6595F672298EA41B79100")
    assert session.answer(answer, "ask for the UID").hex().upper() == "04958CAA5C5E80"


@given(st.integers(0, 23), st.integers(1, 255))
def test_an_answer_that_was_changed_is_an_error(place: int, by: int) -> None:
    enc, mac = "2B4D963C014DC36F24F69A50A394F875", "379D32130CE61705DD5FD8C36B95D764"
    session = Session(bytes.fromhex("DF055522"), bytes.fromhex(enc), bytes.fromhex(mac))
    answer = bytearray.fromhex("70756055688505B52A5E26E59E329CD6595F672298EA41B79100")
    answer[place] ^= by
    with pytest.raises(CardError):
        session.answer(bytes(answer), "ask for the UID")
