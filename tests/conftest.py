"""For every test: Hypothesis' profiles and a seed that the header prints, so that a failed run can be repeated."""

import gc
import logging
import os
import random
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ("totals", "sharing")
pytest.register_assert_rewrite("contracts")  # the suites that several folders subclass

# Cores may be shared: how long one example takes says nothing, the time-out of a whole test does.
COMMON = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", COMMON, max_examples=50)
# Hypothesis' own `ci` profile always draws the same examples; ours draws new ones in each run, repeatably.
settings.register_profile("ci", COMMON, max_examples=200, database=None, derandomize=False)


@pytest.fixture(autouse=True)
def _logs_of_this_test_alone() -> Iterator[None]:
    """Leave to the next test neither fields bound to log lines nor the streams that this one sent its logs to.

    A simulated process that was killed unbinds nothing, and a captured stream is closed when its test ends: whoever
    logged to it afterwards would fail.
    """
    structlog.contextvars.clear_contextvars()
    configured, before = structlog.is_configured(), structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    if configured:
        structlog.configure(**before)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose profile and seed before the plugin of Hypothesis reads them; workers of xdist inherit the seed."""
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("ci" if os.environ.get("CI") else "dev")
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # a shell's job in the background; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of the search for garbage: thousands of tests stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to draw the same examples again."""
    seed, profile = config.getoption("--hypothesis-seed"), settings.get_current_profile_name()
    return f"hypothesis: repeat with --hypothesis-profile={profile} --hypothesis-seed={seed}"
