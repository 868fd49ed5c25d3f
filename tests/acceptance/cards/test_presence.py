"""A card that is here, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.cards.keys import BatchKeys, KeyNumber
from counterfoil.acceptance.cards.ntag424 import CardError, Tap
from counterfoil.acceptance.cards.presence import identify
from tests.acceptance.cards.drive import carry
from tests.acceptance.cards.tag import Tag
from tests.acceptance.cards.test_personalise import KEYS, UID, make

RANDOM = bytes(range(16, 32))


def made() -> Tag:
    tag = Tag(UID)
    make(tag)
    tag.off()
    return tag


def test_a_card_is_known_at_each_tap_by_a_higher_counter() -> None:
    tag = made()
    for reading in (1, 2, 3):
        assert carry(identify(KEYS, random=RANDOM), tag.transmit) == Tap(UID, reading)
        tag.off()


def test_what_repeats_a_whole_conversation_is_not_here() -> None:
    """The same bytes in the same order, to another challenge."""
    tag = made()
    heard = []

    def transmit(command: bytes) -> bytes:
        heard.append(tag.transmit(command))
        return heard[-1]

    carry(identify(KEYS, random=RANDOM), transmit)

    def replay(random: bytes) -> Tap:
        left = iter(heard)
        return carry(identify(KEYS, random=random), lambda _command: next(left))

    assert replay(RANDOM) == Tap(UID, 1)  # a challenge that was used before proves nothing
    for other in (bytes(16), RANDOM[::-1]):
        with pytest.raises(CardError, match="authenticate"):
            replay(other)


def test_a_card_of_another_batch_or_from_the_factory_is_none_of_ours() -> None:
    for tag, keys in ((made(), BatchKeys(bytes(16))), (Tag(UID), KEYS)):
        with pytest.raises(CardError):
            carry(identify(keys, random=RANDOM), tag.transmit)


def test_the_key_that_changes_cards_proves_nothing_here() -> None:
    tag = made()
    tag.keys[KeyNumber.PRESENCE] = tag.keys[KeyNumber.CHANGE]
    with pytest.raises(CardError, match="authenticate"):
        carry(identify(KEYS, random=RANDOM), tag.transmit)


@given(st.lists(st.binary(max_size=64), min_size=40, max_size=40))
def test_whatever_lies_on_the_reader_is_an_error_and_nothing_else(answers: list[bytes]) -> None:
    left = iter(answers)
    with pytest.raises(CardError):
        carry(identify(KEYS, random=RANDOM), lambda _: next(left))


@given(st.integers(0, 20), st.data())
def test_an_answer_that_is_cut_short_is_an_error(at: int, data: st.DataObject) -> None:
    tag, asked = made(), 0

    def transmit(command: bytes) -> bytes:
        nonlocal asked
        asked += 1
        answer = tag.transmit(command)
        return answer if asked - 1 != at else answer[: data.draw(st.integers(0, len(answer) - 1))]

    # A part of the message that comes short is asked for again.
    try:
        found = carry(identify(KEYS, random=RANDOM), transmit)
    except CardError:
        return
    assert found == Tap(UID, 1)
