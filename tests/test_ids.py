"""Ids: in time order, never the same twice, and with one text form."""

from __future__ import annotations

import os
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.ids import ID_MAX, id_text, leg_id, new_id, parse_id

ids = st.integers(1, ID_MAX)
legs = st.integers(1, 2**32 - 1)


class FixedClock(msgspec.Struct):
    """A clock that stands still, and draws the bytes it was given."""

    now: int = 0
    random: bytes | None = None

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count) if self.random is None else self.random[:count]


@given(st.integers(0, 2**48 * 1_000_000 - 1), st.binary(min_size=10, max_size=10))
def test_a_new_id_is_a_uuid_version_7_of_its_moment(now: int, random: bytes) -> None:
    value = new_id(FixedClock(now, random))
    made = uuid.UUID(int=value)
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert value >> 80 == now // 1_000_000
    assert 0 < value <= ID_MAX


@given(st.integers(0, 2**60), st.integers(1_000_000, 2**60))
def test_a_later_id_is_greater(now: int, later: int) -> None:
    assert new_id(FixedClock(now)) < new_id(FixedClock(now + later))


def test_every_random_bit_counts() -> None:
    """74 random bits: ids of one millisecond differ as soon as one of them does."""
    zero = new_id(FixedClock(0, bytes(10)))
    changed = {new_id(FixedClock(0, (1 << bit).to_bytes(10))) ^ zero for bit in range(80)} - {0}
    assert len(changed) == 74
    assert all(bits.bit_count() == 1 for bits in changed)


def test_ids_of_one_moment_are_distinct() -> None:
    clock = FixedClock(1_700_000_000 * 10**9)
    assert len({new_id(clock) for _ in range(10_000)}) == 10_000


@given(ids, legs)
def test_a_leg_has_the_time_of_its_payment_and_an_id_of_its_own(payment: int, leg: int) -> None:
    value = leg_id(payment, leg)
    assert value >> 80 == payment >> 80
    assert value != payment
    assert value == leg_id(payment, leg)


@given(st.sets(st.tuples(ids, legs), min_size=2, max_size=20))
def test_legs_are_distinct_across_payments_and_numbers(pairs: set[tuple[int, int]]) -> None:
    assert len({leg_id(payment, leg) for payment, leg in pairs}) == len(pairs)


def test_a_leg_is_a_function_fixed_for_ever() -> None:
    """Ledgers hold these ids: another result would pay a second time."""
    assert id_text(leg_id(parse_id("018f3a5c-7d1e-7c3a-9b1f-0123456789ab"), 1)) == "018f3a5c-7d1e-7016-0090-18dd182a0836"
    assert id_text(leg_id(1, 2**32 - 1)) == "00000000-0000-2f1e-3dc1-32ab6650155c"


def test_there_is_no_leg_zero() -> None:
    with pytest.raises(AssertionError):
        leg_id(1, 0)


@given(ids)
def test_the_text_is_read_back(value: int) -> None:
    text = id_text(value)
    assert parse_id(text) == value
    assert len(text) == 36


@given(ids)
def test_an_id_has_no_second_spelling(value: int) -> None:
    text = id_text(value)
    others = {text.upper(), "{" + text + "}", "urn:uuid:" + text, text.replace("-", ""), text + "\n", " " + text} - {text}
    for other in others:
        with pytest.raises(Malformed, match=r"^id: must be a UUID in lower case"):
            parse_id(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "00000000-0000-0000-0000-000000000000",  # reserved by the ledger
        "ffffffff-ffff-ffff-ffff-ffffffffffff",  # reserved by the ledger
        "018f3a5c-7d1e-7c3a-9b1f-0123456789ag",
        "018f3a5c-7d1e-7c3a-9b1f-0123456789a",
        "018f3a5c-7d1e-7c3a-9b1f-0123456789abc",
        "018f3a5c-7d1e-7c3a-9b1f-01234567_9ab",
        "018f3a5c-7d1e-7c3a-9b1f-0123456789\uff11b",
        "0" * 100_000,
        "\x00" * 36,
        None,
        5,
        b"018f3a5c-7d1e-7c3a-9b1f-0123456789ab",
        [],
    ],
)
def test_what_is_not_an_id_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_id(text, "payment_id")
    assert refusal.value.facts["field"] == "payment_id"
