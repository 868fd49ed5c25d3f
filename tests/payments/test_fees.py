"""What a payment costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.money import AMOUNT_MAX
from counterfoil.payments.fees import FREE, Band, Fee, FeeLine, PaidBy, Service, Tariff, fee
from counterfoil.payments.rules import DEFAULT_TARIFF

CASES = [
    # service, amount, fee, paid by: the default tariff, worked out by hand
    (Service.TRANSFER, 1, 0, PaidBy.PAYER),
    (Service.TRANSFER, 10_000, 0, PaidBy.PAYER),
    (Service.TRANSFER, 10_001, 20, PaidBy.PAYER),
    (Service.TRANSFER, 100_000, 20, PaidBy.PAYER),
    (Service.TRANSFER, 100_001, 50, PaidBy.PAYER),
    (Service.PURCHASE, 199, 0, PaidBy.PAYER),  # half a percent of 1.99 is less than a cent: dropped
    (Service.PURCHASE, 200, 1, PaidBy.PAYEE),
    (Service.PURCHASE, 12_345, 61, PaidBy.PAYEE),
    (Service.CASH_IN, 50_000, 0, PaidBy.PAYER),
    (Service.CASH_OUT, 500, 10, PaidBy.PAYER),
    (Service.CASH_OUT, 20_000, 200, PaidBy.PAYER),
    (Service.DISBURSEMENT, 1, 5, PaidBy.PAYER),
    (Service.REFUND, 999_999, 0, PaidBy.PAYER),
    (Service.PURCHASE, AMOUNT_MAX, AMOUNT_MAX * 50 // 10_000, PaidBy.PAYEE),
]


@pytest.mark.parametrize(("service", "amount", "expected", "paid_by"), CASES)
def test_the_default_tariff_charges_what_it_says(service: Service, amount: int, expected: int, paid_by: PaidBy) -> None:
    assert fee(DEFAULT_TARIFF, service, amount) == Fee(expected, paid_by)


def test_a_service_without_a_line_is_free() -> None:
    assert fee(Tariff(), Service.TRANSFER, 5) == FREE


lines = st.builds(
    FeeLine,
    service=st.just(Service.PURCHASE),
    paid_by=st.sampled_from(PaidBy),
    flat=st.integers(0, 10_000),
    rate_basis_points=st.integers(0, 10_000),
    minimum=st.integers(0, 100),
    maximum=st.integers(100, AMOUNT_MAX),
)


@given(lines, st.integers(1, AMOUNT_MAX))
def test_a_fee_stays_within_its_bounds(line: FeeLine, amount: int) -> None:
    charged = fee(Tariff((line,)), Service.PURCHASE, amount)
    assert 0 <= charged.amount <= line.maximum
    if line.paid_by is PaidBy.PAYEE:
        assert charged.amount <= amount
    else:
        assert charged.amount >= line.minimum


@given(lines, st.integers(1, AMOUNT_MAX - 1))
def test_a_larger_payment_never_costs_less_on_a_line_without_bands(line: FeeLine, amount: int) -> None:
    tariff = Tariff((line,))
    assert fee(tariff, Service.PURCHASE, amount).amount <= fee(tariff, Service.PURCHASE, amount + 1).amount


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: FeeLine(Service.TRANSFER, flat=-1),
        lambda: FeeLine(Service.TRANSFER, rate_basis_points=10_001),
        lambda: FeeLine(Service.TRANSFER, minimum=2, maximum=1),
        lambda: FeeLine(Service.TRANSFER, bands=(Band(10), Band(10))),
        lambda: FeeLine(Service.TRANSFER, bands=(Band(0),)),
        lambda: FeeLine(Service.TRANSFER, bands=(Band(10, flat=-5),)),
        lambda: Tariff((FeeLine(Service.TRANSFER), FeeLine(Service.TRANSFER))),
    ],
)
def test_an_impossible_tariff_is_refused(wrong: object) -> None:
    with pytest.raises(Malformed, match="tariff"):
        wrong()  # type: ignore[operator]
