"""The payloads of the log, byte for byte, and that nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.payments.views import (
    AccountView,
    AuditView,
    FreezeView,
    HolderView,
    KeyView,
    Leg,
    Touched,
    holder_view,
    payloads_of,
    public_circulation,
    public_freeze,
)

HASH, PREV = bytes(range(32)), b"\xaa" * 32
LEGS = (
    Leg(0x51, 0xA1, 0xB2, 20_000, 0, 0, 840, 1, 1),
    Leg(0x52, 0xA1, 0xFE, 20, 0, 0, 840, 2, 0),
)
ACCOUNTS = (Touched(0xA1, 7, PREV, 500, 3), Touched(0xB2, 1, bytes(32), 20_000, 0), Touched(0xFE, 9, PREV, -20, 0))
AUDIT = AuditView(0, 1, 1, 2, 0x51, HASH, 1_700_000_000_000_000_000, LEGS, ACCOUNTS, 0, 0xD1, b"s" * 64, b"the order", b"")


def test_a_holders_view_is_these_164_bytes() -> None:
    data = holder_view(AUDIT, incoming=False).encode()
    expected = (
        "000101" + f"{0xA1:032x}" + "00" + f"{0xB2:032x}" + f"{0x51:032x}" + HASH.hex() + f"{20_000:016x}" + "ffffffffffffffec"
        + f"{500:016x}" + f"{3:016x}" + f"{1_700_000_000_000_000_000:016x}" + f"{7:016x}" + PREV.hex()
    )  # fmt: skip
    assert data.hex() == expected
    assert len(data) == 164


def test_the_audit_view_is_these_bytes() -> None:
    expected = (
        "00010102" + f"{0x51:032x}" + HASH.hex() + f"{1_700_000_000_000_000_000:016x}"
        + "02"
        + f"{0x51:032x}{0xA1:032x}{0xB2:032x}{20_000:016x}{0:032x}{0:08x}{840:08x}{1:04x}{1:04x}"
        + f"{0x52:032x}{0xA1:032x}{0xFE:032x}{20:016x}{0:032x}{0:08x}{840:08x}{2:04x}{0:04x}"
        + "03"
        + f"{0xA1:032x}{7:016x}{PREV.hex()}{500:016x}{3:016x}"
        + f"{0xB2:032x}{1:016x}{'00' * 32}{20_000:016x}{0:016x}"
        + f"{0xFE:032x}{9:016x}{PREV.hex()}ffffffffffffffec{0:016x}"
        + "00" + f"{0xD1:032x}" + "0040" + "73" * 64 + "0009" + b"the order".hex() + "0000"
    )  # fmt: skip
    assert AUDIT.encode().hex() == expected


def test_the_views_about_one_account_are_these_bytes() -> None:
    about = f"{0xA1:032x}{4:016x}{PREV.hex()}{77:016x}"
    key = KeyView(1, 0xA1, 4, PREV, 77, 0xD1, 2, b"\x04" * 65, 0xD0, 2, b"say", b"own", b"old")
    assert key.encode().hex() == (
        "01" + about + f"{0xD1:032x}" + "02" + "0041" + "04" * 65 + f"{0xD0:032x}" + "02" + "0003736179" + "00036f776e" + "00036f6c64"
    )
    freeze = FreezeView(2, 0xA1, 4, PREV, 77, 0xF1, True, 99, HASH)
    assert freeze.encode().hex() == "02" + about + f"{0xF1:032x}" + "01" + f"{99:016x}" + HASH.hex()
    account = AccountView(3, 0xA1, 4, PREV, 77, 10, 840, 2, "niveau élevé")
    assert account.encode().hex() == "03" + about + "000a" + "00000348" + "0002" + "niveau élevé".encode().hex()


def test_fees_of_a_holder() -> None:
    assert holder_view(AUDIT, incoming=False).fee == -20
    assert holder_view(AUDIT, incoming=True).fee == 0
    by_payee = msgspec.structs.replace(AUDIT, legs=(LEGS[0], msgspec.structs.replace(LEGS[1], debit=0xB2)))
    assert (holder_view(by_payee, incoming=False).fee, holder_view(by_payee, incoming=True).fee) == (0, -20)
    given_back = msgspec.structs.replace(AUDIT, legs=(Leg(0x52, 0xFE, 0xB2, 20, 0, 0, 840, 12, 1), LEGS[0]), principal=1)
    assert holder_view(given_back, incoming=True).fee == 20
    assert holder_view(msgspec.structs.replace(AUDIT, event=1), incoming=False).fee == -20
    for event in (3, 4):
        assert holder_view(msgspec.structs.replace(AUDIT, event=event), incoming=False).fee == 0


def test_payloads_follow_from_the_auditors() -> None:
    payer, payee, audit, public = payloads_of(1, AUDIT.encode(), b"")
    assert (HolderView.decode(payer).account, HolderView.decode(payee).account) == (0xA1, 0xB2)
    assert (audit, public) == (AUDIT.encode(), b"")
    assert payloads_of(10, b"account", b"") == (b"account", b"", b"account", b"")
    assert payloads_of(5, b"", b"rules") == (b"", b"", b"", b"rules")


def test_public_parts_are_canonical() -> None:
    assert public_circulation(AUDIT, "USD") == (
        b'{"amount":20000,"asset":"USD","at":1700000000000000000,"payment":"00000000000000000000000000000051"}'
    )
    freeze = FreezeView(1, 0xA1, 4, PREV, 77, 0xF1, True, 0, HASH)
    assert public_freeze(freeze, accounts=2, total=-5) == (
        b'{"accounts":2,"at":77,"expires_at":0,"freeze":"000000000000000000000000000000f1","reason_hash":"'
        + HASH.hex().encode()
        + b'","sum":-5,"what":"freeze"}'
    )


VIEWS: list[Any] = [
    AUDIT,
    holder_view(AUDIT, incoming=True),
    KeyView(2, 1, 2, PREV, 3, 4, 1, b"k" * 32, 0, 4),
    KeyView(1, 1, 2, PREV, 3, 4, 1, b"k" * 32, 9, 2, b"statement", b"possession", b"consent"),
    FreezeView(1, 1, 2, PREV, 3, 4, False, 0, HASH),
    AccountView(1, 1, 2, PREV, 3, 10, 840, 10, "number_only"),
]
NAMES = [type(view).__name__ for view in VIEWS]


@pytest.mark.parametrize("view", VIEWS, ids=NAMES)
def test_what_was_written_is_read_again_and_nothing_shorter_or_longer(view: Any) -> None:
    data = view.encode()
    assert type(view).decode(data) == view
    for size in range(len(data) if not isinstance(view, AccountView) else 73):
        with pytest.raises(Malformed):
            type(view).decode(data[:size])
    if not isinstance(view, AccountView):  # its last field goes to the end
        with pytest.raises(Malformed):
            type(view).decode(data + b"\0")


@pytest.mark.parametrize("view", VIEWS, ids=NAMES)
@given(data=st.data())
def test_any_other_bytes_are_refused_or_say_something_else(view: Any, data: st.DataObject) -> None:
    original = bytearray(view.encode())
    place = data.draw(st.integers(0, len(original) - 1))
    original[place] ^= data.draw(st.integers(1, 255))
    try:
        read = type(view).decode(bytes(original))
    except Malformed:
        return
    assert read != view
    assert read.encode() == bytes(original), "one value has one form"


def changed(view: Any, **values: Any) -> bytes:
    data: bytes = msgspec.structs.replace(view, **values).encode()
    return data


@pytest.mark.parametrize(
    ("decode", "data", "field"),
    [
        (HolderView.decode, changed(VIEWS[1], event=5), "view.event"),
        (HolderView.decode, changed(VIEWS[1], kind=9), "view.kind"),
        (HolderView.decode, changed(VIEWS[1], authorisation=7), "view.authorisation"),
        (HolderView.decode, changed(VIEWS[1], incoming=2), "view.direction"),
        (AuditView.decode, changed(AUDIT, event=5), "audit.event"),
        (AuditView.decode, changed(AUDIT, service=8), "audit.service"),
        (AuditView.decode, changed(AUDIT, principal=2), "audit.principal"),
        (AuditView.decode, changed(AUDIT, legs=(), accounts=()), "audit.legs"),
        (AuditView.decode, changed(AUDIT, accounts=ACCOUNTS[::-1]), "audit.accounts"),
        (AuditView.decode, changed(AUDIT, accounts=ACCOUNTS[:2]), "audit.accounts"),
        (KeyView.decode, changed(VIEWS[2], what=5), "key.what"),
        (KeyView.decode, changed(VIEWS[2], algorithm=3), "key.algorithm"),
        (KeyView.decode, changed(VIEWS[2], reason=7), "key.reason"),
        (FreezeView.decode, changed(VIEWS[4], what=0), "freeze.what"),
        (FreezeView.decode, changed(VIEWS[4], incoming=2), "freeze.incoming"),
        (AccountView.decode, changed(VIEWS[5], what=4), "account.what"),
        (AccountView.decode, VIEWS[5].encode() + b"\xff", "account.tier"),
    ],
)
def test_a_refusal_names_the_field(decode: Callable[[bytes], Any], data: bytes, field: str) -> None:
    with pytest.raises(Malformed) as refusal:
        decode(data)
    assert refusal.value.facts["field"] == field
