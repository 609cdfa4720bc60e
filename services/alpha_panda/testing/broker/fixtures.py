"""For a conftest: `from alpha_panda.testing.broker.fixtures import broker_server`."""

from collections.abc import AsyncIterator

import pytest

from .server import BrokerServer


@pytest.fixture
async def broker_server() -> AsyncIterator[BrokerServer]:
    """Serve a well-behaved broker on a free port; `.core.plan(…)` tells it to misbehave."""
    async with BrokerServer() as server:
        yield server
