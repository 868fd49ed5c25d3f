"""Texts that ask for something, with the store on PostgreSQL: tests of their own files, on another database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.channels.sms.test_inbound import (
    Phones,
    WaitingClock,
    test_a_change_of_pin_that_was_broken_off_is_taken_up_by_its_repeat,
    test_a_whole_life_by_text_ends_in_the_right_balances,
    test_a_wrong_code_ends_the_question_and_three_of_them_end_the_hour,
    test_the_same_text_is_done_and_answered_once,
    test_the_texts_of_one_number_wait_for_each_other,
)
from tests.channels.sms.test_watching import test_the_same_answer_again_is_done_once
from tests.scheme import opened

__all__ = [
    "test_a_change_of_pin_that_was_broken_off_is_taken_up_by_its_repeat",
    "test_a_whole_life_by_text_ends_in_the_right_balances",
    "test_a_wrong_code_ends_the_question_and_three_of_them_end_the_hour",
    "test_the_same_answer_again_is_done_once",
    "test_the_same_text_is_done_and_answered_once",
    "test_the_texts_of_one_number_wait_for_each_other",
]


@pytest.fixture
async def phones(postgres_url: str, tmp_path: Path) -> AsyncIterator[Phones]:
    async with opened(tmp_path, WaitingClock(), store=postgres_url) as scheme:
        yield Phones(scheme)
