"""One server for each file of tests."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import structlog

from counterfoil.commands import client, logs
from tests.commands.desk import Desk
from tests.web.site import serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    logs.configure(level=logging.CRITICAL)  # the server lives in this process, and would write between the commands' lines
    async with serving(tmp_path_factory.mktemp("scheme"), region="GU") as site:
        yield Desk(site, tmp_path_factory.mktemp("keys"))
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no answer is asked again at once."""
    monkeypatch.setattr(client, "PAUSES_S", (0.0, 0.0, 0.0))
    for name in ("COUNTERFOIL_KEY", "COUNTERFOIL_SERVER", "COUNTERFOIL_DATA"):
        monkeypatch.delenv(name, raising=False)
