"""The phone's pure modules against Python's: orders, forms and statements byte for byte, codes, particles, fees, amounts."""

from __future__ import annotations

import json
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from counterfoil.acceptance import emv
from counterfoil.i18n.particles import particle
from counterfoil.ids import id_text
from counterfoil.parties import statements
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments import fees, forms, orders
from tests.browser.conftest import serve_static
from tests.web.test_words import SOUNDS

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/reference/order.md").read_text("utf-8")
EXAMPLES: list[dict[str, Any]] = json.loads(DOCUMENT.partition("```json\n")[2].partition("```")[0])
CODES: dict[str, Any] = json.loads((ROOT / "tests/acceptance/codes.json").read_text("utf-8"))
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page with our modules; amounts and other large numbers are given to it as text."""
    context = await browser.new_context(locale="en-GB")
    found = await context.new_page()
    await serve_static(found)
    await found.evaluate(MODULES)
    yield found
    await context.close()


MODULES = """async () => {
  const names = { bytes: 'phone/bytes', orders: 'wallet/orders', statements: 'wallet/statements', emv: 'phone/emv', words: 'phone/words',
    paying: 'wallet/paying', heads: 'wallet/heads' };
  for (const [name, path] of Object.entries(names)) globalThis[name] = await import(`/static/${path}.js`);
  // Hexadecimal becomes bytes, digits become bigints, by the name of the field.
  globalThis.made = (fields) => Object.fromEntries(Object.entries(fields).map(([name, value]) => [name,
    ['rulesHash', 'checkpointRoot', 'linesHash', 'publicKey'].includes(name) ? bytes.fromHex(value)
      : ['amount', 'maxFee', 'total', 'payerLast', 'checkpointSize'].includes(name) ? BigInt(value) : value]));
}"""


def camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of Python's structs as the page takes them."""
    kinds = {int(kind): kind.name.lower() for kind in orders.OrderKind}
    result: dict[str, Any] = {}
    for name, value in fields.items():
        if name in ("payer", "payee", "id", "reference", "party", "device", "recovery"):
            result[camel(name)] = id_text(value) if value else None
        elif name == "kind":
            result["kind"] = kinds[int(value)]
        elif isinstance(value, bytes):
            result[camel(name)] = value.hex()
        elif name in ("amount", "max_fee", "total", "payer_last", "checkpoint_size"):
            result[camel(name)] = str(value)
        elif name in ("cash_in", "purpose"):
            result["purpose"] = int(value)
        else:
            result[camel(name)] = int(value) if isinstance(value, bool) else value
    return result


def an_order(dice: random.Random) -> orders.Order:
    """Any order that `decode` takes."""
    kind = dice.choice(list(orders.OrderKind)[:5])
    needs = kind in (orders.OrderKind.CAPTURE, orders.OrderKind.RELEASE, orders.OrderKind.REFUND)
    reference = 0 if kind is orders.OrderKind.HOLD else dice.getrandbits(127) + 1 if needs or dice.random() < 0.5 else 0
    return orders.Order(
        origin=dice.choice(["money.example.org/log", "a", "은행.kr/log"]),
        asset=dice.choice(["USD", "KRW"]),
        payer=dice.getrandbits(127) + 1,
        payee=dice.getrandbits(127) + 1,
        amount=dice.choice([1, 1250, 2**53 + 1, 2**63 - 1, dice.getrandbits(40) + 1]),
        max_fee=dice.choice([0, 20, 2**63 - 1]),
        id=dice.getrandbits(127) + 1,
        expiry_ms=dice.choice([0, 1_795_287_600_000, 2**53 - 1]),
        rules_hash=dice.randbytes(32),
        kind=kind,
        reference=reference,
        timeout_s=dice.choice([1, 3600, 2**32 - 1]) if kind is orders.OrderKind.HOLD else 0,
        memo=dice.choice(["", "rice, 5 kg", "연료 주유기 3", "🍊" * 64, "x" * 256]),
        payer_last=dice.choice([0, 1_795_280_000_123_456_789, 2**63 - 1]),
        checkpoint_size=dice.choice([0, 1, 2**63 - 1]),
        checkpoint_root=dice.randbytes(32),
    )


