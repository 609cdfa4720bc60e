"""An operator of a worker's own on the shared API server, and its Redis; each test has a namespace."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from alpha_panda.adapters.redis.connection import RedisAddress, make_pool
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.redis import RedisServer
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.store import Store, Stores
from cluster.operator_process import ROOT, SECONDS, Desk, OperatorProcess
from harness.cluster import Cluster
from harness.kubectl import Kubectl
from harness.resources import release

T = TypeVar("T")


@pytest.fixture(scope="session")
def crds(control_plane: Cluster) -> None:
    """The kinds, as they are committed."""
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        try:
            control_plane.kubectl.apply(text)
        except DependencyUnavailableError:  # another worker was faster by a moment
            control_plane.kubectl.apply(text)
    names = [f"crd/{file.stem}.alphapanda.io" for file in sorted((ROOT / "crds").glob("*.yaml"))]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def home(control_plane: Cluster) -> Iterator[Kubectl]:
    """The operator's own namespace, in which the platform is Active."""
    name = f"operator-{secrets.token_hex(5)}"
    control_plane.kubectl("create", "namespace", name)
    kubectl = control_plane.kubectl.within(name)
    set_platform(kubectl, "Active")
    yield kubectl
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


def set_platform(home: Kubectl, state: str) -> None:
    """Write the platform's ConfigMap."""
    home.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "alpha-panda-platform"},
            "data": {"tradingState": state},
        }
    )


@pytest.fixture(scope="module")
def operator(
    control_plane: Cluster,
    crds: None,
    redis_server: RedisServer,
    home: Kubectl,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    """An operator over all namespaces, of an installation of its own."""
    process = OperatorProcess(
        Path(control_plane.kubeconfig),
        home.namespace,
        redis_server.url,
        tmp_path_factory.mktemp("operator"),
        {
            "installation": home.namespace,
            "networkPolicy": {"enabled": True},
            "roles": {"market-feed": {"credentialsSecret": "feed-login"}},
        },
    )
    try:
        yield process.started()
    finally:
        process.close()


@pytest.fixture
def desk(
    control_plane: Cluster, operator: OperatorProcess, namespace: str, redis_server: RedisServer
) -> Iterator[Desk]:
    """A namespace that the operator serves. It must live when the test is over, whatever the test did."""
    with redis_server.client() as client:
        made = Desk(control_plane, namespace, operator, client, operator.config["installation"])
        yield made
        assert operator.process.poll() is None, operator.tail()
        release(made.kubectl)


def with_store(desk: Desk, redis_url: str, work: Callable[[Store], Awaitable[T]]) -> T:
    """Do something with the namespace's stores, as its services do."""

    async def main() -> T:
        pool = make_pool(RedisAddress(redis_url))
        try:
            config = OperatorConfig(installation=desk.installation)
            return await work(Stores(config, pool, pool, 5.0).of(desk.namespace))
        finally:
            await pool.close()

    return asyncio.run(main())


__all__ = ["SECONDS", "crds", "desk", "home", "operator", "redis_server", "set_platform", "with_store"]
