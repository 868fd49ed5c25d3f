"""The conformance table, `conformance.txt`, on every engine; and that the table leaves nothing out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from counterfoil.ledger.engine import Engine
from counterfoil.ledger.types import CreateAccountStatus, CreateTransferStatus
from tests.ledger.notation import Scenario, play, read_scenarios

SCENARIOS = read_scenarios(Path(__file__).with_name("conformance.txt"))

NEVER_TOGETHER = {
    # Two refusals that no single event can deserve, and why.
    ("id_must_not_be_zero", "id_must_not_be_int_max"): "an id has one value",
    ("id_must_not_be_int_max", "exists_with_different_flags"): "that id is never recorded",
    ("exists_with_different_code", "exists"): "exists means that nothing differs",
    ("exists", "flags_are_mutually_exclusive"): "such a record was never made",
    ("exists", "id_already_failed"): "an id is recorded or burnt, never both",
    ("debit_account_id_must_not_be_zero", "debit_account_id_must_not_be_int_max"): "an id has one value",
    ("credit_account_id_must_not_be_zero", "credit_account_id_must_not_be_int_max"): "an id has one value",
    ("credit_account_id_must_not_be_int_max", "accounts_must_be_different"): "then the debit account's id is refused first",
    ("flags_are_mutually_exclusive", "debit_account_id_must_not_be_zero"): "a post or void, or a plain transfer",
    ("pending_id_must_be_zero", "pending_id_must_not_be_zero"): "a plain transfer, or a post or void",
    ("pending_id_must_not_be_zero", "pending_id_must_not_be_int_max"): "an id has one value",
    ("pending_id_must_not_be_int_max", "pending_id_must_be_different"): "its own id is not the greatest",
    ("credit_account_not_found", "accounts_must_have_the_same_ledger"): "an account that is missing has no ledger",
    ("transfer_must_have_the_same_ledger_as_accounts", "pending_transfer_not_found"): "a plain transfer, or a post or void",
    ("pending_transfer_not_found", "pending_transfer_not_pending"): "it is recorded or not",
    ("exceeds_pending_transfer_amount", "pending_transfer_has_different_amount"): "above, or below",
    ("pending_transfer_already_posted", "pending_transfer_already_voided"): "resolved once",
    ("pending_transfer_already_voided", "pending_transfer_expired"): "resolved once",
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_books_follow_the_table(scenario: Scenario, engine: Engine) -> None:
    play(scenario, engine)


@pytest.mark.parametrize("statuses", [CreateAccountStatus, CreateTransferStatus])
def test_table_shows_every_status(statuses: type[CreateAccountStatus] | type[CreateTransferStatus]) -> None:
    expected = {line.expected for line in _event_lines(statuses)}
    assert expected == set(_names(statuses))


@pytest.mark.parametrize("statuses", [CreateAccountStatus, CreateTransferStatus])
def test_table_shows_which_of_two_neighbours_comes_first(statuses: type[CreateAccountStatus] | type[CreateTransferStatus]) -> None:
    names = [name for name in _names(statuses) if name != "created"]
    names[:2] = ["linked_event_chain_open", "linked_event_failed"]  # against the listed precedence, says the specification
    shown = {(line.expected, line.before) for line in _event_lines(statuses) if line.before}
    missing = [pair for pair in pairwise(names) if pair not in shown and pair not in NEVER_TOGETHER]
    assert not missing
    for first, second in shown:
        assert names.index(first) < names.index(second), (first, second)


def _event_lines(statuses: type[CreateAccountStatus] | type[CreateTransferStatus]) -> list:
    verbs = {"account"} if statuses is CreateAccountStatus else {"transfer", "post", "void"}
    return [line for scenario in SCENARIOS for line in scenario.lines if line.verb in verbs]


def _names(statuses: type[CreateAccountStatus] | type[CreateTransferStatus]) -> list[str]:
    return [status.name.lower() for status in statuses if not status.name.startswith("IMPORTED")]
