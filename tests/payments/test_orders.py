"""The signed order's bytes: what a device signs is what is carried out, to the letter."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.ids import ID_MAX
from counterfoil.money import AMOUNT_MAX
from counterfoil.payments import forms
from counterfoil.payments.orders import Order, OrderKind, decode, encode, order_hash

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "order.md"

ids = st.integers(1, ID_MAX)
u64 = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)
SIGNED_KINDS = [OrderKind.PAY, OrderKind.HOLD, OrderKind.CAPTURE, OrderKind.RELEASE, OrderKind.REFUND]


@st.composite
def orders(draw: st.DrawFn) -> Order:
    kind = draw(st.sampled_from(SIGNED_KINDS))
    needs_reference = kind in (OrderKind.CAPTURE, OrderKind.RELEASE, OrderKind.REFUND)
    reference = draw(ids) if needs_reference else draw(st.just(0) | ids) if kind is OrderKind.PAY else 0
    return Order(
        origin=draw(texts),
        asset=draw(st.from_regex(r"[A-Z]{3}", fullmatch=True)),
        payer=draw(ids),
        payee=draw(ids),
        amount=draw(st.integers(1, AMOUNT_MAX)),
        max_fee=draw(st.integers(0, AMOUNT_MAX)),
        id=draw(ids),
        expiry_ms=draw(u64),
        rules_hash=draw(st.binary(min_size=32, max_size=32)),
        kind=kind,
        reference=reference,
        timeout_s=draw(st.integers(1, 2**32 - 1)) if kind is OrderKind.HOLD else 0,
        memo=draw(texts),
        payer_last=draw(u64),
        checkpoint_size=draw(u64),
        checkpoint_root=draw(st.binary(min_size=32, max_size=32)),
    )


@given(orders())
def test_an_order_comes_back_as_it_was_signed(order: Order) -> None:
    assert decode(encode(order)) == order


@given(orders(), st.data())
def test_no_two_orders_have_the_same_bytes(order: Order, data: st.DataObject) -> None:
    encoded = encode(order)
    at = data.draw(st.integers(0, len(encoded) - 1))
    altered = encoded[:at] + bytes([encoded[at] ^ 1 << data.draw(st.integers(0, 7))]) + encoded[at + 1 :]
    try:
        other = decode(altered)
    except Malformed:
        return
    assert other != order
    assert encode(other) == altered
    assert order_hash(altered) != order_hash(encoded)


@given(orders(), st.data())
def test_a_cut_order_is_refused_or_differs_only_in_its_memo(order: Order, data: st.DataObject) -> None:
    encoded = encode(order)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    if len(cut) < len(encoded) - len(order.memo.encode()):
        with pytest.raises(Malformed):
            decode(cut)


@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(Malformed):
        decode(noise)


def valid(**changes: object) -> Order:
    values: dict[str, object] = dict(
        origin="money.example.org/log", asset="USD", payer=1, payee=2, amount=100, max_fee=0, id=3, expiry_ms=4, rules_hash=bytes(32)
    )
    return Order(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 0}, "order.amount"),
        ({"amount": 2**63}, "order.amount"),
        ({"max_fee": 2**63}, "order.max_fee"),
        ({"payer": 0}, "order.payer"),
        ({"payee": 2**128 - 1}, "order.payee"),
        ({"id": 0}, "order.id"),
        ({"kind": OrderKind.REVERSAL, "reference": 9}, "order.kind"),
        ({"kind": OrderKind.ISSUE}, "order.kind"),
        ({"kind": OrderKind.CAPTURE}, "order.reference"),
        ({"kind": OrderKind.REFUND}, "order.reference"),
        ({"kind": OrderKind.HOLD}, "order.timeout_s"),
        ({"timeout_s": 5}, "order.timeout_s"),
        ({"reference": 2**128 - 1}, "order.reference"),
        ({"memo": "x" * 257}, "order.memo"),
        ({"memo": "rice\0"}, "order.memo"),
    ],
)
def test_a_field_out_of_its_range_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(Malformed) as refusal:
        decode(encode(valid(**changes)))
    assert refusal.value.facts["field"] == field


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(Malformed, match=r"order\.memo"):
        decode(encode(valid()) + b"\xff")


def test_a_form_with_a_text_that_not_every_database_can_keep_is_refused() -> None:
    values: dict[str, Any] = dict(origin="o", asset="USD", payee=1, payer=2, amount=3, id=4, expiry_ms=5, purpose=0, memo="m")
    for name in ("origin", "asset", "memo"):
        form = forms.RequestToPay(**values | {name: "a\0b"})
        with pytest.raises(Malformed, match=rf"request-to-pay\.{name}.*U\+0000"):
            forms.decode(forms.encode(form), forms.RequestToPay)


def test_an_order_for_another_purpose_is_not_an_order() -> None:
    with pytest.raises(Malformed, match="must begin with"):
        decode(encode(valid()).replace(b"order/v1", b"order/v2"))


@given(
    st.builds(
        forms.RequestToPay,
        origin=texts, asset=texts, payee=ids, payer=ids, amount=st.integers(1, AMOUNT_MAX), id=ids, expiry_ms=u64,
        purpose=st.integers(0, 1), memo=texts,
    )
    | st.builds(
        forms.Batch,
        origin=texts, asset=texts, payer=ids, id=ids, count=st.integers(0, 2**32 - 1), total=st.integers(1, AMOUNT_MAX),
        max_fee=st.integers(0, AMOUNT_MAX), expiry_ms=u64, lines_hash=st.binary(min_size=32, max_size=32), memo=texts,
    )
    | st.builds(
        forms.StandingOrder,
        origin=texts, asset=texts, payer=ids, payee=ids, amount=st.integers(1, AMOUNT_MAX), max_fee=st.integers(0, AMOUNT_MAX),
        id=ids, first_at_ms=u64, every=st.sampled_from([1, 2, 3]), count_max=st.integers(0, 2**32 - 1), memo=texts,
    )
)  # fmt: skip
def test_a_form_comes_back_as_it_was_signed(form: forms.RequestToPay | forms.Batch | forms.StandingOrder) -> None:
    kind: Any = type(form)
    encoded = forms.encode(form)
    assert forms.decode(encoded, kind) == form
    with pytest.raises(Malformed):
        forms.decode(encoded[: len(encoded) - len(form.memo.encode()) - 1], kind)


@pytest.mark.parametrize("example", json.loads(re.findall(r"```json\n(.*?)```", REFERENCE.read_text("utf-8"), re.DOTALL)[0]))
def test_the_examples_of_the_reference_hold_byte_for_byte(example: dict[str, object]) -> None:
    data = bytes.fromhex(str(example["bytes"]))
    assert order_hash(data).hex() == example["sha256"]
    if example["form"] == "order":
        order = decode(data)
        assert encode(order) == data
        shown = {name: getattr(order, name) for name in order.__struct_fields__}
    else:
        kinds: dict[str, Any] = {"request-to-pay": forms.RequestToPay, "batch": forms.Batch, "standing-order": forms.StandingOrder}
        form = forms.decode(data, kinds[str(example["form"])])
        assert forms.encode(form) == data
        shown = {name: getattr(form, name) for name in form.__struct_fields__}
    fields = example["fields"]
    assert isinstance(fields, dict)
    for name, value in fields.items():
        actual = shown[name]
        if isinstance(actual, bytes):
            actual = actual.hex()
        elif name in ("payer", "payee", "id", "reference"):
            actual = f"{actual:032x}"
        assert actual == value, name
