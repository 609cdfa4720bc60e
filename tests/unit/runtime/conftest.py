from collections.abc import Callable
from typing import Any

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.testing.pytest_plugin import clock, pytest_asyncio_loop_factories
from unit.runtime.world import World

__all__ = ["clock", "pytest_asyncio_loop_factories"]


@pytest.fixture
def make_world(clock: VirtualClock) -> Callable[..., World]:
    def make(**settings: Any) -> World:
        return World(clock, **settings)

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