# Orders and what else is signed


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["title"]))
async def test_the_documents_examples_come_out_byte_for_byte(page: Page, example: dict[str, Any]) -> None:
    fields = dict(example["fields"])
    for name in ("payer", "payee", "id", "reference"):
        if name in fields:
            fields[name] = int(str(fields[name]).replace("-", ""), 16)
    for name in ("rules_hash", "checkpoint_root", "lines_hash"):
        if name in fields:
            fields[name] = bytes.fromhex(fields[name])
    encoder = {
        "order": "orders.encodeOrder",
        "request-to-pay": "statements.encodeRequest",
        "batch": "statements.encodeBatch",
        "standing-order": "statements.encodeStandingOrder",
    }[example["form"]]
    assert await page.evaluate(f"(fields) => bytes.hex({encoder}(made(fields)))", given(fields)) == example["bytes"]


async def test_random_orders_are_the_same_bytes_as_pythons(page: Page) -> None:
    dice = random.Random(4)
    made = [an_order(dice) for _ in range(300)]
    assert all(orders.decode(orders.encode(order)) == order for order in made)
    fields = [given(msgspec.structs.asdict(order)) for order in made]
    found = await page.evaluate("(all) => all.map((fields) => bytes.hex(orders.encodeOrder(made(fields))))", fields)
    assert found == [orders.encode(order).hex() for order in made]


async def test_random_forms_are_the_same_bytes_as_pythons(page: Page) -> None:
    dice = random.Random(5)
    for _ in range(100):
        values: dict[str, Any] = {
            "origin": "money.example.org/log", "asset": "USD", "payee": dice.getrandbits(127) + 1, "payer": dice.getrandbits(127) + 1,
            "amount": dice.getrandbits(62), "id": dice.getrandbits(127) + 1, "expiry_ms": dice.getrandbits(45), "memo": dice.choice(["", "밥"]),
        }  # fmt: skip
        name = next(field for field in forms.RequestToPay.__struct_fields__ if field in ("cash_in", "purpose"))
        values[name] = dice.choice([0, 1])
        form = forms.RequestToPay(**values)
        found = await page.evaluate("(fields) => bytes.hex(statements.encodeRequest(made(fields)))", given(msgspec.structs.asdict(form)))
        assert found == forms.encode(form).hex()


async def test_statements_about_keys_are_the_same_bytes_as_pythons(page: Page) -> None:
    dice = random.Random(6)
    origin, number = "money.example.org/log", "+254712345678"
    party, device, recovery = (dice.getrandbits(127) + 1 for _ in range(3))
    key: dict[str, Any] = {"device": device, "algorithm": KeyAlgorithm.ES256, "public_key": b"\4" + dice.randbytes(64)}
    cases: list[tuple[str, dict[str, Any], bytes]] = [
        ("enrol", {"number": number, **key}, statements.enrol(origin=origin, number=number, **key)),
        ("recover", {"number": number, **key}, statements.recover(origin=origin, number=number, **key)),
        ("addDevice", {"party": party, **key}, statements.add_device(origin=origin, party=party, **key)),
        ("revokeDevice", {"party": party, "device": device}, statements.revoke_device(origin=origin, party=party, device=device)),
        (
            "cancelRecovery",
            {"party": party, "recovery": recovery},
            statements.cancel_recovery(origin=origin, party=party, recovery=recovery),
        ),
    ]
    for name, fields, expected in cases:
        found = await page.evaluate(f"(fields) => bytes.hex(statements.{name}(made(fields)))", given({"origin": origin, **fields}))
        assert found == expected.hex(), name


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": str(2**63)}, "amount"),
        ({"maxFee": "-1"}, "maxFee"),
        ({"memo": "x" * 257}, "memo"),
        ({"memo": "밥" * 86}, "memo"),
        ({"memo": "rice\0"}, "memo"),
        ({"kind": "reversal"}, "kind"),
        ({"kind": "refund"}, "reference"),
        ({"kind": "hold"}, "timeoutS"),
        ({"timeoutS": 5}, "timeoutS"),
        ({"payer": "0199F3A8-5D6E-7A1B-B2C3-D4E5F6071829"}, "is no id"),
        ({"rulesHash": "00"}, "hash"),
    ],
)
async def test_an_order_that_the_server_would_not_read_is_never_made(page: Page, change: dict[str, Any], field: str) -> None:
    fields = given(msgspec.structs.asdict(an_order(random.Random(1)))) | {"kind": "pay", "timeoutS": 0, "reference": None} | change
    said = await page.evaluate(
        "(fields) => { try { orders.encodeOrder(made(fields)); return ''; } catch (error) { return String(error); } }", fields
    )
    assert said.startswith("RangeError"), said
    assert field in said


