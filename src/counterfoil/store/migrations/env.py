"""Run by Alembic for every command, with the open connection that `migrate` hands it."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from counterfoil.store.schema import Amount, Id, Nanoseconds


def _render(kind: str, value: Any, _: AutogenContext) -> str | Literal[False]:
    """Migrations name plain types: they must mean the same in ten years, whatever becomes of our classes."""
    if kind == "type" and isinstance(value, Id):
        return "sa.LargeBinary(16)"
    if kind == "type" and isinstance(value, (Amount, Nanoseconds)):
        return "sa.BigInteger()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["target"],
    render_as_batch=True,  # SQLite alters a table by copying it
    render_item=_render,
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()  # the caller's transaction is around it
