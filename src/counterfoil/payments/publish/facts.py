"""What the store knows of the payments on a page: two or three statements for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, bindparam, select

from counterfoil.ledger.types import Account
from counterfoil.payments.fees import Service
from counterfoil.payments.tables import batches, payments, standing_orders
from counterfoil.payments.types import AuthorisationClass
from counterfoil.payments.views import SERVICE_CODES


class OrderFacts(msgspec.Struct, frozen=True, gc=False):
    """An order as it was kept, as far as it goes into the log. Attributes as in `views.AuditView`."""

    kind: int
    authorisation: int
    service: int
    order_hash: bytes
    device: int
    signature: bytes
    order: bytes
    document: bytes = b""


class Facts(msgspec.Struct, frozen=True):
    """What a page of steps refers to: orders by payment id, and accounts of the ledger by id."""

    orders: Mapping[int, OrderFacts]
    accounts: Mapping[int, Account]


_COLUMNS: Final = ("id", "kind", "authorisation", "service", "order_hash", "device", "signature", "order_bytes", "mandate")
_PAYMENTS: Final = select(*(payments.c[name] for name in _COLUMNS)).where(payments.c.id.in_(bindparam("ids", expanding=True)))
_PART: Final = 512
"""Ids in one statement."""


def read_orders(connection: Connection, ids: Collection[int]) -> dict[int, OrderFacts]:
    """The orders behind payments `ids`, as far as there are any. What a batch or standing order pays carries its form."""
    rows: list[Any] = []
    wanted = list(ids)
    for start in range(0, len(wanted), _PART):
        rows += connection.execute(_PAYMENTS, {"ids": wanted[start : start + _PART]}).all()
    mandates = {mandate for _, _, authorisation, *_, mandate in rows if authorisation == AuthorisationClass.SYSTEM}
    forms = _forms(connection, sorted(mandates)) if mandates else {}
    found = {}
    for payment, kind, authorisation, service, order_hash, device, signature, order, mandate in rows:
        form = forms.get(mandate) if authorisation == AuthorisationClass.SYSTEM else None
        document = b""
        if form is not None:
            device, signature, document = form  # noqa: PLW2901 - whoever signed the form signed this
        found[payment] = OrderFacts(kind, authorisation, SERVICE_CODES[Service(service)], order_hash, device, signature, order, document)
    return found


def _forms(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, bytes, bytes]]:
    """Batches and standing orders: device, signature, and the form that it signed."""
    found = {}
    for table in (batches, standing_orders):
        for start in range(0, len(ids), _PART):
            for row in connection.execute(_form_query(table), {"ids": ids[start : start + _PART]}):
                found[row.id] = (row.device, row.signature, row.order_bytes)
    return found


def _form_query(table: Table) -> Any:
    columns = (table.c.id, table.c.device, table.c.signature, table.c.order_bytes)
    return select(*columns).where(table.c.id.in_(bindparam("ids", expanding=True)))
