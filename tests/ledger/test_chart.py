"""The chart of accounts: what it declares, and that nothing else passes."""

from __future__ import annotations

from itertools import product

import pytest

from counterfoil.ledger.chart import ACCOUNT_FLAGS, MOVEMENTS, AccountCode, Chart, TransferCode
from counterfoil.ledger.types import AMOUNT_ALL, Account, AccountFlags, Transfer, TransferFlags
from counterfoil.money import AMOUNT_MAX

HOLDERS = "customer merchant agent institution"
COUNTERS = "import_cash import_banks import_interest import_other"

# Debited, credited, why: read this beside the chart. Written out a second time on purpose.
DECLARED = f"""
    {HOLDERS}         > {HOLDERS}         : payment hold refund reversal batch_payment standing_order
    agent             > customer          : cash_in
    customer          > agent             : cash_out
    {HOLDERS}         > fees              : fee
    fees              > {HOLDERS}         : fee_refund
    fees              > institution       : payment
    issuance          > institution agent : issue
    institution agent > issuance          : withdrawal
    {COUNTERS}        > import_book       : import
    import_book       > {COUNTERS}        : import
    rounding          > import_book       : import_rounding
    import_book       > rounding          : import_rounding
"""


def declared() -> set[tuple[AccountCode, AccountCode, TransferCode]]:
    ways = set()
    for line in DECLARED.strip().splitlines():
        sides, _, reasons = line.partition(":")
        debited, _, credited = sides.partition(">")
        for debit, credit, reason in product(debited.split(), credited.split(), reasons.split()):
            ways.add((AccountCode[debit.upper()], AccountCode[credit.upper()], TransferCode[reason.upper()]))
    return ways


def transfer(code: int, *, amount: int = 1, flags: int = 0) -> Transfer:
    return Transfer(1, 2, 3, amount, ledger=1, code=code, flags=flags)


def test_exactly_the_declared_movements_pass() -> None:
    chart = Chart()
    passed = {
        (debit, credit, code)
        for debit, credit, code in product(AccountCode, AccountCode, TransferCode)
        if chart.transfer_refusal(transfer(code), debit, credit) is None
    }
    assert passed == declared()


def test_every_kind_of_account_and_every_reason_is_used() -> None:
    assert {code for debit, credit, _ in declared() for code in (debit, credit)} == set(AccountCode) == set(ACCOUNT_FLAGS)
    assert {code for _, _, code in declared()} == set(TransferCode)
    assert len(MOVEMENTS) == len(DECLARED.strip().splitlines())


def test_numbers_are_fixed_since_they_are_in_every_book() -> None:
    assert [(code.name, code.value) for code in AccountCode] == [
        ("ISSUANCE", 1), ("CUSTOMER", 10), ("MERCHANT", 11), ("AGENT", 12), ("INSTITUTION", 13), ("FEES", 20), ("ROUNDING", 21),
        ("IMPORT_BOOK", 30), ("IMPORT_CASH", 31), ("IMPORT_BANKS", 32), ("IMPORT_INTEREST", 33), ("IMPORT_OTHER", 34),
    ]  # fmt: skip
    assert [(code.name, code.value) for code in TransferCode] == [
        ("PAYMENT", 1), ("FEE", 2), ("HOLD", 3), ("REFUND", 4), ("REVERSAL", 5), ("CASH_IN", 6), ("CASH_OUT", 7), ("ISSUE", 8),
        ("WITHDRAWAL", 9), ("BATCH_PAYMENT", 10), ("STANDING_ORDER", 11), ("FEE_REFUND", 12), ("IMPORT", 20), ("IMPORT_ROUNDING", 21),
    ]  # fmt: skip


@pytest.mark.parametrize(("debit", "credit", "code"), [(0, 10, 1), (10, 99, 1), (10, 10, 0), (10, 10, 99)])
def test_unknown_codes_are_refused_with_their_numbers(debit: int, credit: int, code: int) -> None:
    refusal = Chart().transfer_refusal(transfer(code), debit, credit)
    assert refusal == f"the chart has no transfer of code {code} from account code {debit} to {credit}"


def test_real_amounts_end_at_the_greatest_balance() -> None:
    chart = Chart()
    assert chart.transfer_refusal(transfer(1, amount=AMOUNT_MAX), 10, 10) is None
    assert chart.transfer_refusal(transfer(1, amount=AMOUNT_MAX + 1), 10, 10) == f"amounts are at most {AMOUNT_MAX}"
    assert chart.transfer_refusal(transfer(1, amount=AMOUNT_ALL), 10, 10) == f"amounts are at most {AMOUNT_MAX}"


@pytest.mark.parametrize("flags", [TransferFlags.POST_PENDING_TRANSFER, TransferFlags.VOID_PENDING_TRANSFER])
def test_post_and_void_go_the_way_that_was_declared_for_the_pending_transfer(flags: int) -> None:
    chart = Chart()
    assert chart.transfer_refusal(Transfer(1, amount=5, pending_id=2, flags=flags), 0, 0) is None
    assert chart.transfer_refusal(Transfer(1, amount=AMOUNT_ALL, pending_id=2, flags=flags), 0, 0) is None
    assert chart.transfer_refusal(Transfer(1, amount=AMOUNT_MAX + 1, pending_id=2, flags=flags), 0, 0) is not None


def test_pending_transfer_needs_a_declared_way_like_any_other() -> None:
    pending = transfer(TransferCode.HOLD, flags=TransferFlags.PENDING)
    assert Chart().transfer_refusal(pending, AccountCode.CUSTOMER, AccountCode.MERCHANT) is None
    assert Chart().transfer_refusal(pending, AccountCode.CUSTOMER, AccountCode.ISSUANCE) is not None


def test_holders_cannot_go_below_zero_and_keep_their_history() -> None:
    limited = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.HISTORY
    for code in (AccountCode.CUSTOMER, AccountCode.MERCHANT, AccountCode.AGENT, AccountCode.INSTITUTION):
        assert Chart().account_refusal(Account(id=1, ledger=1, code=code, flags=limited)) is None
        assert Chart().account_refusal(Account(id=1, ledger=1, code=code, flags=limited | AccountFlags.LINKED)) is None
        for flags in (0, AccountFlags.HISTORY, AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS, limited | AccountFlags.CLOSED):
            assert Chart().account_refusal(Account(id=1, ledger=1, code=code, flags=flags)) is not None


def test_money_cannot_be_withdrawn_that_was_never_issued() -> None:
    issuance = Account(id=1, ledger=1, code=AccountCode.ISSUANCE, flags=AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS | AccountFlags.HISTORY)
    assert Chart().account_refusal(issuance) is None
    assert Chart().account_refusal(Account(id=1, ledger=1, code=AccountCode.ISSUANCE, flags=AccountFlags.HISTORY)) is not None


def test_account_of_an_unknown_kind_is_refused() -> None:
    assert Chart().account_refusal(Account(id=1, ledger=1, code=99)) == "the chart has no account code 99"
