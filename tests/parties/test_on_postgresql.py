"""Numbers that change hands, and watchers, with the store on PostgreSQL: tests of their own files, on another database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.parties.conftest import Scheme, StillClock, scheme_in
from tests.parties.test_sim_changes import (
    test_a_device_from_before_lifts_it,
    test_a_number_given_to_another_opens_nothing_of_the_account_before,
    test_all_old_channels_and_the_number_are_told_once,
    test_pins_take_little_until_the_delay_is_over_and_devices_what_they_did,
)
from tests.parties.test_watchers import (
    kofi,
    supervisor,
    test_a_watcher_is_asked_and_watches_from_their_consent_on,
    test_who_has_the_pin_and_more_cannot_make_an_account_unseen,
    test_whoever_takes_a_watcher_away_cannot_blind_them,
    union,
)

__all__ = [
    "kofi",
    "supervisor",
    "test_a_device_from_before_lifts_it",
    "test_a_number_given_to_another_opens_nothing_of_the_account_before",
    "test_a_watcher_is_asked_and_watches_from_their_consent_on",
    "test_all_old_channels_and_the_number_are_told_once",
    "test_pins_take_little_until_the_delay_is_over_and_devices_what_they_did",
    "test_who_has_the_pin_and_more_cannot_make_an_account_unseen",
    "test_whoever_takes_a_watcher_away_cannot_blind_them",
    "union",
]


@pytest.fixture
async def scheme(postgres_url: str, tmp_path: Path) -> AsyncIterator[Scheme]:
    async with scheme_in(tmp_path, StillClock(), url=postgres_url) as scheme:
        yield scheme
