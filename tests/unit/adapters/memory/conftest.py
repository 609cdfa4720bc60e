import pytest

from alpha_panda.testing.pytest_plugin import clock, pytest_asyncio_loop_factories

pytest.register_assert_rewrite("contracts.bus_contract")

__all__ = ["clock", "pytest_asyncio_loop_factories"]
