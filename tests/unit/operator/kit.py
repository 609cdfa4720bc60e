"""A clock whose hands tests turn, resources as the API gives them, and a cluster that only remembers."""

import asyncio
import copy
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from alpha_panda.errors import ApiRefusedError
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.names import (
    COMPONENT_LABEL,
    FIELD_MANAGER,
    RESOURCES,
    Key,
    Kind,
    resource_labels,
)
from alpha_panda_operator.view import ResourceView

NAMESPACE: Final = "desk"
START: Final = 1_767_600_000.0  # 2026-01-05T08:00:00Z
_numbers = itertools.count(1)


class FakeClock:
    """Time passes when a test says so; sleepers wake in order."""

    def __init__(self) -> None:
        self.time = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return START + self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, next(_numbers), woken))
        await woken

    async def pass_(self, seconds: float) -> None:
        """Let time pass, waking who is due on the way."""
        end = self.time + seconds
        await settle()
        while due := sorted(item for item in self._sleepers if item[0] <= end):
            at, _, woken = due[0]
            self._sleepers.remove(due[0])
            self.time = max(self.time, at)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.time = end


async def settle() -> None:
    """Let everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def feed(name: str = "demo", **spec: Any) -> dict[str, Any]:
    """A MarketFeed as the API gives it."""
    base = {
        "source": {"simulated": {}},
        "instruments": [
            {"symbol": "NSE:RELIANCE", "token": 738561, "tickSize": 0.05, "referencePrice": 2900},
            {"symbol": "NSE:TCS", "token": 2953217, "tickSize": 0.05, "referencePrice": 4100},
        ],
    }
    return raw("MarketFeed", name, {**base, **spec})


def account(name: str = "paper", **spec: Any) -> dict[str, Any]:
    """A BrokerAccount as the API gives it."""
    return raw("BrokerAccount", name, {"marketFeed": "demo", "paper": {"cash": 1_000_000}, **spec})


def kite_feed(name: str = "nse", **spec: Any) -> dict[str, Any]:
    """A MarketFeed by the log-in of account `kite`."""
    base = {
        "source": {"zerodha": {"account": "kite"}},
        "instruments": [{"symbol": "NSE:RELIANCE"}, {"symbol": "NSE:TCS"}],
    }
    return raw("MarketFeed", name, {**base, **spec})


def kite(name: str = "kite", *, metadata: Mapping[str, Any] | None = None, **zerodha: Any) -> dict[str, Any]:
    """A BrokerAccount at Zerodha."""
    spec = {"live": True, "userId": "AB1234", "product": "MIS", **zerodha}
    return raw("BrokerAccount", name, {"marketFeed": "nse", "zerodha": spec}, **(metadata or {}))


def strategy(name: str = "momo", **spec: Any) -> dict[str, Any]:
    """A Strategy as the API gives it."""
    base: dict[str, Any] = {
        "type": "momentum",
        "marketFeed": "demo",
        "accounts": ["paper"],
        "instruments": ["NSE:RELIANCE"],
    }
    if "code" in spec or "class" in spec:
        del base["type"]
    return raw("Strategy", name, {**base, **spec})


def raw(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """A resource with what the server adds."""
    number = next(_numbers)
    return {
        "apiVersion": RESOURCES[kind].api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{name}",
            "resourceVersion": str(number),
            "generation": 1,
            "creationTimestamp": "2026-01-05T07:00:00Z",
            **metadata,
        },
        "spec": dict(spec),
    }


def with_metadata(resource: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """The resource again, seen later, with other metadata."""
    made = copy.deepcopy(resource)
    made["metadata"] |= {"resourceVersion": str(next(_numbers)), **metadata}
    return made


def deleted(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource again, being deleted under our finalizer."""
    return with_metadata(
        resource,
        deletionTimestamp="2026-01-05T08:00:00Z",
        finalizers=["alphapanda.io/teardown"],
        generation=2,
    )


def cache_of(*resources: dict[str, Any]) -> Cache:
    """A cache that has seen these."""
    cache = Cache()
    for resource in resources:
        cache.put(resource)
    return cache


