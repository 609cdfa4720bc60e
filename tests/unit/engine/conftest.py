from collections.abc import AsyncIterator

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.testing.pytest_plugin import clock, pytest_asyncio_loop_factories
from unit.engine.desk import Desk

__all__ = ["clock", "pytest_asyncio_loop_factories"]


@pytest.fixture
async def desk(clock: VirtualClock) -> AsyncIterator[Desk]:
    async with Desk(clock) as opened:
        yield opened
