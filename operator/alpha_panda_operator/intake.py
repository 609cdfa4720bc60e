"""Where everything that is seen of the cluster comes in: into the cache, and on to whoever has to act on it.

Watches and listings call the same functions; which of them is behind does not matter, the newer version wins. How far
the watches are behind the listings is kept, for liveness: a watch can stall without an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from alpha_panda_operator.cache import Cache, newer
from alpha_panda_operator.clock import Clock
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.facts import child_fact, owner_of, pod_fact
from alpha_panda_operator.names import BROKER_ACCOUNT, INSTALLATION_LABEL, RESOURCES, STRATEGY, Key
from alpha_panda_operator.queue import KeyedQueue
from alpha_panda_operator.view import ResourceView

DEFAULT_INSTALLATION: Final = "alpha-panda"
"""The installation that serves resources which name none."""

MOST_REMEMBERED: Final = 20_000
REMEMBERED_SECONDS: Final = 600.0
"""How many that are gone are remembered at least this long: no watch is further behind."""

GATHER_SECONDS: Final = 0.2
"""How long those who depend on something that changed wait for more of it to change: many come at once."""

Raw = Mapping[str, Any]


def serves(config: OperatorConfig, labels: Mapping[str, str]) -> bool:
    """Whether a resource is this installation's: its label says so, or it has none and we are who serves those.

    Resources without the label belong to the installation of the default name, to the one that was told to watch
    their namespaces, or to the one that is told so (`serveUnlabelled`: the chart's).
    """
    named = labels.get(INSTALLATION_LABEL)
    if named:
        return named == config.installation
    return (
        config.serve_unlabelled
        or bool(config.watch_namespaces)
        or config.installation == DEFAULT_INSTALLATION
    )


@dataclass(slots=True)
class Lag:
    """What listings have shown that the watches have not."""

    clock: Clock
    _watched: dict[Key, str] = field(default_factory=dict)
    _missing: dict[Key, tuple[str, float]] = field(default_factory=dict)
    last_event: float | None = None

    def watched(self, key: Key, version: str) -> None:
        """Note a version that a watch has brought."""
        self.last_event = self.clock.monotonic()
        self._watched[key] = version
        missing = self._missing.get(key)
        if missing is not None and not newer(missing[0], version):
            del self._missing[key]

    def listed(self, key: Key, version: str) -> None:
        """Note a version that a listing has shown."""
        known = self._watched.get(key)
        if key not in self._missing and (known is None or newer(version, known)):
            self._missing[key] = (version, self.clock.monotonic())

    def gone(self, key: Key) -> None:
        """Forget what is gone."""
        self._watched.pop(key, None)
        self._missing.pop(key, None)

    @property
    def seconds(self) -> float:
        """For how long the oldest of it has been missing."""
        now = self.clock.monotonic()
        return max((now - since for _, since in self._missing.values()), default=0.0)


@dataclass(slots=True)
class Intake:
    """`work`: resources to be reconciled. `urgent`: resources whose trading state may have changed."""

    config: OperatorConfig
    cache: Cache
    clock: Clock
    work: KeyedQueue[Key]
    urgent: KeyedQueue[Key]
    lag: Lag
    vanished: list[ResourceView] = field(default_factory=list)
    """Resources that went without our finalizer, for the control desk to forget."""
    _gone: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Ids of objects that are gone, as of which version, and since when: what a slower watch or listing still shows is old.

    An object that has lost the label that we watch by is told of as deleted too; once it has it again it is newer.
    """

    # --------------------------------------------------------------------------------------- resources

    def resource_event(self, type_: str | None, raw: Raw) -> None:
        """Take an event of a watch of the three kinds."""
        metadata = raw["metadata"]
        key = Key(raw["kind"], metadata["namespace"], metadata["name"])
        if type_ == "DELETED" or not serves(self.config, metadata.get("labels") or {}):
            self.lag.gone(key)
            self._resource_gone(key, metadata["uid"])
            if type_ == "DELETED":
                self._bury(metadata["uid"], metadata["resourceVersion"])
            return
        self.lag.watched(key, metadata["resourceVersion"])
        self._resource_seen(raw)

    def _bury(self, uid: str, version: str) -> None:
        now = self.clock.monotonic()
        if len(self._gone) >= MOST_REMEMBERED:
            self._gone = {
                one: (at, since)
                for one, (at, since) in self._gone.items()
                if now - since < REMEMBERED_SECONDS
            }
        self._gone[uid] = (version, now)

    def _is_gone(self, uid: str, version: str) -> bool:
        buried = self._gone.get(uid)
        return buried is not None and not newer(version, buried[0])

    def resources_listed(self, kind: str, items: Iterable[Raw], version: str) -> None:
        """Take a fresh listing of one kind over all that we watch: who is not in it is gone."""
        self.resources_absent(kind, self.resources_shown(kind, items), version)

    def resources_shown(self, kind: str, items: Iterable[Raw]) -> set[Key]:
        """Take a part of a listing; return whom it shows."""
        present: set[Key] = set()
        for raw in items:
            metadata = raw["metadata"]
            if not serves(self.config, metadata.get("labels") or {}):
                continue
            key = Key(kind, metadata["namespace"], metadata["name"])
            present.add(key)
            self.lag.listed(key, metadata["resourceVersion"])
            # An item of a listing does not say its kind.
            self._resource_seen({**raw, "kind": kind, "apiVersion": RESOURCES[kind].api_version})
        return present

    def resources_absent(self, kind: str, present: set[Key], version: str) -> None:
        """Take it that a whole listing of that version has shown those alone."""
        for key, view in list(self.cache.resources.items()):
            if key.kind == kind and key not in present and newer(version, view.version):
                self.lag.gone(key)
                self._bury(view.uid, version)
                self._resource_gone(key, view.uid)

    def _resource_seen(self, raw: Raw) -> None:
        metadata = raw["metadata"]
        if self._is_gone(metadata["uid"], metadata["resourceVersion"]):
            return
        before = self.cache.resources.get(Key(raw["kind"], metadata["namespace"], metadata["name"]))
        view = self.cache.put(raw)
        if view is None:
            return
        self.work.add(view.key)
        if before is None or not view.asks_the_same(before):
            self._changed(view)

    def _resource_gone(self, key: Key, uid: str) -> None:
        view = self.cache.resources.get(key)
        if view is None or view.uid != uid:
            return
        dependents = list(self.cache.dependents(key))
        self.cache.drop(key, uid)
        self.vanished.append(view)
        self.work.add(key)
        self._gather(dependents)

    def _changed(self, view: ResourceView) -> None:
        if view.key.kind in (BROKER_ACCOUNT, STRATEGY):
            self.urgent.add(view.key)
        self._gather(self.cache.dependents(view.key))

    def _gather(self, dependents: Iterable[Key]) -> None:
        for key in dependents:
            if key in self.cache.resources:
                self.work.add(key, GATHER_SECONDS)
                if key.kind == BROKER_ACCOUNT and self.cache.resources[key].deleting:
                    self.urgent.add(key)  # whether strategies are left on it decides its trading state

    # ---------------------------------------------------------------------------------------- children

    def child_event(self, kind: str, type_: str | None, raw: Raw) -> None:
        """Take an event of a watch of what we make."""
        if kind == "Pod":
            self._pod(type_, raw)
            return
        metadata = raw["metadata"]
        key = Key(kind, metadata["namespace"], metadata["name"])
        if type_ == "DELETED":
            self._bury(metadata["uid"], metadata["resourceVersion"])
            self._child_gone(key, metadata["uid"])
        elif not self._is_gone(metadata["uid"], metadata["resourceVersion"]):
            self._child_seen(kind, raw)

    def children_listed(self, kind: str, items: Iterable[Raw], version: str) -> None:
        """Take a fresh listing of one kind of what we make."""
        self.children_absent(kind, self.children_shown(kind, items), version)

    def children_shown(self, kind: str, items: Iterable[Raw]) -> set[Key]:
        """Take a part of such a listing; return what it shows."""
        present: set[Key] = set()
        for raw in items:
            metadata = raw["metadata"]
            present.add(Key(kind, metadata["namespace"], metadata["name"]))
            self.child_event(kind, None, raw)
        return present

    def children_absent(self, kind: str, present: set[Key], version: str) -> None:
        """Take it that a whole listing of that version has shown those alone."""
        if kind == "Pod":
            for key, pod in list(self.cache.pods.items()):
                if key not in present and newer(version, pod.version):
                    self._bury(pod.uid, version)
                    self.cache.drop_pod(key)
                    self._wake(pod.owner)
            return
        for key, fact in list(self.cache.children.items()):
            if key.kind == kind and key not in present and newer(version, fact.version):
                self._bury(fact.uid, version)
                self._child_gone(key, fact.uid)

    def _child_seen(self, kind: str, raw: Raw) -> None:
        fact = child_fact(raw, kind)
        if fact is None:
            return
        known = self.cache.children.get(fact.key)
        if known is not None and known.uid == fact.uid and newer(known.version, fact.version):
            return  # our own apply has told us more already
        if self.cache.put_child(fact):
            self._wake(fact.owner)

    def _child_gone(self, key: Key, uid: str) -> None:
        fact = self.cache.drop_child(key, uid)
        if fact is not None:
            self._wake(fact.owner)

    def _pod(self, type_: str | None, raw: Raw) -> None:
        owner = owner_of(raw)
        fact = pod_fact(raw)
        if owner is None or fact is None:
            return
        if type_ == "DELETED":
            self._bury(fact.uid, fact.version)
            self.cache.drop_pod(fact.key)
            self._wake(owner)
        elif not self._is_gone(fact.uid, fact.version) and self.cache.put_pod(fact):
            self._wake(owner)

    def _wake(self, owner: Key) -> None:
        if owner in self.cache.resources:
            self.work.add(owner, GATHER_SECONDS)