# Codes


@pytest.mark.parametrize("code", CODES["codes"], ids=lambda code: str(code["id"]))
async def test_a_code_is_read_as_python_reads_it(page: Page, code: dict[str, Any]) -> None:
    found = await page.evaluate(
        """(text) => { const code = emv.read(text);
          return { ...code, signature: code.signature && bytes.hex(code.signature), signed: code.signed && bytes.hex(code.signed) }; }""",
        code["text"],
    )
    expected = emv.read(code["text"])
    if isinstance(expected, emv.Foreign):
        assert found == {"kind": "foreign"} | msgspec.structs.asdict(expected)
        return
    assert found == {
        "kind": "counterfoil",
        "dynamic": expected.dynamic,
        "scheme": expected.scheme,
        "account": id_text(expected.account),
        "address": expected.address,
        "name": expected.name,
        "amount": expected.amount,
        "currency": expected.currency,
        "country": expected.country,
        "category": expected.category,
        "city": expected.city,
        "request": id_text(expected.request) if expected.request else None,
        "hold": expected.hold,
        "memo": expected.memo,
        "signature": expected.signature.hex() if expected.signature else None,
        "signed": (b"counterfoil/qr/v1" + expected.signed).hex(),
        "amountSigned": expected.amount_signed,
    }


@pytest.mark.parametrize("code", CODES["negative"], ids=lambda code: str(code["id"]))
async def test_a_wrong_code_is_refused_as_python_refuses_it(page: Page, code: dict[str, Any]) -> None:
    found = await page.evaluate(
        "(text) => { try { emv.read(text); return null; } catch ({ name, code, field, rule }) { return { name, code, field, rule }; } }",
        code["text"],
    )
    assert found == {"name": "CodeError", "code": code["kind"], "field": code["field"], "rule": code["rule"]}


@pytest.mark.parametrize(
    ("name", "memo"),
    [("Amina", ""), ("하은 김", "점심"), ("Crêperie de l'Étang", "table 7"), ("The Old Lakeside Department Store", "x" * 40)],
)
@pytest.mark.parametrize("amount", [None, 1, 1250])
async def test_a_holders_own_code_is_the_same_text_as_pythons(page: Page, name: str, memo: str, amount: int | None) -> None:
    account = 0x0192F0C0A1B2C3D4E5F60718293A4B5C
    code = emv.Code(
        scheme=CODES["scheme"], account=account, address="@amina", name=name, amount=None if amount is None else emv.major(amount, 2),
        currency="840", country="KE", memo=memo,
    )  # fmt: skip
    wish = {
        "scheme": CODES["scheme"], "account": id_text(account), "address": "@amina", "name": name, "amount": amount, "digits": 2,
        "currency": "840", "country": "KE", "memo": memo, "language": "ko",
    }  # fmt: skip
    assert await page.evaluate("(wish) => emv.write(wish)", wish) == emv.write(code, language="ko")


async def test_a_code_is_completed_without_a_network_as_python_completes_it(page: Page) -> None:
    text = next(code["text"] for code in CODES["codes"] if code["id"] == "fixed-signed")
    request = 0x0192F0C0FFEE00112233445566778899
    for hold in (False, True):
        wish = {"amount": 1250, "digits": 2, "request": id_text(request), "hold": hold}
        expected = emv.complete(text, amount="12.50", request=request, hold=hold)
        assert await page.evaluate("([text, wish]) => emv.complete(text, wish)", [text, wish]) == expected


# Words


async def test_particles_are_pythons(page: Page) -> None:
    for before, pair, _ in SOUNDS:
        closed, opened = pair.split("/")
        found = await page.evaluate("([before, closed, open]) => words.particle(before, closed, open)", [before, closed, opened])
        assert found == particle(before, closed, opened), before


