from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.testing.pytest_plugin import clock, pytest_asyncio_loop_factories
from unit.strategy.kit import LIVES, World

__all__ = ["clock", "pytest_asyncio_loop_factories"]


@pytest.fixture(autouse=True)
def lives() -> Iterator[None]:
    LIVES.clear()
    yield
    LIVES.clear()


@pytest.fixture
def make_world(clock: VirtualClock) -> Callable[..., World]:
    def make(*strategies: dict[str, Any], **options: Any) -> World:
        return World(clock, *strategies, **options)

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
