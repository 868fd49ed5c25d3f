"""The way of a payment on a real scheme: people pay, are paid, hold, capture, refund; and nothing moves when it should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from counterfoil import errors
from counterfoil.ids import id_text, new_id
from counterfoil.ledger.check import check
from counterfoil.parties.types import PartyKind
from counterfoil.payments.acknowledgement import verify
from counterfoil.payments.orders import OrderKind, encode
from counterfoil.payments.types import PaymentState, SignedOrder
from tests.scheme import DAY_S, Person, Scheme, opened


@pytest.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with opened(tmp_path / "data") as scheme:
        yield scheme
        report = check(scheme.services.ledger._engine)
        assert report.passed, report.findings


async def pair(scheme: Scheme, funds: int = 100_000) -> tuple[Person, Person]:
    return await scheme.customer("Ha-eun", funds=funds), await scheme.customer("Min-jun")


async def test_a_person_pays_another(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    receipt = await payer.pay(payee, 2_500, memo="rice")
    assert (payer.balance(), payee.balance()) == (97_500, 2_500)
    assert receipt.state is PaymentState.COMPLETED
    assert (receipt.account, receipt.balance, receipt.available) == (payer.account, 97_500, 97_500)
    said = verify(receipt.acknowledgement, key=scheme.services.payments.acknowledger.public_key)
    assert (said.order_hash, said.account, said.amount, said.balance) == (receipt.payment.order_hash, payer.account, 2_500, 97_500)


async def test_a_fee_is_on_top_for_a_transfer_and_out_of_it_for_a_purchase(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    shop = await scheme.merchant()
    assert (await payer.pay(payee, 20_000)).payment.fee == 20
    assert (payer.balance(), payee.balance()) == (79_980, 20_000)
    assert (await payer.pay(shop, 10_000, max_fee=0)).payment.fee == 50
    assert (payer.balance(), shop.balance()) == (69_980, 9_950)


async def test_a_quote_says_what_paying_will_cost(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    quote = await scheme.services.payments.quote(payer=payer.account, payee=payee.account, amount=20_000)
    assert (quote.payee_name, quote.fee, quote.total, quote.received) == ("Min-jun", 20, 20_020, 20_000)
    shop = await scheme.merchant()
    quote = await scheme.services.payments.quote(payer=payer.account, payee=shop.account, amount=10_000)
    assert (quote.fee, quote.total, quote.received) == (50, 10_000, 9_950)


async def test_a_repeat_gets_the_same_receipt_however_often_it_arrives(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    signed = payer.sign(payer.order(payee, 20_000))
    pay = scheme.services.payments.pay
    receipts = await asyncio.gather(*(pay(signed) for _ in range(20)))
    await payer.pay(payee, 1)
    assert all(receipt == receipts[0] for receipt in receipts)
    assert await pay(signed) == receipts[0]
    assert payee.balance() == 20_001


async def test_a_repeat_after_expiry_still_gets_its_receipt(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    signed = payer.sign(payer.order(payee, 500))
    receipt = await scheme.services.payments.pay(signed)
    scheme.clock.offset_s += 3 * DAY_S
    assert await scheme.services.payments.pay(signed) == receipt
    assert payee.balance() == 500


async def test_an_id_used_for_something_else_is_refused(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    order = payer.order(payee, 500)
    await scheme.services.payments.pay(payer.sign(order))
    with pytest.raises(errors.IdReused):
        await payer.pay(payee, 500, id=order.id, memo="another")
    other = await scheme.customer("Somebody", funds=10_000)
    with pytest.raises(errors.IdReused):
        await other.pay(payee, 500, id=order.id)
    assert payee.balance() == 500


async def test_a_refusal_is_the_same_on_every_repeat_and_burns_the_id(scheme: Scheme) -> None:
    payer, payee = await pair(scheme, funds=1_000)
    signed = payer.sign(payer.order(payee, 1_001))
    for _ in range(3):
        with pytest.raises(errors.InsufficientFunds):
            await scheme.services.payments.pay(signed)
    await scheme.fund(payer, 50_000)
    with pytest.raises(errors.InsufficientFunds):
        await scheme.services.payments.pay(signed)
    assert (payer.balance(), payee.balance()) == (51_000, 0)


async def test_the_fee_counts_when_the_money_is_short(scheme: Scheme) -> None:
    payer, payee = await pair(scheme, funds=20_000)
    with pytest.raises(errors.InsufficientFunds):
        await payer.pay(payee, 20_000)
    assert (payer.balance(), payee.balance()) == (20_000, 0)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"origin": "elsewhere.example/log"}, errors.WrongScheme),
        ({"asset": "EUR"}, errors.WrongScheme),
        ({"rules_hash": bytes(32)}, errors.RulesChanged),
        ({"max_fee": 19}, errors.FeeAboveMaximum),
        ({"expiry_ms": 1}, errors.OrderExpired),
        ({"expiry_ms": 2**62}, errors.Malformed),
        ({"checkpoint_size": 5}, errors.Malformed),
        ({"payer_last": 2**62}, errors.Malformed),
        ({"payee": 12345}, errors.PartyNotFound),
        ({"amount": 1_000_001}, errors.LimitExceeded),
        ({"reference": 999}, errors.NotFound),
    ],
)
async def test_terms_that_do_not_hold_are_refused_and_move_nothing(
    scheme: Scheme, changes: dict[str, object], refusal: type[errors.Refused]
) -> None:
    payer, payee = await pair(scheme)
    with pytest.raises(refusal):
        await scheme.services.payments.pay(payer.sign(msgspec.structs.replace(payer.order(payee, 20_000), **changes)))
    assert (payer.balance(), payee.balance()) == (100_000, 0)


async def test_paying_oneself_is_refused(scheme: Scheme) -> None:
    payer, _ = await pair(scheme)
    with pytest.raises(errors.SamePayerAndPayee):
        await payer.pay(payer, 100)


async def test_only_the_holders_own_device_signs(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    data = encode(payer.order(payee, 500))
    pay = scheme.services.payments.pay
    with pytest.raises(errors.WrongSignature):
        await pay(SignedOrder(data, payer.device, payee.key.sign(data).signature))
    with pytest.raises(errors.NotYourAccount):
        await pay(SignedOrder(data, payee.device, payee.key.sign(data).signature))
    with pytest.raises(errors.UnknownDevice):
        await pay(SignedOrder(data, 77, payer.key.sign(data).signature))
    good = payer.sign(data)
    with pytest.raises((errors.WrongSignature, errors.Malformed)):
        await pay(SignedOrder(data + b"!", good.device, good.signature))
    assert (payer.balance(), payee.balance()) == (100_000, 0)


async def test_somebody_elses_signature_never_reveals_a_receipt(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    data = encode(payer.order(payee, 500))
    await scheme.services.payments.pay(payer.sign(data))
    with pytest.raises(errors.NotYourAccount):
        await scheme.services.payments.pay(payee.sign(data))


async def test_two_orders_at_once_cannot_pass_a_limit_together(scheme: Scheme) -> None:
    payer = await scheme.customer("Ha-eun", tier="number_only", funds=40_000)  # 100.00 a payment, 200.00 a day
    payee = await scheme.customer("Min-jun")
    outcomes = await asyncio.gather(*(payer.pay(payee, 9_000) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, errors.LimitExceeded) for outcome in outcomes) == 3
    assert payee.balance() == 18_000
    scheme.clock.offset_s += DAY_S
    await payer.pay(payee, 9_000)


async def test_a_hold_is_captured_in_part_and_the_rest_returns(scheme: Scheme) -> None:
    payer, _ = await pair(scheme)
    fuel = await scheme.merchant("Fuel station")
    hold = await payer.hold(fuel, 10_000)
    assert (hold.state, payer.balance(), payer.available(), fuel.balance()) == (PaymentState.HELD, 100_000, 90_000, 0)
    capture = await fuel.answer(OrderKind.CAPTURE, hold, 6_400)
    assert (payer.available(), fuel.balance()) == (93_600, 6_400 - 32)
    assert (capture.account, capture.balance) == (fuel.account, 6_368)
    held = await scheme.services.payments.receipt(hold.payment.id, payer.account)
    assert held.state is PaymentState.CAPTURED
    for again in (OrderKind.CAPTURE, OrderKind.RELEASE):
        with pytest.raises(errors.HoldNotOpen):
            await fuel.answer(again, hold, 100)


async def test_a_hold_that_costs_the_payer_keeps_its_fee_aside(scheme: Scheme) -> None:
    payer, payee = await pair(scheme, funds=20_020)
    hold = await payer.hold(payee, 20_000)
    assert payer.available() == 0
    await payee.answer(OrderKind.CAPTURE, hold, 5_000)
    assert (payer.balance(), payee.balance()) == (15_020, 5_000)  # 50.00 costs nothing, so the fee came back, too


async def test_a_hold_is_released_by_the_payee_and_by_nobody_else(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    hold = await payer.hold(payee, 20_000)
    with pytest.raises(errors.NotYourAccount):
        await payer.answer(OrderKind.RELEASE, hold, 20_000)
    await payee.answer(OrderKind.RELEASE, hold, 20_000)
    assert (payer.available(), payee.balance()) == (100_000, 0)
    assert (await scheme.services.payments.receipt(hold.payment.id, payee.account)).state is PaymentState.RELEASED


async def test_more_than_was_held_cannot_be_captured(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    hold = await payer.hold(payee, 1_000)
    with pytest.raises(errors.AboveHold):
        await payee.answer(OrderKind.CAPTURE, hold, 1_001)


async def test_a_hold_ends_by_itself(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    hold = await payer.hold(payee, 20_000, timeout_s=60)
    scheme.clock.offset_s += 61
    with pytest.raises(errors.HoldNotOpen):
        await payee.answer(OrderKind.CAPTURE, hold, 20_000)
    assert (await scheme.services.payments.receipt(hold.payment.id, payer.account)).state is PaymentState.EXPIRED
    for _ in range(100):
        if payer.available() == 100_000:
            break
        await asyncio.sleep(0.05)
    assert payer.available() == 100_000


async def test_refunds_never_exceed_the_payment(scheme: Scheme) -> None:
    payer, _ = await pair(scheme)
    shop = await scheme.merchant(funds=5_000)
    bought = await payer.pay(shop, 10_000)
    await shop.answer(OrderKind.REFUND, bought, 4_000)
    outcomes = await asyncio.gather(*(shop.answer(OrderKind.REFUND, bought, 2_500) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, errors.AboveOriginal) for outcome in outcomes) == 3
    assert payer.balance() == 99_000
    await shop.answer(OrderKind.REFUND, bought, 1_000)
    with pytest.raises(errors.AboveOriginal):
        await shop.answer(OrderKind.REFUND, bought, 1)
    assert payer.balance() == 100_000


async def test_a_refund_that_failed_does_not_count(scheme: Scheme) -> None:
    payer, other = await pair(scheme)
    shop = await scheme.merchant()
    bought = await payer.pay(shop, 10_000)
    hold = await shop.hold(other, 9_000)
    with pytest.raises(errors.InsufficientFunds):
        await shop.answer(OrderKind.REFUND, bought, 10_000)
    await other.answer(OrderKind.RELEASE, hold, 9_000)
    await scheme.fund(shop, 50)
    await shop.answer(OrderKind.REFUND, bought, 10_000)
    assert payer.balance() == 100_000


async def test_a_refund_goes_back_where_the_money_came_from(scheme: Scheme) -> None:
    payer, other = await pair(scheme)
    shop = await scheme.merchant()
    bought = await payer.pay(shop, 10_000)
    with pytest.raises(errors.Malformed, match="payee"):
        await shop.pay(other, 100, kind=OrderKind.REFUND, reference=bought.payment.id)
    with pytest.raises(errors.PaymentNotFound):
        await shop.pay(payer, 100, kind=OrderKind.REFUND, reference=new_id(scheme.clock))


async def test_a_request_is_paid_once(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    request = await payee.ask(payer, 3_000)
    outcomes = await asyncio.gather(*(payer.pay(payee, 3_000, reference=request) for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(outcome, errors.NotInThisState) for outcome in outcomes) == 2
    assert payee.balance() == 3_000
    assert (await scheme.services.requests.find(request, payer.account)).state == "paid"


async def test_a_request_that_could_not_be_paid_can_be_paid_later(scheme: Scheme) -> None:
    payer, payee = await pair(scheme, funds=1_000)
    request = await payee.ask(payer, 3_000)
    with pytest.raises(errors.InsufficientFunds):
        await payer.pay(payee, 3_000, reference=request)
    await scheme.fund(payer, 5_000)
    await payer.pay(payee, 3_000, reference=request)
    assert payee.balance() == 3_000


async def test_a_request_names_who_pays_how_much(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    stranger = await scheme.customer("Stranger", funds=10_000)
    request = await payee.ask(payer, 3_000)
    with pytest.raises(errors.NotFound):
        await stranger.pay(payee, 3_000, reference=request)
    with pytest.raises(errors.Malformed, match="amount"):
        await payer.pay(payee, 2_999, reference=request)
    with pytest.raises(errors.Malformed, match="payee"):
        await payer.pay(stranger, 3_000, reference=request)


async def test_declined_cancelled_and_expired_requests_cannot_be_paid(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    requests = scheme.services.requests
    declined, cancelled, expired = [await payee.ask(payer, 100) for _ in range(3)]
    assert (await requests.decline(declined, payer.account)).state == "declined"
    assert (await requests.cancel(cancelled, payee.account)).state == "cancelled"
    with pytest.raises(errors.NotFound):
        await requests.decline(expired, payee.account)
    scheme.clock.offset_s += 3_601
    assert (await requests.find(expired, payer.account)).state == "expired"
    for request in (declined, cancelled, expired):
        with pytest.raises(errors.NotInThisState):
            await payer.pay(payee, 100, reference=request)


async def test_cash_in_needs_both_signatures(scheme: Scheme) -> None:
    customer = await scheme.customer("Ha-eun")
    agent = await scheme.agent(funds=50_000)
    with pytest.raises(errors.CustomerMustAsk):
        await agent.pay(customer, 5_000)
    request = await customer.ask(agent, 5_000, cash_in=True)
    await agent.pay(customer, 5_000, reference=request)
    assert (customer.balance(), agent.balance()) == (5_000, 45_000)


async def test_cash_out_needs_both_signatures(scheme: Scheme) -> None:
    customer = await scheme.customer("Ha-eun", funds=10_000)
    agent = await scheme.agent(funds=50_000)
    with pytest.raises(errors.AgentMustConfirm):
        await customer.pay(agent, 5_000)
    hold = await customer.hold(agent, 5_000)
    await agent.answer(OrderKind.CAPTURE, hold, 5_000)
    assert (customer.balance(), agent.balance()) == (10_000 - 5_050, 55_000)


async def test_frozen_accounts_pay_nothing_and_lose_nothing(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    staff = scheme.services.parties.staff
    freeze = await staff.freeze(new_id(scheme.clock), payer.party, reason="reported stolen", by=scheme.supervisors[0], lifetime_s=3_600)
    with pytest.raises(errors.AccountFrozen):
        await payer.pay(payee, 100)
    await staff.unfreeze(freeze.id, reason="found again", by=scheme.supervisors[1])
    await payer.pay(payee, 100)
    assert (payer.balance(), payee.balance()) == (99_900, 100)


async def test_a_payee_frozen_while_the_signature_is_checked_receives_nothing(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    parties = scheme.services.parties

    async def slow(*_: object) -> bool:
        await parties.staff.freeze(
            new_id(scheme.clock), payee.party, reason="reported", by=scheme.supervisors[0], lifetime_s=60, incoming=True
        )
        return True

    parties.verify_by(slow)
    with pytest.raises(errors.PayeeCannotReceive):
        await payer.pay(payee, 100)
    assert (payer.balance(), payee.balance()) == (100_000, 0)


async def test_money_is_issued_and_withdrawn_by_two(scheme: Scheme) -> None:
    bank = await scheme.institution(funds=70_000)
    alone = (scheme.treasurers[0], scheme.treasurers[0])
    with pytest.raises(errors.NeedsSecondPerson):
        await scheme.propose("issue", {"account": id_text(bank.account), "amount": 1}, alone)
    await scheme.circulate("withdrawal", bank, 30_000)
    assert bank.balance() == 40_000
    failed = await scheme.propose("withdrawal", {"account": id_text(bank.account), "amount": 40_001}, scheme.treasurers)
    assert (failed.state, bank.balance()) == ("failed", 40_000)
    assert "insufficient_funds" in failed.outcome


async def test_a_reversal_returns_amount_and_fee(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    shop = await scheme.merchant()
    sent, bought = await payer.pay(payee, 20_000), await payer.pay(shop, 10_000)
    await shop.answer(OrderKind.REFUND, bought, 4_000)
    for receipt in (sent, bought):
        done = await scheme.propose("reversal", {"payment": id_text(receipt.payment.id)}, scheme.supervisors)
        assert done.state == "executed", done.outcome
        again = await scheme.propose("reversal", {"payment": id_text(receipt.payment.id)}, scheme.supervisors)
        assert again.state == "failed"
    assert (payer.balance(), payee.balance(), shop.balance()) == (100_000, 0, 0)


async def test_history_tells_every_entry_with_the_balance_after_it(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    await payer.pay(payee, 20_000, memo="rent")
    hold = await payer.hold(payee, 1_000)
    await payee.answer(OrderKind.CAPTURE, hold, 400)
    page = await scheme.services.history.page(payer.account)
    assert [(entry.change, entry.set_aside, entry.balance, entry.available) for entry in page] == [
        (-400, -1_000, 79_580, 79_580),
        (0, 1_000, 79_980, 78_980),
        (-20, 0, 79_980, 79_980),
        (-20_000, 0, 80_000, 80_000),
        (100_000, 0, 100_000, 100_000),
    ]
    assert page[3].payment is not None
    assert page[3].payment.memo == "rent"
    rest = await scheme.services.history.page(payer.account, before=page[1].timestamp, limit=2)
    assert rest == page[2:4]


async def test_a_receipt_is_for_those_it_concerns(scheme: Scheme) -> None:
    payer, payee = await pair(scheme)
    stranger = await scheme.customer("Stranger")
    paid = await payer.pay(payee, 500)
    receipt = scheme.services.payments.receipt
    assert await receipt(paid.payment.id, payer.account) == paid
    theirs = await receipt(paid.payment.id, payee.account)
    assert (theirs.account, theirs.balance) == (payee.account, 500)
    with pytest.raises(errors.PaymentNotFound):
        await receipt(paid.payment.id, stranger.account)
    with pytest.raises(errors.PaymentNotFound):
        await receipt(new_id(scheme.clock), payer.account)


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await pair(scheme)
        signed = payer.sign(payer.order(payee, 2_500))
        receipt = await scheme.services.payments.pay(signed)
    async with opened(tmp_path) as scheme:
        assert await scheme.services.payments.pay(signed) == receipt
        account = scheme.services.ledger.account_now(payee.account)
        assert account is not None
        assert account.credits_posted == 2_500


async def test_a_second_process_is_told_that_the_folder_is_in_use(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(errors.Unavailable, match="in use"):
            async with opened(tmp_path):
                pass


async def test_kinds_of_party_are_what_they_were_opened_as(scheme: Scheme) -> None:
    shop = await scheme.merchant()
    assert (await scheme.services.parties.holder(shop.account)).kind is PartyKind.MERCHANT
