from collections.abc import AsyncIterator

import pytest

from alpha_panda.testing.kite.server import KiteServer


@pytest.fixture
async def kite() -> AsyncIterator[KiteServer]:
    async with KiteServer() as server:
        yield server
