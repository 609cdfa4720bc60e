"""For a conftest: `from harness.pytest_cluster import control_plane, namespace, pytest_collection_finish`.

A conftest says which cluster its tests use by a session fixture `cluster` that returns `control_plane`,
`simulated_cluster` or `real_cluster`; `namespace` is a fresh one of it for each test.

ALPHAPANDA_TEST_KUBECONFIG names a cluster to use instead of all of them (kind, say). Programs that are missing are built
before the first test; with CI=true that is a step of its own, and tests without them fail.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from alpha_panda.errors import AlphaPandaError

from . import versions
from .build import existing_program, find_program
from .cache import locked
from .cluster import KUBECONFIG_VARIABLE, Cluster
from .command import wait_until
from .control_plane import ControlPlane
from .images import kafka_image, project_image, redis_image
from .importing import import_images
from .keeper import shared_cluster
from .kinds import KINDS
from .oci import Image
from .sandbox import why_not

PROGRAMS: Final = {
    "control_plane": versions.CONTROL_PLANE,
    "own_control_plane": versions.CONTROL_PLANE,
    "simulated_cluster": versions.KWOK,
    "node_possible": versions.NODE,
    "real_cluster": versions.NODE,
}
"""What must be there before a test with such a fixture begins."""

ACCOUNT_SECONDS: Final = 30.0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing now: a build takes minutes, a test may not."""
    if session.config.option.collectonly or os.environ.get(KUBECONFIG_VARIABLE):
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    with contextlib.suppress(AlphaPandaError):  # the fixture says it again, to the tests that need it
        for fixture in sorted(wanted & PROGRAMS.keys()):
            _prepare(fixture)


def _prepare(fixture: str) -> None:
    if PROGRAMS[fixture] is versions.NODE and why_not():
        return
    for name in PROGRAMS[fixture]:
        if existing_program(name) is None:
            print(f"building {name}, once; this takes minutes", flush=True)  # noqa: T201 - for a person who waits
            find_program(name)
    if fixture == "real_cluster":
        _test_images()


def _test_images() -> list[Image]:
    return [project_image(), kafka_image(), redis_image()]


@pytest.fixture(scope="session")
def control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """An API server for the whole session, shared by its workers; tests use namespaces of their own."""
    with _cluster("bare", request, tmp_path_factory) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def simulated_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A cluster whose pods become ready and do nothing, shared by the session's workers."""
    with _cluster("simulated", request, tmp_path_factory) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def node_possible() -> None:
    """For a test that starts a node of its own: skipped where none can run.

    With CI=true it fails there, unless the reason is the machine's kind.
    """
    if reason := why_not():
        _refuse(reason)


@pytest.fixture(scope="session")
def real_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A cluster that runs pods, with our image, Kafka's and Redis' on its node; shared by the session's workers.

    Where none can run: as `node_possible` says.
    """
    if not os.environ.get(KUBECONFIG_VARIABLE):
        request.getfixturevalue("node_possible")
    with _cluster("real", request, tmp_path_factory) as cluster:
        with locked(Path(cluster.folder) / "images.lock"):  # who comes second finds them there
            import_images(cluster, *_test_images())
        yield cluster


@pytest.fixture(scope="module")
def own_control_plane() -> Iterator[ControlPlane]:
    """An API server for the tests of one module, which may kill, freeze and restart it; each leaves it running."""
    with ControlPlane() as control_plane:
        yield control_plane


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace of the conftest's `cluster`; deleted afterwards, which is not waited for."""
    name = f"test-{secrets.token_hex(5)}"
    cluster.kubectl("create", "namespace", name)
    inside = cluster.kubectl.within(name)
    wait_until(lambda: inside.exists("serviceaccount", "default"), f"an account in {name}", ACCOUNT_SECONDS)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def _refuse(reason: str) -> None:
    if os.environ.get("CI") == "true" and reason.startswith("not installed"):
        pytest.fail(f"real cluster: {reason}", pytrace=False)
    pytest.skip(f"{reason}; or name a kind cluster in {KUBECONFIG_VARIABLE}")


@contextlib.contextmanager
def _cluster(kind: str, request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The environment's; the session's, when it has several workers; else one of our own."""
    given = Cluster.from_environment(factory.getbasetemp())
    if given is not None:
        yield given
    elif hasattr(request.config, "workerinput"):
        yield shared_cluster(kind, Path(factory.getbasetemp()).parent, os.getppid())
    else:
        with KINDS[kind]() as cluster:
            yield cluster
