"""Makes what shall exist so, and takes away what shall not: server-side apply, and nothing at all where nothing differs.

A child is left alone while it is as our last apply left it (its fingerprint, as watches show it) and the same is wanted.
After a restart each is read once, and left alone if it says that the same was applied and still has all of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog

from alpha_panda.errors import ApiRefusedError, DependencyUnavailableError
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.cluster import Cluster, Object
from alpha_panda_operator.events import Events
from alpha_panda_operator.facts import ChildFact, child_fact, covers
from alpha_panda_operator.names import APPLIED, CHILDREN, FIELD_MANAGER, MANAGED_BY_LABEL, Key
from alpha_panda_operator.reconcile.desired import Desired
from alpha_panda_operator.view import ResourceView, digest

log = structlog.get_logger()


NOT_OURS: Final = "NotOurs"
"""Reason of the refusal where an object of this name is there already, and we have not made it."""


@dataclass(frozen=True, slots=True)
class _Applied:
    """What an apply asked for, and how it left the object."""

    wanted: str
    uid: str
    fingerprint: str


class Children:
    """All children of all resources."""

    def __init__(self, cluster: Cluster, cache: Cache, events: Events) -> None:
        self._cluster = cluster
        self._cache = cache
        self._events = events
        self._applied: dict[Key, _Applied] = {}

    def forget(self, key: Key) -> None:
        """Forget what was applied: the object is gone."""
        self._applied.pop(key, None)

    async def bring(self, view: ResourceView, wanted: Desired) -> ChildFact:
        """Make one object so.

        Raises:
            ApiRefusedError: the API refuses it, or (NOT_OURS) there is one of this name that we have not made.
            DependencyUnavailableError: it does not answer, or an older object of this name is still going.

        """
        key = Key(wanted.kind.kind, view.key.namespace, wanted.manifest["metadata"]["name"])
        known, before = self._cache.children.get(key), self._applied.get(key)
        asked = digest(wanted.manifest)
        if known is not None and before == _Applied(asked, known.uid, known.fingerprint):
            return known
        if known is None:
            await self._refuse_foreign(view, wanted, key)
        elif known.owner_uid and known.owner_uid != view.uid:
            raise _going(key)
        elif before is None and known.applied == asked and (left := await self._left(wanted, key, asked)):
            return left
        found = await self._cluster.apply(wanted.kind, _noting(wanted.manifest, asked))
        fact = self._noted(found, key)
        healed = before is not None and known is not None and before.wanted == asked
        if (
            healed
            and before is not None
            and before.uid == fact.uid
            and before.fingerprint == fact.fingerprint
        ):
            await self._events.tell(
                view,
                "Warning",
                "Healed",
                f"{key.kind} {key.name} had been changed by somebody else; it is put back",
            )
        self._applied[key] = _Applied(asked, fact.uid, fact.fingerprint)
        return fact

    async def _left(self, wanted: Desired, key: Key, asked: str) -> ChildFact | None:
        """Return a child that an earlier run has applied, if it still is as that left it."""
        found = await self.live(key)
        if found is None or not covers(found, wanted.manifest):
            return None
        fact = self._noted(found, key)
        self._applied[key] = _Applied(asked, fact.uid, fact.fingerprint)
        return fact

    def untouched(self, fact: ChildFact) -> bool:
        """Whether a child is as our own last apply left it."""
        before = self._applied.get(fact.key)
        return before is not None and (before.uid, before.fingerprint) == (fact.uid, fact.fingerprint)

    async def live(self, key: Key) -> Object | None:
        """Return a child itself."""
        return await self._cluster.get(CHILDREN[key.kind], key.namespace, key.name)

    async def prune(self, view: ResourceView, wanted: Iterable[Key]) -> None:
        """Delete what was made for the resource and is not wanted any more."""
        kept = set(wanted)
        for fact in self._cache.children_of(view.key):
            if fact.key in kept or fact.deleting or fact.owner_uid != view.uid:
                continue
            await self._cluster.delete(CHILDREN[fact.key.kind], fact.key.namespace, fact.key.name, fact.uid)
            log.info("child deleted: not wanted any more", resource=str(view.key), child=str(fact.key))

    async def scale_to_zero(self, view: ResourceView) -> None:
        """Take all pods of a resource away; creates nothing."""
        for fact in self._cache.children_of(view.key):
            if fact.key.kind == "Deployment" and fact.wanted and fact.owner_uid in ("", view.uid):
                patch = {"spec": {"replicas": 0}}
                found = await self._cluster.merge(
                    CHILDREN["Deployment"], fact.key.namespace, fact.key.name, patch
                )
                if found is not None:
                    self._noted(found, fact.key)

    def _noted(self, found: Object, key: Key) -> ChildFact:
        fact = child_fact(found, key.kind)
        if fact is None:
            raise DependencyUnavailableError("kubernetes", f"{key} lost its labels while it was applied")
        self._cache.put_child(fact)
        return fact

    async def _refuse_foreign(self, view: ResourceView, wanted: Desired, key: Key) -> None:
        found = await self._cluster.get(wanted.kind, key.namespace, key.name)
        if found is None:
            return
        metadata = found["metadata"]
        ours = (metadata.get("labels") or {}).get(MANAGED_BY_LABEL) == FIELD_MANAGER
        owners = [item for item in metadata.get("ownerReferences") or () if item.get("controller")]
        if any(item["uid"] == view.uid for item in owners) or (ours and not owners):
            return
        if ours and owners[0].get("name") == view.key.name and owners[0].get("kind") == view.key.kind:
            raise _going(key)
        message = f"{key.kind} {key.name} exists already and was made by somebody else; delete or rename it"
        raise ApiRefusedError(HTTPStatus.CONFLICT, NOT_OURS, message)


def _noting(manifest: Mapping[str, Any], asked: str) -> dict[str, Any]:
    """Return what to apply: the manifest with its hash."""
    metadata = manifest["metadata"]
    notes = {**(metadata.get("annotations") or {}), APPLIED: asked}
    return {**manifest, "metadata": {**metadata, "annotations": notes}}


def _going(key: Key) -> DependencyUnavailableError:
    return DependencyUnavailableError(
        "kubernetes", f"{key} of a deleted resource of this name is still there"
    )
