"""A real node for the session's tests, with our images on it and the chart installed; a namespace for each test."""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.node.desk import BUSY, Desk
from e2e.node.installation import Installation
from harness.cluster import Cluster
from harness.pytest_cluster import namespace, node_possible, pytest_collection_finish, real_cluster

__all__ = ["cluster", "namespace", "node_possible", "pytest_collection_finish", "real_cluster"]

HERE = Path(__file__).parent
TIMEOUT = 300
"""Seconds a test may take on a busy machine; most take half a minute."""


LAST = "test_uninstall.py"
"""After it, whoever is next would install the chart anew."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They take long. Which worker runs what: see tests/sharing.py."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(TIMEOUT))
    items.sort(key=lambda item: item.path == HERE / LAST)


@pytest.fixture(scope="session")
def cluster(real_cluster: Cluster) -> Cluster:
    """Where `namespace` is."""
    return real_cluster


@pytest.fixture(scope="session")
def _installation(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(cluster, tmp_path_factory.mktemp("chart"))
    yield made
    made.close()


@pytest.fixture
def installation(_installation: Installation) -> Installation:
    """The chart, installed; a test that uninstalls it leaves that to whoever is next."""
    _installation.ensure()
    return _installation


def _new_desk(installation: Installation) -> Desk:
    name = f"desk-{secrets.token_hex(3)}"
    installation.cluster.kubectl("create", "namespace", name)
    return Desk(installation, name)


@contextmanager
def _opened(installation: Installation) -> Iterator[Desk]:
    desk = _new_desk(installation)
    try:
        yield desk
    finally:
        desk.close()


@pytest.fixture
def desk(installation: Installation) -> Iterator[Desk]:
    """A namespace; it goes afterwards, with what is left in it."""
    with _opened(installation) as made:
        yield made


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """A namespace whose strategy sends several orders a second."""
    desk.apply(BUSY)
    desk.trades()
    return desk


@pytest.fixture(scope="module")
def _shared_desk(_installation: Installation) -> Iterator[Desk]:
    _installation.ensure()
    with _opened(_installation) as made:
        yield made


@pytest.fixture
def shared(_shared_desk: Desk) -> Iterator[Desk]:
    """The same as `busy`, one for the tests of a file, each of which leaves it trading: eight pods take ten seconds."""
    _shared_desk.apply(BUSY)
    _shared_desk.trades()
    with _shared_desk.stack:  # its tapes end with the test
        yield _shared_desk


@pytest.fixture
def tell(capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print what was measured, past pytest's capture."""

    def told(line: str) -> None:
        with capfd.disabled():
            sys.stdout.write(f"\n  {request.node.name}: {line}\n")

    return told