def view(cache: Cache, kind: str, name: str) -> ResourceView:
    """A resource of a cache."""
    found = cache.get(kind, NAMESPACE, name)
    assert found is not None
    return found


def config(**fields: Any) -> OperatorConfig:
    """A configuration with image alpha-panda:1."""
    return OperatorConfig.model_validate({"image": {"repository": "alpha-panda", "tag": "1"}, **fields})


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML text."""
    return [item for item in yaml.safe_load_all(text) if item is not None]


def folder_with(tmp_path: Path, manifests: str) -> Path:
    """A folder as a pod mounts it."""
    (tmp_path / "manifests.yaml").write_text(manifests, encoding="utf-8")
    return tmp_path


def child(
    owner: Key, kind: str, name: str, role: str = "", *, uid: str | None = None, **more: Any
) -> dict[str, Any]:
    """A child as the API gives it, owned by the resource with our usual uid."""
    labels = {
        **resource_labels(owner, "alpha-panda"),
        **({COMPONENT_LABEL: role} if role else {}),
    }
    references = [
        {"kind": owner.kind, "name": owner.name, "uid": uid or f"uid-{owner.name}", "controller": True}
    ]
    return {
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "uid": f"uid-of-{name}",
            "resourceVersion": str(next(_numbers)),
            "generation": 1,
            "labels": labels,
            "ownerReferences": references,
        },
        **more,
    }


class FakeCluster:
    """What the reconcile parts use of `Cluster`: objects by kind and name, and every call in `calls`."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.events: list[Mapping[str, Any]] = []
        self.refuse: dict[tuple[str, str], Exception] = {}
        self.undeclared: frozenset[str] = frozenset()
        """Fields of statuses that older definitions do not have."""

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        self._note("get", kind, name)
        return copy.deepcopy(self.objects.get((kind.kind, name)))

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], subresource: str = "") -> dict[str, Any]:
        metadata = manifest["metadata"]
        self._note(f"apply {subresource}".strip(), kind, metadata["name"])
        place = (kind.kind, metadata["name"])
        strange = sorted(self.undeclared & set(manifest.get("status") or ())) if subresource else []
        if strange:
            told = "\n".join(f"  .status.{name}: field not declared in schema" for name in strange)
            raise ApiRefusedError(500, "", f"failed to create typed patch object: errors:\n{told}")
        before = self.objects.get(place, {"metadata": {"uid": f"uid-of-{metadata['name']}"}})
        version = metadata.get("resourceVersion")
        if version and version != before["metadata"].get("resourceVersion"):
            raise ApiRefusedError(409, "Conflict", "it has changed")
        made = copy.deepcopy({**before, **manifest})
        made["metadata"] = {**before["metadata"], **copy.deepcopy(dict(metadata))}
        made |= {"apiVersion": kind.api_version, "kind": kind.kind}
        made["metadata"].setdefault("generation", 1)
        if made != before:
            made["metadata"]["resourceVersion"] = str(next(_numbers))
        self.objects[place] = made
        return copy.deepcopy(made)

    async def merge(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        self._note("merge", kind, name)
        found = self.objects.get((kind.kind, name))
        if found is None:
            return None
        if "spec" in patch:
            found["spec"] = {**found.get("spec", {}), **patch["spec"]}
        if "metadata" in patch:
            notes = found["metadata"].setdefault("annotations", {})
            notes |= patch["metadata"]["annotations"]
        found["metadata"]["resourceVersion"] = str(next(_numbers))
        return copy.deepcopy(found)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        self._note("delete", kind, name)
        self.objects.pop((kind.kind, name), None)

    async def create_event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)

    def named(self, kind: str) -> list[str]:
        """The names of all objects of a kind."""
        return sorted(name for of, name in self.objects if of == kind)

    def _note(self, verb: str, kind: Kind, name: str) -> None:
        self.calls.append((verb, kind.kind, name))
        error = self.refuse.get((kind.kind, name))
        if error is not None and verb != "get":
            raise error

    def manager_of(self, name: str) -> str:
        """Who applies here."""
        return FIELD_MANAGER
