"""Wages and aid: one signature over a file, one payment per line, one result per line, and no line twice."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.ids import leg_id, new_id
from counterfoil.payments import forms
from counterfoil.payments.batches import COMPLETED, BatchState, BatchStatus
from tests.scheme import Person, Scheme, opened


def form_for(payer: Person, file: str, **changes: Any) -> forms.Batch:
    services = payer.scheme.services
    lines = services.batches.parse(file) if "count" not in changes else []
    values: dict[str, Any] = {
        "origin": services.config.origin,
        "asset": services.config.currency_code,
        "payer": payer.account,
        "id": new_id(services.clock),
        "count": len(lines),
        "total": sum(amount for _, amount, _ in lines) or 1,
        "max_fee": 100,
        "expiry_ms": services.clock.now_ns() // 1_000_000 + 600_000,
        "lines_hash": hashlib.sha256(file.encode()).digest(),
        "memo": "wages of November",
    }
    return forms.Batch(**(values | changes))


async def finished(scheme: Scheme, batch: int, payer: Person) -> BatchStatus:
    for _ in range(600):
        status = await scheme.services.batches.status(batch, payer.account)
        if status.state is BatchState.DONE:
            return status
        await asyncio.sleep(0.05)
    raise AssertionError("the batch did not finish")


async def test_every_line_is_paid_once_and_tells_its_result(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        employer = await scheme.merchant("Bakery", funds=100_000)
        funds = employer.balance()
        workers = [await scheme.customer(f"Worker {number}") for number in range(3)]
        file = "to,amount,memo\n" + "".join(f"{worker.address},12.50,November\n" for worker in workers)
        file += "+254799999999,10.00,nobody\nnot a number,10.00,\n"
        form = form_for(employer, file)
        signed = employer.sign(forms.encode(form))
        batches = scheme.services.batches
        first = await batches.create(signed, file)
        assert (first.count, first.total) == (5, 5_750)
        status = await finished(scheme, form.id, employer)
        assert (status.completed, status.completed_amount, status.refused) == (3, 3_750, 2)
        lines = await batches.lines(form.id, employer.account)
        assert [line.outcome for line in lines] == [COMPLETED, COMPLETED, COMPLETED, "party_not_found", "malformed"]
        assert [worker.balance() for worker in workers] == [1_250] * 3
        assert employer.balance() == funds - 3 * 1_255  # the tariff's 5 for each line
        assert await batches.create(signed, file) == status
        receipt = await scheme.services.payments.receipt(leg_id(form.id, 1), workers[0].account)
        assert (receipt.payment.memo, receipt.payment.mandate) == ("November", form.id)
        assert [worker.balance() for worker in workers] == [1_250] * 3


async def test_a_batch_that_was_cut_off_is_taken_up_by_the_next_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        employer = await scheme.merchant("Bakery", funds=1_000_000)
        worker = await scheme.customer("Worker")
        file = "to,amount,memo\n" + f"{worker.address},1.00,\n" * 400
        form = form_for(employer, file)
        await scheme.services.batches.create(employer.sign(forms.encode(form)), file)
    async with opened(tmp_path) as later:
        employer.scheme = worker.scheme = later
        status = await finished(later, form.id, employer)
        assert (status.completed, worker.balance()) == (400, 40_000)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"count": 2, "total": 1_000}, "batch.count"),
        ({"count": 1, "total": 999}, "batch.total"),
        ({"lines_hash": bytes(32)}, "batch.lines_hash"),
    ],
)
async def test_a_file_that_is_not_what_was_signed_is_refused_whole(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    async with opened(tmp_path) as scheme:
        employer = await scheme.merchant("Bakery", funds=10_000)
        worker = await scheme.customer("Worker")
        file = f"to,amount,memo\n{worker.address},10.00,\n"
        form = form_for(employer, file, **({"count": 1, "total": 1_000} | changes))
        with pytest.raises(errors.Malformed) as refusal:
            await scheme.services.batches.create(employer.sign(forms.encode(form)), file)
        assert refusal.value.facts["field"] == field
        with pytest.raises(errors.NotFound):
            await scheme.services.batches.status(form.id, employer.account)
        assert worker.balance() == 0


@pytest.mark.parametrize(
    ("file", "where"),
    [
        ("", "line 1"),
        ("to,amount\n", "line 1"),
        ("to,amount,memo\n", "file"),
        ("to,amount,memo\n+1,1.00,a\n+1,1.00\n", "line 3"),
        ("to,amount,memo\n+1,1.001,\n", "line 2, amount"),
        ("to,amount,memo\n+1,0,\n", "line 2, amount"),
        ("to,amount,memo\n+1,-5,\n", "line 2, amount"),
        ('to,amount,memo\n+1,1.00,"open\n', "line 2"),
        ("to,amount,memo\n+1,1.00," + "x" * 257 + "\n", "line 2, memo"),
        ("to,amount,memo\n+1,1.00,rice\0\n", "line 2, memo"),
    ],
)
async def test_a_bad_line_is_named(tmp_path: Path, file: str, where: str) -> None:
    async with opened(tmp_path) as scheme:
        with pytest.raises(errors.Malformed) as refusal:
            scheme.services.batches.parse(file)
        assert where in str(refusal.value.facts["field"])
