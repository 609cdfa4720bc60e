"""The memory adapter under its port's contract suite."""

import pytest

from contracts.harness import Stores
from contracts.memory_stores import memory_stores
from contracts.pace_contract import OrderPaceContract


class TestMemory(OrderPaceContract):
    @pytest.fixture(params=[False, True], ids=["at once", "yielding"])
    def stores(self, request: pytest.FixtureRequest) -> Stores:
        return memory_stores(yields=request.param)
