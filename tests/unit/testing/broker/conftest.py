from alpha_panda.testing.broker.fixtures import broker_server
from alpha_panda.testing.pytest_plugin import clock, pytest_asyncio_loop_factories

__all__ = ["broker_server", "clock", "pytest_asyncio_loop_factories"]
