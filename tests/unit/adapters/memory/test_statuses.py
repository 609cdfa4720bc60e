"""The memory adapter under its port's contract suite."""

import pytest

from contracts.harness import Stores
from contracts.memory_stores import memory_stores
from contracts.status_contract import StatusStoreContract


class TestMemory(StatusStoreContract):
    @pytest.fixture(params=[False, True], ids=["at once", "yielding"])
    def stores(self, request: pytest.FixtureRequest) -> Stores:
        return memory_stores(yields=request.param)