async def test_texts_are_filled_in_and_counted_by_the_language(page: Page) -> None:
    await page.evaluate(
        """() => words.use({ language: 'ko', plural: 'none', texts: { 'Pay %(name)s': '%(name)s{을/를} 결제', '%(count)s day': ['%(count)s일'] } })"""
    )
    assert await page.evaluate("() => words.t('Pay %(name)s', { name: '귤' })") == "귤을 결제"
    assert await page.evaluate("() => words.n('%(count)s day', '%(count)s days', 1200)") == "1,200일"
    assert await page.evaluate("() => words.t('Not there %(x)s 100%%', { x: '{을/를}' })") == "Not there {을/를} 100%"
    await page.evaluate(
        "() => words.use({ language: 'fr', plural: 'one_or_none', texts: { '%(count)s day': ['%(count)s jour', '%(count)s jours'] } })"
    )
    found = await page.evaluate("() => [0, 1, 2, 1500].map((count) => words.n('%(count)s day', '%(count)s days', count))")
    assert found == ["0 jour", "1 jour", "2 jours", "1\u202f500 jours"]
    await page.evaluate("() => words.use({ language: 'en', plural: 'one', texts: {} })")
    assert await page.evaluate("() => [0, 1, 2].map((count) => words.n('%(count)s day', '%(count)s days', count))") == [
        "0 days",
        "1 day",
        "2 days",
    ]


@pytest.mark.parametrize(
    ("language", "amount", "digits", "text"),
    [
        ("en", 123_456_789, 2, "1,234,567.89"),
        ("fr", 123_456_789, 2, "1\u202f234\u202f567,89"),
        ("ko", 1_234_567, 0, "1,234,567"),
        ("en", 5, 2, "0.05"),
        ("en", -1250, 2, "\u221212.50"),
        ("en", 0, 3, "0.000"),
    ],
)
async def test_amounts_are_written_and_read_in_the_language(page: Page, language: str, amount: int, digits: int, text: str) -> None:
    await page.evaluate("(language) => words.use({ language, plural: 'one', texts: {} })", language)
    assert await page.evaluate("([amount, digits]) => words.formatMoney(amount, { digits })", [amount, digits]) == text
    if amount >= 0:
        assert await page.evaluate("([text, digits]) => words.parseMoney(text, { digits })", [text, digits]) == amount


@pytest.mark.parametrize(
    ("language", "text", "amount"),
    [
        ("en", "12", 1200), ("en", "12.5", 1250), ("en", "12,50", 1250), ("en", "1,250", 125_000), ("en", "1,250.00", 125_000), ("en", "12.505", None),
        ("en", "", None), ("en", "-5", None), ("en", "1e3", None), ("en", "12.", 1200), ("en", ".5", None), ("fr", "1 250,5", 125_050),
        ("fr", "12.50", 1250), ("en", "99999999999999999", None), ("en", "１２", None),
    ],
)  # fmt: skip
async def test_what_somebody_types_is_read_or_refused(page: Page, language: str, text: str, amount: int | None) -> None:
    await page.evaluate("(language) => words.use({ language, plural: 'one', texts: {} })", language)
    assert await page.evaluate("(text) => words.parseMoney(text, { digits: 2 })", text) == amount


# Fees


async def test_fees_by_the_kept_tariff_are_pythons(page: Page) -> None:
    tariff = fees.Tariff(
        lines=(
            fees.FeeLine(service=fees.Service.TRANSFER, flat=50, bands=(fees.Band(up_to=10_000), fees.Band(up_to=100_000, flat=20))),
            fees.FeeLine(service=fees.Service.PURCHASE, paid_by=fees.PaidBy.PAYEE, rate_basis_points=50, minimum=3),
            fees.FeeLine(service=fees.Service.CASH_OUT, rate_basis_points=133, minimum=10, maximum=500),
        )
    )
    lines = msgspec.to_builtins(tariff.lines)
    dice = random.Random(7)
    for _ in range(200):
        service = dice.choice(list(fees.Service))
        amount = dice.choice([1, 2, 9_999, 10_000, 10_001, 100_000, 100_001, dice.randrange(1, 10**12)])
        expected = fees.fee(tariff, service, amount)
        found = await page.evaluate("([lines, service, amount]) => paying.feeOf(lines, service, amount)", [lines, service.value, amount])
        assert found == {"fee": expected.amount, "paidBy": expected.paid_by.value}, (service, amount)
