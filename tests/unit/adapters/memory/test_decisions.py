"""The memory adapter under its port's contract suite."""

import pytest

from contracts.decisions_contract import DecisionStoreContract
from contracts.harness import Stores
from contracts.memory_stores import memory_stores


class TestMemory(DecisionStoreContract):
    @pytest.fixture(params=[False, True], ids=["at once", "yielding"])
    def stores(self, request: pytest.FixtureRequest) -> Stores:
        return memory_stores(yields=request.param)
