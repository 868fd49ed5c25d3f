"""One scheme for each file of tests: people are new in each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scheme import Scheme, opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scheme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scheme]:
    async with opened(tmp_path_factory.mktemp("scheme"), languages=("en", "ko", "fr")) as running:
        yield running
