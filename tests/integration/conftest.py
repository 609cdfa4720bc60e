import logging
from collections.abc import Iterator

import pytest
import structlog

from alpha_panda.testing.pytest_plugin import clock, pytest_asyncio_loop_factories

__all__ = ["clock", "pytest_asyncio_loop_factories"]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Log nothing: hundreds of killed pipelines have much to say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
