"""A sandbox's gateway: takes every text and sends nothing. What it took stands in the table, for the demo's telephones to show."""

from __future__ import annotations

from counterfoil.channels.sms.types import Doubt, Outbound
from counterfoil.ids import id_text


class SandboxSms:
    """Implements `sms.types.Gateway`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.doubt = Doubt.NOTHING

    async def send(self, text: Outbound) -> str:
        """Takes it. Its reference is the text's own id."""
        return id_text(text.id)

    async def close(self) -> None:
        """There is nothing to end."""
