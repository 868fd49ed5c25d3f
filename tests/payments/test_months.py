"""A month added up and its statement: all of it, nothing twice, and the sums are the ledger's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Malformed, TooLarge
from counterfoil.ledger.chart import TransferCode
from counterfoil.payments import history as history_module
from counterfoil.payments import months, statement
from counterfoil.payments.history import Entry
from counterfoil.payments.months import COUNTERPARTIES_TOLD_MAX, Adding, Month, Span, Sums, span_of
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.statement import Line, Statement, Step
from tests.scheme import DAY_S, Person, Scheme, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")
UTC_ZONE = ZoneInfo("UTC")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scheme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scheme]:
    async with opened(tmp_path_factory.mktemp("scheme")) as running:
        yield running


def this_month(scheme: Scheme, *, later: int = 0) -> Span:
    now = datetime.fromtimestamp(scheme.clock.now_ns() // NANOSECONDS, UTC)
    number = now.year * 12 + now.month - 1 + later
    return span_of(f"{number // 12:04}-{number % 12 + 1:02}", UTC_ZONE)


async def month_of(person: Person, span: Span | None = None) -> Month:
    services = person.scheme.services
    return await months.read(services.ledger, services.history, person.account, span or this_month(person.scheme))


async def statement_of(person: Person, span: Span | None = None, *, lines_max: int = 1_000) -> Statement:
    services = person.scheme.services

    async def name(account: int) -> str | None:
        holder = await services.parties.directory.holder(account)
        return holder.name if holder else None

    span = span or this_month(person.scheme)
    return await statement.read(services.ledger, services.history, name, person.account, span, lines_max=lines_max)


@pytest.mark.parametrize(
    ("text", "zone", "start", "end"),
    [
        ("2026-11", "UTC", "2026-11-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00"),
        ("2026-11", "Asia/Seoul", "2026-10-31T15:00:00+00:00", "2026-11-30T15:00:00+00:00"),
        ("2026-03", "Europe/Paris", "2026-02-28T23:00:00+00:00", "2026-03-31T22:00:00+00:00"),
        ("2028-02", "UTC", "2028-02-01T00:00:00+00:00", "2028-03-01T00:00:00+00:00"),
        ("2026-12", "Africa/Nairobi", "2026-11-30T21:00:00+00:00", "2026-12-31T21:00:00+00:00"),
    ],
)
async def test_a_month_is_that_of_the_zone(text: str, zone: str, start: str, end: str) -> None:
    span = span_of(text, ZoneInfo(zone))
    assert [span.start, span.end] == [int(datetime.fromisoformat(moment).timestamp()) * NANOSECONDS for moment in (start, end)]


@pytest.mark.parametrize(
    "text", ["", "2026-13", "2026-00", "2026-1", "26-11", "2026-11-01", "1969-12", "2200-01", "2026-11\n", "２０２６-11"]
)
async def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        span_of(text, UTC_ZONE)
    assert refused.value.facts["field"] == "month"


async def test_opening_and_movements_give_the_closing_balance(scheme: Scheme) -> None:
    one, other, shop = await scheme.customer(funds=10_000), await scheme.customer("Rose"), await scheme.merchant()
    paid = await one.pay(other, 1_200)
    await one.pay(shop, 300)
    await other.pay(one, 50)
    held = await one.hold(shop, 500)
    await shop.answer(OrderKind.CAPTURE, held, 400)
    released = await one.hold(shop, 700)
    await shop.answer(OrderKind.RELEASE, released, 700)
    await other.answer(OrderKind.REFUND, paid, 200)
    month = await month_of(one)
    assert (month.opening, month.incoming, month.outgoing, month.closing) == (0, 10_250, 1_900, one.balance())
    kinds = {code: (sums.count, sums.incoming, sums.outgoing) for code, sums in month.by_kind}
    assert kinds == {
        TransferCode.PAYMENT: (4, 10_050, 1_500),
        TransferCode.HOLD: (4, 0, 400),
        TransferCode.REFUND: (1, 200, 0),
    }
    people = {account: (sums.count, sums.incoming, sums.outgoing) for account, sums in month.by_counterparty}
    assert people[other.account] == (3, 250, 1_200)
    assert people[shop.account] == (5, 0, 700)
    assert list(people)[1:] == [other.account, shop.account], "the bank first, then by what moved"
    assert month.others == Sums()


async def test_fees_are_told_less_those_given_back(scheme: Scheme) -> None:
    agent, person = await scheme.agent(funds=100_000), await scheme.customer(funds=50_000)
    held = await person.hold(agent, 20_000, max_fee=20_000)
    assert held.payment.fee > 0, "the default tariff has a fee on taking cash out"
    await agent.answer(OrderKind.CAPTURE, held, 20_000)
    month = await month_of(person)
    fees = dict(month.by_kind)[TransferCode.FEE]
    assert (month.fees, fees.outgoing, fees.count) == (held.payment.fee, held.payment.fee, 2)
    assert month.closing == 50_000 - 20_000 - held.payment.fee == person.balance()


async def test_months_meet_each_other_without_a_gap(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:  # of its own: the ledger's time never goes back
        one, other = await scheme.customer(funds=5_000), await scheme.customer()
        now, next_month = this_month(scheme), this_month(scheme, later=1)
        await one.pay(other, 1_000)
        scheme.clock.offset_s = (now.end - scheme.clock.now_ns()) / NANOSECONDS + DAY_S
        await one.pay(other, 300)
        before, after = await month_of(one, now), await month_of(one, next_month)
        assert (before.opening, before.outgoing, before.closing) == (0, 1_000, 4_000)
        assert (after.opening, after.outgoing, after.closing) == (4_000, 300, 3_700)
        assert [line.outgoing for line in (await statement_of(one, next_month)).lines] == [300]
        later, earlier = await month_of(one, span_of("2150-01", UTC_ZONE)), await month_of(one, span_of("1970-01", UTC_ZONE))
        assert (later.opening, later.closing, later.by_kind) == (3_700, 3_700, [])
        assert (earlier.opening, earlier.closing, earlier.by_kind) == (0, 0, [])


async def test_every_entry_is_there_once_however_long_the_pages_are(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = await scheme.customer(funds=5_000), await scheme.customer()
    for amount in range(1, 12):
        await one.pay(other, amount)
    whole = await statement_of(one)
    assert [line.outgoing for line in whole.lines] == [0, *range(1, 12)]
    for size in (1, 2, 5, 12):
        monkeypatch.setattr(history_module, "PAGE_SIZE_MAX", size)
        assert (await statement_of(one)).lines == whole.lines
        assert (await month_of(one)).by_kind == [(TransferCode.PAYMENT, Sums(12, 5_000, sum(range(1, 12))))]


async def test_a_month_can_be_read_while_it_goes_on(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "PAGE_SIZE_MAX", 2)
    one, other = await scheme.customer(funds=50_000), await scheme.customer()

    async def trade() -> None:
        for _ in range(40):
            await one.pay(other, 7)

    async def look() -> list[Month]:
        found = []
        while not trading.done():
            found.append(await month_of(one))  # asserts its own sum
            await asyncio.sleep(0.002)
        return found

    trading = asyncio.create_task(trade())
    seen = await look()
    await trading
    assert len({month.closing for month in seen}) > 3
    assert (await month_of(one)).closing == 50_000 - 280


async def test_a_statement_says_what_each_line_did(scheme: Scheme) -> None:
    one, shop = await scheme.customer(funds=10_000), await scheme.merchant("Pump")
    held = await one.hold(shop, 500, memo="pump 3")
    await shop.answer(OrderKind.CAPTURE, held, 400)
    released = await one.hold(shop, 700)
    await shop.answer(OrderKind.RELEASE, released, 700)
    lines = (await statement_of(one)).lines

    def short(line: Line) -> tuple[Step, int, int, int, int]:
        return line.step, line.incoming, line.outgoing, line.set_aside, line.balance

    assert [short(line) for line in lines] == [
        (Step.MOVED, 10_000, 0, 0, 10_000),
        (Step.SET_ASIDE, 0, 0, 500, 10_000),
        (Step.MOVED, 0, 400, -500, 9_600),
        (Step.SET_ASIDE, 0, 0, 700, 9_600),
        (Step.GIVEN_BACK, 0, 0, -700, 9_600),
    ]
    assert [(line.counterparty, line.memo) for line in lines[1:3]] == [("Pump", "pump 3"), ("Pump", "")]
    assert lines[1].payment == held.payment.id


async def test_more_lines_than_a_file_has_are_refused(scheme: Scheme) -> None:
    one, other = await scheme.customer(funds=5_000), await scheme.customer()
    await one.pay(other, 1)
    assert len((await statement_of(one, lines_max=2)).lines) == 2
    with pytest.raises(TooLarge):
        await statement_of(one, lines_max=1)


# Adding up, by itself


def entry(change: int, counterparty: int, code: TransferCode = TransferCode.PAYMENT) -> Entry:
    return Entry(1, code, change, 0, 0, 0, counterparty, None, None)  # type: ignore[arg-type]


def added(*entries: Entry, opening: int = 1_000_000) -> Month:
    adding = Adding(span_of("2026-11", UTC_ZONE), until=1, opening=opening)
    for each in entries:
        adding.add(each)
    return adding.month(opening + sum(each.change for each in entries))


async def test_twenty_counterparties_are_told_and_the_rest_is_summed() -> None:
    month = added(*(entry(-account, account) for account in range(1, 31)))
    assert [account for account, _ in month.by_counterparty] == list(range(30, 10, -1))
    assert len(month.by_counterparty) == COUNTERPARTIES_TOLD_MAX
    assert month.others == Sums(10, 0, sum(range(1, 11)))
    assert month.outgoing == month.others.outgoing + sum(sums.outgoing for _, sums in month.by_counterparty)


async def test_memory_is_bounded_and_no_money_is_lost_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "COUNTERPARTIES_MAX", 3)
    month = added(*(entry(10, account) for account in (1, 2, 3, 4, 5, 1, 4)))
    assert [(account, sums.incoming) for account, sums in month.by_counterparty] == [(1, 20), (2, 10), (3, 10)]
    assert month.others == Sums(3, 30, 0)


async def test_a_sum_that_is_not_the_ledgers_is_a_bug() -> None:
    adding = Adding(span_of("2026-11", UTC_ZONE), until=1, opening=5)
    adding.add(entry(10, 1))
    with pytest.raises(AssertionError):
        adding.month(14)


async def test_a_month_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "ENTRIES_MAX", 2)
    with pytest.raises(TooLarge):
        added(entry(1, 1), entry(1, 1), entry(1, 1))


async def test_fees_given_back_may_be_more_than_those_charged() -> None:
    month = added(entry(-30, 9, TransferCode.FEE), entry(50, 9, TransferCode.FEE_REFUND))
    assert (month.fees, month.incoming, month.outgoing) == (-20, 50, 30)
