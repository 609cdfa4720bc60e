"""A real API server for the session's tests, a namespace of its own for each."""

import pytest

from harness.cluster import Cluster
from harness.pytest_cluster import (
    control_plane,
    namespace,
    own_control_plane,
    pytest_collection_finish,
    simulated_cluster,
)

__all__ = [
    "cluster",
    "control_plane",
    "namespace",
    "own_control_plane",
    "pytest_collection_finish",
    "simulated_cluster",
]


@pytest.fixture(scope="session")
def cluster(control_plane: Cluster) -> Cluster:
    """Where `namespace` is."""
    return control_plane
