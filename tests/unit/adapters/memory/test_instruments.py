"""The memory adapter under its port's contract suite."""

import pytest

from contracts.harness import Stores
from contracts.instruments_contract import InstrumentStoreContract
from contracts.memory_stores import memory_stores


class TestMemory(InstrumentStoreContract):
    @pytest.fixture(params=[False, True], ids=["at once", "yielding"])
    def stores(self, request: pytest.FixtureRequest) -> Stores:
        return memory_stores(yields=request.param)
