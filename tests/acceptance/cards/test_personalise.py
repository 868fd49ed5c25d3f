"""How a card is made: from the factory, a second time, torn away at every byte, and of somebody else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.cards import ntag424
from counterfoil.acceptance.cards.address import HOST_SIZE_MAX, message, values
from counterfoil.acceptance.cards.keys import BatchKeys, KeyNumber
from counterfoil.acceptance.cards.ntag424 import CardError, Tap
from counterfoil.acceptance.cards.personalise import FACTORY_KEY, personalise
from counterfoil.errors import Malformed
from tests.acceptance.cards.drive import carry
from tests.acceptance.cards.tag import Tag

HOST = "money.example.org"
KEYS = BatchKeys(bytes(range(16)))
UID = bytes.fromhex("04958CAA5C5E80")


def randoms() -> Callable[[int], bytes]:
    """Another value each time, the same in each run."""
    number = count()
    return lambda size: hashlib.sha256(f"{next(number)}".encode()).digest()[:size]


def make(tag: Tag, keys: BatchKeys = KEYS, host: str = HOST) -> bytes:
    return carry(personalise(host, keys, random=randoms()), tag.transmit)


def tapped(tag: Tag) -> tuple[str, str]:
    """What a reader takes out of a card that is held to it."""
    tag.off()
    carry(ntag424.select(), tag.transmit)
    found = values(carry(ntag424.read_file(), tag.transmit))
    assert found is not None
    return found


def is_whole(tag: Tag) -> bool:
    return tag.random_id and tag.keys[:4] == [KEYS.of(number, tag.uid) for number in KeyNumber] and KEYS.read(*tapped(tag)) is not None


def test_a_new_card_says_who_it_is_once_each_time_and_lets_nobody_change_it() -> None:
    tag = Tag(UID)
    assert make(tag) == UID
    assert is_whole(tag)
    before = tag.counter
    taps = [KEYS.read(*tapped(tag)) for _ in range(3)]
    assert taps == [Tap(UID, before + 1 + n) for n in range(3)]
    text = tag.shown()[7 : tag.shown()[1] + 2].decode()
    assert text.startswith(f"{HOST}/t?e=")
    assert UID.hex() not in text.lower()
    assert tag.access == (0x0, 0x0, 0xE, 0x0)  # everybody reads; key 0 alone writes, and changes who may
    with pytest.raises(CardError):  # the file stays as it is
        carry(ntag424.write_file(b"\xd1\x01\x05U\x04evil"), tag.transmit)
    for number in KeyNumber:
        with pytest.raises(CardError):
            carry(ntag424.authenticate(number, FACTORY_KEY, random=bytes(16)), tag.transmit)
        carry(ntag424.authenticate(number, KEYS.of(number, UID), random=bytes(16)), tag.transmit)


def test_a_card_that_is_made_twice_stays_what_it_is() -> None:
    tag = Tag(UID)
    make(tag)
    keys, file = list(tag.keys), bytes(tag.file)
    assert make(tag) == UID
    assert (tag.keys, bytes(tag.file)) == (keys, file)


def test_a_card_of_another_batch_is_refused_and_not_touched() -> None:
    for other_hides in (True, False):
        tag = Tag(UID)
        make(tag, BatchKeys(bytes(16)))
        tag.random_id = other_hides
        keys, file = list(tag.keys), bytes(tag.file)
        with pytest.raises(CardError):
            make(tag)
        assert (tag.keys, bytes(tag.file)) == (keys, file)


@pytest.mark.parametrize("hides", [True, False])
def test_a_card_that_says_another_address_is_refused_and_not_touched(hides: bool) -> None:
    tag = Tag(UID)
    make(tag, host="other.example.org")
    tag.random_id = hides
    with pytest.raises(CardError):
        make(tag)
    assert tag.random_id == hides


def test_a_card_whose_file_can_no_longer_be_written_is_made_only_if_it_says_our_address() -> None:
    for host in (HOST, "other.example.org"):
        tag = Tag(UID)
        ndef, _, _ = message(host)
        carry(ntag424.select(), tag.transmit)
        carry(ntag424.write_file(ndef), tag.transmit)
        tag.access = (0x0, 0x0, 0xE, 0x0)
        if host == HOST:
            assert make(tag) == UID
            assert is_whole(tag)
        else:
            with pytest.raises(CardError):
                make(tag)
            assert tag.keys == [FACTORY_KEY] * 5


def test_what_only_repeats_the_words_of_a_card_is_none() -> None:
    tag = Tag(UID)
    make(tag)
    spoken = tapped(tag)
    copy = Tag(UID)
    copy.file[: len(tag.file)] = tag.shown()
    copy.random_id = True
    assert KEYS.read(*spoken) is not None
    with pytest.raises(CardError, match="authenticate"):
        make(copy)


def test_a_card_says_nothing_more_after_its_last_reading() -> None:
    tag = Tag(UID)
    carry(personalise(HOST, KEYS, random=randoms(), counter_limit=2), tag.transmit)
    assert [KEYS.read(*tapped(tag)), KEYS.read(*tapped(tag))] == [Tap(UID, 1), Tap(UID, 2)]
    with pytest.raises(CardError):
        tapped(tag)


class Torn(Exception):
    """The card is gone from the field."""


def commands_of(tag: Tag) -> int:
    asked = []

    def transmit(command: bytes) -> bytes:
        asked.append(command)
        return tag.transmit(command)

    carry(personalise(HOST, KEYS, random=randoms()), transmit)
    return len(asked)


WHOLE = commands_of(Tag(UID))


@pytest.mark.parametrize("heard", [False, True], ids=["before the command", "before its answer"])
def test_a_card_that_is_torn_away_at_any_command_is_made_whole_by_doing_it_again(heard: bool) -> None:
    assert WHOLE > 25
    for torn_at in range(WHOLE):
        tag, asked = Tag(UID), count()

        def transmit(command: bytes, tag: Tag = tag, asked: count[int] = asked, torn_at: int = torn_at) -> bytes:
            if next(asked) == torn_at:
                if heard:
                    tag.transmit(command)
                raise Torn
            return tag.transmit(command)

        with pytest.raises(Torn):
            carry(personalise(HOST, KEYS, random=randoms()), transmit)
        tag.off()
        assert make(tag) == UID, torn_at
        assert is_whole(tag), torn_at


def test_a_card_that_is_torn_away_many_times_is_made_whole_in_the_end() -> None:
    tag = Tag(UID)
    for torn_at in range(3, WHOLE):
        asked = count()

        def transmit(command: bytes, asked: count[int] = asked, torn_at: int = torn_at) -> bytes:
            if next(asked) == torn_at:
                raise Torn
            return tag.transmit(command)

        try:
            carry(personalise(HOST, KEYS, random=randoms()), transmit)
        except Torn:
            tag.off()
    assert make(tag) == UID
    assert is_whole(tag)


@given(st.integers(0, WHOLE - 1), st.data())
def test_an_answer_cut_at_any_byte_is_an_error_and_the_card_is_made_whole_after_it(at: int, data: st.DataObject) -> None:
    tag, asked = Tag(UID), count()

    def transmit(command: bytes) -> bytes:
        answer = tag.transmit(command)
        return answer if next(asked) != at else answer[: data.draw(st.integers(0, len(answer) - 1))]

    # Where an answer has data that nobody needs, what is cut is not missed.
    try:
        carry(personalise(HOST, KEYS, random=randoms()), transmit)
    except CardError:
        tag.off()
        assert make(tag) == UID
    assert is_whole(tag)


# The address


def test_the_address_is_a_record_that_telephones_open() -> None:
    ndef, e_at, c_at = message(HOST)
    text = ndef[5:].decode()
    assert ndef[:5] == b"\xd1\x01" + bytes((len(text) + 1,)) + b"U\x04"  # one short record, URI, "https://"
    assert text == f"{HOST}/t?e={'0' * 32}&c={'0' * 16}"
    file = len(ndef).to_bytes(2) + ndef
    assert file[e_at - 2 : e_at + 32] == b"e=" + b"0" * 32
    assert file[c_at - 2 :] == b"c=" + b"0" * 16
    assert values(ndef) == ("0" * 32, "0" * 16)


def test_the_longest_host_fits_into_the_file() -> None:
    ndef, _, _ = message("a" * HOST_SIZE_MAX)
    assert len(ndef) + 2 <= 256


@pytest.mark.parametrize("host", ["", "a" * (HOST_SIZE_MAX + 1), "a b", "a/b", "a?b", "a@b", "a#b", "돈.kr", "a\n", "a&e=1", "100%"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(Malformed) as refused:
        message(host)
    assert refused.value.facts["field"] == "host"


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_a_record_of_another_kind_or_length_has_no_values(place: int) -> None:
    ndef = bytearray(message(HOST)[0])
    ndef[place] ^= 1
    assert values(bytes(ndef)) is None


@given(st.binary(max_size=120))
def test_other_messages_have_no_values(ndef: bytes) -> None:
    assert values(ndef) is None
