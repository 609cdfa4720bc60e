"""What the operator knows of the cluster: resources as they were last seen, and of all else the facts alone.

Watches feed it, fresh listings correct it: whichever shows the newer version wins.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from alpha_panda_operator.facts import ChildFact, PodFact
from alpha_panda_operator.names import BROKER_ACCOUNT, MARKET_FEED, STRATEGY, Key
from alpha_panda_operator.view import ResourceView, view_of


class Place(NamedTuple):
    """Where a user's ConfigMap is."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Content:
    """A user's ConfigMap as last looked for: hash of its content (empty: there is none), and its keys."""

    content: str
    keys: frozenset[str] = frozenset()
    version: str = ""


@dataclass(slots=True)
class Cache:
    """Everything by its key. Children are found by their owner."""

    resources: dict[Key, ResourceView] = field(default_factory=dict)
    children: dict[Key, ChildFact] = field(default_factory=dict)
    pods: dict[Key, PodFact] = field(default_factory=dict)
    code: dict[Place, Content] = field(default_factory=dict)
    """Users' ConfigMaps that resources name, by namespace and name."""
    _children_of: dict[Key, set[Key]] = field(default_factory=dict)
    _pods_of: dict[Key, set[Key]] = field(default_factory=dict)
    _by_namespace: dict[tuple[str, str], dict[str, ResourceView]] = field(default_factory=dict)

    # --------------------------------------------------------------------------------------- resources

    def put(self, raw: Mapping[str, Any]) -> ResourceView | None:
        """Take over a resource as seen; return it if that is news (another version than known)."""
        metadata = raw["metadata"]
        key = Key(raw["kind"], metadata["namespace"], metadata["name"])
        known = self.resources.get(key)
        same = known is not None and known.uid == metadata["uid"]
        if known is not None and same and not newer(metadata["resourceVersion"], known.version):
            return None
        view = view_of(raw, known)
        self.resources[key] = view
        self._by_namespace.setdefault((key.kind, key.namespace), {})[key.name] = view
        return view

    def drop(self, key: Key, uid: str = "") -> ResourceView | None:
        """Forget a resource that is gone; not if another one has its name by now."""
        known = self.resources.get(key)
        if known is None or (uid and known.uid != uid):
            return None
        del self.resources[key]
        self._by_namespace[key.kind, key.namespace].pop(key.name, None)
        return known

    def get(self, kind: str, namespace: str, name: str) -> ResourceView | None:
        """Return a resource."""
        return self.resources.get(Key(kind, namespace, name))

    def of_kind(self, kind: str, namespace: str) -> Iterable[ResourceView]:
        """Return a namespace's resources of a kind."""
        return list(self._by_namespace.get((kind, namespace), {}).values())

    def namespaces(self) -> set[str]:
        """Return the namespaces that hold resources."""
        return {key.namespace for key in self.resources}

    def strategies_on(self, namespace: str, account: str) -> list[ResourceView]:
        """Return the strategies that name an account, by name."""
        found = (item for item in self.of_kind(STRATEGY, namespace) if account in item.accounts)
        return sorted(found, key=lambda item: item.key.name)

    def users_of_feed(self, namespace: str, feed: str) -> list[ResourceView]:
        """Return accounts and strategies that name a feed, by kind and name."""
        kinds = (BROKER_ACCOUNT, STRATEGY)
        found = (item for kind in kinds for item in self.of_kind(kind, namespace) if item.feed == feed)
        return sorted(found, key=lambda item: item.key)

    def dependents(self, key: Key) -> Iterator[Key]:
        """Yield whose children or conditions depend on a resource; to be asked before it is dropped."""
        if key.kind == MARKET_FEED:
            yield from (item.key for item in self.users_of_feed(key.namespace, key.name))
        elif key.kind == BROKER_ACCOUNT:
            yield from (item.key for item in self.strategies_on(key.namespace, key.name))
            yield from self._by_login(key)
            view = self.resources.get(key)
            if view is not None and view.feed:
                yield Key(MARKET_FEED, key.namespace, view.feed)
        else:
            view = self.resources.get(key)
            yield from _named_by(view)

    def _by_login(self, key: Key) -> Iterator[Key]:
        """Yield the feeds that use an account's log-in, and the other accounts of its user."""
        for item in self.of_kind(MARKET_FEED, key.namespace):
            if _login_name(item) == key.name:
                yield item.key
        view = self.resources.get(key)
        user = user_of(view) if view is not None else ""
        if user:
            for item in self.of_kind(BROKER_ACCOUNT, key.namespace):
                if item.key != key and user_of(item) == user:
                    yield item.key

    # ---------------------------------------------------------------------------------------- children

    def put_child(self, fact: ChildFact) -> bool:
        """Take over a child as seen; say whether anything that matters has changed."""
        known = self.children.get(fact.key)
        self.children[fact.key] = fact
        self._children_of.setdefault(fact.owner, set()).add(fact.key)
        return known is None or replace(known, version=fact.version) != fact

    def drop_child(self, key: Key, uid: str = "") -> ChildFact | None:
        """Forget a child that is gone; not if another one has its name by now."""
        fact = self.children.get(key)
        if fact is None or (uid and fact.uid != uid):
            return None
        del self.children[key]
        self._children_of.get(fact.owner, set()).discard(key)
        return fact

    def children_of(self, owner: Key) -> list[ChildFact]:
        """Return what is known to be made for a resource."""
        return [self.children[key] for key in sorted(self._children_of.get(owner, ()))]

    def put_pod(self, fact: PodFact) -> bool:
        """Take over a pod as seen; say whether anything that matters has changed."""
        known = self.pods.get(fact.key)
        if known is not None and known.uid == fact.uid and newer(known.version, fact.version):
            return False
        self.pods[fact.key] = fact
        self._pods_of.setdefault(fact.owner, set()).add(fact.key)
        return known != fact

    def drop_pod(self, key: Key) -> PodFact | None:
        """Forget a pod that is gone."""
        fact = self.pods.pop(key, None)
        if fact is not None:
            self._pods_of.get(fact.owner, set()).discard(key)
        return fact

    def pods_of(self, owner: Key, role: str) -> list[PodFact]:
        """Return the pods of one workload."""
        return [fact for fact in self.all_pods_of(owner) if fact.role == role]

    def all_pods_of(self, owner: Key) -> list[PodFact]:
        """Return the pods of a resource, those that are ending among them."""
        return [self.pods[key] for key in sorted(self._pods_of.get(owner, ()))]


def user_of(view: ResourceView) -> str:
    """Return the broker's user that an account names, however wrong the rest of it is; "" if it names none."""
    block = view.spec.get("zerodha")
    user = block.get("userId") if isinstance(block, Mapping) else None
    return user if isinstance(user, str) else ""


def _login_name(feed: ResourceView) -> str:
    source = feed.spec.get("source")
    block = source.get("zerodha") if isinstance(source, Mapping) else None
    name = block.get("account") if isinstance(block, Mapping) else None
    return name if isinstance(name, str) else ""


def _named_by(view: ResourceView | None) -> Iterator[Key]:
    if view is None:
        return
    for account in view.accounts:
        yield Key(BROKER_ACCOUNT, view.key.namespace, account)
    if view.feed:
        yield Key(MARKET_FEED, view.key.namespace, view.feed)


def newer(version: str, known: str) -> bool:
    """Whether a resourceVersion is a later one. They are numbers that grow (KEP-5504), if longer ones compare so."""
    if version.isdigit() and known.isdigit():
        return int(version) > int(known)
    return version != known
