"""A real node for the session's tests, with our images on it and the chart installed; a namespace for each test."""

import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.node.desk import BUSY, Desk
from e2e.node.installation import Installation
from harness.cluster import Cluster
from harness.pytest_cluster import namespace, pytest_collection_finish, real_cluster

__all__ = ["cluster", "namespace", "pytest_collection_finish", "real_cluster"]

HERE = Path(__file__).parent
TIMEOUT = 300
"""Seconds a test may take on a busy machine; most take half a minute."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They take long. One worker runs them all: see tests/sharing.py."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(TIMEOUT))


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


@pytest.fixture
def desk(installation: Installation) -> Iterator[Desk]:
    """A namespace; what is left in it goes afterwards."""
    made = _new_desk(installation)
    try:
        yield made
    finally:
        made.close()
        made.kubectl("delete", "namespace", made.namespace, "--wait=false")


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """A namespace whose strategy sends several orders a second."""
    desk.apply(BUSY)
    desk.trades()
    return desk


@pytest.fixture
def tell(capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print what was measured, past pytest's capture."""

    def told(line: str) -> None:
        with capfd.disabled():
            sys.stdout.write(f"\n  {request.node.name}: {line}\n")

    return told
