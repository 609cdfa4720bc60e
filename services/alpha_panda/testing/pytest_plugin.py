"""For a conftest: `from alpha_panda.testing.pytest_plugin import clock, pytest_asyncio_loop_factories`.

Async tests below that conftest then run on an `IdleAwareEventLoop`. It is an ordinary loop until a test waits on
the `clock` fixture.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.loop import IdleAwareEventLoop
from alpha_panda.testing.virtual_time import START


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], Any]]:
    """Tell pytest-asyncio (from 1.4 on) which loop to make."""
    return {"idle-aware": IdleAwareEventLoop}


@pytest.fixture
def clock() -> VirtualClock:
    """Return a virtual clock at `START`; it drives the test's loop from the first wait on."""
    return VirtualClock(START)
