"""Alive, ready, metrics, logs and headers: what operators see, and what they must not."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from counterfoil.assurance.running_check import CheckResult
from counterfoil.errors import Unavailable
from counterfoil.ids import id_text
from counterfoil.web.app import create_app
from tests.web.site import Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def samples(site: Site) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = await site.call(None, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_metrics_count_payments_by_outcome(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=500), await site.scheme.customer()
    before = await samples(site)
    await site.pay(payer.sign(payer.order(payee, 100)))
    await site.pay(payer.sign(payer.order(payee, 100_000)))
    await site.call(None, "POST", "/v1/payments", b"{")
    after = await samples(site)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    for outcome in ("completed", "insufficient_funds", "malformed"):
        assert grown("counterfoil_payments_total", outcome=outcome) == 1, outcome
    assert grown("counterfoil_payment_seconds_count") == 3
    assert grown("counterfoil_payment_seconds_bucket", le="+Inf") == 3
    assert grown("counterfoil_payment_seconds_sum") > 0
    assert after[("counterfoil_ledger_last_timestamp_seconds", ())] > before[("counterfoil_ledger_last_timestamp_seconds", ())]
    assert after[("counterfoil_process_resident_bytes", ())] > 10_000_000
    assert after[("counterfoil_ledger_queue", ())] == 0
    assert grown("counterfoil_ledger_batches_total") == 2
    assert grown("counterfoil_ledger_batched_total") == 3  # the larger payment has a fee


async def test_metrics_and_their_labels_name_nobody(site: Site) -> None:
    person = await site.scheme.customer("Very Private Name")
    await site.call(person, "GET", f"/v1/payments/{id_text(person.party)}")
    await site.call(None, "GET", f"/nowhere/{id_text(person.account)}")
    text = (await site.call(None, "GET", "/metrics")).text
    assert 'route="/v1/payments/{id}"' in text
    assert 'route="(none)"' in text
    for secret in (id_text(person.party), id_text(person.account), "Private", person.address):
        assert secret not in text


async def test_each_request_is_one_line_without_secrets(site: Site) -> None:
    shop = await site.scheme.merchant()
    token = await site.token(shop, "payments:read")
    with structlog.testing.capture_logs() as logged:
        answer = await site.call(token, "GET", "/v1/accounts/me")
        await site.call(None, "POST", "/v1/codes", {"number": "+254712345678"})
        await site.call(None, "GET", "/nowhere/secret-path")
    lines = [line for line in logged if line["event"] == "request"]
    assert [(line["route"], line["status"], line["party"]) for line in lines] == [
        ("/v1/accounts/me", 200, id_text(shop.party)),
        ("/v1/codes", 202, None),
        ("(none)", 404, None),
    ]
    assert lines[0]["request_id"] == answer.headers["x-request-id"]
    assert all(isinstance(line["ms"], int) for line in lines)
    for secret in (token, token[10:], "712345678", "secret-path"):
        assert secret not in json.dumps(logged)


async def test_a_bug_is_a_problem_for_the_caller_and_a_trace_for_us(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret inside")

    person, shop = await site.scheme.customer(funds=100), await site.scheme.merchant()
    with structlog.testing.capture_logs() as logged, monkeypatch.context() as patched:
        patched.setattr(site.services.parties.pins, "change", broken)
        patched.setattr(site.services.payments, "pay", broken)
        found = await site.refused(person, "POST", "/v1/pin", {"old": "1", "new": "2"})
        hot = (await site.pay(person.sign(person.order(shop, 10)))).json()
    for answer in (found, hot):
        assert (answer["status"], answer["code"], answer["retry"]) == (500, "internal_error", "same_id")
        assert "secret" not in json.dumps(answer)
    assert {line["event"] for line in logged if line["log_level"] == "error"} == {"request_failed", "payment_failed"}
    assert {line["request_id"] for line in logged if line["log_level"] == "error"} == {found["request_id"], hot["request_id"]}
    assert (await site.pay(person.sign(person.order(shop, 10)))).status_code == 200


async def test_headers_protect_and_tell_nothing_of_us(site: Site) -> None:
    person = await site.scheme.customer()
    answers = [
        await site.call(person, "GET", "/v1/accounts/me"),
        await site.call(None, "GET", "/v1/accounts/me"),
        await site.call(None, "POST", "/v1/payments", {}),
        await site.pay(person.sign(person.order(5, 5))),
    ]
    for answer in answers:
        assert answer.headers["server"] == "counterfoil"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"uvicorn|python|starlette", str(answer.headers), re.IGNORECASE)
    assert len({answer.headers.get("x-request-id") or answer.json()["request_id"] for answer in answers}) == len(answers)


async def test_ready_says_no_when_the_books_do_not_add_up_or_a_writer_is_gone(site: Site) -> None:
    import httpx2
    import msgspec

    running, checked = True, CheckResult(passed=True, at=5_000_000_000, summary="fine")
    services = msgspec.structs.replace(site.services, is_running=lambda: running, last_check=lambda: checked)
    transport = httpx2.ASGITransport(create_app(services))
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        ready = (await client.get("/ready")).json()
        assert (ready["status"], ready["check_passed"], ready["check_at"]) == ("ready", True, "1970-01-01T00:00:05.000000Z")
        assert "counterfoil_check_passed 1.0" in (await client.get("/metrics")).text
        checked = CheckResult(passed=False, at=6_000_000_000, summary="money was made")
        found = await client.get("/ready")
        assert (found.status_code, found.json()["code"]) == (503, "unavailable")
        assert "money was made" in found.json()["detail"]
        assert (await client.get("/health")).status_code == 200
        assert "counterfoil_check_passed 0.0" in (await client.get("/metrics")).text
        running, checked = False, CheckResult(passed=True, at=5, summary="fine")
        assert (await client.get("/ready")).status_code == 503


async def test_a_full_queue_is_told_at_once_and_the_same_order_goes_through_later(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        payer, payee = await site.scheme.customer(funds=500), await site.scheme.customer()
        signed = payer.sign(payer.order(payee, 100))

        async def full(*_: Any) -> Any:
            raise Unavailable("the ledger has more waiting than it can take")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(site.services.ledger, "create_transfers", full)
            answer = await site.pay(signed)
        assert (answer.status_code, answer.json()["retry"], answer.headers["retry-after"]) == (503, "same_id", "1")
        assert payer.balance() == 500
        assert (await site.ok(payer, "GET", "/v1/scheme"))["origin"] == site.services.config.origin
        waiting = await site.refused(payer, "GET", f"/v1/payments/{id_text(payer_order_id(signed.order))}")
        assert (waiting["status"], waiting["retry"]) == (503, "same_id")
        assert (await site.pay(signed)).status_code == 200
        assert payer.balance() == 400


def payer_order_id(order: bytes) -> int:
    from counterfoil.payments.orders import decode

    return decode(order).id


async def test_stopping_answers_whoever_is_waiting(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        payer, payee = await site.scheme.customer(funds=10_000), await site.scheme.customer()
        paying = [asyncio.create_task(site.pay(payer.sign(payer.order(payee, 10)))) for _ in range(50)]
        answers = await asyncio.gather(*paying)
        assert {answer.status_code for answer in answers} == {200}
        before = payee.balance()
    async with serving(tmp_path) as again:
        account = again.services.ledger.account_now(payee.account)
        assert account is not None
        assert account.credits_posted == before == 500
